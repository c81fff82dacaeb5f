"""What the networks see of time: sines and cosines of t or of the signal-to-noise ratio, and a small perceptron."""

from __future__ import annotations  # as text: the documentation is built without torch

import math
from typing import Any

import torch
from torch import nn

from lina.diffusion import Schedule

# Times and ratios are both brought to 0 ... _SPAN, where the shortest wave has the length 2 pi and the longest _SPAN.
_SPAN = 1000.0
# Beyond these lambda nothing is left to tell apart: a schedule with infinite ends is read as one that has them.
_LARGEST = 20.0


class TimeEmbedding(nn.Module):
    """Return (batch, width) features of times t, of their lambda where there is a schedule."""

    def __init__(self, width: int, schedule: Schedule | None):
        super().__init__()
        if schedule is not None and not isinstance(schedule, Schedule):
            raise TypeError(f"schedule must be a Schedule of lina.diffusion or None, got {type(schedule).__name__}")
        self.schedule = schedule
        half = max(1, width // 2)
        self.register_buffer("rates", torch.exp(torch.linspace(0, -math.log(_SPAN), half)), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(2 * half, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Any, x: torch.Tensor) -> torch.Tensor:
        """Return the features of t, a number or (batch,), for the samples x."""
        angles = self._positions(t, x)[:, None] * self.rates
        return self.mlp(torch.cat([angles.sin(), angles.cos()], dim=1).to(x.dtype))

    def _positions(self, t: Any, x: torch.Tensor) -> torch.Tensor:
        t = times_of(t, x)
        if self.schedule is None:
            positions = _SPAN * t
        else:
            ratio = self.schedule.logsnr(t.cpu().double()).clamp(-_LARGEST, _LARGEST)
            positions = (ratio + _LARGEST) * (_SPAN / (2 * _LARGEST))
        return positions.to(x.device, torch.promote_types(x.dtype, torch.float32))


def times_of(t: Any, x: torch.Tensor) -> torch.Tensor:
    """Return times, a number or one for each sample of x, as real floats (1,) or (batch,)."""
    if not isinstance(t, torch.Tensor):
        try:
            t = torch.tensor(t, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"t must be a number or one for each sample, got {type(t).__name__}") from None
    if t.is_complex() or t.dtype == torch.bool:
        raise TypeError(f"t must be real, got {t.dtype}")
    if tuple(t.shape) not in ((), (1,), (x.shape[0],)):
        raise ValueError(f"t must be a number or have shape ({x.shape[0]},), one for each sample, got {tuple(t.shape)}")
    return (t if t.is_floating_point() else t.float()).reshape(-1)
