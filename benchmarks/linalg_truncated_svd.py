"""How fast are 50 singular triplets of a dense matrix, and how near the optimum?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.linalg_pinv import orthonormal
from benchmarks.runner import Case, Question, Target
from lina.linalg import truncated_svd

SPECTRA = {
    "1 / sqrt(i)": lambda n: 1 / np.sqrt(np.arange(1, n + 1)),
    "1 / i": lambda n: 1 / np.arange(1, n + 1),
    "exp(-i / 20)": lambda n: np.exp(-np.arange(n) / 20),
}


def cases(quick: bool) -> Iterator[Case]:
    """Yield the three decays."""
    m, n, k = (2000, 400, 10) if quick else (20000, 2000, 50)
    rng = np.random.default_rng(0)
    U, V = orthonormal(rng, m, n), orthonormal(rng, n, n)
    targets = [
        Target("lina", "sklearn, default", 2.8, error_factor=1),
        Target("lina, max_passes=5", "torch.svd_lowrank, niter=2", 1.6, error_factor=1),
        Target("lina, max_passes=5", "fbpca, default", 1.3, error_factor=1),
        Target("lina, gram", "sklearn, default", 1.3, error_factor=1),
    ]
    for name, spectrum in SPECTRA.items():
        values = spectrum(n)
        A = (U * values) @ V.T
        best = float(np.sqrt(np.sum(values[k:] ** 2)))
        yield Case(f"{m} x {n}, k = {k}, {name}", contenders(A, k), excess(A, best), targets, 14.0 * m * n * k, 3)


def contenders(A: np.ndarray, k: int) -> dict[str, Callable[[], Any]]:
    """Return lina in three settings and its peers; every one returns (U, s, Vt)."""
    found = {
        "lina": ours(A, k),
        "lina, max_passes=5": ours(A, k, max_passes=5),
        "lina, gram": ours(A, k, method="gram"),
        **randomized_peers(A, k),
    }
    try:
        import torch
    except ImportError:
        return found
    tensor = torch.from_numpy(A)

    def lowrank() -> Any:
        torch.manual_seed(0)
        U, s, V = torch.svd_lowrank(tensor, q=k + 10, niter=2)
        return U[:, :k].numpy(), s[:k].numpy(), V[:, :k].numpy().T

    return {**found, "torch.svd_lowrank, niter=2": lowrank}


def ours(A: Any, k: int, **options: Any) -> Callable[[], Any]:
    """Return a contender that returns lina's (U, s, Vt)."""

    def call() -> Any:
        F = truncated_svd(A, k, rng=0, **options)
        return F.U, F.s, F.Vt

    return call


def randomized_peers(A: Any, k: int) -> dict[str, Callable[[], Any]]:
    """Return the randomised SVDs that take dense and sparse matrices, as far as they are installed."""
    found: dict[str, Callable[[], Any]] = {}
    try:
        from sklearn.utils.extmath import randomized_svd

        found["sklearn, default"] = lambda: randomized_svd(A, k, random_state=0)
        found["sklearn, n_iter=2"] = lambda: randomized_svd(A, k, n_iter=2, random_state=0)
    except ImportError:
        pass
    try:
        import fbpca

        found["fbpca, default"] = lambda: fbpca.pca(A, k, raw=True)
    except ImportError:
        pass
    return found


def excess(A: np.ndarray, best: float) -> Callable[[Any], float]:
    """Return the error over the optimum of Eckart and Young, minus 1 (0 where rounding makes it negative)."""

    def error(factors: Any) -> float:
        U, s, Vt = factors
        return max(0.0, float(np.linalg.norm(A - (U * s) @ Vt) / best - 1))

    return error


QUESTION = Question(
    "How fast are 50 singular triplets of a dense matrix, and how near the optimum?",
    cases,
    error_name="error / optimum - 1",
    note="The time of lina's certificate is included; no other contender has one. Five passes are one less than two "
    "power iterations take.",
)
