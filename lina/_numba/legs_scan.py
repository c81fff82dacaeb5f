"""The scan of LegS over time, its adjoint, and the solves with its matrix.

A step is (e I - p A) y = (e I + q A) z + (p + q) B u with A = -(diag(n + 1) + strictly lower part of r r^T), done in
one pass over n with one running sum s, for the difference y - z, which keeps the digits of a state that hardly moves:

    y = z + (r_n s - (p + q) (n + 1) z) / (e + p (n + 1)),    s -= r_n (p y + q z),    s = (p + q) u at n = 0.

The chain through s is what makes the plain loop slow. One channel therefore runs LANES steps at once, lane t at the
entry j - t of step first + t: it needs what lane t - 1 wrote at the iteration before, and all lanes lie side by side
in a state stored backwards. Many channels run side by side themselves, two steps at a time, in their own precision: a
state is the sum of two numbers, since an increment of step k is about 1/k of it, of which single precision would keep
the fewer digits the later it is, and lose the same ones at each step. The small number takes the increments, and after
_AHEAD steps moves what it can to the large one.
"""

import math

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit, read_only

LANES = 32
# Below this many channels the lanes are steps, from there on they are channels.
_MANY = 16
_WIDTH = 256
# Steps of which the inputs are brought into the layout of channels at once: a cache line of single precision.
_AHEAD = 16
_TILE = 16
# Below this many entries of states a second thread costs more than it saves (about 200 us of work).
_WORTH_A_THREAD = 200_000

_CODES = {"logbilinear": 0, "bilinear": 1, "backward": 2}


def legs_scan(u: np.ndarray, x: np.ndarray, k0: int, method: str, return_all: bool) -> np.ndarray:
    """Return the states (c, N) after the samples u (c, L), or all of them (c, L, N), from x (c, N) at step k0.

    Real or complex, both of one dtype; the paper's scaling. Cost 10 N L flops a channel, of single precision where
    there are many channels that have it.
    """
    if u.dtype.kind == "c":
        parts = legs_scan(_parts(u), _parts(x), k0, method, return_all)
        half = u.shape[0]
        return (parts[:half] + 1j * parts[half:]).astype(u.dtype, copy=False)
    channels, L = u.shape
    N, n = x.shape[1], np.arange(x.shape[1])
    few = return_all or channels < _MANY
    inside = np.float64 if few else u.dtype
    u, x = read_only(u), x.astype(inside)
    r, degree = read_only(np.sqrt(2 * n + 1.0).astype(inside)), read_only((n + 1).astype(inside))
    code = _CODES[method]
    if few:
        states = np.empty((channels, L if return_all else 0, N), dtype=u.dtype)
        ends = np.empty((channels, 0))

        def steps_abreast(start: int, stop: int) -> None:
            _steps_abreast(u, x, r, degree, k0, 1, code, states, ends, start, stop)

        run_rows(steps_abreast, channels, smallest=_WORTH_A_THREAD // max(1, L * N) + 1)
        return states if return_all else x.astype(u.dtype, copy=False)

    def channels_abreast(start: int, stop: int) -> None:
        _channels_abreast(u, x, r, degree, k0, code, start, stop)

    run_rows(channels_abreast, channels, smallest=max(64, _WORTH_A_THREAD // max(1, L * N)))
    return x.astype(u.dtype, copy=False)


def legs_scan_vjp(cotangent: np.ndarray, L: int, k0: int, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients (c, L) by u and (c, N) by x of a scan of L steps, from the cotangent (c, N) of its end.

    The adjoint steps are those of the scan with the order of n reversed. What a sample gets is the fall of entry 0
    over its step, since a constant signal is the state e_0: a difference, so all is computed in double precision.
    """
    if cotangent.dtype.kind == "c":
        half = cotangent.shape[0]
        pair = (legs_scan_vjp(_parts(cotangent), L, k0, method)[i] for i in (0, 1))
        du, dx = ((g[:half] + 1j * g[half:]).astype(cotangent.dtype, copy=False) for g in pair)
        return du, dx
    channels, N = cotangent.shape
    x = np.ascontiguousarray(cotangent[:, ::-1], dtype=np.float64).copy()
    n = np.arange(N)[::-1]
    r, degree = read_only(np.sqrt(2 * n + 1.0)), read_only(n + 1.0)
    states, ends = np.empty((channels, 0, N)), np.empty((channels, L + 1))
    ends[:, 0] = cotangent[:, 0]
    zeros = read_only(np.zeros((channels, L)))
    code = _CODES[method]

    def task(start: int, stop: int) -> None:
        _steps_abreast(zeros, x, r, degree, k0 + L - 1, -1, code, states, ends[:, 1:], start, stop)

    run_rows(task, channels, smallest=_WORTH_A_THREAD // max(1, L * N) + 1)
    du = -np.diff(ends, axis=1)[:, ::-1]
    return du.astype(cotangent.dtype), x[:, ::-1].astype(cotangent.dtype)


def legs_solve(b: np.ndarray, identity: np.ndarray, step: np.ndarray, backwards: bool) -> np.ndarray:
    """Return x with (identity I - step A) x = b (..., N) for weights (..., 1), of the transpose where ``backwards``."""
    shape = np.broadcast_shapes(b.shape, (*step.shape[:-1], b.shape[-1]))
    b = np.broadcast_to(b, shape)
    if b.dtype.kind == "c":
        real, imaginary = (legs_solve(part, identity, step, backwards) for part in (b.real, b.imag))
        return (real + 1j * imaginary).astype(b.dtype, copy=False)
    N = shape[-1]
    b = read_only((b[..., ::-1] if backwards else b).reshape(-1, N))
    weights = [read_only(np.broadcast_to(w[..., 0], shape[:-1]).reshape(-1)) for w in (identity, step)]
    n = np.arange(N)[::-1] if backwards else np.arange(N)
    r, degree = read_only(np.sqrt(2 * n + 1.0).astype(b.dtype)), read_only((n + 1).astype(b.dtype))
    x = np.empty_like(b)

    def task(start: int, stop: int) -> None:
        _solve_rows(b, x, r, degree, weights[0], weights[1], start, stop)

    run_rows(task, b.shape[0], smallest=_WORTH_A_THREAD // (4 * N) + 1)
    return (x[:, ::-1] if backwards else x).reshape(shape)


def _parts(z: np.ndarray) -> np.ndarray:
    return np.concatenate([z.real, z.imag])


@njit
def _weights(method, k):
    """Return (e, p, q) of step k: the first step is the limit in which nothing was before."""
    if k == 0:
        return 0.0, 1.0, 0.0
    if method == 0:
        h = 0.5 * math.log1p(1.0 / k)
        return 1.0, h, h
    if method == 1:
        return 1.0, 0.5 / (k + 1), 0.5 / k
    return 1.0, 1.0 / (k + 1), 0.0


@njit
def _steps_abreast(u, x, r, degree, k0, direction, method, states, ends, start, stop):
    """Run each channel over all steps; keep all states, and the last entries, where there is room for them."""
    N, L = x.shape[1], u.shape[1]
    outside = LANES - 1  # entries before 0 and after N - 1, which stay 0
    size = N + 2 * outside
    state = np.zeros(size, dtype=x.dtype)
    R = np.zeros(size, dtype=x.dtype)
    D = np.ones(size, dtype=x.dtype)
    lanes = np.zeros((5, LANES), dtype=x.dtype)
    for n in range(N):
        R[N - 1 + outside - n] = r[n]
        D[N - 1 + outside - n] = degree[n]
    for c in range(start, stop):
        state[:] = 0
        for n in range(N):
            state[N - 1 + outside - n] = x[c, n]
        for first in range(0, L, LANES):
            _set_lanes(u[c], first, k0, direction, method, lanes)
            _wave(state, R, D, lanes[0], lanes[1], lanes[2], lanes[3], lanes[4], first, N, L, states[c], ends[c])
        for n in range(N):
            x[c, n] = state[N - 1 + outside - n]


@njit
def _set_lanes(u, first, k0, direction, method, lanes):
    """Fill s, e, p, q and p + q for the steps first, first + 1, ...; those beyond the end move nothing."""
    for t in range(LANES):
        lanes[0, t] = 0
        lanes[1, t] = 1
        lanes[2:, t] = 0
        if first + t < u.size:
            e, p, q = _weights(method, k0 + direction * (first + t))
            lanes[1, t] = e
            lanes[2, t] = p
            lanes[3, t] = q
            lanes[4, t] = p + q
            lanes[0, t] = lanes[4, t] * u[first + t]


@njit
def _wave(state, R, D, s, e, p, q, g, first, N, L, states, ends):
    one = state.dtype.type(1)
    for j in range(N + LANES - 1):
        base = N + LANES - 2 - j
        x = state[base : base + LANES]
        r = R[base : base + LANES]
        d = D[base : base + LANES]
        for t in range(LANES):
            z = x[t]
            y = z + (r[t] * s[t] - g[t] * d[t] * z) * (one / (e[t] + p[t] * d[t]))
            s[t] -= r[t] * (p[t] * y + q[t] * z)
            x[t] = y
        if states.shape[0] > 0:
            for t in range(max(0, j - N + 1), min(j + 1, L - first, LANES)):
                states[first + t, j - t] = x[t]
        if ends.size > 0 and 0 <= j - N + 1 < L - first:
            ends[first + j - N + 1] = x[j - N + 1]


@njit
def _channels_abreast(u, x, r, degree, k0, method, start, stop):
    N, L = x.shape[1], u.shape[1]
    inputs = np.zeros((_AHEAD, _WIDTH), dtype=x.dtype)
    state = np.zeros((N, _WIDTH), dtype=x.dtype)
    moved = np.zeros((N, _WIDTH), dtype=x.dtype)
    first_factors = np.zeros((4, N), dtype=x.dtype)
    next_factors = np.zeros((4, N), dtype=x.dtype)
    for left in range(start, stop, _WIDTH):
        width = min(_WIDTH, stop - left)
        rows = x[left : left + width]
        _turn(rows, state)
        moved[:] = 0
        for first in range(0, L, _AHEAD):
            count = min(_AHEAD, L - first)
            for i in range(width):
                for t in range(count):
                    inputs[t, i] = u[left + i, first + t]
            for t in range(0, count, 2):
                s, s_next = inputs[t, :width], inputs[min(t + 1, _AHEAD - 1), :width]
                _begin(s, r, degree, k0 + first + t, method, first_factors)
                if t + 1 < count:
                    _begin(s_next, r, degree, k0 + first + t + 1, method, next_factors)
                    _two_steps(state, moved, s, s_next, first_factors, next_factors)
                else:
                    _one_step(state, moved, s, first_factors)
            _move(state, moved, width)
        _turn_back(rows, state)


@njit
def _turn(rows, state):
    """Copy the rows into the columns of ``state``, in tiles that stay in the cache."""
    for first in range(0, rows.shape[1], _TILE):
        for left in range(0, rows.shape[0], _TILE):
            for i in range(left, min(left + _TILE, rows.shape[0])):
                for n in range(first, min(first + _TILE, rows.shape[1])):
                    state[n, i] = rows[i, n]


@njit
def _turn_back(rows, state):
    for first in range(0, rows.shape[1], _TILE):
        for left in range(0, rows.shape[0], _TILE):
            for i in range(left, min(left + _TILE, rows.shape[0])):
                for n in range(first, min(first + _TILE, rows.shape[1])):
                    rows[i, n] = state[n, i]


@njit
def _begin(s, r, degree, k, method, factors):
    """Multiply the inputs of a step by p + q, and fill its factors of s and z in y - z, and of y and z in s."""
    e, p, q = _weights(method, k)
    real = s.dtype.type
    e, p, q, g, one = real(e), real(p), real(q), real(p + q), real(1)
    for i in range(s.size):
        s[i] *= g
    of_s, of_z, y_in_s, z_in_s = factors[0], factors[1], factors[2], factors[3]
    for n in range(r.size):
        inverse = one / (e + p * degree[n])
        of_s[n] = r[n] * inverse
        of_z[n] = g * degree[n] * inverse
        y_in_s[n] = r[n] * p
        z_in_s[n] = r[n] * q


@njit
def _two_steps(state, moved, s, s_next, f, g):
    for n in range(state.shape[0]):
        a, b, c, d = f[0, n], f[1, n], f[2, n], f[3, n]
        a_next, b_next, c_next, d_next = g[0, n], g[1, n], g[2, n], g[3, n]
        for i in range(s.size):
            x = state[n, i]
            z = x + moved[n, i]
            m = moved[n, i] + (a * s[i] - b * z)
            y = x + m
            s[i] -= c * y + d * z
            m += a_next * s_next[i] - b_next * y
            z = x + m
            s_next[i] -= c_next * z + d_next * y
            moved[n, i] = m


@njit
def _one_step(state, moved, s, f):
    for n in range(state.shape[0]):
        a, b, c, d = f[0, n], f[1, n], f[2, n], f[3, n]
        for i in range(s.size):
            z = state[n, i] + moved[n, i]
            m = moved[n, i] + (a * s[i] - b * z)
            s[i] -= c * (state[n, i] + m) + d * z
            moved[n, i] = m


@njit
def _move(state, moved, width):
    """Add to the states what they have moved, and leave what that rounds off."""
    for n in range(state.shape[0]):
        for i in range(width):
            y = state[n, i] + moved[n, i]
            moved[n, i] -= y - state[n, i]
            state[n, i] = y


@njit
def _solve_rows(b, x, r, degree, identity, step, start, stop):
    for i in range(start, stop):
        s = b.dtype.type(0)
        for n in range(r.size):
            y = (b[i, n] - step[i] * r[n] * s) / (identity[i] + step[i] * degree[n])
            s += r[n] * y
            x[i, n] = y
