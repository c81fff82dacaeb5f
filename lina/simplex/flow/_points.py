"""Points with masses: what the particle methods take, checked."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from array_api_compat import device

from lina._core.array import check_finite, dtype_name, epsilon, is_lazy, open_door, scalar


class Points(NamedTuple):
    """Points (n, d) in their library, their masses (n,), and whether they were given as numbers on a line."""

    xp: Any
    x: Any
    weights: Any
    line: bool

    @property
    def spread(self) -> float:
        """The root mean square distance from the mean along an axis; where all coincide, that from 0, or 1."""
        w = (self.weights / self.xp.sum(self.weights))[:, None]
        centred = self.x - self.xp.sum(w * self.x, axis=0)[None, :]
        for y in (centred, self.x):
            size = scalar(self.xp.max(self.xp.abs(y)))
            if size > 0:
                return size * math.sqrt(scalar(self.xp.sum(w * (y / size) ** 2)) / self.x.shape[1])
        return 1.0

    def as_given(self, x: Any) -> Any:
        """Return points (..., n, d) in the form that the caller used."""
        return x[..., 0] if self.line else x


def check_points(points: Any, weights: Any = None) -> Points:
    """Return ``points`` of shape (n,) or (n, d), with equal masses that add up to 1 unless others are given."""
    given = {"points": points} if weights is None else {"points": points, "weights": weights}
    xp, x, *others = open_door(min_ndim=1, **given)
    if "complex" in dtype_name(x):
        raise TypeError(f"points must be real, got dtype {dtype_name(x)}")
    if is_lazy(x):
        raise ValueError("points must be an array with values, got one that is traced or lazy")
    if x.ndim > 2 or 0 in x.shape:
        raise ValueError(f"points must have shape (n,) or (n, d), none of them 0, got {tuple(x.shape)}")
    check_finite(xp, x, "points")
    largest = 2.0**511 if epsilon(x) == 2.0**-52 else 2.0**63  # whose squares are numbers
    if scalar(xp.max(xp.abs(x))) > largest:
        raise OverflowError(f"points must be below {largest:.4g} in size, found a larger one")
    n, line = x.shape[0], x.ndim == 1
    if others:
        w = check_per_point(xp, others[0], x, "weights")
        if scalar(xp.min(w)) <= 0:
            raise ValueError(f"weights must be positive, got {scalar(xp.min(w)):.3g}")
    else:
        w = xp.full((n,), 1 / n, dtype=x.dtype, device=device(x))
    return Points(xp, x[:, None] if line else x, w, line)


def check_per_point(xp: Any, values: Any, x: Any, name: str) -> Any:
    """Return ``values`` in the dtype of the points: real, finite, one a point."""
    if "complex" in dtype_name(values):
        raise TypeError(f"{name} must be real, got dtype {dtype_name(values)}")
    if tuple(values.shape) != (x.shape[0],):
        raise ValueError(f"{name} must have one entry per point, shape ({x.shape[0]},), got {tuple(values.shape)}")
    check_finite(xp, values, name)
    return xp.astype(values, x.dtype)


def check_count(value: Any, name: str) -> int:
    """Return ``value`` as an int that is at least 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return value


def without(energy: Any, kinds: Sequence[str], method: str) -> None:
    """Raise ValueError if the energy has terms that the method cannot follow."""
    names = {"diffusions", "interactions", "internals"} & set(kinds)
    found = sorted({type(term).__name__ for kind in names for term in getattr(energy, kind)})
    if found:
        raise ValueError(f"energy must have no {' and no '.join(found)} for {method}, got one")
