"""Transforms of many channels, by blocks of them whose spectra stay in the cache."""

from collections.abc import Callable
from typing import Any

import torch

# Numbers of the signals that are transformed at once.
AT_ONCE = 2**18


def by_channels(function: Callable[..., tuple[torch.Tensor, ...]], *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the tensors (..., H, k) that ``function`` makes of tensors (..., H, k), of one block of H at a time."""
    size = _block(*tensors)
    if size >= tensors[0].shape[-2]:
        return function(*tensors)
    blocks = [[part.contiguous() for part in x.split(size, -2)] for x in tensors]
    return tuple(torch.cat(parts, -2) for parts in zip(*map(function, *blocks), strict=True))


def _block(*tensors: torch.Tensor) -> int:
    """Return how many channels are done at once."""
    most = max(x.numel() for x in tensors) // max(1, tensors[0].shape[-2])
    return max(1, AT_ONCE // max(1, most))


def is_split(*tensors: Any) -> bool:
    """Return whether `by_channels` makes more than one block."""
    return share_channels(*tensors) and _block(*tensors) < tensors[0].shape[-2]


def share_channels(*tensors: Any) -> bool:
    """Return whether there are channels, on the last axis but one, and as many in all tensors."""
    return all(x.ndim > 1 and x.shape[-2] == tensors[0].shape[-2] for x in tensors)
