"""Responses that can be trusted at every point: infinite at the poles of the system, finite everywhere else."""

from dataclasses import replace
from typing import Any

import numpy as np

from lina._core.array import is_lazy, refuse_gradient, where_is
from lina.ssm._convert.realise import parts, realised
from lina.ssm._freqresp_hessenberg import rounding
from lina.ssm._resolvent import evaluated, gaps, resolvent
from lina.ssm._systems import DenseSystem, DiagonalSystem, DPLRSystem
from lina.ssm._systems_arrays import namespace, seen, widened

# Woodbury's identity has lost four digits where the diagonal alone answers with that many times the whole; where it is
# the other way round by nine digits, 1 + q F_QP has cancelled: there may be a pole.
_CANCELLED, _RESONANT = 2.0**14, 2.0**30
# A direction in the plane that no system prefers, and how close to a pole points are looked at in full.
_DIRECTION, _CLOSE = np.exp(0.7j), 2.0**-44


def response(system: Any, p: Any, q: Any) -> Any:
    """Return `resolvent` for values that can be looked at, infinite where p / q is a pole up to rounding.

    Points where the diagonal of a low rank system alone has a pole, or nearly so, are solved by the dense matrix.
    """
    xp = namespace(p)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        G, alone = evaluated(system, p, q)
        if is_lazy(G) or isinstance(system, DenseSystem):
            return G
        near = _touches_pole(seen(system.Lambda), seen(p), seen(q))
        if isinstance(system, DiagonalSystem):
            return xp.where(xp.asarray(near, device=where_is(G)), xp.full_like(G, xp.inf), G) if np.any(near) else G
        lost = _somewhere(near) | seen(_somewhere(_cancels(xp.abs(G), xp.abs(alone))))
        return _solved(system, p, q, lost) if np.any(lost) else G


def _touches_pole(Lambda: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return at which points (..., m) p - q lambda is nothing but rounding for a mode or its partner.

    All gaps would take as long as the response: they are formed for the points only that come close to a pole of some
    system in a projection onto a line, in which there is a nearest one.
    """
    m = max(p.shape[-1], q.shape[-1])
    p, q = (np.broadcast_to(x.astype(complex), (*x.shape[:-1], m)) for x in (p, q))
    s = p / q
    poles = np.ravel(Lambda).astype(complex)
    line = np.sort(np.concatenate([(poles * _DIRECTION).real, (poles.conj() * _DIRECTION).real]))
    at = (s * _DIRECTION).real
    after = np.searchsorted(line, at)
    distance = np.minimum(np.abs(line[np.minimum(after, len(line) - 1)] - at), np.abs(line[after - 1] - at))
    close = np.any(np.reshape(distance <= _CLOSE * np.abs(s), (-1, m)), axis=0)
    if not np.any(close):
        return np.zeros(m, dtype=bool)
    p, q = p[..., close], q[..., close]
    least = rounding(1, p) * np.abs(p)
    found = np.concatenate([np.min(np.abs(each), axis=-1) for each in gaps(np, Lambda.astype(complex), p, q)], axis=-1)
    near = np.zeros((*found.shape[:-1], m), dtype=bool)
    near[..., close] = found <= least
    return near


def _cancels(whole: Any, alone: Any) -> Any:
    """Return where the response and that of the diagonal are too far apart to be trusted, or no numbers."""
    return ~((alone <= whole * _CANCELLED) & (whole <= alone * _RESONANT))


def _somewhere(points: Any) -> Any:
    """Return which of the points (m,) are marked in some system, for (..., m)."""
    xp = namespace(points)
    return xp.any(xp.reshape(points, (-1, points.shape[-1])), axis=0)


def _solved(system: DPLRSystem, p: Any, q: Any, lost: np.ndarray) -> Any:
    """Return the response, at the points that are ``lost`` (m,) by the dense matrix.

    All are computed anew, apart from each other: NaN that is not taken would spoil gradients all the same.
    """
    xp = namespace(p)
    p, q = (xp.broadcast_to(x, (*x.shape[:-1], len(lost))) for x in (p, q))
    pieces = []
    for form, points in ((system, ~lost), (None, lost)):
        if np.any(points):
            these = xp.asarray(np.flatnonzero(points), device=where_is(p))
            at = [xp.take(x, these, axis=-1) for x in (p, q)]
            part = resolvent(_dense_beyond(widened(system), *at) if form is None else form, *at)
            pieces.append(xp.astype(part, system.Lambda.dtype, copy=False))
    order = np.argsort(np.argsort(lost, kind="stable"))
    return xp.take(xp.concat(pieces, axis=-1), xp.asarray(order, device=where_is(p)), axis=-1)


def _dense_beyond(system: DPLRSystem, p: Any, q: Any) -> DenseSystem:
    """Return a dense system of the same response, in which what nothing moves has its poles beyond all points.

    The imaginary part of a real mode and modes without input and low rank, as one of "fout" of even size, stay 0: their
    poles have no effect but in rounding, where they would make the matrix singular.
    """
    dense, xp = realised(system), namespace(system.Lambda)
    still = (dense.B == 0) & xp.all(parts(xp, system.P) == 0, axis=-2)
    apart = xp.imag(system.Lambda) == 0
    still = still & (xp.concat([apart, apart], axis=-1) | xp.roll(still, system.state_size, axis=-1))
    if bool(xp.any(still & ((dense.C != 0) | xp.any(parts(xp, system.Q) != 0, axis=-2)))):
        # what would move them is seen by the output: there its gradient has the pole that the response has not
        refuse_gradient("a response at a pole of Lambda", Lambda=system.Lambda, P=system.P, B=system.B)
    s = np.abs(seen(p) / seen(q))
    beyond = 2 * float(np.max(s[np.isfinite(s)], initial=0.0)) + 1
    identity = xp.eye(dense.state_size, dtype=dense.A.dtype, device=where_is(dense.A))
    return replace(dense, A=dense.A + beyond * xp.astype(still, dense.A.dtype)[..., None] * identity)
