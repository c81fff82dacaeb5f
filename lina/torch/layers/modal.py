"""Parameters of a layer whose system is given by modes, one of each conjugate pair."""

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import pad

from lina.torch.layers.checks import check_real, is_traced
from lina.torch.layers.layer import StateSpaceLayer

# Bounds of logarithms that no training comes near: beyond, exponentials would overflow and gradients be NaN.
_WITHIN = 20.0
# Slowest decay of a mode at the beginning, where its measure has none: an exponential cannot be 0.
_SLOWEST = 1e-4


class ModalLayer(StateSpaceLayer):
    """Modes Lambda = -exp(log_decay) + i frequency, so that no training makes one grow, with weights B and C.

    Complex parameters are kept as pairs of real numbers on their last axis. Modes that make an odd number of states, or
    that a measure has, are real and stay so: they come first and have half weight.

    Whatever the precision of the parameters, modes and steps are formed in double: phases hold their products as often
    as there are samples. A state in single precision is multiplied by modes that are sums of two numbers.
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
        self._real_modes = 2 * len(Lambda) - self.state

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

    @property
    def _wide(self) -> torch.dtype:
        """Double precision, where the device has it."""
        return self.dtype if self.D.device.type == "mps" else torch.float64

    def _joined(self, real: torch.Tensor, imaginary: torch.Tensor) -> torch.Tensor:
        """Return complex numbers, without the imaginary part of a mode that is real."""
        imaginary = pad(imaginary[..., self._real_modes :], (self._real_modes, 0))
        return torch.complex(real.to(self._wide), imaginary.to(self._wide))

    def _complex(self, pairs: torch.Tensor) -> torch.Tensor:
        return self._joined(pairs[..., 0], pairs[..., 1])

    def _exponential(self, logarithm: torch.Tensor) -> torch.Tensor:
        return torch.exp(logarithm.to(self._wide).clamp(-_WITHIN, _WITHIN))

    def continuous(self) -> tuple[torch.Tensor, ...]:
        """Return Lambda, B, C (channels, n) and dt (channels,) of the continuous systems and their steps, in double."""
        Lambda = self._joined(-self._exponential(self.log_decay), self.frequency)
        return Lambda, self._complex(self.B), self._complex(self.C), self._exponential(self.log_dt)

    def _split(self, Lambda: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return factors in the precision of a state, and what their rounding left, if anything."""
        near = Lambda.to(self.state_dtype)
        return near, None if near.dtype == Lambda.dtype else (Lambda - near).to(near.dtype)


def pairs_of(values: np.ndarray) -> np.ndarray:
    """Return real and imaginary parts on a last axis."""
    return np.stack([values.real, values.imag], axis=-1)


def _log_uniform(channels: int, least: float, most: float) -> torch.Tensor:
    """Return logarithms of steps, uniform between those of the bounds."""
    least, most = check_real(least, "dt_min"), check_real(most, "dt_max")
    if not 0 < least <= most < math.inf:
        raise ValueError(f"dt_min and dt_max must be finite and 0 < dt_min <= dt_max, got {least} and {most}")
    return torch.rand(channels) * math.log(most / least) + math.log(least)


def moved(
    x: torch.Tensor, near: torch.Tensor, rest: torch.Tensor | None, B: torch.Tensor, u: torch.Tensor
) -> torch.Tensor:
    """Return (near + rest) x + B u for states (batch, channels, n) and inputs (batch, channels)."""
    after = B * u[..., None]
    add = torch.addcmul if is_traced() else torch.Tensor.addcmul_  # the latter fills no new memory
    for factor in (near,) if rest is None else (rest, near):
        after = add(after, factor, x)
    return after


def rows_of(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return real rows (..., 2 n) for `twice_real`, of complex x (..., n), in the precision of a complex dtype."""
    return torch.view_as_real(2 * x.to(dtype)).flatten(-2)


def twice_real(rows: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return 2 Re sum_n conj(x_n) y_n of the rows of x, a product of real numbers that are side by side in memory."""
    return (rows * torch.view_as_real(y).flatten(-2)).sum(-1)
