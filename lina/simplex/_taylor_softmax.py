"""Softmax with the exponential replaced by one of its Taylor polynomials of even order, which are positive."""

import math
import operator
from functools import cache
from typing import Any

import numpy as np

from lina.simplex._rows import (
    check_axis,
    check_mask,
    check_temperature,
    detach,
    divided,
    largest,
    open_real,
    over_rows,
    quiet,
    to_rows,
)


def taylor_softmax(x: Any, order: int = 2, *, axis: int = -1, where: Any = None, temperature: Any = 1.0) -> Any:
    r"""Normalise the Taylor polynomial T(x) = 1 + x + x^2 / 2 + ... + x^order / order! of the exponential.

    Neither monotone nor invariant to shifts: below the root of T' (-1 for order 2, -1.596 for 4, -2.181 for 6) a
    smaller entry gets *more*. Use it for entries above that root, for example by first subtracting the smallest entry
    of each row; with order 2, ``[-4, -1, 0]`` gives the smallest entry 0.77 of the probability.

    Parameters
    ----------
    x : array_like
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    order : int
        Even, in 2..100: polynomials of odd order take both signs.
    axis : int
        The axis of the distributions, default the last.
    where : array_like of bool, optional
        Entries that count, broadcast to ``x``; the others get 0, as entries -inf do.
    temperature : float or array
        ``x`` is divided by it; one for all or one per row (the shape of ``x`` without ``axis`` or with 1 there).

    Returns
    -------
    p : array, shape of ``x``
        Positive where entries count, of sum 1 along ``axis``. A row with a NaN, or without an entry above -inf, is
        NaN; a row that ``where`` leaves out altogether is 0. Entries +inf share the probability.

    Raises
    ------
    TypeError
        If ``x`` is no real array, ``order`` or ``axis`` no int, or ``where`` not boolean.
    ValueError
        If ``order`` is odd or out of range, ``axis`` out of range, the temperature not positive and finite, or shapes
        do not fit.

    Notes
    -----
    T(x) order! is the integral of (x + t)^order exp(-t) over t > 0, for which Gauss and Laguerre's order / 2 + 1 nodes
    are exact: a sum of even powers, positive also in floating point, where Horner's scheme cancels. Cost O(order) an
    entry. No exponential is taken and rows are scaled, so that nothing overflows. Differentiable for torch tensors.

    References
    ----------
    Scientific Spaces 10145; de Brebisson and Vincent, ICLR 2016, arXiv 1511.05042.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import taylor_softmax
    >>> taylor_softmax([0.0, 1.0, 2.0]) * 8.5
    array([1. , 2.5, 5. ])
    """
    xp, x = open_real(x=x)
    axis = check_axis(x, axis)
    order = check_order(order)
    mask = check_mask(xp, where, x)
    divisor = check_temperature(xp, temperature, x, axis)
    return over_rows(xp, x, lambda rows: _normalised(xp, rows, order, divisor)[0], axis=axis, mask=mask)


def taylor_softmax_vjp(
    x: Any, cotangent: Any, order: int = 2, *, axis: int = -1, where: Any = None, temperature: Any = 1.0
) -> Any:
    """Return the product of a cotangent with the Jacobian of `taylor_softmax` by ``x``.

    Parameters
    ----------
    x, cotangent : array_like, of one shape
        The entries, and the derivatives of a scalar with respect to the probabilities.
    order, axis, where, temperature
        As in `taylor_softmax`.

    Returns
    -------
    array, shape of ``x``
        The derivatives of the scalar with respect to ``x``; 0 for entries that do not count.

    Raises
    ------
    TypeError, ValueError
        As `taylor_softmax`, and if the shapes differ.

    Notes
    -----
    With q = T(x) / sum T and q' = T' / sum T and the cotangent g it is q' (g - q . g) / temperature; O(order) an entry.

    Examples
    --------
    >>> from lina.simplex import taylor_softmax_vjp
    >>> taylor_softmax_vjp([0.0, 0.0], [1.0, 0.0])
    array([ 0.25, -0.25])
    """
    return _derivative(x, cotangent, "cotangent", order, axis, where, temperature, transposed=True)


def taylor_softmax_jvp(
    x: Any, tangent: Any, order: int = 2, *, axis: int = -1, where: Any = None, temperature: Any = 1.0
) -> Any:
    """Return the derivative of `taylor_softmax` along ``tangent``.

    Parameters
    ----------
    x, tangent : array_like, of one shape
        The entries, and the direction in which they move.
    order, axis, where, temperature
        As in `taylor_softmax`.

    Returns
    -------
    array, shape of ``x``
        The derivative of the probabilities in that direction; 0 for entries that do not count.

    Raises
    ------
    TypeError, ValueError
        As `taylor_softmax`, and if the shapes differ.

    Notes
    -----
    With q = T(x) / sum T and q' = T' / sum T and the tangent v it is (q' v - q (q' . v)) / temperature; O(order) an
    entry.

    Examples
    --------
    >>> from lina.simplex import taylor_softmax_jvp
    >>> taylor_softmax_jvp([0.0, 0.0], [1.0, 0.0])
    array([ 0.25, -0.25])
    """
    return _derivative(x, tangent, "tangent", order, axis, where, temperature, transposed=False)


def _derivative(
    x: Any, v: Any, name: str, order: int, axis: int, where: Any, temperature: Any, *, transposed: bool
) -> Any:
    xp, x, v = open_real(**{"x": x, name: v})
    axis = check_axis(x, axis)
    check_same_shape(x, v, name)
    order = check_order(order)
    mask = check_mask(xp, where, x)
    divisor = check_temperature(xp, temperature, x, axis)
    direction = to_rows(xp, v, axis)

    def body(rows: Any) -> Any:
        q, slope = _normalised(xp, rows, order, divisor)
        if transposed:
            return slope * (direction - xp.sum(q * direction, axis=-1, keepdims=True))
        return slope * direction - q * xp.sum(slope * direction, axis=-1, keepdims=True)

    return over_rows(xp, x, body, axis=axis, mask=mask)


def check_order(order: Any) -> int:
    """Return ``order`` as an even int."""
    try:
        if isinstance(order, (bool, np.bool_)):
            raise TypeError
        value = operator.index(order)
    except TypeError:
        raise TypeError(f"order must be an int, got {type(order).__name__}") from None
    if value % 2 or not 2 <= value <= 100:
        raise ValueError(f"order must be even and in 2..100, got {value}")
    return value


def _normalised(xp: Any, rows: Any, order: int, divisor: Any) -> tuple[Any, Any]:
    """Return T / sum T and dT/dx / sum T of the rows divided by the temperatures ``divisor``."""
    with quiet(rows):
        x = rows if divisor is None else divided(xp, rows, divisor[:, None])
    top = largest(xp, x)
    infinite = x == math.inf
    counts = ((top == math.inf) & infinite) | ((top != math.inf) & (x > -math.inf)) | xp.isnan(x)
    x = xp.where(counts & ~infinite, x, 0.0)
    scale = _scale(xp, detach(x), order)
    value, slope = xp.zeros_like(x), xp.zeros_like(x)
    for node, weight in _sum_of_powers(order):
        u = (x + node) / scale * weight
        most = _power(u, order - 1)
        value, slope = value + most * u, slope + (order * weight) * most
    value, slope = xp.where(counts, value, 0.0), xp.where(counts, slope, 0.0)
    total = xp.sum(value, axis=-1, keepdims=True)
    total = xp.where(total == 0, math.nan, total)
    slope = slope / total / scale
    return value / total, slope if divisor is None else slope / divisor[:, None]


def _scale(xp: Any, x: Any, order: int) -> Any:
    """Return the largest root of a power of each row: divided by it, none overflows and not all underflow."""
    scale = xp.zeros_like(x[..., :1])
    for node, weight in _sum_of_powers(order):
        scale = xp.maximum(scale, xp.max(xp.abs(x + node), axis=-1, keepdims=True) * weight)
    return xp.where(scale == 0, 1.0, scale)


@cache
def _gauss_laguerre(order: int) -> tuple[tuple[float, float], ...]:
    """Return pairs (t, a) such that T(x) is the sum of (a (x + t))^order."""
    nodes, weights = np.polynomial.laguerre.laggauss(order // 2 + 1)
    return tuple(
        (float(t), float(a)) for t, a in zip(nodes, (weights / math.factorial(order)) ** (1 / order), strict=True)
    )


def _sum_of_powers(order: int) -> tuple[tuple[float, float], ...]:
    """Return the same, to torch.compile as a constant."""
    return _gauss_laguerre(order)


_sum_of_powers._dynamo_marked_constant = True  # type: ignore[attr-defined]  # what assume_constant_result sets


def _power(u: Any, exponent: int) -> Any:
    """Return ``u`` to an odd power by repeated squaring."""
    result, square, left = u, u, exponent // 2
    while left:
        square = square * square
        if left % 2:
            result = result * square
        left //= 2
    return result


def check_same_shape(x: Any, v: Any, name: str) -> None:
    """Raise ValueError unless ``v`` has the shape of ``x``."""
    if tuple(v.shape) != tuple(x.shape):
        raise ValueError(f"{name} must have the shape {tuple(x.shape)} of x, got {tuple(v.shape)}")
