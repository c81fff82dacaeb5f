"""Energies of densities: entropy, internal energy, potential, interaction, and sums of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lina._core.array import from_numpy
from lina.simplex.flow._domain import density_on
from lina.simplex.flow._fields import Field
from lina.simplex.flow._on_grid import GridEnergy

Function = Callable[[Any], Any]


class Energy:
    """A functional F of a density p: what is summed with ``+`` and scaled with ``*``, and what a flow goes down.

    Made by `Entropy`, `Internal`, `Potential`, `Interaction` and `kullback_leibler`.
    """

    @property
    def terms(self) -> tuple[Any, ...]:
        """The summands."""
        return (self,)

    def __add__(self, other: Any) -> "Energy":
        return Sum(self.terms + other.terms) if isinstance(other, Energy) else NotImplemented

    def __mul__(self, factor: Any) -> "Energy":
        if isinstance(factor, Energy):
            return NotImplemented
        return Sum(tuple(replace(term, weight=term.weight * factor) for term in self.terms))

    __rmul__ = __mul__

    def value(self, density: Any, domain: Any) -> float:
        """Return F[p] of cell averages ``density`` of shape (n,) or (m, n) on ``domain``, as in `grid_flow`."""
        p, grid, _ = density_on(density, domain)
        return GridEnergy(self, grid).value(p)

    def first_variation(self, density: Any, domain: Any) -> Any:
        """Return dF/dp in the cell centres; where the density is zero, that of an entropy is -inf."""
        p, grid, like = density_on(density, domain)
        return from_numpy(GridEnergy(self, grid).variation(p), like)

    @property
    def temperature(self) -> float:
        """The weight of the entropy."""
        return math.fsum(term.weight for term in self.terms if isinstance(term, Entropy))

    @property
    def diffusions(self) -> list["Entropy | Internal"]:
        """The terms that are functions of the density alone."""
        return [term for term in self.terms if isinstance(term, (Entropy, Internal))]

    @property
    def internals(self) -> list["Internal"]:
        """The terms p^m / (m - 1)."""
        return [term for term in self.terms if isinstance(term, Internal)]

    @property
    def potentials(self) -> list["Potential"]:
        """The terms V p."""
        return [term for term in self.terms if isinstance(term, Potential)]

    @property
    def interactions(self) -> list["Interaction"]:
        """The terms p (W * p) / 2."""
        return [term for term in self.terms if isinstance(term, Interaction)]


@dataclass(frozen=True)
class Sum(Energy):
    """Several energies added."""

    parts: tuple[Any, ...]

    @property
    def terms(self) -> tuple[Any, ...]:
        """The summands."""
        return self.parts


@dataclass(frozen=True)
class Entropy(Energy):
    r"""The negative entropy: weight * integral of p log p; its flow is the heat equation.

    Parameters
    ----------
    weight : float
        The temperature, positive.

    Raises
    ------
    ValueError
        If ``weight`` is not positive and finite.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex.flow import Entropy
    >>> Entropy().value(np.ones(10), (0.0, 1.0)), Entropy().first_variation(np.ones(2), (0.0, 1.0))
    (0.0, array([1., 1.]))
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        _check_weight(self.weight, positive=True)

    def per_mass(self, xp: Any, density: Any) -> Any:
        """Return f(p) where the energy is the integral of p f(p)."""
        return self.weight * xp.log(density)

    def per_mass_slope(self, xp: Any, density: Any) -> Any:
        """Return f'(p)."""
        del xp
        return self.weight / density

    def per_mass_curvature(self, xp: Any, density: Any) -> Any:
        """Return f''(p)."""
        del xp
        return -self.weight / density**2


@dataclass(frozen=True)
class Internal(Energy):
    r"""The internal energy: weight * integral of p^m / (m - 1); its flow is the porous medium equation.

    Parameters
    ----------
    m : float
        Exponent above 1; towards 1 the entropy is the limit, up to a constant.
    weight : float
        Positive.

    Raises
    ------
    ValueError
        If ``m`` is not above 1, or ``weight`` is not positive and finite.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex.flow import Internal
    >>> Internal(2).value(np.full(10, 2.0), (0.0, 0.5)), Internal(3).first_variation(np.full(2, 2.0), (0.0, 0.5))
    (2.0, array([6., 6.]))
    """

    m: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.m) and self.m > 1):
            raise ValueError(f"m must be finite and above 1, got {self.m}")
        _check_weight(self.weight, positive=True)

    def per_mass(self, xp: Any, density: Any) -> Any:
        """Return f(p) where the energy is the integral of p f(p)."""
        return self.weight / (self.m - 1) * _power(xp, density, self.m - 1)

    def per_mass_slope(self, xp: Any, density: Any) -> Any:
        """Return f'(p)."""
        return self.weight * _power(xp, density, self.m - 2)

    def per_mass_curvature(self, xp: Any, density: Any) -> Any:
        """Return f''(p)."""
        return self.weight * (self.m - 2) * _power(xp, density, self.m - 3)

    def variation(self, density: np.ndarray) -> np.ndarray:
        """Return the first variation, zero where the density is."""
        found: np.ndarray = self.weight * self.m / (self.m - 1) * _power(np, density, self.m - 1)
        return found

    def variation_slope(self, density: np.ndarray) -> np.ndarray:
        """Return the derivative of the first variation; for m < 2 finite also where the density is zero."""
        size = np.abs(density)
        found: np.ndarray = self.weight * self.m * np.maximum(size, 1e-12 * np.max(size)) ** (self.m - 2)
        return found


@dataclass(frozen=True)
class Potential(Energy):
    """The potential energy: weight * integral of V p; its flow carries mass along -grad V.

    Parameters
    ----------
    V : callable
        Takes points, returns one value each. On a line the points have shape (...), in d dimensions (..., d). Grids and
        quantiles call it with numpy arrays of float64, particles with arrays of their library.
    gradient : callable, optional
        Takes the same points and returns an array of their shape. Default: central differences, which err by about
        eps^(2/3) relative to V.
    laplacian : callable, optional
        As ``V``; only quantiles (in Newton's method) and pushed-forward densities ask for it. Default: differences.
    weight : float
        Finite.

    Raises
    ------
    ValueError
        If ``weight`` is not finite; in a flow, if ``V`` or a derivative returns a wrong shape or NaN or infinities, or
        in a flow of particles or quantiles ``gradient`` contradicts ``V`` along short steps from the start.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex.flow import Potential
    >>> Potential(lambda x: x**2).first_variation(np.ones(2), (0.0, 2.0))
    array([0.25, 2.25])
    """

    V: Function
    gradient: Function | None = None
    laplacian: Function | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check_functions("V", self.V, self.gradient, self.laplacian)
        _check_weight(self.weight)

    @property
    def field(self) -> Field:
        """V with its derivatives."""
        return Field(self.V, self.gradient, self.laplacian, "V")


@dataclass(frozen=True)
class Interaction(Energy):
    r"""The interaction energy: weight / 2 * double integral of W(x - y) p(x) p(y), for an even W.

    Parameters
    ----------
    W : callable
        Takes differences of points, as ``V`` of `Potential` takes points. May be infinite at 0 as long as it can be
        integrated, for example -log\|z\|: particles and quantiles leave themselves out, grids average W over cells.
    gradient, laplacian : callable, optional
        As in `Potential`. At 0 the gradient of an even function is taken to be 0; it is not asked there. Give it where
        W has a kink at 0, such as \|z\|: differences would round the kink off.
    weight : float
        Finite.

    Raises
    ------
    ValueError
        If ``weight`` is not finite; in a flow, if ``W`` is not even, or it or a derivative returns a wrong shape or NaN
        or infinities elsewhere than at 0, or ``gradient`` contradicts ``W`` as in `Potential`.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex.flow import Interaction
    >>> Interaction(lambda z: z**2 / 2).first_variation(np.array([1.0, 0.0, 1.0]), (0.0, 3.0)).round(12)
    array([2.08333333, 1.08333333, 2.08333333])
    """

    W: Function
    gradient: Function | None = None
    laplacian: Function | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check_functions("W", self.W, self.gradient, self.laplacian)
        _check_weight(self.weight)

    @property
    def field(self) -> Field:
        """W with its derivatives."""
        return Field(self.W, self.gradient, self.laplacian, "W")


def kullback_leibler(log_target: Function, score: Function | None = None, score_divergence: Any = None) -> Energy:
    """Return KL(p || q) as an energy: entropy plus the potential -log q; its flow is the Fokker-Planck equation of q.

    Parameters
    ----------
    log_target : callable
        log q of points, as ``V`` of `Potential`. If q is not normalised, the energy is off by the constant log of
        its integral, and the flow is the same.
    score : callable, optional
        The gradient of log q. Default: differences.
    score_divergence : callable, optional
        The Laplacian of log q. Default: differences.

    Returns
    -------
    Energy

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex.flow import kullback_leibler
    >>> round(kullback_leibler(lambda x: np.log(2 * x)).value(np.ones(10_000), (0.0, 1.0)), 3)  # 1 - log 2
    0.307
    """
    gradient = None if score is None else lambda x: -score(x)
    laplacian = None if score_divergence is None else lambda x: -score_divergence(x)
    return Entropy() + Potential(lambda x: -log_target(x), gradient, laplacian)


def check_energy(energy: Any) -> Energy:
    """Return ``energy`` if it is one."""
    if not isinstance(energy, Energy):
        wanted = "an energy (Entropy(), Internal(m), Potential(V), Interaction(W) or a sum of them)"
        raise TypeError(f"energy must be {wanted}, got {type(energy).__name__}")
    return energy


def check_powers(energy: Energy, largest: float) -> None:
    """Raise OverflowError if the ``largest`` density to a power of the energy leaves the range of float64."""
    for term in energy.internals:
        if not abs(math.log(largest)) * term.m < 575:
            wanted = f"between 1e-{int(250 / term.m)} and 1e{int(250 / term.m)} at its largest for Internal({term.m:g})"
            raise OverflowError(f"density must be {wanted}, got {largest:.3g} (choose another unit of mass or length)")


def _power(xp: Any, density: Any, exponent: float) -> Any:
    """Return density ** exponent, odd for negative densities, which only occur inside of a Newton iteration."""
    if exponent == 1.0:
        return density
    return xp.sign(density) * xp.abs(density) ** exponent


def _check_weight(weight: Any, *, positive: bool = False) -> None:
    if not isinstance(weight, (int, float, np.number)) or isinstance(weight, bool):
        raise TypeError(f"weight must be a number, got {type(weight).__name__}")
    if not math.isfinite(weight) or (positive and weight <= 0):
        raise ValueError(f"weight must be finite{' and positive' if positive else ''}, got {weight}")


def _check_functions(name: str, function: Any, gradient: Any, laplacian: Any) -> None:
    for each, what, optional in ((function, name, False), (gradient, "gradient", True), (laplacian, "laplacian", True)):
        if not (callable(each) or (optional and each is None)):
            raise TypeError(f"{what} must be callable, got {type(each).__name__}")
