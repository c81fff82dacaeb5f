"""Scans by the form of a system: conjugate pairs step through a kernel, dense ones multiply by their taps."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lina._core.array import where_is
from lina.ssm._systems import DPLRSystem

# A kernel takes seconds to compile on its first call: fewer entries of states are done earlier without.
_WORTH_COMPILING = 2**17


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


def scan_by_taps(xp: Any, powers: tuple[Any, Any, Any], A: Any, B: Any, u: Any, x: Any) -> tuple[Any, Any]:
    """Return (y, last state) of a dense system for samples (..., count T), from its Krylov rows, columns and A^T.

    A chunk begins where A^T and the samples of the one before lead; inside, its outputs are its taps times its samples
    and C A^(t+1) times its beginning.
    """
    rows, columns, power = powers
    batch, L, T = u.shape[:-1], u.shape[-1], rows.shape[-2]
    taps = xp.matmul(rows, B[..., None])[..., 0]
    after = xp.matrix_transpose(xp.matmul(rows, A))
    arrays = (xp.flip(columns, axis=-2), _toeplitz(xp, taps), after, xp.matrix_transpose(power))
    inflow, toeplitz, after, jump = (xp.astype(v, x.dtype) for v in arrays)
    chunks = xp.astype(xp.reshape(u, (*batch, L // T, T)), x.dtype)
    arriving, begins, x = xp.matmul(chunks, inflow), [], x[..., None, :]
    for c in range(L // T):
        begins.append(x)
        x = xp.matmul(x, jump) + arriving[..., c : c + 1, :]
    y = xp.matmul(xp.concat(begins, axis=-2), after) + xp.matmul(chunks, toeplitz)
    return xp.reshape(y, (*batch, L)), x[..., 0, :]


def _toeplitz(xp: Any, taps: Any) -> Any:
    """Return the matrix (..., T, T) of taps[t - s] in row s and column t."""
    T = taps.shape[-1]
    index = np.arange(T)[None, :] - np.arange(T)[:, None] + T - 1
    both = xp.concat([xp.zeros_like(taps[..., : T - 1]), taps], axis=-1)
    return xp.reshape(xp.take(both, xp.asarray(index.ravel(), device=where_is(taps)), axis=-1), (*taps.shape, T))
