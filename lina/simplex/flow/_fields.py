"""Values and derivatives of functions of a point that the user gives, checked; differences where none are given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device

from lina._core.array import check_finite, epsilon

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Field:
    """A function of points (..., d), called as the user knows it: with (...) on a line, with (..., d) elsewhere."""

    function: Function
    gradient: Function | None
    laplacian: Function | None
    name: str

    def value_at(self, x: Any, line: bool) -> Any:
        """Return the values (...) in ``x`` (..., d)."""
        return _called(self.function, x, x.shape[:-1], line, self.name)

    def gradient_at(self, x: Any, line: bool) -> Any:
        """Return the gradients (..., d) in ``x`` (..., d); differences err by about eps^(2/3)."""
        if self.gradient is not None:
            shape = x.shape[:-1] if line else x.shape
            found = _called(self.gradient, x, shape, line, f"the gradient of {self.name}")
            return found[..., None] if line else found
        xp = array_namespace(x)
        columns = []
        for k in range(x.shape[-1]):
            above, below, width = _shifted(xp, x, k, epsilon(x) ** (1 / 3))
            columns.append((self.value_at(above, line) - self.value_at(below, line)) / width)
        return xp.stack(columns, axis=-1)

    def laplacian_at(self, x: Any, line: bool) -> Any:
        """Return the traces (...) of the second derivative in ``x`` (..., d); differences err by about eps^(1/2)."""
        if self.laplacian is not None:
            return _called(self.laplacian, x, x.shape[:-1], line, f"the laplacian of {self.name}")
        xp = array_namespace(x)
        total = xp.zeros(x.shape[:-1], dtype=x.dtype, device=device(x))
        for k in range(x.shape[-1]):
            if self.gradient is not None:
                above, below, width = _shifted(xp, x, k, epsilon(x) ** (1 / 3))
                difference = self.gradient_at(above, line) - self.gradient_at(below, line)
                total = total + difference[..., k] / width
            else:
                above, below, width = _shifted(xp, x, k, epsilon(x) ** (1 / 4))
                second = self.value_at(above, line) - 2 * self.value_at(x, line) + self.value_at(below, line)
                total = total + 4 * second / width**2
        return total


def _shifted(xp: Any, x: Any, k: int, relative: float) -> tuple[Any, Any, Any]:
    """Return ``x`` moved up and down along axis ``k``, and how far the two lie apart."""
    along = xp.asarray([float(i == k) for i in range(x.shape[-1])], dtype=x.dtype, device=device(x))
    size = xp.abs(x[..., k])
    width = relative * xp.where(size > 1, size, xp.ones_like(size))
    above, below = x + width[..., None] * along, x - width[..., None] * along
    return above, below, above[..., k] - below[..., k]


def _called(function: Function, x: Any, shape: tuple[int, ...], line: bool, name: str) -> Any:
    """Return ``function`` of the points, which must be finite and of the shape that is wanted."""
    points = x[..., 0] if line else x
    values = function(points)
    if not hasattr(values, "shape") or tuple(values.shape) != tuple(shape):
        found = f"shape {tuple(values.shape)}" if hasattr(values, "shape") else type(values).__name__
        raise ValueError(f"{name} must return an array of shape {tuple(shape)} for points {points.shape}, got {found}")
    check_finite(array_namespace(x), values, name)
    return values
