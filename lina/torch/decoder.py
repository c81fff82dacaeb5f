"""A small decoder of tokens, on which any scaling of rotary positions can be tried."""

from __future__ import annotations  # as text: the documentation is built without torch

from typing import Any

import torch
from torch import nn

from lina.torch.attention.cache import RotaryCache
from lina.torch.attention.checks import check_scaling
from lina.torch.attention.key_norm import KeyNormAttention, RotaryAttention
from lina.torch.layers.checks import MOST_BLOCKS, check_count

# What is added to the mean square of the features: as every norm that they pass has it.
_EPS = 1e-6


class RotaryDecoder(nn.Module):
    """Predict the next token, by causal attention whose rotary positions each call may scale otherwise.

    Parameters
    ----------
    scaling : RotaryScaling
        Of `lina.rope`: what the model is trained with, and reads with unless a call has another one. Its ``head_dim``
        is that of the model.
    width : int
        Channels, a multiple of ``head_dim``: their quotient is the number of heads.
    depth : int
        Number of blocks.
    vocabulary : int
        Number of tokens; 256 for bytes.
    key_heads : int, optional
        Heads of keys and values, a divisor of the number of heads: as many unless given.
    key_norm : bool
        Whether attention is `KeyNormAttention`, and not `RotaryAttention`.
    rotary : bool
        Whether positions rotate, as there.

    Attributes
    ----------
    scaling : RotaryScaling
        As given.

    Raises
    ------
    TypeError
        If a number is no int, or a scaling none; in a call, if ``tokens`` are no integers.
    ValueError
        If a number is out of range or no such multiple; in a call, if ``tokens`` have not the shape (batch, length), or
        are none of the vocabulary.

    Notes
    -----
    Each block adds attention of RMS-normalised features, then a relu^2 perceptron of 4 width units of those; no bias
    and no table of positions. 12 depth width^2 + 2 vocabulary width parameters. `forward`, `prefill` in parts and
    `step` return the same numbers up to rounding under every scaling, if ``length`` is the same where it counts.
    Source of the perceptron: D. So et al., Primer, 2021.

    Examples
    --------
    >>> import torch
    >>> from lina.rope import RotaryScaling
    >>> from lina.torch import RotaryDecoder
    >>> model = RotaryDecoder(RotaryScaling("none", head_dim=16, original_length=64), width=32, depth=2)
    >>> tokens = torch.randint(256, (1, 200))
    >>> rerope = RotaryScaling("rerope", head_dim=16, original_length=64)
    >>> logits = model(tokens, scaling=rerope)
    >>> caches = model.caches(scaling=rerope)
    >>> torch.allclose(model.prefill(tokens[:, :150], caches), logits[:, :150], atol=1e-5)
    True
    >>> torch.allclose(model.step(tokens[:, 150], caches), logits[:, 150], atol=1e-5)
    True
    """

    def __init__(
        self,
        scaling: Any,
        *,
        width: int = 192,
        depth: int = 5,
        vocabulary: int = 256,
        key_heads: int | None = None,
        key_norm: bool = False,
        rotary: bool = True,
    ):
        super().__init__()
        check_scaling(scaling)
        check_count(width, "width", 1)
        check_count(depth, "depth", 1, MOST_BLOCKS)
        if width % scaling.head_dim:
            raise ValueError(f"width must be a multiple of head_dim = {scaling.head_dim}, got {width}")
        self.scaling, self.vocabulary = scaling, check_count(vocabulary, "vocabulary", 1)
        make = KeyNormAttention if key_norm else RotaryAttention
        heads, head_dim = width // scaling.head_dim, scaling.head_dim
        attentions = [make(width, heads, head_dim, key_heads=key_heads, rotary=rotary) for _ in range(depth)]
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(_Block(each) for each in attentions)
        self.norm = nn.RMSNorm(width, eps=_EPS)
        self.head = nn.Linear(width, vocabulary, bias=False)
        with torch.no_grad():
            self._initialise()
        attentions[0].cache(scaling)  # which refuses a scaling that this attention has no meaning for

    def _initialise(self) -> None:
        """Draw matrices that keep the size of what they map; all blocks together add features of size 1."""
        for matrix in self.modules():
            if isinstance(matrix, nn.Linear):
                matrix.weight.normal_(std=matrix.in_features**-0.5)
        for block in self.blocks:
            for matrix in (block.attention.out, block.mlp[-1]):
                matrix.weight.mul_((2 * len(self.blocks)) ** -0.5)

    def forward(self, tokens: torch.Tensor, *, scaling: Any = None, length: int | None = None) -> torch.Tensor:
        """Return the logits (batch, n, vocabulary) of the token after each of tokens (batch, n).

        ``length`` is as in `extrapolated_attention`.
        """
        scaling = self.scaling if scaling is None else scaling
        x = self._embedded(tokens)
        for block in self.blocks:
            x = block(x, lambda attention, y: attention(y, scaling, length=length))
        return self.head(self.norm(x))

    def caches(self, *, scaling: Any = None, length: int | None = None) -> tuple[RotaryCache, ...]:
        """Return empty caches, one for each block, which `prefill` and `step` fill.

        ``length`` is as in `RotaryCache`.
        """
        scaling = self.scaling if scaling is None else scaling
        return tuple(block.attention.cache(scaling, length=length) for block in self.blocks)

    def prefill(self, tokens: torch.Tensor, caches: tuple[RotaryCache, ...]) -> torch.Tensor:
        """Return what `forward` returns for tokens (batch, n) after what ``caches`` have seen, and add them there."""
        if not isinstance(caches, tuple) or len(caches) != len(self.blocks):
            found = f"{len(caches)} of them" if isinstance(caches, tuple) else type(caches).__name__
            raise ValueError(f"caches must be those of model.caches(), {len(self.blocks)} of them, got {found}")
        with torch.no_grad():
            x = self._embedded(tokens)
            for block, cache in zip(self.blocks, caches, strict=True):
                x = block(x, lambda attention, y, cache=cache: attention.extend(y, cache))
            return self.head(self.norm(x))

    def step(self, token: torch.Tensor, caches: tuple[RotaryCache, ...]) -> torch.Tensor:
        """Return the logits (batch, vocabulary) after one more token (batch,), which ``caches`` then hold."""
        if not isinstance(token, torch.Tensor) or token.ndim != 1:
            found = tuple(token.shape) if isinstance(token, torch.Tensor) else type(token).__name__
            raise ValueError(f"token must have shape (batch,), got {found}")
        return self.prefill(token[:, None], caches)[:, 0]

    def generate(
        self, tokens: torch.Tensor, count: int, *, scaling: Any = None, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return tokens (batch, n + count): those given, n at least 1, and ``count`` more.

        They are the likeliest ones, or drawn with ``generator``. Frequencies that depend on a length are those for
        n + count positions.
        """
        check_count(count, "count", 0)
        self._check(tokens)
        caches = self.caches(scaling=scaling, length=tokens.shape[1] + count)
        logits = self.prefill(tokens, caches)[:, -1:]
        for i in range(count):
            if generator is None:
                new = logits.argmax(-1)
            else:
                new = logits[:, 0].softmax(-1).multinomial(1, generator=generator)
            tokens = torch.cat([tokens, new.to(tokens.dtype)], 1)
            if i + 1 < count:
                logits = self.prefill(new, caches)
        return tokens

    def _embedded(self, tokens: Any) -> torch.Tensor:
        self._check(tokens)
        return self.embedding(tokens)

    def _check(self, tokens: Any) -> None:
        """Raise TypeError or ValueError unless tokens (batch, length) are some of the vocabulary."""
        if not isinstance(tokens, torch.Tensor) or tokens.dtype not in (torch.int32, torch.int64):
            found = tokens.dtype if isinstance(tokens, torch.Tensor) else type(tokens).__name__
            raise TypeError(f"tokens must be a tensor of int64 or int32, got {found}")
        if tokens.ndim != 2 or tokens.shape[1] == 0:
            raise ValueError(f"tokens must have shape (batch, length), length at least 1, got {tuple(tokens.shape)}")
        if tokens.numel() and not torch.compiler.is_compiling():
            least, largest = int(tokens.min()), int(tokens.max())
            if least < 0 or largest >= self.vocabulary:
                raise ValueError(f"tokens must be from 0 to {self.vocabulary - 1}, got {least} to {largest}")


class _Block(nn.Module):
    """Features plus attention of their norms, plus a perceptron of those of the sum."""

    def __init__(self, attention: RotaryAttention):
        super().__init__()
        width = attention.width
        self.attention = attention
        self.before_attention, self.before_mlp = nn.RMSNorm(width, eps=_EPS), nn.RMSNorm(width, eps=_EPS)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width, bias=False), _SquaredReLU(), nn.Linear(4 * width, width, bias=False)
        )

    def forward(self, x: torch.Tensor, attend: Any) -> torch.Tensor:
        """Return the features after the block; ``attend`` says how its attention meets them."""
        x = x + attend(self.attention, self.before_attention(x))
        return x + self.mlp(self.before_mlp(x))


class _SquaredReLU(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x).square()
