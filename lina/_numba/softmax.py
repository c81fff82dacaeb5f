"""Softmax of rows, its logarithm, and the logarithm of its denominator.

Exponentials are polynomials without branches, so that loops over them vectorise: in single precision twice as many at
a time. A block of a row is summed in its own precision, side by side, and the blocks in float64; of rows of a few
entries many are done side by side instead.
"""

import math

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit, read_only
from lina._numba.project_simplex import BLOCK, LANES, as_keys, fold, largest, share, store_rows
from lina._numba.side_by_side import WIDTH, less_largest, load_rows

_ENTRIES_WORTH_A_THREAD = 50_000
# Up to this length rows are done side by side.
SHORT = 32
# The constants of single precision have its type: others would make double precision of what they are added to.
_LOWEST = np.float32(-87.3)
_LOG2_E = np.float32(1.44269504)
_SHIFT = np.float32(12582912.0)  # 1.5 * 2^23
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_C6, _C5, _C4 = np.float32(1.3888889e-3), np.float32(8.3333333e-3), np.float32(4.1666666e-2)
_C3, _C2, _ONE = np.float32(1.6666667e-1), np.float32(0.5), np.float32(1.0)
_C7 = np.float32(1.9841270e-4)


def softmax(x: np.ndarray) -> np.ndarray:
    """Return the softmax of the rows of ``x`` (rows, n), n >= 1.

    Rows with a NaN or without an entry above -inf are NaN; entries +inf share 1.
    """
    x = read_only(x)
    keys, out = as_keys(x), np.empty_like(x)
    if x.shape[1] <= SHORT:
        _run(lambda start, stop: _softmax_short_rows(x, out, start, stop), x)
    else:
        _run(lambda start, stop: _softmax_rows(x, keys, out, start, stop), x)
    return out


def masked_softmax(x: np.ndarray, mask: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return the softmax of x / heat over the entries of each row where ``mask`` is True, and 0 elsewhere.

    ``mask`` is (rows, n), ``heat`` (rows,) of the dtype of ``x``. A row left out altogether is 0; a row with a NaN
    among its entries or for its heat, or without an entry above -inf, is NaN; entries +inf share 1.
    """
    x, heat = read_only(x), read_only(heat)
    mask, keys, out = read_only(mask), as_keys(x), np.empty_like(x)
    if x.shape[1] <= SHORT:
        _run(lambda start, stop: _masked_short_rows(x, mask, heat, out, start, stop), x)
    else:
        _run(lambda start, stop: _masked_rows(x, mask, heat, keys, out, start, stop), x)
    return out


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Return the logarithm of the same, 0 at the largest entry only where all others are without weight."""
    x = read_only(x)
    keys, out = as_keys(x), np.empty_like(x)
    _run(lambda start, stop: _log_softmax_rows(x, keys, out, start, stop), x)
    return out


def log_normaliser(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest entry of each row and log sum exp(x - that), both (rows, 1), the latter with digits near 0.

    The latter is NaN in rows with a NaN or without an entry above -inf, and log k where k entries are +inf.
    """
    x = read_only(x)
    keys, tops, above = as_keys(x), np.empty((x.shape[0], 1), x.dtype), np.empty((x.shape[0], 1), x.dtype)
    _run(lambda start, stop: _normaliser_rows(x, keys, tops, above, start, stop), x)
    return tops, above


def soft_cross_entropy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return -sum y log softmax(x) of rows (rows, n) of one dtype, (rows, 1); entries with y = 0 do not count."""
    x, y = read_only(x), read_only(y)
    keys, out = as_keys(x), np.empty((x.shape[0], 1), x.dtype)
    _run(lambda start, stop: _cross_entropy_rows(x, y, keys, out, start, stop), x)
    return out


def _run(task, x):
    run_rows(task, x.shape[0], smallest=_ENTRIES_WORTH_A_THREAD // x.shape[1] + 1)


@njit
def _softmax_rows(x, keys, out, start, stop):
    bits, lanes = np.empty(1, dtype=keys.dtype), np.empty(LANES, dtype=x.dtype)
    tops = bits.view(x.dtype)
    for i in range(start, stop):
        largest(keys[i], bits)
        _softmax_row(x[i], tops[0], lanes, out[i])


@njit
def _softmax_row(x, top, lanes, out):
    """Write the softmax of one row whose largest entry, or a NaN, is ``top``."""
    if not math.isfinite(top):
        share(x, top, 1.0, out)
        return
    whole, n = 0.0, x.shape[0]
    for b in range(0, n, BLOCK):
        part = out[b : b + BLOCK]
        exponentials(x[b : b + BLOCK], top, part)
        whole += _sum(part, lanes)
    factor = x.dtype.type(1.0 / whole)
    for j in range(n):
        out[j] *= factor


@njit
def _masked_rows(x, mask, heat, keys, out, start, stop):
    bits, lanes = np.empty(1, dtype=keys.dtype), np.empty(LANES, dtype=x.dtype)
    row, top = np.empty(x.shape[1], dtype=keys.dtype), bits.view(x.dtype)
    z, zero, low = row.view(x.dtype), x.dtype.type(0.0), x.dtype.type(-np.inf)
    for i in range(start, stop):
        for j in range(x.shape[1]):
            z[j] = x[i, j] if mask[i, j] else low
        largest(row, bits)
        first = top[0] if heat[i] > 0.0 else x.dtype.type(np.nan)
        if math.isfinite(first) and heat[i] != 1.0:
            for j in range(x.shape[1]):
                z[j] = (z[j] - first) / heat[i]
            first = zero
        _softmax_row(z, first, lanes, out[i])
        if not math.isfinite(first):  # otherwise what is left out is 0 already
            for j in range(x.shape[1]):
                out[i, j] = out[i, j] if mask[i, j] else zero


@njit
def _softmax_short_rows(x, out, start, stop):
    n = x.shape[1]
    buffer, tops, sums = np.empty(n * WIDTH, dtype=x.dtype), np.empty(WIDTH, dtype=x.dtype), np.empty(WIDTH)
    for i in range(start, stop, WIDTH):
        width = min(WIDTH, stop - i)
        z, top = buffer[: n * width].reshape(n, width), tops[:width]
        load_rows(x[i : i + width], z, top)
        _normalise(z, sums[:width])
        store_rows(x[i : i + width], z, top, out[i : i + width])


@njit
def _masked_short_rows(x, mask, heat, out, start, stop):
    n, zero, low = x.shape[1], x.dtype.type(0.0), x.dtype.type(-np.inf)
    buffer, tops, sums = np.empty(n * WIDTH, dtype=x.dtype), np.empty(WIDTH, dtype=x.dtype), np.empty(WIDTH)
    row = np.empty(n, dtype=x.dtype)
    for i in range(start, stop, WIDTH):
        width = min(WIDTH, stop - i)
        z, top = buffer[: n * width].reshape(n, width), tops[:width]
        for j in range(n):
            for w in range(width):
                z[j, w] = x[i + w, j] if mask[i + w, j] else low
        less_largest(z, top)
        for j in range(n):
            for w in range(width):
                z[j, w] /= heat[i + w]
        _normalise(z, sums[:width])
        for w in range(width):
            if math.isfinite(top[w]) and heat[i + w] > 0.0:
                for j in range(n):
                    out[i + w, j] = z[j, w]
            else:
                for j in range(n):
                    row[j] = x[i + w, j] if mask[i + w, j] else low
                share(row, top[w] if heat[i + w] > 0.0 else x.dtype.type(np.nan), 1.0, row)
                for j in range(n):
                    out[i + w, j] = row[j] if mask[i + w, j] else zero


@njit
def _normalise(z, sums):
    """Replace rows of largest entry 0, the columns of ``z``, by their softmax."""
    n, width = z.shape
    for j in range(n):
        exponentials(z[j], 0.0, z[j])
    sums[:] = 0.0
    for j in range(n):
        for w in range(width):
            sums[w] += np.float64(z[j, w])
    for w in range(width):
        sums[w] = 1.0 / sums[w]
    for j in range(n):
        for w in range(width):
            z[j, w] *= z.dtype.type(sums[w])


@njit
def _log_softmax_rows(x, keys, out, start, stop):
    bits, lanes, work = np.empty(1, dtype=keys.dtype), np.empty(LANES, dtype=x.dtype), np.empty(BLOCK, dtype=x.dtype)
    tops = bits.view(x.dtype)
    for i in range(start, stop):
        largest(keys[i], bits)
        top, above = tops[0], x.dtype.type(_log_sum(x[i], tops[0], work, lanes))
        if top == np.inf:
            for j in range(x.shape[1]):
                out[i, j] = -above if x[i, j] == top else -np.inf
        else:
            for j in range(x.shape[1]):
                out[i, j] = (x[i, j] - top) - above


@njit
def _normaliser_rows(x, keys, tops, above, start, stop):
    bits, lanes, work = np.empty(1, dtype=keys.dtype), np.empty(LANES, dtype=x.dtype), np.empty(BLOCK, dtype=x.dtype)
    found = bits.view(x.dtype)
    for i in range(start, stop):
        largest(keys[i], bits)
        tops[i, 0] = found[0]
        above[i, 0] = _log_sum(x[i], found[0], work, lanes)


@njit
def _cross_entropy_rows(x, y, keys, out, start, stop):
    bits, lanes, work = np.empty(1, dtype=keys.dtype), np.empty(LANES, dtype=x.dtype), np.empty(BLOCK, dtype=x.dtype)
    found, sums = bits.view(x.dtype), np.empty(LANES)
    for i in range(start, stop):
        largest(keys[i], bits)
        out[i, 0] = _expected_excess(x[i], y[i], found[0], _log_sum(x[i], found[0], work, lanes), sums)


@njit
def _expected_excess(x, y, top, above, lanes):
    """Return sum y (above - (x - top)), where an infinite term counts only where y is not 0."""
    value, whole = 0.0, x.shape[0] // LANES * LANES
    if whole > 0:
        for j in range(LANES):
            lanes[j] = 0.0
        points, weights = x[:whole].reshape(-1, LANES), y[:whole].reshape(-1, LANES)
        for b in range(points.shape[0]):
            for j in range(LANES):
                lanes[j] += _excess(points[b, j], weights[b, j], top, above)
        value = fold(lanes)
    for j in range(whole, x.shape[0]):
        value += _excess(x[j], y[j], top, above)
    return value


@njit
def _excess(x, y, top, above):
    below = np.float64(x) - np.float64(top) if x != top else 0.0  # 0 also where both are infinite
    term = np.float64(y) * (above - below)
    return term if y != 0.0 else 0.0


@njit
def _log_sum(x, top, work, lanes):
    """Return log sum exp(x - top): of the entries that equal ``top`` one is left to log1p, which has digits near 0."""
    ties, others, n = 0, 0.0, x.shape[0]
    for j in range(n):
        ties += x[j] == top
    if not math.isfinite(top):
        return math.log(ties) if top == np.inf else np.nan
    for b in range(0, n, BLOCK):
        block = x[b : b + BLOCK]
        part = work[: block.shape[0]]
        exponentials(block, top, part)
        for j in range(block.shape[0]):
            part[j] = part[j] if block[j] < top else x.dtype.type(0.0)
        others += _sum(part, lanes)
    return math.log1p(others + (ties - 1))


@njit
def exponentials(x, top, out):
    """Write exp(x - top)."""
    if x.itemsize == 4:
        for j in range(x.shape[0]):
            out[j] = exponential_single(np.float32(x[j]) - np.float32(top))
    else:
        for j in range(x.shape[0]):
            out[j] = exponential(np.float64(x[j]) - np.float64(top))


@njit
def _sum(x, lanes):
    """Return the sum of a block in its own precision."""
    value, whole = 0.0, x.shape[0] // LANES * LANES
    if whole > 0:
        for j in range(LANES):
            lanes[j] = x[j]
        blocks = x[LANES:whole].reshape(-1, LANES)
        for b in range(blocks.shape[0]):
            for j in range(LANES):
                lanes[j] += blocks[b, j]
        value = np.float64(fold(lanes))
    for j in range(whole, x.shape[0]):
        value += np.float64(x[j])
    return value


@njit
def exponential(x):
    """Return exp(x) for x <= 0 to an ulp or so, and 0 below -708; no branches, so that loops vectorise (fdlibm's)."""
    safe = x if x > -708.0 else -708.0
    shifted = safe * 1.4426950408889634 + 6755399441055744.0  # 1.5 * 2^52: the whole number is in the last bits
    k = shifted - 6755399441055744.0
    high = safe - k * 6.93147180369123816490e-01
    low = k * 1.90821492927058770002e-10
    r = high - low
    t = r * r
    p = 4.13813679705723846039e-08
    p = -1.65339022054652515390e-06 + t * p
    p = 6.61375632143793436117e-05 + t * p
    p = -2.77777777770155933842e-03 + t * p
    p = 1.66666666666666019037e-01 + t * p
    c = r - t * p
    value = 1.0 - ((low - (r * c) / (2.0 - c)) - high)
    power = np.int64((np.float64(shifted).view(np.int64) + 1023) << 52)
    return value * power.view(np.float64) if x > -708.0 else 0.0


@njit
def exponential_single(x):
    """Return the same in single precision, 0 below -87.3, by Taylor's polynomial of degree 7."""
    safe = x if x > _LOWEST else _LOWEST
    shifted = safe * _LOG2_E + _SHIFT
    k = shifted - _SHIFT
    r = (safe - k * _LN2_HIGH) - k * _LN2_LOW
    p = _C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * (_C6 + r * _C7))))
    value = _ONE + (r + (r * r) * p)
    power = np.int32((np.float32(shifted).view(np.int32) + 127) << 23)
    return value * power.view(np.float32) if x > _LOWEST else _ONE - _ONE
