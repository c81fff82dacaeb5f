"""The function to minimise, as the methods see it: checked values and gradients, and products with the Hessian.

A user gives a callable that returns (value, gradient), an object with the methods ``value`` and ``gradient`` and
perhaps ``hessian_product``, or, for torch tensors and jax arrays, a callable that returns the value alone.
"""

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import dtype_name, epsilon, scalar

# A difference that moves an entry by no more than this part of itself tells its slope; it is seen above so many eps.
_PART, _VISIBLE = 16.0, 1e4


class NotFiniteError(Exception):
    """The objective is not finite however short the step."""


class ContradictionError(Exception):
    """Values and gradients of the objective do not belong to one function."""


class Point(NamedTuple):
    """A point, its value and gradient; ``given`` is the gradient in the precision in which it was returned."""

    x: Any
    value: float
    gradient: Any
    given: Any


class Objective:
    """Calls the user's function, checks what it returns, and counts."""

    def __init__(self, xp: Any, user: Any) -> None:
        self.xp = xp
        self.user = user
        self.evaluations = 0
        self.call: Callable[[Any], tuple[Any, Any]] = _as_pair(user)
        self.product: Callable[[Any, Any], Any] | None = getattr(user, "hessian_product", None)

    def __call__(self, x: Any) -> Point | None:
        """Return the point with its value and gradient, or None where one of them is not finite."""
        self.evaluations += 1
        with np.errstate(all="ignore"):  # outside of the domain of F: the step is shortened
            value, gradient = self.call(x)
        number = _as_number(value)
        gradient = _as_gradient(self.xp, gradient, x)
        if not math.isfinite(number) or not bool(self.xp.all(self.xp.isfinite(gradient))):
            return None
        return Point(x, number, self.xp.astype(gradient, x.dtype, copy=False), gradient)

    def start(self, x: Any) -> Point:
        """Return the first point, where not to be finite is an error."""
        try:
            point = self(x)
        except TypeError as reason:
            reason.add_note(f"objective was called with a {type(x).__module__}.{type(x).__name__}, as x0 is or with n")
            raise
        if point is None:
            raise ValueError("objective must have a finite value and gradient at the start, got NaN or an infinity")
        return point

    def hessian_times(self, point: Point, v: Any) -> Any:
        """Return the Hessian at ``point`` times v, a direction into the set; by a difference where it is not given."""
        if self.product is not None:
            with np.errstate(all="ignore"):
                product = _as_gradient(self.xp, self.product(point.x, v), point.x)
            if not bool(self.xp.all(self.xp.isfinite(product))):
                raise NotFiniteError
            return product
        xp, size = self.xp, self.xp.abs(v)
        h = math.sqrt(epsilon(point.x)) * max(scalar(xp.max(xp.abs(point.x))), 1e-300)
        h = min(h / max(scalar(xp.max(size)), 1e-300), 0.5)
        product = self._difference(point, v, h)
        if product is None:
            raise NotFiniteError
        # entries that such a step changes by more than a part: as with x log x, their slope may bend on the way
        bent = (point.x > 0) & (h * size > point.x / _PART)
        if not bool(xp.any(bent)):
            return product
        h = scalar(xp.min(xp.where(bent, point.x / xp.where(bent, size, 1.0), 1.0))) / _PART
        closer = self._difference(point, v, h) if h > 0 else None
        if closer is None:
            return product
        noise = epsilon(point.x) * scalar(xp.max(xp.abs(point.gradient)))
        return xp.where(bent & (xp.abs(closer) * h > _VISIBLE * noise), closer, product)

    def _difference(self, point: Point, v: Any, h: float) -> Any | None:
        near = self(point.x + h * v)
        return None if near is None else (near.gradient - point.gradient) / h


class Lifted(Objective):
    """F(p - q) as a function of (p, q) >= 0 of sum ``radius``: the ball of the 1-norm as a simplex."""

    def __init__(self, xp: Any, user: Any) -> None:
        super().__init__(xp, user)
        inner, product = self.call, self.product

        def call(both: Any) -> tuple[Any, Any]:
            x = self.lower(both)
            value, gradient = inner(x)
            return value, self._mirrored(_as_gradient(xp, gradient, x))

        self.call = call
        if product is not None:
            self.product = lambda both, v: self._mirrored(product(self.lower(both), self.lower(v)))

    def lower(self, both: Any) -> Any:
        """Return p - q."""
        n = both.shape[-1] // 2
        return both[..., :n] - both[..., n:]

    def _mirrored(self, g: Any) -> Any:
        return self.xp.concat([g, -g], axis=-1)


def _as_pair(user: Any) -> Callable[[Any], tuple[Any, Any]]:
    if hasattr(user, "value") and hasattr(user, "gradient"):
        return lambda x: (user.value(x), user.gradient(x))
    if not callable(user):
        raise TypeError(f"objective must be callable or have value and gradient, got {type(user).__name__}")

    def call(x: Any) -> tuple[Any, Any]:
        found = user(x)
        if isinstance(found, (tuple, list)):
            if len(found) != 2:
                raise ValueError(f"objective must return (value, gradient), got {len(found)} things")
            return found[0], found[1]
        return _by_autodiff(user, x, found)

    return call


def _by_autodiff(user: Callable[[Any], Any], x: Any, found: Any) -> tuple[Any, Any]:
    """Return the value and the gradient that torch or jax finds; another library has none to find."""
    library = type(x).__module__.partition(".")[0]
    if library == "torch":
        torch = sys.modules["torch"]
        leaf = x.detach().requires_grad_()
        value = user(leaf)
        if getattr(value, "requires_grad", False):
            return value.detach(), torch.autograd.grad(value, leaf)[0]
    elif library in ("jax", "jaxlib"):
        return sys.modules["jax"].value_and_grad(user)(x)
    other = type(found).__module__.partition(".")[0]
    what = f"{type(found).__name__} alone"
    if other in ("torch", "jax", "jaxlib"):
        what += f" (x was a {type(x).__name__}: give x0 as an array of {other.removesuffix('lib')})"
    raise TypeError(f"objective must return (value, gradient), got {what}")


def _as_number(value: Any) -> float:
    try:
        if getattr(value, "shape", ()) not in ((), (1,)):
            raise TypeError
        return scalar(value)
    except (TypeError, ValueError):
        what = f"shape {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__
        raise TypeError(f"objective must return a real number as its value, got {what}") from None


def _as_gradient(xp: Any, gradient: Any, x: Any) -> Any:
    if type(gradient) is not type(x):
        if isinstance(x, np.ndarray) and isinstance(gradient, (list, tuple, np.ndarray, np.generic)):
            gradient = np.asarray(gradient)
        else:
            raise TypeError(
                f"objective must return a gradient of the type of x, {type(x).__name__}, got {type(gradient).__name__}"
            )
    gradient = gradient.detach() if hasattr(gradient, "detach") else gradient
    if tuple(gradient.shape) != tuple(x.shape):
        raise ValueError(f"objective must return a gradient of shape {tuple(x.shape)}, got {tuple(gradient.shape)}")
    if dtype_name(gradient) not in ("float32", "float64"):
        if xp.isdtype(gradient.dtype, ("bool", "integral")):
            return xp.astype(gradient, x.dtype)
        raise TypeError(f"objective must return a gradient of dtype float32 or float64, got {dtype_name(gradient)}")
    return gradient
