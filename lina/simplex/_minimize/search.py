"""What a method is given: the objective, the set, and the note that is taken of every point it yields."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lina._core.array import epsilon, scalar
from lina._core.certificates import Status
from lina.simplex._gap import widen
from lina.simplex._minimize.objective import ContradictionError, Objective, Point
from lina.simplex._minimize.progress import Progress, Region
from lina.simplex._minimize.sets import vertex

# Visits in a row at which neither the value falls nor the gap, after which what is left is rounding.
_PATIENCE = 100

# As long as the gap is so many times its rounding, steps may still be short for another reason, and are given more.
_FAR, _LONG_PATIENCE = 1e4, 1000

# Pairs of points in a row whose values contradict their gradients, after which these are no accident of rounding or of
# a long step. Values may err by so many eps, and the decrease by this share of what the slopes say.
_STRIKES, _VALUE_ERROR, _SHARE = 10, 1e3, 0.1

# Parts of the way to a vertex at which the gradient of the start is checked; mostly the first one will do.
_PROBES = (1e-2, 1e-3, 1e-4)

Moves = Iterator[tuple[Point, str]]


@dataclass
class Search:
    """One minimisation; ``visit`` is called by the driver alone, with every point that a method yields."""

    xp: Any
    objective: Objective
    region: Region
    progress: Progress
    idle: int = 0
    previous: Point | None = None
    lowest: float = math.inf
    mark: float = math.inf
    steepest: float = 0.0
    largest: float = 0.0
    strikes: int = 0

    def dot(self, a: Any, b: Any) -> float:
        """Return the sum of products of all entries, in float64: squares of single precision overflow early."""
        return scalar(self.xp.sum(widen(self.xp, a) * widen(self.xp, b)))

    def visit(self, point: Point, kind: str, *, steps: int = 1) -> bool:
        """Take note of a point; True if the iteration is over."""
        progress = self.progress
        if self.previous is not None and self._bends_down(self.previous, point):
            progress.convex = False
        if self.previous is not None:
            self.compare(self.previous, point)
        self.previous = point
        over = progress.visit(point.x, point.value, point.given, kind, steps=steps)
        assert progress.best is not None
        fell = point.value < self.lowest - 2 * epsilon(point.x) * abs(self.lowest)
        shrank = progress.best.gap < 0.9 * self.mark
        self.idle = 0 if fell or shrank else self.idle + 1
        self.lowest, self.mark = min(self.lowest, point.value), progress.best.gap if shrank else self.mark
        patience = _LONG_PATIENCE if progress.best.gap > _FAR * progress.best.rounding else _PATIENCE
        if not over and (self.idle > patience or progress.best.gap <= 2 * progress.best.rounding):
            progress.status = Status.ROUNDING
        return progress.status is not None

    def _bends_down(self, a: Point, b: Point) -> bool:
        """Whether the slope from a to b falls by more than rounding, which no convex function does.

        The rounding of a gradient is measured by the steepest one met: where it is small, it may be so by cancellation.
        """
        xp, dx = self.xp, b.x - a.x
        self.steepest = max(self.steepest, scalar(xp.max(xp.abs(a.gradient))), scalar(xp.max(xp.abs(b.gradient))))
        rounding = 100 * epsilon(a.x) * self.steepest * scalar(xp.sum(xp.abs(dx)))
        return self.dot(dx, b.gradient - a.gradient) < -rounding

    def check_gradient(self, start: Point) -> None:
        """Raise ValueError if the gradient contradicts the values also over short and shorter steps."""
        direction = vertex(self.xp, start.gradient, self.region) - start.x
        for length in _PROBES:
            near = self.objective(start.x + length * direction)
            if near is None or not self._contradicts(start, near):
                return
            said, change = self.dot(start.gradient, near.x - start.x), near.value - start.value
        raise ValueError(
            f"objective must return the gradient of its value, got {said:.3g} by the gradient and {change:.3g} by the "
            f"value for a step of {length:g} of the way from the start to a vertex"
        )

    def compare(self, a: Point, b: Point) -> None:
        """Raise `ContradictionError` if values contradict gradients once more, and have done so all the time."""
        verdict = self._contradicts(a, b)
        if verdict is not None:
            self.strikes = self.strikes + 1 if verdict else 0
        if self.strikes >= _STRIKES:
            raise ContradictionError

    def _contradicts(self, a: Point, b: Point) -> bool | None:
        """Whether F changes by what no slope from that in a to that in b explains; None where rounding may be all.

        Between two near points of a smooth function the change lies between the two slopes, for a convex one always.
        """
        dx, change = b.x - a.x, b.value - a.value
        slopes = self.dot(a.gradient, dx), self.dot(b.gradient, dx)
        self.largest = max(self.largest, abs(a.value), abs(b.value))
        size, noise = abs(slopes[0]) + abs(slopes[1]), _VALUE_ERROR * epsilon(a.x) * self.largest
        if max(size, abs(change)) <= 2 * noise:
            return None
        return max(change - max(slopes), min(slopes) - change) > _SHARE * size + noise

    def gap(self, point: Point) -> float:
        """Return the gap of a point in its own precision, for decisions of a method."""
        return self.progress.measure(point.x, point.value, point.given).gap
