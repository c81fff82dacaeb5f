"""Full column rank through the Cholesky factor of A^H A, once or twice."""

from typing import Any

from lina._core.array import adjoint
from lina.linalg._norms import norm2_lower, norm2_upper
from lina.linalg._orthonormal import cholesky, cholesky_qr, triangular_inverse
from lina.linalg._pinv.outcome import Cutoff, FullRank

# The direct form errs by condition^2 * eps: up to here that is a hundred eps.
_DIRECT_CONDITION = 10.0


def gram_pinv(xp: Any, A: Any, G: Any, cutoff: Cutoff) -> FullRank | None:
    """Return the pseudo-inverse of ``A`` (m, n), m >= n, with ``G`` = A^H A; None unless full rank is certain.

    Condition at most 10: (A^H A)^-1 A^H, 3 m n^2 flops. Beyond: Cholesky QR twice in matrix products, 6 m n^2
    flops, with an error of a few condition * eps up to a condition of about 0.1 / sqrt(eps).
    """
    L = cholesky(xp, G)
    if L is None:
        return None
    inverse = triangular_inverse(xp, L)
    high, low = norm2_upper(xp, L), 1.0 / norm2_upper(xp, inverse)
    if not cutoff.below(low, high):
        return None
    if norm2_lower(xp, L) * norm2_lower(xp, inverse) <= _DIRECT_CONDITION:
        return FullRank((adjoint(xp, inverse) @ inverse) @ adjoint(xp, A), low, high, "gram")
    return _second_pass(xp, A, inverse, low, high, cutoff)


def _second_pass(xp: Any, A: Any, inverse: Any, low: float, high: float, cutoff: Cutoff) -> FullRank | None:
    """Orthonormalise A L^-H once more; its distance from orthonormal proves the bounds of the first factor."""
    Q = A @ adjoint(xp, inverse)
    second = cholesky_qr(xp, Q, form=False)
    if second is None or not second.deviation < 0.5:
        return None
    low, high = low * (1 - second.deviation) ** 0.5, high * (1 + second.deviation) ** 0.5
    if not cutoff.below(low, high):
        return None
    core = adjoint(xp, inverse) @ (adjoint(xp, second.inverse) @ second.inverse)
    return FullRank(core @ adjoint(xp, Q), low, high, "cholqr2")
