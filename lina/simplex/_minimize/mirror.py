"""Mirror descent in the geometry of the entropy: multiplicative steps, plain and accelerated."""

import math
from typing import Any

from lina._core.array import epsilon
from lina.simplex._minimize.objective import NotFiniteError, Point
from lina.simplex._minimize.search import Moves, Search
from lina.simplex._minimize.sets import centre, from_logits

# The share of the centre that is mixed into a start with zeros, which no multiplicative step would revive.
_REVIVE = 1e-2


def mirror(search: Search, start: Point) -> Moves:
    """Yield x exp(-g(x) / L), normalised, with the L of a backtracking search for relative smoothness.

    Beck and Teboulle, Oper. Res. Lett. 31 (2003) 167; Bauschke, Bolte and Teboulle, Math. Oper. Res. 42 (2017) 330.
    """
    point = _inside(search, start)
    logits, bound = search.xp.log(_positive(search, point.x)), _first_bound(search, point)
    while True:
        point, logits, bound = _step(search, point, logits, bound)
        yield point, "mirror"
        bound *= 0.7


def accelerated_mirror(search: Search, start: Point) -> Moves:
    """Yield mirror steps from logits that are pushed on by momentum, restarted where it points uphill or F rises.

    The momentum acts on logits instead of an average of points, in which old mass dies out like 1 / k^2 and no
    faster. A restart is a plain step, so the iteration descends as `mirror` does.
    """
    point = ahead = _inside(search, start)
    logits = pushed = search.xp.log(_positive(search, point.x))
    bound, momentum = _first_bound(search, point), 1.0
    while True:
        new, after, bound = _step(search, ahead, pushed, bound)
        yield new, "accelerated mirror"
        bound *= 0.7
        if search.dot(ahead.gradient, new.x - point.x) > 0 or new.value > point.value:
            momentum = 1.0
        growth = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        pushed = after + (momentum - 1) / growth * (after - logits)
        trial = search.objective(from_logits(search.xp, pushed, search.region)) if momentum > 1 else new
        ahead, pushed, momentum = (trial, pushed, growth) if trial is not None else (new, after, 1.0)
        point, logits = new, after


def _step(search: Search, old: Point, logits: Any, bound: float) -> tuple[Point, Any, float]:
    """Return the mirror step from ``old``, its logits, and the bound L at which F lies below its model."""
    for _ in range(100):
        after = logits - old.gradient / bound
        new = search.objective(from_logits(search.xp, after, search.region))
        if new is not None and _holds(search, old, new, bound * _divergence(search, new.x, old.x)):
            return new, _capped(search, after, new.x), bound
        if new is not None:
            search.compare(old, new)
        bound *= 2
    raise NotFiniteError


def _inside(search: Search, start: Point) -> Point:
    """Return the start, with a little of the centre where it has zeros."""
    if bool(search.xp.all(start.x > 0)):
        return start
    mixed = (1 - _REVIVE) * start.x + _REVIVE * centre(search.xp, start.x, search.region)
    return search.objective.start(mixed)


def _positive(search: Search, x: Any) -> Any:
    return search.xp.where(x > 1e-30, x, 1e-30)


def _capped(search: Search, logits: Any, x: Any) -> Any:
    """Return the logits to go on from: those of the point itself where bounds have changed it."""
    if search.region.upper is None:
        return logits - search.xp.max(logits, axis=-1, keepdims=True)
    return search.xp.log(_positive(search, x))


def _divergence(search: Search, p: Any, q: Any) -> float:
    """Return the sum of p log(p / q) - p + q, of which rounding leaves no negative value."""
    p, q = _positive(search, p), _positive(search, q)
    return max(search.dot(p, search.xp.log(p / q)) - search.dot(p - q, search.xp.ones_like(p)), 0.0)


def _holds(search: Search, old: Point, new: Point, room: float) -> bool:
    """Whether F(new) is at most its linear bound at ``old`` plus ``room``, up to rounding."""
    d = new.x - old.x
    noise = 8 * epsilon(old.x) * max(abs(old.value), abs(new.value))
    if room > 1e3 * noise:
        return new.value <= old.value + search.dot(old.gradient, d) + room + noise
    slopes = (
        8 * epsilon(old.x) * search.dot(search.xp.abs(d), search.xp.abs(old.gradient) + search.xp.abs(new.gradient))
    )
    return search.dot(new.gradient - old.gradient, d) <= 2 * room + slopes


def _first_bound(search: Search, point: Point) -> float:
    """Return an L at which the first step changes logits by about one."""
    g = point.gradient
    return max(float(search.xp.max(g) - search.xp.min(g)), 1e-300)
