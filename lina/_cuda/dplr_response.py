"""Responses of diagonal plus low rank systems on the GPU: the launch of dplr_response.cu."""

from typing import Any

import numpy as np

from lina._cuda.load import load

_TILE = 32
_THREADS = 128
_MAX_ROWS = 65535  # of a grid; blocks go on with the rows beyond


def supports(rank: int) -> bool:
    """Whether the kernel takes a low rank of this many terms."""
    return 0 <= rank <= 2


def dplr_response(w: Any, left: Any, right: Any, p: Any, q: Any) -> Any:
    """Return C (p - q A)^-1 B (rows, K) for w (rows, n), as `lina._numba.dplr_response` does: all complex128.

    cupy arrays, but for the points p and q, which are numpy's. One launch on the current stream.
    """
    import cupy as cp

    rows, n = w.shape
    arrays = [cp.ascontiguousarray(x) for x in (w, left, right)] + [cp.asarray(x) for x in (p, q)]
    G = cp.empty((rows, p.size), dtype=w.dtype)
    if rows > 0:
        size = left.shape[1]
        grid = (-(-p.size // _THREADS), min(rows, _MAX_ROWS))
        numbers = [np.int32(value) for value in (rows, n, p.size, size)]
        shared = 8 * ((2 + 2 * size) * _TILE + 2 * size**2 * _THREADS)
        load("dplr_response", "float64")(grid, (_THREADS,), (*arrays, G, *numbers), shared_mem=shared)
    return G
