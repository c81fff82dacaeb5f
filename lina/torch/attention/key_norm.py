"""Layers of causal self-attention with rotary positions: with keys as they are, and with keys of length 1."""

from __future__ import annotations  # as text: the documentation is built without torch

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from lina.torch.attention.cache import RotaryCache
from lina.torch.attention.checks import check_scaling
from lina.torch.attention.decode import decode_attention
from lina.torch.attention.extrapolated import extrapolated_attention
from lina.torch.layers.checks import check_count

# Divides frequencies so that no position turns anything in any dtype.
_NO_TURN = 1e30


class RotaryAttention(nn.Module):
    """Causal self-attention whose rotary positions are given with each call; logits are q . k / sqrt(head_dim).

    Parameters
    ----------
    width : int
        Channels of the input and the output.
    heads : int
        Number of heads of ``head_dim`` channels each.
    head_dim : int
        Even.
    key_heads : int, optional
        Heads of keys and values, a divisor of ``heads``: as many unless given.
    rotary : bool
        Whether positions rotate. Without them only the order that causality sees is known, the kind of every scaling
        has to be "none", and of it the logit scale remains.

    Raises
    ------
    TypeError
        If a number is no int; in a call, if ``scaling`` is none.
    ValueError
        If a number is not positive, ``head_dim`` odd or ``key_heads`` no divisor; in a call, if ``x`` has not the shape
        (batch, length, width), or the scaling another head_dim, or a kind without a meaning where nothing rotates.

    Notes
    -----
    No bias. The keys go into a cache before they are rotated, so any scaling can follow in another call.

    Examples
    --------
    >>> import torch
    >>> from lina.rope import RotaryScaling
    >>> from lina.torch import RotaryAttention
    >>> layer = RotaryAttention(48, heads=3, head_dim=16)
    >>> layer(torch.randn(2, 100, 48), RotaryScaling("rerope", head_dim=16, original_length=64)).shape
    torch.Size([2, 100, 48])
    """

    # Factor on the logits of `extrapolated_attention`; None is 1 / sqrt(head_dim).
    scale: float | None = None

    def __init__(self, width: int, heads: int, head_dim: int, *, key_heads: int | None = None, rotary: bool = True):
        super().__init__()
        self.width, self.heads = check_count(width, "width", 1), check_count(heads, "heads", 1)
        self.head_dim = check_count(head_dim, "head_dim", 2)
        self.key_heads = self.heads if key_heads is None else check_count(key_heads, "key_heads", 1)
        if self.head_dim % 2:
            raise ValueError(f"head_dim must be even, got {head_dim}")
        if self.heads % self.key_heads:
            raise ValueError(f"key_heads must divide heads = {heads}, got {key_heads}")
        self.rotary = rotary
        # three maps, and not one: optimizers that orthogonalise treat each matrix as a map of its own
        self.query = nn.Linear(width, self.heads * self.head_dim, bias=False)
        self.key = nn.Linear(width, self.key_heads * self.head_dim, bias=False)
        self.value = nn.Linear(width, self.key_heads * self.head_dim, bias=False)
        self.out = nn.Linear(self.heads * self.head_dim, width, bias=False)

    def extra_repr(self) -> str:
        """Return the arguments for the representation."""
        return f"heads={self.heads}, head_dim={self.head_dim}, key_heads={self.key_heads}, rotary={self.rotary}"

    def forward(self, x: torch.Tensor, scaling: Any, *, length: int | None = None) -> torch.Tensor:
        """Return the output (batch, n, width) of x (batch, n, width); ``length`` as in `extrapolated_attention`."""
        scaling = self._seen(scaling)
        q, k, v = self._projected(x)
        return self._merged(extrapolated_attention(q, k, v, scaling, scale=self.scale, length=length))

    def cache(self, scaling: Any, *, length: int | None = None) -> RotaryCache:
        """Return an empty cache for `extend`; ``length`` as in `RotaryCache`."""
        return RotaryCache(self._seen(scaling), length=length)

    def extend(self, x: torch.Tensor, cache: RotaryCache) -> torch.Tensor:
        """Return what `forward` returns for x (batch, n, width) after what the cache holds, and put it there too."""
        with torch.no_grad():
            q, k, v = self._projected(x)
            cache.append(k, v)
            return self._merged(decode_attention(q, cache, scale=self.scale))

    def keys_of(self, k: torch.Tensor) -> torch.Tensor:
        """Return the keys (batch, key_heads, n, head_dim) that attention meets."""
        return k

    def _projected(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if not isinstance(x, torch.Tensor) or x.ndim != 3 or x.shape[-1] != self.width:
            found = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
            raise ValueError(f"x must have shape (batch, length, {self.width}), got {found}")
        q, k, v = (self._heads(project(x)) for project in (self.query, self.key, self.value))
        return q, self.keys_of(k), v

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def _merged(self, out: torch.Tensor) -> torch.Tensor:
        return self.out(out.transpose(1, 2).flatten(-2))

    def _seen(self, scaling: Any) -> Any:
        """Return the scaling as it acts here."""
        check_scaling(scaling)
        if scaling.head_dim != self.head_dim:
            raise ValueError(f"scaling must have head_dim = {self.head_dim}, got {scaling.head_dim}")
        if self.rotary:
            return scaling
        if scaling.kind != "none":
            raise ValueError(f"scaling must be of kind 'none' for a layer with rotary=False, got {scaling.kind!r}")
        return replace(scaling, kind="linear", factor=_NO_TURN)


class KeyNormAttention(RotaryAttention):
    """Causal self-attention with logits q . k / norm(k): what tells keys apart is direction only.

    A model that is trained with it reads beyond its length by itself, above all with the logit scale "log_n".

    Parameters
    ----------
    width, heads, head_dim, key_heads, rotary
        As in `RotaryAttention`; the errors are the same.

    Notes
    -----
    There is no 1 / sqrt(head_dim): the length of a query is the inverse temperature. A key of zeros has the logit 0 and
    no gradient.
    With log n the scaling has ``logit_scale="log_n"``, in training as later. Source: J. Su, scientific spaces 9859.

    Examples
    --------
    >>> import torch
    >>> from lina.rope import RotaryScaling
    >>> from lina.torch import KeyNormAttention
    >>> layer = KeyNormAttention(48, heads=3, head_dim=16)
    >>> scaling = RotaryScaling("none", head_dim=16, original_length=64, logit_scale="log_n")
    >>> layer(torch.randn(2, 100, 48), scaling).shape
    torch.Size([2, 100, 48])
    """

    scale = 1.0

    def keys_of(self, k: torch.Tensor) -> torch.Tensor:
        """Return the keys with length 1."""
        norm = torch.linalg.vector_norm(k, dim=-1, keepdim=True)
        return k / norm.masked_fill(norm == 0, torch.inf)  # which keeps zeros, and their gradient, at zero
