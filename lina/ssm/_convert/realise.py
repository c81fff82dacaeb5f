"""State-space forms of other systems, exact up to one rounding: real blocks of conjugate pairs, companion matrices."""

import math
from typing import Any

from lina._core.array import where_is
from lina.ssm._systems import DenseSystem, DPLRSystem, RationalSystem
from lina.ssm._systems_arrays import namespace

_ROOT2 = math.sqrt(2.0)


def realised(system: Any) -> DenseSystem:
    """Return the dense system of the same response; that of n conjugate pairs is real with 2 n states."""
    if isinstance(system, DenseSystem):
        return system
    if isinstance(system, RationalSystem):
        return _companion(system)
    xp = namespace(system.Lambda)
    A = _blocks(xp, system.Lambda)
    if isinstance(system, DPLRSystem):
        A = A - xp.matmul(xp.matrix_transpose(parts(xp, system.P)), parts(xp, system.Q))
    return DenseSystem(A, parts(xp, system.B), parts(xp, xp.conj(system.C)), dt=system.dt)


def parts(xp: Any, x: Any) -> Any:
    """Return sqrt2 (Re x, Im x) along the last axis: the real coordinates of (x, conj x) in a unitary basis."""
    return _ROOT2 * xp.concat([xp.real(x), xp.imag(x)], axis=-1)


def pairs(x: Any) -> Any:
    """Return the inverse of `parts`."""
    n = x.shape[-1] // 2
    return (x[..., :n] + 1j * x[..., n:]) / _ROOT2


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
