"""A layer of systems within a residual network: what is between it and the next one."""

from __future__ import annotations  # as text: the documentation is built without torch

from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu, glu

from lina.hippo._measures import check_number
from lina.torch.layers.checks import check_dtype, check_samples
from lina.torch.layers.parameter_groups import parameter_groups

_NEEDED = ("channels", "initial_state", "step", "prefill")


class ResidualBlock(nn.Module):
    """Add to a sequence what a layer makes of it: x + dropout(GLU(W dropout(gelu(layer(norm(x)))) + b)).

    Parameters
    ----------
    layer : module
        `S4`, `S4D`, `RTF`, or another one with ``channels``, ``initial_state``, ``step`` and ``prefill`` as they have.
    dropout : float
        Probability, in [0, 1), with which an entry is set to 0 in training, in both places.

    Raises
    ------
    TypeError
        If ``layer`` is no such module, or ``dropout`` no number; in a call, if ``x`` is no tensor of real floats or
        (outside of autocast) has not the dtype of the parameters.
    ValueError
        If ``dropout`` is out of range; in a call, if a shape does not fit, ``x`` is empty or not finite.

    Notes
    -----
    The norm comes before the layer (pre-norm), so that the identity runs through a stack of blocks from end to end. W
    maps the channels to twice as many, of which the second half gates the first: 4 channels^2 flops a sample beside
    those of the layer. `forward`, `prefill` in parts and `step` return the same numbers, unless something is dropped.

    Source: Gu, Goel, Re, "Efficiently modeling long sequences with structured state spaces", 2022; He et al., "Identity
    mappings in deep residual networks", 2016, for the place of the norm.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import S4D, ResidualBlock
    >>> block = ResidualBlock(S4D(4, 16)).double()
    >>> x = torch.randn(2, 50, 4, dtype=torch.float64)
    >>> y, state = block.prefill(x[:, :-1])
    >>> y_t, state = block.step(x[:, -1], state)
    >>> torch.allclose(y_t, block(x)[:, -1])
    True
    """

    def __init__(self, layer: nn.Module, *, dropout: float = 0.0):
        super().__init__()
        missing = [name for name in _NEEDED if not hasattr(layer, name)]
        if not isinstance(layer, nn.Module) or missing:
            found = type(layer).__name__ + (f" without {', '.join(missing)}" if missing else "")
            raise TypeError(f"layer must be a module with {', '.join(_NEEDED)}, as S4, S4D and RTF are, got {found}")
        self.channels: int = layer.channels
        self.norm = nn.LayerNorm(self.channels)
        self.layer = layer
        self.mix = nn.Linear(self.channels, 2 * self.channels)
        self.dropout = nn.Dropout(check_dropout(dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sequence x (batch, length, channels) with what the layer adds to it, in the same shape."""
        self._check(x, "x", "(batch, length, channels)")
        return x + self._mixed(self.layer(self.norm(x)))

    def initial_state(self, batch: int) -> Any:
        """Return the state of the layer before any sample."""
        return self.layer.initial_state(batch)

    def step(self, x_t: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Return the output (batch, channels) of the sample x_t (batch, channels), and the state after it."""
        self._check(x_t, "x_t", "(batch, channels)")
        y_t, state = self.layer.step(self.norm(x_t), state)
        return x_t + self._mixed(y_t), state

    def prefill(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        """Return what `forward` does of x (batch, length, channels) after what ``state`` has seen, and the state."""
        self._check(x, "x", "(batch, length, channels)")
        y, state = self.layer.prefill(self.norm(x), state)
        return x + self._mixed(y), state

    def _check(self, x: Any, name: str, shape: str) -> None:
        check_samples(x, self.channels, name, shape)
        check_dtype(x, self.norm.weight.dtype, name)

    def _mixed(self, y: torch.Tensor) -> torch.Tensor:
        return self.dropout(glu(self.mix(self.dropout(gelu(y))), dim=-1))

    def parameter_groups(
        self, lr: float, *, state_lr: float | None = None, weight_decay: float = 0.0
    ) -> list[dict[str, Any]]:
        """Return groups of parameters for an optimiser, as `lina.torch.parameter_groups` does of this module."""
        return parameter_groups(self, lr, state_lr=state_lr, weight_decay=weight_decay)


def check_dropout(value: Any) -> float:
    """Return ``value`` as a float in [0, 1)."""
    number = check_number(value, "dropout")
    if not 0 <= number < 1:
        raise ValueError(f"dropout must be in [0, 1), got {number}")
    return number
