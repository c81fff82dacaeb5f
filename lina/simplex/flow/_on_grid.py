"""An energy on a grid: its value and first variation, with cell averages of the interaction kernel."""

from typing import Any

import numpy as np
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.special import xlogy

from lina.simplex.flow._domain import Grid

# Gauss points an axis for the average of W over a cell, and over the cell in which it may be infinite.
_POINTS, _POINTS_AT_ZERO = 3, 24


class GridEnergy:
    """The energy of the cell averages of a density.

    ``energy`` has the lists ``diffusions``, ``internals``, ``potentials`` and ``interactions``.
    """

    def __init__(self, energy: Any, grid: Grid) -> None:
        self.grid, self.temperature = grid, energy.temperature
        self.diffusions, self.internals = energy.diffusions, energy.internals
        self.V = np.zeros(grid.shape)
        for term in energy.potentials:
            self.V = self.V + term.weight * term.field.value_at(grid.points, grid.line)
        self._kernel = _transformed(energy.interactions, grid)

    @property
    def interacts(self) -> bool:
        """Whether there is an interaction."""
        return self._kernel is not None

    def convolved(self, p: np.ndarray) -> np.ndarray:
        """Return W * p in the cell centres."""
        if self._kernel is None:
            return np.zeros(self.grid.shape)
        fft_shape = tuple(next_fast_len(3 * n, real=True) for n in p.shape)
        whole = irfftn(rfftn(p, fft_shape) * self._kernel, fft_shape)
        inside: np.ndarray = whole[tuple(slice(n - 1, 2 * n - 1) for n in p.shape)]
        return inside

    def inner(self, p: np.ndarray) -> np.ndarray:
        """Return the first variation of the internal energies."""
        total = np.zeros(p.shape)
        for term in self.internals:
            total = total + term.variation(p)
        return total

    def inner_slope(self, p: np.ndarray) -> np.ndarray:
        """Return the derivative of ``inner`` by the density of the same cell."""
        total = np.zeros(p.shape)
        for term in self.internals:
            total = total + term.variation_slope(p)
        return total

    def variation(self, p: np.ndarray, field: np.ndarray | None = None) -> np.ndarray:
        """Return dF/dp, with the convolution ``field`` unless it shall be that of ``p``."""
        xi = self.V + (self.convolved(p) if field is None else field) + self.inner(p)
        if self.temperature:
            with np.errstate(divide="ignore"):
                xi = xi + self.temperature * (np.log(p) + 1)
        return xi

    def value(self, p: np.ndarray) -> float:
        """Return F[p]."""
        return float(np.sum(self._integrand(p))) * self.grid.volume

    def rounding(self, p: np.ndarray) -> float:
        """Return by how much rounding may change the value."""
        return 2.0**-50 * float(np.sum(np.abs(self._integrand(p)))) * self.grid.volume

    def _integrand(self, p: np.ndarray) -> np.ndarray:
        energy = self.temperature * xlogy(p, p) + p * (self.V + self.convolved(p) / 2)
        for term in self.internals:
            energy = energy + p * term.per_mass(np, p)
        return energy


def _transformed(interactions: list[Any], grid: Grid) -> np.ndarray | None:
    """Return the Fourier transform of W averaged over cells, times their volume."""
    if not interactions:
        return None
    kernel = sum(term.weight * _cell_averages(term.field, grid) for term in interactions) * grid.volume
    asymmetry = np.max(np.abs(kernel - np.flip(kernel)))
    if asymmetry > 1e-8 * np.max(np.abs(kernel)):
        raise ValueError(f"W must be even, got W(z) and W(-z) that differ by {asymmetry / grid.volume:.3g}")
    fft_shape = tuple(next_fast_len(3 * n, real=True) for n in grid.shape)
    transformed: np.ndarray = rfftn((kernel + np.flip(kernel)) / 2, fft_shape)
    return transformed


def _cell_averages(field: Any, grid: Grid) -> np.ndarray:
    """Return the average of W over the cell around each offset; where it is infinite at 0 it may have an integral."""
    offsets = grid.offsets.reshape(-1, len(grid.shape))
    middle = len(offsets) // 2
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    others = _averages(field, np.delete(offsets, middle, axis=0), grid, nodes, weights)
    t, w = np.polynomial.legendre.leggauss(_POINTS_AT_ZERO)
    t, w = (t + 1) / 2, w / 2
    # graded towards 0 from both sides, by u = t^3
    nodes, weights = np.concatenate([-(t**3), t**3]), np.concatenate([3 * t**2 * w, 3 * t**2 * w])
    at_zero = _averages(field, np.zeros((1, len(grid.shape))), grid, nodes, weights)
    return np.insert(others, middle, at_zero).reshape(grid.offsets.shape[:-1])


def _averages(field: Any, offsets: np.ndarray, grid: Grid, nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the averages over cells around ``offsets`` (k, d) by the product of a rule on [-1, 1]."""
    total = np.zeros(len(offsets))
    for index in np.ndindex(*(len(nodes),) * len(grid.shape)):
        shift = nodes[list(index)] * grid.spacing / 2
        total += np.prod(weights[list(index)] / 2) * field.value_at(offsets + shift, grid.line)
    return total
