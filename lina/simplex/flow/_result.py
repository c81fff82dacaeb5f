"""What every flow returns: the density or its points over time, and how well the energy balance closes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lina._core.certificates import Status


@dataclass(frozen=True, eq=False, repr=False)
class Flow:
    r"""A gradient flow at k times, with its energy balance.

    Attributes
    ----------
    times : numpy array, shape (k,)
        Those asked for that were reached: all, unless ``status`` says otherwise.
    energy : numpy array, shape (k,), or None
        F at these times, in float64; None where the points do not determine it (`langevin_flow`, `svgd_flow`).
    dissipation : numpy array, shape (k,), or None
        Minus the slope of the energy, the integral of p \|grad dF/dp\|^2 in the discretisation of the method.
    defect : numpy array, shape (k,), or None
        The energy-dissipation defect F(t) - F(0) + integral of the dissipation from 0 to t, which is 0 for a flow that
        is exact in time. The integral is that of the time steps, so the defect has their order.
    mass : numpy array, shape (k,)
        The total mass at these times.
    steps : int
        Steps in time; of particles including those that were rejected.
    status : Status
        "converged"; "stopped" where a step failed however short; "max_iterations" where the steps ran out.
    method : str
        The discretisation and the order of the steps in time.
    """

    times: np.ndarray
    energy: np.ndarray | None
    dissipation: np.ndarray | None
    defect: np.ndarray | None
    mass: np.ndarray
    steps: int
    status: Status
    method: str

    @property
    def mass_error(self) -> float:
        """The largest relative change of the mass."""
        return float(np.max(np.abs(self.mass - self.mass[0])) / self.mass[0])

    @property
    def relative_defect(self) -> float | None:
        """The largest defect over the energy that was dissipated: the share of the flow that the time steps missed."""
        if self.defect is None or self.energy is None:
            return None
        lost = float(np.max(np.abs(self.energy - self.energy[0])))
        worst = float(np.max(np.abs(self.defect)))
        return worst / lost if lost > 0 else worst

    def __repr__(self) -> str:
        """Return the facts without the arrays."""
        facts = [f"times={self.times[0]:.6g}..{self.times[-1]:.6g}"]
        if self.energy is not None:
            facts.append(f"energy={self.energy[0]:.6g}..{self.energy[-1]:.6g}")
        if self.relative_defect is not None:
            facts.append(f"relative_defect={self.relative_defect:.2g}")
        facts += [f"mass_error={self.mass_error:.2g}", f"steps={self.steps}", f"status={self.status}"]
        return f"{type(self).__name__}({', '.join(facts)}, method={self.method!r})"


@dataclass(frozen=True, eq=False, repr=False)
class GridFlow(Flow):
    """The flow of a density on a grid; see `Flow` for the other attributes.

    Attributes
    ----------
    density : array, shape (k, n) or (k, m, n)
        The averages over the cells, in the library and dtype of the initial density.
    centres : tuple of numpy array
        The centres of the cells along each axis.
    """

    density: Any
    centres: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False, repr=False)
class QuantileFlow(Flow):
    """The flow of a quantile function; see `Flow` for the other attributes.

    Attributes
    ----------
    quantiles : array, shape (k, n)
        The places below which the mass ``levels`` lies, in the library and dtype of the initial ones.
    levels : numpy array, shape (n,)
        The masses to the left of them.
    """

    quantiles: Any
    levels: np.ndarray

    @property
    def density(self) -> Any:
        """The density between neighbouring quantiles, shape (k, n - 1); infinite where they coincide."""
        from lina._core.array import from_numpy, to_numpy

        gaps = np.diff(np.asarray(to_numpy(self.quantiles), dtype=np.float64))
        with np.errstate(divide="ignore"):
            return from_numpy(np.diff(self.levels) / gaps, self.quantiles)

    @property
    def weights(self) -> np.ndarray:
        """The masses (n,) that stand in the quantiles: half of that of each neighbouring interval."""
        return node_weights(self.levels)


@dataclass(frozen=True, eq=False, repr=False)
class ParticleFlow(Flow):
    """The flow of points with masses; see `Flow` for the other attributes.

    Attributes
    ----------
    points : array, shape (k, n) or (k, n, d)
        In the library and dtype of the initial points.
    weights : array, shape (n,)
        Their masses.
    bandwidth : float or None
        Standard deviation of the Gaussian that the method used as a kernel.
    log_density : array, shape (k, n), or None
        The logarithm of the density that the flow carries along, at the points; only if the initial one was given.
    """

    points: Any
    weights: Any
    bandwidth: float | None
    log_density: Any = None


def node_weights(levels: np.ndarray) -> np.ndarray:
    """Return the masses (n,) of the trapezoidal rule on ``levels`` (n,)."""
    halves = np.diff(levels) / 2
    return np.concatenate([halves, [0.0]]) + np.concatenate([[0.0], halves])
