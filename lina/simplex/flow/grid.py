"""Gradient flows on grids: implicit finite volumes that keep mass, sign and the fall of the energy."""

from typing import Any

import numpy as np

from lina._core.array import from_numpy
from lina.simplex.flow._domain import density_on
from lina.simplex.flow._finite_volumes import FiniteVolumes
from lina.simplex.flow._limiter import limited
from lina.simplex.flow._result import GridFlow
from lina.simplex.flow._stepper import Row, Step, Stepper, columns
from lina.simplex.flow._times import EXTRAPOLATION, GAMMA, check_order, check_step, check_times
from lina.simplex.flow.energies import Energy, check_energy, check_powers

# What rounding may take from the mass in one step; more means that the solver has failed.
_MASS_ROUNDING = 1e-10


def grid_flow(
    energy: Energy, density: Any, times: Any, *, domain: Any, step: float | None = None, order: int = 2
) -> GridFlow:
    """Follow the Wasserstein gradient flow of a density on a grid by implicit finite volumes.

    The density stays non-negative and keeps its mass, and the energy never rises, for steps of any length.

    Parameters
    ----------
    energy : Energy
        A sum of `Entropy`, `Internal`, `Potential` and `Interaction`.
    density : array_like, shape (n,) or (m, n)
        Averages over equal cells at the first time, not negative, of any positive mass.
    times : array_like, shape (k,)
        Increasing; the first is that of ``density``.
    domain : pair of float, or two pairs
        The box, (lower, upper) along each axis; no mass passes its boundary.
    step : float, optional
        The longest step in time. Default: a hundredth of the time from the first of ``times`` to the one that comes
        next, so that steps are longer towards later ones.
    order : {1, 2}
        Of the steps in time. 2: two implicit stages, with their fluxes limited where they would make the density
        negative or the energy rise. 1: implicit Euler.

    Returns
    -------
    GridFlow
        ``density`` of shape (k, n) or (k, m, n), with energy, dissipation and the energy-dissipation defect, which
        is never positive for order 1.

    Raises
    ------
    TypeError
        If ``energy`` is no energy, ``density`` no dense real array, or ``times`` or ``step`` no numbers.
    ValueError
        If ``density`` is negative, not finite, without mass, not 1-D or 2-D, traced or lazy; ``times`` not increasing;
        ``domain`` no box of its dimension; ``step`` not positive; or a potential not finite on the grid.

    OverflowError
        If a power of the density by an `Internal` leaves the range of float64.

    Notes
    -----
    Fluxes: with an entropy those of Scharfetter and Gummel, for which exp(-V) on the grid is exactly stationary, and
    which for small weights are upwind ones; without one the variation is taken downhill with the mean of the densities
    at the face where there is an internal energy, and with the upwind one otherwise (first order in space). All vanish
    with the difference of the variation and never empty a cell below zero. Implicit Euler, with the interaction half
    way between the old and the new density, then lowers the energy for every convex internal energy and every V and W.

    The steps of order 2 are the L-stable two-stage singly diagonally implicit Runge-Kutta method. No linear method of
    order 2 keeps every density positive; so where a step makes a density negative, its fluxes are mixed face by face
    with those of an Euler step, as little as is needed, and where the energy rises everywhere by the same share. The
    order is that for smooth densities; kinks at the start lower it, and the defect shows it.

    Rounding of the solves is taken out of the mass at each step by a factor within 1e-10 of 1. Newton's method that
    does not converge halves the step; after 12 halvings the flow ends with status "stopped" and what was reached.

    Cost per solve: O(n) on a line; a sparse factorisation on a plane, once and for all without interaction and internal
    energy. An interaction takes some dozen FFTs in GMRES. Everything is computed in float64 with numpy; results return
    in the library and dtype of ``density``.

    References
    ----------
    Scharfetter, Gummel, IEEE Trans. Electron Devices 16 (1969) 64; Bailo, Carrillo, Hu, Commun. Math. Sci. 18 (2020)
    1259 (fully discrete energy decay); Zalesak, J. Comput. Phys. 31 (1979) 335 (limiting of fluxes); Alexander, SIAM J.
    Numer. Anal. 14 (1977) 1006 (time steps); Bolley, Crouzeix, RAIRO Anal. Numer. 12 (1978) 237 (the barrier).

    Examples
    --------
    An Ornstein-Uhlenbeck process goes to the standard normal distribution, whose variance is 1:

    >>> import numpy as np
    >>> from lina.simplex.flow import Entropy, Potential, grid_flow
    >>> x = np.linspace(-8, 8, 201)[:-1] + 0.04
    >>> start = np.exp(-((x - 2) ** 2) / 0.5) / np.sqrt(0.5 * np.pi)
    >>> flow = grid_flow(Entropy() + Potential(lambda x: x**2 / 2), start, [0, 1, 40], domain=(-8, 8))
    >>> bool(abs(0.08 * np.sum(x**2 * flow.density[-1]) - 1) < 1e-12), flow.mass_error < 1e-14
    (True, True)
    """
    check_energy(energy)
    p, grid, like = density_on(density, domain)
    check_powers(energy, float(np.max(p)))
    at, order = check_times(times), check_order(order)
    stepper = _GridStepper(FiniteVolumes(energy, grid), p, order)
    rows, status = stepper.run(at, check_step(step))
    density = from_numpy(np.stack([row.state for row in rows]), like)
    facts = {"steps": stepper.steps, "status": status, "method": f"finite volumes, order {order}", **columns(rows)}
    return GridFlow(times=at[: len(rows)], density=density, centres=grid.centres, **facts)


class _GridStepper(Stepper):
    """A density on a grid."""

    def __init__(self, volumes: FiniteVolumes, p: np.ndarray, order: int) -> None:
        self.volumes, self.total = volumes, float(np.sum(p))
        self.rounding = volumes.energy.rounding(p)
        super().__init__(p, order)

    def energy_of(self, state: np.ndarray) -> float:
        """Return F."""
        return self.volumes.energy.value(state)

    def row(self, defect: float) -> Row:
        """Return what is known now."""
        p = self.state
        dissipation = self.volumes.dissipation(*self.volumes.explicit(p))
        return Row(p, self.energy, dissipation, defect, float(np.sum(p)) * self.volumes.grid.volume)

    def first_order(self, dt: float) -> Step | None:
        """Return an implicit Euler step with the interaction half way."""
        found = self.volumes.implicit(self.state, self.state, dt, past=self.state)
        return None if found is None else self._checked(found.p, dt * self.volumes.dissipation(*found))

    def second_order(self, dt: float) -> Step | None:
        """Return two implicit stages, or their mixture with an Euler step where they fail to keep sign and energy."""
        first = self.volumes.implicit(self.state, self.state, GAMMA * dt)
        if first is None:
            return None
        reference = self.state + EXTRAPOLATION * (first.p - self.state)
        second = self.volumes.implicit(reference, first.p, GAMMA * dt)
        if second is None:
            return None
        parts = [(1 - GAMMA) * self.volumes.dissipation(*first), GAMMA * self.volumes.dissipation(*second)]
        dissipated = dt * sum(parts)
        if np.min(second.p) >= 0:
            step = self._checked(second.p, dissipated)
            if step is not None and self._falls(step.state):
                return step
        fluxes = [(1 - GAMMA) * f + GAMMA * g for f, g in zip(first.fluxes, second.fluxes, strict=True)]
        return self._mixed(fluxes, dissipated, dt)

    def _mixed(self, fluxes: list[np.ndarray], dissipated: float, dt: float) -> Step | None:
        """Return the Euler step plus as much of the difference to ``fluxes`` as sign and energy allow."""
        euler = self.volumes.implicit(self.state, self.state, dt, past=self.state)
        safe = None if euler is None else self._checked(euler.p, dt * self.volumes.dissipation(*euler))
        if euler is None or safe is None:
            return None
        correction = [dt * (f - g) for f, g in zip(fluxes, euler.fluxes, strict=True)]
        change = self.volumes.divergence(limited(safe.state, correction, self.volumes.grid.spacing))
        for share in (1.0, 0.5, 0.25, 0.125):
            mixed = self._checked(safe.state - share * change, share * dissipated + (1 - share) * safe.dissipated)
            if mixed is not None and self._falls(mixed.state):
                return mixed
        return safe

    def _checked(self, p: np.ndarray, dissipated: float) -> Step | None:
        """Return the step with rounding taken out of sign and mass; None where it is more than rounding."""
        p = np.maximum(p, 0.0)
        factor = self.total / float(np.sum(p))
        return Step(p * factor, dissipated) if abs(factor - 1) < _MASS_ROUNDING else None

    def _falls(self, p: np.ndarray) -> bool:
        return self.energy_of(p) <= self.energy + self.rounding
