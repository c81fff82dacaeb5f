"""The pseudo-inverse as a factor: applied without being formed, and carried along when the matrix changes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from lina._core.array import (
    adjoint,
    balance,
    check_norm,
    epsilon,
    frobenius,
    open_door,
    scalar,
)
from lina._core.certificates import CertificateKind
from lina.linalg._lowrank import LowRank
from lina.linalg._pinv.outcome import Cutoff, cutoff_for, ratio
from lina.linalg._pinv.svd import check_result
from lina.linalg._residual import projection_error
from lina.linalg._stopping import check_matrix
from lina.linalg._thin_svd import counted_svd
from lina.linalg._update import (
    Change,
    Factors,
    add_product,
    append_rows,
    assemble,
    decompose,
    delete_rows,
    kept_and_gone,
    open_block,
)


@dataclass(frozen=True, eq=False, repr=False)
class PinvFactor(LowRank):
    """The pseudo-inverse A+ (n, m) of A = U diag(s) Vt, applied without being formed.

    ``F @ B`` is A+ B for B (m,) or (m, p), ``F.T @ C`` is (A+)^T C, the plain transpose, and ``F.toarray()`` is A+.
    `update`, `append_rows`, `append_columns`, `delete_rows` and `delete_columns` return the factor of the changed
    matrix; none modifies this one. ``error`` and ``norm_A`` speak of A, ``error_of(X)`` compares A+ with a matrix
    (n, m).

    Attributes
    ----------
    U : array, shape (m, k)
        Orthonormal columns: left singular vectors of A.
    s : array, shape (k,)
        The singular values that count, descending.
    Vt : array, shape (k, n)
        Orthonormal rows, conjugated for complex matrices.
    condition : float
        Largest over smallest counted singular value; 1 where the rank is 0.
    gap : float
        Every singular value, and all that was ever dropped taken together, is at least this factor away from the
        cutoff. 1 is a decision on the edge.
    error : float
        Frobenius norm of A - U diag(s) Vt, absolute: an upper bound of what all rank decisions since `pinv_factor`
        have dropped and of the rounding of all updates. A+ has moved by at most about
        ``2 * error / s[-1]**2``: factor anew when ``error / s[-1]`` has grown beyond what you accept.
    error_kind : CertificateKind
        "rigorous".
    norm_A : float
        Frobenius norm of U diag(s) Vt, within ``error`` of that of A.
    dropped : float
        The part of ``error`` that rank decisions have dropped.
    least_cutoff : float
        max(m, n) eps times the largest norm that has passed through updates, or the rounding of all of them in
        ``error`` where that is more: what lies below cannot count. Factor anew where it comes near ``s[-1]``.
    rtol, atol : float or None
        The tolerances that decide the rank after each update, as given to `pinv_factor`.
    """

    U: Any
    s: Any
    Vt: Any
    condition: float
    gap: float
    error: float
    error_kind: CertificateKind
    norm_A: float
    dropped: float
    least_cutoff: float
    rtol: float | None
    atol: float | None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns (n, m) of the pseudo-inverse."""
        return self.Vt.shape[1], self.U.shape[0]

    @property
    def rank(self) -> int:
        """Number of singular values that count."""
        return int(self.s.shape[0])

    def _factors(self) -> tuple[Any, Any, Any]:
        xp = array_namespace(self.U)
        return adjoint(xp, self.Vt) / xp.astype(self.s, self.Vt.dtype)[None, :], adjoint(xp, self.U), None

    @property
    def _svd(self) -> Factors:
        return Factors(self.U, self.s, self.Vt)

    def update(self, C: Any, D: Any) -> "PinvFactor":
        """Return the factor of A + C @ D^H for ``C`` (m, p) and ``D`` (n, p), or vectors (m,) and (n,).

        Cost 4 (m + n) k p + 2 (m + n) (k + p)^2 + 22 (k + p)^3 flops.
        """
        n, m = self.shape
        xp, C = open_block(self._svd, C, "C", (m, None))
        xp, D = open_block(self._svd, D, "D", (n, None))
        if C.shape[1] != D.shape[1]:
            raise ValueError(f"C and D must have as many columns, got {C.shape[1]} and {D.shape[1]}")
        if C.shape[1] == 0:
            return self
        return self._changed(xp, add_product(xp, self._svd, C, D), (m, n))

    def append_rows(self, rows: Any) -> "PinvFactor":
        """Return the factor of A with ``rows`` (r, n), or one row (n,), below it.

        Cost 4 n k r + 2 (m + n) (k + r)^2 + 22 (k + r)^3 flops.
        """
        n, m = self.shape
        xp, rows = open_block(self._svd, rows, "rows", (None, n))
        if rows.shape[0] == 0:
            return self
        change = append_rows(xp, self._svd, rows)
        return self._changed(xp, change, (m + rows.shape[0], n))

    def append_columns(self, columns: Any) -> "PinvFactor":
        """Return the factor of A with ``columns`` (m, c), or one column (m,), to its right; cost as for rows."""
        xp, columns = open_block(self._svd, columns, "columns", (self.shape[1], None))
        return self._transposed(lambda F: F.append_rows(xp.matrix_transpose(columns)))

    def delete_rows(self, indices: Any) -> "PinvFactor":
        """Return the factor of A without the rows ``indices``, an int or a sequence of ints as for ``numpy.delete``.

        Cost 2 (m + n) k^2 + 22 k^3 flops.
        """
        n, m = self.shape
        kept, gone = kept_and_gone(self.U, indices, m, "indices")
        if gone.shape[0] == 0:
            return self
        xp = array_namespace(self.U)
        change = delete_rows(xp, self._svd, kept, gone)
        return self._changed(xp, change, (kept.shape[0], n))

    def delete_columns(self, indices: Any) -> "PinvFactor":
        """Return the factor of A without the columns ``indices``; cost as for rows."""
        return self._transposed(lambda F: F.delete_rows(indices))

    def _transposed(self, change: Callable[["PinvFactor"], "PinvFactor"]) -> "PinvFactor":
        """Return what ``change`` does to the factor of A^T, transposed back."""
        xp = array_namespace(self.U)
        U, s, Vt = self._svd.transposed(xp)
        F = change(replace(self, U=U, s=s, Vt=Vt))
        U, s, Vt = Factors(F.U, F.s, F.Vt).transposed(xp)
        return replace(F, U=U, s=s, Vt=Vt)

    def _changed(self, xp: Any, change: Change, shape: tuple[int, int]) -> "PinvFactor":
        """Return the factor of a changed matrix of this shape, its rank decided anew."""
        terms = decompose(xp, change)
        eps = epsilon(self.s)
        # all that updates have rounded may have come to lie in one direction
        least = max(self.least_cutoff, max(shape) * eps * terms.peak, self.error - self.dropped)
        cutoff = cutoff_for(shape, eps, self.rtol, self.atol)
        cutoff = cutoff._replace(atol=max(cutoff.atol, least))
        rank, condition, gap = _decide(terms.values, cutoff, self.dropped)
        F, dropped, rounding = assemble(xp, change, terms, rank)
        _check_inverse(xp, F.s)
        return replace(
            self,
            U=F.U,
            s=F.s,
            Vt=F.Vt,
            condition=condition,
            gap=gap,
            error=self.error + dropped + rounding,
            norm_A=math.hypot(*terms.values[:rank]),
            dropped=self.dropped + dropped,
            least_cutoff=least,
        )


def pinv_factor(A: Any, *, rtol: float | None = None, atol: float | None = None) -> PinvFactor:
    """Factor a matrix so that its pseudo-inverse can be applied without being formed, and updated.

    Parameters
    ----------
    A : array_like, shape (m, n)
        Dense. Integers and booleans are promoted to float64, half precisions to float32.
    rtol, atol : float, optional
        Singular values at or below ``max(atol, rtol * largest)`` count as zero; defaults as in `pinv`:
        ``max(m, n) * eps``, or 0 if a positive ``atol`` is given.

    Returns
    -------
    PinvFactor
        ``U`` (m, k), ``s`` (k,), ``Vt`` (k, n) of the rank k, with ``condition``, ``gap`` and ``error``. It acts as
        A+: ``F @ B``, ``F.T @ C``, ``F.toarray()``; ``F.update(C, D)``, ``F.append_rows(rows)``,
        ``F.append_columns(columns)``, ``F.delete_rows(indices)``, ``F.delete_columns(indices)`` return new factors.

    Raises
    ------
    TypeError
        If ``A`` is no dense array of numbers.
    ValueError
        If ``A`` is not a finite nonempty matrix, a tolerance is negative, or ``A`` is traced or lazy: its values
        decide the rank.

    OverflowError
        If the Frobenius norm of ``A`` exceeds half the range of the dtype, or the pseudo-inverse exceeds it.

    Notes
    -----
    The rank is the one that the SVD finds, as in `pinv`; so it is after every update, at a cutoff for the new shape
    and norm, except that nothing below ``least_cutoff`` can count: when a large part of the matrix goes away, its
    rounding stays.

    Cost for m >= 2 n: 6 m n^2 + 22 n^3 flops, for a rank k <= 0.45 n that is certain m n^2 + 8 m n k (from 256 columns
    on), and 2 m n k for the error. Memory: two arrays of the size of ``A``.
    A product costs 2 k (m + n) flops a column. An update of rank p is worth it where 6 m n^2 exceeds
    2 (m + n) (k + p)^2 + 22 (k + p)^3: always for k much below n, and for tall matrices of full rank by a factor of
    up to 4.

    References
    ----------
    Brand, Linear Algebra Appl. 415 (2006) 20; Wedin, BIT 13 (1973) 217 (how far A+ moves).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import pinv_factor
    >>> A = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    >>> F = pinv_factor(A)
    >>> F @ np.array([3.0, 4.0, 5.0])
    array([3., 2.])
    >>> F = F.append_rows([[0.0, 2.0]])
    >>> np.allclose(F.toarray(), np.linalg.pinv([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 2.0]]))
    True
    """
    xp, A = open_door(min_ndim=2, A=A)
    check_matrix(A)
    cutoff = cutoff_for(A.shape, epsilon(A), rtol, atol)
    scaled, norm_A, scale = balance(xp, A, "A")
    check_norm(A, norm_A, scale, "A")
    cutoff = cutoff._replace(atol=cutoff.atol / scale)
    U, s, Vt, values = counted_svd(xp, scaled, cutoff)
    rank, condition, gap = _decide(values, cutoff, 0.0)
    U, s, Vt = U[:, :rank], s[:rank], Vt[:rank, :]
    captured = frobenius(xp, s)
    error = projection_error(xp, scaled, norm_A, captured, U * xp.astype(s, U.dtype)[None, :], Vt)
    _check_inverse(xp, s * scale)
    return PinvFactor(
        U,
        s * scale,
        Vt,
        condition=condition,
        gap=gap,
        error=error * scale,
        error_kind=CertificateKind.RIGOROUS,
        norm_A=scalar(captured) * scale,
        dropped=math.hypot(*values[rank:]) * scale,
        least_cutoff=0.0,
        rtol=None if rtol is None else float(rtol),
        atol=None if atol is None else float(atol),
    )


def _decide(values: list[float], cutoff: Cutoff, dropped: float) -> tuple[int, float, float]:
    """Return rank, condition and gap of descending ``values``; a 2-norm of ``dropped`` has gone before."""
    cut = cutoff.at(values[0] if values else 0.0)
    rank = sum(value > cut for value in values)
    condition = values[0] / values[rank - 1] if rank else 1.0
    kept = ratio(values[rank - 1], cut) if rank else math.inf
    dropped += max(values[rank:], default=0.0)
    return rank, condition, max(1.0, min(kept, ratio(cut, dropped)))


def _check_inverse(xp: Any, s: Any) -> None:
    """Raise OverflowError if the pseudo-inverse of a matrix with these singular values overflows."""
    with np.errstate(over="ignore", divide="ignore"):
        check_result(xp, 1.0 / s)
