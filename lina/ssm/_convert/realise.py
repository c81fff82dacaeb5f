"""State-space forms of other systems, exact up to one rounding: real blocks of conjugate pairs, companion matrices."""

import math
from typing import Any

import numpy as np

from lina._core.array import is_lazy, where_is
from lina.ssm._systems import DenseSystem, DPLRSystem, RationalSystem
from lina.ssm._systems_arrays import check_overflow, namespace, seen

_ROOT2 = math.sqrt(2.0)


def realised(system: Any, single: np.ndarray | None = None) -> DenseSystem:
    """Return the dense system of the same response; that of n conjugate pairs is real with 2 n states.

    The modes that ``single`` marks, as `real_modes` does, have one state each: their imaginary part, which stays 0, is
    left out.
    """
    if isinstance(system, DenseSystem):
        return system
    if isinstance(system, RationalSystem):
        return _companion(system)
    xp = namespace(system.Lambda)
    A = _blocks(xp, system.Lambda)
    if isinstance(system, DPLRSystem):
        with np.errstate(over="ignore", invalid="ignore"):
            A = A - xp.matmul(xp.matrix_transpose(parts(xp, system.P)), parts(xp, system.Q))
        A = check_overflow(xp, A, "Lambda, P and Q")
    arrays = A, parts(xp, system.B), parts(xp, xp.conj(system.C))
    if single is not None and np.any(single):
        kept = np.flatnonzero(np.concatenate([np.ones_like(single), ~single]))
        kept = xp.asarray(kept, device=where_is(A))
        arrays = tuple(xp.take(x, kept, axis=-1) for x in (xp.take(A, kept, axis=-2), *arrays[1:]))
    return DenseSystem(*arrays, dt=system.dt)


def real_modes(system: Any) -> np.ndarray | None:
    """Return which modes (n,) of halves of pairs are one real state in every system of the batch; None for other forms.

    Where Lambda, P and B are real, nothing moves the imaginary part of the state from 0, and the other half of the
    pair is the mode itself. None is counted where the values cannot be looked at.
    """
    if isinstance(system, (DenseSystem, RationalSystem)):
        return None
    single = np.ones(system.state_size, dtype=bool)
    for x in (system.Lambda, system.B, *((system.P,) if isinstance(system, DPLRSystem) else ())):
        xp = namespace(x)
        real = xp.all(xp.reshape(xp.imag(x), (-1, x.shape[-1])) == 0, axis=0)
        if is_lazy(real):
            return np.zeros_like(single)
        single &= seen(real)
    return single


def parts(xp: Any, x: Any) -> Any:
    """Return sqrt2 (Re x, Im x) along the last axis: the real coordinates of (x, conj x) in a unitary basis."""
    return _ROOT2 * xp.concat([xp.real(x), xp.imag(x)], axis=-1)


def pairs(x: Any, single: np.ndarray | None = None) -> Any:
    """Return the inverse of `parts`; what was left out of ``single`` modes is 0."""
    xp, count = namespace(x), 0 if single is None else int(np.sum(single))
    n = (x.shape[-1] + count) // 2
    real, imag = x[..., :n], x[..., n:]
    if single is not None and count:
        zero = xp.zeros_like(x[..., :1])
        at = np.where(single, n - count, np.cumsum(~single) - 1)
        imag = xp.take(xp.concat([imag, zero], axis=-1), xp.asarray(at, device=where_is(x)), axis=-1)
    return (real + 1j * imag) / _ROOT2


def _blocks(xp: Any, Lambda: Any) -> Any:
    real, imag = _diagonal(xp, xp.real(Lambda)), _diagonal(xp, xp.imag(Lambda))
    return xp.concat([xp.concat([real, -imag], axis=-1), xp.concat([imag, real], axis=-1)], axis=-2)


def _diagonal(xp: Any, x: Any) -> Any:
    return x[..., None] * xp.eye(x.shape[-1], dtype=x.dtype, device=where_is(x))


def _companion(system: RationalSystem) -> DenseSystem:
    """Return the controller form: the state holds the last d of w_k = u_k - a_1 w_{k-1} - ..., the latest first."""
    xp = namespace(system.a)
    d = system.state_size
    below = xp.eye(d, dtype=system.a.dtype, device=where_is(system.a))
    lower = xp.broadcast_to(below[:-1, :], (*system.a.shape[:-1], d - 1, d))
    return DenseSystem(xp.concat([-system.a[..., None, :], lower], axis=-2), below[0, :], system.b, dt=system.dt)
