"""What the attention functions check of their arguments."""

import math
from typing import Any

import torch
from torch.autograd import forward_ad

from lina._core.errors import GradientError
from lina.rope import RotaryScaling
from lina.torch.layers.checks import check_count, check_real

_MOST_POSITIONS = 2**53  # up to which float64 counts
_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def check_tensors(q: Any, k: Any, v: Any) -> None:
    """Raise TypeError or ValueError unless the shapes and dtypes of queries, keys and values belong together."""
    for name, x in (("q", q), ("k", k), ("v", v)):
        _check_tensor(x, name)
        if x.dtype != q.dtype or x.device != q.device:
            raise TypeError(
                f"{name} must have the dtype and device of q, {q.dtype} on {q.device}, got {x.dtype} on {x.device}"
            )
    batch, heads, rows, channels = q.shape
    if (
        k.shape[0] != batch
        or k.shape[3] != channels
        or (k.shape[1] == 0 and heads)
        or (k.shape[1] and heads % k.shape[1])
    ):
        wanted = f"({batch}, a divisor of {heads}, length, {channels})"
        raise ValueError(f"k must have shape {wanted} for q of shape {tuple(q.shape)}, got {tuple(k.shape)}")
    if v.shape != k.shape:
        raise ValueError(f"v must have the shape of k, {tuple(k.shape)}, got {tuple(v.shape)}")
    if rows > k.shape[2]:
        raise ValueError(f"q must have at most as many positions as k, its last ones, got {rows} and {k.shape[2]}")


def _check_tensor(x: Any, name: str) -> None:
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(x).__name__}")
    if x.dtype not in _DTYPES:
        raise TypeError(f"{name} must be float64, float32, bfloat16 or float16, got {x.dtype}")
    if x.ndim != 4:
        raise ValueError(f"{name} must have shape (batch, heads, length, head_dim), got {tuple(x.shape)}")


def check_scaling(scaling: Any, channels: int | None = None) -> None:
    """Raise TypeError or ValueError unless a scaling is one, and of this head size."""
    if not isinstance(scaling, RotaryScaling):
        raise TypeError(f"scaling must be a lina.rope.RotaryScaling, got {type(scaling).__name__}")
    if channels is not None and scaling.head_dim != channels:
        raise ValueError(f"q must have the head_dim of scaling, {scaling.head_dim}, as its last axis, got {channels}")


def check_new(k: Any, v: Any, channels: int, before: torch.Tensor | None) -> None:
    """Raise TypeError or ValueError unless keys and values can follow those ``before``."""
    _check_tensor(k, "k")
    check_tensors(k, k, v)
    if k.shape[-1] != channels:
        raise ValueError(f"k must have the head_dim of scaling, {channels}, as its last axis, got {k.shape[-1]}")
    if before is None:
        return
    if k.dtype != before.dtype or k.device != before.device:
        wanted = f"{before.dtype} on {before.device}"
        raise TypeError(f"k must have the dtype and device of the cache, {wanted}, got {k.dtype} on {k.device}")
    if k.shape[:2] != before.shape[:2]:
        wanted = f"{before.shape[0]} sequences and {before.shape[1]} heads"
        raise ValueError(f"k must have {wanted}, as the cache has, got shape {tuple(k.shape)}")


def check_scale(scale: Any, channels: int) -> float:
    """Return the factor on the logits."""
    if scale is None:
        return channels**-0.5
    number = check_real(scale, "scale")
    if not math.isfinite(number):
        raise ValueError(f"scale must be finite, got {number}")
    return number


def check_start(start: Any, length: Any) -> tuple[int, int | None]:
    """Return the position of the first key and the length that frequencies are for."""
    first = check_count(start, "start", 0, _MOST_POSITIONS)
    return first, None if length is None else check_count(length, "length", 1, _MOST_POSITIONS)


def check_lengths(lengths: Any, k: torch.Tensor) -> list[int]:
    """Return the length of each sequence, or raise for what are not as many between 0 and that of k."""
    if isinstance(lengths, torch.Tensor):
        if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
            raise TypeError(f"lengths must be integers, got {lengths.dtype}")
        lengths = lengths.tolist()
    if not hasattr(lengths, "__len__") or len(lengths) != k.shape[0]:
        found = len(lengths) if hasattr(lengths, "__len__") else type(lengths).__name__
        raise ValueError(f"lengths must have one entry for each of the {k.shape[0]} sequences, got {found}")
    counts = [check_count(each, f"lengths[{i}]", 0) for i, each in enumerate(lengths)]
    if max(counts, default=0) > k.shape[2]:
        raise ValueError(f"lengths must be at most the length of k, {k.shape[2]}, got {max(counts)}")
    return counts


def refuse_transforms(function: str, *tensors: torch.Tensor) -> None:
    """Raise GradientError in a transform of torch.func, and for tensors with a tangent."""
    if torch.compiler.is_compiling():
        return
    dual = forward_ad._current_level >= 0 and any(forward_ad.unpack_dual(x).tangent is not None for x in tensors)
    if dual or torch._C._functorch.peek_interpreter_stack() is not None:
        raise no_transform(function)


def no_transform(function: str) -> GradientError:
    """Return the error of what torch.func or forward mode is asked of."""
    return GradientError(f"{function} has no forward mode and takes no transform of torch.func: use torch.autograd")
