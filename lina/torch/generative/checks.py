"""What the losses and reports check of samples and of what a network makes of them."""

from __future__ import annotations  # as text: the documentation is built without torch

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lina.torch.layers.checks import check_real, is_traced


def check_module(model: Any, name: str) -> None:
    """Raise TypeError unless ``model`` is a module, whose parameters can be told from its input."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {type(model).__name__}")


def check_samples(x: Any, name: str) -> None:
    """Raise TypeError or ValueError unless x is a tensor (batch, ...) of finite real floats, none of its axes empty."""
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        found = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
        raise TypeError(f"{name} must be a torch tensor of real floats, got {found}")
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(f"{name} must have shape (batch, ...), at least two axes and none empty, got {tuple(x.shape)}")
    check_finite(x, f"{name} must be finite, found NaN or infinities")


def check_like(z: Any, x: torch.Tensor, name: str, other: str) -> None:
    """Raise ValueError unless ``z`` has the shape, dtype and device of ``x``."""
    if z.shape != x.shape:
        raise ValueError(f"{name} must have the shape {tuple(x.shape)} of {other}, got {tuple(z.shape)}")
    if z.dtype != x.dtype or z.device != x.device:
        wanted = f"{x.dtype} on {x.device}, as {other} is"
        raise ValueError(f"{name} must be {wanted}, got {z.dtype} on {z.device}")


def check_finite(x: torch.Tensor, message: str) -> None:
    """Raise ValueError with a message where ``x`` holds NaN or infinities; a trace has no values to look at."""
    if not is_traced() and not bool(torch.isfinite(x.detach()).all()):
        raise ValueError(message)


def check_weight(value: Any, name: str) -> float:
    """Return a finite number that is not negative."""
    number = check_real(value, name)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be finite and not negative, got {number}")
    return number


def same_shape(model: Callable[[torch.Tensor], Any], y: torch.Tensor, name: str = "model") -> torch.Tensor:
    """Return ``model(y)`` in the dtype of ``y``, after a look whether it has the shape of ``y``."""
    found = model(y)
    if not isinstance(found, torch.Tensor):
        raise TypeError(f"{name} must return a tensor, got {type(found).__name__}")
    if found.shape != y.shape:
        wanted = f"samples of the shape {tuple(y.shape)} that it was given"
        raise ValueError(f"{name} must return {wanted}, to which it can be applied again, got {tuple(found.shape)}")
    return found.to(y.dtype)


def full_precision(x: torch.Tensor) -> torch.autocast:
    """Return a context in which autocast rounds nothing on the device of ``x``."""
    return torch.autocast(x.device.type, enabled=False)


def check_full_precision(x: Any, name: str, parameter: torch.Tensor) -> torch.Tensor:
    """Return x in the dtype of a parameter, into which autocast brings it; raise TypeError for others and for half."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(x).__name__}")
    if torch.finfo(parameter.dtype).bits < 32:
        raise TypeError(f"parameters must be float32 or float64 for an inverse to have digits, got {parameter.dtype}")
    if torch.is_autocast_enabled(x.device.type) and x.is_floating_point():
        return x.to(parameter.dtype)
    if x.dtype != parameter.dtype:
        raise TypeError(f"{name} must have the dtype of the parameters, {parameter.dtype}, got {x.dtype}")
    return x
