"""Test matrices of known singular values, and the pseudo-inverse to more digits than float64 has."""

from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular


def orthonormal(m: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return random orthonormal columns (m, n): Cholesky QR, because Gaussian columns are well conditioned."""
    Q = rng.standard_normal((m, n))
    for _ in range(1 if m >= 2 * n else 2):
        L = np.linalg.cholesky(Q.T @ Q) if m > n else None
        if L is None:
            return np.linalg.qr(Q)[0]
        Q = np.ascontiguousarray(solve_triangular(L, Q.T, lower=True).T)
    return Q


@cache
def _bases(m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(m + n)
    return orthonormal(m, n, rng), orthonormal(n, n, rng)


def bases(m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return U (m, n) and V (n, n), random and orthonormal; only the last ones asked for are kept."""
    if (m, n) not in _kept:
        _bases.cache_clear()
        _kept.clear()
        _kept.add((m, n))
    return _bases(m, n)


_kept: set[tuple[int, int]] = set()


class LongPinv:
    """Some rows of the pseudo-inverse of ``A`` (..., m, n), m >= n, full rank, beyond float64.

    From X = numpy's pseudo-inverse to first order: X - A^+ has a part within the range of A, (X A - I) A^+, and one
    orthogonal to it, the residual of the least-squares problem A Y = X^H. Both residuals are formed in long double
    (64 bits of mantissa with x86 compilers), so what is left is of second order, (condition * eps)^2.
    """

    def __init__(self, A: np.ndarray, rows: int) -> None:
        X = np.linalg.pinv(A)
        n = A.shape[-1]
        self.rows = np.random.default_rng(1).permutation(n)[:rows]
        self.start = X[..., self.rows, :]
        long_A, long_start = A.astype(np.longdouble), self.start.astype(np.longdouble)
        inside = (np.eye(n)[self.rows] - long_start @ long_A).astype(np.float64) @ X
        Y = X @ _t(self.start)
        left = (_t(long_start) - long_A @ Y.astype(np.longdouble)).astype(np.float64)
        self.correction = inside - _t(left - A @ (X @ left))
        self.size = np.linalg.norm(self.start)

    def error(self, X: Any) -> float:
        """Return the relative error of ``X`` in the Frobenius norm, on the rows kept."""
        return float(np.linalg.norm((np.asarray(X)[..., self.rows, :] - self.start) - self.correction) / self.size)


def _t(A: np.ndarray) -> np.ndarray:
    return np.swapaxes(A, -1, -2)
