"""Entmax in array code: Newton's method on the logarithm of the largest probability.

With z = x - largest entry, e = alpha - 1 and l = -log of the largest p, the others are

    p = exp(-l) [1 + e c z]_+^(1 / e),  c = exp(e l),

and their sum S(l) is 1 for one l between 0 and log n. Nothing cancels for any alpha: at e = 0 this is softmax.
"""

import math
from typing import Any

from lina.simplex._rows import best_real, held, iterate, largest, offset, quiet

# A bracket of log n halves to rounding in so many steps; Newton's method takes 4 to 10.
_MOST_STEPS = 80
# exp of it is finite; entries that differ by more than its reciprocal are then not in one support
_MOST_EXPONENT = 700.0
_BEYOND = 1000.0


def entmax_body(xp: Any, x: Any, alpha: Any) -> Any:
    """Return the entmax of the rows of ``x`` (rows, n) with ``alpha`` (rows,)."""
    # p is at most exp(z): at -_BEYOND it is 0 for any alpha, and its derivative no product of 0 and infinity
    z = xp.maximum(xp.astype(offset(xp, x, largest(xp, x)), best_real(xp)), -_BEYOND)
    e = xp.astype(alpha, z.dtype)[:, None] - 1.0
    with quiet(x):
        level = _solve(xp, held(z), held(e))
        # the last step once more, with a derivative: it is that of the solution, because it ends there
        p, total, slope = _entries(xp, z, e, level)
        step = _newton_step(xp, e, total, slope)
        # beyond alpha = 2 the slope at the edge of the support may be infinite: of the step the derivative alone
        step = xp.where(e > 1, step - held(step), step)
        p = _entries(xp, z, e, level + step)[0]
    return xp.astype(xp.where(xp.isnan(z) | xp.isnan(e), math.nan, p), x.dtype)


def _solve(xp: Any, z: Any, e: Any) -> Any:
    """Return l of each row, to rounding: Newton's method from l = 0, bisection where that leaves its bracket."""
    low = xp.zeros_like(e)
    high = xp.full_like(e, math.log(z.shape[-1]) if z.shape[-1] > 1 else 0.0)

    def step(count: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        low, high, level = state
        _, total, slope = _entries(xp, z, e, level)
        low, high = xp.where(total >= 1, level, low), xp.where(total <= 1, level, high)
        new = level + _newton_step(xp, e, total, slope)
        # beyond alpha = 2 the sum is not convex: every third step halves the bracket
        outside = (new < low) | (new > high) | ((e > 1) & (count % 3 == 2))
        return low, high, xp.where(outside, (low + high) / 2, new)

    return iterate(xp, step, (low, high, low), _MOST_STEPS, lambda old, new: ~(xp.abs(new - old) > 1e-16 * (1 + old)))


def _newton_step(xp: Any, e: Any, total: Any, slope: Any) -> Any:
    """Return the step of l: Newton's method in d = exp(-e l) on S^e = 1, which is convex in d for alpha up to 2."""
    power = _exprel(xp, -e * xp.log(total)) * xp.log(total)  # (1 - S^-e) / e
    return power / slope * _log1prel(xp, -e * power / slope)


def _entries(xp: Any, z: Any, e: Any, level: Any) -> tuple[Any, Any, Any]:
    """Return (p, S, slope), slope = -d log S^e / d log d / e >= 1, at ``level`` l."""
    u = z * xp.exp(xp.minimum(e * level, _MOST_EXPONENT))
    base = 1 + e * u
    inside = base > 0
    u, base = xp.where(inside, u, 0.0), xp.where(inside, base, 1.0)
    q = xp.where(inside, xp.exp(u * _log1prel(xp, e * u)), 0.0)
    sum_q = xp.sum(q, axis=-1, keepdims=True)
    slope = 1 - e * xp.sum(u * q / base, axis=-1, keepdims=True) / sum_q
    p = xp.exp(-level) * q
    return p, xp.exp(-level) * sum_q, slope


def _log1prel(xp: Any, t: Any) -> Any:
    """Return log(1 + t) / t for t > -1, 1 at 0."""
    small = xp.abs(t) < 1e-5
    safe = xp.where(small, 1.0, t)
    return xp.where(small, 1 - t * (1 / 2 - t * (1 / 3 - t / 4)), _log1p(xp, safe) / safe)


def _log1p(xp: Any, t: Any) -> Any:
    """Return log(1 + t), -inf at -1: from the logarithm, with what 1 + t lost to rounding (Kahan).

    The log1p of jax loses two digits between -1/2 and -1/4.
    """
    y = 1 + t
    safe = xp.where(y > 0, y, 1.0)
    return xp.where(y > 0, xp.log(safe) + (t - (safe - 1)) / safe, -math.inf)


def _exprel(xp: Any, t: Any) -> Any:
    """Return (exp(t) - 1) / t, 1 at 0."""
    small = xp.abs(t) < 1e-5
    safe = xp.where(small, 1.0, t)
    return xp.where(small, 1 + t * (1 / 2 + t * (1 / 6 + t / 24)), xp.expm1(safe) / safe)
