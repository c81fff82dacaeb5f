"""Mass fluxes through a face between two cells, and their derivatives.

Each function takes the densities ``a`` and ``b`` before and behind the face, and the rises from one to the other of the
outer part of the first variation (potential and interaction) and of its inner part (internal energy). It returns the
flux times the spacing with its derivatives by these four. All go down the whole variation, vanish where it is level,
and take nothing from an empty cell: so the energy falls and the density stays positive. All rise with ``a`` and fall
with ``b``, so implicit steps can be solved.
"""

from collections.abc import Callable

import numpy as np

Flux = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def scharfetter_gummel(temperature: float) -> Callable[..., Flux]:
    """Return the flux of linear diffusion with drift: that of the stationary state between the two centres."""

    def flux(a: np.ndarray, b: np.ndarray, outer: np.ndarray, inner: np.ndarray) -> Flux:
        with np.errstate(over="ignore", invalid="ignore"):  # a solver refuses what is not finite
            z = (outer + inner) / temperature
            down, up = temperature * bernoulli(z), temperature * bernoulli(-z)
            by_drift = bernoulli_slope(z) * a + bernoulli_slope(-z) * b
            return down * a - up * b, down, -up, by_drift, by_drift

    return flux


def upwind(a: np.ndarray, b: np.ndarray, outer: np.ndarray, inner: np.ndarray) -> Flux:
    """Return the flux of drift and nonlinear diffusion: upwind density for the former, mean density for the latter.

    Where the two work against each other, the stronger one takes its density for what is left of it.
    """
    rise = outer + inner
    agree = inner * rise > 0
    whole = agree & (np.abs(inner) > np.abs(rise))  # diffusion wins against the drift
    diffusive = np.where(agree, np.where(whole, rise, inner), 0.0)
    donor, average = np.maximum(np.where(rise < 0, a, b), 0), np.maximum((a + b) / 2, 0)
    flux = -average * diffusive - donor * (rise - diffusive)
    drift = rise - diffusive
    by_a = -diffusive / 2 - np.where(rise < 0, drift, 0.0)
    by_b = -diffusive / 2 - np.where(rise < 0, 0.0, drift)
    return flux, by_a, by_b, -np.where(whole, average, donor), -np.where(agree, average, donor)


def bernoulli(z: np.ndarray) -> np.ndarray:
    """Return z / (exp(z) - 1): -z far below 0, and some 1e-300 far above."""
    safe = np.where(z == 0, 1.0, z)
    return np.where(z == 0, 1.0, safe / np.expm1(np.minimum(safe, 700.0)))


def bernoulli_slope(z: np.ndarray) -> np.ndarray:
    """Return the derivative of z / (exp(z) - 1)."""
    small = np.abs(z) < 1e-3
    safe = np.where(small, 1.0, z)
    return np.where(small, z / 6 - 0.5, bernoulli(safe) * (1 - bernoulli(-safe)) / safe)
