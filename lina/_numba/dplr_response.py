"""Responses of diagonal plus low rank systems at points of a circle, and their adjoint, without an N x L array.

With w = dt lambda, the sums over a conjugate pair of v / (p - q w) are real combinations of one complex number,

    v / (p - q w) + conj(v) / (p - q conj(w)) = (2 Re(v) p - 2 Re(v conj(w)) q) g,
    g = 1 / (p^2 - 2 Re(w) p q + |w|^2 q^2),

so that a block of points is filled with g, one row per pair, and multiplied by the real weights of all sums at once.
"""

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit, read_only

# Pairs times points of a block, whose g then takes 256 KB of the second-level cache, and the least and most points.
_BLOCK, _FEWEST, _MOST = 2**14, 64, 512
# Below this many pairs times points a second thread costs more than it saves.
_WORTH_A_THREAD = 200_000


def dplr_response(w: np.ndarray, left: np.ndarray, right: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return C (p - q A)^-1 B (rows, K) for w (rows, n) and points (K,), all complex128.

    ``left`` (rows, 1 + r, n) holds C and the conjugates of P, ``right`` B and P; A = diag(w) - P P^*, and the halves of
    the pairs that are not given take part. Cost per pair and point: a division, 12 flops and 8 (1 + r)^2 more.
    """
    rows, n = w.shape
    G = np.empty((rows, p.size), dtype=np.complex128)
    slope, square, weights = _coefficients(w, left, right)
    points = _blocks_of_points(p, q, n)

    def task(start: int, stop: int) -> None:
        _responses(slope, square, weights, points, G, start, stop)

    run_rows(task, rows, smallest=_WORTH_A_THREAD // max(1, n * p.size) + 1)
    return G


def dplr_response_vjp(
    w: np.ndarray, left: np.ndarray, right: np.ndarray, p: np.ndarray, q: np.ndarray, S: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (h_v, h_w): a change of v_ij = left_i right_j and w changes Re sum S G by Re sum h_v dv + Re sum h_w dw.

    ``S`` (rows, K) is complex; ``h_v`` (rows, 1 + r, 1 + r, n) belongs to all products, ``h_w`` (rows, n) to w at fixed
    products. About three times the cost of the response.
    """
    rows, n = w.shape
    size = left.shape[1]
    slope, square, weights = _coefficients(w, left, right)
    points, S = _blocks_of_points(p, q, n), read_only(np.asarray(S, dtype=np.complex128))
    first, second = np.empty((rows, n, 2 * size**2)), np.empty((rows, n, 3 * size**2))

    def task(start: int, stop: int) -> None:
        _moments(slope, square, weights, points, S, first, second, start, stop)

    run_rows(task, rows, smallest=_WORTH_A_THREAD // max(1, 3 * n * p.size) + 1)
    return _from_moments(w, left, right, first, second)


def _coefficients(w: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return -2 Re w, |w|^2 and the weights (rows, 2 (1 + r)^2, n): those of p, then those of -q."""
    w = np.ascontiguousarray(w)
    v = (left[:, :, None] * right[:, None]).reshape(len(w), left.shape[1] ** 2, w.shape[1])
    weights = np.concatenate([2 * v.real, 2 * (v * w.conj()[:, None]).real], axis=1)
    return -2 * w.real, w.real**2 + w.imag**2, np.ascontiguousarray(weights)


def _blocks_of_points(p: np.ndarray, q: np.ndarray, n: int) -> np.ndarray:
    """Return the parts of p, q, p^2, p q and q^2 as (blocks, 10, width); the last point fills the last block up."""
    blocks = -(-p.size // min(_MOST, max(_FEWEST, _BLOCK // n)))
    width = -(-p.size // (8 * blocks)) * 8
    values = np.stack([part for z in (p, q, p * p, p * q, q * q) for part in (z.real, z.imag)])
    padded = np.pad(values, ((0, 0), (0, blocks * width - p.size)), mode="edge")
    return np.ascontiguousarray(padded.reshape(10, blocks, width).transpose(1, 0, 2))


def _from_moments(
    w: np.ndarray, left: np.ndarray, right: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    size = left.shape[1]
    shape = (len(w), size, size, w.shape[1])
    T, U = _split(first, 2, shape)
    zero, one, two = _split(second, 3, shape)
    w = w.conj()[:, None, None]
    h_v = 2 * (T - w * U)
    curvature = 2 * (zero - 2 * w * one + w * w * two)
    v = left[:, :, None] * right[:, None]
    return h_v, np.sum(v * curvature, axis=(1, 2))


def _split(moments: np.ndarray, count: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Return ``count`` arrays (rows, 1 + r, 1 + r, n) from moments (rows, n, count (1 + r)^2)."""
    turned = moments.transpose(0, 2, 1).reshape(shape[0], count, *shape[1:])
    return [turned[:, i] for i in range(count)]


@njit
def _responses(slope, square, weights, points, G, start, stop):
    blocks, _, width = points.shape
    size = weights.shape[1] // 2
    g = np.zeros((slope.shape[1], 2 * width))
    sums = np.zeros((2 * size, 2 * width))
    for row in range(start, stop):
        for block in range(blocks):
            at = points[block]
            _fill(g, slope[row], square[row], at)
            np.dot(weights[row], g, sums)
            _sum_pairs(sums, at, size, width)
            _eliminate(sums, at, size, width)
            first = block * width
            for j in range(min(width, G.shape[1] - first)):
                G[row, first + j] = complex(sums[0, j], sums[0, width + j])


@njit
def _fill(g, slope, square, at):
    width = at.shape[1]
    for n in range(slope.size):
        _fill_row(g[n, :width], g[n, width:], slope[n], square[n], at[4], at[5], at[6], at[7], at[8], at[9])


@njit
def _fill_row(real, imag, slope, square, pp_real, pp_imag, pq_real, pq_imag, qq_real, qq_imag):
    for j in range(real.size):
        x = pp_real[j] + (slope * pq_real[j] + square * qq_real[j])
        y = pp_imag[j] + (slope * pq_imag[j] + square * qq_imag[j])
        inverse = 1.0 / (x * x + y * y)
        real[j] = x * inverse
        imag[j] = -y * inverse


@njit
def _sum_pairs(sums, at, size, width):
    """Turn the weighted sums of g into those over pairs: p times the first half of the rows less q times the other."""
    for i in range(size):
        x, y = sums[i], sums[size + i]
        _combine(x[:width], x[width:], y[:width], y[width:], at[0], at[1], at[2], at[3])


@njit
def _combine(x_real, x_imag, y_real, y_imag, p_real, p_imag, q_real, q_imag):
    for j in range(x_real.size):
        real = p_real[j] * x_real[j] - p_imag[j] * x_imag[j] - (q_real[j] * y_real[j] - q_imag[j] * y_imag[j])
        imag = p_real[j] * x_imag[j] + p_imag[j] * x_real[j] - (q_real[j] * y_imag[j] + q_imag[j] * y_real[j])
        x_real[j] = real
        x_imag[j] = imag


@njit
def _eliminate(sums, at, size, width):
    """Take the terms of the low rank one after the other (Woodbury), the last first.

    Each leaves F_ij - q F_ik F_kj / (1 + q F_kk): the responses of the matrix with the terms from k on. The factor
    q / (1 + q F_kk) of term k is left in place of F_kk.
    """
    terms = int(np.sqrt(size))
    for k in range(terms - 1, 0, -1):
        pivot = sums[k * terms + k]
        _factor(pivot[:width], pivot[width:], at[2], at[3])
        for i in range(k):
            for j in range(k):
                x, a, b = sums[i * terms + j], sums[i * terms + k], sums[k * terms + j]
                _subtract(
                    x[:width], x[width:], a[:width], a[width:], b[:width], b[width:], pivot[:width], pivot[width:]
                )


@njit
def _factor(real, imag, q_real, q_imag):
    for j in range(real.size):
        x = 1.0 + (q_real[j] * real[j] - q_imag[j] * imag[j])
        y = q_real[j] * imag[j] + q_imag[j] * real[j]
        inverse = 1.0 / (x * x + y * y)
        real[j] = (q_real[j] * x + q_imag[j] * y) * inverse
        imag[j] = (q_imag[j] * x - q_real[j] * y) * inverse


@njit
def _subtract(x_real, x_imag, a_real, a_imag, b_real, b_imag, c_real, c_imag):
    for j in range(x_real.size):
        real = a_real[j] * b_real[j] - a_imag[j] * b_imag[j]
        imag = a_real[j] * b_imag[j] + a_imag[j] * b_real[j]
        x_real[j] -= real * c_real[j] - imag * c_imag[j]
        x_imag[j] -= real * c_imag[j] + imag * c_real[j]


@njit
def _moments(slope, square, weights, points, S, first, second, start, stop):
    """Fill the sums over the points of Re(s p g), Re(s q g) and of q s times p^2, p q and q^2 g^2, s = S a_i b_j."""
    blocks, _, width = points.shape
    size, n = weights.shape[1] // 2, slope.shape[1]
    terms = int(np.sqrt(size))
    g, squares = np.zeros((n, 2 * width)), np.zeros((n, 2 * width))
    sums = np.zeros((2 * size, 2 * width))
    once, twice = np.zeros((2 * size, 2 * width)), np.zeros((3 * size, 2 * width))
    part, part_of_squares = np.zeros((n, 2 * size)), np.zeros((n, 3 * size))
    a, b = np.zeros(terms, dtype=np.complex128), np.zeros(terms, dtype=np.complex128)
    for row in range(start, stop):
        first[row] = 0
        second[row] = 0
        for block in range(blocks):
            at = points[block]
            _fill(g, slope[row], square[row], at)
            _square(g, squares)
            np.dot(weights[row], g, sums)
            _sum_pairs(sums, at, size, width)
            _eliminate(sums, at, size, width)
            begin = block * width
            for j in range(width):
                if begin + j < S.shape[1]:
                    _left_and_right(sums, j, width, terms, a, b)
                    _weigh(S[row, begin + j], a, b, at, j, width, once, twice)
                else:
                    once[:, j], once[:, width + j] = 0, 0
                    twice[:, j], twice[:, width + j] = 0, 0
            np.dot(g, once.T, part)
            np.dot(squares, twice.T, part_of_squares)
            first[row] += part
            second[row] += part_of_squares


@njit
def _square(g, squares):
    width = g.shape[1] // 2
    for n in range(g.shape[0]):
        for j in range(width):
            x, y = g[n, j], g[n, width + j]
            squares[n, j] = x * x - y * y
            squares[n, width + j] = 2 * x * y


@njit
def _left_and_right(sums, j, width, terms, a, b):
    """Fill a and b, the derivative of the response by F_ij being a_i b_j, by substitution through the elimination."""
    a[0], b[0] = 1, 1
    for k in range(1, terms):
        factor = complex(sums[k * terms + k, j], sums[k * terms + k, width + j])
        x, y = 0j, 0j
        for i in range(k):
            x += a[i] * complex(sums[i * terms + k, j], sums[i * terms + k, width + j])
            y += complex(sums[k * terms + i, j], sums[k * terms + i, width + j]) * b[i]
        a[k], b[k] = -factor * x, -factor * y


@njit
def _weigh(S, a, b, at, j, width, once, twice):
    p, q = complex(at[0, j], at[1, j]), complex(at[2, j], at[3, j])
    terms = a.size
    size = terms * terms
    for i in range(terms):
        for k in range(terms):
            s = S * a[i] * b[k]
            row = i * terms + k
            _put(once, row, j, width, s * p)
            _put(once, size + row, j, width, s * q)
            s *= q
            _put(twice, row, j, width, s * p * p)
            _put(twice, size + row, j, width, s * p * q)
            _put(twice, 2 * size + row, j, width, s * q * q)


@njit
def _put(target, row, j, width, value):
    """Store a factor so that its real product with (Re g, Im g) is the real part of the complex one."""
    target[row, j] = value.real
    target[row, width + j] = -value.imag
