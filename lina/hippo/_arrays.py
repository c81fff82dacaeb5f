"""Moves between the caller's arrays and those that the algorithms of the room work on."""

import math
from typing import Any

import numpy as np

from lina._core.array import check_finite, epsilon, is_lazy, open_door, where_is
from lina.hippo._measures import scale_factors


def open_finite(*, min_ndim: int = 1, **arrays: Any) -> tuple[Any, ...]:
    """Return (xp, array, ...) as `open_door` does, of finite entries and one dtype."""
    xp, *opened = open_door(min_ndim=min_ndim, **arrays)
    common = xp.result_type(*opened)
    opened = [xp.astype(x, common, copy=False) for x in opened]
    for name, x in zip(arrays, opened, strict=True):
        check_finite(xp, x, name)
    return (xp, *opened)


def open_memory(u: Any, x0: Any, N: int) -> tuple[Any, Any, Any]:
    """Return (xp, u, x): a signal (..., L) and a memory (..., N) of one dtype and one batch, zeros where x0 is None."""
    if x0 is None:
        xp, u = open_finite(u=u)
        return xp, u, xp.zeros((*u.shape[:-1], N), dtype=u.dtype, device=where_is(u))
    xp, u, x0 = open_finite(u=u, x0=x0)
    check_last_axis(x0, N, "x0")
    try:
        batch = np.broadcast_shapes(u.shape[:-1], x0.shape[:-1])
    except ValueError:
        found = f"{tuple(u.shape)} and {tuple(x0.shape)}"
        raise ValueError(f"u and x0 must have batches that broadcast, got shapes {found}") from None
    return xp, xp.broadcast_to(u, (*batch, u.shape[-1])), xp.broadcast_to(x0, (*batch, N))


def constant(xp: Any, values: np.ndarray, like: Any) -> Any:
    """Return real numbers that no input enters, in the precision and on the device of ``like``."""
    name = "float64" if epsilon(like) == 2.0**-52 else "float32"
    return xp.asarray(np.asarray(values, dtype=name, order="C"), device=where_is(like))


def matrix(xp: Any, values: np.ndarray, like: Any) -> Any:
    """Return real numbers as `constant` does, in the dtype of ``like``: some libraries multiply only equal dtypes."""
    return xp.astype(constant(xp, values, like), like.dtype, copy=False)


def check_overflow(xp: Any, x: Any, name: str) -> Any:
    """Return a result that is finite for finite input, or raise OverflowError that names the input."""
    if not is_lazy(x) and not bool(xp.all(xp.isfinite(x))):
        raise OverflowError(f"{name} must be small enough for its states to be finite, found entries that overflow")
    return x


def scaled(xp: Any, x: Any, measure: str, scaling: str) -> Any:
    """Return coefficients of the paper's scaling in another one."""
    return x if scaling == "paper" else x * constant(xp, scale_factors(measure, x.shape[-1], scaling), x)


def unscaled(xp: Any, x: Any, measure: str, scaling: str) -> Any:
    """Return coefficients of any scaling in the paper's."""
    return x if scaling == "paper" else x / constant(xp, scale_factors(measure, x.shape[-1], scaling), x)


def check_last_axis(x: Any, N: int, name: str) -> None:
    """Raise ValueError unless the last axis of ``x`` has length N."""
    if x.shape[-1] != N:
        raise ValueError(f"{name} must have N = {N} entries on its last axis, got shape {tuple(x.shape)}")


def rows_of(x: Any) -> int:
    """Return the number of rows along the last axis."""
    return math.prod(x.shape[:-1])
