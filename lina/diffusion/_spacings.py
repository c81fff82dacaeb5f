"""The times at which a sampler calls its model."""

from typing import Any

import numpy as np

from lina._core.array import open_door, to_numpy
from lina._core.checks import check_count, check_option
from lina.diffusion._schedule import Schedule, check_times
from lina.diffusion._schedules import Table

SPACINGS = ("logsnr", "t", "angle", "karras", "trailing")
_RHO = 7.0  # of Karras et al.


def sampling_times(schedule: Schedule, steps: Any, spacing: str | None, to_data: bool) -> np.ndarray:
    """Return the falling times that bound the steps, float64; with ``to_data`` the end of the last step is no time."""
    if isinstance(steps, (list, tuple)) or getattr(steps, "ndim", 0) > 0:
        if spacing is not None:
            raise ValueError(f"spacing must be left out where steps are times, got {spacing!r}")
        return _explicit(steps, to_data)
    count = check_count(steps, "steps")
    least, largest = schedule.range
    finite = bool(np.isfinite(least) and np.isfinite(largest))
    name = _default(schedule, finite) if spacing is None else check_option(spacing, SPACINGS, "spacing")
    if name == "trailing":
        return _trailing(schedule, count, to_data)
    to_data = to_data and bool(schedule._alpha_sigma(np.zeros(1))[1] > 0)  # otherwise the time 0 is the data
    share = np.linspace(0.0, 1.0, count + (not to_data)) if count + (not to_data) > 1 else np.zeros(1)
    if name == "t":
        return 1.0 - share
    if not finite and name != "angle":
        found = f"the schedule has lambda from {least:g} to {largest:g}"
        raise ValueError(f'spacing "{name}" needs a finite lambda at both ends, but {found} (try "t", or clip it)')
    if name == "angle":
        logsnr = _of_angles(least, largest, share)
    elif name == "logsnr":
        logsnr = least + share * (largest - least)
    else:
        first, last = np.exp(-least / (2 * _RHO)), np.exp(-largest / (2 * _RHO))
        logsnr = -2 * _RHO * np.log(first + share * (last - first))
    times = np.clip(schedule._time_of(np.clip(logsnr, least, largest)), 0.0, 1.0)
    times[0] = 1.0
    if not to_data:
        times[-1] = 0.0
    return _falling(times)


def _default(schedule: Schedule, finite: bool) -> str:
    """Return the spacing that suits a schedule: even times are coarse where sigma rises like the root of t."""
    if finite:
        return "logsnr"
    return "t" if schedule.kind == "flow" else "angle"


def _of_angles(least: float, largest: float, share: np.ndarray) -> np.ndarray:
    """Return lambda at even steps of the angle atan(sigma / alpha), which is finite at both ends of every schedule."""
    first, last = (np.arctan(np.exp(-each / 2)) for each in (least, largest))
    with np.errstate(divide="ignore"):
        return -2 * np.log(np.tan(first + share * (last - first)))


def _trailing(schedule: Schedule, count: int, to_data: bool) -> np.ndarray:
    """Return 1, 1 - 1 / n, ..., 1 / n, rounded to the timesteps of a table."""
    if not to_data:
        raise ValueError('spacing "trailing" ends at the data: it needs to_data=True, got False')
    share = np.arange(count) / count
    if not isinstance(schedule, Table):
        return 1.0 - share
    entries = len(schedule.entries)
    if count > entries:
        raise ValueError(f"steps must be at most the {entries} timesteps of the table, got {count}")
    return (np.round(entries - entries * share) - 1) / (entries - 1)


def _explicit(steps: Any, to_data: bool) -> np.ndarray:
    _, found = open_door(steps=steps)
    times = to_numpy(found)
    least = 1 if to_data else 2
    if times.ndim != 1 or times.size < least or times.dtype.kind != "f":
        wanted = f"a number of steps, or at least {least} real times"
        raise ValueError(f"steps must be {wanted}, got shape {times.shape} and dtype {times.dtype}")
    return _falling(check_times(times.astype(np.float64), "steps"))


def _falling(times: np.ndarray) -> np.ndarray:
    rising = times[1:] >= times[:-1]
    if rising.any():
        at = int(np.argmax(rising))
        raise ValueError(f"steps must be falling times, but {times[at + 1]:g} follows {times[at]:g}")
    return times
