"""Factors on the logits, applied to the queries: those of YaRN, log n and its clipped form."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lina.rope._checks import check_above, check_count, check_positions

LOGIT_SCALES = ("yarn", "log_n", "log_n_clipped")
LogitScale = str | float | Callable[[np.ndarray], Any] | None


def yarn_scale(s: Any) -> np.ndarray:
    """Return (0.1 ln s + 1)^2: tables of cos and sin that carry the root of it square it in a logit."""
    return (0.1 * np.log(np.maximum(s, 1.0)) + 1.0) ** 2


def log_n_scale(positions: Any, original_length: Any, *, clipped: bool = True) -> np.ndarray:
    """Return the factor ln n / ln L of the query at position n - 1, which keeps the entropy of attention over n keys.

    Parameters
    ----------
    positions : array of int or float, any shape
        Absolute positions of the queries, counted from 0; the query at 0 sees n = 1 key.
    original_length : int
        Trained length L, at least 2.
    clipped : bool
        Whether the factor is at least 1, for a model that was trained without it: then it changes nothing within L.
        False is for a model that is trained with it.

    Returns
    -------
    scales : numpy array, float64, of the same shape
        To be multiplied onto the queries, in addition to the usual 1 / sqrt(d), and not onto the keys.

    Raises
    ------
    TypeError
        If positions are not real, or ``original_length`` is no int.
    ValueError
        If a position is negative or not finite, or ``original_length`` is below 2.

    Notes
    -----
    Source: J. Su, scientific spaces 8823, and 9708 for the clipped form. One logarithm a position.

    Examples
    --------
    >>> from lina.rope import log_n_scale
    >>> log_n_scale([15, 255, 65535], 256)
    array([1., 1., 2.])
    >>> log_n_scale([15, 255, 65535], 256, clipped=False)
    array([0.5, 1. , 2. ])
    """
    length = check_count(original_length, "original_length", 2)
    scales = np.log(check_positions(positions) + 1) / math.log(length)
    return np.maximum(scales, 1.0) if clipped else scales


def check_logit_scale(value: Any) -> LogitScale:
    """Return ``value`` if it is None, a name, a positive number or a function of positions."""
    if value is None or callable(value):
        return value
    if isinstance(value, str):
        if value not in LOGIT_SCALES:
            names = ", ".join(map(repr, LOGIT_SCALES))
            raise ValueError(f"logit_scale must be None, {names}, a number or a function, got {value!r}")
        return value
    return check_above(value, "logit_scale", 0)


def called(function: Callable[[np.ndarray], Any], positions: np.ndarray) -> np.ndarray:
    """Return what a function says to the positions, if that is one finite number for each."""
    returned = function(positions)
    try:
        scales = np.asarray(returned, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"logit_scale must return numbers, got {type(returned).__name__}") from None
    if scales.shape not in ((), positions.shape) or not np.all(np.isfinite(scales)):
        found = f"shape {scales.shape} with {np.sum(~np.isfinite(scales))} not finite"
        raise ValueError(f"logit_scale must return finite numbers of shape {positions.shape}, got {found}")
    return np.broadcast_to(scales, positions.shape).copy()
