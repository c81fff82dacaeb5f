"""Schedule: how much of the data and how much noise a sample holds, as a function of time."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from lina._core.array import check_finite, dtype_name, from_numpy
from lina.diffusion._per_sample import host_numbers

_ROUNDING = {"float16": 2.0**-9, "bfloat16": 2.0**-6}  # of a lambda that was float64
_OF_SINGLE = 2.0**-21  # also of one in double precision: it may be that of a sigma which was rounded


class Schedule(ABC):
    """A noise schedule: x_t = alpha(t) x_0 + sigma(t) eps, from the data at t = 0 to the noise at t = 1.

    Made by `cosine`, `nichol_cosine`, `vp_linear`, `edm`, `flow` and `discrete`, and changed by `align_snr` and
    `interpolate_shift`. Everything follows from the logarithm of the signal-to-noise ratio lambda = log(alpha^2 /
    sigma^2), which falls with time, and from the kind. Times and ratios are numbers or arrays of any shape and library,
    for instance one for each sample; they are looked at on the host, computed in double precision, and returned in the
    library and dtype of what was given (a number gives a number).

    Attributes
    ----------
    kind : {"vp", "ve", "flow"}
        Whether alpha^2 + sigma^2 = 1 (preserving the variance), alpha = 1 (exploding variance) or alpha + sigma = 1.
    """

    kind: str = "vp"

    def logsnr(self, t: Any) -> Any:
        """Return lambda at the times ``t`` in [0, 1]; it may be infinite at the ends.

        Raises TypeError for times that are no known real numbers, ValueError for those that are not in [0, 1].
        """
        return on_host(lambda values: self._logsnr(check_times(values)), t, "t")

    def time_of(self, logsnr: Any) -> Any:
        """Return the times with these lambda, the inverse of `logsnr`.

        Raises ValueError for lambda beyond those of the times 0 and 1, and for NaN. What lies beyond by no more than
        its dtype rounds, or than alpha and sigma in single precision do, is of the end.
        """
        relative = _ROUNDING.get(dtype_name(logsnr), _OF_SINGLE) if hasattr(logsnr, "dtype") else _OF_SINGLE
        return on_host(lambda values: self._checked_time_of(values, relative), logsnr, "logsnr")

    def alpha_sigma(self, t: Any) -> tuple[Any, Any]:
        """Return alpha and sigma at the times ``t`` in [0, 1]; errors as in `logsnr`."""
        alpha = on_host(lambda values: self._alpha_sigma(check_times(values))[0], t, "t")
        return alpha, on_host(lambda values: self._alpha_sigma(check_times(values))[1], t, "t")

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest lambda, those of the times 1 and 0."""
        least, largest = self._logsnr(np.array([1.0, 0.0]))
        return float(least), float(largest)

    def _checked_time_of(self, values: np.ndarray, relative: float) -> np.ndarray:
        least, largest = self.range
        slack = relative * (1 + np.abs(values))
        wrong = ~((values >= least - slack) & (values <= largest + slack) | (values == least) | (values == largest))
        if np.any(wrong):
            found = values[wrong].flat[0]
            raise ValueError(
                f"logsnr must be in [{least:.9g}, {largest:.9g}], the range of the schedule, got {found:.9g}"
            )
        return np.clip(self._time_of(np.clip(values, least, largest)), 0.0, 1.0)

    def _alpha_sigma(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return alpha_sigma_of(self.kind, self._logsnr(t))

    def __repr__(self) -> str:
        least, largest = self.range
        return f"<Schedule {self._described()}: {self.kind}, lambda from {largest:.4g} (t = 0) to {least:.4g} (t = 1)>"

    def _described(self) -> str:
        """Return the function that makes the schedule, and what has been done to it."""
        return type(self).__name__

    @abstractmethod
    def _logsnr(self, t: np.ndarray) -> np.ndarray:
        """Return lambda at checked times, float64."""

    @abstractmethod
    def _time_of(self, logsnr: np.ndarray) -> np.ndarray:
        """Return the times of lambda within the range, float64."""


def alpha_sigma_of(kind: str, logsnr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return alpha and sigma of a kind of schedule; none is a difference, so both have all their digits."""
    if kind == "ve":
        return np.ones_like(logsnr), np.exp(-logsnr / 2)
    if kind == "flow":
        return np.exp(-np.logaddexp(0.0, -logsnr / 2)), np.exp(-np.logaddexp(0.0, logsnr / 2))
    return np.exp(-np.logaddexp(0.0, -logsnr) / 2), np.exp(-np.logaddexp(0.0, logsnr) / 2)


def check_schedule(schedule: Any) -> None:
    """Raise TypeError for what is no schedule."""
    if not isinstance(schedule, Schedule):
        raise TypeError(f"schedule must be a Schedule, got {type(schedule).__name__}")


def on_host(function: Callable[[np.ndarray], np.ndarray], value: Any, name: str) -> Any:
    """Return ``function`` of a number or an array, computed in float64 on the host, as ``value`` was given."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(function(np.asarray(value, dtype=np.float64)))
    values, found = host_numbers(value, name, "A noise schedule")
    return from_numpy(np.asarray(function(values)), found)


def check_times(t: np.ndarray, name: str = "t") -> np.ndarray:
    """Return times if they are all in [0, 1]."""
    inside = (t >= 0) & (t <= 1)
    if not np.all(inside):
        check_finite(np, t, name)
        raise ValueError(f"{name} must be in [0, 1], got {np.extract(~inside, t)[0]:g}")
    return t
