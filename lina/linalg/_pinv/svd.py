"""Any matrix: the pseudo-inverse from its singular or eigenvalues, the reference of all other paths."""

import math
from typing import Any

import numpy as np

from lina._core.array import adjoint, dtype_name, is_lazy, real_dtype, scalar
from lina.linalg._norms import norm2_upper
from lina.linalg._orthonormal import triangular_inverse
from lina.linalg._pinv.outcome import Cutoff, Outcome

# From this ratio of rows to columns on, QR goes first: as LAPACK's SVD itself would do it.
_TALL = 2


def svd_pinv(xp: Any, A: Any, cutoff: Cutoff) -> Outcome:
    """Return the pseudo-inverse of ``A`` (..., m, n) from its singular value decomposition."""
    with np.errstate(over="ignore"):  # looked at in _from_spectrum
        U, s, Vh = xp.linalg.svd(A, full_matrices=False)
    return _from_spectrum(xp, adjoint(xp, Vh), s, s, adjoint(xp, U), cutoff, "svd")


def eigh_pinv(xp: Any, A: Any, cutoff: Cutoff) -> Outcome:
    """Return the pseudo-inverse of a Hermitian ``A`` (..., n, n) from its eigenvalues; the lower half is read."""
    with np.errstate(over="ignore"):
        values, V = xp.linalg.eigh(A)
    return _from_spectrum(xp, V, values, xp.abs(values), adjoint(xp, V), cutoff, "eigh")


def qr_pinv(xp: Any, A: Any, cutoff: Cutoff) -> Outcome:
    """Return the pseudo-inverse of a tall ``A`` (m, n) from its triangle R: by inverting it where full rank is certain.

    Nothing is lost where it is not: the SVD of R is then that of A.
    """
    m, n = A.shape
    if m < _TALL * n or is_lazy(A):
        return svd_pinv(xp, A, cutoff)
    Q, R = xp.linalg.qr(A)
    diagonal = xp.abs(xp.linalg.diagonal(R))
    if scalar(xp.min(diagonal)) > 0:
        inverse = adjoint(xp, triangular_inverse(xp, adjoint(xp, R)))
        high, low = norm2_upper(xp, R), 1.0 / norm2_upper(xp, inverse)
        if cutoff.below(low, high):
            gap = low / cutoff.at(high) if cutoff.at(high) > 0 else math.inf
            return Outcome(inverse @ adjoint(xp, Q), n, high / low, gap, "qr")
    inner = svd_pinv(xp, R, cutoff)
    return inner._replace(X=inner.X @ adjoint(xp, Q))


def _from_spectrum(xp: Any, left: Any, values: Any, sizes: Any, right: Any, cutoff: Cutoff, method: str) -> Outcome:
    """Return left @ diag(1 / values) @ right over the values whose sizes pass the cutoff."""
    keep, rank, condition, gap = spectrum_facts(xp, sizes, cutoff)
    inverse = xp.astype(inverse_where(xp, values, keep), left.dtype)
    X = (left * inverse[..., None, :]) @ right
    return Outcome(X, rank, condition, gap, method)


def spectrum_facts(xp: Any, sizes: Any, cutoff: Cutoff) -> tuple[Any, Any, Any, Any]:
    """Return (which count, rank, condition, gap) of the singular values ``sizes`` (..., k), in any order."""
    largest = xp.max(sizes, axis=-1, keepdims=True)
    if not is_lazy(largest) and not bool(xp.all(xp.isfinite(largest))):
        raise OverflowError(f"A must not be so large that its 2-norm overflows {dtype_name(largest)}")
    cut = xp.maximum(cutoff.rtol * largest, xp.full_like(largest, cutoff.atol))
    keep = sizes > cut
    rank = xp.sum(xp.astype(keep, xp.int64), axis=-1)
    kept = xp.min(xp.where(keep, sizes, xp.full_like(sizes, math.inf)), axis=-1)
    dropped = xp.max(xp.where(keep, xp.zeros_like(sizes), sizes), axis=-1)
    largest, cut = largest[..., 0], cut[..., 0]
    condition = xp.where(rank > 0, largest / kept, xp.ones_like(largest))
    gap = xp.minimum(quotient(xp, kept, cut), quotient(xp, cut, dropped))
    return keep, rank, xp.astype(condition, real_dtype(xp, sizes)), gap


def inverse_where(xp: Any, values: Any, keep: Any) -> Any:
    """Return 1 / values where ``keep``, and 0 elsewhere."""
    one, zero = xp.ones_like(values), xp.zeros_like(values)
    with np.errstate(over="ignore"):
        inverse = xp.where(keep, one / xp.where(keep, values, one), zero)
    if not is_lazy(values):
        check_result(xp, inverse)
    return inverse


def check_result(xp: Any, x: Any) -> None:
    """Raise OverflowError if a pseudo-inverse, or what scales it, is not finite: A itself is known to be."""
    if not bool(xp.all(xp.isfinite(x))):
        raise OverflowError(f"A must not be so small that its pseudo-inverse overflows {dtype_name(x)}")


def quotient(xp: Any, a: Any, b: Any) -> Any:
    """Return a / b entry by entry, infinite where b is 0."""
    positive = (b > 0) & xp.isfinite(a)
    return xp.where(positive, a / xp.where(positive, b, xp.ones_like(b)), xp.full_like(a, math.inf))
