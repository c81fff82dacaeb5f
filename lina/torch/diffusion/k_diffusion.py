"""KDiffusionDenoiser: the denoisers of the k-diffusion package as models of this one, and back."""

from __future__ import annotations  # as text: the documentation is built without torch

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lina.diffusion import edm
from lina.torch.diffusion.checks import check_module


class KDiffusionDenoiser(nn.Module):
    """A denoiser of k-diffusion, called as ``model(x, t)`` with t in [0, 1], that predicts x0 of x0 + sigma eps.

    Parameters
    ----------
    denoiser : module
        Called as ``denoiser(x, sigma, *args, **options)`` with one sigma for each sample; it returns the clean data.
    sigma_min, sigma_max : float, optional
        Least and largest sigma of its training. Unless given, those that it has as attributes, as denoisers of discrete
        schedules do.

    Attributes
    ----------
    schedule : Schedule
        `lina.diffusion.edm` between these.
    prediction : str
        "x0".

    Raises
    ------
    TypeError
        If ``denoiser`` is no module, or a sigma no number.
    ValueError
        If a sigma is missing, not positive, or they do not ascend; in a call of `as_denoiser`, if one is negative or
        NaN.

    Notes
    -----
    A sigma beyond the range is taken as its nearest end by `as_denoiser`: samplers that add noise (``s_churn``, up to
    sqrt(2) sigma_max), integrators that look past the end, and sigmas in half precision ask for such. Where they
    should count as they are, give ends that include them.

    Examples
    --------
    Guidance within a sampler of k-diffusion::

        model = KDiffusionDenoiser(denoiser, sigma_min=0.01, sigma_max=80)
        guided = upsample_guidance(model, model.schedule, 2, prediction="x0")
        x = k_diffusion.sampling.sample_heun(model.as_denoiser(guided), x, sigmas)
    """

    prediction = "x0"

    def __init__(self, denoiser: nn.Module, sigma_min: float | None = None, sigma_max: float | None = None):
        super().__init__()
        check_module(denoiser, "denoiser")
        self.denoiser = denoiser
        ends = {"sigma_min": sigma_min, "sigma_max": sigma_max}
        for name, value in ends.items():
            ends[name] = getattr(denoiser, name, None) if value is None else value
            if ends[name] is None:
                raise ValueError(f"{name} must be given for {type(denoiser).__name__}, which has no such attribute")
        self.schedule = edm(**ends)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor, t: Any, *args: Any, **options: Any) -> torch.Tensor:
        """Return the clean data for x at t, a number or one for each sample; the rest is for the denoiser."""
        times = torch.as_tensor(t, dtype=torch.float64, device="cpu")
        sigma = self.schedule.alpha_sigma(times)[1].to(x.device, x.dtype)
        return self.denoiser(x, sigma.expand(x.shape[0]), *args, **options)

    def as_denoiser(self, model: Callable[..., torch.Tensor] | None = None) -> KDenoiser:
        """Return a model of this schedule that predicts x0, such as a guided one, in the place of ``denoiser``."""
        return KDenoiser(self, self if model is None else model)


class KDenoiser(nn.Module):
    """A model(x, t) that is called as a denoiser of k-diffusion, and has the attributes of the one it stands for."""

    def __init__(self, adapter: KDiffusionDenoiser, model: Callable[..., torch.Tensor]):
        super().__init__()
        if not callable(model):
            raise TypeError(f"model must be callable as model(x, t), got {type(model).__name__}")
        self.denoiser, self.schedule, self.model = adapter.denoiser, adapter.schedule, model

    def __getattr__(self, name: str) -> Any:
        """Return what this module lacks from the denoiser, for samplers that look at it."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("denoiser"), name)

    def forward(self, x: torch.Tensor, sigma: Any, *args: Any, **options: Any) -> torch.Tensor:
        """Return the clean data for x = x0 + sigma eps."""
        sigma = torch.as_tensor(sigma, device="cpu").double()
        if not bool((sigma >= 0).all()):
            raise ValueError(f"sigma must not be negative or NaN, got {float(sigma.min()):g}")
        low, high = (math.exp(-each / 2) for each in reversed(self.schedule.range))
        t = self.schedule.time_of(-2 * sigma.clamp(low, high).log())
        return self.model(x, t, *args, **options)
