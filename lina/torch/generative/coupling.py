"""CouplingFlow: an invertible network of affine coupling layers."""

from __future__ import annotations  # as text: the documentation is built without torch

import torch
from torch import nn

from lina._core.array import check_count
from lina.torch.generative.checks import check_finite


class CouplingFlow(nn.Module):
    """An invertible map of vectors: coupling layers, each of which moves and scales one half as the other half says.

    Parameters
    ----------
    features : int
        Length of the vectors, at least 2.
    depth : int
        Number of coupling layers; every second one moves the other half.
    width : int
        Hidden units of the network in each layer.
    max_log_scale : float
        A layer scales by at most exp(max_log_scale) and no less than its reciprocal: the inverse keeps its digits.

    Raises
    ------
    TypeError
        If a number is none.
    ValueError
        If a number is out of range; in a call, if vectors have another length or are not finite.

    Notes
    -----
    ``flow(x)`` and ``flow.inverse(u)`` cost the same, one pass; ``flow.transform(x)`` returns the logarithm of the
    determinant of the Jacobian too. A new flow is the identity up to the order of the coordinates, which are put into a
    random one between the layers (from torch's generator, and kept as buffers).

    Source: L. Dinh et al., Density estimation using Real NVP, 2017.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import CouplingFlow
    >>> flow, x = CouplingFlow(5).double(), torch.ones(3, 5, dtype=torch.float64)
    >>> torch.allclose(flow.inverse(flow(x)), x, rtol=0, atol=1e-12)
    True
    """

    def __init__(self, features: int, *, depth: int = 6, width: int = 128, max_log_scale: float = 1.0):
        super().__init__()
        self.features = check_count(features, "features", 2)
        count, hidden = check_count(depth, "depth"), check_count(width, "width")
        if not 0 < max_log_scale < 16:
            raise ValueError(f"max_log_scale must be above 0 and below 16, got {max_log_scale}")
        self.layers = nn.ModuleList(_Coupling(self.features, hidden, max_log_scale) for _ in range(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the images u of vectors x (batch, features)."""
        return self.transform(x)[0]

    def transform(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return u and the logarithms of the determinants of du / dx (batch,)."""
        self._check(x, "x")
        log_determinant = x.new_zeros(len(x))
        for layer in self.layers:
            x, log_scale = layer(x)
            log_determinant = log_determinant + log_scale.sum(1)
        return x, log_determinant

    def inverse(self, u: torch.Tensor) -> torch.Tensor:
        """Return the vectors x whose images are u (batch, features)."""
        self._check(u, "u")
        for layer in reversed(self.layers):
            u = layer.inverse(u)
        return u

    def _check(self, x: torch.Tensor, name: str) -> None:
        if x.ndim != 2 or x.shape[1] != self.features:
            raise ValueError(f"{name} must have shape (batch, {self.features}), got {tuple(x.shape)}")
        check_finite(x, f"{name} must be finite, found NaN or infinities")


class _Coupling(nn.Module):
    """Permute, then keep the first coordinates, and scale and shift the others."""

    order: torch.Tensor
    back: torch.Tensor

    def __init__(self, features: int, width: int, max_log_scale: float):
        super().__init__()
        self.kept, self.max_log_scale = features // 2, max_log_scale
        moved = features - self.kept
        self.network = nn.Sequential(
            nn.Linear(self.kept, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2 * moved)
        )
        nn.init.zeros_(self.network[-1].weight)
        nn.init.zeros_(self.network[-1].bias)
        order = torch.randperm(features)
        self.register_buffer("order", order)
        self.register_buffer("back", torch.argsort(order))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kept, moved = self._halves(x[:, self.order])
        log_scale, shift = self._scale_and_shift(kept)
        return torch.cat([kept, moved * log_scale.exp() + shift], 1), log_scale

    def inverse(self, u: torch.Tensor) -> torch.Tensor:
        kept, moved = self._halves(u)
        log_scale, shift = self._scale_and_shift(kept)
        return torch.cat([kept, (moved - shift) * (-log_scale).exp()], 1)[:, self.back]

    def _halves(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x[:, : self.kept], x[:, self.kept :]

    def _scale_and_shift(self, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raw, shift = self.network(kept).chunk(2, dim=1)
        return self.max_log_scale * torch.tanh(raw / self.max_log_scale), shift
