"""Newton on the face of the point: entries that would turn negative stop the step and become exactly 0."""

import numpy as np

from lina._core.array import from_numpy, to_numpy
from lina.simplex._minimize.curvature import face_hessian
from lina.simplex._minimize.line import search_line
from lina.simplex._minimize.objective import Point
from lina.simplex._minimize.search import Moves, Search
from lina.simplex._minimize.sets import longest


def face(search: Search, start: Point, most: int = 400) -> Moves:
    """Yield points after Newton steps along the free entries, strictly between their bounds, of all rows together.

    Ends where the face is left with a spread of the gradient far below the gap, or has more than ``most`` entries:
    what is left of the gap is then for other methods.
    """
    point = start
    while True:
        free = _free(search, point)
        if not 0 < free.size <= most:
            return
        direction = _newton_direction(search, point, free)
        if direction is None:
            return
        step, hit = longest(search.xp, point.x, direction, search.region.upper)
        end = None
        if step <= 1.0:
            end = _snapped(search, point, direction, step, hit)
        found = search_line(search, point, direction, most=min(step, 1.0), end=end)
        if found is None:
            return
        point = found.point
        yield point, "face"


def _free(search: Search, point: Point) -> np.ndarray:
    inside = point.x > 0
    if search.region.upper is not None:
        inside = inside & (point.x < search.region.upper)
    return np.flatnonzero(to_numpy(inside))


def _newton_direction(search: Search, point: Point, free: np.ndarray) -> np.ndarray | None:
    """Return the minimiser of the model along the face, the sum of every row kept; None where it does not descend."""
    n = point.x.shape[-1]
    rows = free // n
    g = np.asarray(to_numpy(point.gradient), dtype=np.float64).ravel()[free]
    used, row_of = np.unique(rows, return_inverse=True)
    sums = np.zeros((used.size, free.size))
    sums[row_of, np.arange(free.size)] = 1.0
    level = (sums @ g) / np.sum(sums, axis=1)
    spread = g - level[row_of]
    H = face_hessian(search, point, free)
    size = float(np.max(np.abs(H))) or 1.0
    system = np.block([[H / size, sums.T], [sums, np.zeros((used.size, used.size))]])
    solved = np.linalg.lstsq(system, np.concatenate([-spread / size, np.zeros(used.size)]), rcond=1e-13)[0]
    step = solved[: free.size]
    step -= (sums.T / np.sum(sums, axis=1)) @ (sums @ step)
    if not float(step @ spread) < 0:
        return None
    direction = np.zeros(int(np.prod(point.x.shape)))
    direction[free] = step
    return from_numpy(direction.reshape(tuple(point.x.shape)), point.x)


def _snapped(search: Search, point: Point, direction: np.ndarray, step: float, hit: np.ndarray) -> np.ndarray:
    """Return the end of the longest step, with the entries that met a bound exactly on it."""
    xp, upper = search.xp, search.region.upper
    end = xp.where(hit & (direction < 0), 0.0, point.x + step * direction)
    end = xp.where(end > 0, end, 0.0)
    return end if upper is None else xp.where(hit & (direction > 0), upper, end)
