"""The pseudo-inverse of a dask array: one reading for the triangle, which has all the facts, and one for X."""

import math
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np

from lina._core.array import adjoint, open_door
from lina._dask.graph import array, as_task, gathered, whole_rows
from lina._dask.passes import triangle_of_rows
from lina._dask.source import Source
from lina._dask.triangles import Triangle, joined
from lina.linalg._pinv.compute import compute_pinv, empty_pinv
from lina.linalg._pinv.outcome import Cutoff, Outcome

_FACTS = ("rank", "condition", "gap")


def pinv(xp: Any, A: Any, cutoff: Cutoff, hermitian: bool, method: str) -> Outcome:
    """Return the lazy pseudo-inverse of ``A`` (..., m, n) and its facts; of a matrix by 2 m n^2 flops a reading."""
    if math.prod(A.shape) == 0:
        return empty_pinv(xp, A)
    if A.ndim > 2 or hermitian:
        return _whole_matrices(A, cutoff, hermitian, method)
    whole, turned = whole_rows(A)
    rows = Source(whole)
    facts = dask.delayed(_of_triangle)(gathered(joined, rows.visit(triangle_of_rows)), cutoff)
    columns = rows.visit(_columns, facts.X)
    X = da.blockwise(_same, "ji", columns, "ij", dtype=A.dtype, meta=columns._meta)
    rank, condition, gap = (array(facts, name, (), kind) for name, kind in zip(_FACTS, _kinds(A), strict=True))
    return Outcome(X.T if turned else X, rank, condition, gap, "qr")


def _whole_matrices(A: Any, cutoff: Cutoff, hermitian: bool, method: str) -> Outcome:
    """Each matrix by one task, in memory."""
    A = A.rechunk({A.ndim - 2: -1, A.ndim - 1: -1})
    run = partial(_in_memory, cutoff=cutoff, hermitian=hermitian, method=method)
    X, *facts = da.apply_gufunc(run, "(m,n)->(n,m),(),(),()", A, output_dtypes=(A.dtype, *_kinds(A)))
    rank, condition, gap = facts
    return Outcome(X, rank, condition, gap, "svd")


def _kinds(A: Any) -> tuple[Any, ...]:
    real = np.zeros(0, dtype=A.dtype).real.dtype
    return np.int64, real, real


@as_task
def _in_memory(A: np.ndarray, cutoff: Cutoff, hermitian: bool, method: str) -> tuple[Any, ...]:
    outcome = compute_pinv(np, A, cutoff, hermitian, method)
    return outcome.X, *(np.asarray(getattr(outcome, name)) for name in _FACTS)


@as_task
def _of_triangle(triangle: Triangle, cutoff: Cutoff) -> Outcome:
    """Return the pseudo-inverse of R, which has the singular values of A."""
    return compute_pinv(np, triangle.R * (triangle.scale or 1.0), cutoff, False, "svd")


@as_task
def _columns(block: Any, P: Any) -> Any:
    """Return R^+ (A R^+)^H for rows of A: A R^+ is Q R R^+, and R^+ (R R^+) is R^+."""
    xp, rows = open_door(A=block)
    return P @ adjoint(xp, rows @ P)


def _same(block: Any) -> Any:
    return block
