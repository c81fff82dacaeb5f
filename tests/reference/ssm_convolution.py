"""Convolutions and divisions of series the slow and obvious way, and gradients by differences."""

from collections.abc import Callable

import numpy as np


def convolution(u: np.ndarray, k: np.ndarray, count: int) -> np.ndarray:
    """Return the first ``count`` sums of u_i k_j with i + j = n."""
    out = np.zeros(count, dtype=np.result_type(u, k, np.float64))
    for i, x in enumerate(u):
        for j, y in enumerate(k):
            if i + j < count:
                out[i + j] += x * y
    return out


def long_division(numerator: np.ndarray, a: np.ndarray, L: int) -> np.ndarray:
    """Return the first L coefficients of numerator(z) / (1 + a_1 z + ...), real or complex."""
    out = np.zeros(L, dtype=np.result_type(numerator, a, np.float64))
    for n in range(L):
        taken = sum(a[j - 1] * out[n - j] for j in range(1, min(n, len(a)) + 1))
        out[n] = (numerator[n] if n < len(numerator) else 0) - taken
    return out


def division_at_roots_of_unity(a: np.ndarray, b: np.ndarray, L: int) -> np.ndarray:
    """Return the K of L entries whose polynomial is b(z) / (1 + a_1 z + ...) at all L-th roots of unity."""
    z = np.exp(-2j * np.pi * np.arange(L) / L)
    powers = z[:, None] ** np.arange(len(a) + 1)
    values = powers[:, :-1] @ b / (powers @ np.r_[1, a])
    K = np.array([np.mean(values * z**-k) for k in range(L)])
    return K if np.iscomplexobj(a) or np.iscomplexobj(b) else K.real


def gradient(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, g: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """Return the adjoint of the Jacobian of f at x times g, by central differences; f is holomorphic."""
    out = np.zeros(x.shape, dtype=np.result_type(x, g))
    for index in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[index] = h
        out[index] = np.sum(g * np.conj(f(x + step) - f(x - step))) / (2 * h)
    return out
