"""Cholesky as a way to orthonormalise: everything but an n x n triangle is matrix products."""

from typing import Any, NamedTuple

from array_api_compat import device

from lina._core.array import adjoint, frobenius, is_lazy, scalar
from lina._core.kernels import kernel


class CholeskyQR(NamedTuple):
    """Y = Q L^H with the inverse of L; ``deviation`` = norm(Y^H Y - I, "fro"): below 1/2 it proves Q orthonormal."""

    Q: Any
    inverse: Any
    deviation: float


def gram(xp: Any, A: Any) -> Any:
    """Return A^H A of ``A`` (m, n)."""
    return adjoint(xp, A) @ A


def cholesky(xp: Any, G: Any) -> Any | None:
    """Return the lower Cholesky factor of ``G`` (n, n), or None where there is none."""
    try:
        L = xp.linalg.cholesky(G)
    except (ValueError, RuntimeError):  # numpy's and torch's LinAlgError; other libraries return NaN
        return None
    return L if bool(xp.isfinite(xp.sum(L))) else None


def triangular_inverse(xp: Any, L: Any) -> Any:
    """Return the inverse of a lower triangular matrix (n, n)."""
    fast = kernel("triangular_inverse", xp)
    return xp.linalg.inv(L) if fast is None else fast(L)


def cholesky_qr(xp: Any, Y: Any, *, form: bool = True) -> CholeskyQR | None:
    """Return the factors of ``Y`` (m, k), or None where its Gram matrix has no Cholesky factor; Q only if ``form``."""
    G = gram(xp, Y)
    identity = xp.eye(G.shape[0], dtype=G.dtype, device=device(G))
    L = cholesky(xp, G)
    if L is None:
        return None
    inverse = triangular_inverse(xp, L)
    Q = Y @ adjoint(xp, inverse) if form else None
    return CholeskyQR(Q, inverse, scalar(frobenius(xp, G - identity)))


def orthonormal_columns(xp: Any, Y: Any) -> Any:
    """Return an orthonormal basis (m, k) of the columns of ``Y`` (m, k): Cholesky QR twice, or Householder."""
    if not is_lazy(Y):
        once = cholesky_qr(xp, Y)
        twice = None if once is None else cholesky_qr(xp, once.Q)
        if twice is not None and twice.deviation < 0.5:
            return twice.Q
    return xp.linalg.qr(Y)[0]
