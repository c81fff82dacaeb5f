"""Gradient flows on the line by quantiles, in which the Wasserstein distance is the one of L2."""

from typing import Any

import numpy as np

from lina._core.array import check_finite, dtype_name, from_numpy, is_lazy, open_door, to_numpy
from lina.simplex.flow._gradient_check import check_gradients
from lina.simplex.flow._jko import jko_step
from lina.simplex.flow._on_quantiles import QuantileEnergy
from lina.simplex.flow._result import QuantileFlow
from lina.simplex.flow._stepper import Row, Step, Stepper, columns
from lina.simplex.flow._times import EXTRAPOLATION, GAMMA, check_order, check_step, check_times
from lina.simplex.flow.energies import Energy, check_energy, check_powers


def quantile_flow(
    energy: Energy, quantiles: Any, times: Any, *, levels: Any = None, step: float | None = None, order: int = 2
) -> QuantileFlow:
    """Follow the Wasserstein gradient flow of a density on the line by its quantiles, with JKO steps.

    The mesh moves with the mass: supports grow and shrink with it, concentration is followed to the end, and there is
    no box.

    Parameters
    ----------
    energy : Energy
        A sum of `Entropy`, `Internal`, `Potential` and `Interaction`.
    quantiles : array_like, shape (n,)
        The quantile function of the initial density in ``levels``, both ends of its support included, so finite.
        Strictly increasing where the energy has an entropy or internal energy, else increasing.
    times : array_like, shape (k,)
        Increasing; the first is that of ``quantiles``.
    levels : array_like, shape (n,), optional
        The masses to the left of ``quantiles``, strictly increasing; the total mass is their range. Default: equal
        steps from 0 to 1. Levels that crowd at the ends resolve tails and free boundaries.
    step : float, optional
        The longest step in time. Default: a hundredth of the time from the first of ``times`` to the one that comes
        next, so that steps are longer towards later ones.
    order : {1, 2}
        Of the steps in time. 1: the minimising movement of Jordan, Kinderlehrer and Otto. 2: two such minimisations,
        the second from an extrapolated reference; where the energy would rise, mixed with the former.

    Returns
    -------
    QuantileFlow
        ``quantiles`` of shape (k, n), ``density`` between them, energy, dissipation and energy-dissipation defect.

    Raises
    ------
    TypeError
        If ``energy`` is no energy, ``quantiles`` no dense real array, or ``times`` or ``step`` no numbers.
    ValueError
        If ``quantiles`` or ``levels`` are not finite, not increasing, fewer than two, traced or lazy, or of different
        lengths; ``times`` not increasing; ``step`` not positive; or a potential not finite.

    OverflowError
        If a power of the density by an `Internal` leaves the range of float64.

    Notes
    -----
    The mass between two quantiles is spread evenly; potential and interaction are summed over the quantiles by the
    trapezoidal rule. In this discretisation virials hold exactly: the second moments of a heat flow, an
    Ornstein-Uhlenbeck process and a porous medium follow their laws up to the error of the time steps. Mass is
    conserved by construction, the energy never rises, and without a diffusion quantiles that meet stay together
    (the minimisation is then over the cone of increasing functions, by isotonic regression).

    Steps of order 2 are the L-stable two-stage singly diagonally implicit Runge-Kutta method; each stage is a JKO
    problem. Their order is that for smooth densities: ends at which the density jumps move like the root of time, and
    lower it. A step whose Newton iteration fails is halved; after 12 halvings the flow ends with status "stopped".

    Cost per Newton iteration, of which a stage takes two to five: O(n); with an interaction O(n^2) values of W and
    n^3 / 3 flops. Everything is computed in float64 with numpy; results return in the library and dtype of
    ``quantiles``.

    References
    ----------
    Jordan, Kinderlehrer, Otto, SIAM J. Math. Anal. 29 (1998) 1; Blanchet, Calvez, Carrillo, SIAM J. Numer. Anal. 46
    (2008) 691 (quantiles); Alexander, SIAM J. Numer. Anal. 14 (1977) 1006 (time steps).

    Examples
    --------
    One JKO step in the potential x^2 / 2 divides all places by 1 + step:

    >>> import numpy as np
    >>> from lina.simplex.flow import Potential, quantile_flow
    >>> V = Potential(lambda x: x**2 / 2, gradient=lambda x: x, laplacian=np.ones_like)
    >>> flow = quantile_flow(V, [1.0, 2.0, 3.0], [0, 0.25], step=0.25, order=1)
    >>> flow.quantiles[-1].round(12)
    array([0.8, 1.6, 2.4])
    """
    check_energy(energy)
    x, like = _check_quantiles(quantiles)
    at, order = check_times(times), check_order(order)
    s = _check_levels(levels, x.size)
    model = QuantileEnergy(energy, s)
    least = np.min(np.diff(x))
    if least < 0 or (model.diffusive and least == 0):
        wanted = "strictly increasing" if model.diffusive else "increasing"
        raise ValueError(f"quantiles must be {wanted}, got a smallest difference of {least:.3g}")
    if model.diffusive:
        check_powers(energy, float(np.max(model.cells / np.diff(x))))
    check_gradients(energy, x[:, None], line=True)
    stepper = _QuantileStepper(model, x, order)
    rows, status = stepper.run(at, check_step(step))
    moved = from_numpy(np.stack([row.state for row in rows]), like)
    facts = {"steps": stepper.steps, "status": status, "method": f"quantiles, order {order}", **columns(rows)}
    return QuantileFlow(times=at[: len(rows)], quantiles=moved, levels=s, **facts)


class _QuantileStepper(Stepper):
    """A quantile function."""

    def __init__(self, model: QuantileEnergy, x: np.ndarray, order: int) -> None:
        self.model = model
        super().__init__(x, order)

    def energy_of(self, state: np.ndarray) -> float:
        """Return F."""
        return self.model.value(state)

    def row(self, defect: float) -> Row:
        """Return what is known now."""
        dissipation = float(self.model.weights @ self.model.velocity(self.state) ** 2)
        return Row(self.state, self.energy, dissipation, defect, float(np.sum(self.model.cells)))

    def first_order(self, dt: float) -> Step | None:
        """Return the JKO step."""
        x = jko_step(self.model, self.state, self.state, dt)
        return None if x is None else Step(x, dt * self._speed(x - self.state, dt))

    def second_order(self, dt: float) -> Step | None:
        """Return two JKO steps, the second from an extrapolated reference, mixed with one where the energy rises."""
        first = jko_step(self.model, self.state, self.state, GAMMA * dt)
        if first is None:
            return None
        reference = self.state + EXTRAPOLATION * (first - self.state)
        second = jko_step(self.model, reference, first, GAMMA * dt)
        if second is None:
            return None
        speeds = self._speed(first - self.state, GAMMA * dt), self._speed(second - reference, GAMMA * dt)
        dissipated = dt * ((1 - GAMMA) * speeds[0] + GAMMA * speeds[1])
        if self._falls(second):
            return Step(second, dissipated)
        safe = self.first_order(dt)
        if safe is None:
            return None
        for share in (0.5, 0.25, 0.125):
            mixed = safe.state + share * (second - safe.state)
            if self._falls(mixed):
                return Step(mixed, share * dissipated + (1 - share) * safe.dissipated)
        return safe

    def _speed(self, moved: np.ndarray, dt: float) -> float:
        """Return the squared speed, which is the dissipation, also where quantiles that met push each other."""
        return float(self.model.weights @ (moved / dt) ** 2)

    def _falls(self, x: np.ndarray) -> bool:
        return self.energy_of(x) <= self.energy + self.model.rounding(x)


def _check_quantiles(quantiles: Any) -> tuple[np.ndarray, Any]:
    _, like = open_door(quantiles=quantiles)
    if "complex" in dtype_name(like):
        raise TypeError(f"quantiles must be real, got dtype {dtype_name(like)}")
    if is_lazy(like):
        raise ValueError("quantiles must be an array with values, got one that is traced or lazy")
    x = np.array(to_numpy(like), dtype=np.float64)
    if x.ndim != 1 or x.size < 2:
        raise ValueError(f"quantiles must be at least two numbers, shape (n,), got shape {x.shape}")
    check_finite(np, x, "quantiles")
    return x, like


def _check_levels(levels: Any, n: int) -> np.ndarray:
    if levels is None:
        return np.linspace(0.0, 1.0, n)
    _, found = open_door(levels=levels)
    s = np.array(to_numpy(found), dtype=np.float64)
    if s.shape != (n,):
        raise ValueError(f"levels must have one entry per quantile, shape ({n},), got shape {s.shape}")
    check_finite(np, s, "levels")
    if np.min(np.diff(s)) <= 0:
        raise ValueError(f"levels must be strictly increasing, got a smallest difference of {np.min(np.diff(s)):.3g}")
    return s
