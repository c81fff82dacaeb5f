"""A positive semidefinite dask array as Nystrom's method reads it: one reading for what is known, one each product."""

import math
from typing import Any

import dask
import dask.array as da
import numpy as np

from lina._core.array import check_norm, divide, open_door
from lina._dask.graph import as_task, gathered, whole_rows
from lina._dask.passes import Reading, prepared, together
from lina._dask.source import Source
from lina.linalg._residual import residual_norm
from lina.linalg._stopping import check_matrix


class PsdBlocks:
    """Blocks of whole rows of ``A`` (n, n): its ``scale``, the ``norm`` over that, and the ``diagonal`` over that."""

    def __init__(self, A: Any) -> None:
        _, A = open_door(min_ndim=2, A=A)
        check_matrix(A, lazy=True)
        if A.shape[0] != A.shape[1]:
            raise ValueError(f"A must be a nonempty square matrix (n, n), got shape {tuple(A.shape)}")
        rows, turned = whole_rows(A)
        self.rows = Source(rows.conj() if turned else rows)
        self.shape, self.dtype = A.shape, A.dtype
        starts = [each.start for each in self.rows.slices()]
        reading, diagonal = dask.compute(gathered(_joined, self.rows.visit(_look, each=starts)))[0]
        self.scale, self.norm = reading.scale or 1.0, reading.norm
        check_norm(np.zeros(0, dtype=A.dtype), self.norm, self.scale, "A")
        self.diagonal = divide(diagonal, self.scale)

    def __matmul__(self, X: np.ndarray) -> np.ndarray:
        """Return A @ X over the scale for ``X`` (n, p)."""
        found: np.ndarray = dask.compute(gathered(_stacked, self.rows.visit(_times, dask.delayed(X), self.scale)))[0]
        return found

    def residual(self, left: np.ndarray, right: np.ndarray) -> float:
        """Return the Frobenius norm of A - left @ right over the scale, rounding included: one reading."""
        each = [left[rows, :] for rows in self.rows.slices()]
        left_over = self.rows.visit(_left_over, dask.delayed(right), self.scale, each=each)
        return float(dask.compute(gathered(_joint_norm, left_over))[0])

    def as_input(self, values: np.ndarray) -> Any:
        """Return an array of one row for each row of ``A`` in its blocks."""
        return da.from_array(values, chunks=(self.rows.A.chunks[0], *values.shape[1:]))

    def whole(self, values: np.ndarray) -> Any:
        """Return a small array in one block."""
        return da.from_array(values, chunks=-1)


@as_task
def _look(block: Any, start: int) -> tuple[Reading, np.ndarray]:
    _, _, norm, scale = prepared(block)
    rows = open_door(A=block)[1]
    return Reading(scale, norm, 0.0, 0.0, 0.0), np.diagonal(rows, offset=start)


def _joined(looks: list[tuple[Reading, np.ndarray]]) -> tuple[Reading, np.ndarray]:
    return together([each[0] for each in looks]), np.concatenate([each[1] for each in looks])


@as_task
def _times(block: Any, X: np.ndarray, scale: float) -> np.ndarray:
    product: np.ndarray = _over(scale, block)[1] @ X
    return product


@as_task
def _left_over(block: Any, left: np.ndarray, right: np.ndarray, scale: float) -> float:
    return residual_norm(*_over(scale, block), left, right)


def _over(scale: float, block: Any) -> tuple[Any, np.ndarray]:
    """Return the library of a block, and its rows over the scale of all; a division by 1 would be a copy."""
    xp, rows = open_door(A=block)
    return xp, rows if scale == 1.0 else divide(rows, scale)


def _joint_norm(norms: list[float]) -> float:
    return math.hypot(*norms)


def _stacked(products: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(products)
