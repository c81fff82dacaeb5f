"""Minimisation on a working set: between two passes over all entries, those that are positive or want to be are moved.

The simplex has its coordinates as vertices, so the entries of x are the active set themselves and nothing else is kept.
"""

import math
import operator
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from lina._core.array import dtype_name, from_numpy, host_array
from lina._core.certificates import Status
from lina._core.checks import check_tolerance
from lina.simplex._data import indices_like
from lina.simplex._gap import START_SLACK
from lina.simplex._result import SimplexResult, Step
from lina.simplex._simplex_qp.finish import in_dtype_of

# Passes in a row without any progress, after which what is left is taken for rounding.
_PATIENCE = 4

# A gap above this many roundings is not what rounding leaves: the iteration is stuck.
_STUCK = 64

# Entries of a start that a restricted quadratic program takes, the heaviest ones: it costs their number squared.
HELD = 1000

_TINY = 2.0**-1022

EPS = 2.0**-52

Callback = Callable[[Step], Any]


class Problem(Protocol):
    """A convex function of the simplex, by what a pass over all entries says and what can be done between two."""

    kind: str

    @property
    def held(self) -> float:
        """Most entries of a start that `improve` is given."""

    def start(self, x: np.ndarray | None = None) -> np.ndarray:
        """Return ``x``, checked, or the point to start from where there is none."""

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value and the gradient in ``x`` (n,), from scratch, in float64."""

    def improve(self, chosen: np.ndarray, x: np.ndarray, gradient: np.ndarray, tolerance: float) -> np.ndarray:
        """Return better weights of the ``chosen`` entries, all others staying 0, to a gap of about ``tolerance``."""

    def scale(self, value: float) -> float:
        """Return what the gap is divided by: ``rtol`` is relative to it."""

    def rounding(self) -> float:
        """Return a bound of the rounding in the gap that the last `evaluate` gives."""


@dataclass(frozen=True)
class Stopping:
    """When to stop, and whom to tell."""

    rtol: float
    max_iterations: int
    callback: Callback | None
    history: bool


@dataclass
class Found:
    """The best point met and what is known there."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    gap: float
    relative_gap: float
    rounding: float = 0.0
    status: Status = Status.MAX_ITERATIONS
    iterations: int = 0
    evaluations: int = 0
    history: list[Step] = field(default_factory=list)


def check_stopping(rtol: Any, max_iterations: Any, callback: Callback | None, history: bool) -> Stopping:
    """Return the checked options common to all problems."""
    try:
        if isinstance(max_iterations, (bool, np.bool_)):
            raise TypeError
        limit = operator.index(max_iterations)
    except TypeError:
        raise TypeError(f"max_iterations must be an int, got {type(max_iterations).__name__}") from None
    if limit < 0:
        raise ValueError(f"max_iterations must not be negative, got {limit}")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable, got {type(callback).__name__}")
    return Stopping(check_tolerance(rtol, "rtol"), limit, callback, bool(history))


def check_start(x0: Any, n: int) -> np.ndarray | None:
    """Return the start, an array of any library or an earlier result, as a float64 array (n,) of sum 1, or None."""
    if x0 is None:
        return None
    x = host_array(x0.x if isinstance(x0, SimplexResult) else x0, "x0")
    if x.dtype.kind not in "biuf":
        raise TypeError(f"x0 must be an array of real numbers, got dtype {x.dtype}")
    if x.shape != (n,):
        raise ValueError(f"x0 must have shape ({n},), got {x.shape}")
    x = x.astype(np.float64)
    total = float(np.sum(x)) if np.all(np.isfinite(x)) else math.nan
    if not (abs(total - 1) < START_SLACK and x.min() >= 0):
        raise ValueError(f"x0 must be non-negative with sum 1, got a least entry {x.min():g} and sum {total:g}")
    return x / total


def descend(
    problem: Problem, x0: np.ndarray | None, stopping: Stopping, *, width: int, most: int | None = None
) -> Found:
    """Minimise with ``width`` new entries in the working set after each pass, at most ``most`` in all.

    Where ``x0`` leads to a point from which nothing moves, the iteration goes on from the start of the problem.
    """
    clock = time.perf_counter()
    found = _descend(problem, problem.start(x0), stopping, width, most, clock)
    stuck = found.status in (Status.ROUNDING, Status.NOT_FINITE) and found.gap > _STUCK * found.rounding
    if x0 is None or not stuck or found.iterations == stopping.max_iterations:
        return found
    again = _descend(problem, problem.start(), stopping, width, most, clock, found)
    if found.gap < again.gap:
        return _ended(found, again.status, again.iterations, again.history)
    return again


def _descend(
    problem: Problem,
    x: np.ndarray,
    stopping: Stopping,
    width: int,
    most: int | None,
    clock: float,
    before: Found | None = None,
) -> Found:
    """Minimise from ``x``, the steps counted on from those of ``before``."""
    idle, lowest, status = 0, math.inf, None
    best: Found | None = None
    first, history = (0, []) if before is None else (before.iterations + 1, before.history)
    for iteration in range(first, stopping.max_iterations + 1):
        now, support = visit(problem, x), int(np.count_nonzero(x))
        if not math.isfinite(now.gap):
            return _ended(best or now, Status.NOT_FINITE, iteration, history)
        progress = best is None or now.gap < 0.9 * best.gap or now.value < lowest - 1e-14 * abs(lowest)
        idle, lowest = 0 if progress else idle + 1, min(lowest, now.value)
        best = now if best is None or now.gap <= best.gap else best
        step = Step(iteration, now.value, now.gap, support, time.perf_counter() - clock, problem.kind)
        history += [step] if stopping.history else []
        stopped = stopping.callback is not None and bool(stopping.callback(step))
        status = _status(best, stopping, stopped, idle)
        if status is None and most is not None and support >= most:
            best, status = now, Status.MAX_RANK  # among those of so many entries the last has the least value
        if status is not None or iteration == stopping.max_iterations:
            break
        if iteration == 0 and support > problem.held:
            now = visit(problem, _heaviest(x, int(problem.held)))
        x = _improved(problem, now, stopping, width if most is not None else max(width, support // 2))
    assert best is not None
    return _ended(best, status or Status.MAX_ITERATIONS, iteration, history)


def _heaviest(x: np.ndarray, most: int) -> np.ndarray:
    """Return the ``most`` largest entries of x, divided by their sum."""
    kept = np.argpartition(x, -most)[-most:]
    few = np.zeros_like(x)
    few[kept] = x[kept] / np.sum(x[kept])
    return few


def _status(best: Found, stopping: Stopping, stopped: bool, idle: int) -> Status | None:
    if best.relative_gap <= stopping.rtol:
        return Status.CONVERGED
    if stopped:
        return Status.STOPPED
    return Status.ROUNDING if best.gap <= 2 * best.rounding or idle >= _PATIENCE else None


def visit(problem: Problem, x: np.ndarray) -> Found:
    """Return what is known in ``x``: the gap is summed up without cancellation, its rounding is added to it."""
    value, gradient = problem.evaluate(x)
    rounding = float(problem.rounding())
    gap = float(x @ (gradient - gradient.min())) + rounding
    if not (math.isfinite(value) and math.isfinite(gap)):
        return Found(x, value, gradient, math.inf, math.inf)
    return Found(x, value, gradient, gap, 0.0 if gap == 0.0 else gap / max(problem.scale(value), _TINY), rounding)


def _improved(problem: Problem, now: Found, stopping: Stopping, width: int) -> np.ndarray:
    """Return the point after the restricted problem on the support and the ``width`` entries of least gradient."""
    some = np.argpartition(now.gradient, width - 1)[:width] if width < now.x.size else np.arange(now.x.size)
    lower = some[(now.gradient[some] < float(now.x @ now.gradient)) & (now.x[some] == 0)]
    chosen = np.concatenate([np.flatnonzero(now.x), lower[np.argsort(now.gradient[lower], kind="stable")]])
    target = stopping.rtol * problem.scale(now.value)
    tolerance = max(0.05 * now.gap if now.gap > 100 * target else 0.0, 0.1 * target)
    weights = np.maximum(problem.improve(chosen, now.x[chosen], now.gradient[chosen], tolerance), 0.0)
    x = np.zeros_like(now.x)
    x[chosen] = weights / weights.sum()
    return x


def _ended(found: Found, status: Status, iterations: int, history: list[Step]) -> Found:
    found.status, found.iterations, found.evaluations, found.history = status, iterations, iterations + 1, history
    return found


def result_fields(problem: Problem, found: Found, xp: Any, like: Any, *, rtol: float, method: str) -> dict[str, Any]:
    """Return the fields of a `SimplexResult`, arrays in the library of ``like``.

    In single precision x is rounded, and its certificate evaluated anew at the rounded x, divided by its sum.
    """
    if dtype_name(like) == "float32":
        x = in_dtype_of(like, found.x, 1.0)
        rounded = visit(problem, x / x.sum())
        lost = found.status is Status.CONVERGED and rounded.relative_gap > rtol
        found = _ended(rounded, Status.ROUNDING if lost else found.status, found.iterations, found.history)
    multiplier = float(found.gradient.min())
    certified = math.isfinite(found.gap)
    return {
        "x": from_numpy(found.x, like),
        "value": found.value,
        "gap": found.gap,
        "relative_gap": found.relative_gap,
        "lower_bound": found.value - found.gap if certified else None,
        "certified": certified,
        "certified_in": "float64",
        "multiplier": multiplier,
        "reduced_costs": from_numpy(found.gradient - multiplier, like),
        "support": indices_like(np.flatnonzero(found.x), like, xp),
        "status": found.status,
        "iterations": found.iterations,
        "evaluations": found.evaluations,
        "method": method,
        "history": tuple(found.history),
    }


def in_unit(fields: dict[str, Any], unit: float, power: int, name: str) -> dict[str, Any]:
    """Return the fields of a result computed in the unit ``unit ** power``; the relative gap has none."""
    factor = unit if power > 0 else 1 / unit
    for _ in range(abs(power)):  # one after the other: the power may be beyond the range where the value is not
        with np.errstate(over="ignore", invalid="ignore"):
            for key in ("value", "gap", "lower_bound", "multiplier", "reduced_costs"):
                fields[key] = None if fields[key] is None else fields[key] * factor
        fields["history"] = tuple(s._replace(value=s.value * factor, gap=s.gap * factor) for s in fields["history"])
    if not math.isfinite(fields["value"]):
        raise OverflowError(f"{name} must give a value within the range of float64, got an infinite one")
    return fields
