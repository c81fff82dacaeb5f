"""The sets, over the last axis: entries from 0 to ``upper`` of sum ``radius``; rows are a product of such sets."""

from typing import Any

import numpy as np

from lina._core.array import is_lazy
from lina.simplex._minimize.progress import Region
from lina.simplex._project_capped_simplex import project_capped_simplex
from lina.simplex._project_kl import kl_project
from lina.simplex._project_simplex import project_simplex


def project(x: Any, region: Region) -> Any:
    """Return the nearest point of the set."""
    if region.upper is None:
        return project_simplex(x, region.radius)
    return project_capped_simplex(x, upper=region.upper, total=region.radius)


def fitted(xp: Any, x: Any, region: Region) -> Any:
    """Return a start that misses the set by little, in it; zeros stay zero where the rest can make up for the sum."""
    total = xp.sum(xp.abs(x), axis=-1, keepdims=True)
    if region.set == "l1_ball":
        return x * (region.radius / xp.where(total > region.radius, total, region.radius))
    x = x * (region.radius / total)
    if region.upper is None:
        return x
    upper = xp.astype(region.upper, x.dtype)
    x = xp.where(x < upper, x, upper)
    missing = region.radius - xp.sum(x, axis=-1, keepdims=True)
    room = xp.where(x > 0, upper - x, 0.0)
    room = xp.where(xp.sum(room, axis=-1, keepdims=True) >= missing, room, upper - x)
    whole = xp.sum(room, axis=-1, keepdims=True)
    x = x + xp.where(missing > 0, missing, 0.0) * room / xp.where(whole > 0, whole, 1.0)
    return xp.where(x < upper, x, upper)


def from_logits(xp: Any, logits: Any, region: Region) -> Any:
    """Return the point of the set that is nearest to exp(logits) in divergence."""
    weights = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    return kl_project(weights, region.radius, upper=region.upper)


def vertex(xp: Any, gradient: Any, region: Region) -> Any:
    """Return the point of the set that minimises the product with the gradient: its cheapest entries, filled."""
    if region.upper is None:
        return region.radius * one_hot(xp, xp.argmin(gradient, axis=-1), gradient)
    order = xp.argsort(gradient, axis=-1, stable=True)
    bounds = xp.take_along_axis(xp.broadcast_to(region.upper, gradient.shape), order, axis=-1)
    before = xp.cumulative_sum(bounds, axis=-1) - bounds
    filled = xp.clip(region.radius - before, min=0.0)
    filled = xp.where(filled < bounds, filled, bounds)
    return xp.take_along_axis(filled, xp.argsort(order, axis=-1), axis=-1)


def one_hot(xp: Any, index: Any, like: Any) -> Any:
    """Return an array like ``like`` with 1 at ``index`` of the last axis and 0 elsewhere."""
    places = xp.arange(like.shape[-1], device=None if is_lazy(like) else like.device)
    return xp.astype(xp.expand_dims(index, axis=-1) == places, like.dtype)


def centre(xp: Any, like: Any, region: Region) -> Any:
    """Return the point of equal entries, or with upper bounds that of entries proportional to them."""
    if region.upper is None:
        return xp.full_like(like, region.radius / like.shape[-1])
    return xp.broadcast_to(region.upper * (region.radius / float(xp.sum(region.upper))), like.shape) + 0 * like


def longest(xp: Any, x: Any, direction: Any, upper: Any) -> tuple[float, Any]:
    """Return the longest step along ``direction`` inside the bounds, and where a bound is then met."""
    with np.errstate(divide="ignore", invalid="ignore"):
        room = xp.where(direction < 0, x / -xp.where(direction < 0, direction, -1.0), xp.inf)
        if upper is not None:
            above = (upper - x) / xp.where(direction > 0, direction, 1.0)
            room = xp.where(direction > 0, above, room)
    step = float(xp.min(room))
    return step, room <= step
