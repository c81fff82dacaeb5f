"""Sums of the first taps next to a pole, where the sum over all of them and that over the rest are both large."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lina._core.array import is_lazy, where_is
from lina.ssm._convert.realise import realised
from lina.ssm._kernels.dense import kernel_dense
from lina.ssm._series import divide
from lina.ssm._systems import RationalSystem
from lina.ssm._systems_arrays import complex_dtype, namespace, seen

# Four digits that the difference of the two may lose, relative to the largest of the sums.
_LOST = 2.0**14
# Taps of which the powers of z are in memory at once.
_BLOCK = 1024


def sum_taps_where_lost(system: Any, G: Any, whole: Callable[[], Any], z: Any, length: int, dt: Any) -> Any:
    """Return the sums G (..., m) of the first ``length`` taps, anew where they are the difference of much larger ones.

    In double precision; ``whole`` gives the sums over all taps. Gradients that are recorded and arrays that are traced
    keep G as it is.
    """
    xp = namespace(G)
    if is_lazy(G) or getattr(G, "requires_grad", False):
        return G
    sizes = np.abs(seen(G))
    largest = np.max(np.where(np.isfinite(sizes), sizes, 0.0), axis=-1, keepdims=True)
    parts = np.abs(seen(whole()))
    lost = np.any(np.reshape(~(parts <= _LOST * largest) | ~np.isfinite(sizes), (-1, sizes.shape[-1])), axis=0)
    if not np.any(lost):
        return G
    discrete = system if system.is_discrete else system.discretize(dt, "bilinear")
    found = np.broadcast_to(seen(G), sizes.shape).astype(complex)
    found[..., lost] = _sum(_taps(discrete, length), seen(z)[lost])
    return xp.asarray(found, dtype=complex_dtype(xp, G), device=where_is(G))


def _taps(system: Any, length: int) -> Any:
    if isinstance(system, RationalSystem):
        xp = namespace(system.a)
        return divide(xp, system.b, system.a, length)
    dense = realised(system) if hasattr(system, "Lambda") else system
    return kernel_dense(dense.A, dense.B, dense.C, None, length)


def _sum(K: Any, z: np.ndarray) -> np.ndarray:
    """Return the polynomials K (..., L) at points (m,): Horner's rule over blocks of taps."""
    taps = seen(K)
    powers = z[:, None] ** np.arange(min(_BLOCK, taps.shape[-1]))
    jump, total = z**_BLOCK, np.zeros((*taps.shape[:-1], z.size), dtype=complex)
    for first in reversed(range(0, taps.shape[-1], _BLOCK)):
        part = taps[..., first : first + _BLOCK]
        total = total * jump + part @ powers[:, : part.shape[-1]].T
    return total
