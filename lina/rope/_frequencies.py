"""Frequencies of every kind of scaling, in float64: theta_i in radians per position, the fastest first.

``dim`` is the number of rotated coordinates, ``s`` the factor by which the context grows, ``length`` the trained one.
"""

import math
from typing import Any

import numpy as np

from lina.rope._checks import check_above, check_frequencies


def rotary_frequencies(dim: int, base: float) -> np.ndarray:
    """Return base^(-2i/dim) for i = 0, ..., dim/2 - 1."""
    return base ** (-np.arange(0, dim, 2) / dim)


def turns(inv_freq: Any, length: Any) -> np.ndarray:
    """Return how many full turns each frequency makes over ``length`` positions.

    A frequency of less than one turn has shown only a part of its circle in training, and is what fails first beyond
    it; one of many turns has seen every angle.

    Parameters
    ----------
    inv_freq : array, shape (d/2,)
        Frequencies in radians per position, for example ``scaling.inv_freq()``.
    length : int or float
        Number of positions.

    Returns
    -------
    turns : numpy array, shape (d/2,), float64
        theta_i length / (2 pi).

    Raises
    ------
    TypeError
        If an argument is not real.
    ValueError
        If ``inv_freq`` has not one axis or is not finite, or ``length`` is not positive.

    Notes
    -----
    Source: the ratio r of B. Peng et al., YaRN, 2023, section 3.2. d/2 products.

    Examples
    --------
    >>> from lina.rope import RotaryScaling, turns
    >>> scaling = RotaryScaling("none", head_dim=8, original_length=4096)
    >>> turns(scaling.inv_freq(), 4096).round(2).tolist()
    [651.9, 65.19, 6.52, 0.65]
    """
    return check_frequencies(inv_freq) * (check_above(length, "length", 0) / (2 * math.pi))


def linear(theta: np.ndarray, s: float) -> np.ndarray:
    """Position interpolation: all frequencies over s (S. Chen et al., 2023)."""
    return theta / s


def ntk(dim: int, base: float, s: float) -> np.ndarray:
    """A larger base, by which the first frequency stays and the last one is theta / s."""
    return rotary_frequencies(dim, ntk_base(dim, base, s))


def ntk_base(dim: int, base: float, s: float) -> float:
    """Return the base of `ntk`, or raise ValueError where it is none."""
    try:
        larger = base * s ** (dim / (dim - 2))
    except OverflowError:
        larger = math.inf
    if not 0 < larger < math.inf:
        raise ValueError(f"factor must leave a finite base, got the scale {s:g} for base {base:g}")
    return larger


def ntk_fixed(theta: np.ndarray, s: float) -> np.ndarray:
    """The digits' base and their modulus both grow by s^(2/dim): frequency i goes over s^(2(i + 1)/dim)."""
    return ntk_mixed(theta, s, 1.0)


def ntk_mixed(theta: np.ndarray, s: float, exponent: float) -> np.ndarray:
    """Frequency i over exp(a (i + 1)^b) with a (dim/2)^b = ln s: b = 1 is `ntk_fixed`, b = 0 is `linear`."""
    share = (np.arange(1, theta.size + 1) / theta.size) ** exponent
    return theta * s**-share


def dynamic(dim: int, base: float, s: float, length: int, seen: int) -> np.ndarray:
    """`ntk` with s seen / length - (s - 1), which is 1 up to the trained length, as transformers has it."""
    return ntk(dim, base, 1 + s * (max(seen, length) - length) / length)  # the difference itself loses digits of s


def by_parts(theta: np.ndarray, s: float, kept: np.ndarray) -> np.ndarray:
    """Keep a share of each frequency and interpolate the rest: (kept + (1 - kept) / s) theta."""
    return theta * kept + theta / s * (1 - kept)


def ramp_of_turns(theta: np.ndarray, length: int, slow: float, fast: float) -> np.ndarray:
    """Share kept, linear in the number of turns: 0 up to ``slow`` turns, 1 from ``fast`` on (YaRN as published)."""
    return np.clip((turns(theta, length) - slow) / (fast - slow), 0, 1)


def ramp_of_dims(dim: int, base: float, length: int, slow: float, fast: float, truncate: bool) -> np.ndarray:
    """Share kept, linear in the index of the frequency between those of ``fast`` and ``slow`` turns (YaRN as coded)."""
    low, high = ramp_ends(dim, base, length, slow, fast, truncate)
    return 1 - np.clip((np.arange(dim // 2) - low) / (high - low), 0, 1)


def ramp_ends(dim: int, base: float, length: int, slow: float, fast: float, truncate: bool) -> tuple[float, float]:
    """Return the indices between which the ramp falls; the upper one is held below dim, as transformers holds it."""
    low, high = (dim * math.log(length / (r * 2 * math.pi)) / (2 * math.log(base)) for r in (fast, slow))
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    if high < low:  # as coded everywhere it would turn round and interpolate the wrong end
        found = f"{slow:g} and {fast:g} turns in {length} positions"
        raise ValueError(f"ramp must be 'turns' where no index lies between its ends, got 'dims' for {found}")
    return low, high + 0.001 if low == high else high
