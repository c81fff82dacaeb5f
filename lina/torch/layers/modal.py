"""Parameters of a layer whose system is given by modes, one of each conjugate pair."""

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from lina.torch.layers.layer import StateSpaceLayer

# Bounds of logarithms that no training comes near: beyond, exponentials would overflow and gradients be NaN.
_WITHIN = 20.0
# Slowest decay of a mode at the beginning, where its measure has none: an exponential cannot be 0.
_SLOWEST = 1e-4


class ModalLayer(StateSpaceLayer):
    """Modes Lambda = -exp(log_decay) + i frequency, so that no training makes one grow, with weights B and C.

    Complex parameters are kept as pairs of real numbers on their last axis. Modes that make an odd number of states, or
    that a measure has, are real and stay so: they come first and have half weight.
    """

    pole_parameters: tuple[str, ...] = ("log_decay", "frequency", "B", "log_dt")

    def __init__(
        self,
        channels: int,
        state: int,
        modes: tuple[np.ndarray, np.ndarray],
        steps: tuple[float, float],
        reverse: Any,
    ):
        super().__init__(channels, state, reverse)
        Lambda, B = modes
        decay = np.maximum(-Lambda.real, _SLOWEST)
        self.log_dt = nn.Parameter(_log_uniform(self.channels, *steps))
        self.log_decay = self._parameter(np.log(decay))
        self.frequency = self._parameter(Lambda.imag)
        self.B = self._parameter(pairs_of(B))
        self.C = nn.Parameter(torch.randn(self.channels, len(Lambda), 2) * math.sqrt(0.5))
        moving = torch.ones(len(Lambda))
        self._real_modes = 2 * len(Lambda) - self.state
        moving[: self._real_modes] = 0
        self.register_buffer("_moving", moving, persistent=False)

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.pole_parameters, "C", "D")

    @property
    def state_size(self) -> int:
        """Number of complex entries of the state of a channel: pairs and real modes."""
        return int(self.C.shape[-2])

    def _parameter(self, values: np.ndarray) -> nn.Parameter:
        """Return a parameter that has the same values in every channel."""
        return nn.Parameter(
            torch.tensor(values, dtype=torch.get_default_dtype()).repeat(self.channels, *[1] * values.ndim)
        )

    def _complex(self, pairs: torch.Tensor) -> torch.Tensor:
        """Return complex numbers, without the imaginary part of a mode that is real."""
        pairs = pairs.to(self.dtype)
        imaginary = pairs[..., 1]
        return torch.complex(pairs[..., 0], imaginary * self._moving if self._real_modes else imaginary)

    def continuous(self) -> tuple[torch.Tensor, ...]:
        """Return Lambda, B, C (channels, n) and dt (channels,) of the continuous systems and their steps."""
        decay = torch.exp(self.log_decay.to(self.dtype).clamp(-_WITHIN, _WITHIN))
        frequency = self.frequency.to(self.dtype)
        Lambda = torch.complex(-decay, frequency * self._moving if self._real_modes else frequency)
        dt = torch.exp(self.log_dt.to(self.dtype).clamp(-_WITHIN, _WITHIN))
        return Lambda, self._complex(self.B), self._complex(self.C), dt


def pairs_of(values: np.ndarray) -> np.ndarray:
    """Return real and imaginary parts on a last axis."""
    return np.stack([values.real, values.imag], axis=-1)


def _log_uniform(channels: int, least: float, most: float) -> torch.Tensor:
    """Return logarithms of steps, uniform between those of the bounds."""
    for name, value in (("dt_min", least), ("dt_max", most)):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not 0 < least <= most < math.inf:
        raise ValueError(f"dt_min and dt_max must be finite and 0 < dt_min <= dt_max, got {least} and {most}")
    return torch.rand(channels) * math.log(most / least) + math.log(least)


def twice_real(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return 2 Re sum_n conj(x_n) y_n, as a product of real numbers that are side by side in memory."""
    return (torch.view_as_real(2 * x) * torch.view_as_real(y)).sum((-2, -1))
