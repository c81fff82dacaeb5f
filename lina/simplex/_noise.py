"""Noise distributions, and the quadrature over the value of the largest of independent noisy entries."""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import epsilon, from_numpy
from lina._core.kernels import kernel

# Nodes are taken together as long as entries times nodes stay below this, so that small rows need few calls.
_BLOCK = 2**11

# An entry so far below the largest has no chance under any of the noises, and its square does not overflow.
_FAR = 1e6


# Chebyshev coefficients in 2 t - 1 of log(exp(y^2) erfc(y) / t) with t = 2 / (2 + y), y >= 0, from 50 digits.
_LOG_ERFCX = (
    -0.6513268598908547171, 0.6419697923564902603, 0.019476473204185836312, -0.0095615147868086316419,
    -0.0009465953444820368663, 0.00036683949785276145187, 0.000042523324806907771645, -0.000020278578112534243154,
    -1.6242900046470255135e-6, 1.3036558355805232018e-6, 1.5626441722066143178e-8, -8.5238095914926542525e-8,
    6.5290544390988514964e-9, 5.0593434955514689418e-9, -9.9136415649303308674e-10, -2.2736512229318358557e-10,
    9.646791102015526802e-11, 2.3940380830391147447e-12, -6.8860275264975533984e-12, 8.9448792730907257167e-13,
    3.1309213993429580783e-13, -1.1270822361367252366e-13, 3.8109052551892320552e-16, 7.1060976136092369878e-15,
    -1.5230282014571043043e-15, -9.4574945712912340005e-17, 1.2102371892242789923e-16,
)  # fmt: skip


def log_ndtr(xp: Any, z: Any) -> Any:
    """Return the logarithm of the normal distribution function, to a few eps of it or of 1."""
    fast = kernel("log_ndtr", xp)
    if fast is not None:
        return fast(z)
    y = xp.abs(z) / math.sqrt(2)
    t = 2 / (2 + y)
    x, high, low = 2 * t - 1, xp.zeros_like(t), xp.zeros_like(t)
    for c in _LOG_ERFCX[:0:-1]:  # Clenshaw's recurrence
        high, low = c + 2 * x * high - low, high
    log_half_erfc = _LOG_ERFCX[0] + x * high - low + xp.log(t / 2) - y * y
    return xp.where(z < 0, log_half_erfc, xp.log1p(-xp.exp(log_half_erfc)))


def _gaussian(xp: Any, z: Any) -> tuple[Any, Any]:
    log_F = log_ndtr(xp, z)
    return log_F, xp.exp(-z * z / 2 - log_F) / math.sqrt(2 * math.pi)


def _logistic(xp: Any, z: Any) -> tuple[Any, Any]:
    e = xp.exp(-z)
    return -xp.log1p(e), e / (1 + e)


def _gumbel(xp: Any, z: Any) -> tuple[Any, Any]:
    e = xp.exp(-z)
    return -e, e


def _uniform(xp: Any, z: Any) -> tuple[Any, Any]:
    inside = (z < 0.5) & (z > -0.5)  # the lower end is met in pieces of no width only
    F = xp.where(inside, z + 0.5, 1.0)
    return xp.log(F), xp.where(inside, 1.0 / F, 0.0)


class _Noise(NamedTuple):
    """``functions`` gives log F and h = f / F; F(below(tail)) = tail = 1 - F(above(tail)), nearly."""

    functions: Callable[[Any, Any], tuple[Any, Any]]
    below: Callable[[float], float]
    above: Callable[[float], float]


_FAMILIES = {
    "gaussian": _Noise(_gaussian, lambda q: -math.sqrt(-2 * math.log(q)), lambda q: math.sqrt(-2 * math.log(q))),
    "logistic": _Noise(_logistic, math.log, lambda q: -math.log(q)),
    "gumbel": _Noise(_gumbel, lambda q: -math.log(-math.log(q)), lambda q: -math.log(q)),
    "uniform": _Noise(_uniform, lambda _: -0.5, lambda _: 0.5),
}
NOISES = tuple(_FAMILIES)


def sweep(xp: Any, z: Any, noise: str, count: int) -> Iterator[tuple[Any, Any, Any]]:
    """Yield (weight * G, h, sign) over blocks of nodes t, for rows ``z`` (rows, n) whose largest entry is 0.

    G = prod_j F(t - z_j), (rows, 1, block), is the distribution of the largest of all, h = f(t - z_i) / F(t - z_i),
    (rows, n, block). ``sign`` is 1 and -1 in turn. Entries -inf have F = 1 and h = 0.
    """
    counts = (z != -math.inf)[..., None]
    entries = xp.where(counts, xp.clip(z, -_FAR, 0.0)[..., None], 0.0)
    functions = _FAMILIES[noise].functions
    nodes = _pieces(xp, z, count) if noise == "uniform" else _even_nodes(z, noise, count)
    for t, weight, sign in nodes:
        log_F, h = functions(xp, t - entries)
        G = xp.exp(xp.sum(xp.where(counts, log_F, 0.0), axis=-2, keepdims=True))
        yield weight * G, xp.where(counts, h, 0.0), sign


def _even_nodes(z: Any, noise: str, count: int) -> Iterator[tuple[Any, Any, Any]]:
    """Yield nodes of equal weights between the tails of the distribution of the largest entry."""
    family = _FAMILIES[noise]
    tail = epsilon(z) / 16
    t = np.linspace(family.below(tail), family.above(tail / z.shape[-1]), count)
    sign = np.where(np.arange(count) % 2, -1.0, 1.0)
    step = (t[-1] - t[0]) / (count - 1)
    size = max(1, _BLOCK // max(1, math.prod(z.shape)))
    for start in range(0, count, size):
        part = slice(start, start + size)
        yield from_numpy(t[part], z), float(step), from_numpy(sign[part], z)


def _pieces(xp: Any, z: Any, count: int) -> Iterator[tuple[Any, Any, Any]]:
    """Yield Gauss and Legendre's nodes of every piece between the places where an entry reaches the end of its noise.

    Between them the integrands are polynomials of degree below n, rising and convex. The places keep their derivatives:
    those of the integrals come from them as well.
    """
    n = z.shape[-1]
    ends = xp.sort(z, axis=-1) + 0.5
    ends = xp.maximum(ends, ends[..., -1:] - 1.0)
    starts = xp.concat([ends[..., -1:] - 1.0, ends[..., :-1]], axis=-1)
    size = max(1, _BLOCK // max(1, math.prod(z.shape)))
    for node, weight in _gauss(min((n + 1) // 2, count // 8)):
        for start in range(0, n, size):
            left, width = starts[..., None, start : start + size], (ends - starts)[..., None, start : start + size]
            yield left + width * node, width * weight, 1.0


@cache
def _gauss(count: int) -> tuple[tuple[float, float], ...]:
    """Return nodes and weights of Gauss and Legendre's rule on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return tuple((float(t), float(w)) for t, w in zip((nodes + 1) / 2, weights / 2, strict=True))
