"""Whether the gradients that an energy is given are those of its functions: differences along one direction tell."""

from typing import Any

import numpy as np

from lina._core.array import epsilon, from_numpy, to_numpy
from lina.simplex.flow._fields import Field

# Points that are looked at.
_POINTS = 16

# A change of the function may leave the range of both slopes by this part of them, and by so many eps of its size.
_SHARE, _VALUE_ERROR = 0.1, 1e3

# Lengths of the steps, as powers of eps: rounding spoils short ones, a function that bends much long ones.
_LENGTHS = (1 / 4, 3 / 8)


def check_gradients(energy: Any, x: Any, line: bool) -> None:
    """Raise ValueError if a gradient contradicts its function in most of some points of ``x`` (n, d).

    An interaction is looked at in differences of these points that are not zero.
    """
    some = x[:: -(-x.shape[0] // _POINTS), ...]
    for term in energy.potentials:
        _check(term.field, some, line)
    values = np.asarray(to_numpy(some))
    differences = np.diff(values, axis=0)
    differences = differences[np.any(differences != 0, axis=-1)]
    for term in energy.interactions if len(differences) else ():
        _check(term.field, from_numpy(differences, x), line)


def _check(field: Field, x: Any, line: bool) -> None:
    if field.gradient is None:
        return
    wrong, told = np.ones(x.shape[0], dtype=bool), np.zeros(x.shape[0], dtype=bool)
    for power in _LENGTHS:
        slopes, change, noise = _along(field, x, line, epsilon(x) ** power)
        size = np.sum(np.abs(slopes), axis=0)
        outside = np.maximum(change - np.max(slopes, axis=0), np.min(slopes, axis=0) - change)
        wrong &= outside > _SHARE * size + noise  # never where a value is not finite: the step has left the domain
        told |= np.maximum(size, np.abs(change)) > noise
    if 2 * np.sum(wrong) > np.sum(told):
        i = int(np.argmax(wrong))
        raise ValueError(
            f"the gradient of {field.name} must be that of {field.name}, but along a short step it says "
            f"{slopes[0, i]:.3g} where {field.name} changes by {change[i]:.3g}"
        )


def _along(field: Field, x: Any, line: bool, length: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the slopes (2, n) at both ends of a step from each point, the changes of the function, their rounding."""
    direction = np.cos(1.0 + np.arange(x.shape[-1]))
    size = np.maximum(1.0, np.max(np.abs(_float64(x)), axis=-1, keepdims=True))
    near = from_numpy(_float64(x) + length * size * direction / np.linalg.norm(direction), x)
    step = _float64(near) - _float64(x)
    value, slope = _float64(field.value_at(x, line)), _float64(field.gradient_at(x, line))
    with np.errstate(all="ignore"):
        points = near[..., 0] if line else near
        there = _float64(field.function(points))
        other = _float64(field.gradient(points)).reshape(step.shape)  # type: ignore[misc]
        slopes = np.stack([np.sum(each * step, axis=-1) for each in (slope, other)])
        return slopes, there - value, _VALUE_ERROR * epsilon(x) * (np.abs(value) + np.abs(there))


def _float64(x: Any) -> np.ndarray:
    return np.asarray(to_numpy(x), dtype=np.float64)
