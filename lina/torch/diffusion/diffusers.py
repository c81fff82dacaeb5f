"""DiffusersDenoiser: the networks of the diffusers package as models of this one, and back."""

from __future__ import annotations  # as text: the documentation is built without torch

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from lina.diffusion import Schedule, discrete, flow
from lina.torch.diffusion.checks import check_module
from lina.torch.diffusion.times import times_of

_PREDICTIONS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v", "flow_prediction": "flow"}
# What diffusers itself puts in place of a last entry without signal, where it needs a finite ratio.
_LEAST = 2.0**-24
# Pipelines in bfloat16 round the last timestep up.
_SLACK = 2.0**-8


class DiffusersDenoiser(nn.Module):
    """A network of diffusers, called as ``model(x, t)`` with t in [0, 1], with the schedule of its training.

    Parameters
    ----------
    unet : module
        Called as ``unet(x, timestep, *args, **options)`` with a timestep for each sample, which need not be whole (by
        its name where it is not the second parameter, as in transformers); it returns an object with ``sample``, or a
        tuple.
    scheduler : scheduler of diffusers
        With the table ``alphas_cumprod`` and the ``prediction_type`` of the training, as those of DDPM, DDIM, DPM++ and
        Euler, or of flow matching: a FlowMatch scheduler, or one of DPM++ or UniPC with ``use_flow_sigmas``. Nothing
        is called or changed in it; one with other steps or order is as good.

    Attributes
    ----------
    schedule : Schedule
        As of `lina.diffusion.discrete`; `lina.diffusion.flow` for flow matching, whose shift of times concerns the
        sampler only. A table that ends without signal gets 2^-24 there, or half of the entry before if that is less.
    prediction : {"eps", "x0", "v", "flow"}
        What it predicts.

    Raises
    ------
    TypeError
        If ``unet`` is no module; in a call, if it returns no tensor.
    ValueError
        If ``scheduler`` has no table, a prediction type that is none of these, or continuous timesteps, log(sigma) / 4,
        or if the network looks its timesteps up in a table; in a call, if a time is not in [0, 1], and of `as_unet`, if
        a timestep is beyond those of the training.

    Examples
    --------
    Guidance within a loop or a pipeline of diffusers::

        model = DiffusersDenoiser(unet, scheduler)
        guided = upsample_guidance(model, model.schedule, 2)
        unet = model.as_unet(guided, scale=2)     # pipeline.unet = unet
        for timestep in scheduler.timesteps:
            x = scheduler.step(unet(x, timestep).sample, timestep, x).prev_sample
    """

    def __init__(self, unet: nn.Module, scheduler: Any):
        super().__init__()
        check_module(unet, "unet")
        _check_timesteps(unet, scheduler)
        self.unet = unet
        names = list(inspect.signature(unet.forward).parameters)
        self.by_name = "timestep" in names[:1] + names[2:]
        self.schedule, self.last = _schedule_of(scheduler)
        name = "flow_prediction" if _matches_flows(scheduler) else _config(scheduler, "prediction_type", "epsilon")
        if name not in _PREDICTIONS:
            raise ValueError(f"scheduler must have a prediction_type of {', '.join(_PREDICTIONS)}, got {name!r}")
        self.prediction = _PREDICTIONS[name]

    def forward(self, x: torch.Tensor, t: Any, *args: Any, **options: Any) -> torch.Tensor:
        """Return the prediction for x at t, a number or one for each sample; the rest is for the network."""
        times = times_of(t, x).detach().cpu().double()
        if not bool(((times >= 0) & (times <= 1)).all()):
            found = f"{float(times.min()):g} to {float(times.max()):g}"
            raise ValueError(f"t must be in [0, 1], got {found}: timesteps are for as_unet()")
        timestep = (times * self.last).to(x.device, torch.float32).expand(len(x))
        if self.by_name:
            found = self.unet(x, *args, timestep=timestep, **options)
        else:
            found = self.unet(x, timestep, *args, **options)
        found = found[0] if isinstance(found, tuple) else getattr(found, "sample", found)
        if not isinstance(found, torch.Tensor):
            raise TypeError(f"unet must return a tensor, a tuple or an object with sample, got {type(found).__name__}")
        return found

    def as_unet(
        self, model: Callable[..., torch.Tensor] | None = None, *, scale: float | Sequence[float] = 1
    ) -> DiffusersUNet:
        """Return a model of this schedule and prediction, such as a guided one, in the place of ``unet``.

        ``scale``, that of the guidance, enlarges the ``sample_size`` of its configuration, a copy: pipelines take the
        size of their noise from it, where they are not told a height and width.
        """
        return DiffusersUNet(self, self if model is None else model, scale)


class DiffusersUNet(nn.Module):
    """A model(x, t) that is called as a network of diffusers, and has its config, dtype and device."""

    def __init__(self, denoiser: DiffusersDenoiser, model: Callable[..., torch.Tensor], scale: Any = 1):
        super().__init__()
        if not callable(model):
            raise TypeError(f"model must be callable as model(x, t), got {type(model).__name__}")
        self.unet, self.last, self.model = denoiser.unet, denoiser.last, model
        config = getattr(self.unet, "config", None)
        if config is not None:
            self.config = _changed(config)
            if getattr(config, "sample_size", None) is not None:
                self.register_to_config(sample_size=_enlarged(config.sample_size, scale))

    def register_to_config(self, **entries: Any) -> None:
        """Change entries of the configuration: the network, whose method this is elsewhere, keeps its own."""
        self.config = _changed(self.config, **entries)

    def __getattr__(self, name: str) -> Any:
        """Return what this module lacks from the network, for pipelines that look at it."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("unet"), name)

    def forward(
        self,
        sample: torch.Tensor | None = None,
        timestep: Any = None,
        *args: Any,
        hidden_states: torch.Tensor | None = None,
        return_dict: bool = True,
        **options: Any,
    ) -> Any:
        """Return an object with ``sample``, a tuple of it without ``return_dict``; transformers say hidden_states."""
        x = hidden_states if sample is None else sample
        if x is None or timestep is None:
            raise TypeError("sample and timestep must be given, got None")
        t = torch.as_tensor(timestep, device="cpu").double() / self.last
        if not bool(((t >= 0) & (t <= 1 + _SLACK)).all()):
            found = f"{float(t.min()) * self.last:g} to {float(t.max()) * self.last:g}"
            raise ValueError(f"timestep must be in [0, {self.last:g}], those of the training, got {found}")
        found = self.model(x, t.clamp(max=1.0), *args, **options)
        return _Output(found) if return_dict else (found,)


def _changed(config: Any, **entries: Any) -> Any:
    """Return a copy of a configuration, a frozen mapping of diffusers or an object, with other entries."""
    if isinstance(config, dict):
        return type(config)({**config, **entries})
    found = copy.copy(config)
    for name, value in entries.items():
        setattr(found, name, value)
    return found


def _enlarged(size: Any, scale: Any) -> Any:
    """Return a side, or as many as ``size`` or ``scale`` has, times the scale."""
    if not isinstance(size, (tuple, list)) and not isinstance(scale, (tuple, list)):
        return round(size * scale)
    sizes, scales = (tuple(each) if isinstance(each, (tuple, list)) else None for each in (size, scale))
    sizes, scales = sizes or (size,) * len(scales or ()), scales or (scale,) * len(sizes or ())
    if len(sizes) != len(scales):
        raise ValueError(f"scale must have as many entries as sample_size = {size}, got {scale}")
    return tuple(round(side * factor) for side, factor in zip(sizes, scales, strict=True))


class _Output(NamedTuple):
    sample: torch.Tensor


def _schedule_of(scheduler: Any) -> tuple[Schedule, float]:
    """Return the schedule and the timestep at t = 1."""
    count, table = _config(scheduler, "num_train_timesteps", None), getattr(scheduler, "alphas_cumprod", None)
    straight = _matches_flows(scheduler) or _config(scheduler, "use_flow_sigmas", False)
    if count is not None and (straight or _config(scheduler, "prediction_type", None) == "flow_prediction"):
        return flow(), float(count)  # a table beside it is of no use there, and of another schedule
    if table is None:
        wanted = "the table alphas_cumprod of its training, or be one of flow matching"
        raise ValueError(f"scheduler must have {wanted}, got {type(scheduler).__name__}")
    table = torch.as_tensor(table).detach().cpu().double()
    if table.ndim == 1 and table.numel() > 1 and table[-1] in (0, _LEAST):
        table = torch.cat([table[:-1], (table[-2:-1] / 2).clamp(max=_LEAST)])
    return discrete(table.numpy()), float(table.numel() - 1)


def _matches_flows(scheduler: Any) -> bool:
    return "FlowMatch" in type(scheduler).__name__


def _check_timesteps(unet: nn.Module, scheduler: Any) -> None:
    """Raise ValueError where a network is not given t times a number."""
    if _config(scheduler, "timestep_type", None) == "continuous":
        wanted = "timesteps proportional to t, but timestep_type='continuous' makes them log(sigma) / 4"
        raise ValueError(f"scheduler must have {wanted}")
    if _config(unet, "time_embedding_type", None) == "learned":
        wanted = "timesteps between whole ones, but time_embedding_type='learned' looks whole ones up in a table"
        raise ValueError(f"unet must take {wanted}")


def _config(scheduler: Any, name: str, default: Any) -> Any:
    return getattr(getattr(scheduler, "config", None), name, default)
