"""Recurrences of diagonal plus low rank systems on the CPU: two passes over the state for each sample.

States are real rows (Re x, Im x) of 2 n numbers: products with P, Q and C are then real ones, and the loops vectorise.
"""

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit


def linear_scan(
    system: tuple[np.ndarray, ...], which: np.ndarray, u: np.ndarray, x: np.ndarray, states: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs (rows, L) and last states (rows, n) of x <- Lambda x - P 2 Re(Q^* x) + B u, y = 2 Re(C x).

    ``system`` holds Lambda, B, C (systems, n), P, Q (systems, r, n), ``which`` (rows,) the system of each row, u is
    (rows, L), x is (rows, n), and ``states`` (rows, L, n) is filled, or (rows, 0, n) and left alone.
    """
    Lambda, B, C, P, Q = system
    real = u.dtype
    packed = (_parts(Lambda), _parts(B), _parts(2 * C.conj()), _parts(P), _parts(2 * Q))
    y, end, each = np.empty_like(u), _parts(x), states.view(real)

    def run(start: int, stop: int) -> None:
        rows = slice(start, stop)
        _scan(*packed, which[rows], u[rows], end[rows], y[rows], each[rows])

    run_rows(run, len(u))
    return y, _joined(end)


def _parts(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.concatenate([x.real, x.imag], axis=-1))


def _joined(x: np.ndarray) -> np.ndarray:
    n = x.shape[-1] // 2
    return np.asarray(x[..., :n] + 1j * x[..., n:])


@njit
def _scan(
    Lambda: np.ndarray,
    B: np.ndarray,
    C: np.ndarray,
    P: np.ndarray,
    Q: np.ndarray,
    which: np.ndarray,
    u: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    states: np.ndarray,
) -> None:
    """Run rows: ``x`` ends as the last states, ``states`` holds (Re, Im) of each entry in turn where it has room."""
    n, rank = x.shape[1] // 2, P.shape[1]
    along = np.empty(rank, dtype=x.dtype)
    for row in range(u.shape[0]):
        s, now = which[row], x[row]
        re, im, b_re, b_im = Lambda[s, :n], Lambda[s, n:], B[s, :n], B[s, n:]
        for k in range(u.shape[1]):
            sample = u[row, k]
            for j in range(rank):
                along[j] = np.dot(Q[s, j], now)
            for i in range(n):
                a, b = now[i], now[n + i]
                now[i] = re[i] * a - im[i] * b + b_re[i] * sample
                now[n + i] = im[i] * a + re[i] * b + b_im[i] * sample
            for j in range(rank):
                factor = along[j]
                for i in range(2 * n):
                    now[i] -= factor * P[s, j, i]
            y[row, k] = np.dot(C[s], now)
            if states.shape[1] > 0:
                for i in range(n):
                    states[row, k, 2 * i] = now[i]
                    states[row, k, 2 * i + 1] = now[n + i]
