"""How fast are projections of one vector of ten million entries onto the simplex, and of many rows between bounds?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.runner import Case, Question, Target
from lina.simplex import project_capped_simplex, project_l1_ball, project_simplex, soft_topk


def cases(quick: bool) -> Iterator[Case]:
    """Yield vectors whose answers are sparse, in between and dense, and rows of which a tenth is chosen softly."""
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
    shape = (20, 1000) if quick else (1000, 1000)
    x = rng.standard_normal(shape)
    targets = [Target("lina", "bisection", 5, error_factor=1), Target("lina", "sort of breakpoints", 5)]
    total = shape[1] // 10
    case = f"{shape[0]} x {shape[1]}, between 0 and 1, of sum {total}, float64"
    yield Case(case, between_bounds(x, total), bounded_error(x, total), targets)


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


def between_bounds(x: np.ndarray, total: int) -> dict[str, Callable[[], Any]]:
    """Return the projections of the rows onto {0 <= p <= 1, sum p = total} by lina and its peers, and a copy."""
    found: dict[str, Callable[[], Any]] = {
        "lina": lambda: project_capped_simplex(x, total=float(total)),
        "lina soft_topk": lambda: soft_topk(x, total),
        "bisection": lambda: by_bisection(x, total),
        "sort of breakpoints": lambda: by_breakpoints(x, total),
        "copy": x.copy,
    }
    try:
        import torch
    except ImportError:
        return found
    tensor = torch.from_numpy(x)
    return {**found, "lina, tensor": lambda: project_capped_simplex(tensor, total=float(total)).numpy()}


def by_bisection(x: np.ndarray, total: int, steps: int = 53) -> np.ndarray:
    """Return the projection by halving the range of the thresholds as often as the numbers have digits."""
    low, high = x.min(axis=1, keepdims=True) - 1, x.max(axis=1, keepdims=True)
    for _ in range(steps):
        middle = (low + high) / 2
        above = np.sum(np.clip(x - middle, 0, 1), axis=1, keepdims=True) > total
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray(np.clip(x - low, 0, 1))


def by_breakpoints(x: np.ndarray, total: int) -> np.ndarray:
    """Return the projection by sorting the x - 1 and x, between which the sum is linear, and summing up its slopes."""
    points = np.concatenate([x - 1, x], axis=1)
    order = np.argsort(points, axis=1)
    points = np.take_along_axis(points, order, axis=1)
    # from x - 1 on an entry falls, at x it has reached 0
    slopes = np.cumsum(np.where(order < x.shape[1], 1, -1), axis=1)
    fallen = np.cumsum(slopes[:, :-1] * np.diff(points, axis=1), axis=1)
    wanted = x.shape[1] - total
    place = np.sum(fallen < wanted, axis=1, keepdims=True)  # the interval in which the sum is right
    before = np.where(place > 0, np.take_along_axis(fallen, np.maximum(place - 1, 0), axis=1), 0.0)
    tau = np.take_along_axis(points, place, axis=1) + (wanted - before) / np.take_along_axis(slopes, place, axis=1)
    return np.asarray(np.clip(x - tau, 0, 1))


def bounded_error(x: np.ndarray, total: int) -> Callable[[Any], float]:
    """Return the largest difference from the projection in long doubles in some rows."""
    rows = x[:32].astype(np.longdouble)
    expected = by_bisection(rows, total, steps=70).astype(np.float64)
    return lambda p: float(np.max(np.abs(p[:32] - expected)))


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
    "How fast are projections of one vector of ten million entries onto the simplex, and of many rows between bounds?",
    cases,
    "error / largest entry",
    "Between bounds the largest entry is 1, the error that of 32 rows, and a copy answers another question. "
    "The l1 ball is that of the sizes: its error is that of another question where x has negative entries. A copy has "
    "one thread; all threads are lina's alone.",
)
