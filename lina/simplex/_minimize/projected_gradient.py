"""Accelerated projected gradient with backtracking, restarted where the momentum points uphill."""

import math
from typing import Any

from lina._core.array import epsilon
from lina.simplex._minimize.objective import NotFiniteError, Point
from lina.simplex._minimize.search import Moves, Search
from lina.simplex._minimize.sets import project


def projected_gradient(search: Search, start: Point) -> Moves:
    """Yield the points p = P(y - g(y) / L), y being the last p pushed on by momentum and projected again.

    All points lie in the set, because F may be defined there only. Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009)
    183; the restart is the gradient scheme of O'Donoghue and Candes, Found. Comput. Math. 15 (2015) 715.
    """
    point = y = start
    bound, momentum = _first_bound(search, start), 1.0
    while True:
        new, bound = gradient_step(search, y, bound)
        yield new, "projected gradient"
        if search.dot(y.x - new.x, new.x - point.x) > 0 or new.value > point.value:
            momentum = 1.0
        after = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        pushed = new.x + (momentum - 1) / after * (new.x - point.x)
        ahead = new if momentum == 1.0 else search.objective(project(pushed, search.region))
        y, momentum = (ahead, after) if ahead is not None else (new, 1.0)
        point, bound = new, 0.9 * bound


def gradient_step(search: Search, y: Point, bound: float) -> tuple[Point, float]:
    """Return the projected step from ``y`` at the first bound L, of those that double, that holds along it."""
    for _ in range(100):
        new = search.objective(project(y.x - y.gradient / bound, search.region))
        if new is not None and _holds(search, y, new, bound):
            return new, bound
        if new is not None:
            search.compare(y, new)
        bound *= 2
    raise NotFiniteError


def _holds(search: Search, y: Point, new: Point, bound: float) -> bool:
    """Whether F lies below its quadratic bound at ``new``, told by values, or by slopes where these are rounding."""
    d = new.x - y.x
    room = 0.5 * bound * search.dot(d, d)
    noise = 8 * epsilon(y.x) * max(abs(y.value), abs(new.value))
    if room > 1e3 * noise:
        return new.value <= y.value + search.dot(y.gradient, d) + room + noise
    slopes = 8 * epsilon(y.x) * search.dot(search.xp.abs(d), search.xp.abs(y.gradient) + search.xp.abs(new.gradient))
    return search.dot(new.gradient - y.gradient, d) <= 2 * room + slopes


def _first_bound(search: Search, start: Point) -> float:
    """Return the curvature along a first step that is not much longer than what this curvature allows.

    The first try has the length of the set, and may end where the curvature has nothing to do with that at the start.
    """
    g: Any = start.gradient
    size, length = math.sqrt(search.dot(g, g)), search.region.radius
    if size == 0.0:
        return 1.0
    for _ in range(50):
        new = search.objective(project(start.x - (length / size) * g, search.region))
        square = 0.0 if new is None else search.dot(new.x - start.x, new.x - start.x)
        if new is not None and square == 0.0:
            break
        bound = math.inf if new is None else abs(search.dot(new.gradient - g, new.x - start.x)) / square
        if 16 * size >= bound * length:
            return max(bound, 1e-6 * size / search.region.radius)
        length = max(size / bound, 1e-2 * length)
    return size / length
