"""Matrices with a known spectrum, and the named hard cases."""

import numpy as np


def with_spectrum(rng, m, n, values, dtype="float64"):
    """Return U diag(values) V^H of shape (m, n) with random orthonormal U, V."""
    k = len(values)

    def orthonormal(rows):
        draw = rng.standard_normal((rows, k))
        if np.dtype(dtype).kind == "c":
            draw = draw + 1j * rng.standard_normal((rows, k))
        return np.linalg.qr(draw)[0]

    return ((orthonormal(m) * np.asarray(values)) @ orthonormal(n).conj().T).astype(dtype)


def wilkinson(n):
    """Return the matrix on which LU with partial pivoting grows by 2^(n - 1)."""
    A = np.eye(n) - np.tril(np.ones((n, n)), -1)
    A[:, -1] = 1
    return A


def kahan(n, theta=1.2):
    """Return Kahan's matrix, on which column pivoting does nothing."""
    s, c = np.sin(theta), np.cos(theta)
    return np.diag(s ** np.arange(n)) @ (np.eye(n) - c * np.triu(np.ones((n, n)), 1))


def hilbert(n):
    """Return Hilbert's matrix, whose singular values fall below rounding from n = 13 on."""
    return 1.0 / (np.arange(n)[:, None] + np.arange(n) + 1)


SPECTRA = {
    "polynomial": lambda n: 1.0 / np.arange(1, n + 1),
    "slow": lambda n: 1.0 / np.sqrt(np.arange(1, n + 1)),
    "exponential": lambda n: np.exp(-np.arange(n) / 6.0),
    "step": lambda n: np.where(np.arange(n) < 15, 1.0, 1e-3),
    "flat": lambda n: np.ones(n),
    "rank 7": lambda n: np.where(np.arange(n) < 7, 1.0, 0.0),
    "one large": lambda n: np.where(np.arange(n) < 1, 1e6, 1.0),
    "stairs": lambda n: 10.0 ** -(0.5 * (np.arange(n) // 10)),
}


def optimum(A, k, norm):
    """Return the least error of an approximation of rank k, in the Frobenius norm or the 2-norm."""
    s = np.linalg.svd(A, compute_uv=False)
    return np.linalg.norm(s[k:]) if norm == "fro" else (s[k] if k < len(s) else 0.0)
