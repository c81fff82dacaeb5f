"""Pairwise steps: mass goes from the dearest coordinate that has some to the cheapest that can take it.

The entries of x are the active set themselves, so there are no weights of vertices to keep, and a coordinate that gives
all its mass is exactly 0.
"""

from lina.simplex._minimize.away import busiest
from lina.simplex._minimize.line import search_line
from lina.simplex._minimize.objective import Point
from lina.simplex._minimize.search import Moves, Search
from lina.simplex._minimize.sets import one_hot


def pairwise(search: Search, start: Point) -> Moves:
    """Yield points after exchanges in the row that promises most. Lacoste-Julien and Jaggi, NIPS (2015)."""
    xp, upper = search.xp, search.region.upper
    point, curvature = start, 0.0
    while True:
        x, g = point.x, point.gradient
        cheap = g if upper is None else xp.where(x < upper, g, xp.inf)
        dear = xp.where(x > 0, g, -xp.inf)
        row = busiest(xp, xp.max(dear, axis=-1) - xp.min(cheap, axis=-1))[..., None]
        to = row & (one_hot(xp, xp.argmin(cheap, axis=-1), g) > 0)
        source = row & (one_hot(xp, xp.argmax(dear, axis=-1), g) > 0)
        direction = xp.astype(to, x.dtype) - xp.astype(source, x.dtype)
        mass = float(xp.sum(xp.where(source, x, 0.0)))
        room = mass if upper is None else float(xp.sum(xp.where(to, upper - x, 0.0)))
        most = min(mass, room)
        if not most > 0 or bool(xp.any(to & source)):
            return
        end = x + most * direction
        end = xp.where(source & (mass <= room), 0.0, end)
        if upper is not None:
            end = xp.where(to & (room <= mass), upper, end)
        found = search_line(search, point, direction, most=most, curvature=curvature, end=end)
        if found is None:
            return
        point, curvature = found
        yield point, "pairwise"
