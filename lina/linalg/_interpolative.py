"""Interpolative decomposition: a matrix from a few of its own columns (or rows)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lina._core.array import balance, check_norm, epsilon, frobenius, open_door, scalar
from lina._core.certificates import CertificateKind, Status
from lina._core.checks import check_int, check_option
from lina._core.kernels import kernel
from lina._core.random import generator
from lina.linalg._column_basis import ColumnBasis
from lina.linalg._lowrank import LowRank
from lina.linalg._residual import pythagoras, residual_norm
from lina.linalg._spanning_columns import Wanted, check_max_coef, spanning_columns
from lina.linalg._stopping import check_matrix, check_stopping

METHODS = ("auto", "sketch", "cpqr")


@dataclass(frozen=True, eq=False, repr=False)
class Interpolative(LowRank):
    """The matrix C @ Z (columns, ``axis=1``) or Z @ C (rows, ``axis=0``), and how far it is from the one given.

    Attributes
    ----------
    indices : array of int, shape (k,)
        The columns (rows) chosen, the most important first.
    Z : array, shape (k, n) or (m, k)
        Coefficients of all columns (rows) in the chosen ones; the identity on these.
    C : array, shape (m, k) or (k, n)
        The chosen columns (rows) themselves.
    error : float
        Frobenius norm of the difference to the matrix, absolute: an upper bound, rounding included.
    error_kind : CertificateKind
        "rigorous".
    max_abs_coef : float
        Largest entry of ``Z`` in size: how far the coefficients magnify errors of the chosen columns.
    norm_A : float
        Frobenius norm of the matrix.
    status : Status
        "converged", "max_rank" (``k`` was reached before the tolerance) or "rounding" (the tolerance or ``max_coef``
        lies below what can be certified in this dtype).
    axis : int
        1 for columns, 0 for rows.
    """

    indices: Any
    Z: Any
    C: Any
    error: Any
    error_kind: CertificateKind
    max_abs_coef: Any
    norm_A: Any
    status: Status
    axis: int

    def _factors(self) -> tuple[Any, Any, Any]:
        return (self.C, self.Z, None) if self.axis == 1 else (self.Z, self.C, None)


def interpolative(
    A: Any,
    k: int | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    axis: int = 1,
    method: str = "auto",
    max_coef: float | None = None,
    rng: int | np.random.Generator | None = None,
) -> Interpolative:
    """Write a matrix in terms of a few of its own columns, ``A ~ A[:, indices] @ Z``, with the error left over.

    Columns are chosen by pivoted QR of a sketch of ``A``; the coefficients are the least-squares solution for ``A``
    itself, which a sketch with little oversampling misses by a factor 2 to 3.

    Parameters
    ----------
    A : array_like, shape (m, n)
        Dense. Integers and booleans are promoted to float64, half precisions to float32.
    k : int, optional
        Number of columns, in 1..min(m, n). With a tolerance: at most so many. Where the numerical rank is smaller,
        fewer are returned, because no further column adds anything.
    rtol, atol : float, optional
        Take columns until the error is at most ``max(rtol * norm(A, "fro"), atol)``.
        At least one of ``k``, ``rtol``, ``atol`` is needed.
    axis : {1, 0}
        Choose columns (1) or rows (0).
    method : {"auto", "sketch", "cpqr"}
        Pivot on a sketch, or on ``A`` itself (4 m n k flops or more, none of them a matrix product). "auto" takes
        "cpqr" for up to 65536 entries, and where the sketch would not be smaller.
    max_coef : float, optional
        Exchange columns until no entry of ``Z`` exceeds this in size, 1 or more (strong rank-revealing QR; 2 is usual).
    rng : int, numpy.random.Generator or None
        Source of the sketch.

    Returns
    -------
    Interpolative
        ``indices`` (k,), ``Z`` (k, n), ``C`` (m, k), ``error``, ``max_abs_coef``; with ``axis=0`` ``Z`` (m, k) and
        ``C`` (k, n). It acts as a matrix: ``F @ x``, ``F.T @ y``, ``F.toarray()``.

    Raises
    ------
    TypeError
        If ``A`` is no dense array of numbers, ``k`` no int, or ``rng`` none of the above.
    ValueError
        If ``A`` is not a finite nonempty matrix, ``k`` is out of range, a tolerance is negative, nothing says
        where to stop, or ``A`` is traced: its values decide which columns are taken.

    OverflowError
        If the Frobenius norm of ``A`` exceeds half the range of the dtype.

    Notes
    -----
    Pivoted QR reaches ``error <= sqrt(1 + k (n - k)) 2^k`` times the optimum in the worst case and 1.1 to 2 times
    as a rule; its coefficients can be large on matrices like Kahan's: look at ``max_abs_coef``, or give ``max_coef``.
    With ``max_coef=f`` no exchange of a column makes the volume of those chosen grow by more than f. Then
    ``max_abs_coef <= f``, and the 2-norm of the difference is at most sqrt(1 + f^2 k (n - k)) times singular value
    k + 1, up to rounding.

    Cost 2 m n k + 8 m n + 8 m k^2 flops for "sketch" (a sparse one, of k + 30 rows), almost all in matrix products;
    ``max_coef`` takes 2 m n k more, and 2 m n + 4 k (m + n) for an exchange on ``A``, at the speed of matrix-vector
    products: as a rule all are made on the sketch, except near 1, where there are about as many exchanges as columns.

    Of an array of dask, in blocks of whole rows (columns for ``axis=0``), one reading finds the triangle of its QR, in
    2 m n^2 flops on the workers; columns are chosen and the error is found from that, in memory. ``C`` and ``Z`` are
    arrays of dask, ``C`` a lazy one.

    References
    ----------
    Cheng, Gimbutas, Martinsson, Rokhlin, SIAM J. Sci. Comput. 26 (2005) 1389; Gu, Eisenstat, SIAM J. Sci. Comput. 17
    (1996) 848, theorem 3.2 (``max_coef``); Dong, Martinsson, Adv. Comput. Math. 49 (2023) 66.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import interpolative
    >>> A = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 7.0]])
    >>> F = interpolative(A, 2, rng=0)
    >>> np.allclose(A[:, F.indices] @ F.Z, A)
    True
    """
    xp, A = open_door(min_ndim=2, A=A)
    in_blocks = kernel("interpolative", xp)
    check_matrix(A, lazy=in_blocks is not None)
    limit, tolerant = check_stopping(min(A.shape), k, rtol, atol)
    if check_int(axis, "axis") not in (0, 1):
        raise ValueError(f"axis must be 0 or 1, got {axis!r}")
    check_option(method, METHODS, "method")
    bound = check_max_coef(max_coef)
    draws = generator(rng)
    if in_blocks is not None:
        options: Any = {"rtol": rtol, "atol": atol, "method": method, "max_coef": max_coef, "rng": draws}
        return in_blocks(A, axis, lambda R: interpolative(R, k, **options))
    M, norm_A, scale = balance(xp, A, "A")
    check_norm(A, norm_A, scale, "A")
    target = max(norm_A * float(rtol or 0.0), float(atol or 0.0) / scale) if tolerant else None
    if axis == 0:
        M = xp.matrix_transpose(M)
    wanted = Wanted(limit, target, bound)
    found = spanning_columns(xp, M, norm_A, wanted, method, draws, lambda basis: _error(xp, M, norm_A, basis))
    basis, status = found.basis, found.status(target, k)
    C, Z = basis.C, basis.coefficients(xp)
    largest = scalar(xp.max(xp.abs(Z)))
    C = C if scale == 1.0 else C * scale  # a power of two: these are the entries of A again
    if axis == 0:
        C, Z = xp.matrix_transpose(C), xp.matrix_transpose(Z)
    kind = CertificateKind.RIGOROUS
    return Interpolative(basis.indices, Z, C, found.error * scale, kind, largest, norm_A * scale, status, axis)


def _error(xp: Any, A: Any, norm_A: float, basis: ColumnBasis) -> float:
    """Return norm(A - C Z, "fro"), an upper bound, rounding included."""
    cheap = pythagoras(A, norm_A, scalar(frobenius(xp, basis.B)))
    # C Z differs from the projection Q B by rounding times the condition number of C
    doubt = epsilon(A) * scalar(frobenius(xp, basis.C)) * scalar(frobenius(xp, basis.inverse)) * norm_A
    if cheap is not None and cheap > 1e3 * doubt:
        return cheap + doubt
    return residual_norm(xp, A, basis.C, basis.coefficients(xp))
