"""C (p I - q A)^-1 B for many pairs (p, q), by the form of A: what all responses are made of."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from lina._core.array import conjugate, is_lazy, where_is
from lina._core.kernels import kernel
from lina.ssm._freqresp_hessenberg import rounding
from lina.ssm._systems import DenseSystem, DiagonalSystem, DPLRSystem
from lina.ssm._systems_arrays import batch_shape, complex_dtype, namespace, solve, widened, widened_array

# Entries of the largest intermediate array: what stays in a cache.
_BLOCK = 1 << 17


def resolvent(system: Any, p: Any, q: Any) -> Any:
    """Return C (p I - q A)^-1 B of shape (..., m) for complex p and q of shapes (..., m) that broadcast.

    For halves of conjugate pairs it is the value of the whole system. In the precision of the system; p and q may have
    more. Non-finite where the inverse does not exist, and where the diagonal alone has a pole (see `response`).
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return evaluated(system, p, q)[0]


def evaluated(system: Any, p: Any, q: Any) -> tuple[Any, Any]:
    """Return (C (p I - q A)^-1 B, for diagonal plus low rank the same of the diagonal alone)."""
    xp, alone = namespace(p), None
    if isinstance(system, DenseSystem):
        return _dense(xp, system, p, q), None
    # Woodbury cancels next to the poles of the diagonal: single precision would lose three digits there
    p, q = (widened_array(xp, x) for x in (p, q))
    if isinstance(system, DPLRSystem):
        G, alone = _dplr(xp, widened(system), p, q)
    else:
        G = _diagonal(xp, widened(system), p, q)
    return xp.astype(G, system.Lambda.dtype, copy=False), alone


def check_no_pole(xp: Any, G: Any, name: str = "z") -> Any:
    """Return G, or raise ValueError where it is not finite."""
    if not is_lazy(G) and not bool(xp.all(xp.isfinite(G))):
        raise ValueError(f"{name} must not hold a pole of the system, found values that are not finite there")
    return G


def _diagonal(xp: Any, system: DiagonalSystem, p: Any, q: Any) -> Any:
    return _pair_sums(xp, system.Lambda, (system.B * system.C)[..., None], p, q)[..., 0]


def _dplr(xp: Any, system: DPLRSystem, p: Any, q: Any) -> tuple[Any, Any]:
    """Return (F_CB - q F_CP (I + q F_QP)^-1 F_QB, F_CB), where F_XY are sums over the diagonal (Woodbury)."""
    left = _stacked(xp, system.C, conjugate(xp, system.Q))
    right = _stacked(xp, system.B, system.P)
    size = system.rank + 1
    products = left[..., :, None, :] * right[..., None, :, :]
    batch = products.shape[:-3]
    weights = xp.matrix_transpose(xp.reshape(products, (*batch, size * size, products.shape[-1])))
    F = _pair_sums(xp, system.Lambda, weights, p, q)
    F = xp.reshape(F, (*F.shape[:-1], size, size))
    q, alone = q[..., None, None], F[..., 0, 0]
    if size == 2:
        return alone - (q * F[..., :1, 1:] * F[..., 1:, :1] / (1 + q * F[..., 1:, 1:]))[..., 0, 0], alone
    inner = xp.eye(size - 1, dtype=F.dtype, device=where_is(F)) + q * F[..., 1:, 1:]
    wanted = "Lambda, P and Q must have no pole where the system is evaluated, found one"
    solved = solve(xp, inner, F[..., 1:, :1], wanted)
    return alone - (q * xp.matmul(F[..., :1, 1:], solved))[..., 0, 0], alone


def _stacked(xp: Any, row: Any, rows: Any) -> Any:
    """Return rows (..., r, n) with another one before them."""
    n = row.shape[-1]
    batch = (row[..., None, :1] + rows[..., :1, :1]).shape[:-2]
    parts = [xp.broadcast_to(x, (*batch, x.shape[-2], n)) for x in (row[..., None, :], rows)]
    return xp.concat(parts, axis=-2)


def _pair_sums(xp: Any, Lambda: Any, weights: Any, p: Any, q: Any) -> Any:
    """Return the sums over n of w / (p - q lambda) and of their partners, for weights (..., n, k): (..., m, k)."""
    weights = xp.concat([weights, conjugate(xp, weights)], axis=-2)
    parts = [xp.matmul(1 / each, weights) for each in gaps(xp, Lambda, p, q, weights.shape[:-2])]
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=-2)


def gaps(xp: Any, Lambda: Any, p: Any, q: Any, batch: tuple[int, ...] = ()) -> Iterator[Any]:
    """Yield p - q lambda of the modes and their partners, (..., points, 2 n), a block of points after the other."""
    n, m = Lambda.shape[-1], max(p.shape[-1], q.shape[-1])
    poles = xp.concat([Lambda, conjugate(xp, Lambda)], axis=-1)[..., None, :]
    p, q = (xp.broadcast_to(x, (*x.shape[:-1], m))[..., None] for x in (p, q))
    systems = math.prod(batch_shape(Lambda=Lambda.shape[:-1], p=p.shape[:-2], q=q.shape[:-2], weights=batch))
    count = max(1, _BLOCK // max(1, 2 * n * systems))
    for start in range(0, m, count):
        these = slice(start, min(m, start + count))
        yield p[..., these, :] - q[..., these, :] * poles


def _dense(xp: Any, system: DenseSystem, p: Any, q: Any) -> Any:
    p, q = (xp.astype(x, complex_dtype(xp, system.A), copy=False) for x in (p, q))
    fast = kernel("hessenberg_response", xp)
    if fast is not None:
        return fast(system.A, system.B, system.C, p, q)
    n = system.state_size
    A, B, C = (xp.astype(x, complex_dtype(xp, x)) for x in (system.A, system.B, system.C))
    identity = xp.eye(n, dtype=A.dtype, device=where_is(A))
    m = max(p.shape[-1], q.shape[-1])
    p, q = (xp.broadcast_to(x, (*x.shape[:-1], m))[..., None, None] for x in (p, q))
    count = max(1, _BLOCK // (n * n * max(1, math.prod(system.batch))))
    parts = []
    for start in range(0, m, count):
        these = slice(start, min(m, start + count))
        M = p[..., these, :, :] * identity - q[..., these, :, :] * A[..., None, :, :]
        batch = (M[..., :1, 0] + B[..., None, :1]).shape[:-2]
        M = xp.broadcast_to(M, (*batch, *M.shape[-3:]))
        right = xp.broadcast_to(B[..., None, :, None], (*batch, M.shape[-3], n, 1))
        parts.append(_solved(xp, M, right, C[..., None, :]))
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)


def _solved(xp: Any, M: Any, right: Any, row: Any) -> Any:
    """Return row M^-1 right, infinite where every row of M x cancels to ``right`` with no digits left."""
    try:
        x = xp.linalg.solve(M, right)[..., 0]
    except Exception as reason:  # each library has its own error for a singular matrix
        if "singular" not in str(reason).lower():
            raise
        return xp.full_like(xp.sum(row * M[..., 0], axis=-1), xp.inf)
    G = xp.sum(row * x, axis=-1)
    if is_lazy(G):
        return G
    given, terms = xp.abs(right[..., 0]), xp.matmul(xp.abs(M), xp.abs(x)[..., None])[..., 0]
    pole = xp.all(given <= rounding(M.shape[-1], M) * terms, axis=-1) & xp.any(given > 0, axis=-1)
    return xp.where(pole, xp.full_like(G, xp.inf), G) if bool(xp.any(pole)) else G
