"""The scan of a rational system: a division for its states, with what the state before takes from the samples."""

import math
from typing import Any

import numpy as np
from scipy.signal import lfilter

from lina._core.kernels import kernel
from lina.ssm._fourier import first, product
from lina.ssm._scan_forms import kernel_pays
from lina.ssm._series import divide, filled
from lina.ssm._systems import RationalSystem
from lina.ssm._systems_arrays import namespace, widened_array

# Up to this many states the recurrence itself costs numpy less than divisions by transforms.
_STEPPED = 512
# Up to this many states the outputs are summed from them; beyond, one more division costs less.
_SUMMED = 16


def scan_rational(xp: Any, system: RationalSystem, u: Any, x: Any, return_states: bool) -> tuple[Any, Any, Any]:
    """Return (y, last state, all states or None) of a rational system for samples (..., L), L >= 1.

    With W for the sequence whose last d entries are the state, and the entries before the first sample in ``x``:
    a W = U - R, where R is what they take from the samples, and y = b W, all in double precision where there is one.
    """
    kept, L, d = x.dtype, u.shape[-1], x.shape[-1]
    wide = widened_array(xp, x).dtype
    a, b, u, x = (xp.astype(widened_array(xp, v), wide, copy=False) for v in (system.a, system.b, u, x))
    y, past = (kernel("rational_scan", xp) or _by_division)(a, b, u, x)
    states = None
    if return_states:
        states = xp.astype(xp.stack([past[..., d - i : d - i + L] for i in range(d)], axis=-1), kept, copy=False)
    return xp.astype(y, kept, copy=False), xp.astype(xp.flip(past[..., L:], axis=-1), kept), states


def numpy_scan(a: np.ndarray, b: np.ndarray, u: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs (..., L), and the d entries before the samples with those after (..., d + L), of numpy arrays."""
    batch, shape, d = u.shape[:-1], np.broadcast_shapes(a.shape[:-1], b.shape[:-1]), a.shape[-1]
    if d > _STEPPED:
        return _by_division(a, b, u, x)
    rows = math.prod(batch)
    past = np.ascontiguousarray(np.concatenate([x[..., ::-1], u], axis=-1))  # its rows are written to
    w = past.reshape(rows, past.shape[-1])
    a, b = (np.ascontiguousarray(np.broadcast_to(v, (*shape, d))).reshape(-1, d) for v in (a, b))
    which = np.broadcast_to(np.arange(len(a)).reshape(shape), batch).reshape(rows)
    if kernel_pays(u, x):
        from lina._numba.rational_scan import rational_scan

        return rational_scan(a, b, which, w).reshape(u.shape), past
    y = np.empty((rows, u.shape[-1]), dtype=u.dtype)
    one, monic = np.ones(1, dtype=a.dtype), np.insert(a, 0, 1, axis=-1)
    for r, s in enumerate(which):
        taken = np.convolve(a[s], w[r, :d])[d - 1 :]
        w[r, d:] = lfilter(one, monic[s], w[r, d:], zi=-taken)[0]
        y[r] = np.convolve(w[r], b[s])[d : w.shape[1]]
    return y.reshape(u.shape), past


def _by_division(a: Any, b: Any, u: Any, x: Any) -> tuple[Any, Any]:
    """Return the same in any library; of many states Y = (b (U - R) + a S) / a, where S is what they add to y."""
    xp, L, d = namespace(u), u.shape[-1], x.shape[-1]
    driven = _plus(xp, u, -reaching(xp, a, x), L)
    past = xp.concat([xp.flip(x, axis=-1), divide(xp, driven, a, L)], axis=-1)
    if d <= _SUMMED:
        y = b[..., :1] * past[..., d:]
        for i in range(1, d):
            y = y + b[..., i : i + 1] * past[..., d - i : -i]
        return y, past
    one = xp.ones_like(a[..., :1])
    added = product(xp, xp.concat([one, a], axis=-1), reaching(xp, b, x)[..., 1:], L)
    return divide(xp, _plus(xp, product(xp, driven, b, L), added, L), a, L), past


def reaching(xp: Any, c: Any, x: Any) -> Any:
    """Return the d sums over j of c_{i+j} x_j: what the entries x_0, x_1, ... before the first one weigh at i."""
    d = x.shape[-1]
    return xp.flip(product(xp, xp.flip(c, axis=-1), x, d), axis=-1)


def _plus(xp: Any, x: Any, y: Any, L: int) -> Any:
    return filled(xp, first(x, L), L) + filled(xp, first(y, L), L)
