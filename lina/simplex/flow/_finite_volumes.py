"""The semi-discrete flow dp/dt = -div flux(p) on a grid, and implicit equations p + tau div flux(p) = q."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import solve_banded
from scipy.sparse import coo_array
from scipy.sparse.linalg import LinearOperator, gmres, splu

from lina.simplex.flow._domain import Grid
from lina.simplex.flow._fluxes import Flux, scharfetter_gummel, upwind
from lina.simplex.flow._on_grid import GridEnergy

_MAX_NEWTON = 40
_TINY = 1e-300

Solve = Callable[[np.ndarray], np.ndarray]


class Outcome(NamedTuple):
    """The solution of an implicit equation, the fluxes through the faces there, one array an axis, and W * p."""

    p: np.ndarray
    fluxes: list[np.ndarray]
    field: np.ndarray


class FiniteVolumes:
    """The fluxes of an energy on a grid: Scharfetter-Gummel with an entropy, otherwise mean and upwind densities."""

    def __init__(self, energy: Any, grid: Grid) -> None:
        self.grid, self.energy = grid, GridEnergy(energy, grid)
        self.linear = not (self.energy.interacts or self.energy.internals)
        self._solvers: dict[float, Solve] = {}
        if self.energy.temperature > 0:
            self._flux: Callable[..., Flux] = scharfetter_gummel(self.energy.temperature)
        else:
            self._flux = upwind

    def fluxes(self, p: np.ndarray, field: np.ndarray) -> list[Flux]:
        """Return the fluxes through the inner faces along each axis, with their derivatives."""
        outer, inner = self.energy.V + field, self.energy.inner(p)
        found = []
        for axis, h in enumerate(self.grid.spacing):
            rises = np.diff(outer, axis=axis), np.diff(inner, axis=axis)
            parts = self._flux(_before(p, axis), _behind(p, axis), *rises)
            found.append(tuple(part / h for part in parts))
        return found  # type: ignore[return-value]

    def divergence(self, fluxes: list[np.ndarray]) -> np.ndarray:
        """Return the divergence in each cell; nothing passes the boundary."""
        total = np.zeros(self.grid.shape)
        for axis, (flux, h) in enumerate(zip(fluxes, self.grid.spacing, strict=True)):
            wall = [(int(i == axis), int(i == axis)) for i in range(flux.ndim)]
            total += np.diff(np.pad(flux, wall), axis=axis) / h
        return total

    def dissipation(self, p: np.ndarray, fluxes: list[np.ndarray], field: np.ndarray) -> float:
        """Return -dF/dt, the sum of the fluxes times the fall of the first variation, given the convolution."""
        xi = self.energy.variation(np.maximum(p, _TINY), field)
        falls = (-np.diff(xi, axis=axis) for axis in range(p.ndim))
        shares = zip(fluxes, falls, self.grid.spacing, strict=True)
        return sum(float(np.sum(flux * fall)) / h for flux, fall, h in shares) * self.grid.volume

    def explicit(self, p: np.ndarray) -> Outcome:
        """Return the density ``p`` with its fluxes."""
        field = self.energy.convolved(p)
        return Outcome(p, [each[0] for each in self.fluxes(p, field)], field)

    def implicit(self, q: np.ndarray, guess: np.ndarray, tau: float, past: np.ndarray | None = None) -> Outcome | None:
        """Return p with p + tau div flux(p) = q by Newton's method; None where it does not converge.

        With ``past`` the interaction is taken half way between it and p: then implicit Euler lowers the energy
        whatever W is.
        """
        share = 1.0 if past is None else 0.5
        p, last = guess, np.inf
        for _ in range(_MAX_NEWTON):
            parts = self.fluxes(p, self.energy.convolved(p if past is None else (p + past) / 2))
            residual = p - q + tau * self.divergence([each[0] for each in parts])
            try:
                step = self._newton_step(p, parts, tau, share, residual)
            except (np.linalg.LinAlgError, ValueError, RuntimeError):  # singular or not finite: a shorter step may do
                return None
            if step is None or not np.all(np.isfinite(step)):
                return None
            p, size = p - step, float(np.max(np.abs(step)))
            scale = float(np.max(np.abs(p)))
            # converged, or at the rounding of the residual; linear equations, too, want a second step where the first
            # guess is so far off that its residual takes digits from the mass
            if size <= 1e-13 * scale or (size <= 1e-10 * scale and size > last / 4):
                field = self.energy.convolved(p if past is None else (p + past) / 2)
                return Outcome(p, [each[0] for each in self.fluxes(p, field)], field)
            last = size
        return None

    def _newton_step(
        self, p: np.ndarray, parts: list[Flux], tau: float, share: float, residual: np.ndarray
    ) -> np.ndarray | None:
        solve = self._solvers.get(tau) if self.linear else None
        if solve is None:
            solve = self._local_solver(p, parts, tau)
            if self.linear:
                self._solvers[tau] = solve
        if not self.energy.interacts:
            return solve(residual)
        return self._with_interaction(p, parts, tau * share, residual, tau, solve)

    def _with_interaction(
        self, p: np.ndarray, parts: list[Flux], weight: float, residual: np.ndarray, tau: float, solve: Solve
    ) -> np.ndarray | None:
        """Solve with the derivative of the convolution, by GMRES preconditioned with all the rest."""
        slope = self.energy.inner_slope(p)
        shape, size = p.shape, p.size

        def product(vector: np.ndarray) -> np.ndarray:
            v = vector.reshape(shape)
            outer, inner = weight * self.energy.convolved(v), tau * slope * v
            changes = []
            for axis, (_, by_a, by_b, by_outer, by_inner) in enumerate(parts):
                ends = tau * (by_a * _before(v, axis) + by_b * _behind(v, axis))
                changes.append(ends + by_outer * np.diff(outer, axis=axis) + by_inner * np.diff(inner, axis=axis))
            return (v + self.divergence(changes)).ravel()

        operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
        inverse = LinearOperator((size, size), matvec=lambda r: solve(r.reshape(shape)).ravel(), dtype=np.float64)
        step, failed = gmres(operator, residual.ravel(), rtol=1e-9, atol=0.0, restart=50, maxiter=6, M=inverse)
        return None if failed else step.reshape(shape)

    def _local_solver(self, p: np.ndarray, parts: list[Flux], tau: float) -> Solve:
        """Return the solver of the equation without the derivative of the convolution."""
        slope = self.energy.inner_slope(p)
        by_before = [by_a - by_inner * _before(slope, axis) for axis, (_, by_a, _, _, by_inner) in enumerate(parts)]
        by_behind = [by_b + by_inner * _behind(slope, axis) for axis, (_, _, by_b, _, by_inner) in enumerate(parts)]
        factors = [tau / h for h in self.grid.spacing]
        if self.grid.line:
            return _tridiagonal(by_before[0] * factors[0], by_behind[0] * factors[0])
        left = np.concatenate([(each * c).ravel() for each, c in zip(by_before, factors, strict=True)])
        right = np.concatenate([(each * c).ravel() for each, c in zip(by_behind, factors, strict=True)])
        before, behind = self._faces
        cells = np.arange(p.size)
        rows = np.concatenate([cells, before, before, behind, behind])
        columns = np.concatenate([cells, before, behind, before, behind])
        entries = np.concatenate([np.ones(p.size), left, right, -left, -right])
        matrix = coo_array((entries, (rows, columns)), shape=(p.size, p.size)).tocsc()
        # pivots on the diagonal: of a column-dominant matrix with negative off-diagonals, positive stays positive
        options = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
        factored = splu(matrix, **options)
        return lambda r: factored.solve(r.ravel()).reshape(p.shape)

    @cached_property
    def _faces(self) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the cells before and behind each inner face, axis after axis."""
        number = np.arange(np.prod(self.grid.shape)).reshape(self.grid.shape)
        before = [_before(number, axis).ravel() for axis in range(number.ndim)]
        behind = [_behind(number, axis).ravel() for axis in range(number.ndim)]
        return np.concatenate(before), np.concatenate(behind)


def _tridiagonal(left: np.ndarray, right: np.ndarray) -> Solve:
    """Return the solver of I + the divergence of left * before + right * behind on a line."""
    bands = np.zeros((3, len(left) + 1))
    bands[1] = 1.0
    bands[1, :-1] += left
    bands[1, 1:] -= right
    bands[0, 1:] = right
    bands[2, :-1] = -left
    return lambda r: solve_banded((1, 1), bands, r)


def _before(p: np.ndarray, axis: int) -> np.ndarray:
    """Return the cells before the inner faces along ``axis``."""
    return p[(slice(None),) * axis + (slice(None, -1),)]


def _behind(p: np.ndarray, axis: int) -> np.ndarray:
    """Return the cells behind the inner faces along ``axis``."""
    return p[(slice(None),) * axis + (slice(1, None),)]
