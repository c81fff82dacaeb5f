"""What the models of sequences share: residual blocks between a linear map into them and one out of them."""

from __future__ import annotations  # as text: the documentation is built without torch

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lina.torch.layers.block import ResidualBlock
from lina.torch.layers.checks import MOST_BLOCKS, check_count, check_dtype, check_samples
from lina.torch.layers.parameter_groups import parameter_groups
from lina.torch.layers.rtf import RTF
from lina.torch.layers.s4 import S4
from lina.torch.layers.s4d import S4D

LAYERS: dict[str, Callable[..., nn.Module]] = {"s4": S4, "s4d": S4D, "rtf": RTF}


def layer_maker(layer: Any, state: int | None, options: dict[str, Any]) -> Callable[[int], nn.Module]:
    """Return the function from a number of channels to a layer that ``layer`` names or is."""
    if isinstance(layer, str) and layer in LAYERS:
        return lambda channels: LAYERS[layer](channels, 64 if state is None else state, **options)
    if isinstance(layer, nn.Module):
        raise TypeError(
            f"layer must make a new layer for each block: give lambda channels: ..., got one {type(layer).__name__}"
        )
    if not callable(layer):
        wanted = f"one of {', '.join(map(repr, LAYERS))} or a function from the number of channels to a layer"
        raise (ValueError if isinstance(layer, str) else TypeError)(f"layer must be {wanted}, got {layer!r}")
    options = options if state is None else {"state": state, **options}
    if options:
        raise TypeError(f"{', '.join(options)} must not be given with a function as layer, which knows its own options")
    return layer


class Stack(nn.Module):
    """What the models share: encoder, blocks and norm, of whole sequences, of parts and sample by sample."""

    def __init__(
        self, inputs: int, outputs: int, make: Callable[[int], nn.Module], width: int, depth: int, dropout: float
    ):
        super().__init__()
        self.width, depth = check_count(width, "width", 1), check_count(depth, "depth", 1, MOST_BLOCKS)
        self.encoder = nn.Linear(inputs, self.width)
        self.blocks = nn.ModuleList(ResidualBlock(make(self.width), dropout=dropout) for _ in range(depth))
        for block in self.blocks:
            if block.channels != self.width:
                raise ValueError(f"layer must make layers of width = {self.width} channels, got {block.channels}")
        self.norm = nn.LayerNorm(self.width)
        self.decoder = nn.Linear(self.width, outputs)

    @property
    def bidirectional(self) -> bool:
        """Whether a layer looks ahead, so that there are no states."""
        return any(getattr(block.layer, "bidirectional", False) for block in self.blocks)

    def parameter_groups(
        self, lr: float, *, state_lr: float | None = None, weight_decay: float = 0.0
    ) -> list[dict[str, Any]]:
        """Return groups of parameters for an optimiser, as `lina.torch.parameter_groups` does of this module."""
        return parameter_groups(self, lr, state_lr=state_lr, weight_decay=weight_decay)

    def check_input(self, x: Any, name: str, shape: str) -> None:
        """Raise TypeError or ValueError unless ``x`` holds finite samples of this model, of the named shape."""
        check_samples(x, self.encoder.in_features, name, shape)
        check_dtype(x, self.encoder.weight.dtype, name)

    def check_states(self, states: Any, name: str) -> None:
        """Raise TypeError unless ``states`` is a tuple with one entry for each block, which looks at it itself."""
        if not isinstance(states, tuple) or len(states) != len(self.blocks):
            found = type(states).__name__ + (f" of {len(states)}" if isinstance(states, tuple) else "")
            raise TypeError(f"{name} must be a tuple of the states of {len(self.blocks)} blocks, got {found}")

    def initial_states(self, batch: int) -> tuple[Any, ...]:
        """Return the states of the blocks before any sample."""
        found = []
        for i, block in enumerate(self.blocks):
            try:
                found.append(block.initial_state(batch))
            except ValueError as error:
                raise ValueError(f"block {i}: {error}") from None
        return tuple(found)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the decoder reads of samples (batch, length, inputs): (batch, length, width)."""
        h = self.encoder(x)
        for block in self.blocks:
            h = block(h)
        return self.norm(h)

    def next_features(self, method: str, x: torch.Tensor, states: Any) -> tuple[torch.Tensor, tuple[Any, ...]]:
        """Return the same by a method of the blocks, "step" or "prefill", and the states after it."""
        h, after = self.encoder(x), []
        for block, state in zip(self.blocks, states, strict=True):
            h, state = getattr(block, method)(h, state)
            after.append(state)
        return self.norm(h), tuple(after)
