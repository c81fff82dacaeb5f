"""Division of power series by substitution: a banded triangular system for each block of quotients.

This is the recurrence of long division in the words of linear algebra, for libraries that solve triangular systems: no
power or inverse of anything is formed, so that it is as accurate as the recurrence also where 1 / a grows at once.
"""

import math
from typing import Any

import numpy as np

from lina._core.array import where_is

# Quotients of a block: each costs so many products, and each block a call.
_BLOCK = 64


def divide_by_substitution(xp: Any, solve: Any, numerator: Any, a: Any, batch: tuple[int, ...]) -> Any:
    """Return the coefficients (*batch, L) of numerator(z) / (1 + a_1 z + ...) for L of the numerator, d < L of ``a``.

    ``solve`` is that of unit lower triangular matrices. Rows of one denominator are columns of one right-hand side.
    Cost (max(64, d) + d) L flops a row.
    """
    common = xp.result_type(numerator, a)
    numerator, a = (xp.astype(x, common, copy=False) for x in (numerator, a))
    L, d, shared = numerator.shape[-1], a.shape[-1], math.prod(a.shape[:-1]) == 1
    m = min(L, max(_BLOCK, d))
    rows = xp.broadcast_to(numerator, (*batch, L))
    columns = xp.matrix_transpose(xp.reshape(rows, (-1, L))) if shared else rows[..., None]
    before, triangle = _band(xp, xp.reshape(a, (d,)) if shared else a, m)
    last = xp.zeros_like(columns[..., :d, :])
    blocks = []
    for start in range(0, L, m):
        rest = columns[..., start : min(start + m, L), :]
        size = rest.shape[-2]
        rest = rest - xp.matmul(before[..., :size, :], last)
        block = solve(triangle[..., :size, :size], rest, upper=False, unitriangular=True)
        last = block[..., max(0, size - d) :, :]  # shorter than d only at the end
        blocks.append(block)
    quotient = xp.concat(blocks, axis=-2)
    return xp.reshape(xp.matrix_transpose(quotient) if shared else quotient, (*batch, L))


def _band(xp: Any, a: Any, m: int) -> tuple[Any, Any]:
    """Return (..., m, d) by which the d quotients before a block enter it, and the triangle (..., m, m) inside."""
    d = a.shape[-1]
    power = d + np.arange(m)[:, None] - np.arange(d + m)
    power = np.where((power >= 0) & (power <= d), power, d + 1)
    ends = xp.ones_like(a[..., :1])
    entries = xp.concat([ends, a, 0 * ends], axis=-1)
    band = xp.take(entries, xp.asarray(power.ravel(), device=where_is(a)), axis=-1)
    band = xp.reshape(band, (*a.shape[:-1], m, d + m))
    return band[..., :d], band[..., d:]


def jax_solve(A: Any, B: Any, *, upper: bool, unitriangular: bool) -> Any:
    """Return what torch.linalg.solve_triangular does, of arrays of jax."""
    from jax.numpy import broadcast_shapes, broadcast_to
    from jax.scipy.linalg import solve_triangular

    batch = broadcast_shapes(A.shape[:-2], B.shape[:-2])
    A, B = (broadcast_to(x, (*batch, *x.shape[-2:])) for x in (A, B))
    return solve_triangular(A, B, lower=not upper, unit_diagonal=unitriangular)
