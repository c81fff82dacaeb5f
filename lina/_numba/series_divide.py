"""Long division of power series on the CPU: each quotient is taken off the numerator that follows, in place."""

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit

_ROWS_PER_THREAD = 8


def series_divide(rest: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return ``rest``, numerators (rows, L), overwritten by their quotients by 1 + a_1 z + ... for ``a`` (rows, d)."""
    run_rows(lambda start, stop: _divide(rest[start:stop], a[start:stop]), len(rest), smallest=_ROWS_PER_THREAD)
    return rest


@njit
def _divide(rest: np.ndarray, a: np.ndarray) -> None:
    for r in range(rest.shape[0]):
        _divide_row(rest[r], a[r])


@njit
def _divide_row(row: np.ndarray, c: np.ndarray) -> None:
    """Divide a row in place: two quotients at a time, so that it is read and written half as often."""
    L, d = len(row), len(c)
    done = 0
    while d > 1 and done + d + 1 < L:
        first = row[done]
        row[done + 1] -= c[0] * first
        second = row[done + 1]
        for i in range(1, d):
            row[done + 1 + i] -= c[i] * first + c[i - 1] * second
        row[done + 1 + d] -= c[d - 1] * second
        done += 2
    for k in range(done, L):
        value = row[k]
        for i in range(min(d, L - 1 - k)):
            row[k + 1 + i] -= c[i] * value
