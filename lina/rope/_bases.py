"""Several bases at once: which ones complement each other, and the average of what a model says with each."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lina._core.array import check_finite, dtype_name, is_lazy, open_door
from lina.rope._checks import check_above, check_count, check_even
from lina.rope._frequencies import rotary_frequencies


def complementary_bases(candidates: Sequence[float], count: int, *, head_dim: int, length: int) -> list[float]:
    """Return the bases whose waves of attention cover each other's troughs.

    With one base the mean of cos(m theta_i), which bounds how strongly a query can look at distance m, has troughs at
    some distances, where things are overlooked. Another base has its troughs elsewhere.

    Parameters
    ----------
    candidates : sequence of float
        Bases above 1; the first one, that of the model, is always chosen.
    count : int
        How many to choose, at most as many as there are candidates.
    head_dim : int
        Rotated coordinates of a head, even.
    length : int
        Distances 0, ..., length - 1 are looked at.

    Returns
    -------
    bases : list of float
        In the order of their choice.

    Raises
    ------
    TypeError
        If a number is none.
    ValueError
        If a number is out of its range, or a candidate occurs twice.

    Notes
    -----
    Each next base is the one that raises the mean over all distances of the largest wave most. len(candidates) * length
    * head_dim cosines. Source of the idea: Y. Chen et al., Fortify the shortest stave in attention, 2023.

    Examples
    --------
    >>> from lina.rope import complementary_bases
    >>> complementary_bases([10000.0, 10010.0, 25000.0], 2, head_dim=64, length=2048)
    [10000.0, 25000.0]
    """
    try:
        bases = [check_above(base, "candidates", 1) for base in candidates]
    except TypeError as reason:
        raise TypeError(f"candidates must be a sequence of numbers: {reason}") from None
    if len(set(bases)) < len(bases):
        raise ValueError(f"candidates must be different, got {bases}")
    wanted, dim = check_count(count, "count"), check_even(head_dim, "head_dim")
    if wanted > len(bases):
        raise ValueError(f"count must be at most the {len(bases)} candidates, got {wanted}")
    distances = np.arange(check_count(length, "length"))[:, None]
    waves = np.stack([np.cos(distances * rotary_frequencies(dim, base)).mean(axis=-1) for base in bases])
    chosen, cover = [0], waves[0]
    while len(chosen) < wanted:
        gains = np.maximum(waves, cover).mean(axis=-1)
        gains[chosen] = -np.inf
        chosen.append(int(np.argmax(gains)))
        cover = np.maximum(cover, waves[chosen[-1]])
    return [bases[k] for k in chosen]


def average_bases(probabilities: Any) -> Any:
    """Return the average over several bases of next-token probabilities, weighted by how sure each is.

    Parameters
    ----------
    probabilities : array, shape (bases, ..., n)
        What the model says with each base: not negative, real.

    Returns
    -------
    average : array, shape (..., n)
        sum_b w_b p_b with w_b the largest entry of p_b over the sum of these of all bases: again a distribution where
        the inputs are. Equal weights where all are zero.

    Raises
    ------
    TypeError
        If ``probabilities`` is complex or no array of numbers.
    ValueError
        If it has fewer than two axes, no base or no entry, an entry is negative or not finite.

    Notes
    -----
    Differentiable; 3 flops an entry. Source: Y. Chen et al., Fortify the shortest stave in attention, 2023.

    Examples
    --------
    >>> from lina.rope import average_bases
    >>> average_bases([[0.5, 0.5], [0.75, 0.25]]).round(4)
    array([0.65, 0.35])
    """
    xp, p = open_door(min_ndim=2, probabilities=probabilities)
    if "complex" in dtype_name(p):
        raise TypeError(f"probabilities must be real, got dtype {dtype_name(p)}")
    if p.shape[0] == 0 or p.shape[-1] == 0:
        raise ValueError(f"probabilities must have bases and entries, got shape {tuple(p.shape)}")
    check_finite(xp, p, "probabilities")
    if not is_lazy(p) and bool(xp.any(p < 0)):
        raise ValueError(f"probabilities must not be negative, got {float(xp.min(p))}")
    sure = xp.max(p, axis=-1, keepdims=True)
    largest = xp.max(sure, axis=0, keepdims=True)
    empty = largest == 0
    weights = xp.where(empty, xp.ones_like(sure), sure / xp.where(empty, xp.ones_like(largest), largest))
    return xp.sum(p * (weights / xp.sum(weights, axis=0, keepdims=True)), axis=0)
