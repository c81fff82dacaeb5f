"""The box of a density on a grid: cells of equal size, with no flux through the boundary."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lina._core.array import check_finite, dtype_name, is_lazy, open_door, refuse_gradient, to_numpy


@dataclass(frozen=True)
class Grid:
    """A box, one pair (lower, upper) an axis, divided into ``shape`` cells."""

    bounds: tuple[tuple[float, float], ...]
    shape: tuple[int, ...]

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        """The length of a cell along each axis."""
        return tuple((upper - lower) / n for (lower, upper), n in zip(self.bounds, self.shape, strict=True))

    @property
    def volume(self) -> float:
        """The volume of a cell."""
        return math.prod(self.spacing)

    @property
    def line(self) -> bool:
        """Whether there is one axis only."""
        return len(self.shape) == 1

    @cached_property
    def centres(self) -> tuple[np.ndarray, ...]:
        """The centres of the cells along each axis."""
        bounds = zip(self.bounds, self.spacing, self.shape, strict=True)
        return tuple(lower + h * (np.arange(n) + 0.5) for (lower, _), h, n in bounds)

    @cached_property
    def points(self) -> np.ndarray:
        """The centres of all cells, (..., d)."""
        return np.stack(np.meshgrid(*self.centres, indexing="ij"), axis=-1)

    @cached_property
    def offsets(self) -> np.ndarray:
        """The differences of centres, (2 n - 1, ..., d), zero in the middle."""
        axes = [h * np.arange(1 - n, n) for h, n in zip(self.spacing, self.shape, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def density_on(density: Any, domain: Any, name: str = "density") -> tuple[np.ndarray, Grid, Any]:
    """Return the density in float64, its grid, and the checked array in whose library results return."""
    _, like = open_door(min_ndim=1, **{name: density})
    refuse_gradient("a flow on a grid", **{name: like})
    if like.ndim > 2:
        raise ValueError(f"{name} must have shape (n,) or (m, n), got {tuple(like.shape)}")
    if "complex" in dtype_name(like):
        raise TypeError(f"{name} must be real, got dtype {dtype_name(like)}")
    if is_lazy(like):
        raise ValueError(f"{name} must be an array with values, got one that is traced or lazy")
    p = np.array(to_numpy(like), dtype=np.float64)
    if p.size == 0:
        raise ValueError(f"{name} must have at least one cell, got shape {p.shape}")
    check_finite(np, p, name)
    if np.min(p) < 0:
        raise ValueError(f"{name} must not be negative, got {np.min(p):.3g}")
    grid = Grid(_bounds(domain, p.ndim), p.shape)
    with np.errstate(over="ignore"):
        mass = float(np.sum(p)) * grid.volume
    if not 1e-290 < mass < 1e290:
        raise ValueError(f"{name} must have a mass between 1e-290 and 1e290, got {mass:.3g}")
    return p, grid, like


def _bounds(domain: Any, ndim: int) -> tuple[tuple[float, float], ...]:
    wanted = "(lower, upper)" if ndim == 1 else "((lower, upper), (lower, upper))"
    try:
        pairs = np.asarray(domain, dtype=np.float64).reshape(ndim, 2)
    except (TypeError, ValueError):
        raise ValueError(f"domain must be {wanted} for a density of {ndim} axes, got {domain!r}") from None
    if not (np.all(np.isfinite(pairs)) and np.all(pairs[:, 0] < pairs[:, 1])):
        raise ValueError(f"domain must have finite lower bounds below upper bounds, got {domain!r}")
    return tuple((float(lower), float(upper)) for lower, upper in pairs)
