"""Reflection coefficients of many real polynomials on the CPU: whether all are below 1, and what digits they cost."""

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit


def step_down(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (below, lost) of rows (rows, d) of float64, which are overwritten.

    ``below`` says whether all reflection coefficients are below 1 in modulus, ``lost`` is the product of 1 / (1 - k^2).
    """
    below, lost = np.empty(len(rows), dtype=np.bool_), np.empty(len(rows))
    d = max(1, rows.shape[1])
    run_rows(
        lambda start, stop: _step_down(rows[start:stop], below[start:stop], lost[start:stop]),
        len(rows),
        smallest=max(1, 2**17 // d**2),
    )
    return below, lost


@njit
def _step_down(rows: np.ndarray, below: np.ndarray, lost: np.ndarray) -> None:
    """Do rows in place, both ends of the polynomial at once."""
    for r in range(rows.shape[0]):
        a, fine, product = rows[r], True, 1.0
        for m in range(rows.shape[1], 0, -1):
            k = a[m - 1]
            spare = 1 - k * k
            fine = fine & (spare > 0)
            scale = 1 / spare
            product *= scale
            half = (m - 1) // 2
            for i in range(half):
                first, last = a[i], a[m - 2 - i]
                a[i] = (first - k * last) * scale
                a[m - 2 - i] = (last - k * first) * scale
            if (m - 1) % 2:
                a[half] = (a[half] - k * a[half]) * scale
        below[r] = fine
        lost[r] = product
