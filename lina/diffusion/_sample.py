"""sample: from noise to data along a schedule, with a model of any library."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lina._core.array import check_finite, dtype_name, is_lazy, open_door
from lina._core.checks import check_option, check_tolerance, real_number
from lina._core.random import gaussian, generator
from lina.diffusion._convert import factors, prediction_of
from lina.diffusion._schedule import Schedule, check_schedule
from lina.diffusion._spacings import sampling_times
from lina.diffusion._steps import METHODS, StepTable, step_table

_MANY = 64  # entries, of which the spread says whether they are noise


def sample(
    model: Callable[[Any, float], Any],
    x: Any,
    schedule: Schedule,
    steps: int | Sequence[float],
    *,
    method: str = "ddim",
    prediction: str | None = None,
    spacing: str | None = None,
    to_data: bool = False,
    eta: float = 0.0,
    variance: str = "small",
    clip: float | tuple[float, float] | None = None,
    rng: Any = None,
    callback: Callable[[int, float, Any], None] | None = None,
) -> Any:
    """Return samples of the data that a model has learned, starting from noise.

    Parameters
    ----------
    model : callable
        ``model(x, t)`` returns a prediction of the shape of ``x``; t is a float that falls from 1. A tensor in half
        precision goes to the model in it, a numpy array in single; the steps are taken in float32.
        It must leave ``x`` as it is: each step goes on from it.
    x : array, shape (batch, ...)
        Noise of the standard deviation sigma(1) of the schedule: 1 for all kinds but "ve", where far less is warned
        of. With times that start at t < 1: alpha(t) x0 + sigma(t) noise of data x0, to which the result stays near.
    schedule : Schedule
        That of the model's training.
    steps : int or sequence of float
        Number of steps, or the falling times themselves that bound them.
    method : {"ddpm", "ddim", "dpmpp_1s", "dpmpp_2m", "heun", "euler"}
        "ddim" draws no noise at ``eta`` 0, and is then the same as "dpmpp_1s" and as "euler" in sigma / alpha and for
        flows: of first order. "dpmpp_2m" extrapolates from the step before, to at most twice its length in lambda, and
        "heun" calls the model twice, where sigma / alpha falls by at most a factor of 3: both of second order. "ddpm"
        draws from the posterior of each step.
    prediction : {"eps", "x0", "v", "flow", "score"}, optional
        What the model predicts, as in `convert`: by default what its attribute ``prediction`` says, "eps" where it has
        none. "eps" and "score" need a schedule with a signal at t = 1.
    spacing : {"logsnr", "t", "angle", "karras", "trailing"}, optional
        Even steps of lambda, of the time, of the angle atan(sigma / alpha), of (sigma / alpha)^(1 / 7), or of the time
        up to the last one, rounded to the timesteps of a table. Default "logsnr"; where lambda is infinite at an end
        "t" for flows and "angle" for other kinds. In few steps "logsnr" serves structure and details alike, best with
        "dpmpp_2m"; "angle" and "trailing" give "ddim" and "ddpm" more contrast, and lose fine details.
    to_data : bool
        Whether the last of the steps leads to alpha = 1 and sigma = 0, that is to the model's last x0, from the time 0
        (with "trailing" 1 / steps, with times their last). Otherwise it leads to the time 0, and where the schedule has
        noise there, so has the result; where it has none both are the same.
    eta : float
        In "ddim": the share in [0, 1] of the noise of "ddpm".
    variance : {"small", "large"}
        Noise of "ddpm": that of the posterior for known data, or for data that are noise themselves; none in the last
        step of "large".
    clip : float or (float, float), optional
        Limits of x0, those of the data (a number c for -c and c). The noise then follows from the clipped x0, as in
        diffusers with ``use_clipped_model_output=True``, which is not its default.
    rng : int, numpy.random.Generator, optional
        For "ddpm" and ``eta``. It is drawn from on the host, so that a generator of torch is none: its
        ``initial_seed()`` is an int.
    callback : callable, optional
        ``callback(k, t, x)`` after step k = 0, 1, ..., which has reached the time t with the sample x. What it returns
        is not looked at; where it changes x in place, the next step begins with that.

    Returns
    -------
    samples : array of the shape, library and device of ``x``
        In its precision, float32 for half precisions.

    Raises
    ------
    TypeError
        If ``model`` is not callable, or returns no array or complex numbers for real ones; an option has another type.
    ValueError
        If ``x`` is not finite; the model returns another shape; times are not in [0, 1] or do not fall; a method,
        prediction or spacing is unknown or does not fit the schedule, or the prediction not the model's attribute;
        there are no steps.

    Notes
    -----
    All coefficients are computed before the first step, in double precision on the host: a step is the model and one
    sum. Its cost beyond the model is two passes over ``x``, four or six with clipping and in methods of second order.
    Noise is drawn in float64 on the host and moved, so that every device and precision sees the same: about 8 ns an
    entry and step on one core, which "ddpm" and ``eta`` add. Gradients pass through, with the memory of all steps.

    The orders hold with the default spacing, and with every one but "trailing" where lambda is finite at both ends. At
    an infinite lambda that of "dpmpp_2m" rises to 2 slowly: 1.75 from 2048 to 4096 steps. Where sigma rises like the
    root of t, as in `vp_linear` and `nichol_cosine`, every method is of order 1 in even steps of "t".

    Source: J. Ho et al., 2020 (ddpm); J. Song et al., 2021 (ddim); C. Lu et al., 2022 (dpmpp); T. Karras et al., 2022
    (heun).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.diffusion import cosine, sample
    >>> schedule = cosine()
    >>> def model(x, t):  # the best prediction for data of variance 4
    ...     alpha, sigma = schedule.alpha_sigma(t)
    ...     return sigma / (4 * alpha**2 + sigma**2) * x
    >>> sample(model, np.ones((1, 2)), schedule, 100, method="dpmpp_2m").round(2)
    array([[2., 2.]])
    """
    if not callable(model):
        raise TypeError(f"model must be callable as model(x, t), got {type(model).__name__}")
    check_schedule(schedule)
    kind = prediction_of(model, prediction)
    amount = _checked_method(method, eta, variance)
    given = None if isinstance(x, np.ndarray) else getattr(x, "dtype", None)
    xp, x = open_door(min_ndim=1, x=x)
    if given is not None and "float16" in dtype_name(given):
        model = _in_half(xp, model, given)
    _check_start(xp, x)
    limits = _limits(clip)
    if dtype_name(x).startswith("complex") and (limits or amount or method == "ddpm"):
        raise TypeError(f"x must be real for noise and clipping, got dtype {dtype_name(x)}")
    times = sampling_times(schedule, steps, spacing, to_data)
    _warn_of_little_noise(xp, x, schedule, times[:1])
    to_data = to_data and bool(schedule._alpha_sigma(times[-1:])[1] > 0)  # without noise x is the data already
    table = step_table(schedule, times, method, amount, variance, to_data)
    draws = generator(rng)
    ends = [*times.tolist(), 0.0]
    found = x
    for k, found in enumerate(_steps(xp, model, x, times.tolist(), table, kind, limits, draws)):
        if callback is not None:
            callback(k, ends[k + 1], found)
    return found


def _steps(
    xp: Any, model: Any, x: Any, times: list[float], table: StepTable, prediction: str, limits: Any, draws: Any
) -> Any:
    """Yield the sample after each step."""
    of_x, of_prediction = _to_x0(table, prediction, len(times))
    merged = limits is None and not np.any(table.other)
    own, predicted = table.x, table.x0
    if merged:
        own, predicted = own + predicted * of_x[: len(own)], predicted * of_prediction[: len(own)]
    columns = (own, predicted, table.other, table.noise, of_x, of_prediction)
    own, predicted, other, noise, of_x, of_prediction = (each.tolist() for each in columns)  # numbers of Python

    def data_of(x: Any, k: int) -> Any:
        x0 = _sum(of_x[k], x, of_prediction[k], _called(xp, model, x, times[k]))
        return x0 if limits is None else xp.clip(x0, *limits)

    before = None
    for k in range(len(own)):
        found = _called(xp, model, x, times[k]) if merged else data_of(x, k)
        more: tuple[Any, ...] = ()
        if table.looks_ahead and other[k]:
            before = data_of(_sum(float(table.predict_x[k]), x, float(table.predict_x0[k]), found), k + 1)
        if other[k]:
            more = ((other[k], before),)
        if noise[k]:
            more = (*more, (noise[k], gaussian(draws, tuple(x.shape), x)))
        x, before = _sum(own[k], x, predicted[k], found, *more), found
        yield x


def _to_x0(table: StepTable, prediction: str, calls: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors that make x0 of x and the prediction, for each time at which the model is called."""
    alpha, sigma = table.alpha[:calls], table.sigma[:calls]
    if prediction in ("eps", "score") and alpha[0] == 0:
        wanted = 'a finite lambda at t = 1 (clip it, or predict "v" or "flow")'
        raise ValueError(f'schedule must have {wanted} for the prediction "{prediction}", which has no signal there')
    return factors(alpha, sigma, prediction, "x0")


def _sum(a: float, x: Any, b: float, y: Any, *more: tuple[float, Any]) -> Any:
    """Return a x + b y + ..., in one new array where the library can."""
    total = x * a
    if hasattr(total, "add_"):  # a tensor of torch: the products need no passes of their own
        total.add_(y, alpha=b)
        for factor, z in more:
            total.add_(z, alpha=factor)
        return total
    total += b * y
    for factor, z in more:
        total += factor * z
    return total


def _in_half(xp: Any, model: Callable[[Any, float], Any], dtype: Any) -> Callable[[Any, float], Any]:
    """Return a model that is given x in half precision, as its weights are."""
    return lambda x, t: model(xp.astype(x, dtype), t)


def _called(xp: Any, model: Any, x: Any, t: float) -> Any:
    """Return what the model predicts, in the dtype of ``x``."""
    found = model(x, t)
    if type(found) is type(x) and found.dtype == x.dtype and found.shape == x.shape:
        return found  # as it should be: the checks cost as much as the step of a small image
    if not hasattr(found, "shape"):
        raise TypeError(f"model must return an array of the shape of x, got {type(found).__name__}")
    if type(found) is not type(x):
        _, _, found = open_door(x=x, **{"what model returns": found})
    if dtype_name(found).startswith("complex") and not dtype_name(x).startswith("complex"):
        raise TypeError(f"model must return real numbers for a real x, got dtype {dtype_name(found)}")
    if found.shape != x.shape:
        raise ValueError(f"model must return the shape {tuple(x.shape)} of x, got {tuple(found.shape)}")
    return found if found.dtype == x.dtype else xp.astype(found, x.dtype)


def _check_start(xp: Any, x: Any) -> None:
    """Raise ValueError if ``x`` is not finite; where it is, the sum says so in one pass."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = xp.sum(x)
    if is_lazy(total) or not bool(xp.isfinite(total)):
        check_finite(xp, x, "x")


def _warn_of_little_noise(xp: Any, x: Any, schedule: Schedule, start: np.ndarray) -> None:
    """Warn where ``x`` is no noise of the schedule: forgotten, its factor gives samples without content, silently."""
    if schedule.kind != "ve" or math.prod(x.shape) < _MANY or is_lazy(x):
        return
    sigma = float(schedule._alpha_sigma(start)[1][0])
    found = math.sqrt(float(xp.mean(xp.abs(x) ** 2)))
    if found < sigma / 10:
        wanted = f"the standard deviation of its noise, {sigma:.4g} at t = {start[0]:g}"
        warnings.warn(f"x should have at least {wanted}, got {found:.3g}", UserWarning, stacklevel=3)


def _checked_method(method: str, eta: float, variance: str) -> float:
    """Return eta as a float, after a look at what belongs to which method."""
    check_option(method, METHODS, "method")
    check_option(variance, ("small", "large"), "variance")
    amount = check_tolerance(eta, "eta")
    if amount > 1:
        raise ValueError(f"eta must be in [0, 1], got {amount:g}")
    if amount and method != "ddim":
        raise ValueError(f'eta belongs to the method "ddim", got eta = {amount:g} with "{method}"')
    if variance == "large" and method != "ddpm":
        raise ValueError(f'variance "large" belongs to the method "ddpm", got it with "{method}"')
    return amount


def _limits(clip: Any) -> tuple[float, float] | None:
    if clip is None:
        return None
    wanted = "a number or a pair of numbers"
    if isinstance(clip, (tuple, list)):
        if len(clip) != 2:
            raise TypeError(f"clip must be {wanted}, got {clip!r}")
        low, high = (real_number(each, "clip", wanted) for each in clip)
    else:
        high = real_number(clip, "clip", wanted)
        low = -high
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"clip must have finite limits in ascending order, got ({low:g}, {high:g})")
    return low, high
