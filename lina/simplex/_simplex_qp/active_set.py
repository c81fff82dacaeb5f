"""Faces of the simplex by block pivoting: drop all that turn negative, add all that are cheap, until none is left."""

from contextlib import nullcontext
from typing import NamedTuple

import numpy as np

from lina._core.threads import one_blas_thread
from lina.simplex._simplex_qp.quadratic import Dense, Factored, Solver

_FACES = 30

# A minimiser whose sum misses the radius by more is that of a block which is singular for all that can be computed.
_OFF = 1e-12

# Below this size the threads of BLAS can wait for each other far longer than a factor takes.
SERIAL = 1500


class Face(NamedTuple):
    """The minimiser over a face, its gradient, and whether no other coordinate is cheaper."""

    x: np.ndarray
    gradient: np.ndarray
    faces: int
    is_settled: bool


def active_set(q: Dense | Factored, x: np.ndarray, radius: float, faces: int = _FACES) -> Face | None:
    """Return the last minimiser over a face, starting at the support of ``x``; None where a block is singular.

    Settles in 5 to 15 Cholesky factors where Q is well conditioned; block pivoting may cycle where it is not, so the
    search ends when the number of cheap coordinates has not fallen for four faces.
    """
    with one_blas_thread() if np.count_nonzero(x) < SERIAL else nullcontext():
        return _pivot(q, x, radius, faces)


def _pivot(q: Dense | Factored, x: np.ndarray, radius: float, faces: int) -> Face | None:
    n = x.size
    face = np.flatnonzero(x > 0)
    found: Face | None = None
    fewest, tries = n + 1, 0
    for count in range(1, faces + 1):
        solve = q.face_solver(face)
        if solve is None:
            return found
        y, level = minimise(solve, -q.c[face], radius)
        if not abs(float(np.sum(y)) - radius) <= _OFF * radius:  # nearly singular, or beyond the range
            return found
        if np.any(y <= 0):
            face = face[y > 0] if np.any(y > 0) else face[:1]
            continue
        point = np.zeros(n)
        point[face] = y
        g = q.product(point) + q.c
        cheap = _cheaper(q, g, level, point)
        if cheap.size == 0:
            return _refined(q, solve, face, Face(point, g, count, is_settled=True), radius)
        found = Face(point, g, count, is_settled=False)
        fewest, tries = (cheap.size, 0) if cheap.size < fewest else (fewest, tries + 1)
        if tries == 4:
            return found
        face = np.union1d(face, cheap)
    return found


def minimise(solve: Solver, b: np.ndarray, total: float) -> tuple[np.ndarray, float]:
    """Return y of sum ``total`` and the level with H y = b + level."""
    with np.errstate(over="ignore", invalid="ignore"):
        both = solve(np.stack([b, np.ones_like(b)], axis=1))
        level = (total - np.sum(both[:, 0])) / np.sum(both[:, 1])
        y = both[:, 0] + level * both[:, 1]
        # where H is nearly singular the sum has lost digits
        return y + (total - np.sum(y)) / np.sum(both[:, 1]) * both[:, 1], float(level)


def _cheaper(q: Dense | Factored, g: np.ndarray, level: float, x: np.ndarray) -> np.ndarray:
    """Return the coordinates outside of the face whose gradient is below its level by more than rounding."""
    lengths = np.sqrt(np.abs(q.diagonal))  # of a semidefinite Q no entry exceeds the product of two
    noise = 1e-14 * (lengths * float(lengths @ x) + np.abs(g) + np.abs(q.c))
    inside = x > 0
    level = float(np.sum(g[inside] * x[inside]) / np.sum(x[inside]))  # the solver's own may be that of Q + t 11'
    return np.flatnonzero(~inside & (g < level - noise))


def _refined(q: Dense | Factored, solve: Solver, face: np.ndarray, found: Face, radius: float) -> Face:
    """Return the face's minimiser after one step of iterative refinement, where that lowers the spread."""
    x, g = found.x, found.gradient
    d, _ = minimise(solve, -g[face], radius - float(np.sum(x)))
    better = x.copy()
    better[face] += d
    if not (np.all(better[face] > 0) and abs(float(np.sum(better)) - radius) <= _OFF * radius):
        return found
    gradient = q.product(better) + q.c
    if not np.ptp(gradient[face]) < np.ptp(g[face]):
        return found
    return found._replace(x=better, gradient=gradient)
