"""Products with a Vandermonde matrix and its transpose on the GPU: the launches of the two texts."""

from typing import Any

import numpy as np

from lina._cuda.load import load

_TILE, _ITEMS = 32, 8
_THREADS = 128
_MAX_ROWS = 65535  # of a grid; blocks go on with the rows beyond


def vandermonde(c: Any, x: Any, L: int) -> Any:
    """Return 2 Re sum_n c_n exp(l x_n), (rows, L), in the precision of c (rows, n), as `lina._numba.vandermonde` does.

    cupy arrays, L below 2**31. One launch on the current stream, in double precision.
    """
    import cupy as cp

    rows, n = c.shape
    single = c.dtype == np.complex64
    out = cp.empty((rows, L), dtype=np.float32 if single else np.float64)
    if rows > 0:
        grid = (-(-L // (_THREADS * _ITEMS)), min(rows, _MAX_ROWS))
        arrays = [cp.ascontiguousarray(each.astype("complex128")) for each in (c, x)]
        numbers = [np.int32(value) for value in (rows, n, L)]
        load("vandermonde", out.dtype.name)(grid, (_THREADS,), (*arrays, out, *numbers), shared_mem=48 * _TILE)
    return out


def vandermonde_transpose(u: Any, x: Any) -> Any:
    """Return sum_l u_l exp(l x_n), (rows, k, n), complex128, from real u (rows, k, L) and complex x (rows, n).

    cupy arrays, rows k n below 2**31. One launch on the current stream, in double precision.
    """
    import cupy as cp

    rows, k, L = u.shape
    n = x.shape[1]
    out = cp.empty((rows, k, n), dtype=np.complex128)
    if rows > 0:
        arrays = [cp.ascontiguousarray(u), cp.ascontiguousarray(x.astype("complex128"))]
        numbers = [np.int32(value) for value in (k, n, L)]
        grid = (rows * k * n,)
        load("vandermonde_transpose", u.dtype.name)(
            grid, (_THREADS,), (*arrays, out, *numbers), shared_mem=16 * _THREADS
        )
    return out
