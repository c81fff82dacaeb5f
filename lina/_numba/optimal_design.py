"""Weight exchanged between pairs of candidate points of a design, each time as far as a closed formula says is best."""

import numpy as np

from lina._numba.jit import njit


def exchange(
    A: np.ndarray, w: np.ndarray, K: np.ndarray | None, tolerance: float, limit: int
) -> tuple[np.ndarray, int]:
    """Return (weights, exchanges) after pairwise steps on the design ``w`` (k,) over the rows of ``A`` (k, d).

    Maximises log det M for M = sum w_i a_i a_i^T, or minimises trace(K M^-1) where ``K`` (d, d) is given. Ends when
    the gap over these rows is at most ``tolerance``, or after ``limit`` exchanges: the inverse of M is updated by a
    term of rank two each, made anew at every call. Cost 2 k d + 6 d^2 flops an exchange, twice with ``K``.
    """
    A = np.ascontiguousarray(A, dtype=np.float64)
    w = np.array(w, dtype=np.float64)
    P = np.linalg.inv((A.T * w) @ A)
    P = (P + P.T) / 2
    if K is None:
        return w, _exchange_det(A, w, P, float(tolerance), limit)
    H = P @ K @ P
    return w, _exchange_trace(A, w, P, (H + H.T) / 2, float(tolerance), limit)


@njit
def _exchange_det(A, w, P, tolerance, limit):
    k, d = A.shape
    s = np.empty(k)
    r = np.empty(k)
    u = np.empty(d)
    v = np.empty(d)
    variance = np.empty(k)
    _quadratic(A, P, variance)
    for step in range(limit):
        i, j = _extremes(variance, w)
        if not variance[i] - d > tolerance:
            return step
        _column(A, P, i, u, s)
        _column(A, P, j, v, r)
        difference = variance[i] - variance[j]
        area = max(variance[i] * variance[j] - s[j] * s[j], 0.0)
        t = w[j] if difference >= 2 * area * w[j] else difference / (2 * area)
        scale = 1 + difference * t - area * t * t
        a = (t - t * t * variance[j]) / scale
        b = t * t * s[j] / scale
        c = -(t + t * t * variance[i]) / scale
        _transfer(w, i, j, t)
        for m in range(k):
            variance[m] -= a * s[m] * s[m] + 2 * b * s[m] * r[m] + c * r[m] * r[m]
        for p in range(d):
            for q in range(d):
                P[p, q] -= a * u[p] * u[q] + b * (u[p] * v[q] + v[p] * u[q]) + c * v[p] * v[q]
    return limit


@njit
def _exchange_trace(A, w, P, H, tolerance, limit):
    k, d = A.shape
    s = np.empty(k)
    r = np.empty(k)
    y = np.empty(k)
    z = np.empty(k)
    u = np.empty(d)
    v = np.empty(d)
    f = np.empty(d)
    h = np.empty(d)
    variance = np.empty(k)
    gain = np.empty(k)
    _quadratic(A, P, variance)
    _quadratic(A, H, gain)
    for step in range(limit):
        i, j = _extremes(gain, w)
        mean = 0.0
        for m in range(k):
            mean += w[m] * gain[m]
        if not gain[i] - mean > tolerance:
            return step
        _column(A, P, i, u, s)
        _column(A, P, j, v, r)
        _column(A, H, i, f, y)
        _column(A, H, j, h, z)
        difference = variance[i] - variance[j]
        area = max(variance[i] * variance[j] - s[j] * s[j], 0.0)
        t = min(w[j], _best_length(difference, area, gain[i] - gain[j], _bend(variance, gain, s, y, i, j)))
        scale = 1 + difference * t - area * t * t
        a = (t - t * t * variance[j]) / scale
        b = t * t * s[j] / scale
        c = -(t + t * t * variance[i]) / scale
        pair = (a, b, c)
        square = _sandwich(pair, (gain[i], y[j], gain[j]))
        _transfer(w, i, j, t)
        _update_gains(variance, gain, s, r, y, z, pair, square)
        _update_inverses(P, H, u, v, f, h, pair, square)
    return limit


@njit
def _sandwich(pair, inner):
    """Return the entries of [a b; b c] B [a b; b c] for the symmetric 2 x 2 matrix B."""
    a, b, c = pair
    top, side, bottom = inner
    p0 = a * top + b * side
    p1 = a * side + b * bottom
    q0 = b * top + c * side
    q1 = b * side + c * bottom
    return p0 * a + p1 * b, p0 * b + p1 * c, q0 * b + q1 * c


@njit
def _update_gains(variance, gain, s, r, y, z, pair, square):
    a, b, c = pair
    aa, bb, cc = square
    for m in range(gain.size):
        left = a * s[m] + b * r[m]
        right = b * s[m] + c * r[m]
        gain[m] += aa * s[m] * s[m] + 2 * bb * s[m] * r[m] + cc * r[m] * r[m] - 2 * (left * y[m] + right * z[m])
        variance[m] -= left * s[m] + right * r[m]


@njit
def _update_inverses(P, H, u, v, f, h, pair, square):
    """Change P by a term of rank two, and H = P K P with it."""
    a, b, c = pair
    aa, bb, cc = square
    for p in range(u.size):
        left = a * u[p] + b * v[p]
        right = b * u[p] + c * v[p]
        first = aa * u[p] + bb * v[p]
        second = bb * u[p] + cc * v[p]
        for q in range(u.size):
            H[p, q] += first * u[q] + second * v[q] - left * f[q] - right * h[q]
            H[p, q] -= f[p] * (a * u[q] + b * v[q]) + h[p] * (b * u[q] + c * v[q])
            P[p, q] -= left * u[q] + right * v[q]


@njit
def _bend(variance, gain, s, y, i, j):
    return gain[i] * variance[j] + gain[j] * variance[i] - 2 * y[j] * s[j]


@njit
def _best_length(difference, area, slope, bend):
    """Return the t > 0 that maximises the decrease t (slope - bend t) / (1 + difference t - area t^2) of the trace."""
    inner = bend * bend - slope * (slope * area - bend * difference)
    below = bend + np.sqrt(max(inner, 0.0))
    return slope / below if below > 0.0 else np.inf


@njit
def _quadratic(A, P, out):
    """Put a.P a into ``out`` for every row a of A."""
    k, d = A.shape
    for m in range(k):
        total = 0.0
        for p in range(d):
            part = 0.0
            for q in range(d):
                part += P[p, q] * A[m, q]
            total += A[m, p] * part
        out[m] = total


@njit
def _column(A, P, i, u, s):
    """Put P a_i into u, and A u into s."""
    k, d = A.shape
    for p in range(d):
        total = 0.0
        for q in range(d):
            total += P[p, q] * A[i, q]
        u[p] = total
    for m in range(k):
        total = 0.0
        for q in range(d):
            total += A[m, q] * u[q]
        s[m] = total


@njit
def _extremes(score, w):
    """Return the row of the largest score, and that of the least among those with weight."""
    i = 0
    j = -1
    for m in range(score.size):
        if score[m] > score[i]:
            i = m
        if w[m] > 0.0 and (j < 0 or score[m] < score[j]):
            j = m
    return i, j


@njit
def _transfer(w, i, j, t):
    """Move the weight t from j to i; a weight that is used up is exactly 0."""
    w[i] += t
    w[j] = 0.0 if t == w[j] else w[j] - t
