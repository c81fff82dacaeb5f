"""The measures: which there are, how their coefficients are scaled, and the numbers that their matrices share."""

import math
from typing import Any

import numpy as np

from lina._core.array import refuse_gradient
from lina._core.checks import check_count, check_option, real_number

MEASURES = ("legs", "legt", "lagt", "glagt", "fout", "foud", "fourier_legs")
SCALINGS = ("paper", "orthonormal", "lmu")
LEGENDRE = ("legs", "legt")


def check_measure(measure: Any, allowed: tuple[str, ...] = MEASURES) -> str:
    """Return ``measure`` if it is one of ``allowed``."""
    return check_option(measure, allowed, "measure")


def check_namespace(xp: Any) -> None:
    """Raise TypeError unless ``xp`` makes arrays: the name of a library does not."""
    if not hasattr(xp, "asarray"):
        raise TypeError(f"xp must be a namespace of arrays such as numpy or torch itself, got {xp!r}")


def check_order(N: Any, smallest: int = 1, name: str = "N") -> int:
    """Return ``N`` as an int of at least ``smallest``."""
    value = check_count(N, name, smallest)
    if value >= 2**53:
        raise ValueError(f"{name} must be below 2^53, got {value}")
    return value


def check_number(value: Any, name: str) -> float:
    """Return ``value`` as a finite float; a tensor whose gradient would be lost is refused."""
    number = _number(value, name)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


def check_positive(value: Any, name: str) -> float:
    """Return ``value`` as a float that is finite and above 0, otherwise as `check_number`."""
    number = _number(value, name)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be finite and positive, got {number}")
    return number


def _number(value: Any, name: str) -> float:
    refuse_gradient("A measure", **{name: value})
    return real_number(value, name)


def check_scaling(scaling: Any, measure: str) -> str:
    """Return ``scaling``; the LMU's exists for the Legendre measures only."""
    check_option(scaling, SCALINGS, "scaling")
    if scaling == "lmu" and measure not in LEGENDRE:
        raise ValueError(f"scaling must be 'paper' or 'orthonormal' for the measure {measure!r}, got 'lmu'")
    return str(scaling)


def check_laguerre(alpha: Any, beta: Any) -> tuple[float, float]:
    """Return the parameters of the generalised Laguerre measure, for which it can be normalised."""
    beta = check_positive(beta, "beta")
    alpha = check_number(alpha, "alpha")
    if not -1 < alpha < 1:
        raise ValueError(f"alpha must be in (-1, 1), got {alpha}")
    return alpha, beta


def roots(N: int) -> np.ndarray:
    """Return sqrt(2n + 1), the norms of the Legendre polynomials and B of LegS in the paper's scaling."""
    return np.sqrt(2 * np.arange(N) + 1.0)


def edge_values(N: int) -> np.ndarray:
    """Return the values 1, sqrt2, 0, sqrt2, 0, ... of the real Fourier basis at both edges of its window.

    A frequency takes two functions: with even N the last coefficient has none, and nothing reaches it.
    """
    b = np.zeros(N)
    b[0], b[1 : N - 1 : 2] = 1.0, math.sqrt(2)
    return b


def scale_factors(measure: str, N: int, scaling: str) -> np.ndarray:
    """Return the factors by which the coefficients of a scaling exceed those of the paper's."""
    if scaling == "paper" or measure in ("lagt", "glagt"):
        return np.ones(N)
    if scaling == "orthonormal":
        return np.full(N, math.sqrt(2))
    return roots(N) * (1 if measure == "legs" else (-1.0) ** np.arange(N))
