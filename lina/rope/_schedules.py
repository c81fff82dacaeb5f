"""Schedules: the scale of a length, and that of each row in the schedule "row_bucket"."""

from typing import Any

import numpy as np

from lina.rope._checks import check_count, check_positions

SCHEDULES = ("static", "local_static", "row_bucket")


def bucket_of(positions: Any, original_length: Any) -> np.ndarray:
    """Return the scale of each query row in the schedule "row_bucket", a power of two.

    Rows below the trained length L keep the scale 1, those in [L 2^(b - 1), L 2^b) have 2^b. All keys that a row sees
    are rotated with the frequencies of the row's scale, from a cache of unrotated keys: the logits of a row depend on
    its own position only, so that one prefill, parts of it and single tokens agree, and nothing changes within L. Each
    bucket has twice the keys of the one before, so all rotations together are fewer than three for each key.

    Parameters
    ----------
    positions : array of int or float, any shape
        Positions of the query rows, counted from 0.
    original_length : int
        Trained length L.

    Returns
    -------
    scales : numpy array, float64, of the same shape

    Raises
    ------
    TypeError
        If positions are not real, or ``original_length`` is no int.
    ValueError
        If a position is negative or not finite, or ``original_length`` is not positive.

    Examples
    --------
    >>> from lina.rope import bucket_of
    >>> bucket_of([0, 255, 256, 511, 512, 5000], 256)
    array([ 1.,  1.,  2.,  2.,  4., 32.])
    """
    exponents = np.frexp(check_positions(positions) / check_count(original_length, "original_length"))[1]
    return np.ldexp(1.0, np.maximum(exponents, 0))


def factor_of(schedule: str, factor: float | None, length: int | None, original_length: int) -> float:
    """Return the scale for ``length`` positions, the trained length where None is given."""
    if schedule == "static":
        return 1.0 if factor is None else factor
    seen = original_length if length is None else check_count(length, "length")
    if schedule == "local_static":
        return max(1.0, seen / original_length)
    return float(bucket_of(seen - 1, original_length))
