"""DiffusersDenoiser: the networks of the diffusers package as models of this one, and back."""

from __future__ import annotations  # as text: the documentation is built without torch

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from lina.diffusion import Schedule, discrete, flow
from lina.torch.diffusion.checks import check_module

_PREDICTIONS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v", "flow_prediction": "flow"}
# What diffusers itself puts in place of a last entry without signal, where it needs a finite ratio.
_LEAST = 2.0**-24


class DiffusersDenoiser(nn.Module):
    """A network of diffusers, called as ``model(x, t)`` with t in [0, 1], with the schedule of its training.

    Parameters
    ----------
    unet : module
        Called as ``unet(x, timestep, *args, **options)``; it returns an object with ``sample``, or a tuple.
    scheduler : scheduler of diffusers
        With the table ``alphas_cumprod`` and the ``prediction_type`` of the training, as those of DDPM, DDIM, DPM++ and
        Euler, or of flow matching. Nothing is called or changed in it; one with other steps or order is as good.

    Attributes
    ----------
    schedule : Schedule
        As of `lina.diffusion.discrete`; `lina.diffusion.flow` for flow matching, whose shift of times concerns the
        sampler only. A table that ends without signal gets 2^-24 there.
    prediction : {"eps", "x0", "v", "flow"}
        What it predicts.

    Raises
    ------
    TypeError
        If ``unet`` is no module; in a call, if it returns no tensor.
    ValueError
        If ``scheduler`` has no table, or a prediction type that is none of these.

    Examples
    --------
    Guidance within a loop or a pipeline of diffusers::

        model = DiffusersDenoiser(unet, scheduler)
        guided = upsample_guidance(model, model.schedule, 2, prediction=model.prediction)
        unet = model.as_unet(guided)              # pipeline.unet = unet
        for timestep in scheduler.timesteps:
            x = scheduler.step(unet(x, timestep).sample, timestep, x).prev_sample
    """

    def __init__(self, unet: nn.Module, scheduler: Any):
        super().__init__()
        check_module(unet, "unet")
        self.unet = unet
        self.schedule, self.last = _schedule_of(scheduler)
        name = "flow_prediction" if self.schedule.kind == "flow" else _config(scheduler, "prediction_type", "epsilon")
        if name not in _PREDICTIONS:
            raise ValueError(f"scheduler must have a prediction_type of {', '.join(_PREDICTIONS)}, got {name!r}")
        self.prediction = _PREDICTIONS[name]

    def forward(self, x: torch.Tensor, t: Any, *args: Any, **options: Any) -> torch.Tensor:
        """Return the prediction for x at t, a number or one for each sample; the rest is for the network."""
        timestep = torch.as_tensor(t, dtype=torch.float64, device="cpu") * self.last
        found = self.unet(x, timestep.to(x.device, torch.float32), *args, **options)
        found = found[0] if isinstance(found, tuple) else getattr(found, "sample", found)
        if not isinstance(found, torch.Tensor):
            raise TypeError(f"unet must return a tensor, a tuple or an object with sample, got {type(found).__name__}")
        return found

    def as_unet(self, model: Callable[..., torch.Tensor] | None = None) -> DiffusersUNet:
        """Return a model of this schedule and prediction, such as a guided one, in the place of ``unet``."""
        return DiffusersUNet(self, self if model is None else model)


class DiffusersUNet(nn.Module):
    """A model(x, t) that is called as a network of diffusers, and has its config, dtype and device."""

    def __init__(self, denoiser: DiffusersDenoiser, model: Callable[..., torch.Tensor]):
        super().__init__()
        if not callable(model):
            raise TypeError(f"model must be callable as model(x, t), got {type(model).__name__}")
        self.unet, self.last, self.model = denoiser.unet, denoiser.last, model

    def __getattr__(self, name: str) -> Any:
        """Return what this module lacks from the network, for pipelines that look at it."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("unet"), name)

    def forward(self, sample: torch.Tensor, timestep: Any, *args: Any, return_dict: bool = True, **options: Any) -> Any:
        """Return an object with ``sample``, a tuple of it without ``return_dict``."""
        t = torch.as_tensor(timestep, device="cpu").double() / self.last
        found = self.model(sample, t.clamp(0.0, 1.0), *args, **options)
        return _Output(found) if return_dict else (found,)


class _Output(NamedTuple):
    sample: torch.Tensor


def _schedule_of(scheduler: Any) -> tuple[Schedule, float]:
    """Return the schedule and the timestep at t = 1."""
    table = getattr(scheduler, "alphas_cumprod", None)
    if table is None:
        count = _config(scheduler, "num_train_timesteps", None)
        if "FlowMatch" not in type(scheduler).__name__ or count is None:
            wanted = "the table alphas_cumprod of its training, or be one of flow matching"
            raise ValueError(f"scheduler must have {wanted}, got {type(scheduler).__name__}")
        return flow(), float(count)
    table = torch.as_tensor(table).detach().cpu().double()
    if table.ndim == 1 and table.numel() and table[-1] == 0:
        table = torch.cat([table[:-1], table.new_tensor([_LEAST])])
    return discrete(table.numpy()), float(table.numel() - 1)


def _config(scheduler: Any, name: str, default: Any) -> Any:
    return getattr(getattr(scheduler, "config", None), name, default)
