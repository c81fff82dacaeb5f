"""Euclidean projection onto the l1 ball {sum abs(p) <= radius}, by way of the simplex."""

import math
from typing import Any

from lina._core.array import epsilon, is_lazy
from lina.simplex._project_simplex import open_pair, project_rows, threshold
from lina.simplex._rows import check_axis, from_rows, is_torch, open_real, over_rows, per_row, quiet, to_rows


def project_l1_ball(x: Any, radius: Any = 1.0, *, axis: int = -1, return_threshold: bool = False) -> Any:
    """Project onto the l1 ball: the p with sum abs(p) <= ``radius`` along an axis that is nearest to ``x``.

    Inside the ball x itself, outside sign(x) times the projection of abs(x) onto the simplex: soft thresholding.

    Parameters
    ----------
    x : array_like, shape (..., n, ...)
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    radius : float or array
        Not negative and finite; an array broadcasts to the shape of ``x`` without ``axis`` or with 1 there.
    axis : int
        The axis along which the norm is taken, default the last.
    return_threshold : bool
        Also return tau, by which p = sign(x) max(abs(x) - tau, 0), and the number of entries of p that are not 0, in
        the shape of ``x`` without ``axis``. Inside the ball tau is 0.

    Returns
    -------
    p : array, shape of ``x``
    tau, support : array
        Only with ``return_threshold=True``.

    Raises
    ------
    TypeError
        If ``x`` is no dense array of real numbers.
    ValueError
        If ``x`` has no dimension or no entry along ``axis``, ``axis`` is out of range, ``radius`` does not broadcast,
        or is negative or not finite. In a lazy, traced or torch array of radii, whose values are not looked at, such
        entries make their rows NaN.

    Notes
    -----
    Infinite entries share the radius evenly; a row with a NaN is NaN. No certificate: the error is a few
    eps of the largest entry of p. Cost that of `project_simplex` of abs(x) and about four passes over ``x``.

    References
    ----------
    Duchi, Shalev-Shwartz, Singer and Chandra, ICML 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import project_l1_ball
    >>> project_l1_ball(np.array([1.0, -0.5, 0.25]))
    array([ 0.75, -0.25,  0.  ])
    >>> project_l1_ball(np.array([0.25, -0.5, 0.25]))
    array([ 0.25, -0.5 ,  0.25])
    >>> p, tau, support = project_l1_ball(np.array([1.0, -0.5, 0.25]), return_threshold=True)
    >>> float(tau), int(support)
    (0.25, 2)
    """
    xp, x = open_real(x=x)
    axis = check_axis(x, axis)
    radii = per_row(xp, radius, x, axis, "radius", lambda r: r >= 0, "finite and not negative")

    def rows(values: Any) -> Any:
        size = xp.abs(values)
        with quiet(x):  # a norm that overflows is outside as well
            inside = xp.sum(size, axis=-1, keepdims=True) <= radii[:, None]
        p = xp.copysign(project_rows(xp, size, radii), values)
        known = not is_lazy(inside) and not is_torch(inside)
        return p if known and not bool(xp.any(inside)) else xp.where(inside, values, p)

    p = over_rows(xp, x, rows, axis=axis)
    return (p, *threshold(xp, xp.abs(x), xp.abs(p), axis, None)) if return_threshold else p


def project_l1_ball_vjp(p: Any, cotangent: Any, *, radius: float = 1.0, axis: int = -1) -> Any:
    """Return the product of a cotangent with the Jacobian of `project_l1_ball` by x, from its output ``p``.

    The Jacobian is I where the norm of p is below ``radius`` (by more than rounding), and I - s s^T / k on the k
    entries that are not 0 otherwise, s their signs; it is symmetric.

    Parameters
    ----------
    p, cotangent : array, shape (..., n, ...)
        The projection, and the gradient by it.
    radius, axis
        As in `project_l1_ball`.

    Returns
    -------
    gradient : array, shape of ``p``

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import project_l1_ball_vjp
    >>> project_l1_ball_vjp(np.array([0.75, -0.25, 0.0]), np.array([1.0, 0.0, 5.0]))
    array([0.5, 0.5, 0. ])
    """
    xp, p, g = open_pair(p, cotangent)
    axis = check_axis(p, axis, "p")
    radii = per_row(xp, radius, p, axis, "radius", lambda r: r >= 0, "finite and not negative")
    rounding = 4 * epsilon(p) * math.sqrt(p.shape[axis])

    point, direction = to_rows(xp, p, axis), to_rows(xp, g, axis)
    with quiet(p):  # a norm that rounds to infinity is on the boundary
        inside = xp.sum(xp.abs(point), axis=-1, keepdims=True) < radii[:, None] * (1 - rounding)
    sign = xp.where(point > 0, 1.0, xp.where(point < 0, -1.0, 0.0 * point))
    count = xp.sum(xp.abs(sign), axis=-1, keepdims=True)
    along = xp.sum(sign * direction / xp.where(count > 0, count, 1.0), axis=-1, keepdims=True)
    gradient = xp.where(inside, direction, xp.where(sign != 0, direction - sign * along, 0.0))
    return from_rows(xp, gradient, tuple(p.shape), axis)


def project_l1_ball_jvp(p: Any, tangent: Any, *, radius: float = 1.0, axis: int = -1) -> Any:
    """Return the derivative of `project_l1_ball` along ``tangent``, from its output ``p``; the Jacobian is symmetric.

    Parameters and result are those of `project_l1_ball_vjp`.
    """
    open_pair(p, tangent, "tangent")  # errors by its own name
    return project_l1_ball_vjp(p, tangent, radius=radius, axis=axis)
