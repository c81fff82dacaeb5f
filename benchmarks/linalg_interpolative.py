"""How fast is a column interpolative decomposition, and how good are its columns?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg
import scipy.linalg.interpolative

from benchmarks.linalg_pinv import orthonormal
from benchmarks.runner import Case, Question, Target
from lina.linalg import interpolative, qr_pivoted


def cases(quick: bool) -> Iterator[Case]:
    """Yield two decays and clustered columns."""
    m, n, k = (400, 200, 20) if quick else (4000, 2000, 100)
    rng = np.random.default_rng(0)
    targets = [
        Target("lina", "scipy interpolative", 30),
        Target("lina", "scipy pivoted QR", 25, error_factor=1.10),
        Target("lina qr_pivoted", "scipy pivoted QR", 25, error_factor=1.10),
    ]
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
        flops = 2.0 * m * n * k
        yield Case(f"{m} x {n}, k = {k}, {name}", contenders(A, k), over_optimum(A, best), targets, flops, 3)


def contenders(A: np.ndarray, k: int) -> dict[str, Callable[[], Any]]:
    """Return lina and its peers; every one returns (columns, coefficients), or orthonormal columns and the rest."""

    def ours(**options: Any) -> Callable[[], Any]:
        def call() -> Any:
            F = interpolative(A, k, rng=0, **options)
            return F.indices, F.Z

        return call

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

    return {
        "lina": ours(),
        "lina, max_coef=2": ours(max_coef=2.0),
        "lina qr_pivoted": lambda: qr_pivoted(A, k, rng=0),
        "scipy interpolative": scipy_id,
        "scipy pivoted QR": pivoted_qr,
    }


def over_optimum(A: np.ndarray, best: float) -> Callable[[Any], float]:
    """Return the error over the optimum of Eckart and Young."""

    def error(found: Any) -> float:
        product = A[:, found[0]] @ found[1] if isinstance(found, tuple) else found.toarray()
        return float(np.linalg.norm(A - product) / best)

    return error


def kahan_note() -> str:
    """Return what bounded coefficients are worth on Kahan's matrix of order 90."""
    s, c = np.sin(1.2), np.cos(1.2)
    A = np.diag(s ** np.arange(90)) @ (np.eye(90) - c * np.triu(np.ones((90, 90)), 1))
    plain, strong = interpolative(A, 89, method="cpqr"), interpolative(A, 89, max_coef=2.0)
    return (
        f"Largest coefficient on Kahan's matrix (90, theta = 1.2, k = 89): {plain.max_abs_coef:.1e} by pivoted QR, "
        f"{strong.max_abs_coef:.2f} with max_coef=2. The limit counts the projection on the columns alone, 2 m n k."
    )


QUESTION = Question(
    "How fast is a column interpolative decomposition, and how good are its columns?",
    cases,
    "error / optimum",
    kahan_note,
)
