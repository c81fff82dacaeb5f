"""The transposed derivative of entmax on the CPU, that of softmax among them."""

import math

import numpy as np

from lina._core.threads import run_rows
from lina._numba.entmax import logarithm
from lina._numba.jit import njit, read_only
from lina._numba.project_simplex import LANES, fold
from lina._numba.softmax import exponential

_ENTRIES_WORTH_A_THREAD = 50_000
# Subnormal numbers are raised by 2^54 before their logarithm is read off their bits.
_NORMAL, _RAISE, _RAISED = 1e-300, 2.0**54, 54 * math.log(2)


def entmax_backward(p: np.ndarray, g: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return s (g - mean of g by the weights s) of each row, s = p^(2 - alpha) where p > 0 and 0 elsewhere.

    ``p`` and ``g`` are (rows, n) of one dtype, ``alpha`` (rows,). What ``g`` is where p = 0 does not matter. Rows of
    ``p`` with a NaN are NaN where it is not 0.
    """
    p, g, powers = read_only(p), read_only(g), 2.0 - alpha.astype(np.float64)
    out = np.empty_like(p)
    smallest = _ENTRIES_WORTH_A_THREAD // p.shape[1] + 1
    rows_of = _backward_short_rows if p.shape[1] < LANES else _backward_rows
    run_rows(lambda start, stop: rows_of(p, g, powers, out, start, stop), p.shape[0], smallest=smallest)
    return out


@njit
def _backward_short_rows(p, g, powers, out, start, stop):
    """Write the same of short rows: the weights of neighbours with one power at once, and no calls for each row."""
    zero, n = p.dtype.type(0.0), p.shape[1]
    while start < stop:
        end = start + 1
        while end < stop and powers[end] == powers[start]:
            end += 1
        _weights(p[start:end].reshape(-1), powers[start], out[start:end].reshape(-1))
        for i in range(start, end):
            total, value = 0.0, 0.0
            for j in range(n):
                w = np.float64(out[i, j])
                total += w
                value += w * np.float64(g[i, j]) if w != 0.0 else 0.0
            mean = value / total if total != 0.0 else 0.0
            for j in range(n):
                weighted = p.dtype.type(out[i, j] * (np.float64(g[i, j]) - mean))
                out[i, j] = weighted if out[i, j] != 0.0 else zero
        start = end


@njit
def _backward_rows(p, g, powers, out, start, stop):
    sums, products = np.empty(LANES), np.empty(LANES)
    zero = p.dtype.type(0.0)
    for i in range(start, stop):
        _weights(p[i], powers[i], out[i])
        mean = _mean(out[i], g[i], sums, products)
        for j in range(p.shape[1]):  # in float64: for alpha > 2 weights may be large where g is near the mean
            value = p.dtype.type(out[i, j] * (np.float64(g[i, j]) - mean))
            out[i, j] = value if out[i, j] != 0.0 else zero


@njit
def _weights(p, power, out):
    """Write p^power where p > 0, NaN where p is, and 0 elsewhere."""
    n, zero = p.shape[0], p.dtype.type(0.0)
    if power == 1.0:
        for j in range(n):
            out[j] = p[j] if p[j] > 0.0 else zero * p[j]
    elif power == 0.5:
        for j in range(n):
            out[j] = math.sqrt(p[j] if p[j] > 0.0 else zero * p[j])
    elif power == 0.0:
        for j in range(n):
            out[j] = p.dtype.type(1.0) if p[j] > 0.0 else zero * p[j]
    elif power > 0.0:
        for j in range(n):
            out[j] = exponential(power * _log(np.float64(p[j]))) if p[j] > 0.0 else zero * p[j]
    else:
        for j in range(n):
            out[j] = np.float64(p[j]) ** power if p[j] > 0.0 else zero * p[j]


@njit
def _log(p):
    """Return log(p) for 0 < p <= 2, also of subnormal numbers; any number elsewhere."""
    small = p < _NORMAL
    raised = p * _RAISE if small else p
    return logarithm(raised) - (_RAISED if small else 0.0)


@njit
def _mean(s, g, sums, products):
    """Return sum s g / sum s, 0 where all weights are."""
    whole = s.shape[0] // LANES * LANES
    total, value = 0.0, 0.0
    if whole > 0:
        for j in range(LANES):
            sums[j], products[j] = 0.0, 0.0
        weights, terms = s[:whole].reshape(-1, LANES), g[:whole].reshape(-1, LANES)
        for b in range(weights.shape[0]):
            for j in range(LANES):
                w = np.float64(weights[b, j])
                sums[j] += w
                products[j] += w * np.float64(terms[b, j]) if w != 0.0 else 0.0
        total, value = fold(sums), fold(products)
    for j in range(whole, s.shape[0]):
        w = np.float64(s[j])
        total += w
        value += w * np.float64(g[j]) if w != 0.0 else 0.0
    return value / total if total != 0.0 else 0.0
