"""Explicit steps of adapted length for particles: Bogacki and Shampine's pair of orders 3 and 2."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import epsilon, scalar
from lina._core.certificates import Status
from lina.simplex.flow._on_particles import State

_NODES = ((1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9))
_ERROR = (2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8)
# A step shorter than this share of the whole time has failed.
_SHORTEST = 1e-13


class Reached(NamedTuple):
    """A state at one of the times, the log-density carried along, the defect so far and the steps taken."""

    state: State
    log_density: Any
    defect: float
    steps: int
    status: Status


def integrate(
    xp: Any,
    at: Callable[[Any], State],
    x: Any,
    log_density: Any,
    times: np.ndarray,
    rtol: float,
    max_steps: int,
    *,
    scale: float,
    falls: bool,
) -> Iterator[Reached]:
    """Yield the states at all times, the first included; the last one has a status that says whether all were reached.

    ``rtol * scale`` is the error of a step that is allowed. With ``falls`` a step by which the energy rises is divided.
    """
    state, defect, steps = at(x), 0.0, 0
    yield Reached(state, log_density, defect, steps, Status.CONVERGED)
    span = float(times[-1] - times[0])
    fastest = scalar(xp.max(xp.abs(state.velocity)))
    length = min(span, 0.01 * scale / fastest) if fastest > 0 else span
    for start, stop in pairwise(times.tolist()):
        time = start
        while time < stop:
            last = time + length >= stop
            dt = stop - time if last else length
            if steps >= max_steps or dt < _SHORTEST * min(span, length if last else span):
                failed = Status.MAX_ITERATIONS if steps >= max_steps else Status.STOPPED
                yield Reached(state, log_density, defect, steps, failed)
                return
            new, log_new, dissipated, error = _step(xp, at, state, log_density, dt)
            error = error / (rtol * scale)
            steps += 1
            rises = falls and not new.energy <= state.energy + 64 * epsilon(x) * (abs(state.energy) + 1)
            if error <= 1 and not rises:
                defect += new.energy - state.energy + dissipated
                state, log_density, time = new, log_new, stop if last else time + dt
            factor = 0.5 if rises else min(5.0, max(0.2, 0.9 * max(error, 1e-10) ** (-1 / 3)))
            length = max(length, dt * factor) if last and error <= 1 and not rises else dt * factor
        yield Reached(state, log_density, defect, steps, Status.CONVERGED)


def _step(
    xp: Any, at: Callable[[Any], State], state: State, log_density: Any, dt: float
) -> tuple[State, Any, float, float]:
    """Return the state after ``dt``, its log-density, the energy dissipated on the way, and the error of the step."""
    stages = [state]
    for row in _NODES:
        moved = sum(dt * c * stage.velocity for c, stage in zip(row, stages, strict=True) if c)
        stages.append(at(state.x + moved))
    weights = _NODES[-1]
    dissipated = dt * sum(c * stage.dissipation for c, stage in zip(weights, stages[:-1], strict=True))
    if log_density is not None:
        log_density = log_density - sum(dt * c * s.divergence for c, s in zip(weights, stages[:-1], strict=True))
    error = sum(dt * c * stage.velocity for c, stage in zip(_ERROR, stages, strict=True))
    size = scalar(xp.max(xp.abs(error)))
    return stages[-1], log_density, dissipated, size if np.isfinite(size) else np.inf
