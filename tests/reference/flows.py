"""Gradient flows in closed form, and short versions of the methods: loops and dense matrices."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.special import beta, betaincinv

Slope = Callable[[np.ndarray], np.ndarray]


def normal(x: np.ndarray, mean: float, variance: float) -> np.ndarray:
    """Return the normal density."""
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def ornstein_uhlenbeck(t: float, mean: float, variance: float) -> tuple[float, float]:
    """Return mean and variance at ``t`` of the flow of KL to the standard normal that starts at a normal density."""
    return mean * math.exp(-t), 1 + (variance - 1) * math.exp(-2 * t)


def central_moment(order: int, variance: float) -> float:
    """Return the central moment of a normal density."""
    return 0.0 if order % 2 else variance ** (order // 2) * math.prod(range(1, order, 2))


def divergence_from_standard(mean: float, variance: float) -> float:
    """Return KL(N(mean, variance) || N(0, 1))."""
    return (variance + mean**2 - 1 - math.log(variance)) / 2


class Barenblatt:
    """The self-similar solution of the porous medium equation on the line, of mass 1, from a point at time 0."""

    def __init__(self, m: float) -> None:
        self.m, self.k, self.power = m, 1 / (m + 1), 1 / (m - 1)
        self.b = self.k * (m - 1) / (2 * m)
        self.C = (math.sqrt(self.b) / beta(0.5, self.power + 1)) ** (1 / (self.power + 0.5))

    def radius(self, t: float) -> float:
        """Return half of the length of the support, which grows like t^(1 / (m + 1))."""
        return math.sqrt(self.C / self.b) * t**self.k

    def density(self, x: np.ndarray, t: float) -> np.ndarray:
        """Return the density."""
        inside = np.maximum(self.C - self.b * x**2 * t ** (-2 * self.k), 0)
        return t**-self.k * inside**self.power

    def quantiles(self, levels: np.ndarray, t: float) -> np.ndarray:
        """Return the quantile function."""
        return (2 * betaincinv(self.power + 1, self.power + 1, levels) - 1) * self.radius(t)

    def averages(self, edges: np.ndarray, t: float) -> np.ndarray:
        """Return the averages of the density between ``edges``, by 64 points each."""
        h = np.diff(edges)
        inner = edges[:-1, None] + h[:, None] * (np.arange(64) + 0.5) / 64
        return self.density(inner, t).mean(axis=1)


def semicircle(levels: np.ndarray) -> np.ndarray:
    """Return the quantiles of sqrt(2 - x^2) / pi, the equilibrium of W = x^2 / 2 - log|x|."""
    return math.sqrt(2) * (2 * betaincinv(1.5, 1.5, levels) - 1)


def wasserstein(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Return the distance of two quantile functions."""
    return float(np.sqrt(weights @ (x - y) ** 2))


def generator_matrix(V: np.ndarray, spacing: float) -> np.ndarray:
    """Return the matrix of the Scharfetter-Gummel fluxes on a line: rates of a jump process with exp(-V) in balance."""
    n = V.size
    Q = np.zeros((n, n))
    for i in range(n - 1):
        rise = V[i + 1] - V[i]
        up = rise / math.expm1(rise) if rise else 1.0
        down = -rise / math.expm1(-rise) if rise else 1.0
        Q[i + 1, i] += up / spacing**2
        Q[i, i] -= up / spacing**2
        Q[i, i + 1] += down / spacing**2
        Q[i + 1, i + 1] -= down / spacing**2
    return Q


def two_stage_steps(Q: np.ndarray, p: np.ndarray, dt: float, steps: int) -> np.ndarray:
    """Return p after L-stable two-stage steps for dp/dt = Q p."""
    gamma = 1 - math.sqrt(0.5)
    matrix = np.eye(len(Q)) - gamma * dt * Q
    for _ in range(steps):
        first = Q @ np.linalg.solve(matrix, p)
        second = Q @ np.linalg.solve(matrix, p + (1 - gamma) * dt * first)
        p = p + dt * ((1 - gamma) * first + gamma * second)
    return p


def blob_energy(x: np.ndarray, w: np.ndarray, width: float, f: Callable[[float], float]) -> float:
    """Return the sum of w_i f(rho_i) with the density blurred by a Gaussian, points (n, d)."""
    total = 0.0
    for i in range(len(x)):
        rho = 0.0
        for j in range(len(x)):
            square = float(np.sum((x[i] - x[j]) ** 2))
            rho += w[j] * math.exp(-square / (2 * width**2)) / (2 * math.pi * width**2) ** (x.shape[1] / 2)
        total += w[i] * f(rho)
    return total


def interaction_energy(x: np.ndarray, w: np.ndarray, W: Callable[[np.ndarray], float]) -> float:
    """Return half of the sum of w_i w_j W(x_i - x_j) over different points."""
    pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j]
    return sum(w[i] * w[j] * W(x[i] - x[j]) for i, j in pairs) / 2


def slope_of(function: Callable[[np.ndarray], float], x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """Return the gradient by central differences."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        moved = np.zeros(x.shape)
        moved[index] = h
        gradient[index] = (function(x + moved) - function(x - moved)) / (2 * h)
    return gradient


def score_of_kernel_estimate(x: np.ndarray, width: float) -> np.ndarray:
    """Return the gradient of log of the blurred density at the points (n,): half of the blob's velocity, roughly."""
    z = x[:, None] - x
    kernel = np.exp(-(z**2) / (2 * width**2))
    return -(kernel * z).sum(axis=1) / width**2 / kernel.sum(axis=1)


def stein_velocity(x: np.ndarray, score: np.ndarray, width: float) -> np.ndarray:
    """Return the mean over j of k(x_j, x_i) score_j + grad_j k(x_j, x_i), points (n, d)."""
    velocity = np.zeros(x.shape)
    for i in range(len(x)):
        for j in range(len(x)):
            z = x[j] - x[i]
            k = math.exp(-float(z @ z) / (2 * width**2))
            velocity[i] += k * score[j] - k * z / width**2
    return velocity / len(x)


def stein_discrepancy(x: np.ndarray, score: np.ndarray, width: float) -> float:
    """Return the squared kernelised Stein discrepancy."""
    total, d = 0.0, x.shape[1]
    for i in range(len(x)):
        for j in range(len(x)):
            z = x[i] - x[j]
            k = math.exp(-float(z @ z) / (2 * width**2))
            trace = d / width**2 - float(z @ z) / width**4
            total += k * (score[i] @ score[j] + score[i] @ z / width**2 - score[j] @ z / width**2 + trace)
    return total / len(x) ** 2


def langevin(x: np.ndarray, slope: Slope, dt: float, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Return x after steps with the mean of two successive draws."""
    noise = rng.standard_normal(x.shape)
    for _ in range(steps):
        fresh = rng.standard_normal(x.shape)
        x = x - dt * slope(x) + math.sqrt(2 * dt) * (noise + fresh) / 2
        noise = fresh
    return x


def lowest_fill(xi: np.ndarray, bound: float, total: float) -> np.ndarray:
    """Return ``bound`` in the lowest cells one after the other until ``total`` is spent."""
    q = np.zeros(xi.size)
    for i in sorted(range(xi.size), key=lambda i: xi.ravel()[i]):
        q[i] = min(bound, total)
        total -= q[i]
    return q.reshape(xi.shape)


def observed_orders(errors: list[float]) -> list[float]:
    """Return the orders that errors at halved steps show."""
    return [math.log2(a / b) for a, b in pairwise(errors)]
