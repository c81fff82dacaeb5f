"""The norm of what an approximation leaves over: the certificate of every factorisation in this room."""

import math
from typing import Any

from lina._core.array import epsilon, frobenius, is_lazy, scalar

_BLOCK_ENTRIES = 1 << 20  # 8 MB of float64: the residual is never stored whole


def residual_norm(xp: Any, A: Any, left: Any, right: Any) -> float:
    """Return norm(A - left @ right, "fro") of (m, n) - (m, k) @ (k, n), rounding included.

    Formed row block by row block, 2 m n k flops. What rounding can hide in the k-term products is added, so that
    the value is an upper bound.
    """
    m, n = A.shape
    step = max(1, _BLOCK_ENTRIES // max(1, n))
    total = 0.0
    for start in range(0, m, step):
        stop = min(start + step, m)
        residual = left[start:stop, :] @ right
        residual -= A[start:stop, :]  # a second buffer would take half as long again
        total = math.hypot(total, scalar(frobenius(xp, residual)))
    # a k-term product errs like sqrt(k) eps |x||y| (Higham, Mary, SIAM J. Sci. Comput. 41 (2019) A2815), and here
    # norm(left) norm(right) is about sqrt(k) times the norm of the product
    products = scalar(frobenius(xp, left)) * scalar(frobenius(xp, right))
    return total + epsilon(A) * (4 * total + 2 * products)


def pythagoras(A: Any, norm: float, captured: float) -> float | None:
    """Return sqrt(norm^2 - captured^2), rounding included; None where the difference has lost its digits."""
    doubt = epsilon(A) * (8 + math.sqrt(A.shape[0] * A.shape[1])) * norm**2
    difference = (norm - captured) * (norm + captured)
    return math.sqrt(difference + doubt) if difference > 1e3 * doubt else None


def projection_error(xp: Any, A: Any, norm: Any, captured: Any, left: Any, right: Any) -> Any:
    """Return norm(A - left @ right, "fro") where left @ right is a projection of norm ``captured``.

    Pythagoras gives it for nothing as long as the difference of the squares keeps its digits; below that the
    residual is formed. An upper bound, rounding included; for lazy arrays the plain difference.
    """
    if is_lazy(A):
        return xp.sqrt(xp.maximum(norm**2 - captured**2, 0 * norm))
    cheap = pythagoras(A, norm, scalar(captured))
    return residual_norm(xp, A, left, right) if cheap is None else cheap
