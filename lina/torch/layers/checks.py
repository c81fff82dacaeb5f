"""What the layers check of their arguments."""

from numbers import Real
from typing import Any

import torch
from torch.autograd import forward_ad

from lina._core import checks
from lina._core.checks import real_number

_MOST = 2**40  # beyond it torch has errors of its own, which name no argument
MOST_BLOCKS = 2**16  # each takes a millisecond to make


def check_count(value: Any, name: str, least: int = 1, most: int = _MOST) -> int:
    """Return ``value`` as an int of at least ``least`` and at most ``most``."""
    return checks.check_count(value, name, least, most)


def is_traced() -> bool:
    """Return whether there are no values to look at: in forward mode, in a transform or a compiler."""
    transformed = torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None
    return transformed or forward_ad._current_level >= 0


def check_real(value: Any, name: str) -> float:
    """Return a real number of Python or of numpy as a float; a tensor is none, whose gradient would be lost."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    return real_number(value, name)


def check_samples(x: Any, channels: int, name: str, shape: str) -> None:
    """Raise TypeError or ValueError unless x holds finite samples of the shape that ``shape`` describes."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor of shape {shape}, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{name} must be of a real floating-point dtype, got {x.dtype}")
    if x.ndim != shape.count(",") + 1 or x.shape[-1] != channels:
        raise ValueError(f"{name} must have shape {shape} with {channels} channels, got {tuple(x.shape)}")
    if x.ndim == 3 and x.shape[1] == 0:
        raise ValueError(f"{name} must have at least one sample, got shape {tuple(x.shape)}")
    traced = torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None
    if not traced and not bool(torch.isfinite(x.detach().sum())) and not bool(torch.isfinite(x.detach()).all()):
        because = "if the data are finite, a parameter before this layer is not, as after training has diverged"
        raise ValueError(f"{name} must be finite, found NaN or infinities ({because})")


def check_dtype(x: torch.Tensor, dtype: torch.dtype, name: str) -> None:
    """Raise TypeError unless x has the dtype of parameters, or torch casts it."""
    if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"{name} must have the dtype of the parameters, {dtype}, got {x.dtype}")


def check_state(state: Any, shape: tuple[int, ...], dtype: torch.dtype, layer: str) -> None:
    """Raise TypeError or ValueError unless a state is a tensor of the shape and dtype of a layer."""
    if not isinstance(state, torch.Tensor):
        raise TypeError(
            f"state must be a tensor as initial_state, step or prefill return it, got {type(state).__name__}"
        )
    if tuple(state.shape) != shape or state.dtype != dtype:
        raise ValueError(
            f"state must have shape {shape} and dtype {dtype} for this {layer}, as its initial_state returns it, got "
            f"{tuple(state.shape)} and {state.dtype}"
        )
