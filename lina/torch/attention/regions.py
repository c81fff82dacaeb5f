"""Regions of (query, key) pairs as parts that are each one plain attention, full or causal.

A region holds the pairs whose distance i - j is at least ``near`` and below ``far``. Where both ends of the keys that a
row sees move with the row, it is a band: in blocks of far - near rows, the keys of the own block make a causal
triangle, and those of the block before one above the diagonal, which is causal where both axes run backwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch


@dataclass(frozen=True)
class Span:
    """``count`` runs of ``length`` positions, the first from ``start``, each ``step`` after the last."""

    start: int
    length: int
    count: int = 1
    step: int = 0

    def of(self, x: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Return a view (b, count, h, length, ...) of x (b, h, positions, ...), whose first position is ``first``."""
        begin = self.start - first
        if self.count == 1:
            return x[:, None, :, begin : begin + self.length]
        last = begin + (self.count - 1) * self.step + self.length
        # The last run may end before its step does: unfold asks for whole runs only.
        runs = x[:, :, begin:last].unfold(2, self.length, self.step)  # (b, h, count, ..., length)
        return runs.transpose(1, 2).movedim(-1, 3)


@dataclass(frozen=True)
class Part:
    """One attention of the rows to the keys; a causal one is square, and ``flipped`` where both run backwards."""

    rows: Span
    keys: Span
    causal: bool = False
    flipped: bool = False


def region(first: int, last: int, near: int, far: int, keys: int) -> Iterator[Part]:
    """Yield the parts of the pairs near <= i - j < far of rows first <= i < last and keys 0 <= j < ``keys``.

    Every pair is in one part. The cost is that of the pairs alone, so that a triangle costs half a square.
    """
    if near >= far or keys == 0:
        return
    ends = {min(max(end, first), last) for end in (first, near, far, near + keys, far + keys - 1, last)}
    for start, stop in pairwise(sorted(ends)):
        if start < near or start >= far + keys - 1:
            continue
        below, above = start >= far, start < near + keys
        if below and above:
            yield from _band(start, stop, near, far)
        else:
            yield from _block(start, stop, near if above else None, far if below else None, keys)


def _band(start: int, stop: int, near: int, far: int) -> Iterator[Part]:
    """Yield the parts of rows whose keys move at both ends: whole blocks together, then the rows that are left."""
    width = far - near
    count, left = divmod(stop - start, width)
    if count > 1:
        rows, keys = (Span(begin, width, count, width) for begin in (start, start - near))
        yield Part(rows, keys, causal=True)
        if width > 1:
            rows, keys = (Span(begin, width - 1, count, width) for begin in (start, start - far + 1))
            yield Part(rows, keys, causal=True, flipped=True)
    elif count == 1:
        yield from _block(start, start + width, near, far, stop)
    if left:
        yield from _block(stop - left, stop, near, far, stop)


def _block(start: int, stop: int, near: int | None, far: int | None, keys: int) -> Iterator[Part]:
    """Yield the parts of rows, at most far - near of them, whose keys move where near or far is a number.

    The keys that all rows see are between two triangles: one up to the diagonal at ``near``, one from that at ``far``.
    """
    rows = stop - start
    low = 0 if far is None else stop - far
    high = keys if near is None else start - near
    if low < high:
        yield Part(Span(start, rows), Span(low, high - low))
    if near is not None:
        yield Part(Span(start, rows), Span(start - near, rows), causal=True)
    if far is not None and rows > 1:
        yield Part(Span(start, rows - 1), Span(start - far + 1, rows - 1), causal=True, flipped=True)
