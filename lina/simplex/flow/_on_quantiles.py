"""An energy of a quantile function: its value, gradient and second derivative by the quantiles."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from lina.simplex.flow._result import node_weights

# The distance at which quantiles that coincide are taken to be: its square is a number still.
_NO_DISTANCE = 1e-150


class QuantileEnergy:
    """The energy of masses between neighbouring quantiles, spread evenly, as a function of the quantiles x (n,).

    Potential and interaction take the masses in the quantiles (trapezoidal rule), a quantile leaves itself out.
    """

    def __init__(self, energy: Any, levels: np.ndarray) -> None:
        self.energy, self.cells = energy, np.diff(levels)
        self.weights = node_weights(levels)
        self.diffusive = bool(energy.diffusions)
        self.interacts = bool(energy.interactions)

    def value(self, x: np.ndarray) -> float:
        """Return F."""
        return float(sum(np.sum(part) for part in self._parts(x)))

    def rounding(self, x: np.ndarray) -> float:
        """Return by how much rounding may change the value."""
        return 2.0**-50 * float(sum(np.sum(np.abs(part)) for part in self._parts(x)))

    def _parts(self, x: np.ndarray) -> list[np.ndarray]:
        """Return what the intervals and the quantiles contribute, an array for each term."""
        gaps, w = np.diff(x), self.weights
        parts = [self.cells * term.per_mass(np, self.cells / gaps) for term in self.energy.diffusions]
        parts += [term.weight * w * term.field.value_at(x[:, None], True) for term in self.energy.potentials]
        for term in self.energy.interactions:
            parts.append(term.weight / 2 * w * (_between(term.field.value_at, x) @ w))
        return parts

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """Return the derivative of F by each quantile."""
        w = self.weights
        total = np.zeros(x.size)
        for term in self.energy.potentials:
            total += term.weight * w * term.field.gradient_at(x[:, None], True)[:, 0]
        for term in self.energy.interactions:
            slopes = _between(lambda z, line, field=term.field: field.gradient_at(z, line)[..., 0], x)
            total += term.weight * w * (slopes @ w)
        if self.diffusive:
            rho = self.cells / np.diff(x)
            pressure = rho**2 * sum(t.per_mass_slope(np, rho) for t in self.energy.diffusions)
            total[:-1] += pressure
            total[1:] -= pressure
        return total

    def diagonals(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the diagonal and the negative of the next one of the second derivative, the interaction apart."""
        diagonal, beside = np.zeros(x.size), np.zeros(x.size - 1)
        for term in self.energy.potentials:
            diagonal += term.weight * self.weights * term.field.laplacian_at(x[:, None], True)
        if self.diffusive:
            rho = self.cells / np.diff(x)
            curved = 0.0
            for t in self.energy.diffusions:
                curved = curved + 2 * t.per_mass_slope(np, rho) + rho * t.per_mass_curvature(np, rho)
            beside = rho**3 * curved / self.cells
            diagonal[:-1] += beside
            diagonal[1:] += beside
        return diagonal, beside

    def interaction_matrix(self, x: np.ndarray) -> np.ndarray:
        """Return the second derivative of the interaction, (n, n)."""
        w = self.weights
        total = np.zeros((x.size, x.size))
        for term in self.energy.interactions:
            total -= term.weight * w[:, None] * _between(term.field.laplacian_at, x) * w
        total[np.diag_indices(x.size)] = -np.sum(total, axis=1)
        return total

    def velocity(self, x: np.ndarray) -> np.ndarray:
        """Return the speeds down the energy; quantiles that meet and push each other move as one."""
        v = -self.gradient(x) / self.weights
        if self.diffusive:
            return v
        for start, stop in _clusters(x):
            v[start:stop] = isotonic_regression(v[start:stop], weights=self.weights[start:stop]).x
        return v


def _between(function: Any, x: np.ndarray) -> np.ndarray:
    """Return the function of all differences (n, n), zero on the diagonal.

    Quantiles that coincide count as being in order: for |z|, the one on the left is pushed to the right.
    """
    z = x[:, None] - x
    number = np.arange(x.size)
    order = np.sign(number[:, None] - number)
    z = np.where(z == 0, _NO_DISTANCE * order, z)
    values: np.ndarray = function(np.where(order == 0, 1.0, z)[..., None], True)
    return np.where(order == 0, 0.0, values)


def _clusters(x: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the ranges of quantiles that coincide."""
    edges = np.flatnonzero(np.diff(x, prepend=-np.inf, append=np.inf) > 0)
    for start, stop in pairwise(edges.tolist()):
        if stop - start > 1:
            yield start, stop
