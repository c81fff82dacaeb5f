"""Entropic projection and proximal step: Kullback and Leibler's divergence in place of the distance."""

import math
from typing import Any

from lina._core.array import is_lazy
from lina.simplex._rows import (
    best_int,
    best_real,
    check_axis,
    check_mask,
    detach,
    from_rows,
    is_torch,
    largest,
    open_real,
    per_entry,
    per_row,
    quiet,
    take_at,
    to_rows,
)


def kl_project(x: Any, radius: Any = 1.0, *, upper: Any = None, axis: int = -1, where: Any = None) -> Any:
    """Project onto the simplex in the divergence sum p log(p / x) - p + x: scale ``x`` to sum ``radius`` along an axis.

    With ``upper`` onto the capped simplex: p = min(c x, upper), with the one factor c per row at which the sum is
    right.

    Parameters
    ----------
    x : array_like, shape (..., n, ...)
        Not negative and finite. Integers and booleans are promoted to float64, half precisions to float32 (also in
        the result).
    radius : float or array
        The sum of p, not negative and finite; an array broadcasts to the shape of ``x`` without ``axis`` or
        with 1 there.
    upper : float or array, optional
        Upper bounds of the entries, not negative, broadcast to the shape of ``x``. Default: none.
    axis : int
        The axis along which p sums to ``radius``, default the last.
    where : array of bool, optional
        Entries outside are left out, whatever they are: there p is exactly 0. Broadcasts to the shape of ``x``.

    Returns
    -------
    p : array, shape of ``x``
        0 where ``x`` is, and in a row that ``where`` leaves out altogether.

    Raises
    ------
    TypeError
        If ``x`` is no dense array of real numbers, or ``where`` is not boolean.
    ValueError
        If ``x`` has no dimension or no entry along ``axis``, a negative or infinite entry or a NaN; if ``axis`` is
        out of range, arrays do not broadcast, ``radius`` or ``upper`` is negative, or no p fits: the upper bounds
        where x > 0 sum to less than ``radius``, or x is 0 along ``axis``. In lazy, traced and torch arrays, whose
        values are not looked at, such rows are NaN.

    Notes
    -----
    Single precision is summed in double. Cost O(n), a dozen passes over arrays of the size of ``x`` in float64, and
    with ``upper`` one sort. No certificate: entries have a relative error of a few eps.

    References
    ----------
    Krichene, Krichene and Bayen, IEEE CDC 2015 (entropic projections).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import kl_project
    >>> kl_project(np.array([1.0, 2.0, 5.0]))
    array([0.125, 0.25 , 0.625])
    >>> kl_project(np.array([1.0, 2.0, 5.0]), upper=0.4)
    array([0.2, 0.4, 0.4])
    """
    xp, x = open_real(x=x)
    axis, mask = check_axis(x, axis), check_mask(xp, where, x)
    x = x if mask is None else xp.where(mask, x, 0.0)
    rows = xp.astype(to_rows(xp, x, axis), best_real(xp))
    _check(xp, (x >= 0) & (x < math.inf), "x must have entries that are finite and not negative")
    top = largest(xp, rows)
    weights = rows / xp.where(top > 0, top, math.nan)
    return _scaled(xp, x, weights, radius, upper, axis, mask)


def prox_kl(
    x: Any,
    gradient: Any,
    step: float = 1.0,
    *,
    radius: Any = 1.0,
    upper: Any = None,
    axis: int = -1,
    where: Any = None,
) -> Any:
    """Return the mirror step: the p of the simplex that minimises step * gradient . p + sum p log(p / x).

    p is x * exp(-step * gradient), scaled to sum ``radius``, and with ``upper`` projected by `kl_project`. All is
    relative to the largest entry of p: no exponential overflows, and an entry underflows only where it is too small
    itself.

    Parameters
    ----------
    x : array_like, shape (..., n, ...)
        Not negative and finite; an entry 0 stays 0.
    gradient : array_like, shape of ``x``
        +inf makes an entry 0.
    step : float
        Not negative and finite.
    radius, upper, axis, where
        As in `kl_project`.

    Returns
    -------
    p : array, shape of ``x``

    Raises
    ------
    TypeError, ValueError
        As `kl_project` does; also if ``gradient`` has another shape than ``x`` or ``step`` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import prox_kl
    >>> prox_kl(np.array([0.5, 0.5, 0.0]), np.array([1e4, 1e4 + np.log(3.0), 0.0])).round(6)
    array([0.75, 0.25, 0.  ])
    """
    xp, x, gradient = open_real(x=x, gradient=gradient)
    if x.shape != gradient.shape:
        raise ValueError(f"gradient must have the shape {tuple(x.shape)} of x, got {tuple(gradient.shape)}")
    axis, mask = check_axis(x, axis), check_mask(xp, where, x)
    if mask is not None:
        x, gradient = xp.where(mask, x, 0.0), xp.where(mask, gradient, 0.0)
    if not (isinstance(step, (int, float)) and 0 <= step < math.inf):
        raise ValueError(f"step must be a number, finite and not negative, got {step!r}")
    _check(xp, (x >= 0) & (x < math.inf), "x must have entries that are finite and not negative")
    rows, slope = (xp.astype(to_rows(xp, each, axis), best_real(xp)) for each in (x, gradient))
    weights = _step(xp, rows, step * slope)
    return _scaled(xp, x, weights, radius, upper, axis, mask)


def _step(xp: Any, x: Any, slope: Any) -> Any:
    """Return x * exp(-slope) over its largest entry, row by row; 0 where x is, whatever the slope."""
    with quiet(x):
        logs = xp.where((x == 0) & ~xp.isnan(slope), -math.inf, xp.log(x) - slope)
        # logarithms say which entry is largest, and would lose the digits of extreme ones
        pivot = xp.argmax(detach(logs), axis=-1, keepdims=True)
        top, least = (take_at(xp, detach(each), pivot) for each in (x, slope))
        half = xp.exp((least - slope) / 2)
        weights = xp.where(logs == -math.inf, 0.0, x / top * half * half)
        return xp.where(take_at(xp, logs, pivot) > -math.inf, weights, math.nan)


def _check(xp: Any, right: Any, message: str) -> None:
    """Raise ValueError where the values can be seen and are not all right."""
    if not is_lazy(right) and not is_torch(right) and not bool(xp.all(right)):
        raise ValueError(message)


def _scaled(xp: Any, x: Any, weights: Any, radius: Any, upper: Any, axis: int, mask: Any) -> Any:
    """Return the rows ``weights``, scaled to the sum ``radius`` below ``upper``, in the shape of ``x``.

    Rows without an entry in the mask are 0; the others have no weight outside of it.
    """
    radii = per_row(xp, radius, x, axis, "radius", lambda r: r >= 0, "finite and not negative")[:, None]
    none = None if mask is None else ~xp.any(to_rows(xp, mask, axis), axis=-1, keepdims=True)
    if none is not None:  # of anything the multiple of sum 0
        weights, radii = xp.where(none, 1.0, weights), xp.where(none, 0.0, radii)
    _check(xp, ~xp.isnan(weights), "x must have entries above 0 along the axis, got none in a row, or a NaN")
    r = xp.astype(radii, weights.dtype)
    if upper is None:
        p = weights * (r / xp.sum(weights, axis=-1, keepdims=True))
    else:
        caps = xp.astype(per_entry(xp, upper, x, axis, "upper"), weights.dtype)
        _check(xp, caps >= 0, "upper must have entries that are not negative")
        with quiet(x):  # in units of the radius the sums stay in range
            p = r * _capped(xp, weights, xp.where(caps < r, caps / r, 1.0))
    return from_rows(xp, xp.astype(p, x.dtype), tuple(x.shape), axis)


def _capped(xp: Any, weights: Any, caps: Any) -> Any:
    """Return min(c weights, caps) of the sum 1, row by row.

    Entries reach their caps in the order of caps / weights; of all numbers of capped entries the least is right at
    which the factor c of the others caps no further one.
    """
    ratio = xp.where(weights > 0, caps / xp.where(weights > 0, weights, 1.0), math.inf)
    order = xp.argsort(ratio, axis=-1)
    ratios, cap, weight = (xp.take_along_axis(each, order, axis=-1) for each in (ratio, caps, weights))
    filled = xp.cumulative_sum(xp.where(weight > 0, cap, 0.0), axis=-1)
    fits = filled[:, -1:] >= 1 - (2.0**-18 if caps.dtype == xp.float32 else 2.0**-40)
    _check(xp, fits, "upper must sum to at least radius where x is not 0, got a row where it does not")
    before, left = filled - cap, xp.flip(xp.cumulative_sum(xp.flip(weight, axis=-1), axis=-1), axis=-1)
    free = ((1 - before) <= ratios * left) | (weight == 0)
    # the factor from the free entries themselves, which is more exact than the running sums
    first = xp.sum(xp.astype(~free, best_int(xp)), axis=-1, keepdims=True)
    edge = take_at(xp, ratios, xp.where(first < ratios.shape[-1], first, ratios.shape[-1] - 1))
    capped = (ratio < edge) | (first >= ratios.shape[-1])
    rest = 1 - xp.sum(xp.where(capped & (weights > 0), caps, 0.0), axis=-1, keepdims=True)
    total = xp.sum(xp.where(capped, 0.0, weights), axis=-1, keepdims=True)
    factor = rest / xp.where(total > 0, total, 1.0)
    p = xp.where(weights > 0, xp.where(capped, caps, xp.minimum(factor * weights, caps)), 0.0)
    return xp.where(fits, p, math.nan)
