"""The methods for one quadratic: exchanges of mass, then faces, then the barrier where faces do not settle."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import array_api_compat.numpy as numpy_namespace
import numpy as np

from lina._core.certificates import Status
from lina._core.kernels import kernel
from lina._core.threads import one_blas_thread
from lina.simplex._minimize.progress import Progress, Visit
from lina.simplex._rows import WORTH_COMPILING
from lina.simplex._simplex_qp.active_set import SERIAL, active_set
from lina.simplex._simplex_qp.interior_point import interior_point
from lina.simplex._simplex_qp.quadratic import Dense, Factored, compressed

# Up to this size a few Cholesky factors from the full support cost less than exchanges that lead to a smaller one.
_SMALL = 150

EPS = 2.0**-52

# A bound of the rounding below this part of what is allowed need not be closer.
NEGLIGIBLE = 0.1


class Problem(NamedTuple):
    """A quadratic over the simplex, the start of its methods, and what takes note of the points they reach."""

    q: Dense | Factored
    start: np.ndarray | None
    radius: float
    progress: Progress


class Move(NamedTuple):
    """A point that a method reached, in how many steps and how, and the least curvature met on the way."""

    x: np.ndarray
    steps: int
    kind: str
    curvature: float = np.inf


def solve(problem: Problem, method: str) -> str:
    """Run a method until the progress ends it or it ends by itself; returns the kinds of its moves in their order."""
    kinds: list[str] = []
    progress = problem.progress
    with one_blas_thread() if problem.q.c.size < SERIAL else nullcontext():
        for move in METHODS[method](problem):
            kinds += [move.kind] if move.kind not in kinds else []
            if move.curvature < -1e-12 * float(np.max(np.abs(problem.q.diagonal))):
                progress.convex = False
            g, value, noise = evaluate(problem, move.x)
            over = progress.visit(move.x, value, g, move.kind, steps=move.steps, rounding=noise)
            if (over or _is_rounding(progress)) and not (move.kind == "interior point" and _gains_zeros(progress)):
                break
        if kinds[-1] != "active set" and progress.convex and progress.status is not Status.MAX_ITERATIONS:
            kinds += _polish(problem)
    return " + ".join(kinds)


def _is_rounding(progress: Progress) -> bool:
    """Whether another method could not lower the gap, which is a few dozen roundings; ends the iteration if so."""
    assert progress.best is not None
    if progress.best.gap <= 64 * progress.best.rounding:
        progress.status = progress.status or Status.ROUNDING
    return progress.status is not None


def _gains_zeros(progress: Progress) -> bool:
    """Whether a nearer point of the interior would tell which entries are zero."""
    assert progress.best is not None
    allowed = progress.tolerances.allowed(progress.best.value)
    return progress.status is Status.CONVERGED and progress.best.gap > max(1e-3 * allowed, 4 * progress.best.rounding)


def rounding(diagonal: np.ndarray, c: np.ndarray, g: np.ndarray, radius: float) -> Any:
    """Return a bound of the rounding in a gap, over the last axis: that of two entries of g times the radius.

    No entry of a semidefinite Q exceeds its diagonal; if Q is that along the simplex only, its products have one sign.
    """
    terms = [np.max(np.abs(diagonal), axis=-1) * radius, np.max(np.abs(c), axis=-1), np.max(np.abs(g), axis=-1)]
    return 4 * EPS * radius * (terms[0] + terms[1] + terms[2])


def close_rounding(sizes: np.ndarray, c: np.ndarray, g: np.ndarray, x: np.ndarray, radius: float) -> Any:
    """Return the closer bound for ``sizes`` abs(Q) x: each entry of g errs on its own scale, and counts as x says."""
    error = 4 * EPS * (sizes + np.abs(c) + np.abs(g))
    least = np.min(g, axis=-1) - np.min(g - error, axis=-1)
    return np.sum(x * error, axis=-1) + radius * least


def evaluate(problem: Problem, x: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the gradient, the value, and the rounding of the gap in ``x``."""
    q, tolerances = problem.q, problem.progress.tolerances
    with one_blas_thread():
        g = q.product(x) + q.c
        value = 0.5 * float(x @ g + q.c @ x)
        noise = float(rounding(q.diagonal, q.c, g, problem.radius))
        if noise > NEGLIGIBLE * tolerances.allowed(value):
            noise = min(noise, float(close_rounding(q.sizes(x), q.c, g, x, problem.radius)))
    return g, value, noise


def _polish(problem: Problem) -> list[str]:
    """Offer the minimiser over the face of the best point, or a point near it that has exact zeros."""
    assert problem.progress.best is not None
    x = _truncated(problem.progress.best, problem.radius)
    found = active_set(problem.q, x, problem.radius, faces=8)
    if found is not None and _offer(problem, Move(found.x, found.faces, "active set")):
        return ["active set"]
    small = problem.q.c.size**2 < WORTH_COMPILING
    move = Move(x, 1, "truncation") if small else _exchange(problem, x, problem.q.c.size)
    return [move.kind] if _offer(problem, move) else []


def _offer(problem: Problem, move: Move) -> bool:
    g, value, noise = evaluate(problem, move.x)
    return problem.progress.offer(move.x, value, g, move.kind, rounding=noise)


def _truncated(best: Visit, radius: float) -> np.ndarray:
    """Return the point without the entries that are small beside their reduced costs, both on their own scales."""
    z = best.parts.reduced_costs
    x = np.where(best.x * np.max(z) >= z * np.max(best.x), best.x, 0.0)
    total = float(np.sum(x))
    return x * (radius / total) if total > 0 else best.x  # reduced costs out of range leave nothing


def _vertex(problem: Problem) -> np.ndarray:
    """Return the start that was given, or the vertex of the lowest value."""
    if problem.start is not None:
        return problem.start.copy()
    x = np.zeros(problem.q.c.size)
    x[np.argmin(0.5 * problem.radius * problem.q.diagonal + problem.q.c)] = problem.radius
    return x


def _centre(problem: Problem) -> np.ndarray:
    n = problem.q.c.size
    return np.full(n, problem.radius / n) if problem.start is None else problem.start


def _exchange(problem: Problem, x: np.ndarray, steps: int) -> Move:
    """Return the point after at most ``steps`` exchanges from ``x``."""
    q = problem.q
    name, data = ("pairwise_qp", (q.Q,)) if isinstance(q, Dense) else ("pairwise_factor_qp", (q.F, q.d))
    run: Any = kernel(name, numpy_namespace)
    x = x.copy()
    t = problem.progress.tolerances
    steps = min(steps, max(problem.progress.max_iterations - problem.progress.iteration, 1))
    taken, _, curvature = run(*data, q.c, x, q.product(x) + q.c, steps, (t.rtol, t.atol, t.scale))
    return Move(x, max(taken, 1), "pairwise", curvature)


def _pairwise(problem: Problem, start: np.ndarray | None = None) -> Iterator[Move]:
    """Yield points after more and more exchanges, until these cannot move."""
    x, steps = _vertex(problem) if start is None else start, problem.q.c.size
    while True:
        move = _exchange(problem, x, steps)
        yield move
        if np.array_equal(move.x, x):
            return
        x, steps = move.x, min(2 * steps, 100 * problem.q.c.size)


def _faces(problem: Problem) -> Iterator[Move]:
    """Yield minimisers over faces from exchanges, three times where they do not settle; none of a singular face."""
    small = problem.q.c.size <= _SMALL
    x = _centre(problem) if small else _vertex(problem)
    for trial in range(3):
        if trial or not small:
            move = _exchange(problem, x, problem.q.c.size)
            yield move
            x = move.x
        found = active_set(problem.q, x, problem.radius)
        if found is None:
            return
        yield Move(found.x, found.faces, "active set")
        if found.is_settled:
            return
        x = found.x


def _active(problem: Problem) -> Iterator[Move]:
    """Yield minimisers over faces, and exchanges from the last one where these did not do."""
    x = None
    for move in _faces(problem):
        yield move
        x = move.x
    yield from _pairwise(problem, x)


def _barrier(problem: Problem) -> Iterator[Move]:
    """Yield the points of the interior point method, on a low-rank model where one is as good as the matrix."""
    yield Move(_centre(problem), 0, "interior point")
    model = compressed(problem.q)
    for x in interior_point(model, problem.radius):
        yield Move(x, 1, "interior point")
    if model is not problem.q:
        for x in interior_point(problem.q, problem.radius):
            yield Move(x, 1, "interior point")


def _auto(problem: Problem) -> Iterator[Move]:
    yield from _faces(problem)
    yield from _barrier(problem)
    yield from _pairwise(problem)


METHODS: dict[str, Callable[[Problem], Iterator[Move]]] = {
    "auto": _auto,
    "pairwise": _pairwise,
    "active": _active,
    "ipm": _barrier,
}
