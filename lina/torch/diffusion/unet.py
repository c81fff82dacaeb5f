"""UNet: convolutions at several resolutions, without attention, so that it works at any size of image."""

from __future__ import annotations  # as text: the documentation is built without torch

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate, silu

from lina.diffusion import Schedule
from lina.torch.diffusion.checks import check_images, check_levels
from lina.torch.diffusion.times import TimeEmbedding
from lina.torch.layers.block import check_dropout
from lina.torch.layers.checks import MOST_BLOCKS, check_count


class ConvBlock(nn.Module):
    """Add to images what two convolutions make of them: the features of time scale and shift what is between."""

    def __init__(self, inputs: int, outputs: int, features: int, dropout: float = 0.0):
        super().__init__()
        self.norm = nn.GroupNorm(_groups(inputs), inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(features, 2 * outputs)
        self.second_norm = nn.GroupNorm(_groups(outputs), outputs)
        self.dropout = nn.Dropout(dropout)
        self.second = zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return images (batch, outputs, h, w) of x (batch, inputs, h, w) and features of time (batch or 1, n)."""
        h = self.second_norm(self.first(silu(self.norm(x))))
        scale, shift = self.time(silu(features))[..., None, None].chunk(2, dim=1)
        return self.skip(x) + self.second(self.dropout(silu(torch.addcmul(shift, h, 1 + scale))))


class UNet(nn.Module):
    """Predict from noisy images, by convolutions alone: a network that upsample guidance works with.

    Parameters
    ----------
    channels : int
        Of the images, and of what is predicted.
    width : int
        Channels at the full resolution.
    levels : sequence of int
        One entry for each resolution, each half of that before: its channels in units of ``width``.
    blocks : int
        Residual blocks at each level, on the way down and on the way up; one more is in the middle.
    dropout : float
        Probability, in [0, 1), with which an entry is set to 0 in training, at the coarsest level and in the middle.
    schedule : Schedule, optional
        Of `lina.diffusion`: the network then sees lambda(t), and a schedule that is shifted needs no other network.
        Without it, it sees t itself, or any other number that it was trained with: nothing says that 500 is a
        timestep and no time. A ``state_dict`` of one is not loaded into the other.

    Raises
    ------
    TypeError
        If a number is no int, or ``schedule`` none; in a call, if ``x`` is no tensor of the dtype of the parameters.
    ValueError
        If a number is out of range; in a call, if ``x`` has not the shape (batch, channels, height, width) with sides
        that are multiples of 2^(levels - 1), or ``t`` is not one number or one for each sample.

    Notes
    -----
    Called as ``model(x, t)``, with t a number or (batch,), as `lina.diffusion.sample` does. Each block is GroupNorm,
    SiLU and a 3 x 3 convolution, twice, with scale and shift by the features of time in between; levels are joined by
    a strided convolution, by repetition, and by concatenation on the way back. The last convolution of each block and
    of the network start from zero. Its view is bounded, and the mean of GroupNorm is all that it knows of the whole.
    torch.compile makes one graph of it; ``schedule``, which is evaluated on the host, breaks it once, so that
    ``fullgraph=True`` and torch.export need a network of t itself.

    Source: J. Ho et al., 2020, without attention; P. Dhariwal, A. Nichol, 2021, for scale and shift.

    Examples
    --------
    >>> import torch
    >>> from lina.diffusion import cosine, sample
    >>> from lina.torch import UNet
    >>> model = UNet(1, width=8, schedule=cosine())
    >>> with torch.no_grad():
    ...     images = sample(model, torch.randn(2, 1, 16, 16), cosine(), 5, prediction="v")
    >>> images.shape
    torch.Size([2, 1, 16, 16])
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int = 32,
        levels: Sequence[int] = (1, 2, 2),
        blocks: int = 1,
        dropout: float = 0.0,
        schedule: Schedule | None = None,
    ):
        super().__init__()
        self.channels, width = check_count(channels, "channels", 1), check_count(width, "width", 1)
        widths = [width * factor for factor in check_levels(levels, "(1, 2, 2)", 1)]
        blocks, features, dropout = check_count(blocks, "blocks", 1, MOST_BLOCKS), 4 * width, check_dropout(dropout)
        self.multiple = 2 ** (len(widths) - 1)
        self.time = TimeEmbedding(features, schedule)
        self.encoder = nn.Conv2d(channels, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.smaller, self.larger = nn.ModuleList(), nn.ModuleList()
        before, kept = width, []
        for level, wide in enumerate(widths):
            last = level == len(widths) - 1
            share = dropout if last else 0.0
            for _ in range(blocks):
                self.down.append(ConvBlock(before, wide, features, share))
                before = wide
                kept.append(wide)
            self.smaller.append(nn.Identity() if last else nn.Conv2d(wide, wide, 3, stride=2, padding=1))
        self.middle = ConvBlock(before, before, features, dropout)
        for level, wide in reversed(list(enumerate(widths))):
            share = dropout if level == len(widths) - 1 else 0.0
            for _ in range(blocks):
                self.up.append(ConvBlock(before + kept.pop(), wide, features, share))
                before = wide
            self.larger.append(nn.Identity() if level == 0 else nn.Conv2d(wide, wide, 3, padding=1))
        self.norm = nn.GroupNorm(_groups(width * levels[0]), width * levels[0])
        self.decoder = zeroed(nn.Conv2d(width * levels[0], channels, 3, padding=1))
        self.blocks = blocks

    def forward(self, x: torch.Tensor, t: Any) -> torch.Tensor:
        """Return the prediction for images x (batch, channels, height, width) at times t, in the same shape."""
        check_images(x, self.channels, self.encoder.weight, (self.multiple, self.multiple))
        features, h, kept = self.time(t, x), self.encoder(x), []
        down, up = iter(self.down), iter(self.up)
        for smaller in self.smaller:
            for _ in range(self.blocks):
                h = next(down)(h, features)
                kept.append(h)
            h = smaller(h)
        h = self.middle(h, features)
        for larger in self.larger:
            for _ in range(self.blocks):
                h = next(up)(torch.cat([h, kept.pop()], dim=1), features)
            if isinstance(larger, nn.Conv2d):
                h = larger(interpolate(h, scale_factor=2.0, mode="nearest"))
        return self.decoder(silu(self.norm(h)))


def zeroed(layer: Any) -> Any:
    """Return a layer that starts as zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _groups(channels: int) -> int:
    """Return the largest number of groups, up to 8, that divides the channels into more than one each."""
    return max(g for g in range(1, 9) if channels % g == 0 and (g == 1 or channels // g > 1))
