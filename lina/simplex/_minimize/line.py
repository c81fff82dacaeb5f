"""A line search by slopes, which keep their digits where values have lost them."""

import math
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import epsilon
from lina.simplex._minimize.objective import NotFiniteError, Point
from lina.simplex._minimize.search import Search

# Slopes within this share of the first one end the search: regula falsi meets it in two evaluations on a quadratic.
_FLAT = 0.1

_TRIALS = 40


class Line(NamedTuple):
    """The end of a line search: the point, and the mean curvature per squared length on the way there."""

    point: Point
    curvature: float


def search_line(
    search: Search, point: Point, direction: Any, *, most: float = 1.0, curvature: float = 0.0, end: Any = None
) -> Line | None:
    """Return a point along ``direction`` that is lower and where the slope is nearly flat, or that at ``most``.

    ``curvature`` tells where to look first. ``end`` is the point at ``most``, exact where rounding would leave a trace.
    None if every trial is higher, which is rounding if the direction descends; `NotFiniteError` if none is finite.
    """
    slope = _slope(search, point, direction)
    if not slope < 0:
        return None
    noise = 8 * epsilon(point.x) * abs(point.value)
    low, low_slope, high, high_slope = 0.0, slope, math.inf, math.inf
    square = search.dot(direction, direction)
    length = min(-slope / (curvature * square), most) if curvature * square > 0 else most
    best: Line | None = None
    best_slope, is_finite = math.inf, False
    for _ in range(_TRIALS):
        trial = search.objective(_along(search, point.x, direction, length, most, end))
        is_finite = is_finite or trial is not None
        if trial is not None:
            search.compare(point, trial)
        here = math.inf if trial is None else _slope(search, trial, direction)
        is_lower = trial is not None and (
            trial.value <= point.value + noise or (search.progress.convex is True and here <= -_FLAT * slope)
        )
        if trial is not None and is_lower and abs(here) < best_slope:
            best, best_slope = Line(trial, (here - slope) / (length * square)), abs(here)
            if best_slope <= -_FLAT * slope or (here < 0 and length == most):
                return best
        if is_lower and here < 0:
            low, low_slope = length, here
        else:
            high, high_slope = length, here if here > 0 else math.inf
        if high - low <= 1e-3 * low or high <= 1e-18 * most:
            break
        length = _next(low, low_slope, high, high_slope, slope, most)
    if not is_finite:
        raise NotFiniteError
    return best


def _slope(search: Search, point: Point, direction: Any) -> float:
    """Return the slope along a direction whose entries sum to 0 over the last axis: what all have in common is none."""
    g = point.gradient
    return search.dot(g - search.xp.min(g, axis=-1, keepdims=True), direction)


def _along(search: Search, x: Any, direction: Any, length: float, most: float, end: Any) -> Any:
    if length == most and end is not None:
        return end
    moved = x + length * direction
    return search.xp.where(moved > 0, moved, 0.0)


def _next(low: float, low_slope: float, high: float, high_slope: float, slope: float, most: float) -> float:
    """Return the next length: where a parabola is flat, inside of the bracket where there is one."""
    if high == math.inf:
        flat = low * slope / (slope - low_slope) if low_slope > slope else math.inf
        return float(np.clip(flat, 1.5 * low, min(10 * low, most))) if 1.5 * low < most else most
    width = high - low
    if high_slope == math.inf:
        return low + 0.25 * width
    return low + width * float(np.clip(low_slope / (low_slope - high_slope), 0.05, 0.95))
