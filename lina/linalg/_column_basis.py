"""A matrix in an orthonormal basis of some of its columns: the QR factorisation behind all column selections."""

from typing import Any, NamedTuple

from array_api_compat import device

from lina._core.array import adjoint, scalar
from lina._core.kernels import kernel
from lina.linalg._orthonormal import cholesky_qr, triangular_inverse


class ColumnBasis(NamedTuple):
    """C = A[:, indices] (m, k) = Q R with Q orthonormal, R upper triangular; ``inverse`` = R^-1 (k, k), B = Q^H A."""

    indices: Any
    C: Any
    Q: Any
    inverse: Any
    B: Any

    def truncated(self, k: int) -> "ColumnBasis":
        """Return the leading ``k`` columns."""
        return ColumnBasis(self.indices[:k], self.C[:, :k], self.Q[:, :k], self.inverse[:k, :k], self.B[:k, :])

    def coefficients(self, xp: Any) -> Any:
        """Return C^+ A (k, n), the identity on the columns chosen, where least squares has rounding."""
        Z = self.inverse @ self.B
        place = xp.arange(Z.shape[1], device=device(Z))[None, :] == self.indices[:, None]
        return xp.where(xp.any(place, axis=0)[None, :], xp.astype(place, Z.dtype), Z)


def column_basis(xp: Any, A: Any, indices: Any, triangle: Any = None) -> ColumnBasis:
    """Return the basis of the columns ``indices`` (k,) of ``A`` (m, n).

    Cholesky QR twice; where the columns are too dependent for that, once more after division by ``triangle`` (k, k),
    the R of the same columns of a sketch, which leaves them well conditioned (Balabanov, arXiv:2210.09953);
    Householder QR where nothing else is left. Cost 2 m n k + 8 m k^2 flops.
    """
    C = take_columns(xp, A, indices)
    Q, inverse = _orthonormal(xp, C) or _preconditioned(xp, C, triangle) or _householder(xp, C)
    return ColumnBasis(indices, C, Q, inverse, adjoint(xp, Q) @ A)


def take_columns(xp: Any, A: Any, indices: Any) -> Any:
    """Return the columns ``indices`` (k,) of ``A`` (m, n)."""
    fast = kernel("take_columns", xp)
    return xp.take(A, indices, axis=1) if fast is None else fast(A, indices)


def _orthonormal(xp: Any, C: Any) -> tuple[Any, Any] | None:
    """Return (Q, R^-1) of ``C`` by Cholesky QR twice, None unless Q is proved orthonormal."""
    first = cholesky_qr(xp, C)
    second = None if first is None else cholesky_qr(xp, first.Q)
    if first is None or second is None or not second.deviation < 0.5:
        return None
    return second.Q, adjoint(xp, first.inverse) @ adjoint(xp, second.inverse)


def _preconditioned(xp: Any, C: Any, triangle: Any) -> tuple[Any, Any] | None:
    if triangle is None or scalar(xp.min(xp.abs(xp.linalg.diagonal(triangle)))) == 0.0:
        return None
    # exact zeros below: LAPACK hands through what it finds there
    rough = upper_inverse(xp, xp.triu(triangle / _phases(xp, triangle)[:, None]))
    found = _orthonormal(xp, C @ rough)
    return None if found is None else (found[0], rough @ found[1])


def _householder(xp: Any, C: Any) -> tuple[Any, Any]:
    Q, R = xp.linalg.qr(C)
    phases = _phases(xp, R)
    return Q * phases[None, :], upper_inverse(xp, R / phases[:, None])


def _phases(xp: Any, R: Any) -> Any:
    """Return the signs (phases) of the diagonal of ``R`` (k, k): without them it is positive, as Cholesky has it."""
    diagonal = xp.linalg.diagonal(R)
    size = xp.abs(diagonal)
    one = xp.ones_like(diagonal)
    return xp.where(size > 0, diagonal / xp.where(size > 0, xp.astype(size, R.dtype), one), one)


def upper_inverse(xp: Any, R: Any) -> Any:
    """Return the inverse of an upper triangle (k, k), with 1 for a zero on its diagonal: a column of zeros chosen."""
    zero = xp.astype(xp.linalg.diagonal(R) == 0, R.dtype)
    R = R + zero[:, None] * xp.eye(R.shape[0], dtype=R.dtype, device=device(R))
    return adjoint(xp, triangular_inverse(xp, adjoint(xp, R)))
