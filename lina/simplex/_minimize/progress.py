"""What every method reports to: the gap of each point it visits, the best one so far, and whether to go on."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lina._core.array import dtype_name, epsilon, scalar
from lina._core.certificates import Status
from lina.simplex._gap import Gap, measure
from lina.simplex._result import SimplexResult, Step, support_of


@dataclass(frozen=True)
class Tolerances:
    """A gap is small enough at most at rtol * max(abs(value), scale) + atol."""

    rtol: float
    atol: float
    scale: float

    def allowed(self, value: float) -> float:
        """Return the largest gap that will do at ``value``."""
        return self.rtol * max(abs(value), self.scale) + self.atol


@dataclass(frozen=True)
class Region:
    """The set, over the last axis: entries of 0 to ``upper`` and of sum ``radius``, or the ball of the 1-norm."""

    radius: float
    upper: Any = None
    set: str = "simplex"


@dataclass(frozen=True)
class Visit:
    """A point with all that is known there; ``gap`` includes the rounding of the gradient."""

    x: Any
    value: float
    gradient: Any
    parts: Gap
    gap: float
    rounding: float


class Progress:
    """Measures each visited point in float64 from scratch, keeps the best, and ends the iteration.

    The gap does not fall monotonically. Where F is declared convex the best point is that of the smallest gap,
    otherwise that of the lowest value, and of the smallest gap among equal values.
    """

    def __init__(
        self,
        xp: Any,
        region: Region,
        tolerances: Tolerances,
        *,
        max_iterations: int,
        convex: bool | None = True,
        callback: Callable[[Step], Any] | None = None,
        history: bool = False,
    ) -> None:
        self.xp = xp
        self.region = region
        self.tolerances = tolerances
        self.max_iterations = max_iterations
        self.convex = convex
        self.callback = callback
        self.keep_history = history
        self.history: list[Step] = []
        self.best: Visit | None = None
        self.lowest: Visit | None = None
        self.status: Status | None = None
        self.iteration = 0
        self.start = time.perf_counter()

    def visit(
        self, x: Any, value: float, gradient: Any, kind: str, *, steps: int = 1, rounding: float | None = None
    ) -> bool:
        """Take note of a point that ``kind`` reached in ``steps``; True if the iteration is over."""
        self.iteration += steps
        now = self.measure(x, value, gradient, rounding)
        if self.best is None or self._is_better(now, self.best):
            self.best = now
        if self.lowest is None or now.value < self.lowest.value:
            self.lowest = now
        step = self._record(now, kind)
        is_stopped = self.callback is not None and bool(self.callback(step))
        if self.best.gap <= self.tolerances.allowed(self.best.value):
            self.status = Status.CONVERGED
        elif is_stopped:
            self.status = Status.STOPPED
        elif self.iteration >= self.max_iterations:
            self.status = Status.MAX_ITERATIONS
        return self.status is not None

    def offer(self, x: Any, value: float, gradient: Any, kind: str, *, rounding: float) -> bool:
        """Take a point in place of the best if it is as good: better by its gap, up to rounding, or good enough."""
        assert self.best is not None
        new = self.measure(x, value, gradient, rounding)
        allowed = self.tolerances.allowed(value)
        if not (new.gap <= self.best.gap + rounding or (new.gap <= allowed and self.status is Status.CONVERGED)):
            return False
        self.best = new
        self._record(new, kind)
        if new.gap <= allowed:
            self.status = Status.CONVERGED
        return True

    def contradict(self) -> None:
        """End with the point of the lowest value, where gradients have been found to be those of another function."""
        self.best, self.convex, self.status = self.lowest, False, Status.CONTRADICTION

    def replace(self, x: Any, value: float, gradient: Any, *, rounding: float) -> None:
        """Take a rounded copy of the best point in its place, which may cost the tolerance."""
        self.best = self.measure(x, value, gradient, rounding)
        if self.status is Status.CONVERGED and self.best.gap > self.tolerances.allowed(self.best.value):
            self.status = Status.ROUNDING

    def measure(self, x: Any, value: float, gradient: Any, rounding: float | None = None) -> Visit:
        """Return what is known in a point: its gap from scratch, with the rounding of the gradient added."""
        xp = self.xp
        parts = measure(xp, x, gradient, self.region.radius, self.region.set, self.region.upper)
        if x.shape[-1] == 1 and self.region.set == "simplex":
            rounding = 0.0  # a single point has no other to compare slopes with
        elif rounding is None:
            rounding = 4 * epsilon(gradient) * self.region.radius * scalar(xp.sum(xp.max(xp.abs(gradient), axis=-1)))
        gap = scalar(xp.sum(parts.gap)) + rounding
        return Visit(x, value, gradient, parts, gap, rounding)

    def _is_better(self, new: Visit, old: Visit) -> bool:
        if self.convex:
            return new.gap < old.gap
        noise = 4 * epsilon(new.gradient) * abs(old.value)
        return new.value < old.value - noise or (new.value <= old.value + noise and new.gap < old.gap)

    def _record(self, visit: Visit, kind: str) -> Step:
        support = int(self.xp.count_nonzero(visit.x)) if self.keep_history or self.callback else 0
        step = Step(self.iteration, visit.value, visit.gap, support, time.perf_counter() - self.start, kind)
        if self.keep_history:
            self.history.append(step)
        return step

    def result(self, method: str, evaluations: int) -> SimplexResult:
        """Return the best point as a result."""
        assert self.best is not None
        best, xp, x = self.best, self.xp, self.best.x
        convex = bool(self.convex)
        return SimplexResult(
            x=x,
            value=best.value,
            gap=best.gap,
            relative_gap=relative(best.gap, max(abs(best.value), self.tolerances.scale)),
            lower_bound=best.value - best.gap if convex else None,
            certified=convex,
            certified_in=dtype_name(best.gradient),
            multiplier=best.parts.multiplier if x.ndim > 1 else scalar(best.parts.multiplier),
            reduced_costs=xp.astype(best.parts.reduced_costs, x.dtype),
            support=support_of(x),
            status=self.status or Status.ROUNDING,
            iterations=self.iteration,
            evaluations=evaluations,
            method=method,
            history=tuple(self.history),
        )


def relative(gap: float, scale: float) -> float:
    """Return gap / scale, 0 where both are."""
    return gap / scale if scale > 0 else (0.0 if gap == 0 else float("inf"))
