"""C (p I - q A)^-1 B for a dense A and many (p, q), through the Hessenberg form whose first axis is B.

There B is beta e_1, so that x = (p I - q H)^-1 e_1 solves the rows below the first, which are triangular in
x_1..x_{n-1} once x_n = 1, upwards from the last; the first row gives the scale (Hyman's method). A triangular solve has
a small error row by row, whatever its condition (Higham, Accuracy and Stability of Numerical Algorithms, 14.6.1). One
such solve takes 2 n^2 flops a point for a real H, in products of rows with the points of a block side by side, and no
factors are stored.
"""

from typing import Any

import numpy as np
import scipy.linalg

from lina._core.array import epsilon

# Points whose states fit into a cache together, and rows that one matrix product brings up to date.
_POINTS_BYTES = 1 << 20
_ROWS = 24
# The norm of a balanced matrix over that of the matrix from which on balancing is worth it.
_WORTH_BALANCING = 1e-4


def hessenberg_response(A: np.ndarray, B: np.ndarray, C: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return C (p I - q A)^-1 B of shape (..., m) for A (..., n, n), B and C (..., n), p and q (..., m).

    Not finite where p / q cannot be told from a pole.
    """
    batch = np.broadcast_shapes(A.shape[:-2], B.shape[:-1], C.shape[:-1], p.shape[:-1], q.shape[:-1])
    m = max(p.shape[-1], q.shape[-1])
    out = np.empty((*batch, m), dtype=np.result_type(p, q, A))
    A, B, C = (np.broadcast_to(x, (*batch, *x.shape[x.ndim - k :])) for x, k in ((A, 2), (B, 1), (C, 1)))
    p, q = (np.broadcast_to(x, (*batch, m)) for x in (p, q))
    for index in np.ndindex(*batch):
        out[index] = _one_system(A[index], B[index], C[index], p[index], q[index])
    return out


def _one_system(A: np.ndarray, B: np.ndarray, C: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    H, beta, c = controller_form(*_in_like_units(A, B, C))
    out = np.empty(p.shape, dtype=np.result_type(p, q, A))
    flat = q == 0  # there the matrix is p I
    with np.errstate(divide="ignore", invalid="ignore"):
        out[flat] = (C @ B) / p[flat]
    where = np.flatnonzero(~flat)
    s = p[where] / q[where]
    below = np.abs(np.diagonal(H, -1))
    # one step of the sweep may grow by s over an entry below the diagonal: beyond this ratio it would overflow
    steepest = 2.0**600 if s.real.dtype == np.float64 else 2.0**60
    gentle = np.abs(s) <= steepest * np.min(below, initial=np.inf)
    count = max(16, _POINTS_BYTES // (H.shape[0] * out.itemsize))
    blocks = np.array_split(np.flatnonzero(gentle), max(1, -(-int(np.sum(gentle)) // count)))
    for points in (*blocks, *np.flatnonzero(~gentle)[:, None]):
        if len(points) == 0:
            continue
        reached = np.flatnonzero(np.max(np.abs(s[points])) > steepest * below)
        size = reached[0] + 1 if len(reached) else len(H)
        part = H[:size, :size]
        numerator, denominator, largest = _sweep(part, c[:size], s[points])
        least = rounding(len(A), out) * (np.abs(s[points]) + np.linalg.norm(part)) * largest
        denominator[np.abs(denominator) <= least] = 0
        with np.errstate(divide="ignore", invalid="ignore"):
            out[where[points]] = beta * (numerator / denominator) / q[where[points]]
    return out


def _in_like_units(A: np.ndarray, B: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the system with balanced states, scaled by powers of two, where that takes many digits off the norm of A.

    Units that are far apart would drown in the rounding of the reduction. Otherwise a matrix is left as it is: the
    triangular one of LegS would lose two digits (Watkins, Electron. Trans. Numer. Anal. 23 (2006) 1).
    """
    balanced, (scale, _) = scipy.linalg.matrix_balance(A, permute=False, separate=True)
    if not np.linalg.norm(balanced) < _WORTH_BALANCING * np.linalg.norm(A):
        return A, B, C
    scale = scale.astype(A.real.dtype)
    return balanced, B / scale, C * scale


def controller_form(A: np.ndarray, B: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, Any, np.ndarray]:
    """Return (H, beta, c) with C (s I - A)^-1 B = beta c (s I - H)^-1 e_1, without what B does not reach."""
    norm = np.linalg.norm(B)
    if norm == 0:
        return A[:1, :1], 0.0, C[:1]
    phase = B[0] / abs(B[0]) if B[0] != 0 else 1.0
    v = B / norm
    v[0] += phase
    v /= np.linalg.norm(v)
    left = A - 2 * np.outer(v, v.conj() @ A)
    reflected = left - 2 * np.outer(left @ v, v.conj())
    c = C - 2 * (C @ v) * v.conj()
    H, Q = scipy.linalg.hessenberg(reflected, calc_q=True)
    below, along = np.abs(np.diagonal(H, -1)), np.abs(np.diagonal(H))
    # smaller ones are rounding of the reduction, and would only feed the growth of the sweep
    cut = np.flatnonzero(below <= np.finfo(H.dtype).eps * (along[1:] + along[:-1]) / 4)
    size = cut[0] + 1 if len(cut) else len(H)
    return H[:size, :size], -phase * norm, (c @ Q)[:size]


def rounding(n: int, like: Any) -> float:
    """Return the change of a matrix of n rows, over its norm, that its reduction and solve may amount to.

    A point that such a change makes a pole cannot be told from one: its response has no digits.
    """
    return 8 * n * epsilon(like)


def _sweep(H: np.ndarray, c: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (c x, first row of (s I - H) x, largest entry of x) for the x that solve all other rows.

    Each x has a scale of its own.
    """
    n, m = H.shape[0], len(s)
    real = H.dtype.kind == "f" and c.dtype.kind == "f"
    X = np.zeros((n, m), dtype=s.dtype)
    # a real H multiplies real and imaginary parts side by side
    flat = X.view(s.real.dtype) if real else X
    X[n - 1] = 1
    limit = 2.0**300 if s.real.dtype == np.float64 else 2.0**40
    for stop in range(n, 0, -_ROWS):
        start = max(0, stop - _ROWS)
        above = H[start:stop, stop:] @ flat[stop:]
        for i in range(stop - 1, start - 1, -1):
            known = (above[i - start] + H[i, i:stop] @ flat[i:stop]).view(s.dtype)
            row = s * X[i] - known
            if i == 0:
                return (c @ flat).view(s.dtype), row, np.max(np.abs(X), axis=0)
            X[i - 1] = row / H[i, i - 1]
            if np.max(np.abs(flat[i - 1])) > limit:
                scale = 2.0 ** -np.floor(np.log2(np.maximum(np.abs(X[i - 1]), 1)))
                X[i - 1 :] *= scale.astype(s.real.dtype)
                above *= np.repeat(scale, 2).astype(above.dtype) if real else scale.astype(above.dtype)
    raise AssertionError("unreachable")
