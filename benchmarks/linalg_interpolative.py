"""How fast is a column interpolative decomposition, and how good are its columns?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg
import scipy.linalg.interpolative

from benchmarks.linalg_pinv import orthonormal
from benchmarks.runner import Case, Question, Target
from lina.linalg import interpolative


def cases(quick: bool) -> Iterator[Case]:
    """Yield two decays and clustered columns."""
    m, n, k = (400, 200, 20) if quick else (4000, 2000, 100)
    rng = np.random.default_rng(0)
    targets = [Target("lina", "scipy interpolative", 30), Target("lina", "scipy pivoted QR", 25, error_factor=1.10)]
    U, V = orthonormal(rng, m, n), orthonormal(rng, n, n)
    i = np.arange(n)
    centres = rng.standard_normal((m, k)) * np.geomspace(100, 1, k)
    matrices = {
        "exp(-i / 25)": (U * np.exp(-i / 25)) @ V.T,
        "1 / i": (U / (i + 1)) @ V.T,
        "clustered columns": np.repeat(centres, n // k, axis=1) + 0.01 * rng.standard_normal((m, n)),
    }
    for name, A in matrices.items():
        best = float(np.sqrt(np.sum(np.linalg.svd(A, compute_uv=False)[k:] ** 2)))
        flops = 2.0 * m * n * (k + 10) + 2.0 * m * n * k
        yield Case(f"{m} x {n}, k = {k}, {name}", contenders(A, k), over_optimum(A, best), targets, flops, 3)


def contenders(A: np.ndarray, k: int) -> dict[str, Callable[[], Any]]:
    """Return lina and its peers; every one returns (columns, coefficients)."""

    def ours() -> Any:
        F = interpolative(A, k, rng=0)
        return F.indices, F.Z

    def scipy_id() -> Any:
        pivots, proj = scipy.linalg.interpolative.interp_decomp(A, k, rng=np.random.default_rng(0))
        Z = np.empty((k, A.shape[1]))
        Z[:, pivots] = np.hstack([np.eye(k), proj])
        return pivots[:k], Z

    def pivoted_qr() -> Any:
        R, pivots = scipy.linalg.qr(A, mode="r", pivoting=True)
        Z = np.empty((k, A.shape[1]))
        Z[:, pivots] = scipy.linalg.solve_triangular(R[:k, :k], R[:k])
        return pivots[:k], Z

    return {"lina": ours, "scipy interpolative": scipy_id, "scipy pivoted QR": pivoted_qr}


def over_optimum(A: np.ndarray, best: float) -> Callable[[Any], float]:
    """Return the error over the optimum of Eckart and Young."""
    return lambda found: float(np.linalg.norm(A - A[:, found[0]] @ found[1]) / best)


QUESTION = Question(
    "How fast is a column interpolative decomposition, and how good are its columns?", cases, "error / optimum"
)
