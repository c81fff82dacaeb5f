"""Columns that span a matrix to a rank or a tolerance, and the matrix in an orthonormal basis of them."""

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, epsilon, frobenius, scalar, to_numpy
from lina.linalg._exchange import exchange
from lina.linalg._orthonormal import cholesky_qr, triangular_inverse
from lina.linalg._pivoted_qr import pivoted_qr
from lina.linalg._residual import projection_error
from lina.linalg._sketch import sketch

_OVERSAMPLE = 30
_FIRST_RANK = 32
# Signs in every column of the sketch: fewer let twins cancel, more cost time.
_SIGNS = 4


class ColumnBasis(NamedTuple):
    """C = A[:, indices] = Q inverse^-1, B = Q^H A, and norm(A - Q B, "fro"), an upper bound, rounding included."""

    indices: Any
    C: Any
    Q: Any
    inverse: Any
    B: Any
    error: float

    def truncated(self, k: int) -> "ColumnBasis":
        """Return the leading ``k`` columns, without their error."""
        leading = self.inverse[:k, :k]
        return ColumnBasis(self.indices[:k], self.C[:, :k], self.Q[:, :k], leading, self.B[:k, :], np.nan)

    def coefficients(self, xp: Any) -> Any:
        """Return C^+ A (k, n), the identity on the columns chosen, where least squares has rounding."""
        Z = self.inverse @ self.B
        place = xp.arange(Z.shape[1], device=device(Z))[None, :] == self.indices[:, None]
        return xp.where(xp.any(place, axis=0)[None, :], xp.astype(place, Z.dtype), Z)


class Wanted(NamedTuple):
    """``rank`` columns, fewer if the error reaches ``target``; coefficients of at most ``max_coef`` in size."""

    rank: int
    target: float | None
    max_coef: float | None


def column_basis(xp: Any, A: Any, norm_A: float, wanted: Wanted, method: str, rng: np.random.Generator) -> ColumnBasis:
    """Return columns of ``A`` (m, n): one attempt for a rank, attempts of doubled rank for a tolerance."""
    rank = wanted.rank if wanted.target is None else min(wanted.rank, _FIRST_RANK)
    while True:
        R, pivots = pivoted_qr(xp, rows_for_pivoting(A, rank, method, rng), rank)
        found = project(xp, A, pivots[: _numerical_rank(xp, R, max(A.shape))])
        count = found.B.shape[0]
        k = count if wanted.target is None else _needed(xp, A, found, norm_A, wanted.target)
        while True:
            some = bounded(xp, A, found.truncated(k), wanted.max_coef)
            some = some._replace(error=_error(xp, A, norm_A, some))
            if wanted.target is None or some.error <= wanted.target or k == count:
                break
            k = min(count, k + max(1, k // 16))
        if wanted.target is None or some.error <= wanted.target or count < rank or rank == wanted.rank:
            return some
        rank = min(wanted.rank, 2 * rank)


def project(xp: Any, A: Any, indices: Any) -> ColumnBasis:
    """Return the basis of the columns ``indices`` of ``A`` (m, n), by Cholesky QR twice or Householder."""
    C = xp.take(A, indices, axis=1)
    first = cholesky_qr(xp, C)
    second = None if first is None else cholesky_qr(xp, first.Q)
    if first is not None and second is not None and second.deviation < 0.5:
        Q, inverse = second.Q, adjoint(xp, first.inverse) @ adjoint(xp, second.inverse)
    else:
        Q, R = xp.linalg.qr(C)
        if scalar(xp.min(xp.abs(xp.linalg.diagonal(R)))) == 0.0:  # only a zero column is left to choose
            R = R + xp.eye(R.shape[0], dtype=R.dtype, device=device(R))
        inverse = adjoint(xp, triangular_inverse(xp, adjoint(xp, R)))
    return ColumnBasis(indices, C, Q, inverse, adjoint(xp, Q) @ A, np.nan)


def bounded(xp: Any, A: Any, basis: ColumnBasis, max_coef: float | None) -> ColumnBasis:
    """Return columns whose coefficients do not exceed ``max_coef``, reached by exchanging some of ``basis``.

    Within the space of the columns an exchange needs no new products with ``A``. It makes the volume of the columns
    grow, there and so in truth; then the space changes, and the coefficients are looked at again.
    """
    while max_coef is not None:
        indices = exchange(xp, basis.coefficients(xp), basis.indices, max_coef)
        if indices is None:
            break
        basis = project(xp, A, indices)
    return basis


def rows_for_pivoting(A: Any, rank: int, method: str, rng: np.random.Generator) -> Any:
    """Return rows whose pivoted QR chooses the columns: random combinations of those of ``A``, or ``A`` itself."""
    rows = rank + _OVERSAMPLE
    if method == "cpqr" or (method == "auto" and rows >= A.shape[0]):
        return A
    return sketch(rows, A.shape[0], kind="sparse_sign", nonzeros=_SIGNS, rng=rng) @ A


def _numerical_rank(xp: Any, R: Any, size: int) -> int:
    """Return the number of pivots above rounding, at least 1."""
    pivots = np.abs(to_numpy(xp.linalg.diagonal(R)))
    return max(1, int(np.sum(pivots > size * epsilon(R) * pivots[0])))


def _error(xp: Any, A: Any, norm_A: float, basis: ColumnBasis) -> float:
    captured = scalar(frobenius(xp, basis.B))
    return float(projection_error(xp, A, norm_A, captured, basis.C, basis.coefficients(xp)))


def _needed(xp: Any, A: Any, found: ColumnBasis, norm_A: float, target: float) -> int:
    """Return how many rows of B = Q^H A leave no more than ``target`` of A, or all."""
    energy = to_numpy(xp.sum(xp.abs(found.B) ** 2, axis=1)).astype(np.float64)
    rest = projection_error(xp, A, norm_A, frobenius(xp, found.B), found.Q, found.B)
    # what the first j rows leave, summed from the small end
    left_over = rest**2 + np.concatenate([np.cumsum(energy[::-1])[::-1][1:], [0.0]])
    enough = np.nonzero(left_over <= target**2)[0]
    return int(enough[0]) + 1 if enough.size else len(energy)
