"""Scans by the form of a system: rational ones divide, conjugate pairs step through a kernel, dense ones multiply."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lina._core.array import where_is
from lina.ssm._fourier import first, product
from lina.ssm._kernels.dense import krylov
from lina.ssm._series import divide, filled
from lina.ssm._systems import DenseSystem, DPLRSystem, RationalSystem
from lina.ssm._systems_arrays import widened, widened_array

# A kernel takes seconds to compile on its first call: fewer entries of states are done earlier without.
_WORTH_COMPILING = 2**17


def scan_by_division(xp: Any, system: RationalSystem, u: Any, x: Any, return_states: bool) -> tuple[Any, Any, Any]:
    """Return (y, last state, all states or None) of a rational system for samples (..., L), L >= 1.

    With W for the sequence whose last d entries are the state, and the entries before the first sample in ``x``: W =
    (U - R) / a, where R is what they take from the samples, and the outputs are b W plus what they add, S, so that
    Y = (b (U - R) + a S) / a. Both are divisions of series without growth.
    """
    kept, L, d = x.dtype, u.shape[-1], x.shape[-1]
    a, b = (xp.astype(widened_array(xp, v), widened_array(xp, x).dtype) for v in (system.a, system.b))
    u, x = (xp.astype(widened_array(xp, v), b.dtype) for v in (u, x))
    one = xp.ones_like(a[..., :1])
    driven = _plus(xp, u, -_reaching(xp, a, x), L)
    added = product(xp, xp.concat([one, a], axis=-1), _reaching(xp, b, x)[..., 1:], L) if d > 1 else 0 * driven
    y = divide(xp, _plus(xp, product(xp, driven, b, L), added, L), a, L)
    past = xp.concat([xp.flip(x, axis=-1), divide(xp, driven, a, L)], axis=-1)
    states = None
    if return_states:
        index = np.arange(L)[:, None] + np.arange(d, 0, -1)
        taken = xp.take(past, xp.asarray(index.ravel(), device=where_is(past)), axis=-1)
        states = xp.astype(xp.reshape(taken, (*past.shape[:-1], L, d)), kept)
    return xp.astype(y, kept), xp.astype(xp.flip(past[..., L:], axis=-1), kept), states


def _reaching(xp: Any, c: Any, x: Any) -> Any:
    """Return the d sums over j of c_{i+j} x_j: what the entries x_0, x_1, ... before the first one weigh at i."""
    d = x.shape[-1]
    return xp.flip(product(xp, xp.flip(c, axis=-1), x, d), axis=-1)


def _plus(xp: Any, x: Any, y: Any, L: int) -> Any:
    return filled(xp, first(x, L), L) + filled(xp, first(y, L), L)


def kernel_pays(u: Any, x: Any) -> bool:
    """Return whether the states are many enough to compile for."""
    return math.prod(u.shape) * int(x.shape[-1]) >= _WORTH_COMPILING


def scan_by_kernel(fast: Callable[..., Any], system: Any, u: Any, x: Any, return_states: bool) -> tuple[Any, Any, Any]:
    """Return the same of a system of conjugate pairs, sample by sample through a kernel."""
    n, L, batch = x.shape[-1], u.shape[-1], x.shape[:-1]
    rows, shape, count = math.prod(batch), system.batch, math.prod(system.batch)
    low_rank = isinstance(system, DPLRSystem)
    empty = np.zeros((*shape, 0, n), dtype=x.dtype)
    vectors = [np.broadcast_to(v, (*shape, n)).reshape(count, n) for v in (system.Lambda, system.B, system.C)]
    pair = (system.P, system.Q) if low_rank else (empty, empty)
    rank = pair[0].shape[-2]
    rows_of_rank = [np.broadcast_to(v, (*shape, rank, n)).reshape(count, rank, n) for v in pair]
    which = np.broadcast_to(np.arange(count).reshape(shape), batch).reshape(rows)
    states = np.empty((rows, L if return_states else 0, n), dtype=x.dtype)
    flat = np.ascontiguousarray(u).reshape(rows, L)
    y, end = fast((*vectors, *rows_of_rank), which, flat, x.reshape(rows, n), states)
    return y.reshape(*batch, L), end.reshape(x.shape), states.reshape(*batch, L, n) if return_states else None


def scan_by_taps(xp: Any, system: DenseSystem, u: Any, x: Any, T: int) -> tuple[Any, Any]:
    """Return (y, last state) of a dense system for samples (..., count T), T a power of two.

    A chunk begins where A^T and the samples of the one before lead; inside, its outputs are its taps times its samples
    and C A^(t+1) times its beginning.
    """
    batch, L, n = u.shape[:-1], u.shape[-1], x.shape[-1]
    wide = widened(system)
    B, C = (xp.broadcast_to(v, (*system.batch, n)) for v in (wide.B, wide.C))
    rows, columns, power = krylov(xp, wide.A, B, C, T)
    taps = xp.matmul(rows, B[..., None])[..., 0]
    after = xp.matrix_transpose(xp.matmul(rows, wide.A))
    arrays = (xp.flip(columns, axis=-2), _toeplitz(xp, taps), after, xp.matrix_transpose(power))
    inflow, toeplitz, after, jump = (xp.astype(v, x.dtype) for v in arrays)
    chunks = xp.astype(xp.reshape(u, (*batch, L // T, T)), x.dtype)
    arriving, begins = xp.matmul(chunks, inflow), []
    for c in range(L // T):
        begins.append(x)
        x = xp.matmul(x[..., None, :], jump)[..., 0, :] + arriving[..., c, :]
    y = xp.matmul(xp.stack(begins, axis=-2), after) + xp.matmul(chunks, toeplitz)
    return xp.reshape(y, (*batch, L)), x


def _toeplitz(xp: Any, taps: Any) -> Any:
    """Return the matrix (..., T, T) of taps[t - s] in row s and column t."""
    T = taps.shape[-1]
    index = np.arange(T)[None, :] - np.arange(T)[:, None] + T - 1
    both = xp.concat([xp.zeros_like(taps[..., : T - 1]), taps], axis=-1)
    return xp.reshape(xp.take(both, xp.asarray(index.ravel(), device=where_is(taps)), axis=-1), (*taps.shape, T))
