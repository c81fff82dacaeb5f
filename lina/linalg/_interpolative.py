"""Interpolative decomposition: a matrix from a few of its own columns (or rows)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import (
    adjoint,
    balance,
    check_norm,
    check_option,
    epsilon,
    frobenius,
    open_door,
    scalar,
    to_numpy,
)
from lina._core.certificates import CertificateKind, Status
from lina._core.random import gaussian, generator
from lina.linalg._lowrank import LowRank
from lina.linalg._orthonormal import cholesky_qr, triangular_inverse
from lina.linalg._pivoted_qr import pivoted_qr
from lina.linalg._residual import projection_error
from lina.linalg._stopping import check_matrix, check_stopping

METHODS = ("auto", "sketch", "cpqr")

_OVERSAMPLE = 10
_FIRST_RANK = 32


@dataclass(frozen=True, eq=False)
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
        "converged", "max_rank" (``k`` was reached before the tolerance) or "rounding" (the tolerance lies below what
        can be certified in this dtype).
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
    rng: int | np.random.Generator | None = None,
) -> Interpolative:
    """Write a matrix in terms of a few of its own columns, ``A ~ A[:, indices] @ Z``, with the error left over.

    Columns are chosen by pivoted QR of a Gaussian sketch of ``A``; the coefficients are the least-squares solution
    for ``A`` itself, which a sketch with little oversampling misses by a factor 2 to 3.

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
        "cpqr" where the sketch would not be smaller.
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
        where to stop, or ``A`` is traced or lazy: its values decide which columns are taken.

    OverflowError
        If the Frobenius norm of ``A`` exceeds half the range of the dtype.

    Notes
    -----
    Pivoted QR reaches ``error <= sqrt(1 + k (n - k)) 2^k`` times the optimum in the worst case and 1.1 to 2 times
    as a rule; its coefficients can be large on matrices like Kahan's: look at ``max_abs_coef``.
    Cost 4 m n k + 2 n k^2 flops for "sketch", almost all in matrix products.

    References
    ----------
    Cheng, Gimbutas, Martinsson, Rokhlin, SIAM J. Sci. Comput. 26 (2005) 1389; Dong, Martinsson, Adv. Comput. Math.
    49 (2023) 66.

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
    check_matrix(A)
    limit, tolerant = check_stopping(min(A.shape), k, rtol, atol)
    if axis not in (0, 1):
        raise ValueError(f"axis must be 0 or 1, got {axis!r}")
    check_option(method, METHODS, "method")
    draws = generator(rng)
    M, norm_A, scale = balance(xp, A, "A")
    check_norm(A, norm_A, scale, "A")
    target = None
    if tolerant:
        target = max(norm_A * float(rtol or 0.0), float(atol or 0.0) / scale)
    if axis == 0:
        M = xp.matrix_transpose(M)
    indices, C, Z, error = _choose(xp, M, norm_A, limit, target, method, draws)
    status = Status.CONVERGED
    if target is not None and error > target:
        status = Status.MAX_RANK if indices.shape[0] == k else Status.ROUNDING
    largest = scalar(xp.max(xp.abs(Z)))
    C = C if scale == 1.0 else C * scale  # a power of two: these are the entries of A again
    if axis == 0:
        C, Z = xp.matrix_transpose(C), xp.matrix_transpose(Z)
    kind = CertificateKind.RIGOROUS
    return Interpolative(indices, Z, C, error * scale, kind, largest, norm_A * scale, status, axis)


def _choose(
    xp: Any, A: Any, norm_A: float, limit: int, target: float | None, method: str, rng: np.random.Generator
) -> tuple[Any, Any, Any, float]:
    """Return (indices, C, Z, error): one attempt for a rank, attempts of doubled rank for a tolerance."""
    rank = limit if target is None else min(limit, _FIRST_RANK)
    while True:
        sketch = _sketch(A, rank, method, rng)
        R, pivots = pivoted_qr(xp, sketch, rank)
        found = _numerical_rank(xp, R, max(A.shape))
        indices = pivots[:found]
        C = xp.take(A, indices, axis=1)
        inverse, B = _project(xp, A, C)
        k = found if target is None else _needed(xp, A, B, norm_A, target, C @ inverse)
        Z = _with_identity(xp, inverse[:k, :k] @ B[:k, :], indices[:k])
        captured = scalar(frobenius(xp, B[:k, :]))
        error = projection_error(xp, A, norm_A, captured, C[:, :k], Z)
        if target is None or error <= target or found < rank or rank == limit:
            return indices[:k], C[:, :k], Z, error
        rank = min(limit, 2 * rank)


def _sketch(A: Any, rank: int, method: str, rng: np.random.Generator) -> Any:
    """Return rows whose pivoted QR chooses the columns: random combinations of those of ``A``, or ``A`` itself."""
    rows = rank + _OVERSAMPLE
    if method == "cpqr" or (method == "auto" and rows >= A.shape[0]):
        return A
    return gaussian(rng, (rows, A.shape[0]), A) @ A


def _numerical_rank(xp: Any, R: Any, size: int) -> int:
    """Return the number of pivots above rounding, at least 1."""
    pivots = np.abs(to_numpy(xp.linalg.diagonal(R)))
    return max(1, int(np.sum(pivots > size * epsilon(R) * pivots[0])))


def _project(xp: Any, A: Any, C: Any) -> tuple[Any, Any]:
    """Return (R^-1, Q^H A) of the QR factors of columns C (m, k): their leading blocks serve every smaller rank."""
    first = cholesky_qr(xp, C)
    second = None if first is None else cholesky_qr(xp, first.Q)
    if first is not None and second is not None and second.deviation < 0.5:
        return adjoint(xp, first.inverse) @ adjoint(xp, second.inverse), adjoint(xp, second.Q) @ A
    Q, R = xp.linalg.qr(C)
    if scalar(xp.min(xp.abs(xp.linalg.diagonal(R)))) == 0.0:  # only a zero column is left to choose
        R = R + xp.eye(R.shape[0], dtype=R.dtype, device=device(R))
    return adjoint(xp, triangular_inverse(xp, adjoint(xp, R))), adjoint(xp, Q) @ A


def _with_identity(xp: Any, Z: Any, indices: Any) -> Any:
    """Return ``Z`` (k, n) with exact unit vectors in the chosen columns, where least squares has rounding."""
    place = xp.arange(Z.shape[1], device=device(Z))[None, :] == indices[:, None]
    chosen = xp.any(place, axis=0)
    return xp.where(chosen[None, :], xp.astype(place, Z.dtype), Z)


def _needed(xp: Any, A: Any, B: Any, norm_A: float, target: float, Q: Any) -> int:
    """Return how many rows of B = Q^H A leave no more than ``target`` of A, or all."""
    energy = to_numpy(xp.sum(xp.abs(B) ** 2, axis=1)).astype(np.float64)
    rest = projection_error(xp, A, norm_A, frobenius(xp, B), Q, B)
    # what the first j rows leave, summed from the small end
    left_over = rest**2 + np.concatenate([np.cumsum(energy[::-1])[::-1][1:], [0.0]])
    enough = np.nonzero(left_over <= target**2)[0]
    return int(enough[0]) + 1 if enough.size else len(energy)
