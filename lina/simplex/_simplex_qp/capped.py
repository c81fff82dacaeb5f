"""One quadratic with upper bounds: gradients and Newton steps along faces, then the barrier where these crawl."""

from dataclasses import replace
from itertools import islice
from typing import Any

import array_api_compat.numpy as numpy_namespace
import numpy as np

from lina._core.array import dtype_name
from lina._core.certificates import Status
from lina.simplex._minimize.auto import auto
from lina.simplex._minimize.face import face
from lina.simplex._minimize.objective import ContradictionError, NotFiniteError, Objective, Point
from lina.simplex._minimize.progress import Progress
from lina.simplex._minimize.search import Moves, Search
from lina.simplex._minimize.sets import centre
from lina.simplex._result import SimplexResult
from lina.simplex._simplex_qp.capped_active_set import capped_active_set
from lina.simplex._simplex_qp.capped_interior_point import capped_interior_point
from lina.simplex._simplex_qp.finish import moved, support_of
from lina.simplex._simplex_qp.hybrid import EPS, rounding
from lina.simplex._simplex_qp.quadratic import Dense, Factored

# Steps of the cheap methods before the barrier, and along a face after it.
_FIRST = 60

# Newton steps along the face of an interior point that is good enough.
_POLISH = 3

# Up to this size a dozen factors of the barrier cost less than the steps of the cheap methods.
_SMALL = 300


def solve_capped(q: Dense | Factored, start: np.ndarray | None, progress: Progress, like: Any) -> SimplexResult:
    """Return the minimiser over the capped simplex of ``progress.region``, certified as it is returned."""
    region = progress.region
    function = _Quadratic(q)
    search = Search(numpy_namespace, Objective(numpy_namespace, function), region, progress)
    x = centre(numpy_namespace, np.zeros_like(q.c), region) if start is None else start
    first, kinds = search.objective.start(x), []
    try:
        over = search.visit(first, "start", steps=0)
        for point, kind in () if over else _moves(search, q, first):
            kinds += [kind] if kind not in kinds else []
            if search.visit(point, kind):
                break
    except (ContradictionError, NotFiniteError):  # of a quadratic: the values have lost their digits
        pass
    progress.status = progress.status or Status.ROUNDING
    if kinds[-1:] == ["interior point"] and progress.status is Status.CONVERGED:
        kinds += _polish(search, q)
    assert progress.best is not None
    x = _in_dtype_of(like, progress.best.x, region.upper)
    value, g = function.value(x), function.gradient(x)
    progress.replace(x, value, g, rounding=_rounding(q, x, g, region.radius, region.upper))
    result = progress.result(" + ".join(kinds) or "start", q.products)
    x = moved(result.x, like)
    return replace(result, x=x, reduced_costs=moved(result.reduced_costs, like), support=support_of(x))


def _moves(search: Search, q: Dense | Factored, start: Point) -> Moves:
    """Yield points of the cheap methods, and where F is convex of the barrier, then along the face that it tells."""
    radius, upper = search.region.radius, search.region.upper
    if not (search.progress.convex and np.all(upper > 0) and float(np.sum(upper)) > radius * (1 + 1e-9)):
        yield from auto(search, start)
        return
    if upper.size > _SMALL:
        yield from islice(auto(search, start), _FIRST)
    point = start
    for x in capped_interior_point(q, radius, upper):
        point = search.objective.start(x)
        yield point, "interior point"
    yield from _on_bounds(search, q, point, _FIRST)


def _on_bounds(search: Search, q: Dense | Factored, point: Point, most: int) -> Moves:
    """Yield points near one of the interior whose entries are exactly on the bounds that it tells."""
    point = search.objective.start(_on_face(search, point))
    yield point, "truncation"
    x = capped_active_set(q, point.x, search.region.radius, search.region.upper)
    if x is not None:
        yield search.objective.start(x), "active set"
    else:
        yield from islice(face(search, point), most)


def _polish(search: Search, q: Dense | Factored) -> list[str]:
    """Offer points with entries exactly on their bounds in place of the best one, of the interior."""
    best, kinds = search.progress.best, []
    assert best is not None
    start = Point(best.x, best.value, best.gradient, best.gradient)
    for point, kind in _on_bounds(search, q, start, _POLISH):
        if search.progress.offer(point.x, point.value, point.given, kind, rounding=best.rounding):
            kinds = [kind]
    return kinds


def _on_face(search: Search, point: Point) -> np.ndarray:
    """Return the point with those entries on a bound that are nearer to it than their reduced cost is to zero."""
    upper, costs = search.region.upper, search.progress.measure(point.x, point.value, point.given).parts.reduced_costs
    room = np.minimum(point.x, upper - point.x)
    free = room * np.max(np.abs(costs)) >= np.abs(costs) * np.max(room)
    x = np.where(free, point.x, np.where(costs > 0, 0.0, upper))
    missing = search.region.radius - float(np.sum(x))
    return np.clip(x + missing * np.where(free, room, 0.0) / float(np.sum(room[free])), 0.0, upper)


class _Quadratic:
    """x.Q x / 2 + c.x as `Objective` wants it; the last product serves value and gradient."""

    def __init__(self, q: Dense | Factored) -> None:
        self.q, self.x, self.product = q, np.empty(0), np.empty(0)

    def value(self, x: np.ndarray) -> float:
        return float(x @ (0.5 * self._product(x) + self.q.c))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        return self._product(x) + self.q.c

    def hessian_product(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:  # noqa: ARG002  # the same everywhere
        return self.q.product(v)

    def _product(self, x: np.ndarray) -> np.ndarray:
        if x is not self.x:
            self.x, self.product = x, self.q.product(x)
        return self.product


def _rounding(q: Dense | Factored, x: np.ndarray, g: np.ndarray, radius: float, upper: np.ndarray) -> float:
    """Return a bound of the rounding in the gap: each entry of g errs on its own scale, in x and in the best point."""
    error = 4 * EPS * (q.sizes(x) + np.abs(q.c) + np.abs(g))
    best = min(float(upper @ error), radius * float(np.max(error)))
    return min(float(x @ error) + best, float(rounding(q.diagonal, q.c, g, radius)))


def _in_dtype_of(like: Any, x: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return ``x`` with entries of the precision of ``like`` and none above its bound; the gap pays for their sum."""
    if dtype_name(like) != "float32":
        return np.minimum(x, upper)
    single = x.astype(np.float32)
    return np.where(single > upper, np.nextafter(single, np.float32(0)), single).astype(np.float64)
