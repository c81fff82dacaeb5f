"""Frank-Wolfe over densities that are bounded: the linear minimiser fills the lowest sublevel set."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lina._core.array import from_numpy
from lina._core.checks import check_positive
from lina.simplex.flow._domain import density_on
from lina.simplex.flow._on_grid import GridEnergy
from lina.simplex.flow.energies import Energy, check_energy, check_powers

_BISECTIONS = 60


@dataclass(frozen=True, eq=False, repr=False)
class BoundedStep:
    """One step of Frank-Wolfe over the densities of one mass between 0 and a bound.

    Attributes
    ----------
    density : array
        The density after the step, in the library and dtype of the one before.
    direction : array
        The bounded density that minimises the integral of q dF/dp.
    gap : float
        The integral of (p - q) dF/dp at the density p before the step: for a convex F, F(p) exceeds the minimum over
        all bounded densities by no more. Infinite where an entropy meets an empty cell.
    level : float
        The height to which the first variation is filled: the multiplier of the mass.
    share : float
        How far the step went from p to q.
    energy_before, energy : float
        F before and after the step.
    """

    density: Any
    direction: Any
    gap: float
    level: float
    share: float
    energy_before: float
    energy: float

    def __repr__(self) -> str:
        """Return the facts without the arrays."""
        energies = f"energy={self.energy_before:.6g} -> {self.energy:.6g}"
        return f"BoundedStep({energies}, gap={self.gap:.3g}, share={self.share:.3g}, level={self.level:.6g})"


def bounded_density_step(
    energy: Energy, density: Any, bound: float, *, domain: Any, share: float | None = None
) -> BoundedStep:
    r"""Take one Frank-Wolfe step over the densities that are bounded: towards the lowest sublevel set of dF/dp.

    Over all densities the linear minimiser would be a point mass, which no grid resolves. Over the densities
    0 <= q <= bound it is the bound itself on the lowest sublevel set of the first variation that holds the mass.

    Parameters
    ----------
    energy : Energy
        A sum of `Entropy`, `Internal`, `Potential` and `Interaction`.
    density : array_like, shape (n,) or (m, n)
        Averages over equal cells, in 0..bound.
    bound : float
        The largest density allowed; at least the mass over the volume of ``domain``.
    domain : pair of float, or two pairs
        The box, (lower, upper) along each axis.
    share : float, optional
        How far to go towards the minimiser, in 0..1. Default: to the minimum of the energy on the way, by bisection.

    Returns
    -------
    BoundedStep
        The new density, and the gap that certifies the old one.

    Raises
    ------
    TypeError
        If ``energy`` is no energy, ``density`` no dense real array, or ``bound`` or ``share`` no numbers.
    ValueError
        If ``density`` is negative, above ``bound``, not finite, without mass, not 1-D or 2-D, traced or lazy;
        ``domain`` no box of its dimension; ``share`` outside 0..1; or a potential not finite on the grid.

    OverflowError
        If a power of the density by an `Internal` leaves the range of float64.

    Notes
    -----
    The step keeps the mass and the bound, and the energy does not rise unless ``share`` says so. With the default share
    the gap of a convex, smooth F falls like 1 / k over k steps. Cost: one sort of the cells, and 60 first variations
    for the default share. Everything is computed in float64 with numpy.

    References
    ----------
    Lieb, Loss, Analysis (2001), theorem 1.14 (the bathtub principle); Jaggi, ICML 2013.

    Examples
    --------
    In the potential \|x\| the optimum with density at most 1 and mass 1 is 1 on [-1/2, 1/2]; one step finds it:

    >>> import numpy as np
    >>> from lina.simplex.flow import Potential, bounded_density_step
    >>> V, p = Potential(abs), np.full(8, 0.25)
    >>> done = bounded_density_step(V, p, 1.0, domain=(-2, 2))
    >>> done.density, done.gap, bounded_density_step(V, done.density, 1.0, domain=(-2, 2)).gap
    (array([0., 0., 0., 1., 1., 0., 0., 0.]), 0.75, 0.0)
    """
    check_energy(energy)
    p, grid, like = density_on(density, domain)
    check_powers(energy, float(np.max(p)))
    most = check_positive(bound, "bound")
    if np.max(p) > most * (1 + 1e-6):
        raise ValueError(f"density must not exceed bound = {most:.6g}, got {np.max(p):.6g}")
    if share is not None and not 0 <= share <= 1:
        raise ValueError(f"share must be in 0..1, got {share}")
    model = GridEnergy(energy, grid)
    xi = model.variation(p)
    q, level = _fill(xi, most, float(np.sum(p)))
    gap = _slope(model, p, p - q, xi)
    go = _best_share(model, p, q) if share is None else float(share)
    new = np.clip((1 - go) * p + go * q, 0.0, most)
    energies = model.value(p), model.value(new)
    return BoundedStep(from_numpy(new, like), from_numpy(q, like), gap, level, go, *energies)


def _fill(xi: np.ndarray, bound: float, total: float) -> tuple[np.ndarray, float]:
    """Return ``bound`` in the lowest cells of ``xi``, the rest of ``total`` in the next one, and its height."""
    order = np.argsort(xi, axis=None, kind="stable")
    whole = min(int(total / bound), order.size)
    q = np.zeros(order.size)
    q[order[:whole]] = bound
    last = order[min(whole, order.size - 1)]
    if whole < order.size:
        q[last] = max(total - whole * bound, 0.0)
    return q.reshape(xi.shape), float(xi.ravel()[last])


def _slope(model: GridEnergy, p: np.ndarray, change: np.ndarray, xi: np.ndarray | None = None) -> float:
    """Return the derivative of the energy at ``p`` along ``change``; cells that do not change do not count."""
    xi = model.variation(p) if xi is None else xi
    moving = change != 0
    return float(np.sum(change[moving] * xi[moving])) * model.grid.volume


def _best_share(model: GridEnergy, p: np.ndarray, q: np.ndarray) -> float:
    """Return the share of the way from ``p`` to ``q`` where the energy stops falling."""
    if not _slope(model, p, q - p) < 0:
        return 0.0
    low, high = 0.0, 1.0
    if _slope(model, q, q - p) <= 0:
        low = high
    while high - low > 2.0**-_BISECTIONS:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        falling = _slope(model, p + middle * (q - p), q - p) < 0
        low, high = (middle, high) if falling else (low, middle)
    while low > 0 and model.value(p + low * (q - p)) > model.value(p) + model.rounding(p):
        low /= 2
    return low
