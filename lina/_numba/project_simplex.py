"""Projection of rows onto the simplex: a lower bound of the threshold, the candidates above it, Newton's method.

The threshold of any part of a row is a lower bound of the threshold of the row. So is the largest entry minus the
radius, and for long rows the threshold of a sample at equal distances: few entries remain above these. From a lower
bound Newton's method on the sum of max(z - t, 0), which is convex and falls in t, comes up to the threshold and never
passes it. In every step the ratios to the step before of the excess of the sum and of its slope, the number of entries
above t, add up to at most 1, so that their product falls by 4: about (2 log2(n) + 53) / 2 steps on any input, 3 to 8 on
most. All sums are in float64.
"""

import math
from functools import partial

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit, read_only
from lina._numba.side_by_side import WIDTH, load_rows, solve_rows

# A sum is kept as LANES sums side by side: so it vectorises although each keeps its order.
LANES = 64
# The largest entry of every block is kept: a block below the threshold is read once only.
BLOCK = 512
SAMPLE = 2048
MOST_STEPS = 60
# Rows as long as this are themselves split over the threads, in chunks whose sums are added in their order.
LONG = 1 << 18
CHUNK = 128 * BLOCK
# So many blocks with candidates write them one after the other: few pages of memory are touched.
GROUP = 64
# The share of entries among the candidates from which on they are not worth a copy.
DENSE = 0.2
ENTRIES_WORTH_A_THREAD = 100_000
# Up to this length many rows are solved at a time: blocks and flags would cost more than they spare.
SHORT = 128


def project_simplex(x: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return the projections of the rows of ``x`` (rows, n), n >= 1, onto the simplices of ``radius`` (rows,).

    Rows with a NaN, a NaN radius or without an entry above -inf are NaN; entries +inf share the radius.
    """
    rows, n = x.shape
    x, radii = read_only(x), radius.astype(np.float64)
    if n >= LONG:
        out = np.zeros(x.shape, dtype=x.dtype)  # pages without support stay untouched
        for i in range(rows):
            _project_long(x[i], float(radii[i]), out[i])
        return out
    out, keys = np.empty_like(x), as_keys(x)
    smallest = ENTRIES_WORTH_A_THREAD // n + 1
    if n <= SHORT:
        run_rows(partial(_project_short_rows, x, radii, out), rows, smallest=smallest)
    else:
        run_rows(lambda start, stop: _project_rows(x, keys, radii, out, start, stop), rows, smallest=smallest)
    return out


def as_keys(x: np.ndarray) -> np.ndarray:
    """Return the bits of ``x`` as integers of the same width."""
    return x.view(np.int32 if x.itemsize == 4 else np.int64)


def _project_long(x: np.ndarray, radius: float, out: np.ndarray) -> None:
    """Write the projection of one long vector to ``out``, full of zeros, its chunks spread over the threads."""
    blocks = -(-x.shape[0] // BLOCK)
    tops, keys = np.empty(blocks, dtype=x.dtype), as_keys(x)
    run_rows(lambda start, stop: top_blocks(keys, as_keys(tops), start, stop), blocks, smallest=128)
    top = tops.max()
    if not (np.isfinite(top) and np.isfinite(radius)):
        share(x, top, radius, out)
        return
    guess, near, dense = _from_sample(x, top, radius)
    if dense:
        height = _dense_height(x, top, radius, near)
    else:
        height = _sparse_height(x, tops, top, radius, guess)
        if height < guess:  # entries below the guess belong to the support: what was found is a lower bound
            height = _sparse_height(x, tops, top, radius, height)
    hits = _hits(tops, top, height)
    run_rows(lambda start, stop: _write_hits(x, hits, top, height, out, start, stop), hits.shape[0], smallest=128)


def _from_sample(x: np.ndarray, top: float, radius: float) -> tuple[float, float, bool]:
    """Return (guess, near, dense): about the threshold of x - top, and whether many entries are above the guess.

    A sample with its share of the radius has about the threshold of x; ``guess`` is that of two shares, which is
    probably a lower bound.
    """
    z = x[:: max(1, x.shape[0] // max(SAMPLE, x.shape[0] >> 9))].astype(np.float64) - top
    part, lanes = np.empty(z.shape[0]), np.empty(LANES)
    heights = []
    for shares in (1, 2):
        r = min(radius, shares * radius * z.shape[0] / x.shape[0])
        heights.append(float(r * threshold(z.copy(), z.shape[0], r, -radius, part, lanes)))
    near, guess = (max(height, -radius) for height in heights)
    return guess, near, bool(np.count_nonzero(z > guess) > DENSE * z.shape[0])


def _hits(tops: np.ndarray, top: float, height: float) -> np.ndarray:
    """Return the blocks with entries of x - top above ``height``, or of a NaN height all of them."""
    return np.flatnonzero(~(tops.astype(np.float64) - top <= height))


def _sparse_height(x: np.ndarray, tops: np.ndarray, top: float, radius: float, floor: float) -> float:
    """Return the threshold of the entries of x - top above ``floor``."""
    hits = _hits(tops, top, floor)
    groups = -(-hits.shape[0] // GROUP)
    found, counts = np.empty((groups, GROUP * BLOCK + 1)), np.empty(groups, dtype=np.int64)
    run_rows(partial(_candidates_of_groups, x, top, floor, hits, found, counts), groups)
    z = np.concatenate([found[i, : counts[i]] for i in range(groups)])
    part, lanes = np.empty(z.shape[0] // 8 + 1), np.empty(LANES)
    return float(radius * threshold(z, z.shape[0], radius, floor, part, lanes))


def _dense_height(x: np.ndarray, top: float, radius: float, near: float) -> float:
    """Return the threshold of x - top by `newton` from either side, without a copy of the entries."""
    height, before, chunks = near, -1, -(-x.shape[0] // CHUNK)
    sums, counts = np.empty(chunks), np.empty(chunks, dtype=np.int64)
    for _ in range(MOST_STEPS):
        run_rows(partial(_sum_chunks, x, top, height, sums, counts), chunks)
        count = int(counts.sum())
        step = (float(sums.sum()) - radius) / count
        height += step
        if count == before or (before >= 0 and not step > 0):  # the first step may come down from above
            break
        before = count
    return height


@njit
def top_blocks(keys, tops, start, stop):
    for b in range(start, stop):
        largest(keys[b * BLOCK : (b + 1) * BLOCK], tops[b : b + 1])


@njit
def _candidates_of_groups(x, top, floor, hits, found, counts, start, stop):
    flags, places = np.zeros(BLOCK, dtype=np.uint8), np.empty(BLOCK // 8 + 1, dtype=np.int64)
    for g in range(start, stop):
        kept = 0
        for b in hits[g * GROUP : (g + 1) * GROUP]:
            kept = candidates(x[b * BLOCK : (b + 1) * BLOCK], top, floor, flags, places, found[g], kept)
        counts[g] = kept


@njit
def _sum_chunks(x, top, height, sums, counts, start, stop):
    lanes = np.empty(LANES)
    for c in range(start, stop):
        sums[c], counts[c] = above(x[c * CHUNK : (c + 1) * CHUNK], top, height, lanes)


@njit
def _write_hits(x, hits, top, height, out, start, stop):
    for b in hits[start:stop]:
        write(x[b * BLOCK : (b + 1) * BLOCK], top, height, out[b * BLOCK : (b + 1) * BLOCK])


@njit
def write_blocks(x, tops, top, height, out, start, stop):
    for b in range(start, stop):
        block = slice(b * BLOCK, (b + 1) * BLOCK)
        if np.float64(tops[b]) - top <= height:
            out[block] = 0.0
        else:
            write(x[block], top, height, out[block])


@njit
def _project_rows(x, keys, radius, out, start, stop):
    n = x.shape[1]
    blocks = -(-n // BLOCK)
    bits = np.empty(blocks + 1, dtype=keys.dtype)
    tops = bits.view(x.dtype)
    flags, places = np.zeros(BLOCK, dtype=np.uint8), np.empty(BLOCK // 8 + 1, dtype=np.int64)
    lanes = np.empty(LANES)
    buffer, part = np.empty(n + 1), np.empty(n // 8 + 1)
    for i in range(start, stop):
        top_blocks(keys[i], bits, 0, blocks)
        largest(bits[:blocks], bits[blocks:])
        top, r = tops[blocks], radius[i]
        if not math.isfinite(top) or not math.isfinite(r):
            share(x[i], top, r, out[i])
            continue
        floor = -r
        if n >= 2 * SAMPLE:
            for j in range(SAMPLE):
                buffer[j] = np.float64(x[i, j * (n // SAMPLE)]) - top
            floor = max(floor, r * threshold(buffer, SAMPLE, r, floor, part, lanes))
        kept = 0
        for b in range(blocks):
            if not np.float64(tops[b]) - top <= floor:
                kept = candidates(x[i, b * BLOCK : (b + 1) * BLOCK], top, floor, flags, places, buffer, kept)
        height = r * threshold(buffer, kept, r, floor, part, lanes)
        write_blocks(x[i], tops, top, height, out[i], 0, blocks)


@njit
def _project_short_rows(x, radius, out, start, stop):
    n = x.shape[1]
    buffer, tops = np.empty(n * WIDTH), np.empty(WIDTH)
    for i in range(start, stop, WIDTH):
        width = min(WIDTH, stop - i)
        z, top, r = buffer[: n * width].reshape(n, width), tops[:width], radius[i : i + width]
        load_rows(x[i : i + width], z, top)
        active = np.empty(width)
        for w in range(width):
            active[w] = 1.0 if math.isfinite(top[w]) and 0.0 < r[w] < np.inf else 0.0
        for j in range(n):
            for w in range(width):
                z[j, w] /= r[w]
        d = solve_rows(z, np.ones(width), 1, 0.0, active)
        for w in range(width):
            if math.isfinite(top[w]) and math.isfinite(r[w]):
                for j in range(n):
                    p = (np.float64(x[i + w, j]) - top[w]) - r[w] * -d[w]
                    out[i + w, j] = p if p > 0.0 else 0.0
            else:
                share(x[i + w], top[w], r[w], out[i + w])


@njit
def largest(keys, found):
    """Write the largest of the numbers whose bits are ``keys`` to found[0], as bits: a NaN if there is one.

    With the bits of negative numbers turned round, integers have the order of the numbers, NaN at the two ends. Unlike
    the maximum of numbers theirs vectorises.
    """
    sign = keys.dtype.type(8 * keys.itemsize - 1)
    others = keys.dtype.type(np.iinfo(keys.dtype).max)
    top = bottom = keys[0] ^ ((keys[0] >> sign) & others)
    for i in range(keys.shape[0]):
        key = keys[i] ^ ((keys[i] >> sign) & others)
        top, bottom = max(top, key), min(bottom, key)
    infinity = 0x7F800000 if keys.itemsize == 4 else 0x7FF0000000000000
    if bottom < -1 - infinity:
        top = bottom
    found[0] = top ^ ((top >> sign) & others)


@njit
def candidates(x, top, floor, flags, hits, buffer, kept):
    """Append the x - top above ``floor``, and a few below, to the ``kept`` in ``buffer``; return their number."""
    words = flags.view(np.uint64)
    bound = x.dtype.type(top + floor - 1e-6 * (abs(top) - floor))  # lower, because it is rounded to the type of x
    for j in range(x.shape[0]):
        flags[j] = x[j] > bound
    whole = x.shape[0] // 8
    hit = _hit_words(words[:whole], hits)
    rest = 8 * whole
    if 2 * hit > whole:
        rest = hit = 0
    for h in range(hit):
        for j in range(hits[h], hits[h] + 8):
            buffer[kept] = np.float64(x[j]) - top
            kept += x[j] > bound
    return kept + _append(x[rest:], top, bound, buffer[kept:])


@njit
def _hit_words(words, places):
    """Write where eight flags in a row begin that are not all 0; return the number of these places."""
    hit = 0
    for w in range(words.shape[0]):  # without a branch, which few flags would make hard to predict
        places[hit] = 8 * w
        hit += words[w] != 0
    return hit


@njit
def _append(x, top, bound, buffer):
    count = 0  # from 0 on, so that the compiler knows the sign of the place
    for j in range(x.shape[0]):
        buffer[count] = np.float64(x[j]) - top
        count += x[j] > bound
    return count


@njit
def threshold(z, kept, radius, floor, part, lanes):
    """Return t with sum(max(z / radius - t, 0)) = 1 for the first ``kept`` of ``z``, which is spoiled.

    Every 8th of them, with their share of the sum, bring t near at little cost.
    """
    if radius == 0.0:
        return 0.0
    if radius != 1.0:
        for i in range(kept):
            z[i] /= radius
    t, count = floor / radius, kept // 8
    if count >= 16:
        for i in range(count):
            part[i] = z[8 * i]
        t = max(t, newton(part, count, t, count / kept, lanes))
    return newton(z, kept, t, 1.0, lanes)


@njit
def newton(z, kept, t, mass, lanes):
    """Return t with sum(max(z - t, 0)) = mass for the first ``kept`` of ``z``, which is spoiled.

    From any ``t`` below the largest the first step leads below the solution, because the sum is convex. With no entry
    above ``t`` that is returned.
    """
    before = -1
    for _ in range(MOST_STEPS):
        excess, count = above(z[:kept], 0.0, t, lanes)
        if count == 0:  # a sample may be below the bound for all
            break
        step = (excess - mass) / count
        t += step
        if count == before or (before >= 0 and not step > 0.0):
            break
        before = count
        if 2 * count < kept:
            kept = compact(z, kept, t)
    return t


@njit
def compact(z, kept, t):
    """Move the entries above ``t`` to the front, and return their number."""
    count = 0
    for i in range(kept):
        z[count] = z[i]
        count += z[count] > t
    return count


@njit
def above(x, top, t, lanes):
    """Return the sum of max(x - top - t, 0) and the number of positive terms."""
    excess, count, whole = 0.0, 0, x.shape[0] // LANES * LANES
    if whole > 0:
        for i in range(whole):
            count += (np.float64(x[i]) - top) - t > 0.0
        for j in range(LANES):
            lanes[j] = 0.0
        blocks = x[:whole].reshape(-1, LANES)
        for b in range(blocks.shape[0]):
            for j in range(LANES):
                v = (np.float64(blocks[b, j]) - top) - t
                lanes[j] += v if v > 0.0 else 0.0
        excess = fold(lanes)
    for i in range(whole, x.shape[0]):
        v = (np.float64(x[i]) - top) - t
        excess += v if v > 0.0 else 0.0
        count += v > 0.0
    return excess, count


@njit
def fold(lanes):
    """Return the sum of the lanes, which it spoils."""
    for j in range(32):
        lanes[j] += lanes[j + 32]
    for j in range(16):
        lanes[j] += lanes[j + 16]
    for j in range(8):
        lanes[j] += lanes[j + 8]
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))


@njit
def write(x, top, t, out):
    """Write max(x - top - t, 0)."""
    for j in range(x.shape[0]):
        p = (np.float64(x[j]) - top) - t
        out[j] = p if p > 0.0 else 0.0


@njit
def store_rows(x, z, top, out):
    """Write the columns of ``z`` to the rows of ``out`` (width, n): shares where ``top`` is not finite."""
    for w in range(top.shape[0]):
        if math.isfinite(top[w]):
            for j in range(z.shape[0]):
                out[w, j] = z[j, w]
        else:
            share(x[w], top[w], 1.0, out[w])


@njit
def share(x, top, radius, out):
    """Write a row whose largest entry, or radius, is not finite: entries +inf share the radius; otherwise NaN."""
    count, bad = 0, not math.isfinite(radius) or top != np.inf
    for j in range(x.shape[0]):
        count += x[j] == np.inf
    for j in range(x.shape[0]):
        out[j] = np.nan if bad else (radius / count if x[j] == np.inf else 0.0)
