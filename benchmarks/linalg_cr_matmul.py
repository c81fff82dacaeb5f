"""What do a few terms of a matrix product save, and what do they cost in accuracy?"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.runner import Case, Question
from lina._core.errors import AccuracyWarning
from lina.linalg import cr_matmul

RULES: dict[str, dict[str, Any]] = {
    "top norm, error not measured": {"measure": False},
    "top norm": {},
    "top norm, best diagonal": {"weights": "optimal"},
    "top norm, full core": {"weights": "full"},
    "sampled": {"select": "sample"},
    "sampled without replacement": {"select": "sample", "replace": False},
    "greedy": {"select": "greedy"},
    "greedy pairs": {"select": "greedy", "tuple_size": 2},
    "matching pursuit, best diagonal": {"select": "omp"},
}


def cases(quick: bool) -> Iterator[Case]:
    """Yield Gaussian, heavy-tailed and rectified factors."""
    m, terms, r, n = (200, 64, 8, 200) if quick else (2000, 512, 64, 2000)
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((m, terms)), rng.standard_normal((terms, n))
    rectified = np.maximum(rng.standard_normal((m, 128)) @ rng.standard_normal((128, terms)), 0.0)
    left = {"Gaussian": X, "norms of Pareto 1.5": X * (rng.pareto(1.5, terms) + 1), "rectified activations": rectified}
    for name, each in left.items():
        title = f"({m} x {terms}) ({terms} x {n}), {r} terms, {name}"
        flops = 2.0 * m * n * r
        yield Case(title, contenders(each, Y, r), relative_error(each, Y), flops=flops, at_least_rounds=3)


def contenders(X: np.ndarray, Y: np.ndarray, r: int) -> dict[str, Callable[[], Any]]:
    """Return the exact product and every rule, each with its product formed."""

    def product(options: dict[str, Any]) -> Callable[[], Any]:
        def call() -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AccuracyWarning)
                return cr_matmul(X, Y, r, rng=0, **options).matmul()

        return call

    return {"exact product": lambda: X @ Y} | {name: product(options) for name, options in RULES.items()}


def relative_error(X: np.ndarray, Y: np.ndarray) -> Callable[[Any], float]:
    """Return the distance from the product over its norm; 1 is what returning zero gives."""
    exact = X @ Y
    norm = np.linalg.norm(exact)
    return lambda found: float(np.linalg.norm(found - exact) / norm)


QUESTION = Question(
    "What do a few terms of a matrix product save, and what do they cost in accuracy?",
    cases,
    "relative error",
    note="Returning zero has the relative error 1: independent sampling of Gaussian terms is worse than that.",
)
