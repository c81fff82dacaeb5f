"""Position maps: the relative position that a query i gives a key j, NaN where it does not see it.

``i`` and ``j`` are float64 arrays that broadcast, of whole numbers, with m = i - j the distance.
"""

import numpy as np


def plain(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Return m."""
    return i - j


def rerope(i: np.ndarray, j: np.ndarray, window: int) -> np.ndarray:
    """Return m below the window and the window itself from there on."""
    return np.minimum(i - j, window)


def leaky_rerope(i: np.ndarray, j: np.ndarray, window: int, factor: float) -> np.ndarray:
    """Return m below the window, and w + (m - w) / factor from there on."""
    m = i - j
    return np.where(m < window, m, window + (m - window) / factor)


def self_extend(i: np.ndarray, j: np.ndarray, window: int, group: int) -> np.ndarray:
    """Return m below the window, and from there on the distance of the groups, shifted by w - floor(w / group).

    Where the group divides the window the first distance beyond is the window itself; otherwise w or w + 1, by row.
    """
    far = i // group + window - window // group - j // group
    return np.where(i - j < window, i - j, far)


def window_only(i: np.ndarray, j: np.ndarray, window: int) -> np.ndarray:
    """Return m below the window; nothing else is seen."""
    return np.where(i - j < window, i - j, np.nan)


def sink(i: np.ndarray, j: np.ndarray, window: int, sinks: int) -> np.ndarray:
    """Return distances inside a cache of the first keys and the last ones: no query is farther than its length."""
    in_cache = np.minimum(i, sinks + window - 1) - j
    return np.where(j < sinks, in_cache, window_only(i, j, window))


def lambda_mask(i: np.ndarray, j: np.ndarray, window: int, sinks: int, longest: int) -> np.ndarray:
    """Return m below the window, and to the first keys m, but at most the trained length."""
    return np.where(j < sinks, np.minimum(i - j, longest), window_only(i, j, window))
