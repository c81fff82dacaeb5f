"""The target of a loss, row by row: class indices or distributions."""

import math
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import dtype_name, is_lazy, open_door
from lina._core.kernels import kernel
from lina.simplex._rows import best_int, check_axis, is_torch, open_real, places, to_rows


class Target(NamedTuple):
    """Distributions y (rows, n) of the dtype of the logits, or class indices (rows, 1) and which of them are right.

    ``counted`` (rows, 1) says which rows are not to be ignored; None: all.
    """

    y: Any
    index: Any = None
    right: Any = None
    counted: Any = None


def open_target(x: Any, target: Any, axis: Any, ignore_index: Any = None) -> tuple[Any, Any, Target, int]:
    """Return (xp, x, target, axis), the first opened, the second checked against it.

    Integers are indices, of the shape of ``x`` without ``axis``, floats distributions of the shape of ``x``. The values
    of lazy, traced and torch arrays are not looked at: where they are no target their rows become NaN.
    ``ignore_index`` is no class, or one that is not to be learned: the rows that it marks are not counted.
    """
    kind = dtype_name(target) if hasattr(target, "dtype") else dtype_name(_list(target))
    if "int" not in kind and "float" not in kind:
        raise TypeError(f"target must hold integers (classes) or floats (distributions), got {kind}")
    open_real(x=x)
    xp, x, target = open_door(x=x, target=target)
    axis = check_axis(x, axis)
    whole = "int" in kind
    if ignore_index is not None and not (whole and isinstance(ignore_index, (int, np.integer))):
        found = type(ignore_index).__name__ if whole else "a target of distributions"
        raise TypeError(f"ignore_index must be an int beside a target of integers, got {found}")
    wanted = (*x.shape[:axis], *x.shape[axis + 1 :]) if whole else tuple(x.shape)
    if tuple(target.shape) != wanted:
        what = "integers, one class for each distribution" if whole else "floats, a distribution"
        raise ValueError(f"target must have the shape {wanted} ({what}), got {tuple(target.shape)}")
    aim = _classes(xp, x, target, axis, ignore_index) if whole else _distributions(xp, x, target, axis)
    return xp, x, aim, axis


def dense(xp: Any, target: Target, rows: Any) -> Any:
    """Return the target as distributions (rows, n) of the dtype of ``rows``; NaN where it is none."""
    if target.index is None:
        return xp.astype(target.y, rows.dtype)
    return xp.where(target.right, xp.astype(places(xp, rows) == target.index, rows.dtype), math.nan)


def less_target(xp: Any, p: Any, target: Target) -> Any:
    """Return p sum(y) - y, (rows, n), in the memory of ``p`` where that is numpy's; NaN rows where there is none."""
    if target.index is None:
        y = dense(xp, target, p)
        return p * xp.sum(y, axis=-1, keepdims=True) - y
    if not isinstance(p, np.ndarray):
        return p - dense(xp, target, p)
    p[np.arange(p.shape[0]), target.index[:, 0]] -= 1
    return p


def expected(xp: Any, target: Target, values: Any) -> Any:
    """Return sum y * values of distributions y, (rows, 1), in which an infinite value counts only where y is not 0."""
    y = xp.astype(target.y, values.dtype)
    hit = (y > 0) | xp.isnan(y)
    return xp.sum(xp.where(hit, y * xp.where(hit, values, 0.0), 0.0), axis=-1, keepdims=True)


def _list(target: Any) -> Any:
    if isinstance(target, (str, bytes, dict)) or target is None:
        raise TypeError(f"target must hold integers (classes) or floats (distributions), got {type(target).__name__}")
    try:
        return np.asarray(target)
    except ValueError as reason:
        raise ValueError(f"target must be a rectangular array of numbers: {reason}") from None


def _classes(xp: Any, x: Any, index: Any, axis: int, ignore_index: Any) -> Target:
    n = x.shape[axis]
    right, counted = (index >= 0) & (index < n), None
    if ignore_index is not None:
        counted = index != ignore_index
        right = right | ~counted
    if _visible(right) and not bool(xp.all(right)):
        raise ValueError(f"target must hold classes in 0..n - 1 = 0..{n - 1}, got others too")
    index = xp.astype(xp.where(right if counted is None else right & counted, index, 0.0), best_int(xp))
    counted = None if counted is None else xp.reshape(counted, (-1, 1))
    return Target(None, xp.reshape(index, (-1, 1)), xp.reshape(right, (-1, 1)), counted)


def _distributions(xp: Any, x: Any, y: Any, axis: int) -> Target:
    own = kernel("nan_if_negative", xp)
    y = nan_if_negative(xp, y) if own is None else own(y)
    return Target(to_rows(xp, xp.astype(y, x.dtype, copy=False), axis))


def nan_if_negative(xp: Any, y: Any) -> Any:
    """Return ``y`` with NaN for negative entries, or raise ValueError where the values can be looked at."""
    wrong = y < 0
    if not _visible(wrong):
        return xp.where(wrong, math.nan, y)
    if bool(xp.any(wrong)):
        raise ValueError("target must not be negative")
    return y


def _visible(x: Any) -> bool:
    return not is_lazy(x) and not is_torch(x)
