"""How fast is a pseudo-inverse whose rank is certain?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.runner import Case, Question, Target
from lina.linalg import pinv

EPS = np.finfo(float).eps


def cases(quick: bool) -> Iterator[Case]:
    """Yield the shapes and conditions of the table."""
    shrink = 10 if quick else 1
    tall = [Target("lina", "numpy", 7), Target("lina", "torch", 4)]
    yield spectrum("20000 x 200, condition 10", 20000 // shrink, 200 // shrink, 10, tall)
    harder = [Target("lina", "numpy", 3, error_factor=20), Target("lina", "torch", 1.7)]
    yield spectrum("20000 x 200, condition 1e5", 20000 // shrink, 200 // shrink, 1e5, harder)
    yield spectrum("4000 x 1000, condition 10", 4000 // shrink, 1000 // shrink, 10, [Target("lina", "numpy", 4.5)])
    yield spectrum("1500 x 1500, condition 1e3", 1500 // shrink, 1500 // shrink, 1e3, [Target("lina", "numpy", 7)])
    worst = [Target("lina", "numpy", 1 / 1.25)]
    yield spectrum("20000 x 200, condition 1e13 (falls back)", 20000 // shrink, 200 // shrink, 1e13, worst)
    yield from deficient(shrink, worst)
    yield batch((1000, 32, 16), [Target("lina", "numpy", 5), Target("lina", "torch", 5)])
    yield batch((10000, 8, 4), [Target("lina", "numpy", 14), Target("lina", "scipy", 80)])


def orthonormal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Return random orthonormal columns."""
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]


def spectrum(name: str, m: int, n: int, condition: float, targets: list[Target]) -> Case:
    """Return a matrix with geometric singular values, whose pseudo-inverse is known from its factors."""
    rng = np.random.default_rng(0)
    values = np.geomspace(1, 1 / condition, n)
    U, V = orthonormal(rng, m, n), orthonormal(rng, n, n)
    A = (U * values) @ V.T
    exact = (V / values) @ U.T
    return Case(name, contenders(A), relative(exact), targets, flops=3.0 * m * n * n)


def deficient(shrink: int, worst: list[Target]) -> Iterator[Case]:
    """Yield rank 300 of 1000, clean and with noise at 0.3 of the cutoff, which no bound can tell from full rank."""
    m, n, r = 3000 // shrink, 1000 // shrink, 300 // shrink
    rng = np.random.default_rng(0)
    U, V = orthonormal(rng, m, n), orthonormal(rng, n, n)
    for name, noise, targets in (
        ("3000 x 1000, rank 300", 0.0, [Target("lina", "numpy", 3), Target("lina", "torch", 2.5)]),
        ("3000 x 1000, rank 300, noise at 0.3 cutoff (falls back)", 0.3 * m * EPS, worst),
    ):
        values = np.r_[np.geomspace(1, 0.1, r), np.full(n - r, noise)]
        A = (U * values) @ V.T
        exact = (V[:, :r] / values[:r]) @ U[:, :r].T
        yield Case(name, contenders(A), relative(exact), targets, flops=1.0 * m * n * n + 6.0 * m * n * r)


def batch(shape: tuple[int, int, int], targets: list[Target]) -> Case:
    """Return a stack of small Gaussian matrices; the reference is numpy in longer arithmetic by one Newton step."""
    A = np.random.default_rng(0).standard_normal(shape)
    long = A.astype(np.longdouble)
    X = np.linalg.pinv(A).astype(np.longdouble)
    for _ in range(2):
        X = 2 * X - X @ (long @ X)
    b, m, n = shape
    return Case(f"batch of {b} of {m} x {n}", contenders(A), relative(X.astype(float)), targets, 3.0 * b * m * n * n)


def contenders(A: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return lina and its peers, all with the same cutoff."""
    rtol = max(A.shape[-2:]) * EPS
    found: dict[str, Callable[[], Any]] = {
        "lina": lambda: pinv(A),
        "numpy": lambda: np.linalg.pinv(A, rtol=rtol),
        "scipy": lambda: scipy.linalg.pinv(A, rtol=rtol),
    }
    try:
        import torch
    except ImportError:
        return found
    tensor = torch.from_numpy(A)
    return {**found, "torch": lambda: torch.linalg.pinv(tensor, rtol=rtol).numpy()}


def relative(exact: np.ndarray) -> Callable[[Any], float]:
    """Return the largest relative Frobenius error of a stack."""
    size = np.linalg.norm(exact, axis=(-2, -1))
    return lambda X: float(np.max(np.linalg.norm(X - exact, axis=(-2, -1)) / size))


QUESTION = Question(
    "How fast is a pseudo-inverse whose rank is certain?",
    cases,
    note="Cutoff max(m, n) eps for all. The cases that fall back show what the attempts at a fast path cost.",
)
