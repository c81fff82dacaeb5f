"""What a method is given: the objective, the set, and the note that is taken of every point it yields."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lina._core.array import epsilon, scalar
from lina._core.certificates import Status
from lina.simplex._gap import widen
from lina.simplex._minimize.objective import Objective, Point
from lina.simplex._minimize.progress import Progress, Region

# Visits in a row at which neither the value falls nor the gap, after which what is left is rounding.
_PATIENCE = 100

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

    def dot(self, a: Any, b: Any) -> float:
        """Return the sum of products of all entries, in float64: squares of single precision overflow early."""
        return scalar(self.xp.sum(widen(self.xp, a) * widen(self.xp, b)))

    def visit(self, point: Point, kind: str, *, steps: int = 1) -> bool:
        """Take note of a point; True if the iteration is over."""
        progress = self.progress
        if self.previous is not None and self._bends_down(self.previous, point):
            progress.convex = False
        self.previous = point
        over = progress.visit(point.x, point.value, point.given, kind, steps=steps)
        assert progress.best is not None
        fell = point.value < self.lowest - 2 * epsilon(point.x) * abs(self.lowest)
        shrank = progress.best.gap < 0.9 * self.mark
        self.idle = 0 if fell or shrank else self.idle + 1
        self.lowest, self.mark = min(self.lowest, point.value), progress.best.gap if shrank else self.mark
        if not over and (self.idle > _PATIENCE or progress.best.gap <= 2 * progress.best.rounding):
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

    def gap(self, point: Point) -> float:
        """Return the gap of a point in its own precision, for decisions of a method."""
        return self.progress.measure(point.x, point.value, point.given).gap
