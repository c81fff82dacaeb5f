"""The steps of LegS in array code: time by doubling, one coefficient after the other.

A step is (e I - p A) y = (e I + q A) z + (p + q) B u. The coefficient n of all states is a recurrence of first order
in time whose input is known once the coefficients before n are: N recurrences of logarithmic depth, whatever the
number of steps.
"""

from typing import Any

import numpy as np

from lina._core.array import where_is, widened_array
from lina.hippo._arrays import constant
from lina.hippo._legs_products import solve_body
from lina.hippo._measures import roots
from lina.hippo._prefix import before, first_order

# One step after the other, all coefficients at once, is faster for fewer steps than a coefficient in so many.
_FEW = 16
# Steps of which the sums over coefficients are in memory at once.
_BLOCK = 2048


def weights(method: str, k: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (e, p, q) of the steps from k to k + 1 samples: the first is the limit in which nothing was before."""
    one, before = np.ones(k.shape), np.maximum(k, 1)
    if method == "logbilinear":
        p = q = np.log1p(1 / before) / 2
    elif method == "bilinear":
        p, q = 0.5 / (k + 1), 0.5 / before
    else:
        p, q = 1 / (k + 1), np.zeros(k.shape)
    first = k == 0
    return np.where(first, 0, one), np.where(first, 1, p), np.where(first, 0, q)


def scan(xp: Any, u: Any, x: Any, k0: int, method: str, return_all: bool) -> Any:
    """Return the end (..., N) of the scan of u (..., L) from x at step k0, or all states (..., L, N)."""
    kept, wide, blocks = u.dtype, widened_array(xp, u), []
    x = xp.astype(x, wide.dtype)
    if u.shape[-1] <= max(1, x.shape[-1] // _FEW):
        states = _one_by_one(xp, wide, x, weights(method, np.arange(k0, k0 + u.shape[-1])))
        return xp.astype(xp.stack(states, axis=-2) if return_all else states[-1], kept)
    for first in range(0, u.shape[-1], _BLOCK):
        part = wide[..., first : min(first + _BLOCK, u.shape[-1])]
        k = np.arange(k0 + first, k0 + first + part.shape[-1])
        coefficients = _block(xp, part, x, weights(method, k), return_all)
        x = xp.stack([y[..., -1] for y in coefficients], axis=-1)
        if return_all:
            blocks.append(xp.astype(xp.stack(coefficients, axis=-1), kept))
    return xp.concat(blocks, axis=-2) if return_all else xp.astype(x, kept)


def _one_by_one(xp: Any, u: Any, x: Any, epq: tuple[np.ndarray, ...]) -> list[Any]:
    """Return the states after every step, each an increment: (e I - p A)(y - z) = (p + q)(A z + B u)."""
    states, r, degree = [], constant(xp, roots(x.shape[-1]), x), constant(xp, np.arange(x.shape[-1]) + 1.0, x)
    for i, (e, p, q) in enumerate(zip(*epq, strict=True)):
        moved = r * (u[..., i : i + 1] - before(xp, r * x)) - degree * x
        identity, step = (constant(xp, w[None], x) for w in (e, p))
        x = x + solve_body(xp, float(p + q) * moved, identity, step, backwards=False)
        states.append(x)
    return states


def _block(xp: Any, u: Any, x: Any, epq: tuple[np.ndarray, ...], keep: bool) -> list[Any]:
    """Return N arrays (..., steps), or their last entries (..., 1): the coefficients after every step."""
    N, out = x.shape[-1], []
    r = roots(N)
    e, p, q = (constant(xp, w, u) for w in epq)
    s = (p + q) * u
    for n in range(N):
        inverse = 1 / (e + p * (n + 1))
        decay = xp.concat([xp.zeros_like(inverse[:1]), (e - q * (n + 1)) * inverse], axis=-1)
        y = first_order(xp, decay, xp.concat([x[..., n : n + 1], float(r[n]) * s * inverse], axis=-1))
        s = s - float(r[n]) * (p * y[..., 1:] + q * y[..., :-1])
        out.append(y[..., 1:] if keep else y[..., -1:])
    return out


def scan_vjp(xp: Any, cotangents: Any, L: int, k0: int, method: str, every: bool) -> tuple[Any, Any]:
    """Return the gradients by u (..., L) and by x (..., N), from (..., L, N) where ``every``, or (..., N).

    The same recurrences backwards in time and in n: from z = (I - p A)^-T g, a sample gets (p + q) B^T z, and the
    state before it (I + q A)^T z.
    """
    kept, g = cotangents.dtype, widened_array(xp, cotangents)
    last = g[..., -1, :] if every else g
    parts = []
    for stop in range(L, 0, -_BLOCK):
        start = max(0, stop - _BLOCK)
        epq = weights(method, np.arange(k0 + start, k0 + stop)[::-1])
        inner = xp.flip(g[..., max(start - 1, 0) : stop - 1, :], axis=-2) if every else None
        if inner is not None and start == 0:  # before the first step there is no state that is returned
            inner = xp.concat([inner, xp.zeros_like(g[..., :1, :])], axis=-2)
        du, last = _block_vjp(xp, last, inner, epq)
        parts.append(xp.flip(du, axis=-1))
    du = xp.concat(parts[::-1], axis=-1)
    return xp.astype(du, kept), xp.astype(last, kept)


def _block_vjp(xp: Any, g: Any, inner: Any, epq: tuple[np.ndarray, ...]) -> tuple[Any, Any]:
    """Return the gradients of a block; ``inner`` (..., steps, N) are the cotangents of the states before its steps."""
    N, starts = g.shape[-1], []
    r = roots(N)
    e, p, q = (constant(xp, w, g) for w in epq)
    s = xp.zeros((*g.shape[:-1], epq[0].size), dtype=g.dtype, device=where_is(g))
    for n in reversed(range(N)):
        inverse = 1 / (e + p * (n + 1))
        decay = xp.concat([xp.zeros_like(inverse[:1]), (e - q * (n + 1)) * inverse], axis=-1)
        moved = -float(r[n]) * e * (p + q) * inverse * s
        if inner is not None:
            moved = moved + inner[..., n]
        adjoint = first_order(xp, decay, xp.concat([g[..., n : n + 1], moved], axis=-1))
        s = s + float(r[n]) * (adjoint[..., :-1] - float(r[n]) * p * s) * inverse
        starts.append(adjoint[..., -1])
    return (p + q) * s, xp.stack(starts[::-1], axis=-1)
