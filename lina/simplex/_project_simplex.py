"""Euclidean projection onto the simplex {p >= 0, sum p = radius}: one threshold per row."""

import math
from typing import Any

from lina.simplex._rows import (
    best_int,
    best_real,
    check_axis,
    check_mask,
    detach,
    divided,
    largest,
    offset,
    open_real,
    over_rows,
    over_temperature,
    per_row,
    quiet,
    worth_calling,
)


def project_simplex(
    x: Any, radius: Any = 1.0, *, axis: int = -1, where: Any = None, return_threshold: bool = False
) -> Any:
    """Project onto the simplex: the p >= 0 of sum ``radius`` along an axis that is nearest to ``x``.

    p = max(x - tau, 0), with the one threshold tau per row at which the sum is right. For radius 1 this is
    `sparsemax`.

    Parameters
    ----------
    x : array_like, shape (..., n, ...)
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    radius : float or array
        The sum of p, not negative and finite; an array broadcasts to the shape of ``x`` without ``axis`` or
        with 1 there.
    axis : int
        The axis along which p sums to ``radius``, default the last.
    where : array of bool, optional
        Entries outside are left out: there p is exactly 0. Broadcasts to the shape of ``x``.
    return_threshold : bool
        Also return tau and the number of entries of p that are not 0, in the shape of ``x`` without ``axis``.

    Returns
    -------
    p : array, shape of ``x``
        In the library and on the device of ``x``.
    tau, support : array
        Only with ``return_threshold=True``.

    Raises
    ------
    TypeError
        If ``x`` is no dense array of real numbers, or ``where`` is not boolean.
    ValueError
        If ``x`` has no dimension or no entry along ``axis``, ``axis`` is out of range, ``where`` or ``radius`` does not
        broadcast, or ``radius`` is negative or not finite. In a lazy, traced or torch array of radii, whose values are
        not looked at, such entries make their rows NaN.

    Notes
    -----
    The largest entry of a row is subtracted first, so an offset common to a row changes nothing but the rounding
    of x itself. An entry -inf counts as left out. Entries +inf share the radius evenly. A row with a NaN, or without
    an entry above -inf, is NaN; a row that ``where`` leaves out altogether is 0, its tau -inf. Entries equal to tau
    are 0.

    No certificate: the error is a few eps of the largest entry of p. Single precision is summed in double.
    Cost about 3 readings of ``x``: all but the candidates within ``radius`` of the largest entry are discarded at once;
    Newton's method on the rest ends after at most 60 passes on any input, 3 to 8 on most. Without a kernel
    one sort.

    For torch tensors p is differentiable any number of times, with the derivative of the support that p has.

    References
    ----------
    Held, Wolfe and Crowder, Math. Programming 6 (1974) 62; Condat, Math. Programming 158 (2016) 575.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import project_simplex
    >>> project_simplex(np.array([0.5, 1.0, -0.25]))
    array([0.25, 0.75, 0.  ])
    >>> p, tau, support = project_simplex(np.array([2.0, 2.0, 1.0]), 2, return_threshold=True)
    >>> float(tau), int(support)
    (1.0, 2)
    """
    xp, x = open_real(x=x)
    axis, mask = check_axis(x, axis), check_mask(xp, where, x)
    radii = per_row(xp, radius, x, axis, "radius", lambda r: r >= 0, "finite and not negative")
    p = over_rows(xp, x, lambda rows: project_rows(xp, rows, radii), axis=axis, mask=mask)
    return (p, *threshold(xp, x, p, axis, mask)) if return_threshold else p


def threshold(
    xp: Any, x: Any, p: Any, axis: int, mask: Any, temperature: Any = 1.0, power: Any = None
) -> tuple[Any, Any]:
    """Return (tau, support) of p^power = max(power x / temperature - tau, 0): the largest entry is in every support."""
    top = xp.max(x if mask is None else xp.where(mask, x, -math.inf), axis=axis, keepdims=True)
    top, height = over_temperature(xp, top, temperature, axis), xp.max(p, axis=axis, keepdims=True)
    with quiet(x):  # of a tau out of range
        if power is not None:
            finite = xp.isfinite(top)
            top = xp.where(finite, xp.where(finite, top, 0.0) * power, top)
            # 0 only in a row left out altogether, where tau is -inf
            height = xp.where(height == 0, 1.0, height) ** power
        return xp.squeeze(top - height, axis=axis), xp.sum(xp.astype(p != 0, best_int(xp)), axis=axis)


def project_rows(xp: Any, x: Any, radius: Any) -> Any:
    """Return the projections of the rows of ``x`` (rows, n) onto the simplices of ``radius`` (rows,)."""
    fast = worth_calling("project_simplex", xp, x)
    return project_rows_body(xp, x, radius) if fast is None else fast(x, radius)


def project_rows_body(xp: Any, x: Any, radius: Any) -> Any:
    """Return the same in array code: the support from a sort, then the threshold from the sum over it."""
    r = xp.astype(radius, best_real(xp))[:, None]
    with quiet(x):
        # in units of the radius the sums stay in range
        z = divided(xp, xp.astype(offset(xp, x, largest(xp, x)), r.dtype), xp.where(r == 0, 1.0, r))
        z = xp.maximum(z, -2.0)  # what lies below -1 is never in the support
        ordered = xp.sort(detach(z), axis=-1, descending=True)
        k = xp.cumulative_sum(xp.ones_like(ordered), axis=-1)
        inside = ordered > (xp.cumulative_sum(ordered, axis=-1) - 1) / k
        tau = _threshold_of(xp, ordered, inside)
        # the sums of a sort err in their order: once more from the support itself, which has a derivative as well
        tau = _threshold_of(xp, z, detach(z) >= detach(tau))
        return xp.astype(r * xp.maximum(z - tau, 0.0), x.dtype)


def _threshold_of(xp: Any, z: Any, support: Any) -> Any:
    """Return the threshold of the rows whose support is given; any number where they are NaN and have none."""
    count = xp.sum(xp.astype(support, z.dtype), axis=-1, keepdims=True)
    total = xp.sum(xp.where(support, z, 0.0), axis=-1, keepdims=True)
    return (total - 1) / xp.where(count > 0, count, 1.0)


def project_simplex_vjp(p: Any, cotangent: Any, *, axis: int = -1) -> Any:
    """Return the product of a cotangent with the Jacobian of `project_simplex` by x, from its output ``p``.

    The Jacobian is I - 1 1^T / k on the support p > 0 and 0 outside; it is symmetric. Where an entry of x
    equals tau, this is the derivative of the smaller support. Entries left out by ``where`` get exactly 0.

    Parameters
    ----------
    p, cotangent : array, shape (..., n, ...)
        The projection, and the gradient by it.
    axis : int
        As in `project_simplex`.

    Returns
    -------
    gradient : array, shape of ``p``

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import project_simplex_vjp
    >>> project_simplex_vjp(np.array([0.25, 0.75, 0.0]), np.array([1.0, 0.0, 5.0]))
    array([ 0.5, -0.5,  0. ])
    """
    xp, p, cotangent = open_pair(p, cotangent)
    return support_centred(xp, p, cotangent, check_axis(p, axis, "p"))


def project_simplex_jvp(p: Any, tangent: Any, *, axis: int = -1) -> Any:
    """Return the derivative of `project_simplex` along ``tangent``, from its output ``p``; the Jacobian is symmetric.

    Parameters and result are those of `project_simplex_vjp`.
    """
    open_pair(p, tangent, "tangent")  # errors by its own name
    return project_simplex_vjp(p, tangent, axis=axis)


def support_centred(xp: Any, p: Any, g: Any, axis: int) -> Any:
    """Return g - mean(g) over the support p > 0, NaN where ``p`` is, and 0 elsewhere."""
    return xp.where(p > 0, centred(xp, p > 0, g, axis), 0.0 * p)


def centred(xp: Any, support: Any, g: Any, axis: int) -> Any:
    """Return g - mean(g) over the support, 0 outside of it."""
    count = xp.sum(xp.astype(support, g.dtype), axis=axis, keepdims=True)
    mean = xp.sum(xp.where(support, g, 0.0), axis=axis, keepdims=True) / xp.where(count > 0, count, 1.0)
    return xp.where(support, g - mean, 0.0)


def open_pair(p: Any, g: Any, name: str = "cotangent", first: str = "p") -> tuple[Any, Any, Any]:
    """Return (xp, p, g): an output and a gradient of its shape."""
    xp, p, g = open_real(**{first: p, name: g})
    if p.shape != g.shape:
        raise ValueError(f"{name} must have the shape {tuple(p.shape)} of {first}, got {tuple(g.shape)}")
    return xp, p, g
