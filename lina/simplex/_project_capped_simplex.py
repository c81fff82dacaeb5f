"""Euclidean projection onto {lower <= p <= upper, sum p = total}: one threshold per row."""

import math
from typing import Any

from lina._core.array import is_lazy
from lina._core.kernels import kernel
from lina.simplex._project_simplex import centred, open_pair
from lina.simplex._rows import (
    best_int,
    best_real,
    check_axis,
    check_mask,
    detach,
    from_rows,
    is_torch,
    open_real,
    per_entry,
    per_row,
    quiet,
    take_at,
    to_rows,
    worth_calling,
)

# What lies beyond counts as infinite: differences and a few sums of such entries stay in range.
_INFINITE = {"float32": 2.0**126, "float64": 2.0**1020}


def project_capped_simplex(
    x: Any,
    *,
    lower: Any = 0.0,
    upper: Any = 1.0,
    total: Any = 1.0,
    axis: int = -1,
    where: Any = None,
    return_threshold: bool = False,
) -> Any:
    """Project onto the capped simplex: the p between ``lower`` and ``upper``, of sum ``total``, nearest to ``x``.

    p = clip(x - tau, lower, upper), with the one threshold tau per row at which the sum is right. With
    ``upper=1`` and ``total=k`` the projection is a soft choice of the k largest entries.

    Parameters
    ----------
    x : array_like, shape (..., n, ...)
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    lower, upper : float or array
        Bounds of the entries, broadcast to the shape of ``x``; -inf and inf are no bound.
    total : float or array
        The sum of p; an array broadcasts to the shape of ``x`` without ``axis`` or with 1 there.
    axis : int
        The axis along which p sums to ``total``, default the last.
    where : array of bool, optional
        Entries outside are left out: there p is exactly 0, whatever the bounds. Broadcasts to the shape of ``x``.
    return_threshold : bool
        Also return tau and the number of free entries, lower < p < upper, in the shape of ``x`` without ``axis``. Where
        none is free many tau give p: it is the largest of them, or the least where all entries are at ``lower``.

    Returns
    -------
    p : array, shape of ``x``
        A row that ``where`` leaves out altogether is 0, its tau -inf.
    tau, free : array
        Only with ``return_threshold=True``.

    Raises
    ------
    TypeError
        If an argument is no dense array of real numbers, or ``where`` is not boolean.
    ValueError
        If ``x`` has no dimension or no entry along ``axis``, ``axis`` is out of range, arrays do not broadcast, or no
        p fits: a lower bound exceeds the upper one, or ``total`` is not between their sums. In lazy, traced and torch
        arrays, whose values are not looked at, rows that no p fits are NaN.

    Notes
    -----
    Entries +inf are at their upper bound and entries -inf at their lower one, unless the sum has to come from them; a
    row with a NaN is NaN. Beyond 2^1020 in size (2^126 where the library has no float64) entries count as infinite.
    Single precision is summed in double; the error is a few eps of the largest abs(x - tau) of
    an entry between its bounds, and of ``total`` over the number of these entries. With numbers for finite bounds
    Newton's method, 10 to 20 passes on most input; otherwise, and where there is no kernel, a search among the sorted
    2 n breakpoints of the sum, log2(2 n) passes. No certificate.

    For torch tensors p is differentiable by ``x`` (and the bounds and the total), with the derivative of the set of
    free entries.

    References
    ----------
    Pardalos and Kovoor, Math. Programming 46 (1990) 321.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import project_capped_simplex
    >>> project_capped_simplex(np.array([3.0, 1.0, 0.5, -1.0]), total=2.0)
    array([1.  , 0.75, 0.25, 0.  ])
    >>> p, tau, free = project_capped_simplex(np.array([3.0, 1.0, 0.5, -1.0]), total=2.0, return_threshold=True)
    >>> float(tau), int(free)
    (0.25, 2)
    """
    xp, x = open_real(x=x)
    axis, mask = check_axis(x, axis), check_mask(xp, where, x)
    rows = to_rows(xp, x, axis)
    low, high = (_bound(xp, bound, x, axis, name) for bound, name in ((lower, "lower"), (upper, "upper")))
    sums = per_row(xp, total, x, axis, "total", lambda t: t == t, "finite")[:, None]
    if mask is not None:  # what is left out has no choice but 0
        mask = to_rows(xp, mask, axis)
        rows, low, high = (xp.where(mask, each, 0.0) for each in (rows, low, high))
        sums = xp.where(xp.any(mask, axis=-1, keepdims=True), sums, 0.0)
    with quiet(x):
        fits = _fits(xp, low, high, sums, x.shape[axis])
        p = xp.where(fits, _project(xp, rows, low, high, sums), math.nan)
    found = from_rows(xp, p if mask is None else xp.where(mask, p, 0.0), tuple(x.shape), axis)
    if not return_threshold:
        return found
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    return found, *(xp.reshape(each, shape) for each in _threshold(xp, rows, p, low, high, mask))


def _threshold(xp: Any, x: Any, p: Any, low: Any, high: Any, mask: Any) -> tuple[Any, Any]:
    """Return (tau, free) of the projections ``p`` of the rows of ``x``, both (rows,).

    The difference x - p is tau at a free entry, at least tau at the upper bound and at most tau at the lower one.
    """
    with quiet(x):
        excess = x - p
    inside = p > low if mask is None else mask & (p > low)
    least = xp.min(xp.where(inside, excess, math.inf), axis=-1)
    highest = xp.max(excess if mask is None else xp.where(mask, excess, -math.inf), axis=-1)
    tau = xp.where(xp.any(inside, axis=-1), least, highest)
    return tau, xp.sum(xp.astype(inside & (p < high), best_int(xp)), axis=-1)


def _bound(xp: Any, bound: Any, x: Any, axis: int, name: str) -> Any:
    """Return an array of bounds as rows (rows, n), a number as (1, 1)."""
    rows = per_entry(xp, bound, x, axis, name)
    return rows if hasattr(bound, "shape") and bound.shape else rows[:1, :1]


def _fits(xp: Any, low: Any, high: Any, sums: Any, n: int) -> Any:
    """Return which rows have a p (rows, 1), up to rounding; raise where one has none and the values can be seen."""
    ordered = xp.all(low <= high, axis=-1, keepdims=True)
    least, most = (xp.sum(bound, axis=-1, keepdims=True) * (n // bound.shape[-1]) for bound in (low, high))
    slack = 2.0**-22 if sums.dtype == xp.float32 else 2.0**-50
    slack = slack * n**0.5 * xp.abs(sums)
    reached = (least <= sums + slack) & (most >= sums - slack)
    if not is_lazy(ordered) and not is_torch(ordered):
        if not bool(xp.all(ordered)):
            raise ValueError("lower must not exceed upper, got an entry where it does, or a NaN")
        if not bool(xp.all(reached)):
            raise ValueError("total must be between the sums of lower and of upper, got a row where it is not")
    return ordered & reached


def _project(xp: Any, rows: Any, low: Any, high: Any, sums: Any) -> Any:
    """Return the projections of the ``rows`` (rows, n), whose ``sums`` are (rows, 1)."""
    own = kernel("project_between", xp)
    return project_between(xp, rows, low, high, sums) if own is None else own(rows, low, high, sums)


def project_between(xp: Any, rows: Any, low: Any, high: Any, sums: Any) -> Any:
    """Return the same: by a kernel those rows that it can do."""
    fast = worth_calling("project_capped_simplex", xp, rows)
    numbers = low.shape == high.shape == (1, 1)
    if fast is None or not numbers or not bool(xp.isfinite(low - high)[0, 0]):
        return capped_rows(xp, rows, low, high, sums)
    p, left = fast(rows, float(low[0, 0]), float(high[0, 0]), sums[:, 0])
    if left.any():
        p[left] = capped_rows(xp, rows[left], low, high, sums[left])
    return p


def capped_rows(xp: Any, x: Any, low: Any, high: Any, sums: Any) -> Any:
    """Return the projections of the rows of ``x`` (rows, n)."""
    wide = best_real(xp)
    limit = _INFINITE["float64" if wide != xp.float32 else "float32"]
    values = xp.clip(xp.astype(x, wide), -limit, limit)
    low, high, sums = (xp.astype(each, wide) for each in (low, high, sums))
    if _drowns(xp, values, high - low):  # once more from near the threshold, where differences are exact
        values = values - _centre(xp, *(detach(each) for each in (values, low, high, sums)))
    near, left = _breakpoint(xp, *(detach(each) for each in (values, low, high, sums)))
    at_high, at_low = detach(values - high), detach(values - low)
    above, below = (at_high > near) | (left & (at_high == near)), (at_low < near) | (~left & (at_low == near))
    z = values - near  # free entries are near the threshold: so its digits are those of their differences
    tau = xp.zeros_like(near)
    for _ in range(3):  # once for the threshold, and again for entries that rounding put on the wrong side
        fixed = xp.where(above, high, xp.where(below, low, z))
        count = xp.sum(xp.astype(~(above | below), wide), axis=-1, keepdims=True)
        excess = xp.sum(fixed, axis=-1, keepdims=True) - sums
        tau = xp.where(count > 0, excess / xp.where(count > 0, count, 1.0), tau)
        above, below = detach(z - tau) >= high, detach(z - tau) <= low
    p = xp.where(above, high, xp.where(below, low, z - tau))
    return xp.astype(xp.where(xp.isnan(z), math.nan, p), x.dtype)


def _drowns(xp: Any, values: Any, widths: Any) -> bool:
    """Whether some entries may be so large that adding a bound to them loses digits that matter."""
    if is_lazy(values) or is_torch(values):
        return True
    size = xp.where(xp.isfinite(values), xp.abs(values), 0.0)
    return bool(xp.any(size > 2.0**10 * widths))


def _breakpoint(xp: Any, x: Any, low: Any, high: Any, sums: Any) -> tuple[Any, Any]:
    """Return (point, left) of each row, (rows, 1): an end of the interval between breakpoints in which tau lies.

    The interval ends at ``point`` where ``left``, and begins there otherwise: where its end is infinite.
    """
    before, point = _interval(xp, x, low, high, sums)
    left = xp.isfinite(point)
    middle_of_all = xp.where(xp.isfinite(before), before, xp.max(x, axis=-1, keepdims=True))
    return xp.where(left, point, middle_of_all), left


def _centre(xp: Any, x: Any, low: Any, high: Any, sums: Any) -> Any:
    """Return the end (rows, 1) of that interval next to which tau lies, where breakpoints may be farther apart.

    Where entries are so large that x - low and x - high are both x, the sum falls next to the ends only: tau is at the
    first where it has fallen enough halfway.
    """
    before, point = _interval(xp, x, low, high, sums)
    fallen = _sum_at(xp, x, before / 2 + point / 2, low, high) <= sums
    first = xp.isfinite(before) & (fallen | ~xp.isfinite(point))
    return xp.where(first, before, xp.where(xp.isfinite(point), point, xp.max(x, axis=-1, keepdims=True)))


def _interval(xp: Any, x: Any, low: Any, high: Any, sums: Any) -> tuple[Any, Any]:
    """Return the breakpoints between which tau lies, both (rows, 1): one may be infinite.

    The sum of clip(x - tau, low, high) falls with tau and is linear between the breakpoints x - low and x - high.
    """
    points = xp.sort(xp.concat([x - low, x - high], axis=-1), axis=-1)
    last = points.shape[-1] - 1
    first_below, end = xp.zeros_like(sums, dtype=best_int(xp)), xp.full_like(sums, last, dtype=best_int(xp))
    for _ in range(last.bit_length()):
        middle = (first_below + end) // 2
        tau = take_at(xp, points, middle)
        reached = _sum_at(xp, x, tau, low, high) <= sums
        first_below, end = xp.where(reached, first_below, middle + 1), xp.where(reached, middle, end)
    point = take_at(xp, points, end)
    return take_at(xp, points, xp.where(end > 0, end - 1, end)), point


def _sum_at(xp: Any, x: Any, tau: Any, low: Any, high: Any) -> Any:
    """Return the sums of clip(x - tau, low, high), (rows, 1); of infinite tau too."""
    return xp.sum(xp.clip(x - tau, low, high), axis=-1, keepdims=True)


def project_capped_simplex_vjp(p: Any, cotangent: Any, *, lower: Any = 0.0, upper: Any = 1.0, axis: int = -1) -> Any:
    """Return the product of a cotangent with the Jacobian of `project_capped_simplex` by x, from its output ``p``.

    The Jacobian is I - 1 1^T / k on the k free entries, lower < p < upper, and 0 outside; it is symmetric.

    Parameters
    ----------
    p, cotangent : array, shape (..., n, ...)
        The projection, and the gradient by it.
    lower, upper, axis
        As in `project_capped_simplex`.

    Returns
    -------
    gradient : array, shape of ``p``

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import project_capped_simplex_vjp
    >>> project_capped_simplex_vjp(np.array([1.0, 0.75, 0.25, 0.0]), np.array([9.0, 1.0, 0.0, 9.0]))
    array([ 0. ,  0.5, -0.5,  0. ])
    """
    xp, p, g = open_pair(p, cotangent)
    axis = check_axis(p, axis, "p")
    low, high = (
        from_rows(xp, xp.broadcast_to(per_entry(xp, bound, p, axis, name), to_rows(xp, p, axis).shape), p.shape, axis)
        for bound, name in ((lower, "lower"), (upper, "upper"))
    )
    return centred(xp, (p > low) & (p < high), g, axis)


def project_capped_simplex_jvp(p: Any, tangent: Any, *, lower: Any = 0.0, upper: Any = 1.0, axis: int = -1) -> Any:
    """Return the derivative of `project_capped_simplex` along ``tangent``, from its output ``p``.

    The Jacobian is symmetric: parameters and result are those of `project_capped_simplex_vjp`.
    """
    open_pair(p, tangent, "tangent")  # errors by its own name
    return project_capped_simplex_vjp(p, tangent, lower=lower, upper=upper, axis=axis)
