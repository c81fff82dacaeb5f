"""The transposed derivative of projections onto the simplex on the CPU."""

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit, read_only
from lina._numba.project_simplex import ENTRIES_WORTH_A_THREAD, LANES, fold


def project_simplex_backward(p: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Return ``g`` less its mean over the support p > 0 of each row (rows, n), and 0 outside of it.

    Where ``p`` is NaN, so is that.
    """
    p, g = read_only(p), read_only(g)
    out = np.empty_like(p)
    smallest = ENTRIES_WORTH_A_THREAD // p.shape[1] + 1
    run_rows(lambda start, stop: _centre_rows(p, g, out, start, stop), p.shape[0], smallest=smallest)
    return out


@njit
def _centre_rows(p, g, out, start, stop):
    lanes = np.empty(LANES)
    for i in range(start, stop):
        count, total = 0, 0.0
        for j in range(p.shape[1]):
            count += p[i, j] > 0.0
        if p.shape[1] >= LANES:
            total = _sum_where(p[i], g[i], lanes)
        else:  # a call costs more than a few entries
            for j in range(p.shape[1]):
                total += np.float64(g[i, j]) if p[i, j] > 0.0 else 0.0
        mean = p.dtype.type(total / max(count, 1))
        for j in range(p.shape[1]):
            value = g[i, j] - mean
            out[i, j] = value if p[i, j] > 0.0 else p.dtype.type(0.0) * p[i, j]


@njit
def _sum_where(p, g, lanes):
    """Return the sum of ``g`` where p > 0."""
    value, whole = 0.0, p.shape[0] // LANES * LANES
    if whole > 0:
        for j in range(LANES):
            lanes[j] = 0.0
        weights, terms = p[:whole].reshape(-1, LANES), g[:whole].reshape(-1, LANES)
        for b in range(weights.shape[0]):
            for j in range(LANES):
                lanes[j] += terms[b, j] if weights[b, j] > 0.0 else 0.0
        value = fold(lanes)
    for i in range(whole, p.shape[0]):
        value += np.float64(g[i]) if p[i] > 0.0 else 0.0
    return value
