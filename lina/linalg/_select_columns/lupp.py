"""LU with partial pivoting: the rows that it would bring to the top."""

from typing import Any

import numpy as np
from array_api_compat import device
from scipy.linalg.lapack import get_lapack_funcs

from lina._core.array import dtype_name, real_dtype, scalar
from lina._core.kernels import kernel


def lu_pivots(xp: Any, W: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the first k = min(n, l) pivot rows of ``W`` (n, l), and the sizes of the pivots. Cost n l^2 flops."""
    fast = kernel("lu_pivots", xp)
    return _eliminate(xp, W) if fast is None else fast(W)


def lapack_lu_pivots(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first min(n, l) pivot rows of ``W`` (n, l), and the sizes of the pivots: the numpy kernel."""
    (getrf,) = get_lapack_funcs(("getrf",), (W,))
    lu, swaps, _ = getrf(W)
    order = np.arange(W.shape[0])
    for i, j in enumerate(swaps):
        order[[i, j]] = order[[j, i]]
    return order[: min(W.shape)], np.abs(np.diagonal(lu))


def _eliminate(xp: Any, W: Any) -> tuple[np.ndarray, np.ndarray]:
    """Eliminate without moving rows: those that were pivots are no longer free."""
    places = xp.arange(W.shape[0], device=device(W))
    free = xp.ones((W.shape[0],), dtype=real_dtype(xp, W), device=device(W))
    pivots, sizes = [], []
    for j in range(min(W.shape)):
        column = free * _size(xp, W[:, j])
        p = int(xp.argmax(column - (1 - free)))  # a row that was taken does not tie with one of zeros
        size = scalar(xp.abs(W[p, j]))
        pivots.append(p)
        sizes.append(size)
        free = xp.where(places == p, xp.zeros_like(free), free)
        if size > 0:
            W = W - (xp.astype(free, W.dtype) * W[:, j] / W[p, j])[:, None] * W[p, :][None, :]
    return np.asarray(pivots), np.asarray(sizes)


def _size(xp: Any, x: Any) -> Any:
    """Return what LAPACK compares: the sum of the sizes of real and imaginary part."""
    return xp.abs(xp.real(x)) + xp.abs(xp.imag(x)) if dtype_name(x).startswith("complex") else xp.abs(x)
