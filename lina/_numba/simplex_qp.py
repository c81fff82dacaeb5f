"""Quadratics over a simplex: exchanges of mass between two coordinates, and whole small problems row by row.

Gradients and points are float64 whatever the dtype of the matrix, because they are updated thousands of times.
"""

import math

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit, read_only

# A column of reports: what a row of `simplex_qp_rows` ended with.
CONVERGED, OUT_OF_STEPS = 0, 1

_WORK_WORTH_A_THREAD = 300_000


def pairwise_qp(
    Q: np.ndarray, c: np.ndarray, x: np.ndarray, g: np.ndarray, steps: int, tolerances: tuple[float, float, float]
) -> tuple[int, float, float]:
    """Move mass from coordinate to coordinate until the gap is met; returns (steps taken, gap, least curvature).

    ``x`` (n,) and its gradient ``g = Q x + c`` are updated in place. ``tolerances`` are rtol, atol and scale: the
    loop ends at gap <= rtol * max(abs(value), scale) + atol. The gap that it returns comes from running
    sums, and a caller that certifies recomputes it. Cost 4 n flops a step.
    """
    return _pairwise(read_only(Q), c, x, g, steps, *tolerances)


def pairwise_factor_qp(
    F: np.ndarray,
    d: np.ndarray,
    c: np.ndarray,
    x: np.ndarray,
    g: np.ndarray,
    steps: int,
    tolerances: tuple[float, float, float],
) -> tuple[int, float, float]:
    """Do the same for Q = F F' + diag(d), F (n, k), without forming it. Cost 4 n k flops a step."""
    return _pairwise_factor(read_only(F), d, c, x, g, steps, *tolerances)


def simplex_qp_rows(
    Q: np.ndarray, c: np.ndarray, x: np.ndarray, steps: int, tolerances: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve problems of small size, Q (b, n, n), c (b, n), from and into x (b, n), each to the end on one thread.

    Returns (report, steps taken, least curvature), each of shape (b,). Every problem gets exchanges, then faces with
    a Cholesky factor each, and exchanges again where these did not settle.
    """
    batch, n, _ = Q.shape
    report = np.empty(batch, dtype=np.int64)
    taken = np.empty(batch, dtype=np.int64)
    curvature = np.empty(batch)
    Q = read_only(Q)

    def task(start: int, stop: int) -> None:
        _rows(Q, c, x, steps, *tolerances, report, taken, curvature, start, stop)

    run_rows(task, batch, smallest=_WORK_WORTH_A_THREAD // (20 * n * n + n**3) + 1)
    return report, taken, curvature


@njit
def _pairwise(Q, c, x, g, steps, rtol, atol, scale):
    n = x.shape[0]
    diagonal = np.empty(n)
    support = np.empty(n, dtype=np.int64)
    for i in range(n):
        diagonal[i] = Q[i, i]
    size, value, linear, mass = _start(c, x, g, support)
    taken = 0
    gap = np.inf
    least = np.inf
    while True:
        to = _cheapest(g)
        gap = max(2.0 * value - linear - g[to] * mass, 0.0)
        done = gap <= rtol * max(abs(value), scale) + atol or taken >= steps
        if done:
            break
        row = Q[to]
        place, slope, curvature = _best_partner(row, diagonal, g, x, support, size, to)
        if place < 0:
            break
        other = support[place]
        least = min(least, curvature)
        step, size = _move(x, support, size, place, to, slope, curvature)
        value -= step * slope - 0.5 * step * step * curvature
        linear += step * (c[to] - c[other])
        partner = Q[other]
        for i in range(n):
            g[i] += step * (row[i] - partner[i])
        taken += 1
    return taken, gap, least


@njit
def _pairwise_factor(F, d, c, x, g, steps, rtol, atol, scale):
    n, k = F.shape
    diagonal = np.empty(n)
    support = np.empty(n, dtype=np.int64)
    row = np.empty(n)
    change = np.empty(k)
    for i in range(n):
        diagonal[i] = _dot(F[i], F[i]) + d[i]
    size, value, linear, mass = _start(c, x, g, support)
    taken = 0
    gap = np.inf
    least = np.inf
    while True:
        to = _cheapest(g)
        gap = max(2.0 * value - linear - g[to] * mass, 0.0)
        done = gap <= rtol * max(abs(value), scale) + atol or taken >= steps
        if done:
            break
        for j in range(size):
            row[support[j]] = _dot(F[to], F[support[j]])
        row[to] = diagonal[to]
        place, slope, curvature = _best_partner(row, diagonal, g, x, support, size, to)
        if place < 0:
            break
        other = support[place]
        least = min(least, curvature)
        step, size = _move(x, support, size, place, to, slope, curvature)
        value -= step * slope - 0.5 * step * step * curvature
        linear += step * (c[to] - c[other])
        for j in range(k):
            change[j] = step * (F[to, j] - F[other, j])
        for i in range(n):
            g[i] += _dot(F[i], change)
        g[to] += step * d[to]
        g[other] -= step * d[other]
        taken += 1
    return taken, gap, least


@njit
def _start(c, x, g, support):
    size = 0
    value = 0.0
    linear = 0.0
    mass = 0.0
    for i in range(x.shape[0]):
        if x[i] > 0:
            support[size] = i
            size += 1
            mass += x[i]
            value += 0.5 * x[i] * (g[i] + c[i])
            linear += c[i] * x[i]
    return size, value, linear, mass


@njit
def _cheapest(g):
    best = 0
    for i in range(g.shape[0]):
        if g[i] < g[best]:
            best = i
    return best


@njit
def _best_partner(row, diagonal, g, x, support, size, to):
    """Return the place in ``support`` whose mass gains most by a move to ``to``, its slope and its curvature.

    The gain is that of the exact step, cut off where the mass is used up; -1 if no move gains.
    """
    place = -1
    gain = 0.0
    slope = 0.0
    curvature = 0.0
    for j in range(size):
        i = support[j]
        down = g[i] - g[to]
        if down > 0.0:
            bend = diagonal[to] + diagonal[i] - 2.0 * row[i]
            inside = down < bend * x[i]
            here = down / bend * down if inside else x[i] * (2.0 * down - x[i] * bend)
            if here > gain:
                place, gain, slope, curvature = j, here, down, bend
    return place, slope, curvature


@njit
def _move(x, support, size, place, to, slope, curvature):
    """Move the mass, exactly to zero where all of it goes; returns (mass, new size of the support)."""
    other = support[place]
    if x[to] == 0.0:
        support[size] = to
        size += 1
    if slope < curvature * x[other]:
        step = slope / curvature
        x[other] -= step
    else:
        step = x[other]
        x[other] = 0.0
        size -= 1
        support[place] = support[size]
    x[to] += step
    return step, size


@njit
def _dot(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += np.float64(a[i]) * np.float64(b[i])
    return total


@njit
def _rows(Q, c, x, steps, rtol, atol, scale, report, taken, curvature, start, stop):
    n = Q.shape[1]
    g = np.empty(n)
    H = np.empty((n, n))
    y = np.empty(n)
    e = np.empty(n)
    face = np.empty(n, dtype=np.int64)
    for row in range(start, stop):
        report[row] = OUT_OF_STEPS
        taken[row] = 0
        curvature[row] = np.inf
        chunk = 2 * n
        while taken[row] < steps:
            _gradient(Q[row], c[row], x[row], g)
            did, _, least = _pairwise(Q[row], c[row], x[row], g, min(chunk, steps - taken[row]), rtol, atol, scale)
            taken[row] += max(did, 1)
            curvature[row] = min(curvature[row], least)
            _faces(Q[row], c[row], x[row], g, H, y, e, face)
            _gradient(Q[row], c[row], x[row], g)
            if _is_solved(c[row], x[row], g, rtol, atol, scale):
                report[row] = CONVERGED
                break
            chunk *= 2


@njit
def _gradient(Q, c, x, g):
    n = x.shape[0]
    for i in range(n):
        g[i] = c[i]
    for j in range(n):
        if x[j] != 0.0:
            weight = x[j]
            source = Q[j]
            for i in range(n):
                g[i] += weight * source[i]


@njit
def _is_solved(c, x, g, rtol, atol, scale):
    lowest = g[_cheapest(g)]
    gap = 0.0
    value = 0.0
    for i in range(x.shape[0]):
        gap += x[i] * (g[i] - lowest)
        value += 0.5 * x[i] * (g[i] + c[i])
    return gap <= rtol * max(abs(value), scale) + atol


@njit
def _faces(Q, c, x, g, H, y, e, face):
    """Replace ``x`` by the minimiser over a face, found by dropping what turns negative and adding what is cheap.

    Returns whether it did; ``x`` stays as it is where a face is not positive definite or twenty do not settle it.
    """
    n = x.shape[0]
    radius = 0.0
    size = 0
    noise = 0.0
    for i in range(n):
        radius += x[i]
        noise = max(noise, abs(c[i]), abs(Q[i, i]))
        if x[i] > 0.0:
            face[size] = i
            size += 1
    noise *= 1e-14 * max(radius, 1.0)
    for _ in range(20):
        if not _cholesky(Q, face, size, H):
            return False
        level = _face_minimiser(H, c, face, size, radius, y, e)
        kept = 0
        for j in range(size):
            if y[j] > 0.0:
                face[kept] = face[j]
                kept += 1
        if kept < size:
            size = kept
            continue
        for i in range(n):
            g[i] = c[i]
        for j in range(size):
            source = Q[face[j]]
            for i in range(n):
                g[i] += y[j] * source[i]
        before = size
        size = _add_cheap(g, level - noise, face, size)
        if size == before:
            x[:] = 0.0
            for j in range(size):
                x[face[j]] = y[j]
            return True
    return False


@njit
def _add_cheap(g, level, face, size):
    """Append the coordinates below ``level`` that are not in the sorted ``face``, and sort it again."""
    n = g.shape[0]
    inside = np.zeros(n, dtype=np.bool_)
    for j in range(size):
        inside[face[j]] = True
    count = 0
    for i in range(n):
        if inside[i] or g[i] < level:
            face[count] = i
            count += 1
    return count


@njit
def _cholesky(Q, face, size, H):
    """Write the Cholesky factor of Q on the face, row by row, into the upper half of H; False where there is none."""
    for i in range(size):
        source = Q[face[i]]
        for j in range(i, size):
            H[i, j] = source[face[j]]
    for k in range(size):
        if not H[k, k] > 1e-13 * Q[face[k], face[k]]:
            return False
        pivot = math.sqrt(H[k, k])
        for j in range(k, size):
            H[k, j] /= pivot
        for i in range(k + 1, size):
            factor = H[k, i]
            for j in range(i, size):
                H[i, j] -= factor * H[k, j]
    return True


@njit
def _face_minimiser(H, c, face, size, radius, y, e):
    """Solve for the point y of sum ``radius`` with gradient constant on the face; returns that constant."""
    for j in range(size):
        y[j] = -c[face[j]]
        e[j] = 1.0
    _solve(H, size, y)
    _solve(H, size, e)
    sum_y = 0.0
    sum_e = 0.0
    for j in range(size):
        sum_y += y[j]
        sum_e += e[j]
    level = (radius - sum_y) / sum_e
    left = radius
    for j in range(size):
        y[j] += level * e[j]
        left -= y[j]
    for j in range(size):  # where H is nearly singular the sum has lost digits
        y[j] += left / size
    return level


@njit
def _solve(H, size, b):
    """Solve H' H y = b in place, H upper triangular."""
    for i in range(size):
        b[i] /= H[i, i]
        for j in range(i + 1, size):
            b[j] -= H[i, j] * b[i]
    for i in range(size - 1, -1, -1):
        total = b[i]
        for j in range(i + 1, size):
            total -= H[i, j] * b[j]
        b[i] = total / H[i, i]
