"""How fast are 50 singular triplets of a large sparse matrix, and how near the optimum?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import svds

from benchmarks.linalg_truncated_svd import ours, randomized_peers
from benchmarks.runner import Case, Question, Target


def power_law(m: int, n: int, entries: int) -> csr_array:
    """Return a matrix whose column j has about j^-0.8 of the entries: documents and words, users and items."""
    rng = np.random.default_rng(0)
    weights = np.cumsum(np.arange(1, n + 1) ** -0.8)
    columns = np.searchsorted(weights, weights[-1] * rng.random(entries))
    return coo_array((rng.random(entries), (rng.integers(0, m, entries), columns)), shape=(m, n)).tocsr()


def cases(quick: bool) -> Iterator[Case]:
    """Yield one matrix with a slowly decaying spectrum."""
    m, n, entries, k = (4000, 2000, 40_000, 10) if quick else (100_000, 50_000, 4_000_000, 50)
    A = power_law(m, n, entries)
    name = f"{m} x {n}, {A.nnz} entries, power-law columns, k = {k}"
    found = contenders(A, k)
    targets = [Target("lina", "sklearn, default", 2.0, error_factor=1)]
    yield Case(name, found, excess(A, k), targets, at_least_rounds=3)


def contenders(A: csr_array, k: int) -> dict[str, Callable[[], Any]]:
    """Return lina and its peers; every one returns (U, s, Vt)."""

    def arpack() -> Any:
        U, s, Vt = svds(A, k, rng=np.random.default_rng(0))
        return U[:, ::-1], s[::-1], Vt[::-1]

    return {
        "lina": ours(A, k),
        "lina, max_passes=5": ours(A, k, max_passes=5),
        **randomized_peers(A, k),
        "scipy svds, arpack": arpack,
    }


def excess(A: csr_array, k: int) -> Callable[[Any], float]:
    """Return the error over the optimum minus 1; the optimum from ARPACK, converged to rounding, computed once."""
    square = float(np.sum(A.data**2))
    best = (square - float(np.sum(svds(A, k, return_singular_vectors=False, rng=np.random.default_rng(1)) ** 2))) ** 0.5

    def error(factors: Any) -> float:
        U, s, Vt = factors
        inner = float(np.sum((A @ Vt.T) * (U * s)))
        return max(0.0, max(0.0, square - 2 * inner + float(np.sum(s**2))) ** 0.5 / best - 1)

    return error


QUESTION = Question(
    "How fast are 50 singular triplets of a large sparse matrix, and how near the optimum?",
    cases,
    error_name="error / optimum - 1",
    note="The time of lina's certificate is included; no other contender has one. The optimum comes from a converged "
    "ARPACK, whose single vectors need the fewest products and the most passes.",
)
