"""Rows of a few entries, WIDTH of them side by side: loops over rows vectorise where those over entries are too short.

Line j of ``z`` (n, width) has the entry j of every row. Each row keeps its own sums and its own number of steps, so
that its bits do not depend on the rows beside it.
"""

import math

import numpy as np

from lina._numba.jit import njit

WIDTH = 128
# Fewer rows than this are summed one after the other: the same operations in the same order, so the same bits.
NARROW = 8
MOST_STEPS = 100


@njit
def load_rows(x, z, top):
    """Write to ``top`` the largest entries of the rows of ``x`` (width, n), or a NaN among them, and x - top to ``z``.

    Of rows without a finite largest entry ``z`` is not defined.
    """
    for j in range(z.shape[0]):
        for w in range(z.shape[1]):
            z[j, w] = x[w, j]
    less_largest(z, top)


@njit
def less_largest(z, top):
    """Subtract from each row, a column of ``z``, its largest entry, which goes to ``top``: as `load_rows` does."""
    n, width = z.shape
    for w in range(width):
        top[w] = z[0, w]
    for j in range(n):
        for w in range(width):
            v = z[j, w]
            higher = v if v > top[w] else top[w]
            # a NaN is passed on, as it is by the sum with it
            top[w] = higher if v == v and top[w] == top[w] else v + top[w]
    for j in range(n):
        for w in range(width):
            z[j, w] -= top[w]


@njit
def solve_rows(z, e, power, precise, active):
    """Return d with sum(max(d + z[:, w], 0)^power) = 1 for the rows w that are ``active`` (1 or 0, which it spoils).

    Their largest entries are 0, and ``e`` is 1 / power. By Newton's method on the power e of the sum, a norm, and so
    convex in d: from d = 1 no step leads below the solution. It ends at steps of at most ``precise`` d, and where the
    slope is that of the step before: at power 1, whose sum is linear piece by piece, that is the exact end.
    """
    width = z.shape[1]
    d, before, state = np.ones(width), np.zeros(width), np.empty((4, width))
    whole, lower, value, product = state[0], state[1], state[2], state[3]
    for _ in range(MOST_STEPS):
        if width < NARROW:
            _sums_by_row(z, power, d, whole, lower)
        else:
            _sums(z, power, d, whole, lower, value, product)
        _excess(whole, e, power, value)
        running = 0
        for w in range(width):
            step = value[w] / lower[w] if active[w] > 0.0 else 0.0
            d[w] -= step
            more = step > precise * d[w] and lower[w] != before[w]
            active[w] = 1.0 if more else 0.0
            before[w] = lower[w]
            running += more
        if running == 0:
            break
    return d


@njit
def _excess(whole, e, power, value):
    """Write whole - whole^(1 - e): over the slope ``lower`` that is the step of Newton's method."""
    if power == 1:
        for w in range(whole.shape[0]):
            value[w] = whole[w] - 1.0
    elif power == 2:
        for w in range(whole.shape[0]):
            value[w] = whole[w] - math.sqrt(whole[w])
    else:
        for w in range(whole.shape[0]):
            safe = whole[w] if whole[w] > 0.0 else 1.0  # of a row that is not active
            value[w] = safe * (1.0 - math.exp(-e[w] * math.log(safe)))


@njit
def _sums(z, power, d, whole, lower, value, product):
    """Write the sums of max(d + z, 0) to the power, and to the power less 1, where that is positive."""
    n, width = z.shape
    whole[:] = 0.0
    lower[:] = 0.0
    if power == 1:
        for j in range(n):
            for w in range(width):
                v = d[w] + z[j, w]
                whole[w] += v if v > 0.0 else 0.0
                lower[w] += 1.0 if v > 0.0 else 0.0
    elif power == 2:
        for j in range(n):
            for w in range(width):
                v = d[w] + z[j, w]
                v = v if v > 0.0 else 0.0
                lower[w] += v
                whole[w] += v * v
    else:
        for j in range(n):
            _powers(z, j, power, d, value, product)
            for w in range(width):
                lower[w] += product[w]
                whole[w] += product[w] * value[w]


@njit
def _sums_by_row(z, power, d, whole, lower):
    """Write the same, row by row."""
    n, width = z.shape
    for w in range(width):
        sum_of_power, sum_below = 0.0, 0.0
        for j in range(n):
            v = d[w] + z[j, w]
            v = v if v > 0.0 else 0.0
            product = v
            for _ in range(power - 2):
                product *= v
            if power == 1:
                product = 1.0 if v > 0.0 else 0.0
            sum_below += product
            sum_of_power += product * v
        whole[w], lower[w] = sum_of_power, sum_below


@njit
def _powers(z, j, power, d, value, product):
    """Write max(d + z[j], 0), and its power less 1 from 2 on."""
    for w in range(d.shape[0]):
        v = d[w] + z[j, w]
        value[w] = v if v > 0.0 else 0.0
        product[w] = value[w]
    for _ in range(power - 2):
        for w in range(d.shape[0]):
            product[w] *= value[w]


@njit
def raise_to_power(z, power, d):
    """Replace ``z`` by max(d + z, 0)^power."""
    value, product = np.empty(d.shape[0]), np.empty(d.shape[0])
    for j in range(z.shape[0]):
        _powers(z, j, power, d, value, product)
        for w in range(d.shape[0]):
            z[j, w] = value[w] if power == 1 else product[w] * value[w]
