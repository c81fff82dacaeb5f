"""A look at a matrix before it is called symmetric and finite: one reading, in tiles."""

import numpy as np

from lina._numba.jit import njit, read_only

TILE = 64


def asymmetry(Q: np.ndarray, limit: float) -> tuple[int, int]:
    """Return how many entries are NaN or exceed ``limit``, and how many differ from the transposed ones."""
    large, different = _asymmetry(read_only(Q), limit)
    return large, different


@njit
def _asymmetry(Q, limit):
    # whole numbers are counted, because sums and maxima of floats do not vectorise
    n = Q.shape[0]
    tile = np.zeros((TILE, TILE), dtype=Q.dtype)
    large = 0
    different = 0
    for top in range(0, n, TILE):
        for left in range(0, top + 1, TILE):
            width = min(TILE, n - left)
            height = min(TILE, n - top)
            for j in range(width):
                for i in range(height):
                    tile[i, j] = Q[left + j, top + i]
            for i in range(height):
                row = Q[top + i, left : left + width]
                for j in range(width):
                    large += not (abs(row[j]) <= limit and abs(tile[i, j]) <= limit)
                    different += row[j] != tile[i, j]
    return large, different
