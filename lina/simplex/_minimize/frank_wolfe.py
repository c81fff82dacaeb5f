"""Frank-Wolfe steps towards the vertex that the gradient points to: sparse, simple and sublinear."""

from lina.simplex._minimize.line import search_line
from lina.simplex._minimize.objective import Point
from lina.simplex._minimize.search import Moves, Search
from lina.simplex._minimize.sets import vertex


def frank_wolfe(search: Search, start: Point) -> Moves:
    """Yield the best points between the last one and its vertex. Frank and Wolfe, Naval Res. Logist. Q. 3 (1956) 95."""
    point, curvature = start, 0.0
    while True:
        end = vertex(search.xp, point.gradient, search.region)
        found = search_line(search, point, end - point.x, curvature=curvature, end=end)
        if found is None:
            return
        point, curvature = found
        yield point, "Frank-Wolfe"
