"""Energies and densities that several tests share."""

import numpy as np

from lina.simplex.flow import Entropy, Interaction, Potential

HARMONIC = Potential(lambda x: x**2 / 2, gradient=lambda x: x, laplacian=np.ones_like)
HARMONIC_IN_SPACE = Potential(lambda x: (x**2).sum(-1) / 2, gradient=lambda x: x)
OU = Entropy() + HARMONIC
QUADRATIC = Interaction(lambda z: z**2 / 2, gradient=lambda z: z, laplacian=np.ones_like)
NEWTONIAN = Interaction(abs, gradient=np.sign, laplacian=np.zeros_like)
LOG_GAS = Interaction(lambda z: z**2 / 2 - np.log(abs(z)), lambda z: z - 1 / z, lambda z: 1 + 1 / z**2)
DOUBLE_WELL = Potential(lambda x: x**4 / 4 - x**2)


def line(n, lower, upper):
    """Return the centres of n cells and their length."""
    h = (upper - lower) / n
    return lower + h * (np.arange(n) + 0.5), h


def moments(x, density, h):
    """Return the mass, mean and variance of a density on a line."""
    mass = h * density.sum()
    mean = h * (x * density).sum() / mass
    return mass, mean, h * ((x - mean) ** 2 * density).sum() / mass


def falls(energy):
    """Whether an energy never rises by more than rounding."""
    return bool(np.all(np.diff(energy) <= 1e-14 * np.max(np.abs(energy))))
