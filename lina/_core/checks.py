"""Checks of numbers and of options: what is returned is of the type that it is used as."""

import math
import operator
from typing import Any

import numpy as np


def check_int(value: Any, name: str) -> int:
    """Return ``value`` as an int; truth values are none."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, got {type(value).__name__}") from None


def check_count(value: Any, name: str, least: int = 1, most: int | None = None) -> int:
    """Return ``value`` as an int of at least ``least``, and at most ``most`` if that is given."""
    number = check_int(value, name)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    if most is not None and number > most:
        raise ValueError(f"{name} must be at most {most}, got {number}")
    return number


def check_rank(k: Any, limit: int, name: str = "k", what: str = "min(m, n)") -> int:
    """Return ``k`` as an int in 1..limit, which is ``what``."""
    value = check_int(k, name)
    if not 1 <= value <= limit:
        raise ValueError(f"{name} must be in 1..{what} = 1..{limit}, got {value}")
    return value


def real_number(value: Any, name: str, wanted: str = "a number") -> float:
    """Return a real number as a float, infinite beyond its range; texts, truth values and complex numbers are none."""
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)) or "complex" in str(getattr(value, "dtype", "")):
            raise TypeError
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except (RuntimeError, TypeError, ValueError):
        raise TypeError(f"{name} must be {wanted}, got {type(value).__name__}") from None


def check_positive(value: Any, name: str) -> float:
    """Return ``value`` as a float that is finite and positive."""
    number = real_number(value, name)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be finite and positive, got {number}")
    return number


def check_tolerance(value: Any, name: str) -> float:
    """Return ``value`` as a float that is finite and not negative."""
    number = real_number(value, name)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be finite and not negative, got {number}")
    return number


def check_option(value: Any, options: tuple[str, ...], name: str) -> str:
    """Return ``value`` if it is one of ``options``."""
    if not (isinstance(value, str) and value in options):  # an array compared with a text is an array
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")
    return str(value)
