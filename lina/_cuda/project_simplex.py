"""Projection of rows onto the simplex on the GPU: the launch of project_simplex.cu."""

from typing import Any

import numpy as np

from lina._cuda.load import load

_MAX_THREADS = 512
_ENTRIES_PER_THREAD = 4


def project_simplex(x: Any, radius: Any) -> Any:
    """Return the projections of the rows of ``x`` (rows, n), n < 2**31, onto the simplices of ``radius`` (rows,).

    ``x`` is a cupy array of float32 or float64. The result is that of ``lina._numba.project_simplex``, up to rounding.
    One block per row on the current stream; the bits do not depend on the scheduling.
    """
    return launch_rows("project_simplex", x, radius)


def launch_rows(name: str, x: Any, option: Any) -> Any:
    """Return the rows of ``x`` mapped by the kernel ``name``, with one ``option`` per row."""
    import cupy as cp

    rows, n = x.shape
    x, option = cp.ascontiguousarray(x), cp.ascontiguousarray(option.astype(x.dtype))
    out = cp.empty((rows, n), dtype=x.dtype)
    if rows > 0:
        threads = _threads(n)
        load(name, x.dtype.name)((rows,), (threads,), (x, option, out, np.int32(n)), shared_mem=32 * 8)
    return out


def _threads(n: int) -> int:
    """Return a power of two of at least 32 threads, a few entries each as long as they do not become too many."""
    wanted = -(-n // _ENTRIES_PER_THREAD)
    return max(32, min(_MAX_THREADS, 1 << (wanted - 1).bit_length()))
