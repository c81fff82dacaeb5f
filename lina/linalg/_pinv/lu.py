"""A square matrix of full rank: its inverse by LU with partial pivoting."""

from typing import Any

import numpy as np

from lina._core.array import epsilon, frobenius, scalar
from lina._core.kernels import kernel
from lina._core.random import gaussian
from lina.linalg._norms import norm2_upper
from lina.linalg._pinv.outcome import Cutoff, FullRank, ratio


def lu_pinv(xp: Any, A: Any, cutoff: Cutoff) -> FullRank | None:
    """Return the inverse of ``A`` (n, n), or None unless full rank is certain. Cost 2 n^3 flops."""
    X = _inverse(xp, A)
    if X is None:
        return None
    high, low = norm2_upper(xp, A), ratio(1.0, norm2_upper(xp, X))
    if not cutoff.below(low, high) or not _inverts(xp, A, X, high / low):
        return None
    return FullRank(X, low, high, "lu")


def _inverse(xp: Any, A: Any) -> Any | None:
    fast = kernel("inverse", xp)
    if fast is not None:
        return fast(A)
    try:
        return xp.linalg.inv(A)
    except (ValueError, RuntimeError):  # the LinAlgError of other libraries
        return None


def _inverts(xp: Any, A: Any, X: Any, condition: float) -> bool:
    """Whether A X is the identity on random vectors: partial pivoting can lose all digits to element growth."""
    n = A.shape[0]
    probe = gaussian(np.random.default_rng(0), (n, 4), A)
    error = scalar(frobenius(xp, A @ (X @ probe) - probe))
    return error <= 10 * n**0.5 * epsilon(A) * condition * scalar(frobenius(xp, probe))
