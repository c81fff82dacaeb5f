"""Sequential quadratic programming on the identified support: every step is the minimiser of a quadratic model."""

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as numpy_namespace
import numpy as np

from lina._core.array import from_numpy, to_numpy
from lina.simplex._minimize.curvature import face_hessian
from lina.simplex._minimize.line import search_line
from lina.simplex._minimize.objective import Point
from lina.simplex._minimize.progress import Progress, Region, Tolerances
from lina.simplex._minimize.search import Moves, Search
from lina.simplex._simplex_qp.hybrid import Problem, solve
from lina.simplex._simplex_qp.quadratic import Dense

Choice = Callable[[np.ndarray, np.ndarray], np.ndarray]


def newton(search: Search, start: Point) -> Moves:
    """Yield minimisers of quadratic models over the support and the coordinates that are cheaper than it.

    One product with the Hessian for each coordinate of the working set (by a difference of gradients where the
    objective has none), and a quadratic program in float64. Converges quadratically once the support is right.
    """
    return model_steps(search, start, working_set, "auto", "Newton")


def working_set(x: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Return the support and as many others again, the cheapest of those below the level of the support."""
    support = np.flatnonzero(x)
    others = np.flatnonzero((x == 0) & (g < float(x @ g) / float(np.sum(x))))
    most = max(support.size, 20)
    if others.size > most:
        others = others[np.argpartition(g[others], most)[:most]]
    return np.union1d(support, others)


def model_steps(search: Search, start: Point, choose: Choice, method: str, kind: str) -> Moves:
    """Yield points on the way to the minimisers of models over what ``choose`` takes of the coordinates."""
    point = start
    while True:
        x, g = (np.asarray(to_numpy(v), dtype=np.float64) for v in (point.x, point.gradient))
        face = choose(x, g)
        target = np.zeros_like(x)
        target[face] = _model_minimiser(search, point, face, x, g, method)
        end = from_numpy(target, point.x)
        found = search_line(search, point, end - point.x, end=end)
        reached = found.point if found is not None else _with_half_the_gap(search, point, end)
        if reached is None:
            return
        point = reached
        yield point, kind


def _with_half_the_gap(search: Search, point: Point, end: Any) -> Point | None:
    """Return the end of a step whose decrease is below rounding, if the gap says that it is better."""
    trial = search.objective(end)
    return trial if trial is not None and search.gap(trial) <= 0.5 * search.gap(point) else None


def _model_minimiser(
    search: Search, point: Point, face: np.ndarray, x: np.ndarray, g: np.ndarray, method: str
) -> np.ndarray:
    """Return the weights on the face that minimise g . p + (p - x) . H (p - x) / 2; curvature is made positive."""
    H = face_hessian(search, point, face)
    if search.progress.convex is not True:
        values, vectors = np.linalg.eigh(H)
        H = (vectors * np.maximum(np.abs(values), 1e-12 * float(np.max(np.abs(values))))) @ vectors.T
    radius = search.region.radius
    slope = g[face] - float(np.min(g[face]))
    # the model's own tolerance is a share of the decrease that it promises, not of its value
    tolerances = Tolerances(0.0, 1e-3 * min(search.gap(point), float(slope @ x[face])) + 1e-300, 0.0)
    q = Dense(H, slope - H @ x[face])
    progress = Progress(numpy_namespace, Region(radius), tolerances, max_iterations=100 * face.size + 1000)
    solve(Problem(q, x[face] * (radius / float(np.sum(x[face]))), radius, progress), method)
    assert progress.best is not None
    return progress.best.x
