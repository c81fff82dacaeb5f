"""Recurrences of rational systems on the CPU: long division for the states, their sums by b for the outputs."""

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit
from lina._numba.series_divide import _divide_row

# Samples whose outputs stay in the cache while the entries of b pass over them.
_TILE = 1024
# Products below which a second thread costs more than it saves.
_WORTH_A_THREAD = 2**20


def rational_scan(a: np.ndarray, b: np.ndarray, which: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return the outputs y_k = b_1 w_k + b_2 w_{k-1} + ... (rows, L) of w_k = u_k - a_1 w_{k-1} - a_2 w_{k-2} - ....

    ``w`` (rows, d + L) holds the d values before the samples, the latest last, and the samples, which are overwritten.
    ``a`` and ``b`` are (systems, d), ``which`` (rows,) is the system of each row; all but that of one dtype.
    """
    rows, d = len(w), a.shape[-1]
    y = np.zeros((rows, w.shape[1] - d), dtype=w.dtype)
    run_rows(
        lambda start, stop: _scan(a, b, which[start:stop], w[start:stop], y[start:stop]),
        rows,
        smallest=_WORTH_A_THREAD // max(1, y.shape[1] * d) + 1,
    )
    return y


@njit
def _scan(a: np.ndarray, b: np.ndarray, which: np.ndarray, w: np.ndarray, y: np.ndarray) -> None:
    d, L = a.shape[1], y.shape[1]
    for r in range(w.shape[0]):
        row, below, above = w[r], a[which[r]], b[which[r]]
        for k in range(d):  # what the values before take off the samples
            for i in range(d - 1 - k, min(d, d + L - 1 - k)):
                row[k + 1 + i] -= below[i] * row[k]
        _divide_row(row[d:], below)
        for start in range(0, L, _TILE):
            out = y[r, start : min(start + _TILE, L)]
            for i in range(d):
                values = row[d + start - i :]
                for k in range(len(out)):
                    out[k] += above[i] * values[k]
