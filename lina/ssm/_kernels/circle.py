"""Where a response is sampled, so that an inverse FFT gives taps: points z = exp(-2 zeta), zeta = rho + i theta.

The bilinear transform needs 1 - z = 2 exp(-zeta) sinh(zeta) and (1 + z) / 2 = exp(-zeta) cosh(zeta): with half angles
nothing is divided by at z = -1, and no digits cancel near z = 1.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import where_is
from lina.ssm._fourier import fast_length, forward, inverse

# Points that a kernel is given at once.
_POINTS = 2**17


class Circle(NamedTuple):
    """Points and how to read taps off the samples there.

    ``points`` of them lie on the whole circle, of which arrays of points // 2 + 1 entries hold the half that real
    systems need: p = 2 sinh(zeta), q = cosh(zeta), ``phase`` = exp(zeta). ``growth`` is the logarithm of the factor by
    which a tap is read off too small with respect to the one before it.
    """

    points: int
    p: np.ndarray
    q: np.ndarray
    phase: np.ndarray
    growth: float


def unit_circle(L: int) -> Circle:
    """Return the L-th roots of unity, where the samples of a truncated system are exactly those of L taps."""
    return _circle(L, 0.0)


def inner_circle(L: int, times: int, eps: float, modulus: float = 1.0) -> Circle:
    """Return a circle of radius r < 1 with m L points or a few more, m = ``times``, for samples that err by ``eps``.

    Samples at M points of radius r fold tap l + M onto tap l, r^M times as large, and their rounding grows by r^-L when
    the taps are read off. Both are eps^(m / (m + 1)) for r^M of that size: in double precision 1e-8 and 2e-12 for m = 1
    and 3. Of a system with a pole of a ``modulus`` above 1, all that holds for taps over its powers, with a radius that
    is smaller by as much.
    """
    count = fast_length(times * L, real=True)
    return _circle(count, math.log(max(1.0, modulus)) - math.log(eps) / (count + L))


def _circle(count: int, growth: float) -> Circle:
    k = np.arange(count // 2 + 1)
    sine, cosine = np.sin(np.pi * k / count), np.sin(np.pi * (count - 2 * k) / (2 * count))
    rho = growth / 2
    sinh = math.sinh(rho) * cosine + 1j * (math.cosh(rho) * sine)
    cosh = math.cosh(rho) * cosine + 1j * (math.sinh(rho) * sine)
    return Circle(count, 2 * sinh, cosh, math.exp(rho) * (cosine + 1j * sine), growth)


def taps_from(xp: Any, G: Any, circle: Circle, L: int) -> Any:
    """Return the taps (..., L), real, of samples (..., points // 2 + 1) that lack the phase."""
    K = inverse(xp, G * constant(xp, circle.phase, G), circle.points, real=True)[..., :L]
    return K if circle.growth == 0 else K * _grown(xp, circle, L, K)


def samples_vjp(xp: Any, K: Any, circle: Circle, like: Any) -> Any:
    """Return S with Re sum S dG = sum K dtaps, the transpose of `taps_from`; in the dtype of ``like``."""
    L, half = K.shape[-1], circle.points // 2 + 1
    if circle.growth != 0:
        K = K * _grown(xp, circle, L, K)
    weight = np.full(half, 2.0 / circle.points)
    weight[0] = 1.0 / circle.points
    if circle.points % 2 == 0:
        weight[-1] = 1.0 / circle.points
    return xp.conj(forward(xp, K, circle.points)) * constant(xp, weight * circle.phase, like)


def _grown(xp: Any, circle: Circle, L: int, K: Any) -> Any:
    return xp.asarray(np.exp(circle.growth * np.arange(L)), dtype=K.dtype, device=where_is(K))


def blocks_of_points(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    """Yield parts of arrays of points: what a kernel makes of the points of millions of taps is larger than these."""
    for start in range(0, max(1, arrays[0].shape[-1]), _POINTS):
        yield tuple(x[..., start : start + _POINTS] for x in arrays)


def constant(xp: Any, values: np.ndarray, like: Any) -> Any:
    """Return complex numbers that no input enters, in the dtype and on the device of ``like``."""
    return xp.asarray(values.astype("complex128"), dtype=like.dtype, device=where_is(like))
