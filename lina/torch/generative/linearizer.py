"""IdempotentLinearizer: a generative network that is idempotent by construction."""

from __future__ import annotations  # as text: the documentation is built without torch

import math
from typing import Any

import torch
from torch import nn

from lina._core.checks import check_rank
from lina.hippo._measures import check_positive
from lina.torch.generative.checks import (
    check_full_precision,
    check_like,
    check_module,
    check_samples,
    full_precision,
)
from lina.torch.layers.checks import check_count


class IdempotentLinearizer(nn.Module):
    """The map G = g^-1 P g with an invertible network g and an orthogonal projector P of low rank: G(G(x)) = G(x).

    Parameters
    ----------
    g : torch.nn.Module
        Invertible: ``g(x)`` and ``g.inverse(u)``, which return the shape that they are given; for
        `negative_log_likelihood` also ``g.transform(x)``, which returns ``g(x)`` and the logarithm of the determinant
        of its Jacobian for each sample. A `CouplingFlow`, for vectors.
    features : int
        Number of entries of a sample.
    rank : int
        Of P, in 1..features: the dimension of the set of fixed points.

    Attributes
    ----------
    directions : Parameter, shape (features, rank)
        Columns that span the range of P; trained with the rest.

    Raises
    ------
    TypeError
        If ``g`` is no module, samples are no tensors of the dtype of the parameters, or that is narrower than float32.
    ValueError
        If ``g`` has no ``inverse``, a number is out of range, or samples have another number of entries, or g returns
        another shape.

    Notes
    -----
    ``G^k = g^-1 P^k g``, so that any number of applications differs from one by rounding alone, which grows with k and
    with the condition of g. The fixed points are the image of the range of P under g^-1, a surface without boundary:
    training decides whether data lie on it, and where on it samples come from. With data at ``g(x)`` distributed
    normally, which `negative_log_likelihood` trains, `sample` draws from their distribution. One pass of g and one of
    its inverse, and QR factorisations of ``directions``, of 4 features rank^2 flops each.

    Source: the construction is that of linearizers, N. Hazan et al., Who said neural networks aren't linear?, 2025.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import CouplingFlow, IdempotentLinearizer
    >>> G = IdempotentLinearizer(CouplingFlow(6), features=6, rank=2).double()
    >>> y = G(torch.ones(3, 6, dtype=torch.float64))
    >>> torch.allclose(G(G(G(y))), y, rtol=0, atol=1e-12)
    True
    """

    def __init__(self, g: nn.Module, features: int, rank: int):
        super().__init__()
        check_module(g, "g")
        if not callable(getattr(g, "inverse", None)):
            raise ValueError(f"g must have a method inverse(u), which {type(g).__name__} has not")
        self.features = check_count(features, "features")
        self.rank = check_rank(rank, self.features, "rank", "features")
        self.g = g
        self.directions = nn.Parameter(torch.linalg.qr(torch.randn(self.features, self.rank)).Q)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the fixed points G(x) that belong to samples x (batch, ...)."""
        x = self._checked(x)
        with full_precision(x):
            u = self._latent(self.g(x), x) @ self.basis()
            return self._inverse(u @ self.basis().T, x)

    def basis(self) -> torch.Tensor:
        """Return an orthonormal basis Q (features, rank) of the range of P = Q Q^T."""
        return torch.linalg.qr(self.directions).Q

    def sample(self, shape: tuple[int, ...], *, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return fixed points for standard normal coordinates in the range of P, a batch of this shape."""
        like = self.directions
        if not isinstance(shape, (tuple, list)):
            raise TypeError(f"shape must be a tuple (batch, ...), as ({shape}, {self.features}), got {shape!r}")
        if len(shape) < 2 or math.prod(shape[1:]) != self.features:
            raise ValueError(f"shape must be (batch, ...) with {self.features} entries a sample, got {tuple(shape)}")
        check_full_precision(like, "directions", like)
        where = like.device if generator is None else generator.device
        draws = torch.randn((shape[0], self.rank), dtype=like.dtype, generator=generator, device=where).to(like.device)
        with full_precision(like):
            return self._inverse(draws @ self.basis().T, like.new_empty(shape))

    def negative_log_likelihood(self, x: torch.Tensor, *, thickness: float = 0.1) -> torch.Tensor:
        """Return -log p(x) / features of each sample (batch,), in nats an entry.

        The density is that of normal coordinates, of variance 1 in the range of P and ``thickness**2`` beside it: the
        smaller this is, the more it costs that data are no fixed points.
        """
        thick = check_positive(thickness, "thickness")
        if not callable(getattr(self.g, "transform", None)):
            found = type(self.g).__name__
            raise ValueError(f"g must have a method transform(x) for the likelihood, which {found} has not")
        x = self._checked(x)
        with full_precision(x):
            u, log_determinant = self.g.transform(x)
            if log_determinant.shape != (len(x),):
                wanted = f"a logarithm a sample, shape ({len(x)},)"
                raise ValueError(f"g.transform(x) must return {wanted}, got {tuple(log_determinant.shape)}")
            u = self._latent(u, x)
            inside = u @ self.basis()
            outside = u - inside @ self.basis().T
            squares = inside.square().sum(1) + outside.square().sum(1) / thick**2
        normal = self.features * math.log(2 * math.pi) + 2 * (self.features - self.rank) * math.log(thick)
        return ((squares + normal) / 2 - log_determinant) / self.features

    def _checked(self, x: Any) -> torch.Tensor:
        """Return samples in the dtype of the parameters."""
        check_samples(x, "x")
        if x[0].numel() != self.features:
            wanted = f"(batch, ...) with {self.features} entries a sample"
            raise ValueError(f"x must have shape {wanted}, got {tuple(x.shape)}")
        return check_full_precision(x, "x", self.directions)

    def _latent(self, u: Any, x: torch.Tensor) -> torch.Tensor:
        """Return g(x) as vectors."""
        check_like(u, x, "g(x)", "x")
        return u.flatten(1)

    def _inverse(self, u: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        x = self.g.inverse(u.reshape(like.shape))
        check_like(x, like, "g.inverse(u)", "u")
        return x
