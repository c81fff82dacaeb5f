"""Projections and mappings from their definitions: fractions where the answer is rational, mpmath elsewhere."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import product

import mpmath
import numpy as np


def exact_projection(x: Sequence[float], radius: float = 1) -> tuple[list[Fraction], Fraction]:
    """Return (p, tau) of the projection of one vector onto the simplex, exactly: the support among all n prefixes.

    Of the k largest entries tau_k = (their sum - radius) / k; the support is the largest k whose k-th entry exceeds it.
    """
    values = [Fraction(v) for v in x]
    ordered = sorted(values, reverse=True)
    best = ordered[0] - Fraction(radius)
    for k in range(1, len(ordered) + 1):
        tau = (sum(ordered[:k]) - Fraction(radius)) / k
        if ordered[k - 1] > tau:
            best = tau
    return [max(v - best, Fraction(0)) for v in values], best


def exact_capped(x: Sequence[float], lower: Sequence[float], upper: Sequence[float], total: float) -> list[Fraction]:
    """Return the projection onto {lower <= p <= upper, sum p = total}: the active sets are tried one by one, n <= 6."""
    values, low, high = ([Fraction(v) for v in each] for each in (x, lower, upper))
    best: tuple[Fraction, list[Fraction]] | None = None
    for state in product("lfu", repeat=len(values)):
        fixed = [low[i] if s == "l" else high[i] for i, s in enumerate(state)]
        free = [i for i, s in enumerate(state) if s == "f"]
        rest = Fraction(total) - sum(v for v, s in zip(fixed, state, strict=True) if s != "f")
        if not free and rest != 0:
            continue
        tau = (sum(values[i] for i in free) - rest) / len(free) if free else Fraction(0)
        p = [values[i] - tau if s == "f" else fixed[i] for i, s in enumerate(state)]
        if any(not a <= v <= b for a, v, b in zip(low, p, high, strict=True)):
            continue
        distance = sum((a - b) ** 2 for a, b in zip(p, values, strict=True))
        if best is None or distance < best[0]:
            best = (distance, p)
    assert best is not None
    return best[1]


def sorted_projection(x: np.ndarray, radius: float = 1.0) -> tuple[np.ndarray, float, int]:
    """Return (p, tau - largest entry, support) of one vector by sorting, summed without rounding error in sight.

    The sums are numpy's longdouble ones, which is enough for 1e7 entries.
    """
    z = x.astype(np.longdouble) - x.max()
    ordered = np.sort(z)[::-1]
    sums = np.cumsum(ordered)
    k = np.arange(1, len(z) + 1)
    support = int(np.flatnonzero(ordered * k > sums - radius)[-1]) + 1
    tau = (sums[support - 1] - np.longdouble(radius)) / support
    return np.maximum(z - tau, 0).astype(np.float64), float(tau), support


def exact_entmax(x: Sequence[float], alpha: float, digits: int = 40) -> list[mpmath.mpf]:
    """Return the alpha-entmax of one vector by bisection on tau to ``digits`` digits; softmax at alpha = 1."""
    with mpmath.workdps(digits + 10):
        values = [mpmath.mpf(float(v)) for v in x]
        top = max(values)
        if alpha == 1:
            weights = [mpmath.exp(v - top) for v in values]
            return [w / sum(weights) for w in weights]
        a = mpmath.mpf(float(alpha)) - 1
        scaled = [a * (v - top) for v in values]

        def entries(tau: mpmath.mpf) -> list[mpmath.mpf]:
            return [(v - tau) ** (1 / a) if v > tau else mpmath.mpf(0) for v in scaled]

        low, high = mpmath.mpf(-1), -(mpmath.mpf(len(values)) ** (-a))
        for _ in range(int(digits * 3.4) + 40):
            middle = (low + high) / 2
            low, high = (middle, high) if sum(entries(middle)) > 1 else (low, middle)
        return entries(low)
