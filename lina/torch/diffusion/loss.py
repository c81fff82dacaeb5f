"""DiffusionLoss: what a network is trained with, for any schedule, kind of prediction, weight and set of scales."""

from __future__ import annotations  # as text: the documentation is built without torch

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from lina._core.checks import check_option
from lina.diffusion import Schedule, multiscale_mse
from lina.diffusion._convert import PREDICTIONS
from lina.diffusion._schedule import check_times
from lina.hippo._measures import check_number
from lina.torch.diffusion.times import times_of

# Drawn times keep this distance from 0 and 1, where schedules may have an infinite lambda.
_MARGIN = 1e-5


class DiffusionLoss(nn.Module):
    """The weighted squared error of what a model predicts of noisy data.

    Parameters
    ----------
    schedule : Schedule
        Of `lina.diffusion`, as the model will be sampled with, or aligned to a higher resolution.
    prediction : {"eps", "x0", "v", "flow", "score"}
        What the model predicts, as in `lina.diffusion.convert`.
    weight : {"none", "eps", "min_snr", "sigmoid"} or callable
        "none" is the plain error of the prediction. The others are factors of the error of the noise, whatever is
        predicted: "eps" is 1; "min_snr" is min(1, gamma / SNR), of x0 thus min(SNR, gamma); "sigmoid" is
        sigmoid(bias - lambda) (-d lambda / dt), an integral over lambda that is the same for all schedules of one
        range; a function of lambda, of a float64 array of numpy (batch,), returns as many factors, or one.
    gamma : float
        Of "min_snr", above 0.
    bias : float
        Of "sigmoid": the larger, the more the details count. Smaller by 2 log s where images are s times larger.
    multiscale : sequence of int or of tuples of int, optional
        The ``scales`` of `lina.diffusion.multiscale_mse`; the finest alone unless given.
    normalize : bool
        As there: coarse scales then count as much as the finest.
    reduction : {"mean", "none"}
        One number, or one for each sample.

    Raises
    ------
    TypeError
        If an argument has another type; in a call, if ``model`` is not callable or data are no real tensor.
    ValueError
        If an option is unknown or out of range; in a call, if shapes do not fit, the model or the weight returns
        another one, data are not finite, or a time is not in [0, 1] or has no finite weight.

    Notes
    -----
    ``loss(model, x0, *args, t=None, noise=None, generator=None, **options)`` calls ``model(x_t, t, *args, **options)``
    once. Times are drawn evenly, one from each of ``batch`` equal intervals in random order, which takes most of their
    noise from the loss; they are drawn on the CPU, as schedules are evaluated on the host. The error of every kind of
    prediction is that of the noise times a number, by which the weights differ: that number is computed in double
    precision, without division by alpha or sigma.

    Source: T. Hang et al., Efficient diffusion training via min-SNR weighting, 2023; D. Kingma, R. Gao, Understanding
    diffusion objectives as the ELBO, 2023, for the sigmoid; E. Hoogeboom et al., simple diffusion, 2023, for scales.

    Examples
    --------
    >>> import torch
    >>> from lina.diffusion import cosine
    >>> from lina.torch import DiffusionLoss
    >>> loss = DiffusionLoss(cosine(), "x0", "min_snr", gamma=5.0)
    >>> x0 = torch.ones(2, 1, 4, 4)
    >>> loss(lambda x, t: torch.zeros_like(x), x0, t=0.5).item()  # SNR 1, error 1
    1.0
    """

    def __init__(
        self,
        schedule: Schedule,
        prediction: str = "v",
        weight: str | Callable[[Any], Any] = "none",
        *,
        gamma: float = 5.0,
        bias: float = -3.0,
        multiscale: Sequence[int | Sequence[int]] | None = None,
        normalize: bool = False,
        reduction: str = "mean",
    ):
        super().__init__()
        if not isinstance(schedule, Schedule):
            raise TypeError(f"schedule must be a Schedule of lina.diffusion, got {type(schedule).__name__}")
        check_option(prediction, PREDICTIONS, "prediction")
        check_option(reduction, ("mean", "none"), "reduction")
        if not callable(weight):
            check_option(weight, ("none", "eps", "min_snr", "sigmoid"), "weight")
        self.gamma, self.bias = check_number(gamma, "gamma"), check_number(bias, "bias")
        if self.gamma <= 0:
            raise ValueError(f"gamma must be positive, got {self.gamma:g}")
        self.schedule, self.prediction, self.weight = schedule, prediction, weight
        self.scales, self.normalize, self.reduction = _scales(multiscale), normalize, reduction

    def extra_repr(self) -> str:
        """Return the options for ``print``."""
        weight = f"{self.weight!r}"
        if self.weight in ("min_snr", "sigmoid"):
            weight += f", gamma={self.gamma:g}" if self.weight == "min_snr" else f", bias={self.bias:g}"
        scales = f", multiscale={self.scales}, normalize={self.normalize}" if tuple(self.scales) != (1,) else ""
        return f"{self.schedule!r}, prediction={self.prediction!r}, weight={weight}{scales}"

    def forward(
        self,
        model: Callable[..., torch.Tensor],
        x0: torch.Tensor,
        *args: Any,
        t: Any = None,
        noise: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> torch.Tensor:
        """Return the loss of ``model`` for data x0 (batch, channels, ...), at drawn or given times and noise."""
        if not callable(model):
            raise TypeError(f"model must be callable as model(x, t), got {type(model).__name__}")
        _check_data(x0)
        times = _drawn(x0.shape[0], generator) if t is None else times_of(t, x0).detach().cpu().double()
        times = times.expand(x0.shape[0])
        noise = _noise(x0, generator) if noise is None else _checked_noise(noise, x0)
        host = times.numpy()
        levels = self.schedule._alpha_sigma(check_times(host))
        weights = torch.from_numpy(self._factors(host, *levels))
        alpha, sigma = (torch.from_numpy(each).to(x0).reshape(-1, *[1] * (x0.ndim - 1)) for each in levels)
        x = alpha * x0 + sigma * noise
        found = model(x, times.to(x0.device, torch.promote_types(x0.dtype, torch.float32)), *args, **options)
        if not isinstance(found, torch.Tensor) or found.shape != x.shape:
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ValueError(f"model must return the shape {tuple(x.shape)} of x, got {shape}")
        target = self._target(x0, noise, alpha, sigma)
        errors = multiscale_mse(found.to(x0.dtype), target, self.scales, None, self.normalize, reduction="none")
        losses = errors * weights.to(errors)
        return losses.mean() if self.reduction == "mean" else losses

    def weights(self, t: Any) -> np.ndarray:
        """Return the factors of the squared error of the prediction at times t (batch,), numpy float64."""
        t = check_times(np.asarray(t, dtype=np.float64))
        return self._factors(t, *self.schedule._alpha_sigma(t))

    def _factors(self, t: np.ndarray, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        if self.prediction == "score" and not sigma.all():
            raise ValueError('t must be above 0 for the prediction "score", which is infinite without noise')
        if self.weight == "none":
            return np.ones_like(t)
        ratio = self.schedule._logsnr(t)
        with np.errstate(over="ignore", invalid="ignore"):
            found = self._of_noise(t, ratio) * _noise_in(self.prediction, alpha, sigma, ratio)
        wrong = ~(np.isfinite(found) & (found >= 0))
        if wrong.any():
            at = f"{np.ravel(found)[np.argmax(wrong)]:g} at t = {np.ravel(t)[np.argmax(wrong)]:g}"
            raise ValueError(f"weight must be finite and not negative, got {at} for the prediction {self.prediction!r}")
        return found

    def _of_noise(self, t: np.ndarray, ratio: np.ndarray) -> np.ndarray:
        """Return the factors of the squared error of the noise."""
        if callable(self.weight):
            found = np.asarray(self.weight(ratio), dtype=np.float64)
            if found.shape not in ((), ratio.shape):
                raise ValueError(
                    f"weight must return one factor for each lambda {ratio.shape}, got shape {found.shape}"
                )
            return found
        if self.weight == "min_snr":
            return np.exp(np.minimum(0.0, math.log(self.gamma) - ratio))
        if self.weight == "sigmoid":
            return np.exp(-np.logaddexp(0.0, ratio - self.bias)) * -_slope(self.schedule, t)
        return np.ones_like(ratio)

    def _target(self, x0: torch.Tensor, noise: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        if self.prediction == "v":
            return alpha * noise - sigma * x0
        if self.prediction == "score":
            return -noise / sigma
        return {"eps": noise, "x0": x0, "flow": noise - x0}[self.prediction]


def _scales(multiscale: Any) -> tuple[Any, ...]:
    if multiscale is None:
        return (1,)
    if isinstance(multiscale, str) or not isinstance(multiscale, Sequence):
        raise TypeError(f"multiscale must be a sequence of scales, as (1, 2, 4), or None, got {multiscale!r}")
    if not multiscale:
        raise ValueError("multiscale must have at least one scale, or be None for the finest alone, got none")
    return tuple(multiscale)


def _noise_in(prediction: str, alpha: Any, sigma: Any, ratio: Any) -> Any:
    """Return the squared error of the noise in units of that of the prediction."""
    if prediction == "x0":
        return np.exp(ratio)
    if prediction == "v":
        return alpha**2 / (alpha**2 + sigma**2) ** 2
    if prediction == "flow":
        return alpha**2 / (alpha + sigma) ** 2
    return sigma**2 if prediction == "score" else np.ones_like(ratio)


def _slope(schedule: Schedule, t: np.ndarray) -> np.ndarray:
    """Return d lambda / dt, by differences that do not reach the ends, where lambda may be infinite."""
    low, high = np.maximum(t - _MARGIN / 2, t / 2), np.minimum(t + _MARGIN / 2, (1 + t) / 2)
    return (np.asarray(schedule.logsnr(high)) - np.asarray(schedule.logsnr(low))) / (high - low)


def _drawn(batch: int, generator: torch.Generator | None) -> torch.Tensor:
    """Return a time from each of ``batch`` equal intervals, in random order."""
    where = "cpu" if generator is None else generator.device
    within = torch.rand(batch, dtype=torch.float64, generator=generator, device=where)
    order = torch.randperm(batch, generator=generator, device=where)
    return ((order + within) / batch).clamp(_MARGIN, 1 - _MARGIN).cpu()


def _noise(x0: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    where = x0.device if generator is None else generator.device
    return torch.randn(x0.shape, dtype=x0.dtype, generator=generator, device=where).to(x0.device)


def _checked_noise(noise: Any, x0: torch.Tensor) -> torch.Tensor:
    if not isinstance(noise, torch.Tensor) or noise.shape != x0.shape or noise.dtype != x0.dtype:
        found = f"{tuple(noise.shape)}, {noise.dtype}" if isinstance(noise, torch.Tensor) else type(noise).__name__
        raise ValueError(f"noise must have the shape {tuple(x0.shape)} and dtype {x0.dtype} of x0, got {found}")
    return noise


def _check_data(x0: Any) -> None:
    if not isinstance(x0, torch.Tensor) or not x0.is_floating_point():
        found = x0.dtype if isinstance(x0, torch.Tensor) else type(x0).__name__
        raise TypeError(f"x0 must be a torch tensor of real floats, got {found}")
    if x0.ndim < 3 or 0 in x0.shape:
        raise ValueError(f"x0 must have shape (batch, channels, *spatial), not empty, got {tuple(x0.shape)}")
    # a sum is one pass, but that of finite halves may overflow
    if not bool(torch.isfinite(x0.detach().sum())) and not bool(torch.isfinite(x0.detach()).all()):
        raise ValueError("x0 must be finite, found NaN or infinities")
