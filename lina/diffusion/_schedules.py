"""The noise schedules in use: cosines, linear variance, the grid of EDM, straight flows, tables."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lina._core.array import check_finite, host_array
from lina._core.checks import check_positive, real_number
from lina.diffusion._per_sample import host_numbers
from lina.diffusion._schedule import Schedule, check_times, on_host


def cosine(clip: tuple[float, float] | None = (-15.0, 15.0)) -> Schedule:
    """Return the schedule alpha = cos(pi t / 2), sigma = sin(pi t / 2).

    Parameters
    ----------
    clip : (float, float), optional
        Least and largest lambda = -2 log tan(angle): the angle runs between theirs, affinely in time, so that lambda
        keeps falling. None leaves lambda infinite at both ends.

    Returns
    -------
    schedule : Schedule
        Of kind "vp".

    Raises
    ------
    TypeError
        If ``clip`` is no pair of numbers.
    ValueError
        If its entries are not finite, do not ascend, or exceed 1400 in modulus.

    Notes
    -----
    Source: T. Salimans, J. Ho, Progressive distillation, 2022; E. Hoogeboom et al., simple diffusion, 2023.

    Examples
    --------
    >>> from lina.diffusion import cosine
    >>> schedule = cosine()
    >>> schedule.logsnr([0, 0.5, 1]).round(6) + 0.0
    array([ 15.,   0., -15.])
    >>> schedule.time_of(0.0)
    0.5
    """
    return _Cosine() if clip is None else clipped(_Cosine(), clip)


def nichol_cosine(offset: float = 0.008) -> Schedule:
    """Return the schedule alpha^2 = f(t) / f(0) with f(t) = cos^2((t + offset) / (1 + offset) pi / 2).

    Parameters
    ----------
    offset : float
        Above 0; it makes the first steps larger.

    Returns
    -------
    schedule : Schedule
        Of kind "vp", with an infinite lambda at both ends. Tables made from it end their betas at 0.999: for a model
        that was trained with one, use `discrete`.

    Raises
    ------
    TypeError
        If ``offset`` is no number.
    ValueError
        If it is not finite and positive.

    Notes
    -----
    Source: A. Nichol, P. Dhariwal, Improved denoising diffusion probabilistic models, 2021.

    Examples
    --------
    >>> from lina.diffusion import nichol_cosine
    >>> alpha, sigma = nichol_cosine().alpha_sigma(0.5)
    >>> round(alpha, 4), round(sigma, 4)
    (0.7027, 0.7114)
    """
    return _NicholCosine(check_positive(offset, "offset"))


def vp_linear(beta_min: float = 0.1, beta_max: float = 20.0) -> Schedule:
    """Return the schedule alpha^2 = exp(-(beta_min t + (beta_max - beta_min) t^2 / 2)).

    Parameters
    ----------
    beta_min, beta_max : float
        Rates at which variance is replaced at t = 0 and t = 1, positive and not descending.

    Returns
    -------
    schedule : Schedule
        Of kind "vp", with an infinite lambda at t = 0.

    Raises
    ------
    TypeError
        If a rate is no number.
    ValueError
        If it is not finite and positive, or they descend.

    Notes
    -----
    Source: Y. Song et al., Score-based generative modeling through stochastic differential equations, 2021.

    Examples
    --------
    >>> from lina.diffusion import vp_linear
    >>> round(vp_linear().logsnr(1.0), 4)
    -10.05
    """
    low, high = check_positive(beta_min, "beta_min"), check_positive(beta_max, "beta_max")
    if low > high:
        raise ValueError(f"beta_max must be at least beta_min = {low:g}, got {high:g}")
    return _VpLinear(low, high)


def edm(sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> Schedule:
    """Return the schedule alpha = 1, sigma^(1 / rho) linear in time between the roots of both ends.

    Parameters
    ----------
    sigma_min, sigma_max : float
        Noise at t = 0 and t = 1, positive and ascending, in units of the data.
    rho : float
        Above 0: the larger, the more times have little noise.

    Returns
    -------
    schedule : Schedule
        Of kind "ve".

    Raises
    ------
    TypeError
        If a parameter is no number.
    ValueError
        If one is not finite and positive, or the noise does not ascend.

    Notes
    -----
    Source: T. Karras et al., Elucidating the design space of diffusion-based generative models, 2022.

    Examples
    --------
    >>> from lina.diffusion import edm
    >>> edm().alpha_sigma([0.0, 1.0])[1].round(6)
    array([2.e-03, 8.e+01])
    """
    low, high = check_positive(sigma_min, "sigma_min"), check_positive(sigma_max, "sigma_max")
    if low >= high:
        raise ValueError(f"sigma_max must be above sigma_min = {low:g}, got {high:g}")
    return _Edm(low, high, check_positive(rho, "rho"))


def flow() -> Schedule:
    """Return the schedule of straight paths, alpha = 1 - t and sigma = t.

    Returns
    -------
    schedule : Schedule
        Of kind "flow", with an infinite lambda at both ends. The shift of times that goes with a resolution is
        `align_snr` of it.

    Notes
    -----
    Source: Y. Lipman et al., Flow matching for generative modeling, 2023.

    Examples
    --------
    >>> from lina.diffusion import flow
    >>> flow().alpha_sigma(0.25)
    (0.75, 0.25)
    """
    return _Flow()


def discrete(alphas_cumprod: Any) -> "Table":
    """Return the schedule of a table, for a model that was trained at whole timesteps.

    Timestep i of N is the time i / (N - 1); between them lambda is linear, and the inverse is exact. A model that
    expects timesteps is called as ``unet(x, schedule.timestep(t))``.

    Parameters
    ----------
    alphas_cumprod : array, shape (N,)
        alpha^2 (not alpha) of each timestep, strictly descending within (0, 1), at least two. A table that ends at 0,
        without signal, has no finite lambda there: put a tiny number such as 1e-14 in its place, so that the timesteps
        stay what they are.

    Returns
    -------
    schedule : Schedule
        Of kind "vp".

    Raises
    ------
    TypeError
        If the table is not real.
    ValueError
        If it has another shape, or entries that are not in (0, 1) or do not descend.

    Examples
    --------
    >>> from lina.diffusion import discrete
    >>> schedule = discrete([0.9, 0.5, 0.1])
    >>> round(schedule.alpha_sigma(0.5)[0] ** 2, 12), schedule.timestep(0.75)
    (0.5, 1.5)
    """
    squares, _ = host_numbers(alphas_cumprod, "alphas_cumprod", "A noise schedule")
    if squares.ndim != 1 or squares.size < 2:
        raise ValueError(f"alphas_cumprod must have one axis with at least 2 entries, got shape {squares.shape}")
    check_finite(np, squares, "alphas_cumprod")
    if squares[-1] == 0 and squares[:-1].min() > 0:
        raise ValueError("alphas_cumprod must be in (0, 1), but ends at 0 (put a tiny number such as 1e-14 there)")
    if squares.min() <= 0 or squares.max() >= 1:
        raise ValueError(f"alphas_cumprod must be in (0, 1), found {squares.min():g} to {squares.max():g}")
    if np.any(np.diff(squares) >= 0):
        at = int(np.argmax(np.diff(squares) >= 0))
        raise ValueError(f"alphas_cumprod must descend, but entry {at + 1} is not below entry {at}")
    return Table(np.log(squares) - np.log1p(-squares))


@dataclass(frozen=True, repr=False)
class _Cosine(Schedule):
    def _described(self) -> str:
        return "cosine"

    def _logsnr(self, t: np.ndarray) -> np.ndarray:
        # each half by the angle to its own end, which has all its digits
        angle = np.pi / 2 * np.minimum(t, 1 - t)
        with np.errstate(divide="ignore"):
            return np.where(t <= 0.5, -2.0, 2.0) * np.log(np.tan(angle))

    def _time_of(self, logsnr: np.ndarray) -> np.ndarray:
        near = 2 / np.pi * np.arctan(np.exp(-np.abs(logsnr) / 2))
        return np.where(logsnr >= 0, near, 1 - near)


@dataclass(frozen=True, repr=False)
class _NicholCosine(Schedule):
    offset: float

    def _described(self) -> str:
        return f"nichol_cosine({self.offset:g})"

    def _logsnr(self, t: np.ndarray) -> np.ndarray:
        # f(0) - f(t) as a product of sines, not as a difference
        rate = np.pi / 2 / (1 + self.offset)
        with np.errstate(divide="ignore"):
            signal = 2 * np.log(np.sin((1 - t) * rate))
            return signal - np.log(np.sin(t * rate)) - np.log(np.sin((t + 2 * self.offset) * rate))

    def _time_of(self, logsnr: np.ndarray) -> np.ndarray:
        rate = np.pi / 2 / (1 + self.offset)
        start = self.offset * rate
        alpha, sigma = np.cos(start) * np.array([np.exp(-np.logaddexp(0, s * logsnr) / 2) for s in (-1, 1)])
        return (np.arctan2(np.hypot(np.sin(start), sigma), alpha) - start) / rate


@dataclass(frozen=True, repr=False)
class _VpLinear(Schedule):
    beta_min: float
    beta_max: float

    def _described(self) -> str:
        return f"vp_linear({self.beta_min:g}, {self.beta_max:g})"

    def _logsnr(self, t: np.ndarray) -> np.ndarray:
        decay = t * (self.beta_min + (self.beta_max - self.beta_min) * t / 2)
        with np.errstate(divide="ignore"):
            return -(decay + np.log(-np.expm1(-decay)))

    def _time_of(self, logsnr: np.ndarray) -> np.ndarray:
        decay = np.logaddexp(0.0, -logsnr)
        root = np.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * decay)
        return 2 * decay / (self.beta_min + root)


@dataclass(frozen=True, repr=False)
class _Edm(Schedule):
    sigma_min: float
    sigma_max: float
    rho: float
    kind = "ve"

    def _described(self) -> str:
        return f"edm({self.sigma_min:g}, {self.sigma_max:g}, {self.rho:g})"

    def _logsnr(self, t: np.ndarray) -> np.ndarray:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return -2 * self.rho * np.log((1 - t) * low + t * high)

    def _time_of(self, logsnr: np.ndarray) -> np.ndarray:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return (np.exp(-logsnr / (2 * self.rho)) - low) / (high - low)


@dataclass(frozen=True, repr=False)
class _Flow(Schedule):
    kind = "flow"

    def _alpha_sigma(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 1 - t, t

    def _described(self) -> str:
        return "flow"

    def _logsnr(self, t: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return 2 * (np.log1p(-t) - np.log(t))

    def _time_of(self, logsnr: np.ndarray) -> np.ndarray:
        return np.exp(-np.logaddexp(0.0, logsnr / 2))


@dataclass(frozen=True, eq=False, repr=False)
class Table(Schedule):
    """The schedule of `discrete`, which also knows its timesteps."""

    entries: np.ndarray

    def timestep(self, t: Any) -> Any:
        """Return the timesteps, from 0 to N - 1 and not rounded, of times in [0, 1]; errors as in `logsnr`."""
        return on_host(lambda times: check_times(times) * (len(self.entries) - 1), t, "t")

    def _described(self) -> str:
        return f"discrete with {len(self.entries)} timesteps"

    def _logsnr(self, t: np.ndarray) -> np.ndarray:
        return np.interp(t, self._times, self.entries)

    def _time_of(self, logsnr: np.ndarray) -> np.ndarray:
        return np.interp(-logsnr, -self.entries, self._times)

    @cached_property
    def _times(self) -> np.ndarray:
        return np.linspace(0.0, 1.0, len(self.entries))


_LARGEST = 1400.0  # beyond it the angle of a lambda is no number of full precision


def clipped(schedule: Schedule, clip: Any) -> Schedule:
    """Return a schedule whose lambda is within ``clip``, by an affine map of its angle."""
    wanted = "a pair of numbers"
    ends = host_array(clip, "clip")
    if ends.shape != (2,):
        raise TypeError(f"clip must be {wanted}, got {clip!r}")
    low, high = (real_number(each, "clip", wanted) for each in ends)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"clip must have two finite numbers in ascending order, got ({low:g}, {high:g})")
    if max(-low, high) > _LARGEST:
        raise ValueError(f"clip must be within -{_LARGEST:g} and {_LARGEST:g}, got ({low:g}, {high:g})")
    return _Clipped(schedule, low, high)


@dataclass(frozen=True, repr=False)
class _Clipped(Schedule):
    """The angle atan(sigma / alpha), mapped affinely onto that of the lambda from ``low`` to ``high``."""

    base: Schedule
    low: float
    high: float

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self.base.kind

    def _described(self) -> str:
        return f"{self.base._described()}, clipped"

    def _logsnr(self, t: np.ndarray) -> np.ndarray:
        return self._remapped(self.base._logsnr(t), self.base.range, (self.low, self.high))

    def _time_of(self, logsnr: np.ndarray) -> np.ndarray:
        least, largest = self.base.range
        return self.base._time_of(
            np.clip(self._remapped(logsnr, (self.low, self.high), (least, largest)), least, largest)
        )

    @staticmethod
    def _remapped(logsnr: np.ndarray, old: tuple[float, float], new: tuple[float, float]) -> np.ndarray:
        """Return lambda of the mapped angles; from the middle on by the complements, which have all their digits."""
        share = [_angle(s * logsnr) - _angle(s * old[i]) for s, i in ((1, 1), (-1, 0))]
        whole = _angle(old[0]) - _angle(old[1])
        rate = (_angle(new[0]) - _angle(new[1])) / whole
        with np.errstate(divide="ignore"):
            from_data = -2 * np.log(np.tan(np.clip(_angle(new[1]) + rate * share[0], 0.0, np.pi / 2)))
            from_noise = 2 * np.log(np.tan(np.clip(_angle(-new[0]) + rate * share[1], 0.0, np.pi / 2)))
        return np.where(share[0] <= whole / 2, from_data, from_noise)


def _angle(logsnr: Any) -> Any:
    return np.arctan(np.exp(-np.maximum(logsnr, -_LARGEST) / 2))
