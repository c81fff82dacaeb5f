"""Upsample guidance: a model samples above the resolution that it was trained at, guided by itself at that one."""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lina._core.array import dtype_name, from_numpy, open_door, refuse_gradient
from lina._core.checks import check_option, check_tolerance, real_number
from lina._core.kernels import kernel
from lina.diffusion._align import match_time, rho
from lina.diffusion._convert import prediction_of
from lina.diffusion._per_sample import per_sample, spread
from lina.diffusion._resample import avg_pool, check_divisible, dct_downsample, dct_upsample, gain_of, nearest_upsample
from lina.diffusion._schedule import Schedule, check_schedule
from lina.rope._checks import quiet

Model = Callable[..., Any]
_WHAT = "Upsample guidance"


def upsample_guidance(
    model: Model,
    schedule: Schedule,
    scale: float | Sequence[float],
    w: float | Callable[[Any], Any] = 0.2,
    eta: float = 1.0,
    prediction: str | None = None,
    resample: str = "box",
    *,
    beyond: str = "end",
) -> Model:
    """Return the model that samples at ``scale`` times the resolution that ``model`` was trained at.

    The clean image that the model predicts from x at the high resolution keeps its details, and is corrected on blocks
    by the one that it predicts at the low resolution, at the time of the same signal-to-noise ratio::

        x0 + (1 + w) U[low x0 - D[x0]]

    with means of blocks D, repetition U, and the low x0 from D[x] / rho at the time tau of `match_time`. At w = 0 the
    means of blocks are exactly those of the low resolution.

    Parameters
    ----------
    model : callable
        ``model(x, t, *args, **options)`` returns a prediction of the shape of ``x``, at any resolution: a network
        without attention over the whole image and without learned positions: a module of torch that has them gets a
        warning (`lina.torch.guidance_obstacles`). It must leave ``x`` as it is. With classifier-free guidance, wrap
        the guided model.
    schedule : Schedule
        That which the model was trained with, not shifted for the high resolution.
    scale : float or tuple of float
        Factor, at least 1, of each axis after the first two, or of as many last axes as the tuple has entries. Whole
        numbers for "box".
    w : float or callable
        Weight: at 0 the rule is a projection, 0.2 adds contrast, and -1 is the plain model. Or ``w(t)``, a number or
        one for each sample; t is what the guided model is given, a number of `sample`, of others perhaps a tensor.
    eta : float
        Share of the times, from the noisy end, that are guided: at ``t < 1 - eta`` w is -1, at ``eta`` 0 always.
    prediction : {"eps", "x0", "v", "flow", "score"}, optional
        What the model predicts, and the guided one too, as in `convert`. By default what its attribute ``prediction``
        says, "eps" where it has none.
    resample : {"box", "dct"}
        Blocks as in `avg_pool`, for models that were trained on images made smaller so; or cosine series as in
        `dct_downsample`, also for scales like 1.5.
    beyond : {"end", "error"}
        As in `match_time`: what happens at times so close to the data that the schedule has no tau for them, as in the
        last steps of most samplers. With "end" the low resolution is then predicted at the time 0.

    Returns
    -------
    guided : callable
        With the signature and the kind of prediction of ``model``, for any sampler; x and t come first, whatever the
        model calls them. Its attribute ``prediction`` says the kind.

    Raises
    ------
    TypeError
        If ``model`` is not callable, or returns no array or complex numbers for real ones.
    GradientError
        If ``t`` or ``w`` is a tensor whose gradient is recorded: only those of ``x`` and of the model's weights pass.
    ValueError
        If a scale is below 1, ``eta`` not in [0, 1], an option unknown, ``prediction`` not that of
        the model's attribute, or ``w`` not finite; and from ``guided``, if the
        scales do not divide the axes of ``x``, the model returns another shape, or a time is not finite or, with
        "error", has no tau.

    Notes
    -----
    The rule is that of x0 for every kind of prediction, with the product of the scales as the factor of the
    signal-to-noise ratio. It is applied as a correction of the prediction itself, with coefficients that are computed
    in double precision: no division by a vanishing signal or noise.

    The cost is that of the model, one more call at the low resolution, and a few passes; where w is -1 for all samples,
    and at scale 1, the plain model is called alone. ``t`` is a number, or has an entry for each sample and is looked at
    on the host. Tensors in half precision go to the model as they are, numpy arrays in single.
    Differentiable.

    Source: J. Hwang et al., Upsample guidance, 2024; J. Su, scientific spaces 10055.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.diffusion import flow, upsample_guidance
    >>> shapes = []
    >>> def model(x, t):
    ...     shapes.append(x.shape)
    ...     return x
    >>> guided = upsample_guidance(model, flow(), 2, prediction="flow")
    >>> guided(np.ones((1, 3, 8, 8)), 0.5).shape, shapes
    ((1, 3, 8, 8), [(1, 3, 8, 8), (1, 3, 4, 4)])
    """
    if not callable(model):
        raise TypeError(f"model must be callable as model(x, t), got {type(model).__name__}")
    _warn_of_obstacles(model)
    kind = prediction_of(model, prediction)
    check_option(resample, ("box", "dct"), "resample")
    check_option(beyond, ("error", "end"), "beyond")
    check_schedule(schedule)
    scales, share = _checked_scales(scale, resample), check_tolerance(eta, "eta")
    if share > 1:
        raise ValueError(f"eta must be in [0, 1], got {share}")
    weight = w if callable(w) else _finite(w, "w")

    def guided(x: Any, t: Any, *args: Any, **options: Any) -> Any:
        x = _numbers(x)
        down, up, gain = _resampling(x, scales, resample)
        time = per_sample(t, "t", x, _WHAT)
        amount = 1 + _weights(weight(t) if callable(weight) else weight, time, share, x)
        t = time if isinstance(t, (list, tuple)) else t
        plain = _called(model, x, t, *args, **options)
        if gain == 1 or not np.any(amount):
            return plain
        if time.ndim:  # samples that are not guided need no tau of their own
            time = np.where(amount == 0, time[amount != 0][0], time)
        tau = _as_given(match_time(schedule, time, gain, beyond=beyond), t)
        alpha, sigma = (np.asarray(v) for v in schedule.alpha_sigma(time))
        ratio = np.asarray(rho(schedule, time, gain))
        coarse = down(x)
        low = _called(model, _in_dtype_of(x, coarse / spread(ratio, coarse)), tau, *args, **options)
        of_low, of_x = _correction(kind, alpha, sigma, ratio, gain)
        with quiet(coarse):
            change = spread(of_low, coarse) * open_door(low=low)[1] - down(plain)
            if np.any(of_x):
                change = change + spread(of_x, coarse) * coarse
            return _in_dtype_of(_numbers(plain), plain + up(spread(amount, coarse) * change))

    guided.prediction = kind  # type: ignore[attr-defined]  # which samplers and adapters read
    return guided


def _warn_of_obstacles(model: Any) -> None:
    """Warn where a module of torch has attention or learned positions: it is known by what it is made of."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        warn = kernel("warn_of_obstacles", torch)
        if warn is not None:
            warn(model)


def _correction(prediction: str, alpha: Any, sigma: Any, ratio: Any, gain: float) -> tuple[Any, Any]:
    """Return the factors of the low prediction and of D[x] in the correction, that of -D[prediction] being 1.

    A prediction is p = a x + b x0, so that b (low x0 - D[x0]) has the factors b / b_tau and
    a - a_tau b / (b_tau ratio). With (alpha, sigma / sqrt(gain)) / ratio at tau, what is singular in them cancels.
    """
    root = math.sqrt(gain)
    if prediction == "x0":
        return 1.0, 0.0
    if prediction == "eps":
        return 1 / root, 0.0
    if prediction == "score":
        return 1 / (gain * ratio), 0.0
    if prediction == "flow":
        pooled = alpha + sigma / root
        return (alpha + sigma) / (root * pooled), (1 / root - 1) / pooled
    pooled = alpha**2 + sigma**2 / gain
    return (alpha**2 + sigma**2) * ratio / (root * pooled), alpha * sigma * (1 / gain - 1) / pooled


def _checked_scales(scale: Any, resample: str) -> float | tuple[float, ...]:
    numbers = [_finite(s, "scale") for s in (scale if isinstance(scale, (list, tuple)) else [scale])]
    if not numbers:
        raise ValueError("scale must have at least one entry, got none")
    for number in numbers:
        if number < 1:
            raise ValueError(f"scale must be at least 1, got {number:g}")
        if resample == "box" and number != int(number):
            raise ValueError(f'scale must be a whole number for resample "box", got {number:g} (try "dct")')
    return tuple(numbers) if isinstance(scale, (list, tuple)) else numbers[0]


def _resampling(x: Any, scale: float | tuple[float, ...], resample: str) -> tuple[Any, Any, float]:
    """Return the ways down and up for arrays of the shape of ``x``, and the product of the scales."""
    _, values = open_door(min_ndim=len(scale) if isinstance(scale, tuple) else 3, x=x)
    scales = scale if isinstance(scale, tuple) else (scale,) * (values.ndim - 2)
    spatial = tuple(values.shape[values.ndim - len(scales) :])
    if resample == "box":
        whole = tuple(int(s) for s in scales)
        check_divisible(values, whole, "x")
        return (lambda y: avg_pool(y, whole)), (lambda y: nearest_upsample(y, whole)), gain_of(whole)
    sizes = tuple(max(1, round(n / s)) for n, s in zip(spatial, scales, strict=True))
    if any(abs(size * s - n) > 1e-9 * n for n, size, s in zip(spatial, sizes, scales, strict=True)):
        wanted = f"trailing axes with whole numbers as quotients by {scales}"
        raise ValueError(f"x must have {wanted}, got shape {tuple(values.shape)}")
    return (lambda y: dct_downsample(y, sizes)), (lambda y: dct_upsample(y, spatial)), gain_of(scales)


def _numbers(x: Any) -> Any:
    """Return an array of numbers, in half precision too: a model in it takes no other."""
    _, values = open_door(x=x)
    return x if hasattr(x, "dtype") and "float" in dtype_name(x) and not isinstance(x, np.ndarray) else values


def _called(model: Model, x: Any, t: Any, *args: Any, **options: Any) -> Any:
    found = model(x, t, *args, **options)
    if not hasattr(found, "shape"):
        raise TypeError(f"model must return an array of the shape of x, got {type(found).__name__}")
    if "complex" in dtype_name(found) and "complex" not in dtype_name(x):
        raise TypeError(f"model must return real numbers for a real x, got dtype {dtype_name(found)}")
    if tuple(found.shape) != tuple(x.shape):
        raise ValueError(f"model must return the shape {tuple(x.shape)} of x, got {tuple(found.shape)}")
    return found


def _weights(found: Any, time: np.ndarray, share: float, x: Any) -> np.ndarray:
    """Return w for each sample or for all, -1 where nothing is guided."""
    values = per_sample(found, "w", x, _WHAT)
    return np.where((time >= 1 - share) & (share > 0), values, -1.0)


def _finite(value: Any, name: str) -> float:
    refuse_gradient(_WHAT, **{name: value})
    number = real_number(value, name)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


def _as_given(values: Any, t: Any) -> Any:
    """Return times in the library and on the device of ``t``, as real numbers, in half precision too."""
    if isinstance(t, (int, float)):
        return float(values)
    xp, like = open_door(t=t)
    times = from_numpy(np.asarray(values, dtype=np.float64), like)
    return xp.astype(times, t.dtype) if "float16" in dtype_name(t) else times


def _in_dtype_of(like: Any, values: Any) -> Any:
    """Return values in the dtype of ``like``, which may be a half precision."""
    xp, values = open_door(values=values)
    return xp.astype(values, like.dtype, copy=False)
