"""Checks of the numbers that the functions of the room are given."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from lina._core import checks
from lina._core.array import host_array, refuse_gradient
from lina._core.checks import real_number

_MOST = 2**48  # beyond it numpy has errors of its own, which name no argument


def check_count(value: Any, name: str, least: int = 1, most: int = _MOST) -> int:
    """Return ``value`` as an int of at least ``least`` and at most ``most``."""
    return checks.check_count(value, name, least, most)


def check_above(value: Any, name: str, limit: float, *, allow_equal: bool = False) -> float:
    """Return ``value`` as a finite float above ``limit``, or of at least ``limit``."""
    refuse_gradient("RotaryScaling", **{name: value})
    number = real_number(value, name)
    if not (math.isfinite(number) and (number > limit or (allow_equal and number == limit))):
        wanted = f"at least {limit:g}" if allow_equal else f"above {limit:g}"
        raise ValueError(f"{name} must be finite and {wanted}, got {number}")
    return number


def check_even(value: Any, name: str) -> int:
    """Return ``value`` as an even int of at least 2: coordinates rotate in pairs."""
    number = check_count(value, name, 2)
    if number % 2:
        raise ValueError(f"{name} must be even, got {number}")
    return number


def check_positions(positions: Any, name: str = "positions") -> np.ndarray:
    """Return positions, counted from 0, as a float64 array of numpy."""
    refuse_gradient("A scale of positions", **{name: positions})
    values = host_array(positions, name)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be integers or real numbers, got dtype {values.dtype}")
    values = values.astype(np.float64)
    wrong = ~np.isfinite(values) | (values < 0)
    if np.any(wrong):
        found = f"{np.sum(wrong)} that are negative, NaN or infinite of {values.size}"
        raise ValueError(f"{name} must be finite and not negative, got {found}")
    return values


def check_frequencies(inv_freq: Any, name: str = "inv_freq") -> np.ndarray:
    """Return frequencies as a float64 array of numpy with one axis."""
    refuse_gradient("A number of turns", **{name: inv_freq})
    values = host_array(inv_freq, name)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be real numbers, got dtype {values.dtype}")
    if values.ndim != 1:
        raise ValueError(f"{name} must have one axis, got shape {values.shape}")
    values = values.astype(np.float64)
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name} must be finite, got {np.sum(~np.isfinite(values))} NaN or infinite")
    return values


def quiet(x: Any) -> AbstractContextManager[Any]:
    """Return where numpy computes with NaN and infinities without warnings; torch.compile traces no np.errstate."""
    return np.errstate(invalid="ignore", over="ignore") if isinstance(x, np.ndarray) else nullcontext()
