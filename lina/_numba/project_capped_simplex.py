"""Projection of rows between two bounds: Newton's method on a sum that is linear between its breakpoints.

f(t) = sum clip(x - t, lower, upper) falls with t. Where as many entries are at the upper bound as before a step, and as
many at the lower one, they are the same ones, because the sets are nested: f is linear along the step, which has led to
the solution. A bracket is kept, and every third step halves it. The threshold is first found from the largest entry,
then from itself: so that the differences to it are exact.
"""

import math

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit, read_only
from lina._numba.project_simplex import LANES, as_keys, fold, largest

MOST_STEPS = 200
# Differences of entries up to it are finite, and those of bounds beside them.
_TOO_LARGE = {4: 2.0**126, 8: 2.0**1020}
# Beyond so many times the width between the bounds a bracket takes too many steps to close on a threshold.
_TOO_WIDE = 2.0**40
_ENTRIES_WORTH_A_THREAD = 30_000


def project_capped_simplex(
    x: np.ndarray, lower: float, upper: float, total: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the projections of the rows of ``x`` (rows, n) onto {lower <= p <= upper, sum p = total}, and which fail.

    The bounds are finite, n lower <= total (rows,) <= n upper. Rows with entries that are not finite, almost too large
    to be, or too far apart for the bounds are left to others: they are in the boolean array (rows,) that is returned as
    well.
    """
    x, totals = read_only(x), total.astype(np.float64)
    keys, out, failed = as_keys(x), np.empty_like(x), np.zeros(x.shape[0], dtype=np.bool_)
    bounds, limit = (float(lower), float(upper)), _TOO_LARGE[x.itemsize]
    smallest = _ENTRIES_WORTH_A_THREAD // x.shape[1] + 1
    run_rows(
        lambda start, stop: _project_rows(x, keys, bounds, totals, limit, out, failed, start, stop),
        x.shape[0],
        smallest=smallest,
    )
    return out, failed


@njit
def _project_rows(x, keys, bounds, totals, limit, out, failed, start, stop):
    bits, lanes = np.empty(1, dtype=keys.dtype), np.empty(LANES)
    tops = bits.view(x.dtype)
    lower, upper = bounds
    for i in range(start, stop):
        largest(keys[i], bits)
        top, least = np.float64(tops[0]), smallest(x[i])
        spread = top - least <= _TOO_WIDE * (upper - lower)
        if not (spread and top <= limit and least >= -limit and math.isfinite(totals[i])):
            failed[i] = True
            continue
        centre = top
        t = _threshold(x[i], centre, least, top, lower, upper, totals[i], -upper, lanes)
        centre += t
        t = _threshold(x[i], centre, least, top, lower, upper, totals[i], 0.0, lanes)
        for j in range(x.shape[1]):
            value = (np.float64(x[i, j]) - centre) - t
            out[i, j] = min(max(value, lower), upper)


@njit
def smallest(x):
    """Return the smallest entry; any number where there is a NaN."""
    least = x[0]
    for j in range(x.shape[0]):
        least = x[j] if x[j] < least else least
    return np.float64(least)


@njit
def _threshold(x, centre, least, top, lower, upper, total, t, lanes):
    """Return t with sum clip(x - centre - t, lower, upper) = total, from the guess ``t`` on."""
    low, high = (least - centre) - upper, (top - centre) - lower
    t = min(max(t, low), high)
    before_above, before_below, newton = -1, -1, False
    for count in range(MOST_STEPS):
        free, inside, above, below = _between(x, centre, t, lower, upper, lanes)
        excess = inside + (below * lower + (above * upper - total))
        same = newton and above == before_above and below == before_below
        if same and free > 0:
            t += excess / free  # what rounding has left
        if same or excess == 0.0:
            break
        before_above, before_below = above, below
        if excess > 0.0:
            low = t
        else:
            high = t
        new = t + excess / free if free > 0 else low
        newton = low < new < high and count % 3 != 2
        if not newton:
            new = low + (high - low) / 2.0
            if not low < new < high:
                break
        t = new
    return t


@njit
def _between(x, centre, t, lower, upper, lanes):
    """Return how many x - centre - t are between the bounds, their sum, and how many are at the upper and lower one."""
    value, above, below, whole = 0.0, 0, 0, x.shape[0] // LANES * LANES
    for j in range(x.shape[0]):
        v = (np.float64(x[j]) - centre) - t
        above += v >= upper
        below += v <= lower
    if whole > 0:
        for j in range(LANES):
            lanes[j] = 0.0
        blocks = x[:whole].reshape(-1, LANES)
        for b in range(blocks.shape[0]):
            for j in range(LANES):
                v = (np.float64(blocks[b, j]) - centre) - t
                v = v if v < upper else lower
                lanes[j] += v if v > lower else 0.0
        value = fold(lanes)
    for j in range(whole, x.shape[0]):
        v = (np.float64(x[j]) - centre) - t
        value += v if lower < v < upper else 0.0
    return x.shape[0] - above - below, value, above, below
