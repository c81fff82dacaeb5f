"""CouplingFlow: an invertible network of affine coupling layers."""

from __future__ import annotations  # as text: the documentation is built without torch

import torch
from torch import nn

from lina.hippo._measures import check_number
from lina.torch.generative.checks import check_finite, check_full_precision, full_precision
from lina.torch.layers.checks import MOST_BLOCKS, check_count


class CouplingFlow(nn.Module):
    """An invertible map of vectors: coupling layers, each of which moves and scales one half as the other half says.

    Parameters
    ----------
    features : int
        Length of the vectors, at least 2.
    depth : int
        Number of coupling layers, at least 2: the layers 0 and 1, 2 and 3, ... each move both halves of one random
        order, so that two have moved every coordinate. One more, of an odd number, moves half of them again.
    width : int
        Hidden units of the network in each layer.
    max_log_scale : float
        A layer scales by at most exp(max_log_scale) and no less than its reciprocal: the inverse keeps its digits.

    Raises
    ------
    TypeError
        If a number is none; in a call, if vectors are no tensor of the dtype of the parameters, or that is narrower
        than float32.
    ValueError
        If a number is out of range; in a call, if vectors have another length or are not finite.

    Notes
    -----
    ``flow(x)`` and ``flow.inverse(u)`` cost the same, one pass; ``flow.transform(x)`` returns the logarithm of the
    determinant of the Jacobian too. A new flow is the identity up to the order of the coordinates, which are put into a
    random one before each pair of layers (from torch's generator, and kept as buffers). Under autocast it runs in the
    precision of its parameters: products of rounded factors have no inverse.

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
        count, hidden = check_count(depth, "depth", 2, MOST_BLOCKS), check_count(width, "width")
        most = check_number(max_log_scale, "max_log_scale")
        if not 0 < most < 16:
            raise ValueError(f"max_log_scale must be above 0 and below 16, got {most:g}")
        half = self.features // 2
        self.layers = nn.ModuleList()
        for i in range(count):
            # the second layer of a pair puts what the first has moved in front: it keeps this and moves the rest
            order = torch.randperm(self.features) if i % 2 == 0 else torch.arange(self.features).roll(-half)
            self.layers.append(_Coupling(order, half if i % 2 == 0 else self.features - half, hidden, most))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the images u of vectors x (batch, features)."""
        return self.transform(x)[0]

    def transform(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return u and the logarithms of the determinants of du / dx (batch,)."""
        x = self._checked(x, "x")
        log_determinant = x.new_zeros(len(x))
        with full_precision(x):
            for layer in self.layers:
                x, log_scale = layer(x)
                log_determinant = log_determinant + log_scale.sum(1)
        return x, log_determinant

    def inverse(self, u: torch.Tensor) -> torch.Tensor:
        """Return the vectors x whose images are u (batch, features)."""
        u = self._checked(u, "u")
        with full_precision(u):
            for layer in reversed(self.layers):
                u = layer.inverse(u)
        return u

    def _checked(self, x: torch.Tensor, name: str) -> torch.Tensor:
        x = check_full_precision(x, name, self.layers[0].network[0].weight)
        if x.ndim != 2 or x.shape[1] != self.features:
            raise ValueError(f"{name} must have shape (batch, {self.features}), got {tuple(x.shape)}")
        check_finite(x, f"{name} must be finite, found NaN or infinities")
        return x


class _Coupling(nn.Module):
    """Permute, then keep the first coordinates, and scale and shift the others."""

    order: torch.Tensor
    back: torch.Tensor

    def __init__(self, order: torch.Tensor, kept: int, width: int, max_log_scale: float):
        super().__init__()
        self.kept, self.max_log_scale = kept, max_log_scale
        moved = len(order) - kept
        self.network = nn.Sequential(
            nn.Linear(kept, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2 * moved)
        )
        nn.init.zeros_(self.network[-1].weight)
        nn.init.zeros_(self.network[-1].bias)
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
