"""The plan of each kind of scaling: which regions of pairs there are, and how each turns its queries and keys."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lina.rope import bucket_of
from lina.torch.attention.regions import Part, region

PIECEWISE = ("rerope", "leaky_rerope", "self_extend", "window", "sink", "lambda_mask")

Positions = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Turn:
    """The positions that queries i and keys j of a region are rotated to, by frequencies in radians per position.

    Only differences of positions count: without ``query`` both are counted from the first row of the part, so that
    no angle is large and all blocks of a band share one table. Without ``key`` beside a ``query`` the keys stay.
    """

    inv_freq: torch.Tensor
    query: Positions | None = None
    key: Positions | None = None

    def of_queries(self, part: Part) -> torch.Tensor:
        """Return the positions of the rows of a part, float64, or one for all of them."""
        if self.query is None:
            return _indices(0, part.rows.length)
        return self.query(_indices(part.rows.start, part.rows.length))

    def of_keys(self, part: Part) -> torch.Tensor | None:
        """Return the positions of the keys of a part, float64, or None where they stay."""
        if self.query is None:
            return _indices(part.keys.start - part.rows.start, part.keys.length)
        return None if self.key is None else self.key(_indices(part.keys.start, part.keys.length))


@dataclass(frozen=True)
class Plan:
    """What attention of the queries at indices ``first`` to ``last`` of the keys consists of.

    ``row_scale`` multiplies the queries, float64, or is None.
    """

    first: int
    last: int
    parts: list[tuple[Part, Turn]]
    layout: str
    row_scale: torch.Tensor | None


def plan(scaling: Any, first: int, last: int, start: int, length: int | None) -> Plan:
    """Return the plan of rows first to last - 1 of a sequence whose first key is at position ``start``.

    ``length`` is what the frequencies are for, where they depend on it.
    """
    regions = _piecewise if scaling.kind in PIECEWISE else _by_frequencies
    seen = start + last if length is None else length
    parts = list(regions(scaling, first, last, start, seen))
    return Plan(first, last, parts, scaling.layout, row_scale(scaling, start + first, start + last, seen))


def row_scale(scaling: Any, first: int, last: int, length: int) -> torch.Tensor | None:
    """Return the factors on the queries at positions first to last - 1, None where all are 1."""
    if scaling.logit_scale is None and (scaling.trained is None or scaling.trained.logit_scale is None):
        return None
    factors = np.asarray(scaling.query_scale(np.arange(first, last), length), dtype=np.float64)
    return None if np.all(factors == 1) else torch.from_numpy(factors)


def _by_frequencies(scaling: Any, first: int, last: int, start: int, length: int) -> Iterator[tuple[Part, Turn]]:
    """Yield causal attention, in the schedule by rows once for each scale of them."""
    for a, b, seen in row_runs(scaling, first, last, start, length):
        turn = Turn(frequencies(scaling, seen))
        for part in region(a, b, 0, b, b):
            yield part, turn


def row_runs(scaling: Any, first: int, last: int, start: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Yield runs (a, b) of rows with the same frequencies, and the length that these are for."""
    if scaling.schedule != "row_bucket":
        yield first, last, length
        return
    while first < last:
        seen = int(scaling.original_length * bucket_of(start + first, scaling.original_length))
        end = min(last, seen - start)
        yield first, end, seen
        first = end


def frequencies(scaling: Any, length: int | None = None) -> torch.Tensor:
    """Return the frequencies of a scaling as a float64 tensor on the CPU."""
    return torch.from_numpy(np.array(scaling.inv_freq(length), dtype=np.float64))


def _piecewise(scaling: Any, first: int, last: int, start: int, length: int) -> Iterator[tuple[Part, Turn]]:
    """Yield the band of near pairs, whose distance is plain, then the parts of those beyond."""
    window = scaling.window
    plain = Turn(frequencies(scaling, length))
    regions = [(0, window, last, plain)]
    far = Turn(plain.inv_freq, *far_positions(scaling, start))
    if scaling.kind == "lambda_mask":
        clip, sinks = scaling.original_length, scaling.sinks
        regions += [(window, clip, sinks, plain), (clip, last + clip, sinks, far)]
    elif scaling.kind != "window":
        keys = scaling.sinks if scaling.kind == "sink" else last
        regions.append((window, last + window, keys, far))
    for near, far, keys, turn in regions:
        for part in region(first, last, near, far, min(keys, last)):
            yield part, turn


def far_positions(scaling: Any, start: int) -> tuple[Positions, Positions | None]:
    """Return the positions of queries and keys that are farther apart than the window; None where keys stay."""
    window, kind = scaling.window, scaling.kind
    if kind in ("rerope", "lambda_mask"):
        distance = window if kind == "rerope" else scaling.original_length
        return lambda i: torch.full_like(i[:1], distance), None
    if kind == "leaky_rerope":
        factor = scaling.factor
        return lambda i: (i - window) / factor + window, lambda j: j / factor
    if kind == "self_extend":
        group = scaling.group
        offset, within = window - window // group, start % group  # whole groups before the first key cancel
        return lambda i: (i + within) // group + offset, lambda j: (j + within) // group
    longest = scaling.sinks + window - 1
    return lambda i: i.clamp(max=longest), lambda j: j


def _indices(start: int, length: int) -> torch.Tensor:
    return torch.arange(start, start + length, dtype=torch.float64, device="cpu")
