"""One signal-to-noise ratio at several resolutions: shifted schedules, and times that match."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lina._core.checks import check_option, check_positive
from lina.diffusion._schedule import Schedule, check_schedule, check_times, on_host
from lina.diffusion._schedules import clipped

Size = float | Sequence[float]


def align_snr(schedule: Schedule, low: Size, high: Size, *, clip: tuple[float, float] | None = None) -> Schedule:
    """Return the schedule with which images of size ``high`` lose as much as those of size ``low`` do with this one.

    The mean over a block of g entries has g times the signal-to-noise ratio of an entry. So lambda falls by log g, with
    g the product of the ratios of all axes: by 2 log s for s times as many rows and columns.

    Parameters
    ----------
    schedule : Schedule
        Of the size ``low``.
    low, high : float or tuple of float
        Sizes of the axes, as many of both, for instance (frames, height, width); a number is the side of a square.
    clip : (float, float), optional
        Least and largest lambda of the result, by an affine map of its angle. Without it the range moves as well.

    Returns
    -------
    schedule : Schedule
        Of the same kind.

    Raises
    ------
    TypeError
        If ``schedule`` is none, a size is no number or tuple of them, or ``clip`` no pair.
    ValueError
        If a size is not positive, the axes are not as many, or ``clip`` does not ascend.

    Notes
    -----
    For `flow` this is the shift of times t -> s t / (1 + (s - 1) t) of Esser et al., 2024.

    Source: E. Hoogeboom et al., simple diffusion, 2023; J. Su, scientific spaces 10047.

    Examples
    --------
    >>> from lina.diffusion import align_snr, flow
    >>> alpha, sigma = align_snr(flow(), 32, 96).alpha_sigma(0.5)
    >>> round(sigma, 12)
    0.75
    """
    check_schedule(schedule)
    shifted = _Shifted(schedule, -math.log(_ratio(high, low, "high", "low")), 0.0)
    return shifted if clip is None else clipped(shifted, clip)


def interpolate_shift(schedule: Schedule, size: Size, low: Size, high: Size) -> Schedule:
    """Return the schedule for images of ``size`` that is aligned to ``low`` at the noise and to ``high`` at the data.

    lambda(t) = t lambda_low(t) + (1 - t) lambda_high(t), both as of `align_snr` from that size: coarse structure gets
    the noise that it needs, and fine detail is not drowned.

    Parameters
    ----------
    schedule : Schedule
        Before any shift.
    size, low, high : float or tuple of float
        Sizes as in `align_snr`, with ``low`` at most ``high`` in number of entries.

    Returns
    -------
    schedule : Schedule
        Of the same kind. Its times are found by bisection, to 1e-16.

    Raises
    ------
    TypeError
        If ``schedule`` is none, or a size is no number or tuple of them.
    ValueError
        If a size is not positive, the axes are not as many, or ``low`` has more entries than ``high``.

    Notes
    -----
    Source: E. Hoogeboom et al., simple diffusion, 2023.

    Examples
    --------
    >>> from lina.diffusion import cosine, interpolate_shift
    >>> shifted = interpolate_shift(cosine(), 256, low=32, high=256)
    >>> [round(a - b, 6) for a, b in zip(shifted.range, cosine().range)]
    [-4.158883, 0.0]
    """
    check_schedule(schedule)
    noise, data = math.log(_ratio(low, size, "low", "size")), math.log(_ratio(high, size, "high", "size"))
    if noise > data:
        raise ValueError(f"low must have at most as many entries as high, got {low} and {high}")
    return _Shifted(schedule, data, noise - data)


def match_time(schedule: Schedule, t: Any, gain: float, *, beyond: str = "error") -> Any:
    """Return the times tau at which the signal-to-noise ratio is ``gain`` times that of the times ``t``.

    The mean over blocks of x_t, over `rho`, is a noisy image of the time tau at the low resolution.

    Parameters
    ----------
    schedule : Schedule
        Of any kind.
    t : float or array of any shape
        Times in [0, 1].
    gain : float
        Product of the scales of all axes: 4 for a scale 2 in two dimensions. 1 returns ``t``, below 1 is the way back.
    beyond : {"error", "end"}
        What happens where the schedule has no such ratio: an error, or the time 0 (or 1) whose ratio is nearest. A
        sampler that runs to the time 0 of a schedule with a finite ratio there needs "end".

    Returns
    -------
    tau : float or array
        In the shape, library and dtype of ``t``; float64 inside. Computed by closed forms and exact inverses of tables.

    Raises
    ------
    TypeError
        If ``schedule`` is none, or times or the gain are no known real numbers.
    ValueError
        If a time is not in [0, 1], the gain not positive, or a ratio beyond the schedule.

    Notes
    -----
    Source: J. Hwang et al., Upsample guidance, 2024; J. Su, scientific spaces 10055.

    Examples
    --------
    >>> from lina.diffusion import cosine, match_time
    >>> round(match_time(cosine(clip=None), 0.5, 4), 4)
    0.2952
    """
    check_schedule(schedule)
    check_option(beyond, ("error", "end"), "beyond")
    factor = check_positive(gain, "gain")

    def matched(times: np.ndarray) -> np.ndarray:
        times = check_times(times)
        if factor == 1.0:
            return times
        wanted = schedule._logsnr(times) + math.log(factor)
        least, largest = schedule.range
        if beyond == "error" and np.any((wanted < least) | (wanted > largest)):
            found = np.extract((wanted < least) | (wanted > largest), times)[0]
            hint = f'no time has {factor:g} times the ratio of t = {found:g} (try beyond="end")'
            raise ValueError(f"t and gain must stay within lambda from {least:.6g} to {largest:.6g}, but {hint}")
        return np.clip(schedule._time_of(np.clip(wanted, least, largest)), 0.0, 1.0)

    return on_host(matched, t, "t")


def rho(schedule: Schedule, t: Any, gain: float) -> Any:
    """Return alpha(t) / alpha(tau), by which the mean over blocks is divided to be of the time tau of `match_time`.

    With it (alpha, sigma) at tau are (alpha, sigma / sqrt(gain)) / rho. It exists also where the schedule has no tau.

    Parameters
    ----------
    schedule, t, gain
        As in `match_time`.

    Returns
    -------
    rho : float or array
        In the shape, library and dtype of ``t``: sqrt(alpha^2 + sigma^2 / gain) of kind "vp", alpha + sigma /
        sqrt(gain) of kind "flow", 1 of kind "ve".

    Raises
    ------
    TypeError
        If ``schedule`` is none, or times or the gain are no known real numbers.
    ValueError
        If a time is not in [0, 1], or the gain not positive.

    Examples
    --------
    >>> from lina.diffusion import flow, rho
    >>> rho(flow(), 0.5, 4)
    0.75
    """
    check_schedule(schedule)
    root = math.sqrt(check_positive(gain, "gain"))

    def ratio(times: np.ndarray) -> np.ndarray:
        alpha, sigma = schedule._alpha_sigma(check_times(times))
        if schedule.kind == "ve":
            return np.ones_like(alpha)
        return alpha + sigma / root if schedule.kind == "flow" else np.hypot(alpha, sigma / root)

    return on_host(ratio, t, "t")


@dataclass(frozen=True, repr=False)
class _Shifted(Schedule):
    """lambda of another schedule + offset + slope t, with a slope that is not positive."""

    base: Schedule
    offset: float
    slope: float

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self.base.kind

    def _described(self) -> str:
        at_noise = f" and {self.offset + self.slope:.4g} at the noise" if self.slope else ""
        return f"{self.base._described()}, shifted by {self.offset:.4g}{' at the data' * bool(at_noise)}{at_noise}"

    def _logsnr(self, t: np.ndarray) -> np.ndarray:
        return self.base._logsnr(t) + (self.offset + self.slope * t)

    def _time_of(self, logsnr: np.ndarray) -> np.ndarray:
        if self.slope == 0.0:
            return self.base._time_of(np.clip(logsnr - self.offset, *self.base.range))
        low, high = np.zeros_like(logsnr), np.ones_like(logsnr)
        for _ in range(55):
            middle = (low + high) / 2
            before = self._logsnr(middle) > logsnr
            low, high = np.where(before, middle, low), np.where(before, high, middle)
        return np.where(logsnr >= self.range[1], 0.0, np.where(logsnr <= self.range[0], 1.0, (low + high) / 2))


def _ratio(over: Size, under: Size, name_over: str, name_under: str) -> float:
    """Return the quotient of the numbers of entries; a number is the side of a square."""
    sides = [_sides(over, name_over), _sides(under, name_under)]
    if len(sides[0]) != len(sides[1]):
        raise ValueError(f"{name_over} and {name_under} must have as many axes, got {over} and {under}")
    return math.prod(a / b for a, b in zip(*sides, strict=True))


def _sides(size: Size, name: str) -> list[float]:
    if isinstance(size, np.ndarray):
        size = size.tolist()
    if isinstance(size, (tuple, list)):
        if not size:
            raise ValueError(f"{name} must have at least one axis, got none")
        return [check_positive(side, name) for side in size]
    return [check_positive(size, name)] * 2
