"""A dask matrix in blocks of whole rows, centred if asked."""

from typing import Any, NamedTuple

import dask.array as da
import numpy as np

from lina._core.array import epsilon
from lina._dask.graph import whole_rows
from lina._dask.source import Source


class Rows(NamedTuple):
    """Rows (m, n), of which ``mean`` is computed once, and what its subtraction lost in norm; ``turned``: of A.T."""

    source: Source
    mean: Any
    lost: Any
    turned: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.source.shape

    @property
    def like(self) -> np.ndarray:
        """An array of the dtype."""
        return np.zeros((1, 1), dtype=self.source.A.dtype)

    def visit(self, function: Any, *args: Any) -> Any:
        """Read all blocks once."""
        return self.source.visit(function, *args)


def rows_of(A: Any, center: bool = False) -> Rows:
    """Return the rows of ``A`` or, where its blocks are whole columns, of its transpose."""
    mean, lost = None, 0.0
    if center:
        mean = A.mean(axis=0)
        rounding = epsilon(A) * max(A.shape) ** 0.5 * da.linalg.norm(mean)
        lost = rounding.to_delayed(optimize_graph=False).item()  # by the keys of the mean: it is found once
        A = A - mean[None, :]
    A, turned = whole_rows(A)
    return Rows(Source(A, mean), mean, lost, turned)
