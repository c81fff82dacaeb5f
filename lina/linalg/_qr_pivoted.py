"""QR with column pivoting: of the matrix, of a sketch of it, or with the guarantees of strong rank-revealing QR."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from lina._core.array import balance, check_norm, epsilon, frobenius, open_door, scalar, to_numpy
from lina._core.certificates import CertificateKind, Status
from lina._core.checks import check_option, check_rank
from lina._core.random import generator
from lina.linalg._column_basis import ColumnBasis, upper_inverse
from lina.linalg._lowrank import LowRank
from lina.linalg._residual import projection_error
from lina.linalg._spanning_columns import Wanted, check_max_coef, spanning_columns
from lina.linalg._stopping import check_matrix, check_stopping

METHODS = ("auto", "geqp3", "sketch", "strong")


@dataclass(frozen=True, eq=False, repr=False)
class PivotedQR(LowRank):
    """The matrix A with ``A[:, pivots] ~ Q @ R``, and how far it is from the one given.

    Attributes
    ----------
    Q : array, shape (m, k)
        Orthonormal columns.
    R : array, shape (k, n)
        Upper trapezoidal, with a positive diagonal; its columns are those of ``A[:, pivots]``.
    pivots : array of int, shape (n,)
        All columns: first the k chosen, the most important first, then the others in their order.
    error : float
        Frobenius norm of the difference to the matrix, absolute: an upper bound, rounding included. So it is one of
        singular value k + 1 too, which the diagonal of ``R`` is not.
    error_kind : CertificateKind
        "rigorous".
    max_abs_coef : float
        Largest entry of ``R11^-1 R12`` in size, where ``R = [R11, R12]``; 0 where all columns were chosen.
    norm_A : float
        Frobenius norm of the matrix.
    status : Status
        "converged", "max_rank" (``k`` was reached before the tolerance) or "rounding" (the tolerance or ``max_coef``
        lies below what can be certified in this dtype).
    """

    Q: Any
    R: Any
    pivots: Any
    error: Any
    error_kind: CertificateKind
    max_abs_coef: Any
    norm_A: Any
    status: Status

    def _factors(self) -> tuple[Any, Any, Any]:
        xp = array_namespace(self.R)
        return self.Q, xp.take(self.R, xp.argsort(self.pivots), axis=1), None

    def truncate(self, k: int) -> "PivotedQR":
        """Return the factorisation after ``k`` steps; the error grows by the rows of ``R`` left out."""
        k = check_rank(k, self.rank, what="the rank")
        if k == self.rank:
            return self
        xp = array_namespace(self.R)
        R, dropped = self.R[:k, :], scalar(frobenius(xp, self.R[k:, :]))
        # what is left and what is dropped are orthogonal up to rounding
        error = math.hypot(self.error, dropped) + epsilon(R) * math.sqrt(self.rank) * self.norm_A
        largest = _largest_coefficient(xp, R)
        return PivotedQR(self.Q[:, :k], R, self.pivots, error, self.error_kind, largest, self.norm_A, self.status)


def qr_pivoted(
    A: Any,
    k: int | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    method: str = "auto",
    max_coef: float | None = None,
    rng: int | np.random.Generator | None = None,
) -> PivotedQR:
    """Factor a matrix into orthonormal columns and a triangle, the columns in order of importance, cut off after k.

    Parameters
    ----------
    A : array_like, shape (m, n)
        Dense. Integers and booleans are promoted to float64, half precisions to float32.
    k : int, optional
        Number of steps, in 1..min(m, n), which is the default. With a tolerance: at most so many. Where the numerical
        rank is smaller there are fewer, because no further column adds anything but rounding.
    rtol, atol : float, optional
        Take columns until the error is at most ``max(rtol * norm(A, "fro"), atol)``.
    method : {"auto", "geqp3", "sketch", "strong"}
        Pivots by the largest remaining column, of ``A`` itself (LAPACK's name; half of the work at the speed of
        matrix-vector products) or of a sketch of its rows; "auto" takes "geqp3" for up to 65536 entries and where
        the sketch would not be smaller, and "strong" is "auto" with ``max_coef=2``.
    max_coef : float, optional
        Exchange columns until no exchange makes their volume grow by more than this factor, 1 or more.
    rng : int, numpy.random.Generator or None
        Source of the sketch.

    Returns
    -------
    PivotedQR
        ``Q`` (m, k), ``R`` (k, n), ``pivots`` (n,), ``error``, ``max_abs_coef``, ``status``. It acts as ``A``, not as
        the permuted matrix: ``F @ x``, ``F.T @ y``, ``F.toarray()``, ``F.truncate(k)``.

    Raises
    ------
    TypeError
        If ``A`` is no dense array of numbers, ``k`` no int, or ``rng`` none of the above.
    ValueError
        If ``A`` is not a finite nonempty matrix, ``k`` is out of range, a tolerance is negative, ``max_coef`` is below
        1, or ``A`` is traced or lazy: its values decide which columns are taken.
    OverflowError
        If the Frobenius norm of ``A`` exceeds half the range of the dtype.

    Notes
    -----
    The diagonal of ``R`` says little of singular values: on Kahan's matrix of order 90 its last entry is 5e11 times
    the smallest of them. With ``max_coef=f`` and q = sqrt(1 + f^2 k (n - k)), up to rounding (Gu and Eisenstat):

    * ``max_abs_coef <= f``;
    * singular value i of ``R[:, :k]`` is at least that of ``A`` over q, for i = 1..k;
    * ``A`` minus the product has a 2-norm of at most q times singular value k + 1 of ``A``. So that value lies
      between ``error / (q sqrt(min(m, n) - k))`` and ``error``.

    Cost 2 m n k + 8 m n + 8 m k^2 flops for "sketch", almost all in matrix products. "geqp3" takes 4 m n k more for a
    large matrix and k up to an eighth of its sides, otherwise 4 m n min(m, n). ``max_coef`` takes 2 m n k more, and
    2 m n + 4 k (m + n) for an exchange on ``A``; as a rule all exchanges are made on the sketch, except near 1.

    References
    ----------
    Businger, Golub, Numer. Math. 7 (1965) 269; Gu, Eisenstat, SIAM J. Sci. Comput. 17 (1996) 848, theorem 3.2;
    Melnichenko, Balabanov, Murray and others, arXiv:2311.08316 (pivots from a sketch, Cholesky QR).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import qr_pivoted
    >>> A = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 4.0]])
    >>> F = qr_pivoted(A)
    >>> F.pivots
    array([2, 1, 0])
    >>> np.allclose(F.Q @ F.R, A[:, F.pivots])
    True
    """
    xp, A = open_door(min_ndim=2, A=A)
    check_matrix(A)
    k = min(A.shape) if k is None and rtol is None and atol is None else k
    limit, tolerant = check_stopping(min(A.shape), k, rtol, atol)
    check_option(method, METHODS, "method")
    bound = check_max_coef(2.0 if method == "strong" and max_coef is None else max_coef)
    draws = generator(rng)
    M, norm_A, scale = balance(xp, A, "A")
    check_norm(A, norm_A, scale, "A")
    target = max(norm_A * float(rtol or 0.0), float(atol or 0.0) / scale) if tolerant else None
    chosen = "auto" if method == "strong" else method

    def measure(basis: ColumnBasis) -> float:
        return projection_error(xp, M, norm_A, scalar(frobenius(xp, basis.B)), basis.Q, basis.B)

    found = spanning_columns(xp, M, norm_A, Wanted(limit, target, bound), chosen, draws, measure)
    R, pivots = _trapezoid(xp, found.basis)
    # the zeros below the diagonal of R stand for rounding of Q^H C
    error = found.error + epsilon(A) * math.sqrt(R.shape[0]) * norm_A
    largest, kind = _largest_coefficient(xp, R), CertificateKind.RIGOROUS
    R = R if scale == 1.0 else R * scale
    return PivotedQR(found.basis.Q, R, pivots, error * scale, kind, largest, norm_A * scale, found.status(target, k))


def _trapezoid(xp: Any, basis: ColumnBasis) -> tuple[Any, Any]:
    """Return R (k, n) with exact zeros below a positive diagonal, and all pivots."""
    k, n = basis.B.shape
    chosen = to_numpy(basis.indices)
    order = np.concatenate([chosen, np.setdiff1d(np.arange(n), chosen)])
    pivots = xp.asarray(order, dtype=basis.indices.dtype, device=device(basis.B))
    R = xp.triu(xp.take(basis.B, pivots, axis=1))
    count = xp.arange(n, device=device(R))
    diagonal = count[:k, None] == count[None, :]
    return xp.where(diagonal, xp.astype(xp.abs(R), R.dtype), R), pivots


def _largest_coefficient(xp: Any, R: Any) -> float:
    """Return the largest entry of R11^-1 R12 in size."""
    k, n = R.shape
    if n == k or scalar(xp.abs(R[0, 0])) == 0.0:
        return 0.0
    R = R / R[0, 0]  # the inverse shall not leave the range
    return scalar(xp.max(xp.abs(upper_inverse(xp, R[:, :k]) @ R[:, k:])))
