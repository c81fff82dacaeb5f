"""Recurrences of first order in logarithmic depth, for libraries where a loop over entries is slow."""

from typing import Any


def first_order(xp: Any, a: Any, c: Any) -> Any:
    """Return y along the last axis with y_0 = c_0 and y_i = a_i y_(i-1) + c_i; ``a`` broadcasts to the shape of c.

    Products of the a are formed by doubling, never as quotients of one cumulative product, in which a factor may be 0.
    Cost log2(n) passes.
    """
    n, shift = c.shape[-1], 1
    while shift < n:
        c = c + a * _delayed(xp, c, shift)
        a = a * _delayed(xp, a, shift)  # 0 before the start: those entries are complete
        shift *= 2
    return c


def _delayed(xp: Any, x: Any, shift: int) -> Any:
    zeros = xp.zeros_like(x[..., :shift])
    return xp.concat([zeros, x[..., :-shift]], axis=-1)


def before(xp: Any, x: Any) -> Any:
    """Return the sums over all entries before each one along the last axis."""
    return _delayed(xp, xp.cumulative_sum(x, axis=-1), 1) if x.shape[-1] > 1 else xp.zeros_like(x)


def after(xp: Any, x: Any) -> Any:
    """Return the sums over all entries after each one along the last axis."""
    return xp.flip(before(xp, xp.flip(x, axis=-1)), axis=-1)
