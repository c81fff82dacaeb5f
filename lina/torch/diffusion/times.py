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
        self.half = max(1, width // 2)
        self.mlp = nn.Sequential(nn.Linear(2 * self.half, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Any, x: torch.Tensor) -> torch.Tensor:
        """Return the features of t, a number or (batch,), for the samples x."""
        positions = self._positions(t, x)
        # no buffer, which a cast of the module would round: an angle is up to 1000 times its rate
        steps = torch.linspace(0, -math.log(_SPAN), self.half, dtype=positions.dtype, device=positions.device)
        angles = positions[:, None] * steps.exp()
        return self.mlp(torch.cat([angles.sin(), angles.cos()], dim=1).to(x.dtype))

    def get_extra_state(self) -> torch.Tensor:
        """Return whether features are those of lambda, for ``state_dict``: parameters alone do not say it."""
        return torch.tensor(self.schedule is not None)

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Raise ValueError unless loaded parameters saw what this module sees."""
        own, loaded = self.schedule is not None, bool(state)
        if own != loaded:
            names = {
                True: "a model with a schedule, which sees lambda",
                False: "a model without schedule, which sees t",
            }
            raise ValueError(f"state_dict must be that of {names[own]}, got that of {names[loaded]}")

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        state_dict.setdefault(f"{prefix}_extra_state", self.get_extra_state())  # of one that does not say it
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _positions(self, t: Any, x: torch.Tensor) -> torch.Tensor:
        t, dtype = times_of(t, x), torch.promote_types(x.dtype, torch.float32)
        if self.schedule is None:
            return _SPAN * t.to(x.device, dtype)
        ratio = _logsnr(self.schedule, t).clamp(-_LARGEST, _LARGEST)
        return ((ratio + _LARGEST) * (_SPAN / (2 * _LARGEST))).to(x.device, dtype)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # evaluated on the host: one break of a compiled graph, not ten
def _logsnr(schedule: Schedule, t: torch.Tensor) -> torch.Tensor:
    return schedule.logsnr(t.cpu().double())


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
