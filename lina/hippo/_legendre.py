"""Tables of Legendre polynomials, of their integrals, and of the Gauss rule."""

from functools import cache
from typing import Any

import numpy as np


def legendre(xp: Any, s: Any, N: int) -> Any:
    """Return P_0(s) ... P_(N-1)(s) on a new last axis; by the three-term recurrence, which is stable on [-1, 1]."""
    values = [xp.ones_like(s), s]
    for n in range(1, N - 1):
        values.append(((2 * n + 1) * s * values[n] - n * values[n - 1]) / (n + 1))
    return xp.stack(values[:N], axis=-1)


def legendre_integrals(xp: Any, s: Any, N: int) -> Any:
    """Return the integrals from s to 1 of sqrt(2n + 1) P_n / 2, n < N, on a new last axis.

    They are 0 at s = 1 to the last bit, and for n > 0 also at s = -1.
    """
    P = legendre(xp, s, N + 1)
    n = np.arange(1, N)
    roots = xp.asarray(2 * np.sqrt(2 * n + 1.0), dtype=s.dtype, device=getattr(s, "device", None))
    return xp.concat([(1 - s[..., None]) / 2, (P[..., : N - 1] - P[..., 2:]) / roots], axis=-1)


@cache
def gauss(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes in [-1, 1] and weights of total 1, exact for polynomials of degree 2 points - 1.

    The weights are those of the roots themselves, a rounding away from the nodes: scipy's, of the nodes, lose n^2 eps
    next to the ends, these n eps.
    """
    from scipy.special import roots_legendre

    x = roots_legendre(points)[0]
    P = legendre(np, x, points + 1)
    width = (1 - x) * (1 + x)
    slope = points * (P[:, points - 1] - x * P[:, points]) / width
    away = -P[:, points] / slope
    slope = slope + (2 * x * slope - points * (points + 1) * P[:, points]) / width * away
    weights = 1 / ((width - 2 * x * away) * slope**2)
    return x, weights / np.sum(weights)
