"""Signals by blocks whose transforms stay in the cache, read and written where the caller has them."""

from collections.abc import Iterator
from typing import Any

import torch

# Channels side by side: as many as fill lines of the cache where those are the last axis in memory.
_CHANNELS = 32
# Numbers of the signals that are transformed at once.
AT_ONCE = 2**18


def blocks(u: torch.Tensor) -> Iterator[tuple[slice, list[slice]]]:
    """Yield blocks of the channels of signals (batch, channels, length), each with blocks of the batch."""
    B, H, L = u.shape
    width = max(_CHANNELS, AT_ONCE // (B * L))
    for c in range(0, H, width):
        size = max(1, AT_ONCE // (min(width, H - c) * L))
        yield slice(c, c + width), [slice(b, b + size) for b in range(0, B, size)]


def in_blocks(u: Any, *parameters: Any) -> bool:
    """Return whether u (batch, H, L) are real signals, not empty, of H channels with parameters (1, H, k) of each."""
    shapes = all(x.ndim == 3 and x.shape[0] == 1 and x.shape[1] == u.shape[-2] for x in parameters)
    return u.ndim == 3 and shapes and not u.is_complex() and all(n > 0 for n in u.shape)


def followed(*tensors: torch.Tensor) -> bool:
    """Return whether torch follows what is done with tensors, so that nothing may be written in place."""
    return torch._C._functorch.peek_interpreter_stack() is not None or any(x.requires_grad for x in tensors)


class Padded:
    """Memory for blocks with zeros behind them, used again and again."""

    def __init__(self, n: int):
        self.n, self._kept = n, torch.empty(0)

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Return the transform (..., n / 2 + 1) of real x (..., L)."""
        if self._kept.shape[:-1] != x.shape[:-1] or self._kept.dtype != x.dtype:
            self._kept = x.new_zeros((*x.shape[:-1], self.n))
        self._kept[..., : x.shape[-1]] = x
        return torch.fft.rfft(self._kept)
