"""A convex quadratic over the simplex by a primal active set: exact after finitely many steps, exact zeros included."""

import math

import numpy as np

from lina._numba.jit import njit

# A column that depends on those before it to this accuracy gets so much curvature more: a majorant, so that steps
# still descend, and the step along a direction without curvature ends where a weight does.
_FLAT = 1e-13
_EPS = 2.0**-52

# A column of the start that depends on others to this accuracy takes one of them out: a face of dependent columns has
# directions without curvature, along which steps are rounding.
_DEPENDENT = 1e-12

# So many whole steps in a row on one face without a lower spread of its gradient say that the rest is rounding.
_STALLED = 5


def active_set_qp(Q: np.ndarray, c: np.ndarray, x: np.ndarray, tolerance: float) -> tuple[np.ndarray, int]:
    """Return (y, steps): y minimises y.Q y / 2 + c.y over the simplex to a gap of ``tolerance`` or of rounding.

    ``Q`` (n, n) is symmetric positive semidefinite, ``x`` (n,) the feasible start, all float64. Cost n k flops a step
    for k positive entries, and k^2 for the update of a Cholesky factor; about as many steps as entries change sides.
    A start with more positive entries than Q has rank is first led to fewer of them, n k flops for each.
    """
    y = np.array(x, dtype=np.float64)
    Q = np.ascontiguousarray(Q, dtype=np.float64)
    c = np.ascontiguousarray(c, dtype=np.float64)
    steps = _descend(Q, c, y, float(tolerance), 20 * c.size + 100)
    return y, steps


@njit
def _descend(Q, c, x, tolerance, limit):
    n = c.size
    L = np.zeros((n, n))
    face = np.empty(n, np.int64)
    g = np.empty(n)
    ones = np.empty(n)
    d = np.empty(n)
    shift = _mean_diagonal(Q)
    refused, stalled, before, whole = 0, 0, math.inf, False
    k = 0
    slopes = _slopes(Q, c, x)
    for i in range(n):
        if x[i] > 0.0:
            k = _enter(Q, shift, L, face, k, x, i, slopes, d)
    x /= np.sum(x)
    for step in range(limit):
        mean, low, spread = _gradient(Q, c, x, face, k, g)
        excess = mean - g[low]
        if excess <= max(tolerance, _noise(Q, c, face, k, low)):
            return step
        stalled = stalled + 1 if whole and spread > 0.9 * before else 0
        before = spread
        entering = x[low] == 0.0 and spread < 0.1 * excess
        if entering:
            _append(Q, shift, L, face, k, low)
            k += 1
        slope = _direction(L, face, k, g, mean, ones, d)
        if entering and d[k - 1] <= 0.0:  # the minimum of the face comes first: what is left of the spread misleads
            refused += 1
            k -= 1
            slope = _direction(L, face, k, g, mean, ones, d)
        elif entering:
            refused = 0
        if not slope < 0.0 or refused == 5 or stalled == _STALLED:
            return step
        kept = _move(L, x, face, k, d)
        whole = kept == k and not entering
        k = kept
    return limit


@njit
def _mean_diagonal(Q):
    """Return the curvature added along the sum, where the simplex has no extent: the faces become definite."""
    total = 0.0
    for i in range(Q.shape[0]):
        total += Q[i, i]
    return total / Q.shape[0] if total > 0.0 else 1.0


@njit
def _slopes(Q, c, x):
    """Return the gradient in x less its mean there, so that along it the sum of x, off by rounding, does not count."""
    g = c.copy()
    for i in range(x.size):
        if x[i] > 0.0:
            for j in range(x.size):
                g[j] += x[i] * Q[i, j]
    return g - np.sum(x * g) / np.sum(x)


@njit
def _enter(Q, shift, L, face, k, x, j, g, d):
    """Put j into the face of the start, and out of it what then depends on the rest; return how many it has.

    Along the dependence neither Q x nor the sum of x changes: going down it to the first weight that reaches zero makes
    nothing worse. ``g`` is the gradient in x and stays so.
    """
    while True:
        _append(Q, shift, L, face, k, j)
        if L[k, k] ** 2 > _DEPENDENT * (Q[j, j] + shift):
            return k + 1
        _dependence(L, k, d)
        k = _leave(Q, L, face, k, x, g, d)
        if x[j] == 0.0:
            return k


@njit
def _dependence(L, k, d):
    """Put into d the combination of the first k columns that is minus the last one, and 1 for that."""
    for a in range(k - 1, -1, -1):
        rest = -L[k, a]
        for b in range(a + 1, k):
            rest -= L[b, a] * d[b]
        d[a] = rest / L[a, a]
    d[k] = 1.0


@njit
def _leave(Q, L, face, k, x, g, d):
    """Move the face and the entry after it along the dependence d until one is zero; return how many the face keeps."""
    slope = 0.0
    for a in range(k + 1):
        slope += d[a] * g[face[a]]
    sign = -1.0 if slope > 0.0 else 1.0
    length = math.inf
    blocking = k
    for a in range(k + 1):
        if sign * d[a] < 0.0 and -x[face[a]] / (sign * d[a]) < length:
            length = -x[face[a]] / (sign * d[a])
            blocking = a
    if length == math.inf:  # no entry falls: the columns depend on each other by rounding alone
        length, blocking = 0.0, k
    for a in range(k + 1):
        i = face[a]
        change = sign * length * d[a] if a != blocking else -x[i]
        x[i] = max(x[i] + change, 0.0) if a != blocking else 0.0
        for m in range(g.size):
            g[m] += change * Q[i, m]
    for a in range(k - 1, -1, -1):
        if x[face[a]] == 0.0:
            _remove(L, face, k, a)
            k -= 1
    return k


@njit
def _noise(Q, c, face, k, low):
    """Return the rounding of a difference of two entries of the gradient."""
    slope = abs(c[low])
    curvature = abs(Q[low, low])
    for a in range(k):
        slope = max(slope, abs(c[face[a]]))
        curvature = max(curvature, abs(Q[face[a], face[a]]))
    return 4 * _EPS * (slope + curvature)


@njit
def _gradient(Q, c, x, face, k, g):
    """Put the gradient into g; return its mean over x, the index of its least entry, its spread over the face."""
    g[:] = c
    for a in range(k):
        weight = x[face[a]]
        row = Q[face[a]]
        for i in range(g.size):
            g[i] += weight * row[i]
    mean = 0.0
    for a in range(k):
        mean += x[face[a]] * g[face[a]]
    low = 0
    for i in range(g.size):
        if g[i] < g[low]:
            low = i
    spread = 0.0
    for a in range(k):
        spread = max(spread, abs(g[face[a]] - mean))
    return mean, low, spread


@njit
def _append(Q, shift, L, face, k, j):
    """Put j last into the face, and its row into the Cholesky factor of Q + shift there."""
    face[k] = j
    whole = Q[j, j] + shift
    rest = whole
    for a in range(k):
        entry = Q[j, face[a]] + shift
        for b in range(a):
            entry -= L[a, b] * L[k, b]
        L[k, a] = entry / L[a, a]
        rest -= L[k, a] * L[k, a]
    L[k, k] = math.sqrt(max(rest, _FLAT * whole))


@njit
def _remove(L, face, k, r):
    """Take the r-th of k out of the face, and its row out of the Cholesky factor by rotations."""
    for a in range(r, k - 1):
        face[a] = face[a + 1]
        for b in range(a + 2):
            L[a, b] = L[a + 1, b]
    for p in range(r, k - 1):
        length = math.hypot(L[p, p], L[p, p + 1])
        cosine = L[p, p] / length
        sine = L[p, p + 1] / length
        for a in range(p, k - 1):
            left = L[a, p]
            right = L[a, p + 1]
            L[a, p] = cosine * left + sine * right
            L[a, p + 1] = cosine * right - sine * left


@njit
def _solve(L, k, v):
    """Solve L L^T v = v in place."""
    for a in range(k):
        rest = v[a]
        for b in range(a):
            rest -= L[a, b] * v[b]
        v[a] = rest / L[a, a]
    for a in range(k - 1, -1, -1):
        v[a] /= L[a, a]
        for b in range(a):
            v[b] -= L[a, b] * v[a]


@njit
def _direction(L, face, k, g, mean, ones, d):
    """Put the step to the minimum of the face into d; return the slope along it."""
    for a in range(k):
        ones[a] = 1.0
        d[a] = g[face[a]] - mean
    _solve(L, k, ones)
    _solve(L, k, d)
    height = 0.0
    width = 0.0
    for a in range(k):
        height += d[a]
        width += ones[a]
    slope = 0.0
    for a in range(k):
        d[a] = ones[a] * (height / width) - d[a]
        slope += d[a] * (g[face[a]] - mean)
    return slope


@njit
def _move(L, x, face, k, d):
    """Step along d as far as the weights stay positive, drop those that reach zero, return how many are left."""
    length = 1.0
    blocking = -1
    for a in range(k):
        if x[face[a]] + length * d[a] < 0.0:
            length = -x[face[a]] / d[a]
            blocking = a
    total = 0.0
    for a in range(k):
        x[face[a]] += length * d[a]
        if a == blocking or x[face[a]] <= 1e-17:
            x[face[a]] = 0.0
        total += x[face[a]]
    for a in range(k - 1, -1, -1):
        if x[face[a]] == 0.0:
            _remove(L, face, k, a)
            k -= 1
        else:
            x[face[a]] /= total
    return k
