"""How fast are well-chosen columns, and how much of the matrix do they span?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.linalg_pinv import orthonormal
from benchmarks.runner import Case, Question, Target
from lina.linalg import select_columns

RULES = (
    "greedy",
    "cpqr",
    "sketch",
    "sampled_cpqr",
    "lupp",
    "rbrp",
    "qdeim",
    "deim",
    "kmeans",
    "leverage",
    "norm",
    "uniform",
)


def cases(quick: bool) -> Iterator[Case]:
    """Yield handwritten digits, a made matrix, and clustered columns."""
    m, n, k = (200, 100, 10) if quick else (2000, 1000, 50)
    rng = np.random.default_rng(0)
    targets = [Target("greedy", "scikit-matter CUR", 20, error_factor=1.03)]
    A = digits(rng)
    yield Case(f"digits {len(A)} x 64, k = 20", contenders(A, 20), over_optimum(A, 20), targets, 1.0 * A.size * 64, 3)
    A = (orthonormal(rng, m, n) / np.arange(1, n + 1)) @ orthonormal(rng, n, n).T
    yield Case(f"{m} x {n}, k = {k}, 1 / i", contenders(A, k), over_optimum(A, k), targets, 1.0 * m * n * n, 3)
    centres = rng.standard_normal((m, k)) * np.geomspace(100, 1, k)
    A = np.repeat(centres, n // k, axis=1) + 0.01 * rng.standard_normal((m, n))
    yield Case(f"{m} x {n}, k = {k}, clusters", contenders(A, k), over_optimum(A, k), targets, 1.0 * m * n * n, 3)


def digits(rng: np.random.Generator) -> np.ndarray:
    """Return handwritten digits (1797, 64), or noise of their shape where scikit-learn is not installed."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        return rng.random((1797, 64))
    return load_digits().data / 16


def contenders(A: np.ndarray, k: int) -> dict[str, Callable[[], Any]]:
    """Return the rules of lina and a peer; every one returns indices of columns."""

    def ours(rule: str) -> Callable[[], Any]:
        return lambda: select_columns(A, k, method=rule, rng=0).indices

    found = {rule: ours(rule) for rule in RULES}
    try:
        from skmatter.feature_selection import CUR
    except ImportError:
        return found
    return {**found, "scikit-matter CUR": lambda: CUR(n_to_select=k).fit(A).selected_idx_}


def over_optimum(A: np.ndarray, k: int) -> Callable[[Any], float]:
    """Return the error over the optimum of Eckart and Young."""
    best = float(np.sqrt(np.sum(np.linalg.svd(A, compute_uv=False)[k:] ** 2)))

    def error(indices: Any) -> float:
        Q = np.linalg.qr(A[:, indices])[0]
        return float(np.linalg.norm(A - Q @ (Q.T @ A)) / best)

    return error


QUESTION = Question(
    "How fast are well-chosen columns, and how much of the matrix do they span?",
    cases,
    "error / optimum",
    note="The time of lina's certificate, the error of the choice, is included.",
)
