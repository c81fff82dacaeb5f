"""What the networks check of images."""

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import torch

from lina.torch.layers.checks import check_count

_Module = TypeVar("_Module", bound=torch.nn.Module)


def check_images(x: Any, channels: int, parameter: torch.Tensor, multiple: tuple[int, int]) -> None:
    """Raise TypeError or ValueError unless x is (batch, channels, h, w) with sides that are multiples of these."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"x must be a torch tensor of shape (batch, channels, height, width), got {type(x).__name__}")
    if x.dtype != parameter.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"x must have the dtype of the parameters, {parameter.dtype}, got {x.dtype}")
    if x.ndim != 4 or x.shape[1] != channels or 0 in x.shape:
        wanted = f"(batch, {channels}, height, width), without empty axes"
        raise ValueError(f"x must have shape {wanted}, got {tuple(x.shape)}")
    if x.shape[2] % multiple[0] or x.shape[3] % multiple[1]:
        wanted = f"a height and width that are multiples of {multiple[0]} and {multiple[1]}"
        raise ValueError(f"x must have {wanted}, got shape {tuple(x.shape)}")


def check_module(model: Any, name: str) -> None:
    """Raise TypeError unless a model is a module of torch."""
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"{name} must be a torch module, got {type(model).__name__}")


def copied(model: _Module) -> _Module:
    """Return a copy of a model; raise TypeError where it holds tensors of a graph, which torch does not copy."""
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        old = "the old nn.utils.weight_norm and spectral_norm keep one: use those of nn.utils.parametrizations"
        raise TypeError(f"model must be one that copies, without computed tensors as attributes ({old})") from error


def check_levels(levels: Any, example: str, least: int = 0) -> list[int]:
    """Return the entries of a sequence of positive ints, of which there are few: sizes are halved between them."""
    if isinstance(levels, (str, bytes)) or not isinstance(levels, Sequence):
        raise TypeError(f"levels must be a sequence of ints, one for each resolution, as {example}, got {levels!r}")
    check_count(len(levels), "number of levels", least, 32)
    return [check_count(each, "levels", 1) for each in levels]
