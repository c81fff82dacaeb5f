"""Systems for the tests: stable, of every form, reproducible."""

from typing import Any

import numpy as np

from lina.ssm import DenseSystem, DiagonalSystem, DPLRSystem, RationalSystem, stable_polynomial


def draws(n: int, seed: int = 0) -> np.ndarray:
    """Return complex normal numbers."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n) + 1j * rng.standard_normal(n)


def dplr(n: int = 6, rank: int = 1, seed: int = 0) -> DPLRSystem:
    """Return a continuous stable system of pairs: -1/2 plus frequencies, and a negative semidefinite low rank."""
    rng = np.random.default_rng(seed)
    Lambda = -0.5 + 1j * rng.uniform(0, 3 * n, n)
    P = np.stack([draws(n, seed + 10 + r) for r in range(rank)])
    return DPLRSystem(Lambda, P, draws(n, seed + 1), draws(n, seed + 2))


def diagonal(n: int = 6, seed: int = 0) -> DiagonalSystem:
    """Return a continuous stable system of pairs."""
    rng = np.random.default_rng(seed)
    return DiagonalSystem(
        -rng.uniform(0.1, 1, n) + 1j * rng.uniform(0, 3 * n, n), draws(n, seed + 1), draws(n, seed + 2)
    )


def dense(n: int = 8, seed: int = 0) -> DenseSystem:
    """Return a continuous stable system."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n)) / np.sqrt(n) - 1.5 * np.eye(n)
    return DenseSystem(A, rng.standard_normal(n), rng.standard_normal(n))


def rational(d: int = 7, seed: int = 0, size: float = 0.6) -> RationalSystem:
    """Return a stable fraction."""
    rng = np.random.default_rng(seed)
    return RationalSystem(stable_polynomial(rng.uniform(-size, size, d)), rng.standard_normal(d))


def discrete(form: str, n: int = 6) -> Any:
    """Return a discrete system of a form."""
    if form == "rational":
        return rational(n)
    made = {"dense": dense, "diagonal": diagonal, "dplr": dplr, "rank 2": lambda n: dplr(n, 2)}[form](n)
    return made.discretize(0.1, "bilinear")


FORMS = ("dense", "diagonal", "dplr", "rank 2", "rational")
