"""UViT: convolutions where images are large, and a transformer at the coarse level that holds the parameters."""

from __future__ import annotations  # as text: the documentation is built without torch

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate

from lina._core.checks import check_option
from lina.diffusion import Schedule
from lina.rope import RotaryScaling
from lina.torch.diffusion.attention_block import AttentionBlock, AxialRotation
from lina.torch.diffusion.checks import check_images, check_levels
from lina.torch.diffusion.times import TimeEmbedding
from lina.torch.diffusion.unet import ConvBlock, zeroed
from lina.torch.layers.block import check_dropout
from lina.torch.layers.checks import MOST_BLOCKS, check_count

# Of rotary positions: grids have few cells along an axis, and angles slower than one turn in some 600 tell nothing.
_BASE = 100.0


class UViT(nn.Module):
    """Predict from noisy images by attention over a coarse grid, with convolutions around it: for large images.

    Parameters
    ----------
    channels : int
        Of the images, and of what is predicted.
    size : int or (int, int)
        Height and width of the images in training.
    patch : int
        Side of the patches that one strided convolution makes cells of, right after the input.
    levels : sequence of int
        Channels of a residual block of convolutions at each resolution after the patches, each of which is then
        halved; none by default. Choose them and ``patch`` such that the grid of the transformer is 16 x 16 or less:
        where images grow, it stays as it is.
    width, depth, heads : int
        Of the transformer: its channels, a multiple of 4 heads, blocks and heads. This is the level to enlarge.
    positions : {"learned", "rotary"} or RotaryScaling
        One learned vector for each cell, or rotations of queries and keys along both axes, by lina.rope: each axis has
        half of the coordinates. "rotary" has the base 100; a scaling of the kind "none" for another base.
    dropout : float
        Probability, in [0, 1), with which an entry is set to 0 in training, in the transformer only: at coarse levels
        it costs the details nothing.
    schedule : Schedule, optional
        As in `UNet`.

    Attributes
    ----------
    scaling : RotaryScaling or None
        Of each axis, with the length of the trained grid as ``original_length``.
    grid : (int, int)
        The cells of the transformer in training.

    Raises
    ------
    TypeError
        If an argument has another type; in a call, if ``x`` is no tensor of the dtype of the parameters.
    ValueError
        If a number is out of range or sizes are no multiples; in a call, if ``x`` has not the shape (batch, channels,
        height, width) with sides that are multiples of patch 2^len(levels), or a scaling does not fit.

    Notes
    -----
    Called as ``model(x, t, scaling=None)``. At another size than in training learned positions are interpolated
    linearly; rotary ones go on, or are scaled by the ``scaling`` of the call, one or a pair of them, for example
    "linear" with the factor 2 for twice the size; logit scales are not applied. Attention over the whole image is what
    `lina.diffusion.upsample_guidance` is known to fail with: `guidance_obstacles` says so. torch.compile makes one
    graph of it with learned positions and without ``schedule``, which breaks it once; rotary ones do in each block.

    Source: E. Hoogeboom et al., simple diffusion, 2023, for the rules; W. Peebles, S. Xie, 2023, for the blocks.

    Examples
    --------
    >>> import torch
    >>> from lina.rope import RotaryScaling
    >>> from lina.torch import UViT
    >>> model = UViT(3, 32, patch=2, levels=(16,), width=32, depth=2, heads=2, positions="rotary")
    >>> model.grid
    (8, 8)
    >>> twice = RotaryScaling("linear", head_dim=8, original_length=8, factor=2)
    >>> model(torch.randn(1, 3, 64, 64), 0.5, scaling=twice).shape
    torch.Size([1, 3, 64, 64])
    """

    def __init__(
        self,
        channels: int,
        size: int | tuple[int, int],
        *,
        patch: int = 2,
        levels: Sequence[int] = (),
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        positions: str | RotaryScaling = "learned",
        dropout: float = 0.0,
        schedule: Schedule | None = None,
    ):
        super().__init__()
        self.channels, patch = check_count(channels, "channels", 1), check_count(patch, "patch", 1)
        width, heads = check_count(width, "width", 1), check_count(heads, "heads", 1)
        if width % (4 * heads):
            raise ValueError(f"width must be a multiple of 4 heads = {4 * heads}, got {width}")
        wide = check_levels(levels, "(32, 64)")
        self.multiple = patch * 2 ** len(wide)
        self.grid = _grid(size, self.multiple)
        features = 2 * width
        self.time = TimeEmbedding(features, schedule)
        at_levels = [*wide, width]
        self.encoder = nn.Conv2d(channels, at_levels[0], patch, stride=patch)
        self.down = nn.ModuleList(ConvBlock(each, each, features) for each in wide)
        pairs = list(pairwise(at_levels))
        self.smaller = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.larger = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(ConvBlock(2 * each, each, features) for each in wide)
        dropout = check_dropout(dropout)
        self.blocks = nn.ModuleList(
            AttentionBlock(width, heads, features, dropout) for _ in range(check_count(depth, "depth", 1, MOST_BLOCKS))
        )
        self.scaling = _scaling(positions, width // heads // 2, max(self.grid))
        self.positions = None
        if self.scaling is None:
            self.positions = nn.Parameter(0.02 * torch.randn(1, width, *self.grid))
        self.norm = nn.GroupNorm(1, at_levels[0])
        self.decoder = zeroed(nn.ConvTranspose2d(at_levels[0], channels, patch, stride=patch))

    def forward(self, x: torch.Tensor, t: Any, *, scaling: Any = None) -> torch.Tensor:
        """Return the prediction for images x (batch, channels, height, width) at times t, in the same shape."""
        check_images(x, self.channels, self.encoder.weight, (self.multiple, self.multiple))
        features, h, kept = self.time(t, x), self.encoder(x), []
        for block, smaller in zip(self.down, self.smaller, strict=True):
            h = block(h, features)
            kept.append(h)
            h = smaller(h)
        h = self._transformed(h, features, scaling)
        for block, larger in zip(reversed(self.up), reversed(self.larger), strict=True):
            h = block(torch.cat([larger(h), kept.pop()], dim=1), features)
        return self.decoder(self.norm(h))

    def _transformed(self, h: torch.Tensor, features: torch.Tensor, scaling: Any) -> torch.Tensor:
        """Return what the transformer makes of cells h (batch, width, rows, columns)."""
        grid = (h.shape[2], h.shape[3])
        rotation = None
        if self.scaling is None:
            if scaling is not None:
                raise ValueError(f"scaling must be None for learned positions, got {scaling!r}")
            table = self.positions
            h = h + (table if grid == self.grid else interpolate(table, grid, mode="bilinear", align_corners=False))
        else:
            rotation = AxialRotation(_pair(scaling, self.scaling), grid)
        y = h.flatten(2).transpose(1, 2)
        for block in self.blocks:
            y = block(y, features, rotation)
        return y.transpose(1, 2).reshape(h.shape)


def _pair(scaling: Any, own: RotaryScaling) -> tuple[RotaryScaling, RotaryScaling]:
    """Return the scaling of each axis, of what a call was given; the trained one unless it was."""
    first, *others = scaling if isinstance(scaling, (tuple, list)) and scaling else (scaling or own,) * 2
    if len(others) != 1 or not all(isinstance(each, RotaryScaling) for each in (first, *others)):
        raise TypeError(f"scaling must be a RotaryScaling or a pair of them, got {scaling!r}")
    for each in (first, others[0]):
        if each.head_dim != own.head_dim:
            raise ValueError(
                f"scaling must have head_dim = {own.head_dim}, half of that of the heads, got {each.head_dim}"
            )
    return first, others[0]


def _grid(size: Any, multiple: int) -> tuple[int, int]:
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"size must be a number or a height and a width, got {size!r}")
    for side in sides:
        if check_count(side, "size", 1) % multiple:
            raise ValueError(f"size must be a multiple of patch 2^len(levels) = {multiple}, got {size}")
    return sides[0] // multiple, sides[1] // multiple


def _scaling(positions: Any, head_dim: int, length: int) -> RotaryScaling | None:
    """Return the scaling of an axis, None for learned positions."""
    if isinstance(positions, RotaryScaling):
        if positions.head_dim != head_dim:
            raise ValueError(f"positions must have head_dim = {head_dim}, width / heads / 2, got {positions.head_dim}")
        return positions
    check_option(positions, ("learned", "rotary"), "positions")
    if positions == "learned":
        return None
    return RotaryScaling("none", head_dim=head_dim, original_length=length, base=_BASE)
