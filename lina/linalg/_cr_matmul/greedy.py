"""Greedy choice: the tuple of terms whose sum brings the approximation nearest to the product, step by step."""

import math
from itertools import chain, combinations

import numpy as np

from lina._core.array import to_numpy
from lina.linalg._cr_matmul.inner import InnerProducts
from lina.linalg._cr_matmul.terms import Terms

_MOST_TUPLES = 2_000_000


def check_tuples(count: int, size: int) -> None:
    """Raise ValueError where there are too many tuples of ``size`` among ``count`` terms."""
    if math.comb(count, size) > _MOST_TUPLES:
        found = f"{size} of l = {count} give {math.comb(count, size)}"
        raise ValueError(f"tuple_size must leave at most {_MOST_TUPLES} tuples to look at, {found}")


def greedy(terms: Terms, r: int, size: int) -> np.ndarray:
    """Return ``r`` terms with weights 0 or 1, chosen ``size`` at a time; 2 binomial(l, size) size flops a step.

    With h_i the inner product of term i and what is still missing, a tuple T lowers the square of the error by
    sum_T 2 h_i - norm(sum_T v_i)^2.
    """
    if size == 1:
        return _one_by_one(terms, r)
    G = np.real(to_numpy(terms.gram)).astype(np.float64)
    h = G.sum(axis=1)
    chosen: list[int] = []
    for step in (size, r % size):
        if step == 0 or len(chosen) == r:
            continue
        tuples, costs = _tuples(G, step)
        while len(chosen) + step <= r:
            best = tuples[:, np.argmin(costs - 2 * sum(h[each] for each in tuples))]
            chosen.extend(best.tolist())
            h = h - G[:, best].sum(axis=1)
            h[best] = -np.inf  # never again
    return np.asarray(chosen)


def _one_by_one(terms: Terms, r: int) -> np.ndarray:
    inner = InnerProducts(terms, r)
    h, costs = np.real(inner.with_sum), terms.sizes**2
    chosen: list[int] = []
    for _ in range(r):
        gain = 2 * h - costs
        chosen.append(int(np.argmax(gain)))
        h = h - np.real(inner.column(chosen[-1], gain))
        h[chosen[-1]] = -np.inf  # never again
    return np.asarray(chosen)


def _tuples(G: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all tuples (size, count) of terms and the square of the norm of each one's sum."""
    count = math.comb(len(G), size)
    flat = chain.from_iterable(combinations(range(len(G)), size))
    tuples = np.fromiter(flat, dtype=np.int64, count=count * size).reshape(count, size).T.copy()
    costs = np.zeros(count)
    for one in tuples:
        for other in tuples:
            costs += G[one, other]
    return tuples, costs
