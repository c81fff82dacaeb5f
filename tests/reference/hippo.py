"""Memories as their definitions say: integrals by quadrature, dense solves and matrix exponentials step by step."""

import math

import numpy as np
from numpy.polynomial import laguerre as lag
from numpy.polynomial import legendre as leg
from scipy.linalg import expm


def legs_matrices(N):
    """Return (A, B) of LegS by the formula of the HiPPO paper, entry by entry."""
    A = np.zeros((N, N))
    for n in range(N):
        for k in range(n):
            A[n, k] = -math.sqrt((2 * n + 1) * (2 * k + 1))
        A[n, n] = -(n + 1)
    return A, np.array([math.sqrt(2 * n + 1) for n in range(N)])


def legt_matrices(N):
    """Return (A, B) of LegT for a window of length 1, entry by entry."""
    A = np.zeros((N, N))
    for n in range(N):
        for k in range(N):
            sign = 1 if k <= n else (-1) ** (n - k)
            A[n, k] = -sign * math.sqrt((2 * n + 1) * (2 * k + 1))
    return A, np.array([math.sqrt(2 * n + 1) for n in range(N)])


def lmu_matrices(N):
    """Return (A, B) as the Legendre Memory Unit prints them."""
    A = np.zeros((N, N))
    for i in range(N):
        for j in range(N):
            A[i, j] = (2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1))
    return A, np.array([(2 * i + 1) * (-1.0) ** i for i in range(N)])


def legs_states(u, N, method="logbilinear", x0=None, k0=0):
    """Return the states after each of the samples u (L,), by dense solves in double precision."""
    A, B = legs_matrices(N)
    x, eye, states = x0, np.eye(N), []
    for k, sample in enumerate(u, start=k0):
        if k == 0:
            x = sample * eye[0]
        elif method == "exact":
            E = expm(math.log((k + 1) / k) * A)
            x = E @ x + np.linalg.solve(A, E @ B - B) * sample
        elif method == "logbilinear":
            h = math.log((k + 1) / k) / 2
            x = np.linalg.solve(eye - h * A, (eye + h * A) @ x + 2 * h * B * sample)
        elif method == "bilinear":
            explicit = (A @ x + B * sample) / (2 * k)
            x = np.linalg.solve(eye - A / (2 * k + 2), x + explicit + B * sample / (2 * k + 2))
        else:
            x = np.linalg.solve(eye - A / (k + 1), x + B * sample / (k + 1))
        states.append(x)
    return np.array(states)


def legs_projection(u, N):
    """Return the projection of a piecewise constant signal u (..., L): cell integrals of Legendre polynomials."""
    edges = np.linspace(-1, 1, u.shape[-1] + 1)
    x = []
    for n in range(N):
        integral = leg.legval(edges, leg.legint([0] * n + [1]))
        x.append(u @ np.diff(integral) * math.sqrt(2 * n + 1) / 2)
    return np.stack(x, axis=-1)


def fourier(N, sigma):
    """Return 1, sqrt2 cos(2 pi sigma), sqrt2 sin(2 pi sigma), ... on a new first axis; the last is 0 for even N."""
    rows = [np.ones_like(sigma)]
    for k in range(1, (N + 1) // 2):
        rows += [math.sqrt(2) * np.cos(2 * math.pi * k * sigma), math.sqrt(2) * np.sin(2 * math.pi * k * sigma)]
    return np.stack(rows + [np.zeros_like(sigma)] * (N - len(rows)))


def memory(signal, measure, N, T, theta, alpha=0.0, beta=0.01):
    """Return the memory at time T of a function of time, by the integral that defines it (10^4 nodes)."""
    nodes, weights = leg.leggauss(400)
    if measure in ("legs", "fourier_legs", "legt", "fout"):
        length = T if measure in ("legs", "fourier_legs") else theta
        sigma = (np.arange(20)[:, None] + (nodes + 1) / 2).ravel() / 20
        weight = np.tile(weights / 2, 20) / 20
        values = signal(T - length + length * sigma)
        if measure in ("legs", "legt"):
            rows = [math.sqrt(2 * n + 1) * leg.legval(2 * sigma - 1, [0] * n + [1]) for n in range(N)]
            return np.array([np.sum(weight * values * row) for row in rows])
        return fourier(N, sigma) @ (weight * values)
    age = (np.arange(100)[:, None] + (nodes + 1) / 2).ravel() * 1.2
    weight = np.tile(weights / 2, 100) * 1.2
    values = signal(T - theta * age) * weight
    if measure == "foud":
        return fourier(N, -age) @ (np.exp(-age / 2) * values)
    if measure == "lagt":
        return np.array([np.sum(values * np.exp(-age / 2) * lag.lagval(age, [0] * n + [1])) for n in range(N)])
    from scipy.special import eval_genlaguerre, gamma

    mass = beta ** (1 - alpha) / gamma(1 - alpha)
    rows = [eval_genlaguerre(n, alpha, age) * math.sqrt(gamma(n + 1) / gamma(n + alpha + 1)) for n in range(N)]
    return np.array([np.sum(values * math.sqrt(mass) * row * np.exp(-(1 + beta) / 2 * age)) for row in rows])
