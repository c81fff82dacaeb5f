"""The scan of LegS over time on the GPU: the launch of legs_scan.cu."""

from typing import Any

import numpy as np

from lina._cuda.load import REAL_NAMES, load

_MAX_SHARED = 48 * 1024  # bytes that every device gives a block without being asked
_WARPS = 4
_METHODS = {"logbilinear": 0, "bilinear": 1, "backward": 2}


def supports(N: int, dtype: Any) -> bool:
    """Whether the kernel takes N coefficients of this dtype."""
    kind = np.dtype(dtype)
    real = {"complex64": "float32", "complex128": "float64"}.get(kind.name, kind.name)
    return real in REAL_NAMES and 2 * N * np.dtype(real).itemsize <= _MAX_SHARED


def legs_scan(u: Any, x: Any, k0: int, method: str, return_all: bool) -> Any:
    """Return the states (c, N) after the samples u (c, L), or all of them (c, L, N), from x (c, N) at step k0.

    cupy arrays of one dtype, L at least 1, k0 + L below 2**31; the paper's scaling. One warp per channel on the current
    stream; single precision keeps each state as a sum of two numbers, so that a million steps lose nothing.
    """
    import cupy as cp

    if u.dtype.kind == "c":
        parts = legs_scan(_parts(cp, u), _parts(cp, x), k0, method, return_all)
        half = u.shape[0]
        out = cp.empty((half, *parts.shape[1:]), dtype=u.dtype)
        out.real[...], out.imag[...] = parts[:half], parts[half:]
        return out
    channels, L = u.shape
    N = x.shape[1]
    u, x = cp.ascontiguousarray(u), cp.ascontiguousarray(x).copy()
    states = cp.empty((channels, L, N) if return_all else (1, 1, 1), dtype=u.dtype)
    if channels > 0:
        warps = max(1, min(_WARPS, channels, _MAX_SHARED // (2 * N * u.dtype.itemsize)))
        sizes = [np.int32(value) for value in (return_all, channels, L, N, k0, _METHODS[method])]
        grid = (-(-channels // warps),)
        shared = 2 * N * u.dtype.itemsize * warps
        load("legs_scan", u.dtype.name)(grid, (32 * warps,), (u, x, states, *sizes), shared_mem=shared)
    return states if return_all else x


def _parts(cp: Any, z: Any) -> Any:
    """Return the real parts of all rows, then the imaginary ones."""
    rows, columns = z.shape
    pairs = cp.ascontiguousarray(z).view(z.real.dtype).reshape(rows, columns, 2)
    return cp.ascontiguousarray(pairs.transpose(2, 0, 1)).reshape(2 * rows, columns)
