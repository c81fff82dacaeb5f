"""Pseudo-inverses of a batch of small full-rank matrices on the GPU: the launch of pinv_small.cu."""

from typing import Any

import numpy as np

from lina._cuda.load import REAL_NAMES, load

_MAX_SHARED = 48 * 1024  # bytes that every device gives a block without being asked
_MAX_COLUMNS = 64
_MAX_THREADS = 256
# A multiprocessor has room for about 1000 threads at this share of its shared memory (164 kB on an A100).
_SHARED_PER_THREAD = 160


def supports(shape: tuple[int, ...], dtype: Any) -> bool:
    """Whether the kernel takes matrices of this shape (..., m, n), m >= n >= 1, and dtype."""
    m, n = shape[-2:]
    kind = np.dtype(dtype)
    if kind.name not in REAL_NAMES or not 1 <= n <= min(m, _MAX_COLUMNS):
        return False
    return _block(m, n, kind.itemsize)[2] <= _MAX_SHARED


def pinv_small(A: Any) -> tuple[Any, Any]:
    """Return (X, condition) of ``A`` (b, m, n), a cupy array that ``supports`` agrees to, b < 2**31.

    X (b, n, m) and condition (b,) are as from ``lina._numba.pinv_small``, up to rounding: condition is
    norm(A, "fro") * norm(X, "fro"), infinite where a matrix has no full rank or is not finite; there X is
    meaningless. One block per matrix on the current stream; the bits do not depend on the scheduling.
    """
    import cupy as cp

    batch, m, n = A.shape
    A = cp.ascontiguousarray(A)
    X = cp.empty((batch, n, m), dtype=A.dtype)
    condition = cp.empty((batch,), dtype=A.dtype)
    if batch > 0:
        columns, threads, shared = _block(m, n, A.dtype.itemsize)
        arguments = (A, X, condition, np.int32(m), np.int32(n), np.int32(columns))
        load("pinv_small", A.dtype.name)((batch,), (threads,), arguments, shared_mem=shared)
    return X, condition


def _block(m: int, n: int, itemsize: int) -> tuple[int, int, int]:
    """Return the padded number of columns, the threads of a block and its bytes of shared memory."""
    columns = _power_of_two(n)
    matrices = ((m + n) * (n | 1) + n) * itemsize
    threads = max(32, columns, min(_MAX_THREADS, _power_of_two(-(-matrices // _SHARED_PER_THREAD))))
    return columns, threads, matrices + threads * itemsize


def _power_of_two(value: int) -> int:
    """Return the smallest power of two that is at least ``value`` >= 1."""
    return 1 << (value - 1).bit_length()
