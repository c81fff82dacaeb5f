"""Pseudo-inverses of a batch of small full-rank matrices, each with an upper bound of its condition number.

Matrices are worked on LANES at a time, with the lane as the last axis of all scratch arrays: every inner loop
runs over contiguous lanes without a reduction, so it vectorises although floating-point sums keep their order.
"""

import math

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit, read_only

LANES = 64

# Below this many floating-point operations a second thread costs more than it saves (about 200 us of work).
_FLOPS_WORTH_A_THREAD = 1_000_000


def pinv_small(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, condition) of ``A`` (b, m, n), m >= n >= 1: X (b, n, m) and condition (b,), real.

    ``condition`` is norm(A, "fro") * norm(X, "fro"), at least the 2-norm condition number up to rounding, and
    infinite where a matrix has no full rank, is not finite, or X overflows; there X is meaningless. Modified
    Gram-Schmidt is run twice, which is as good as Householder while condition * eps is small.
    Cost 5 m n^2 flops a matrix.
    """
    batch, m, n = A.shape
    A = read_only(A)
    X = np.empty((batch, n, m), dtype=A.dtype)
    condition = np.empty(batch, dtype=A.real.dtype)
    smallest = _FLOPS_WORTH_A_THREAD // (5 * m * n * n) + 1
    # whole groups of lanes per thread: a matrix meets the same arithmetic for any number of threads
    groups = -(-batch // LANES)

    def task(start: int, stop: int) -> None:
        _pinv_rows(A, X, condition, start * LANES, min(stop * LANES, batch))

    run_rows(task, groups, smallest=-(-smallest // LANES))
    return X, condition


@njit
def _pinv_rows(A, X, condition, start, stop):
    _, m, n = A.shape
    Q = np.zeros((m, n, LANES), dtype=A.dtype)
    R = np.zeros((n, n, LANES), dtype=A.dtype)
    Y = np.zeros((n, m, LANES), dtype=A.dtype)
    row = np.zeros((n, LANES), dtype=A.dtype)
    inverse = np.zeros(LANES, dtype=A.real.dtype)
    scale = np.zeros(LANES, dtype=A.real.dtype)
    norm = np.zeros(LANES, dtype=A.real.dtype)
    for first in range(start, stop, LANES):
        count = min(LANES, stop - first)
        _load(A, first, count, scale, Q)
        _frobenius(Q, norm)
        R[:] = 0
        for i in range(n):
            R[i, i] = 1
        _gram_schmidt(Q, R, row, inverse)
        _gram_schmidt(Q, R, row, inverse)
        _back_substitute(Q, R, Y)
        _store(Y, first, count, scale, norm, X, condition)


@njit
def _load(A, first, count, scale, Q):
    """Bring ``count`` matrices into the lanes, each scaled by a power of two so that squares keep in range."""
    for lane in range(count):
        source = A[first + lane]
        scale[lane] = _power_of_two_scale(source)
        for i in range(Q.shape[0]):
            for j in range(Q.shape[1]):
                Q[i, j, lane] = source[i, j] * scale[lane]


@njit
def _power_of_two_scale(A):
    """Return the power of two that brings the largest entry near 1, and NaN if there is none."""
    largest = A.real.dtype.type(0.0)
    total = A.real.dtype.type(0.0)
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            size = abs(A[i, j].real) + abs(A[i, j].imag)
            total += 0.0 * size  # stays 0 unless an entry is NaN or infinite
            largest = max(largest, size)
    if largest == 0.0 or total != 0.0:
        return A.real.dtype.type(np.nan)
    exponent = (
        min(max(-math.frexp(largest)[1], -120), 120)
        if A.real.itemsize == 4
        else (min(max(-math.frexp(largest)[1], -1020), 1020))
    )
    return A.real.dtype.type(math.ldexp(1.0, exponent))


@njit
def _frobenius(Q, norm):
    norm[:] = 0
    for i in range(Q.shape[0]):
        for j in range(Q.shape[1]):
            for lane in range(LANES):
                norm[lane] += Q[i, j, lane].real * Q[i, j, lane].real + Q[i, j, lane].imag * Q[i, j, lane].imag
    for lane in range(LANES):
        norm[lane] = math.sqrt(norm[lane])


@njit
def _gram_schmidt(Q, R, row, inverse):
    """Orthonormalise the columns of Q in place and multiply R from the left by the triangle that was taken out."""
    m, n, _ = Q.shape
    for k in range(n):
        row[k:] = 0
        for j in range(k, n):
            for i in range(m):
                for lane in range(LANES):
                    row[j, lane] += np.conj(Q[i, k, lane]) * Q[i, j, lane]
        for lane in range(LANES):
            row[k, lane] = math.sqrt(row[k, lane].real)
            inverse[lane] = 1.0 / row[k, lane].real
        for j in range(k + 1, n):
            for lane in range(LANES):
                row[j, lane] *= inverse[lane]
        for i in range(m):
            for lane in range(LANES):
                Q[i, k, lane] *= inverse[lane]
        for j in range(k + 1, n):
            for i in range(m):
                for lane in range(LANES):
                    Q[i, j, lane] -= row[j, lane] * Q[i, k, lane]
        # row k of (new triangle) @ R: rows below k of R are still the old ones
        for j in range(k, n):
            for lane in range(LANES):
                R[k, j, lane] *= row[k, lane]
        for i in range(k + 1, n):
            for j in range(i, n):
                for lane in range(LANES):
                    R[k, j, lane] += row[i, lane] * R[i, j, lane]


@njit
def _back_substitute(Q, R, Y):
    """Solve R Y = Q^H for Y by rows, from the last to the first."""
    m, n, _ = Q.shape
    for k in range(n - 1, -1, -1):
        for i in range(m):
            for lane in range(LANES):
                Y[k, i, lane] = np.conj(Q[i, k, lane])
        for j in range(k + 1, n):
            for i in range(m):
                for lane in range(LANES):
                    Y[k, i, lane] -= R[k, j, lane] * Y[j, i, lane]
        for i in range(m):
            for lane in range(LANES):
                Y[k, i, lane] /= R[k, k, lane]


@njit
def _store(Y, first, count, scale, norm, X, condition):
    """Write the lanes back, and norm(A) * norm(X), infinite where the lane broke down."""
    size = np.zeros_like(norm)
    _frobenius(Y, size)
    for lane in range(count):
        value = norm[lane] * size[lane]
        whole = np.isfinite(value) and np.isfinite(size[lane] * scale[lane])
        condition[first + lane] = value if whole else np.inf
        for i in range(Y.shape[0]):
            for j in range(Y.shape[1]):
                X[first + lane, i, j] = Y[i, j, lane] * scale[lane]
