"""Rotated keys beside a cache of transformers, whose own keys are not rotated."""

from typing import Any

import torch

from lina.torch.attention.cache import RotaryCache, Run

NAME = "rotated_beside"  # attribute of a cache: copies of the cache have it, and it goes with the cache


class Borrowed(Run):
    """All positions of a tensor (b, h, n, d) that somebody else keeps."""

    def __init__(self, x: torch.Tensor) -> None:
        super().__init__()
        self.stop, self._data = x.shape[-2], x


class BorrowedCache(RotaryCache):
    """A `RotaryCache` of keys and values that somebody else keeps; its own are those that are rotated."""

    def borrow(self, k: torch.Tensor, v: torch.Tensor) -> None:
        """Take the keys and values of the present length, which go on from those before."""
        self._keys, self._values = Borrowed(k), Borrowed(v)


class LayerKeys:
    """What one layer of a cache has beside it: a `BorrowedCache` for each group of sequences."""

    def __init__(self) -> None:
        self._last: torch.Tensor | None = None
        self._groups: dict[tuple[int, int, int], BorrowedCache] = {}

    def knows(self, keys: torch.Tensor | None) -> bool:
        """Return whether the cache holds keys of the last call, and forget what was rotated unless it holds them all.

        Whatever reorders, crops, repeats or resets a cache puts another tensor there, whose last position still has
        keys that some sequence of the last call had there; those of another model have not.
        """
        if keys is self._last and keys is not None:
            return True
        self._groups = {}
        if keys is None or keys.numel() == 0:
            return True  # this layer of a cache was reset
        at = keys.shape[-2] - 1
        if self._last is None or at >= self._last.shape[-2]:
            return False
        now, before = keys[:, None, 0, at], self._last[None, :, 0, at]
        return bool(((now == before) | (now != now)).all(-1).any(1).all())  # a NaN equals no other

    def remember(self, keys: torch.Tensor) -> None:
        """Note the keys of this call."""
        self._last = keys

    def group(self, name: tuple[int, int, int], scaling: Any, length: int | None) -> BorrowedCache:
        """Return what is beside a group of sequences; another scaling, or other groups, begin anew."""
        kept = self._groups.get(name)
        if kept is None or kept.scaling != scaling or kept.length != length:
            kept = self._groups[name] = BorrowedCache(scaling, length=length)
        return kept


class Beside(dict):  # type: ignore[type-arg]
    """The `LayerKeys` of a cache by the number of the layer; that a cache has one says that its keys are unrotated."""

    def __missing__(self, layer: int) -> LayerKeys:
        self[layer] = LayerKeys()
        return self[layer]
