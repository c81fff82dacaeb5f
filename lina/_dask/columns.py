"""Choices of columns of a dask array: all that decides them is in the triangle of its QR, found by one reading.

A = Q R with orthonormal columns of Q: norms, angles and residuals of columns of R are those of the columns of A.
"""

import math
from dataclasses import replace
from typing import Any

import dask
import dask.array as da
import numpy as np

from lina._core.array import epsilon
from lina._dask.graph import gathered
from lina._dask.passes import triangle_of_rows
from lina._dask.source import Source
from lina._dask.triangles import joined


def interpolative(A: Any, axis: int, find: Any) -> Any:
    """Return ``find(R)`` with the columns (``axis=1``) or rows (0) of ``A`` itself and arrays of dask."""
    rows, R = _triangle_of(A, axis, "A")
    found = find(R)
    C, Z = rows[:, found.indices], _chunked(found.Z)
    if axis == 0:
        C, Z = C.T, Z.T
    return replace(found, Z=Z, C=C, error=found.error + _rounding(R, found.norm_A), axis=axis)


def select_columns(A: Any, axis: int, find: Any) -> Any:
    """Do the same for a choice without coefficients."""
    rows, R = _triangle_of(A, axis, "A")
    found = find(R)
    C = rows[:, found.indices]
    weights = None if found.weights is None else _chunked(found.weights)
    error = found.error + _rounding(R, found.norm_A)
    return replace(found, C=C if axis == 1 else C.T, weights=weights, error=error, axis=axis)


def cr_matmul(X: Any, Y: Any, find: Any) -> Any:
    """Return ``find(R_X, R_Y)`` for X = Q R_X and Y^T = Q R_Y^T, with factors made of X and Y themselves."""
    X, R_X = _triangle_of(X, 1, "X")
    Y, R_Y = _triangle_of(Y, 0, "Y")
    found = find(R_X, R_Y.T)
    # what makes the small factors of the chosen columns and rows makes the large ones too
    left = X[:, found.indices] @ _chunked(_quotient(R_X[:, found.indices], found.left))
    right = Y[:, found.indices] @ _chunked(_quotient(R_Y[:, found.indices], found.right.T))
    error = found.error + _rounding(R_X, _product(R_X, R_Y))
    return replace(found, left=left, right=right.T, weights=_chunked(found.weights), error=error)


def _quotient(C: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return M with C M = B for columns of B in the range of C, whose columns may depend on each other."""
    size = np.linalg.norm(C, axis=0)
    unit = np.where(size > 0, size, 1.0)
    return np.linalg.lstsq(C / unit, B, rcond=None)[0] / unit[:, None]


def _product(R: np.ndarray, S: np.ndarray) -> float:
    return float(np.sum(np.linalg.norm(R, axis=0) * np.linalg.norm(S, axis=0)))


def _rounding(R: np.ndarray, norm: float) -> float:
    """Return by how much the triangle may differ from one of the matrix, in norm."""
    return 2 * epsilon(R) * math.sqrt(R.shape[1]) * norm


def _triangle_of(A: Any, axis: int, name: str) -> tuple[Any, np.ndarray]:
    """Return the blocks of rows of ``A`` (``axis=1``) or of its transpose (0), and their triangle on the host."""
    if A.numblocks[axis] > 1:
        lines, hint = ("rows", "{1: -1}") if axis == 1 else ("columns", "{0: -1}")
        found = f"got chunks {A.chunks} (try {name}.rechunk({hint}))"
        raise ValueError(f"{name} must have blocks of whole {lines} for choices along axis {axis}, {found}")
    rows = A if axis == 1 else A.T
    triangle = dask.compute(gathered(joined, Source(rows).visit(triangle_of_rows)))[0]
    return rows, triangle.R * (triangle.scale or 1.0)


def _chunked(values: np.ndarray) -> Any:
    return da.from_array(values, chunks=-1)
