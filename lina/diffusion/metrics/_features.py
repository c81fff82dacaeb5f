"""Two sets of features as the metrics take them: real matrices with samples as rows, in double precision."""

import math
from typing import Any

from lina._core.array import check_finite, dtype_name, open_door, refuse_gradient, scalar, widened_array

BLOCK = 2**21  # entries of a block of pairs


def open_features(function: str, least: int, **features: Any) -> tuple[Any, ...]:
    """Return (xp, x, y) for two named arrays (n, d) and (m, d) of at least ``least`` rows."""
    refuse_gradient(function, **features)
    xp, x, y = open_door(min_ndim=2, **features)
    for name, found in zip(features, (x, y), strict=True):
        if found.ndim != 2 or found.shape[0] < least or found.shape[1] < 1:
            wanted = f"be a matrix of at least {least} rows, one for each sample"
            raise ValueError(f"{name} must {wanted}, got shape {tuple(found.shape)}")
        if "complex" in dtype_name(found):
            raise TypeError(f"{name} must be real, got dtype {dtype_name(found)}")
        check_finite(xp, found, name)
    if x.shape[1] != y.shape[1]:
        names = " and ".join(features)
        raise ValueError(f"{names} must have as many columns, got shapes {tuple(x.shape)} and {tuple(y.shape)}")
    return xp, widened_array(xp, x), widened_array(xp, y)


def to_unit_scale(xp: Any, x: Any, y: Any) -> tuple[Any, Any, float]:
    """Return both over the power of two that is next to their largest entry, and it: squares do not overflow then."""
    largest = max(scalar(xp.max(xp.abs(x))), scalar(xp.max(xp.abs(y))))
    if largest == 0:
        return x, y, 1.0
    half = math.ldexp(1.0, math.frexp(largest)[1] // 2)
    rest = math.ldexp(1.0, math.frexp(largest)[1] - math.frexp(largest)[1] // 2)
    return x / half / rest, y / half / rest, half * rest


def check_value(value: float, name: str) -> float:
    """Return a distance, or raise OverflowError where it is beyond double precision."""
    if not math.isfinite(value):
        raise OverflowError(f"{name} must have entries whose distance is a finite number, got {value}")
    return value


def blocks(rows: int, columns: int) -> list[slice]:
    """Return slices of rows, so that a block of pairs with all columns has a bounded size."""
    step = max(1, BLOCK // max(columns, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
