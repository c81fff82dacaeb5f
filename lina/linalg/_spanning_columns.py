"""Columns that span a matrix to a rank or a tolerance: what the interpolative decomposition and pivoted QR share."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import frobenius, to_numpy
from lina._core.certificates import Status
from lina._core.checks import check_tolerance
from lina.linalg._column_basis import ColumnBasis, column_basis, take_columns
from lina.linalg._pivoted_qr import numerical_rank, pivoted_qr
from lina.linalg._residual import projection_error
from lina.linalg._sketch import sketch
from lina.linalg._strong_rrqr import strong_rrqr

_OVERSAMPLE = 30
_FIRST_RANK = 32
# Up to so many entries pivots of the matrix itself, the same in every call, take no time worth a sketch.
_SMALL = 1 << 16
# Signs in every column of the sketch: fewer let rows cancel, more cost time.
_SIGNS = 4


class Wanted(NamedTuple):
    """``rank`` columns, fewer if the error reaches ``target``; coefficients of at most ``max_coef`` in size."""

    rank: int
    target: float | None
    max_coef: float | None


class Spanning(NamedTuple):
    """The basis, its error as it was measured, and whether the bound of the coefficients is kept."""

    basis: ColumnBasis
    error: float
    bounded: bool

    def status(self, target: float | None, k: int | None) -> Status:
        """Return what to say of it, where at most ``k`` columns were asked for."""
        if target is not None and self.error > target:
            return Status.MAX_RANK if self.basis.B.shape[0] == k else Status.ROUNDING
        return Status.CONVERGED if self.bounded else Status.ROUNDING


class Pivots(NamedTuple):
    """``indices`` (k,) by pivoted QR of ``rows`` (d, n), a sketch or the matrix itself, and its ``triangle`` (k, k)."""

    rows: Any
    indices: Any
    triangle: Any


def check_max_coef(max_coef: Any) -> float | None:
    """Return ``max_coef`` as a float of at least 1, or None."""
    if max_coef is None:
        return None
    bound = check_tolerance(max_coef, "max_coef")
    if bound < 1:
        raise ValueError(f"max_coef must be at least 1, got {bound}")
    return bound


def spanning_columns(
    xp: Any,
    A: Any,
    norm_A: float,
    wanted: Wanted,
    method: str,
    rng: np.random.Generator,
    measure: Callable[[ColumnBasis], float],
) -> Spanning:
    """Return columns of ``A`` (m, n) of Frobenius norm ``norm_A``; ``measure`` says how far a basis is from it.

    Pivots come from a sketch with ``method`` "sketch", and with "auto" where ``A`` is large and the sketch smaller.
    """
    for pivots in _attempts(xp, A, wanted, method, rng):
        found = column_basis(xp, A, pivots.indices, pivots.triangle)
        count = found.B.shape[0]
        k = count if wanted.target is None else _needed(xp, A, found, norm_A, wanted.target)
        while True:
            basis, bounded = _bounded(xp, A, pivots.rows, found.truncated(k), wanted.max_coef)
            error = measure(basis)
            met = wanted.target is None or error <= wanted.target
            if met or k == count:
                break
            k = min(count, k + max(1, k // 16))
        if met:
            break
    return Spanning(basis, error, bounded)


def _attempts(xp: Any, A: Any, wanted: Wanted, method: str, rng: np.random.Generator) -> Iterator[Pivots]:
    """Give pivots of growing number, up to the rank wanted or the numerical one."""
    rank = wanted.rank if wanted.target is None else min(wanted.rank, _FIRST_RANK)
    large = method == "auto" and A.shape[0] * A.shape[1] > _SMALL
    while method == "sketch" or (large and rank + _OVERSAMPLE < A.shape[0]):
        rows = row_sketch(xp, A, rank + _OVERSAMPLE, rng)
        R, indices = pivoted_qr(xp, rows, rank)
        count = numerical_rank(xp, R, max(A.shape))
        yield Pivots(rows, indices[:count], R[:count, :count])
        if count < rank or rank == wanted.rank:
            return
        rank = min(wanted.rank, 2 * rank)
    R, indices = pivoted_qr(xp, A, wanted.rank)
    count = numerical_rank(xp, R, max(A.shape))
    rank = count if wanted.target is None else min(count, _enough(xp, R, 0.0, wanted.target))
    while True:
        yield Pivots(A, indices[:rank], R[:rank, :rank])
        if rank == count:
            return
        rank = min(count, rank + max(1, rank // 4))


def row_sketch(xp: Any, A: Any, d: int, rng: np.random.Generator) -> Any:
    """Return ``d`` random combinations of the rows of ``A`` (m, n), whose values are known to be finite."""
    return sketch(d, A.shape[0], kind="sparse_sign", nonzeros=_SIGNS, rng=rng)._apply(xp, A)


def _bounded(xp: Any, A: Any, rows: Any, basis: ColumnBasis, max_coef: float | None) -> tuple[ColumnBasis, bool]:
    """Return columns whose coefficients do not exceed ``max_coef``, and whether that was reached.

    Exchanges are made on the sketch, where they cost little, and then on the matrix, which as a rule needs none.
    """
    if max_coef is None:
        return basis, True
    if rows is not A:
        rough, _ = strong_rrqr(xp, rows, column_basis(xp, rows, basis.indices), max_coef)
        if not np.array_equal(to_numpy(rough.indices), to_numpy(basis.indices)):
            basis = column_basis(xp, A, rough.indices, take_columns(xp, rough.B, rough.indices))
    return strong_rrqr(xp, A, basis, max_coef)


def _needed(xp: Any, A: Any, found: ColumnBasis, norm_A: float, target: float) -> int:
    """Return how many columns leave no more than ``target`` of A, or all."""
    rest = projection_error(xp, A, norm_A, frobenius(xp, found.B), found.Q, found.B)
    return _enough(xp, found.B, rest, target)


def _enough(xp: Any, B: Any, rest: float, target: float) -> int:
    """Return how many rows of ``B`` (k, n) leave no more than ``target`` where all of them leave ``rest``, or all."""
    energy = to_numpy(xp.sum(xp.abs(B) ** 2, axis=1)).astype(np.float64)
    # what the first j rows leave, summed from the small end
    left_over = rest**2 + np.concatenate([np.cumsum(energy[::-1])[::-1][1:], [0.0]])
    enough = np.nonzero(left_over <= target * target)[0]
    return int(enough[0]) + 1 if enough.size else len(energy)
