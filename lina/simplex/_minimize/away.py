"""Away steps: from the worst vertex that x uses, where that promises more than a step to the best one."""

from typing import Any

from lina.simplex._minimize.line import Line, search_line
from lina.simplex._minimize.objective import Point
from lina.simplex._minimize.search import Moves, Search
from lina.simplex._minimize.sets import one_hot


def away(search: Search, start: Point) -> Moves:
    """Yield points after steps to or from a vertex of the row with the largest gap; x itself is the active set.

    Guelat and Marcotte, Math. Program. 35 (1986) 110; linear convergence: Lacoste-Julien and Jaggi, NIPS (2015).
    """
    point, curvature = start, 0.0
    while True:
        step = _step(search, point, curvature)
        if step is None:
            return
        point, curvature = step
        yield point, "away"


def _step(search: Search, point: Point, curvature: float) -> Line | None:
    xp, x, g, radius = search.xp, point.x, point.gradient, search.region.radius
    best, worst = ends(search, point)
    inner = xp.sum(x * g, axis=-1) / radius
    to_best = inner - xp.min(g, axis=-1)
    from_worst = xp.max(xp.where(x > 0, g, -xp.inf), axis=-1) - inner
    row = busiest(xp, xp.where(to_best > from_worst, to_best, from_worst))
    share = xp.sum(worst * x, axis=-1, keepdims=True) / radius
    if bool(xp.any(row & (to_best >= from_worst))) or bool(xp.all(xp.where(row[..., None], share, 1.0) == 1)):
        direction, most = radius * best - x, 1.0
        end = xp.where(row[..., None], radius * best, x)
    else:
        direction = x - radius * worst
        taken = float(xp.sum(xp.where(row[..., None], share, 0.0)))
        most = taken / (1 - taken)
        end = xp.where(row[..., None] & (worst > 0), 0.0, x + most * xp.where(row[..., None], direction, 0.0))
    direction = xp.where(row[..., None], direction, 0.0)
    return search_line(search, point, direction, most=most, curvature=curvature, end=end)


def ends(search: Search, point: Point) -> tuple[Any, Any]:
    """Return one-hot arrays of the cheapest coordinate of each row, and of the dearest that has mass."""
    xp, g = search.xp, point.gradient
    dear = xp.where(point.x > 0, g, -xp.inf)
    return one_hot(xp, xp.argmin(g, axis=-1), g), one_hot(xp, xp.argmax(dear, axis=-1), g)


def busiest(xp: Any, promise: Any) -> Any:
    """Return True at the one row of the largest promise."""
    flat = xp.reshape(promise, (-1,))
    rows = xp.arange(flat.shape[0], device=flat.device)
    return xp.reshape(rows == xp.argmax(flat), promise.shape)
