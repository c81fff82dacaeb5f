"""The choice of a method, and the change to another where the gap stalls."""

from collections.abc import Callable

from lina.simplex._minimize.away import away
from lina.simplex._minimize.face import face
from lina.simplex._minimize.frank_wolfe import frank_wolfe
from lina.simplex._minimize.interior_point import interior_point
from lina.simplex._minimize.mirror import accelerated_mirror, mirror
from lina.simplex._minimize.newton import newton
from lina.simplex._minimize.objective import NotFiniteError, Point
from lina.simplex._minimize.pairwise import pairwise
from lina.simplex._minimize.projected_gradient import projected_gradient
from lina.simplex._minimize.search import Moves, Search

# Steps of projected gradients that tell the support well enough to try second derivatives.
_FIRST = 20

# Newton steps that may go by without the gap at a half: it does not fall monotonically.
_LATE = 3

# Second derivatives cost a product for every entry of the support, and a factor of its size.
_SUPPORT = 400


def auto(search: Search, start: Point) -> Moves:
    """Yield projected gradients, and second derivatives on their support as soon as it is small enough.

    One simplex gets Newton's method; rows and bounds get Newton steps along their face. These go on while the
    gap comes to a half every few steps; then projected gradients again, twice as many each time.
    """
    begun, count = start, _FIRST
    second = newton if start.x.ndim == 1 and search.region.upper is None else face
    while True:
        point = begun
        for move in _first(projected_gradient(search, begun), count):
            yield move
            point = move[0]
        if int(search.xp.count_nonzero(point.x)) <= _SUPPORT:
            mark, late = search.gap(point), 0
            for move in _second(second, search, point):
                yield move
                point = move[0]
                gap = search.gap(point)
                mark, late = (gap, 0) if gap <= 0.5 * mark else (mark, late + 1)
                if late == _LATE:
                    break
        if bool(search.xp.all(begun.x == point.x)):
            return
        begun, count = point, 2 * count


def _first(moves: Moves, count: int) -> Moves:
    for _, move in zip(range(count), moves, strict=False):
        yield move


def _second(method: Callable[[Search, Point], Moves], search: Search, point: Point) -> Moves:
    """Yield the moves of a method until one is not finite: projected gradients shorten their steps."""
    try:
        yield from method(search, point)
    except NotFiniteError:
        return


METHODS: dict[str, Callable[[Search, Point], Moves]] = {
    "auto": auto,
    "projected_gradient": projected_gradient,
    "mirror": mirror,
    "accelerated_mirror": accelerated_mirror,
    "frank_wolfe": frank_wolfe,
    "away": away,
    "pairwise": pairwise,
    "newton": newton,
    "ipm": interior_point,
}
