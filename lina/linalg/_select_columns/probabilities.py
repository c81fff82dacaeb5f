"""How likely each column should be drawn, and the draw."""

from typing import Any

import numpy as np

from lina._core.array import to_numpy
from lina.linalg._leverage_scores import leverage_scores

SAMPLED = ("leverage", "norm", "uniform")


def probabilities(xp: Any, A: Any, k: int, rule: str) -> np.ndarray:
    """Return (n,) numbers that add up to 1: the same for all, or like squared norms, or like leverages of rank k.

    A column of zeros has probability 0, unless all are.
    """
    values = (largest_entries(xp, A) > 0).astype(np.float64)
    if rule == "norm":
        values *= to_numpy(xp.sum(xp.abs(A) ** 2, axis=0)).astype(np.float64)
    elif rule == "leverage":
        values *= to_numpy(leverage_scores(A, min(k, *A.shape), axis=1)).astype(np.float64)
    total = values.sum()
    return values / total if total > 0 else np.full(A.shape[1], 1 / A.shape[1])


def largest_entries(xp: Any, A: Any) -> np.ndarray:
    """Return the largest size of an entry of each column: unlike its square it does not vanish."""
    return to_numpy(xp.max(xp.abs(A), axis=0))


def draw(rng: np.random.Generator, p: np.ndarray, k: int, replace: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return ``k`` indices drawn by ``p`` and their weights w, for which C w^2 C^H has the expectation A A^H.

    With replacement w = 1 / sqrt(k p_i). Without, column i is drawn with the probability q_i = min(1, c p_i), all q
    adding up to k, and w = 1 / sqrt(q_i) (systematic sampling in random order; the most probable first). Columns of
    probability 0 are taken only where there are too few others, with weight 0.
    """
    if replace:
        drawn = rng.choice(p.size, k, p=p)
        return drawn, 1 / np.sqrt(k * p[drawn])
    q = _inclusion(p, k)
    order = rng.permutation(p.size)
    steps = np.floor(np.cumsum(q[order]) + rng.random())
    drawn = order[np.diff(steps, prepend=0.0) > 0]
    drawn = drawn[np.argsort(-q[drawn], kind="stable")][:k]
    rest = np.setdiff1d(np.argsort(-q, kind="stable"), drawn, assume_unique=True)[: k - drawn.size]
    weights = np.concatenate([1 / np.sqrt(q[drawn]), np.zeros(rest.size)])
    return np.concatenate([drawn, rest]), weights


def _inclusion(p: np.ndarray, k: int) -> np.ndarray:
    """Return min(1, c p) with c such that the sum is k, or the number of columns that can be drawn."""
    sure = np.zeros(p.size, dtype=bool)
    count = min(k, int(np.count_nonzero(p)))
    while True:
        rest = np.where(sure, 0.0, p)
        total = rest.sum()
        q = np.where(sure, 1.0, rest * ((count - sure.sum()) / total if total > 0 else 0.0))
        if not np.any(q > 1):
            return q
        sure |= q >= 1
