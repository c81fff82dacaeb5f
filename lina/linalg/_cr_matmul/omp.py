"""Orthogonal matching pursuit on the inner products of the terms: all weights are fitted anew after each choice."""

import numpy as np

from lina._core.array import epsilon
from lina.linalg._cr_matmul.inner import InnerProducts
from lina.linalg._cr_matmul.terms import Terms


def omp(terms: Terms, r: int) -> np.ndarray:
    """Return ``r`` terms; each step takes the one that correlates best with what the best weights leave; 2 l r^2 flops.

    The Gram matrix is factorised by Cholesky with the terms as pivots (column t of the factor in ``F[t]``).
    """
    inner = InnerProducts(terms, r)
    start, h = terms.sizes**2, inner.with_sum
    rest = start.copy()
    floor = terms.l * epsilon(terms.X) * start
    F = np.zeros((r, terms.l), dtype=h.dtype)
    free = np.ones(terms.l, dtype=bool)
    chosen: list[int] = []
    for t in range(r):
        useful = free & (rest > floor)
        if not useful.any():  # all that is left depends on the chosen terms
            return np.concatenate([chosen, _largest(np.where(free, start, -1.0), r - t)]).astype(np.int64)
        score = np.where(useful, np.abs(h) ** 2 / np.where(useful, start, 1.0), -1.0)
        p = int(np.argmax(score))
        F[t] = (inner.column(p, score) - F[:t].T @ F[:t, p].conj()) / np.sqrt(rest[p])
        h = h - F[t] * (h[p] / np.sqrt(rest[p]))
        rest = rest - np.abs(F[t]) ** 2
        free[p] = False
        chosen.append(p)
    return np.asarray(chosen)


def _largest(sizes: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(-sizes, kind="stable")[:count]
