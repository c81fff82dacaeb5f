"""Division of samples of polynomials on the unit circle on the CPU, with a look at the denominator in the same pass."""

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit


def circle_divide(B: np.ndarray, A: np.ndarray, least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Overwrite B (rows, n) by B / A; return whether abs(A) < ``least`` (rows,) somewhere, and whether A may wind.

    A may wind around 0 along its samples if its argument turns by a quarter between two of them, or if it crosses the
    negative axis more often one way than the other; between the last sample and the first nothing is looked at.
    """
    near, winds = np.empty(len(A), dtype=np.bool_), np.empty(len(A), dtype=np.bool_)
    real = A.real.dtype
    pairs, bounds = (B.view(real), A.view(real)), (least * least).astype(real)
    if A.shape[1] == 0:
        return near, winds

    def run(start: int, stop: int) -> None:
        rows = slice(start, stop)
        _divide(pairs[0][rows], pairs[1][rows], bounds[rows], near[rows], winds[rows])

    run_rows(run, len(A), smallest=max(1, 2**16 // A.shape[1]))
    return near, winds


@njit
def _divide(B: np.ndarray, A: np.ndarray, bounds: np.ndarray, near: np.ndarray, winds: np.ndarray) -> None:
    """Do rows of (Re, Im) side by side: counts instead of minima, which do not vectorise."""
    n = A.shape[1] // 2
    for row in range(A.shape[0]):
        a, b, bound = A[row], B[row], bounds[row]
        small = sharp = turns = 0
        for k in range(n):
            x, y, u, v = a[2 * k], a[2 * k + 1], b[2 * k], b[2 * k + 1]
            square = x * x + y * y
            small += square < bound
            b[2 * k] = (u * x + v * y) / square
            b[2 * k + 1] = (v * x - u * y) / square
        for k in range(1, n):
            x, y, u, v = a[2 * k], a[2 * k + 1], a[2 * k - 2], a[2 * k - 1]
            left = (x < 0) & (u < 0)
            sharp += not (x * u + y * v > 0)
            turns += left & (y >= 0) & (v < 0)
            turns -= left & (y < 0) & (v >= 0)
        near[row] = small > 0
        winds[row] = (sharp > 0) | (turns != 0)
