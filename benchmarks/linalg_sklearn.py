"""How fast are the estimators beside those of scikit-learn, and how much variance do they leave unexplained?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.decomposition import TruncatedSVD as PeerSVD

from benchmarks.linalg_pinv import orthonormal
from benchmarks.linalg_sparse_svd import power_law
from benchmarks.runner import Case, Question, Target
from lina.sklearn import TruncatedSVD


def cases(quick: bool) -> Iterator[Case]:
    """Yield a dense matrix with a slowly decaying spectrum, and a sparse one of words and documents."""
    m, n, k = (2000, 400, 10) if quick else (10_000, 1000, 50)
    rng = np.random.default_rng(0)
    dense = (orthonormal(rng, m, n) / np.sqrt(np.arange(1, n + 1))) @ orthonormal(rng, n, n).T
    yield _case(f"dense, {m} x {n}, k = {k}", dense, k)
    m, n, entries, k = (4000, 2000, 40_000, 10) if quick else (100_000, 50_000, 4_000_000, 50)
    yield _case(f"sparse, {m} x {n}, {entries} entries, k = {k}", power_law(m, n, entries), k)


def _case(name: str, X: Any, k: int) -> Case:
    found = {
        "lina": lambda: TruncatedSVD(k, random_state=0).fit(X),
        "lina, n_iter=5": lambda: TruncatedSVD(k, n_iter=5, random_state=0).fit(X),
        "lina, n_iter=2": lambda: TruncatedSVD(k, n_iter=2, random_state=0).fit(X),
        "sklearn, default (n_iter=5)": lambda: PeerSVD(k, random_state=0).fit(X),
        "sklearn, n_iter=2": lambda: PeerSVD(k, n_iter=2, random_state=0).fit(X),
    }
    targets = [
        Target("lina", "sklearn, default (n_iter=5)", 1.0, error_factor=1),
        Target("lina, n_iter=2", "sklearn, n_iter=2", 1.0, error_factor=1),
    ]
    return Case(name, found, unexplained(X, k), targets, at_least_rounds=3)


def unexplained(X: Any, k: int) -> Callable[[Any], float]:
    """Return the share of the variance that is not explained, over that of converged components, minus 1."""
    best = 1 - float(np.sum(PeerSVD(k, algorithm="arpack", random_state=1).fit(X).explained_variance_ratio_))

    def error(estimator: Any) -> float:
        return max(0.0, (1 - float(np.sum(estimator.explained_variance_ratio_))) / best - 1)

    return error


QUESTION = Question(
    "How fast are the estimators beside those of scikit-learn, and how much variance do they leave unexplained?",
    cases,
    error_name="unexplained / least - 1",
    note="The time of the certificate is included, and that of the coordinates of the training data in both. The least "
    "is that of a converged ARPACK.",
)
