"""Bounds of the 2-norm that cost O(m n), from above and from below."""

from typing import Any

import numpy as np

from lina._core.array import adjoint, frobenius, scalar
from lina._core.random import gaussian

_POWER_STEPS = 8


def norm2_upper(xp: Any, M: Any) -> float:
    """Return min(norm(M, "fro"), sqrt(norm(M, 1) * norm(M, inf))) of a matrix (m, n), at least norm(M, 2)."""
    if 0 in M.shape:
        return 0.0
    size = xp.abs(M)
    one, infinity = xp.max(xp.sum(size, axis=0)), xp.max(xp.sum(size, axis=1))
    return min(scalar(frobenius(xp, M)), (scalar(one) * scalar(infinity)) ** 0.5)


def norm2_lower(xp: Any, M: Any) -> float:
    """Return a lower bound of norm(M, 2) by block power iteration on M^H M, as a rule within a few per cent.

    The start is a fixed sequence: the answer depends on M alone.
    """
    x = gaussian(np.random.default_rng(0), (M.shape[1], 2), M)
    y = M @ x
    for _ in range(_POWER_STEPS):
        x = adjoint(xp, M) @ y
        length = xp.sqrt(xp.sum(xp.abs(x) ** 2, axis=0))
        x = x / xp.where(length > 0, length, xp.ones_like(length))
        y = M @ x
    return scalar(xp.max(xp.sqrt(xp.sum(xp.abs(y) ** 2, axis=0))))
