"""The blocks of a transformer over the cells of a grid, which see time by scales, shifts and gates."""

from __future__ import annotations  # as text: the documentation is built without torch

from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from lina.rope import grid_positions, rotate_axial


class AttentionBlock(nn.Module):
    """Add to rows (batch, cells, width) what attention over all cells and a perceptron make of them."""

    def __init__(self, width: int, heads: int, features: int, dropout: float):
        super().__init__()
        self.heads, self.head_dim = heads, width // heads
        self.norm, self.second_norm = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.query_norm, self.key_norm = nn.RMSNorm(self.head_dim), nn.RMSNorm(self.head_dim)
        self.projection, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.time = nn.Linear(features, 6 * width)
        nn.init.zeros_(self.time.weight)  # the gates are closed: a block starts as the identity
        nn.init.zeros_(self.time.bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: torch.Tensor, features: torch.Tensor, rotation: Any) -> torch.Tensor:
        """Return rows h of a grid at times with features (batch or 1, n); ``rotation`` turns queries and keys."""
        scale, shift, gate, scale_2, shift_2, gate_2 = self.time(features)[:, None].chunk(6, dim=-1)
        h = h + gate * self._attention(torch.addcmul(shift, self.norm(h), 1 + scale), rotation)
        y = self.widen(torch.addcmul(shift_2, self.second_norm(h), 1 + scale_2))
        return h + gate_2 * self.dropout(self.narrow(self.dropout(gelu(y))))

    def _attention(self, y: torch.Tensor, rotation: Any) -> torch.Tensor:
        batch, cells, width = y.shape
        parts = self.projection(y).reshape(batch, cells, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k = self.query_norm(parts[0]), self.key_norm(parts[1])
        if rotation is not None:
            q, k = rotation(q), rotation(k)
        found = scaled_dot_product_attention(q, k, parts[2])
        return self.dropout(self.out(found.transpose(1, 2).reshape(batch, cells, width)))


class AxialRotation:
    """The rotation of the rows of one grid, each axis by its own scaling."""

    def __init__(self, scalings: tuple[Any, Any], grid: tuple[int, int]):
        self.scalings, self.grid, self.positions = scalings, grid, grid_positions(*grid)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # frequencies are computed on the host
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return rows x (batch, heads, cells, head_dim), rotated."""
        where = torch.from_numpy(self.positions).to(x.device)
        # cosines of half precision are single, and attention wants queries of the dtype of the values
        return rotate_axial(x, where, self.scalings, lengths=self.grid).to(x.dtype)
