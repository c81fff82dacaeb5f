"""A matrix from its projections on a few rows and a few columns: min ||A A^H M + M B^H B - M||."""

from dataclasses import dataclass
from typing import Any

from array_api_compat import device

from lina._core.array import adjoint, balance, check_norm, epsilon, frobenius, open_door, scalar
from lina._core.certificates import CertificateKind
from lina._core.checks import check_rank
from lina.linalg._lowrank import Concise
from lina.linalg._residual import residual_norm
from lina.linalg._stopping import check_matrix
from lina.linalg._truncated_svd.public import truncated_svd


@dataclass(frozen=True, eq=False, repr=False)
class TwoSidedProjection(Concise):
    """The minimiser of norm(A A^H M + M B^H B - M), and that norm.

    Attributes
    ----------
    A : array, shape (m, r)
        Leading left singular vectors of M; zero columns where there are fewer.
    B : array, shape (r, n)
        The right singular vectors that follow, as rows; zero rows where there are fewer.
    error : float
        Frobenius norm of ``A A^H M + M B^H B - M``, absolute: an upper bound, rounding included.
    error_kind : CertificateKind
        "rigorous".
    norm_M : float
        Frobenius norm of M.
    """

    A: Any
    B: Any
    error: float
    error_kind: CertificateKind
    norm_M: float

    def apply(self, M: Any) -> Any:
        """Return A A^H M + M B^H B for any ``M`` (m, n); 8 m n r flops."""
        xp, A, B, M = open_door(A=self.A, B=self.B, M=M)
        if tuple(M.shape) != (A.shape[0], B.shape[1]):
            raise ValueError(f"M must have shape {(A.shape[0], B.shape[1])}, got {tuple(M.shape)}")
        return A @ (adjoint(xp, A) @ M) + (M @ adjoint(xp, B)) @ B


def two_sided_projection(M: Any, r: int) -> TwoSidedProjection:
    """Minimise ``norm(A @ A^H @ M + M @ B^H @ B - M, "fro")`` over A (m, r) and B (r, n).

    Parameters
    ----------
    M : array_like, shape (m, n)
        Dense. Integers and booleans are promoted to float64, half precisions to float32.
    r : int
        Columns of A and rows of B, in 1..min(m, n).

    Returns
    -------
    TwoSidedProjection
        ``A`` (m, r), ``B`` (r, n), ``error``, ``error_kind``, ``norm_M``.

    Raises
    ------
    TypeError
        If ``M`` is no dense array of numbers, or ``r`` no int.
    ValueError
        If ``M`` is not a finite nonempty matrix, ``r`` is out of range, or ``M`` is traced or lazy.
    OverflowError
        If the Frobenius norm of ``M`` exceeds half the range of the dtype.

    Notes
    -----
    A A^H M + M B^H B has rank at most 2 r, so that no choice has an error below that of the truncated SVD with 2 r
    terms (Eckart, Young). That bound is reached: with singular vectors u_i, v_i of M, A = [u_i, i in I] and
    B = [v_j^H, j in J], the sum is the part of the SVD in I plus the part in J. So every split of the leading 2 r
    indices into disjoint I and J of r each is optimal, and here A takes the first r. They must be disjoint: an index
    in both is counted twice and leaves as much as one in neither. Where fewer than 2 r singular values exist or are
    above rounding, the rest of B (and of A) is therefore zero, not an arbitrary completion.

    Cost that of `truncated_svd` with 2 r terms by the Gram matrix, and 8 m n r flops for the certificate.

    References
    ----------
    Eckart, Young, Psychometrika 1 (1936) 211.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import two_sided_projection
    >>> F = two_sided_projection(np.diag([4.0, 3.0, 2.0, 1.0]), 1)
    >>> bool(np.isclose(F.error, np.hypot(2.0, 1.0)))
    True
    """
    xp, M = open_door(min_ndim=2, M=M)
    check_matrix(M, "M")
    r = check_rank(r, min(M.shape), "r")
    M, norm, scale = balance(xp, M, "M")
    check_norm(M, norm, scale, "M")
    found = truncated_svd(M, min(2 * r, *M.shape), method="gram")
    some = xp.astype(found.s > max(M.shape) * epsilon(M) * found.s[0], M.dtype)
    U, Vt = found.U * some, found.Vt * some[:, None]
    A, B = U[:, :r], _padded(xp, Vt[r:, :], r)
    return TwoSidedProjection(A, B, _error(xp, M, A, B, norm) * scale, CertificateKind.RIGOROUS, norm * scale)


def _padded(xp: Any, B: Any, r: int) -> Any:
    """Return ``B`` with zero rows up to ``r``."""
    zeros = xp.zeros((r - B.shape[0], B.shape[1]), dtype=B.dtype, device=device(B))
    return xp.concat([B, zeros], axis=0)


def _error(xp: Any, M: Any, A: Any, B: Any, norm: float) -> float:
    """Return norm(M - A (A^H M) - (M B^H) B, "fro"), the rounding of the inner products included."""
    # the size of M shared by both factors, so that the bound of their rounding does not depend on it
    root = norm**0.5 if norm > 0 else 1.0
    left = xp.concat([A * root, M @ adjoint(xp, B) / root], axis=1)
    right = xp.concat([adjoint(xp, A) @ M / root, B * root], axis=0)
    sizes = scalar(frobenius(xp, A)) + scalar(frobenius(xp, B))
    return residual_norm(xp, M, left, right) + 2 * epsilon(M) * sizes * norm
