"""How fast is the projection of one vector of ten million entries onto the simplex?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.runner import Case, Question, Target
from lina.simplex import project_l1_ball, project_simplex


def cases(quick: bool) -> Iterator[Case]:
    """Yield vectors whose answers are sparse, in between and dense."""
    n, rng = 300_000 if quick else 10_000_000, np.random.default_rng(0)
    sparse = [Target("lina", "copy", 1 / 1.6), Target("lina", "sort", 10)]
    dense = [Target("lina", "copy", 1 / 5), Target("lina", "sort", 5)]
    vectors: dict[str, tuple[Callable[[], np.ndarray], list[Target]]] = {
        "N(0, 1)": (lambda: rng.standard_normal(n), sparse),
        "N(0, 1e-3)": (lambda: 1e-3 * rng.standard_normal(n), sparse),
        "near feasible": (lambda: rng.dirichlet(np.ones(n)) + 1e-3 / n * rng.standard_normal(n), dense),
    }
    for name, (make, targets) in vectors.items():
        x = make()
        yield Case(f"{n} entries, {name}, float64", contenders(x), relative_error(x), targets)


def contenders(x: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return lina and its peers; a copy of the input is what the memory allows."""
    found: dict[str, Callable[[], Any]] = {
        "lina": lambda: project_simplex(x),
        "lina l1 ball": lambda: project_l1_ball(x),
        "sort": lambda: by_sort(x),
        "copy": x.copy,
    }
    try:
        import entmax
        import torch
    except ImportError:
        return found
    tensor = torch.from_numpy(x)
    return {**found, "entmax": lambda: entmax.sparsemax(tensor, dim=-1).numpy()}


def by_sort(x: np.ndarray) -> np.ndarray:
    """Return the projection by the usual lines: sort, sum up, compare."""
    ordered = np.sort(x)[::-1]
    sums = np.cumsum(ordered) - 1
    k = np.arange(1, len(x) + 1)
    support = k[ordered - sums / k > 0][-1]
    return np.asarray(np.maximum(x - sums[support - 1] / support, 0))


def relative_error(x: np.ndarray) -> Callable[[Any], float]:
    """Return the largest difference from the projection in long doubles over its largest entry."""
    z = x.astype(np.longdouble) - x.max()
    low, high = np.longdouble(-1), np.longdouble(0)
    for _ in range(64):
        middle = (low + high) / 2
        above = np.sum(np.maximum(z - middle, 0)) > 1
        low, high = (middle, high) if above else (low, middle)
    expected = np.maximum(z - low, 0).astype(np.float64)
    largest = float(expected.max())

    def error(p: Any) -> float:
        return float(np.max(np.abs(np.abs(p) - expected)) / largest)

    return error


QUESTION = Question(
    "How fast is the projection of one vector of ten million entries onto the simplex?",
    cases,
    "error / largest entry",
    "The l1 ball is that of the sizes: its error is that of another question where x has negative entries. A copy has "
    "one thread; all threads are lina's alone.",
)
