"""A state that is moved along its flow in steps, which are halved where they fail; implicit methods derive from it."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from lina._core.certificates import Status
from lina.simplex.flow._times import equal_steps

# A step that fails is halved this many times.
_MAX_HALVINGS = 12


class Step(NamedTuple):
    """The state after a step, and the energy that its stages dissipated."""

    state: Any
    dissipated: float


class Row(NamedTuple):
    """The state of a flow at one time, and what is known about it."""

    state: Any
    energy: float
    dissipation: float
    defect: float
    mass: float


class Stepper:
    """A state with its energy; derived classes know how to step, and what a state weighs and dissipates."""

    def __init__(self, state: np.ndarray, order: int) -> None:
        self.state, self.order, self.steps = state, order, 0
        self.energy = self.energy_of(state)

    def energy_of(self, state: np.ndarray) -> float:
        """Return F."""
        raise NotImplementedError

    def first_order(self, dt: float) -> Step | None:
        """Return an implicit Euler step by ``dt``; None where it fails."""
        raise NotImplementedError

    def second_order(self, dt: float) -> Step | None:
        """Return a step of second order by ``dt``; None where it fails."""
        raise NotImplementedError

    def row(self, defect: float) -> Row:
        """Return what is known now."""
        raise NotImplementedError

    def run(self, times: np.ndarray, longest: float | None) -> tuple[list[Row], Status]:
        """Return the rows at the times that are reached by steps up to ``longest``, and whether these are all."""
        rows, defect = [self.row(0.0)], 0.0
        for start, stop in pairwise(times.tolist()):
            for dt in equal_steps(float(times[0]), start, stop, longest):
                change = self._advance(dt, _MAX_HALVINGS)
                if change is None:
                    return rows, Status.STOPPED
                defect += change
            rows.append(self.row(defect))
        return rows, Status.CONVERGED

    def _advance(self, dt: float, halvings: int) -> float | None:
        """Move by ``dt`` and return the change of the defect; None where that fails however short the steps."""
        found = self.second_order(dt) if self.order == 2 else self.first_order(dt)
        if found is not None:
            before = self.energy
            self.state, self.energy, self.steps = found.state, self.energy_of(found.state), self.steps + 1
            return self.energy - before + found.dissipated
        if halvings == 0:
            return None
        first = self._advance(dt / 2, halvings - 1)
        second = None if first is None else self._advance(dt / 2, halvings - 1)
        return None if first is None or second is None else first + second


def columns(rows: list[Row]) -> dict[str, Any]:
    """Return the fields of `Flow` that are numbers over time."""
    names = ("energy", "dissipation", "defect", "mass")
    return {name: np.array([getattr(row, name) for row in rows]) for name in names}
