"""Formulas of the repository state-spaces/s4: matrices of HiPPO, kernels of S4D and S4 as naive sums, convolution."""

import numpy as np


def transition_legs(N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return A and B of the scaled Legendre measure: the triangle of 2 n + 1 less the diagonal, normalised."""
    n = np.arange(N)
    M = -(np.tril(np.tile(2.0 * n + 1, (N, 1))) - np.diag(n))
    T = np.sqrt(2 * n + 1)
    return T[:, None] * M / T, T[:, None]


def transition_legt(N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return A and B of the translated Legendre measure, halved as there."""
    n = np.arange(N)
    R, difference = np.sqrt(2 * n + 1), n[:, None] - n
    A = R[:, None] * np.where(difference < 0, (-1.0) ** difference, 1) * R
    return -A / 2, R[:, None] / 2


def transition_lmu(N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return A and B of the Legendre memory unit."""
    n = np.arange(N)
    difference = n[:, None] - n
    A = np.where(difference < 0, -1, (-1.0) ** (difference + 1)) * (2 * n[:, None] + 1)
    return A, (-1.0) ** n[:, None] * (2 * n[:, None] + 1)


def legs_modes(N: int) -> np.ndarray:
    """Return the eigenvalues of A + P P^T, half of each conjugate pair, in ascending order."""
    P = np.sqrt(np.arange(N) + 0.5)
    modes = np.linalg.eigvals(transition_legs(N)[0] + np.outer(P, P))
    half = modes[modes.imag > 0]
    return half[np.argsort(half.imag)]


def kernel_s4d(Lambda: np.ndarray, B: np.ndarray, C: np.ndarray, dt: float, L: int) -> np.ndarray:
    """Return 2 Re sum C B (exp(dt Lambda) - 1) / Lambda exp(dt Lambda l)."""
    weights = C * B * (np.exp(dt * Lambda) - 1) / Lambda
    return 2 * (weights @ np.exp(dt * Lambda[:, None] * np.arange(L))).real


def kernel_s4(Lambda: np.ndarray, P: np.ndarray, B: np.ndarray, C: np.ndarray, dt: float, L: int) -> np.ndarray:
    """Return C A^l B of the bilinear discretisation of diag(Lambda) - P P^*, with the conjugate half."""
    both = [np.concatenate([x, x.conj()]) for x in (Lambda, P, B, C)]
    A = np.diag(both[0]) - np.outer(both[1], both[1].conj())
    half = np.eye(len(A)) - dt / 2 * A
    step, state = np.linalg.solve(half, np.eye(len(A)) + dt / 2 * A), np.linalg.solve(half, dt * both[2])
    taps = []
    for _ in range(L):
        taps.append((both[3] @ state).real)
        state = step @ state
    return np.array(taps)


def cauchy_naive(v: np.ndarray, z: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return sum v / (z - w)."""
    return np.sum(v / (z[:, None] - w), axis=-1)


def fft_conv(u: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Return the causal convolution, padded to twice the length."""
    n = 2 * u.shape[-1]
    return np.fft.irfft(np.fft.rfft(u, n) * np.fft.rfft(k, n), n)[..., : u.shape[-1]]
