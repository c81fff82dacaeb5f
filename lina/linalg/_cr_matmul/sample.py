"""Unbiased sampling: a term is drawn in proportion to its norm, and weighted with the reciprocal of its chance."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lina.linalg._cr_matmul.terms import Terms


class Draw(NamedTuple):
    """``indices`` (r,), and for every term (l,) how often it is drawn on average."""

    indices: np.ndarray
    expected: np.ndarray


def sample(terms: Terms, r: int, replace: bool, rng: np.random.Generator) -> Draw:
    """Draw ``r`` terms with chances proportional to their norms, the choice of least variance."""
    sizes = np.maximum(terms.sizes, 1e-16 * terms.sizes.max())  # what has vanished may still be drawn
    if sizes.max() == 0.0:
        sizes = np.ones_like(sizes)
    if replace:
        chances: np.ndarray = sizes / sizes.sum()
        return Draw(rng.choice(terms.l, size=r, p=chances), r * chances)
    expected = _inclusion(sizes, r)
    return Draw(_systematic(expected, rng), expected)


def error_with_replacement(terms: Terms, r: int, product: float) -> float:
    """Return the root mean square error of the weighted draws, exactly, from the norm of the product."""
    return math.sqrt(max(0.0, float(np.sum(terms.sizes)) ** 2 - product**2) / r)


def error_without_replacement(terms: Terms, expected: np.ndarray, norm: Callable[[np.ndarray], float]) -> float:
    """Return Hajek's approximation of it for samples of fixed size; ``norm(d)`` is that of sum(d_i x_i y_i).

    Terms that are certain contribute nothing.
    """
    missing = np.where((expected > 0) & (expected < 1), 1 - expected, 0.0)
    count = int(np.sum(missing > 0))
    if count < 2:
        return 0.0
    alone = np.sum(missing / np.where(missing > 0, expected, 1.0) * terms.sizes**2)
    common = norm(missing) ** 2 / np.sum(missing * expected)
    return math.sqrt(max(0.0, float(alone - common)) * count / (count - 1))


def _inclusion(sizes: np.ndarray, r: int) -> np.ndarray:
    """Return chances proportional to ``sizes`` with sum ``r``, none above 1."""
    certain = np.zeros(len(sizes), dtype=bool)
    while True:
        left = r - int(certain.sum())
        rest = sizes[~certain].sum()
        expected = np.where(certain, 1.0, left * sizes / (rest if rest > 0 else 1.0))
        fresh = ~certain & (expected >= 1 - 1e-12)
        if not fresh.any():
            return expected
        certain |= fresh


def _systematic(expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw each term with its chance: the certain ones, then equidistant points over the others in random order."""
    certain = np.flatnonzero(expected == 1.0)
    others = rng.permutation(np.flatnonzero(expected < 1.0))
    if others.size == 0:
        return certain
    ends = np.cumsum(expected[others])
    count = round(ends[-1])
    ends[-1] = np.inf
    points = rng.random() + np.arange(count)
    return np.concatenate([certain, others[np.searchsorted(ends, points, side="right")]])
