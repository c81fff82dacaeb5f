"""The certificate of every minimisation here: how far F(x) can lie above its minimum, from the gradient alone."""

from typing import Any, NamedTuple

import numpy as np

from lina._core.array import check_finite, is_lazy, scalar
from lina._core.checks import check_option, check_positive
from lina.simplex._project_capped_simplex import project_capped_simplex
from lina.simplex._project_l1_ball import project_l1_ball
from lina.simplex._project_simplex import project_simplex
from lina.simplex._rows import best_int, check_axis, open_real

SETS = ("simplex", "l1_ball")

# A start whose sum is off by less than this part of it is divided by the sum: it has been in a lower precision.
START_SLACK = 1e-3


class Gap(NamedTuple):
    """The gap over the last axis, the multiplier of the sum, and g less that: the multipliers of the bounds."""

    gap: Any
    multiplier: Any
    reduced_costs: Any


def frank_wolfe_gap(
    x: Any, gradient: Any, *, radius: float = 1.0, axis: int = -1, set: str = "simplex", upper: Any = None
) -> Any:
    """Compute x . g - min over y of y . g, which bounds F(x) - min F from above where F is convex.

    Zero exactly at a stationary point; where F is not convex it measures stationarity and bounds nothing. It does not
    fall monotonically along an iteration.

    Parameters
    ----------
    x : array_like, shape (..., n)
        Points of the set: non-negative entries of sum ``radius``, or of 1-norm at most ``radius``.
    gradient : array_like, shape (..., n)
        The gradient g of F in ``x``.
    radius : float
        Sum of the entries (simplex) or largest 1-norm (l1 ball).
    axis : int
        The axis of length n.
    set : {"simplex", "l1_ball"}
        Where y runs.
    upper : float or array_like, shape (n,), optional
        Upper bounds of the entries of a capped simplex.

    Returns
    -------
    gap : array, shape (...)
        In float64, in the library of the input.

    Raises
    ------
    TypeError
        If an argument is no array of real numbers, or their libraries differ.
    ValueError
        If the shapes differ, a value is not finite, ``x`` lies outside of the set by more than rounding,
        ``radius`` is not positive, or the upper bounds sum to less than it.
    OverflowError
        If the gap exceeds the range of float64.

    Notes
    -----
    Cost: one pass; a sort with ``upper``. Everything is evaluated in float64 on g - min g, term by term without
    cancellation, so that a constant in ``gradient`` does not hide the gap. Rounding within ``gradient`` is not
    included: a gradient in single precision supports no gap below about 1e-7 of its largest entry. Where the sum of
    ``x`` is off by rounding, that times the multiplier is added.

    References
    ----------
    Frank and Wolfe, Naval Res. Logist. Q. 3 (1956) 95; Jaggi, ICML (2013), section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import frank_wolfe_gap
    >>> x = np.array([0.5, 0.5, 0.0])
    >>> float(frank_wolfe_gap(x, np.array([1.0, 1.0, 3.0])))
    0.0
    >>> float(frank_wolfe_gap(x, np.array([1.0, 2.0, 3.0])))
    0.5
    """
    xp, x, gradient = _open(x, gradient, axis)
    radius = check_positive(radius, "radius")
    set = check_option(set, SETS, "set")
    upper = check_upper(xp, upper, x, radius, set)
    check_point(xp, x, radius, set, upper, "x")
    gap = measure(xp, x, gradient, radius, set, upper).gap
    if not is_lazy(gap) and not bool(xp.all(xp.isfinite(gap))):
        raise OverflowError("x times gradient must stay within the range of float64, found a product beyond")
    return gap


def kkt_residual(
    x: Any, gradient: Any, *, radius: float = 1.0, axis: int = -1, set: str = "simplex", upper: Any = None
) -> Any:
    """Compute the norm of x - P(x - g), P the projection onto the set: zero exactly at a stationary point.

    Unlike the gap it takes points outside of the set, whose distance it includes. It bounds no F(x) - min F, but the
    distance to the minimiser: by (1 + L) / mu times itself, for gradients of slope L and a modulus mu of convexity.

    Parameters
    ----------
    x : array_like, shape (..., n)
        Any points.
    gradient : array_like, shape (..., n)
        The gradient g of F in ``x``, in units in which a step x - g makes sense.
    radius, axis, set, upper
        As in `frank_wolfe_gap`.

    Returns
    -------
    residual : array, shape (...)
        In float64, in the library of the input.

    Raises
    ------
    TypeError
        If an argument is no array of real numbers, or their libraries differ.
    ValueError
        If the shapes differ, a value is not finite, ``radius`` is not positive, or the upper bounds sum to less.

    Notes
    -----
    Cost: one projection.

    References
    ----------
    Pang, Math. Oper. Res. 12 (1987) 474, theorem 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import kkt_residual
    >>> float(kkt_residual(np.array([0.5, 0.5, 0.0]), np.array([1.0, 1.0, 3.0])))
    0.0
    >>> float(kkt_residual(np.array([0.5, 0.5, 0.0]), np.array([1.0, 1.5, 3.0])))
    0.3535533905932738
    """
    xp, x, gradient = _open(x, gradient, axis)
    radius = check_positive(radius, "radius")
    set = check_option(set, SETS, "set")
    upper = check_upper(xp, upper, x, radius, set)
    x = widen(xp, x)
    stepped = x - widen(xp, gradient)
    if set == "l1_ball":
        nearest = project_l1_ball(stepped, radius)
    elif upper is None:
        nearest = project_simplex(stepped, radius)
    else:
        nearest = project_capped_simplex(stepped, upper=widen(xp, upper), total=radius)
    off = x - nearest
    unit = xp.max(xp.abs(off), axis=-1, keepdims=True)
    unit = xp.where(unit > 0, unit, 1.0)
    return unit[..., 0] * xp.linalg.vector_norm(off / unit, axis=-1)


def measure(xp: Any, x: Any, gradient: Any, radius: float, set: str = "simplex", upper: Any = None) -> Gap:
    """Return the `Gap` of checked arrays over their last axis, in float64 where the library has it."""
    x, g = widen(xp, x), widen(xp, gradient)
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite gap says enough
        if set == "l1_ball":
            return _measure_l1_ball(xp, x, g, radius)
        m = xp.min(g, axis=-1, keepdims=True) if upper is None else _marginal(xp, g, radius, upper)
        reduced = g - m
        terms = x * xp.where(reduced > 0, reduced, 0.0)
        if upper is not None:
            terms = terms + (widen(xp, upper) - x) * xp.where(reduced < 0, -reduced, 0.0)
        off = m[..., 0] * (xp.sum(x, axis=-1) - radius)
        return Gap(xp.sum(terms, axis=-1) + xp.abs(off), m[..., 0], reduced)


def _measure_l1_ball(xp: Any, x: Any, g: Any, radius: float) -> Gap:
    """Return the gap on the ball: abs(x) max abs(g) + x g are not negative, nor is what the norm leaves."""
    top = xp.max(xp.abs(g), axis=-1, keepdims=True)
    size = xp.abs(x)
    terms = size * (top + g * xp.sign(x))
    left = top[..., 0] * (radius - xp.sum(size, axis=-1))
    return Gap(xp.sum(terms, axis=-1) + xp.abs(left), -top[..., 0], top - xp.abs(g))


def _marginal(xp: Any, g: Any, radius: float, upper: Any) -> Any:
    """Return the entry of g at which the cheapest entries, filled to their upper bounds, reach the radius.

    The gap is a bound with any number in its place, so rounding here costs tightness and not truth.
    """
    order = xp.argsort(g, axis=-1)
    filled = xp.cumulative_sum(xp.take_along_axis(xp.broadcast_to(widen(xp, upper), g.shape), order, axis=-1), axis=-1)
    short = xp.sum(xp.astype(filled < radius * (1 - 1e-12), best_int(xp)), axis=-1, keepdims=True)
    short = xp.where(short < g.shape[-1], short, g.shape[-1] - 1)
    return xp.take_along_axis(xp.take_along_axis(g, order, axis=-1), short, axis=-1)


def widen(xp: Any, x: Any) -> Any:
    """Return ``x`` in float64, or in the widest real dtype that its library has."""
    known = xp.__array_namespace_info__().dtypes(kind="real floating")
    return xp.astype(x, known.get("float64", xp.float32), copy=False)


def _open(x: Any, gradient: Any, axis: int) -> tuple[Any, Any, Any]:
    xp, x, gradient = open_real(x=x, gradient=gradient)
    if tuple(x.shape) != tuple(gradient.shape):
        raise ValueError(f"gradient must have the shape of x, {tuple(x.shape)}, got {tuple(gradient.shape)}")
    check_finite(xp, x, "x")
    check_finite(xp, gradient, "gradient")
    axis = check_axis(x, axis)
    return xp, xp.moveaxis(x, axis, -1), xp.moveaxis(gradient, axis, -1)


def check_real(xp: Any, x: Any, name: str) -> None:
    """Raise TypeError if ``x`` is complex."""
    if not xp.isdtype(x.dtype, "real floating"):
        raise TypeError(f"{name} must be real, got dtype {x.dtype}")


def check_upper(xp: Any, upper: Any, x: Any, radius: float, set: str = "simplex") -> Any:
    """Return ``upper`` as an array (n,) like ``x``, or None; it must leave room for a sum of ``radius``."""
    if upper is None:
        return None
    if set != "simplex":
        raise ValueError(f"upper must be None for set={set!r}")
    n = x.shape[-1]
    try:
        dtype = (np.asarray(upper) if isinstance(upper, (list, tuple, complex, float, int)) else upper).dtype
        if getattr(dtype, "kind", "") == "c" or "complex" in str(dtype):
            raise TypeError
        bound = xp.asarray(upper, dtype=x.dtype, device=None if is_lazy(x) else x.device)
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"upper must be a number or an array of real numbers, got {type(upper).__name__}") from None
    if bound.ndim > 1 or (bound.ndim == 1 and bound.shape[0] != n):
        raise ValueError(f"upper must be a number or have shape ({n},), got shape {tuple(bound.shape)}")
    bound = xp.broadcast_to(bound, (n,))
    if not bool(xp.all(bound >= 0)):
        raise ValueError("upper must be non-negative, got a negative or NaN bound")
    total = scalar(xp.sum(bound))
    if total < radius * (1 - 1e-6 if str(x.dtype).endswith("32") else 1 - 1e-12):
        raise ValueError(f"upper must sum to at least radius = {radius:g}, got a sum of {total:g}")
    return xp.where(bound < radius, bound, radius)


def check_point(xp: Any, x: Any, radius: float, set: str, upper: Any, name: str, allowed: float = 0.0) -> None:
    """Raise ValueError if ``x`` lies outside of the set by more than rounding; lazy arrays pass unseen.

    ``allowed`` is the part of the radius by which it may miss the set in any case.
    """
    if is_lazy(x) or 0 in x.shape:
        return
    wide = widen(xp, x)
    slack = radius * max(allowed, 1e-6 if str(x.dtype).endswith("32") else 1e-12, x.shape[-1] * 1e-15)
    with np.errstate(over="ignore"):
        total = xp.sum(xp.abs(wide), axis=-1)
    if set == "l1_ball":
        if bool(xp.any(total > radius + slack)):
            found = f"{scalar(xp.max(total)):g}{_row_of(xp, total)}"
            raise ValueError(f"{name} must have a 1-norm of at most radius = {radius:g}, got {found}")
        return
    if bool(xp.any(wide < 0)):
        found = f"{scalar(xp.min(wide)):g}{_row_of(xp, -xp.min(wide, axis=-1))}"
        raise ValueError(f"{name} must be non-negative, got an entry of {found}")
    off = xp.abs(total - radius)
    if scalar(xp.max(off)) > slack:
        found = f"{scalar(xp.max(off)):g}{_row_of(xp, off)}"
        if scalar(xp.max(off)) < START_SLACK * radius:
            found += f" (divide {name} by its sum)" if radius == 1 else f" (multiply {name} by radius over its sum)"
        raise ValueError(f"{name} must sum to radius = {radius:g} along its axis, got a sum off by {found}")
    if upper is not None and bool(xp.any(wide > widen(xp, upper) + slack)):
        excess = xp.max(wide - widen(xp, upper), axis=-1)
        found = f"{scalar(xp.max(excess)):g}{_row_of(xp, excess)}"
        raise ValueError(f"{name} must not exceed upper, got an excess of {found}")


def _row_of(xp: Any, by_row: Any) -> str:
    """Return where the largest value is, in words, or nothing if there is one row."""
    if by_row.ndim == 0:
        return ""
    index = np.unravel_index(int(xp.argmax(xp.reshape(by_row, (-1,)))), tuple(by_row.shape))
    return f" in row {', '.join(str(int(i)) for i in index)}"
