"""How fast is a CUR decomposition, and how good are its rows and columns?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.linalg_interpolative import over_optimum
from benchmarks.linalg_pinv import orthonormal
from benchmarks.runner import Case, Question, Target
from lina.linalg import cur


def cases(quick: bool) -> Iterator[Case]:
    """Yield handwritten digits and two decays."""
    rng = np.random.default_rng(0)
    matrices: dict[str, tuple[np.ndarray, int]] = {}
    digits = _digits()
    if digits is not None:
        matrices["digits"] = (digits, 20)
    m, n, k = (300, 150, 10) if quick else (2000, 1000, 50)
    U, V = orthonormal(rng, m, n), orthonormal(rng, n, n)
    i = np.arange(n)
    matrices["exp(-i / 25)"] = ((U * np.exp(-i / 25)) @ V.T, k)
    matrices["1 / i"] = ((U / (i + 1)) @ V.T, k)
    targets = [Target("lina", "scikit-matter", 20, error_factor=1.03)]
    for name, (A, k) in matrices.items():
        best = float(np.sqrt(np.sum(np.linalg.svd(A, compute_uv=False)[k:] ** 2)))
        title = f"{A.shape[0]} x {A.shape[1]}, k = {k}, {name}"
        yield Case(title, contenders(A, k), over_optimum(A, best), targets, at_least_rounds=3)


def contenders(A: np.ndarray, k: int) -> dict[str, Callable[[], Any]]:
    """Return lina and its peer; every one returns (columns, what they are multiplied by)."""

    def ours(core: str, method: str = "auto") -> Callable[[], Any]:
        def call() -> Any:
            F = cur(A, k, core=core, method=method, rng=0)
            return F.cols, F.core @ F.R

        return call

    found: dict[str, Callable[[], Any]] = {
        "lina": ours("stable"),
        "lina, sketch": ours("stable", "sketch"),
        "lina, intersection": ours("intersection"),
    }
    try:
        from skmatter import feature_selection, sample_selection
    except ImportError:
        return found

    def skmatter() -> Any:
        cols = feature_selection.CUR(n_to_select=k).fit(A).selected_idx_
        R = A[sample_selection.CUR(n_to_select=k).fit(A).selected_idx_]
        return cols, np.linalg.pinv(A[:, cols]) @ A @ np.linalg.pinv(R) @ R

    return found | {"scikit-matter": skmatter}


def _digits() -> np.ndarray | None:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        return None
    return load_digits().data.astype(np.float64)


QUESTION = Question("How fast is a CUR decomposition, and how good are its rows and columns?", cases, "error / optimum")
