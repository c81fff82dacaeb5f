"""Gaussian test matrices that are drawn where they are needed instead of being stored."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from lina._core.array import adjoint, dtype_name, from_numpy

# Rows that are drawn together. A generator takes about as long to set up as 2,000 numbers take to draw.
TILE = 512


class GaussianRows:
    """A Gaussian matrix (size, width) in tiles of rows, each from a generator of its own.

    The generator of a tile is keyed by the seed, the side and the number of the tile, so that every row is the same
    whenever and by whomever it is drawn. The last tile is remembered; all are if ``keep``.
    """

    def __init__(self, seed: int, side: int, size: int, width: int, *, keep: bool = False) -> None:
        self.seed, self.side, self.size, self.width, self.keep = seed, side, size, width, keep
        self._drawn: dict[int, Any] = {}

    def tile(self, index: int, like: Any) -> Any:
        """Return rows index * TILE.. (at most TILE) in the library, dtype and device of ``like``.

        Complex entries are circular: their real and imaginary parts have variance 1/2.
        """
        if index not in self._drawn:
            if not self.keep:
                self._drawn.clear()
            rows = min(TILE, self.size - index * TILE)
            rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(self.side, index)))
            if dtype_name(like).startswith("complex"):
                draws = rng.standard_normal((rows, self.width, 2)).view(np.complex128)[..., 0] * 0.5**0.5
            else:
                draws = rng.standard_normal((rows, self.width))
            self._drawn[index] = from_numpy(draws, like)
        return self._drawn[index]

    def times(self, M: Any, columns: slice = slice(None)) -> Any:
        """Return M @ T[:, columns] for ``M`` (b, size) and this matrix T."""
        return sum(M[:, start:stop] @ tile[:, columns] for start, stop, tile in self._tiles(M))

    def adjoint_times(self, M: Any, columns: slice = slice(None)) -> Any:
        """Return T[:, columns]^H @ M for ``M`` (size, b) and this matrix T."""
        xp = array_namespace(M)
        return sum(adjoint(xp, tile[:, columns]) @ M[start:stop, :] for start, stop, tile in self._tiles(M))

    def _tiles(self, like: Any) -> Iterator[tuple[int, int, Any]]:
        for start in range(0, self.size, TILE):
            yield start, min(start + TILE, self.size), self.tile(start // TILE, like)


def pieces(start: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Yield (tile, low, high): the rows start..start + count - 1, tile by tile, low and high counted in the tile."""
    stop = start + count
    while start < stop:
        tile, low = divmod(start, TILE)
        high = min(low + stop - start, TILE)
        yield tile, low, high
        start += high - low
