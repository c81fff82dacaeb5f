"""Columns nearest to the centres of k-means clusters."""

from typing import Any

import numpy as np

from lina._core.array import to_numpy
from lina._core.random import gaussian
from lina.linalg._select_columns.probabilities import largest_entries

_ROUNDS = 20
_OVERSAMPLE = 10


def kmeans(xp: Any, A: Any, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return at most ``k`` columns of ``A`` (m, n), one for each cluster, that of the largest energy first.

    Lloyd's iteration from a k-means++ start, on the CPU, on a sketch of the columns that about keeps their distances.
    Columns of zeros take no part. Cost 2 m n (k + 10) flops for the sketch and 2 n k (k + 10) a round, 20 at most.
    """
    d = k + _OVERSAMPLE
    short = A if d >= A.shape[0] else gaussian(rng, (d, A.shape[0]), A) @ A
    possible = np.flatnonzero(largest_entries(xp, A))
    points = to_numpy(short).T[possible]
    points = points.astype(np.result_type(points, np.float64))
    if possible.size == 0:
        return possible
    centres = points[_spread(points, min(k, possible.size), rng)]
    owner = np.argmin(_distances(points, centres), axis=1)
    for _ in range(_ROUNDS):
        member = owner[None, :] == np.arange(len(centres))[:, None]
        member = member[np.any(member, axis=1)]
        centres = (member @ points) / np.sum(member, axis=1)[:, None]
        before, owner = owner, np.argmin(_distances(points, centres), axis=1)
        if np.array_equal(before, owner):
            break
    return possible[_nearest(points, centres, owner)]


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return squared distances (n, k)."""
    cross = np.real(points @ centres.conj().T)
    sizes = [np.sum(np.abs(each) ** 2, axis=1) for each in (points, centres)]
    return np.maximum(sizes[0][:, None] - 2 * cross + sizes[1][None, :], 0.0)


def _spread(points: np.ndarray, k: int, rng: np.random.Generator) -> list[int]:
    """Return ``k`` points or fewer, each drawn like its squared distance from those before it (k-means++)."""
    chosen = [int(rng.integers(len(points)))]
    left = _distances(points, points[chosen])[:, 0]
    while len(chosen) < k and left.sum() > 0:
        chosen.append(int(rng.choice(len(points), p=left / left.sum())))
        left = np.minimum(left, _distances(points, points[chosen[-1:]])[:, 0])
        left[chosen] = 0
    return chosen


def _nearest(points: np.ndarray, centres: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return for each cluster its member nearest to the centre."""
    energy = np.bincount(owner, np.sum(np.abs(points) ** 2, axis=1), minlength=len(centres))
    member = owner[:, None] == np.arange(len(centres))
    nearest = np.argmin(np.where(member, _distances(points, centres), np.inf), axis=0)
    order = np.argsort(-energy, kind="stable")
    return nearest[order[np.any(member, axis=0)[order]]]
