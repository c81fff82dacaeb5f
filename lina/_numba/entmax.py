"""Entmax of rows for any alpha >= 1: softmax, sparsemax, and between and beyond them Newton's method on one number.

With e = alpha - 1 and z = x - largest entry, only entries above -1 / e can have a probability, and as for
`project_simplex` the threshold of a sample of them is a lower bound. Where b = 1 / e is a whole number the unknown is
d in p = max(d + e z, 0)^b, by multiplications; otherwise l in p = exp(-l) [1 + e c z]_+^b, c = exp(e l), as in the
array code (``lina.simplex._entmax.body``), by an exponential and a logarithm that vectorise.
"""

import math

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit, read_only
from lina._numba.project_simplex import (
    BLOCK,
    LANES,
    SAMPLE,
    as_keys,
    candidates,
    compact,
    fold,
    largest,
    share,
    store_rows,
    threshold,
    top_blocks,
    write_blocks,
)
from lina._numba.side_by_side import WIDTH, load_rows, raise_to_power, solve_rows
from lina._numba.softmax import exponential

MOST_STEPS = 100
# Up to here a whole power is done by multiplications.
MOST_FACTORS = 16
# From so many candidates on those that a first step excludes are worth taking out.
COMPACT = 64
# Up to this length rows of a whole power are solved side by side.
SHORT = 256
_ENTRIES_WORTH_A_THREAD = 50_000


def entmax(x: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return the entmax of the rows of ``x`` (rows, n), n >= 1, with ``alpha`` (rows,).

    Rows with a NaN, an alpha that is NaN or below 1, or without an entry above -inf are NaN; entries +inf share 1.
    """
    x, alphas = read_only(x), alpha.astype(np.float64)
    keys, out = as_keys(x), np.empty_like(x)
    smallest = _ENTRIES_WORTH_A_THREAD // x.shape[1] + 1
    rows_of = _short_rows if x.shape[1] <= SHORT else _entmax_rows
    run_rows(lambda start, stop: rows_of(x, keys, alphas, out, start, stop), x.shape[0], smallest=smallest)
    return out


@njit
def _short_rows(x, keys, alpha, out, start, stop):
    """Write the entmax of short rows: neighbours with the same whole power side by side, others one by one."""
    while start < stop:
        end, power = start, whole_power(alpha[start] - 1.0)
        while end < stop and (alpha[end] == alpha[start] or whole_power(alpha[end] - 1.0) == power):
            end += 1
        if power == 0:
            _entmax_rows(x, keys, alpha, out, start, end)
        else:
            _whole_rows(x, alpha, power, out, start, end)
        start = end


@njit
def _whole_rows(x, alpha, power, out, start, stop):
    n, precise = x.shape[1], 0.0 if power == 1 else 1e-4 if x.itemsize == 4 else 1e-8
    buffer, tops = np.empty(n * WIDTH), np.empty(WIDTH)
    for i in range(start, stop, WIDTH):
        width = min(WIDTH, stop - i)
        z, top = buffer[: n * width].reshape(n, width), tops[:width]
        load_rows(x[i : i + width], z, top)
        e, active = alpha[i : i + width] - 1.0, np.empty(width)
        for w in range(width):
            active[w] = 1.0 if math.isfinite(top[w]) else 0.0
        for j in range(n):
            for w in range(width):
                z[j, w] *= e[w]
        d = solve_rows(z, e, power, precise, active)
        raise_to_power(z, power, d)
        store_rows(x[i : i + width], z, top, out[i : i + width])


@njit
def _entmax_rows(x, keys, alpha, out, start, stop):
    n = x.shape[1]
    blocks = -(-n // BLOCK)
    bits = np.empty(blocks + 1, dtype=keys.dtype)
    tops = bits.view(x.dtype)
    flags, places = np.zeros(BLOCK, dtype=np.uint8), np.empty(BLOCK // 8 + 1, dtype=np.int64)
    lanes = np.empty((2, LANES))
    z, work = np.empty(n + LANES), np.empty((3, n + LANES + BLOCK))
    precise = 1e-4 if x.itemsize == 4 else 1e-8
    for i in range(start, stop):
        top_blocks(keys[i], bits, 0, blocks)
        largest(bits[:blocks], bits[blocks:])
        top = tops[blocks]
        if not math.isfinite(top) or not 1.0 <= alpha[i] < np.inf:
            share(x[i], top, 1.0 if alpha[i] >= 1.0 else np.nan, out[i])
        elif alpha[i] == 1.0:
            _softmax_row(x[i], top, work[0], lanes[0], out[i])
        else:
            e = alpha[i] - 1.0
            floor = -1.0 / e
            if n >= 2 * SAMPLE:
                for j in range(SAMPLE):
                    z[j] = np.float64(x[i, j * (n // SAMPLE)]) - top
                level = _level(z, SAMPLE, e, floor, 1e-2, work, lanes)
                floor = max(floor, _zero_at(e, whole_power(e), level))
            kept = 0
            for b in range(blocks):
                if not np.float64(tops[b]) - top <= floor:
                    kept = candidates(x[i, b * BLOCK : (b + 1) * BLOCK], top, floor, flags, places, z, kept)
            level = _level(z, kept, e, floor, precise, work, lanes)
            _write_row(x[i], tops, top, e, level, work, out[i])


@njit
def _softmax_row(x, top, work, lanes, out):
    """Write the softmax, like every entmax in float64 inside."""
    for j in range(x.shape[0]):
        work[j] = exponential(np.float64(x[j]) - top)
    factor = 1.0 / total(work[: x.shape[0]], lanes)
    for j in range(x.shape[0]):
        out[j] = work[j] * factor


@njit
def whole_power(e):
    """Return 1 / e where that is a small whole number up to rounding, 0 elsewhere."""
    if not 0.0 < e <= 1.5:
        return 0
    power = round(1.0 / e)
    return power if 1 <= power <= MOST_FACTORS and abs(1.0 / e - power) <= 1e-14 * power else 0


@njit
def _level(z, kept, e, floor, precise, work, lanes):
    """Return d or l (see above) of the first ``kept`` of ``z``, which is spoiled; entries at ``floor`` and below are 0.

    Every 8th of them, with their share of the sum, bring it near at little cost.
    """
    power, count = whole_power(e), kept // 8
    if power == 1:
        return -threshold(z, kept, 1.0, floor, work[0], lanes[0])
    level = 0.0 if power == 0 else 1.0
    if count >= 16:
        part = work[2]
        for i in range(count):
            part[i] = z[8 * i]
        level = _solve(part, count, e, power, level, count / kept, 1e-2, work, lanes)
    return _solve(z, kept, e, power, level, 1.0, precise, work, lanes)


@njit
def _solve(z, kept, e, power, level, mass, precise, work, lanes):
    if power > 0:
        return _whole(z, kept, e, power, level, mass, precise, work[0], work[1], lanes)
    return _any(z, kept, e, level, mass, precise, work, lanes[0])


@njit
def _zero_at(e, power, level):
    """Return the z at which p becomes 0."""
    return -level / e if power > 0 else -math.exp(-min(e * level, 700.0)) / e


@njit
def _whole(z, kept, e, power, d, mass, precise, values, product, lanes):
    """Return d with sum(max(d + e z, 0)^power) = mass, by Newton's method on the power e of the sum.

    That is a norm and convex in d, so that the first step leads above the solution and no later one below it. The error
    left by a step is about the square of it.
    """
    for count in range(MOST_STEPS):
        padded = -(-kept // LANES) * LANES
        z[kept:padded] = -np.inf
        whole, lower = _powers(z[:padded], e, power, d, values[:padded], product[:padded], lanes[0], lanes[1])
        if not whole > 0.0:  # a sample may be below the bound for all
            break
        step = (1.0 - math.exp(-e * math.log(whole / mass))) * whole / lower
        d -= step
        if abs(step) <= precise * d or (count > 0 and not step > 0.0):
            break
        if count == 0 and kept >= COMPACT:
            kept = compact(z, kept, -d / e)
    return d


@njit
def _powers(z, e, power, d, values, product, whole, lower):
    """Return the sums of max(d + e z, 0) to the power, and to the power less 1, over whole LANES."""
    for j in range(z.shape[0]):
        v = d + e * z[j]
        values[j] = v if v > 0.0 else 0.0
        product[j] = values[j]
    for _ in range(power - 2):
        for j in range(z.shape[0]):
            product[j] *= values[j]
    for j in range(LANES):
        whole[j] = 0.0
        lower[j] = 0.0
    factors, terms = values.reshape(-1, LANES), product.reshape(-1, LANES)
    for b in range(terms.shape[0]):
        for j in range(LANES):
            lower[j] += terms[b, j]
            whole[j] += terms[b, j] * factors[b, j]
    return fold(whole), fold(lower)


@njit
def _any(z, kept, e, level, mass, precise, work, lanes):
    """Return l with S(l) = mass for any e, by Newton's method on the power e of the sum.

    Up to e = 1 the first step leads below the solution and no later one above it; a step leaves an error of about its
    power 1 / e, if that is below 2. Beyond e = 1 the way is bracketed and every third step bisects.
    """
    low, high = 0.0, math.log(kept / mass)
    precise = precise ** max(1.0, 2.0 * e) if e <= 1.0 else 2e-16
    for count in range(MOST_STEPS):
        whole, slope = _sum_and_slope(z[:kept], e, level, work, lanes)
        if not whole > 0.0:  # a sample without the largest entry
            if level <= low:
                break
            high, level = level, (low + level) / 2.0
            continue
        log = math.log(whole / mass)
        low, high = level if log >= 0.0 else low, level if log <= 0.0 else high
        gain = -math.expm1(-e * log) / e if e > 1e-8 else log * (1.0 - e * log / 2.0)
        rest = e * gain / slope
        step = -math.log1p(-rest) / e if e > 1e-8 else gain / slope * (1.0 + rest / 2.0)
        new = level + step
        if e > 1.0 and (new < low or new > high or count % 3 == 2):
            new = (low + high) / 2.0
        close = abs(new - level) <= precise * (1.0 + level) or (e <= 1.0 and count > 0 and not step > 0.0)
        level = new
        if close:
            break
        if count == 0 and e <= 1.0 and kept >= COMPACT:
            kept = compact(z, kept, _zero_at(e, 0, level))
    return level


@njit
def _sum_and_slope(z, e, level, work, lanes):
    """Return S(l) and -dS/dl / S."""
    q, r, n = work[0], work[1], z.shape[0]
    c, power = math.exp(min(e * level, 700.0)), 1.0 / e
    for j in range(n):
        q[j] = exponent(z[j] * c, e, power)
    for j in range(n):
        q[j] = exponential(q[j])
    for j in range(n):
        u = z[j] * c
        base = 1.0 + e * u
        part = u * q[j] / base
        r[j] = part if base > 0.0 else 0.0
    whole, moment = total(q[:n], lanes), total(r[:n], lanes)
    return math.exp(-level) * whole, 1.0 - e * moment / whole


@njit
def _write_row(x, tops, top, e, level, work, out):
    """Write the probabilities, block by block; a block whose largest entry has none is not read."""
    power = whole_power(e)
    if power == 1:
        write_blocks(x, tops, top, -level, out, 0, tops.shape[0] - 1)
        return
    height = _zero_at(e, power, level)
    for b in range(tops.shape[0] - 1):
        block, target = x[b * BLOCK : (b + 1) * BLOCK], out[b * BLOCK : (b + 1) * BLOCK]
        if np.float64(tops[b]) - top <= height:
            target[:] = 0.0
        elif power > 0:
            _write_whole(block, top, e, power, level, work, target)
        else:
            c, scale = math.exp(min(e * level, 700.0)), math.exp(-level)
            values = work[0]
            for j in range(block.shape[0]):
                values[j] = exponent((np.float64(block[j]) - top) * c, e, 1.0 / e)
            for j in range(block.shape[0]):
                target[j] = scale * exponential(values[j])


@njit
def _write_whole(x, top, e, power, d, work, out):
    values, product, n = work[0], work[1], x.shape[0]
    for j in range(n):
        v = d + e * (np.float64(x[j]) - top)
        values[j] = v if v > 0.0 else 0.0
        product[j] = values[j]
    for _ in range(power - 2):
        for j in range(n):
            product[j] *= values[j]
    for j in range(n):
        out[j] = product[j] * values[j]


@njit
def total(x, lanes):
    """Return the sum of ``x``."""
    value, whole = 0.0, x.shape[0] // LANES * LANES
    if whole > 0:
        for j in range(LANES):
            lanes[j] = 0.0
        blocks = x[:whole].reshape(-1, LANES)
        for b in range(blocks.shape[0]):
            for j in range(LANES):
                lanes[j] += blocks[b, j]
        value = fold(lanes)
    for i in range(whole, x.shape[0]):
        value += x[i]
    return value


@njit
def exponent(u, e, power):
    """Return log(1 + e u) * power, u <= 0, power = 1 / e: u to rounding for the smallest e, -inf beyond -1 / e."""
    w = e * u
    y = 1.0 + w
    safe = y if y > 1e-300 else 1.0
    log = (logarithm(safe) + (w - (y - 1.0)) / safe) * power  # with what y lost to rounding (Kahan)
    near = u * (1.0 - 0.5 * w)
    value = near if w > -1e-9 else log
    return value if y > 1e-300 else -np.inf


@njit
def logarithm(x):
    """Return log(x) for 1e-300 < x <= 2 to an ulp or so, without branches (fdlibm's)."""
    bits = np.float64(x).view(np.int64)
    # exponent and mantissa such that the mantissa is in [sqrt(1/2), sqrt(2)]
    shifted = bits + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    raised = np.int64((shifted >> 52) | 0x4330000000000000)  # 2^52 + exponent + 1023
    k = raised.view(np.float64) - 4503599627371519.0
    f = np.int64((shifted & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD).view(np.float64) - 1.0
    s = f / (2.0 + f)
    q = s * s
    r = 1.479819860511658591e-01
    r = 1.531383769920937332e-01 + q * r
    r = 1.818357216161805012e-01 + q * r
    r = 2.222219843214978396e-01 + q * r
    r = 2.857142874366239149e-01 + q * r
    r = 3.999999999940941908e-01 + q * r
    r = q * (6.666666666666735130e-01 + q * r)
    half = 0.5 * f * f
    return k * 6.93147180369123816490e-01 - ((half - (s * (half + r) + k * 1.90821492927058770002e-10)) - f)
