"""Derivatives of entmax and sparsemax as array functions of the output p.

With e = alpha - 1 and weights s = p^(1 - e) on the support, the Jacobian by x is diag(s) - s s^T / sum s. The
derivative by alpha is s W / sum s - w with w = p log(p)^2 phi(-e log p), phi(u) = (exp(u) - 1 - u) / u^2 and W the
sum of w: nothing cancels for alpha to 1, where phi is 1/2 (Correia et al., EMNLP 2019, prop. 1, rearranged).
"""

from typing import Any

from lina.simplex._project_simplex import open_pair, support_centred
from lina.simplex._rows import check_axis, from_rows, over_temperature, per_row
from lina.simplex._softmax import weighted_centred


def sparsemax_vjp(p: Any, cotangent: Any, *, axis: int = -1, temperature: Any = 1.0) -> Any:
    """Return the product of a cotangent with the Jacobian of `sparsemax` by x, from its output ``p``.

    The Jacobian is that of `project_simplex` over the temperature; it is symmetric.

    Parameters
    ----------
    p, cotangent : array, shape (..., n, ...)
        The sparsemax, and the gradient by it.
    axis, temperature
        As in `sparsemax`.

    Returns
    -------
    gradient : array, shape of ``p``

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import sparsemax_vjp
    >>> sparsemax_vjp(np.array([0.25, 0.75, 0.0]), np.array([1.0, 0.0, 5.0]), temperature=0.5)
    array([ 1., -1.,  0.])
    """
    xp, p, g = open_pair(p, cotangent)
    axis = check_axis(p, axis, "p")
    return over_temperature(xp, support_centred(xp, p, g, axis), temperature, axis)


def sparsemax_jvp(p: Any, tangent: Any, *, axis: int = -1, temperature: Any = 1.0) -> Any:
    """Return the derivative of `sparsemax` along ``tangent``, from its output ``p``; the Jacobian is symmetric.

    Parameters and result are those of `sparsemax_vjp`.
    """
    open_pair(p, tangent, "tangent")  # errors by its own name
    return sparsemax_vjp(p, tangent, axis=axis, temperature=temperature)


def entmax_vjp(
    p: Any, cotangent: Any, alpha: Any = 1.5, *, axis: int = -1, temperature: Any = 1.0, return_alpha: bool = False
) -> Any:
    """Return the product of a cotangent with the Jacobian of `entmax` by x, from its output ``p``.

    The Jacobian is (diag(s) - s s^T / sum s) / temperature with s = p^(2 - alpha) where p > 0 and 0 elsewhere: entries
    outside of the support, those left out among them, get exactly 0.

    Parameters
    ----------
    p, cotangent : array, shape (..., n, ...)
        The entmax, and the gradient by it.
    alpha, axis, temperature
        As in `entmax`.
    return_alpha : bool
        Also return the gradient by ``alpha``.

    Returns
    -------
    gradient : array, shape of ``p``
    alpha_gradient : array, shape of ``p`` without ``axis``
        Only with ``return_alpha=True``; for one alpha of all rows its gradient is the sum.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import entmax_vjp
    >>> entmax_vjp(np.array([0.64, 0.36, 0.0]), np.array([1.0, 0.0, 5.0])).round(6)
    array([ 0.342857, -0.342857,  0.      ])
    """
    xp, p, g = open_pair(p, cotangent)
    axis = check_axis(p, axis, "p")
    e = _excess(xp, alpha, p, axis)
    weights = support_weights(xp, p, e)
    g = xp.where(p > 0, g, 0.0)
    gradient = over_temperature(xp, weighted_centred(xp, weights, g, axis), temperature, axis)
    if not return_alpha:
        return gradient
    return gradient, xp.sum(g * alpha_direction(xp, p, e, weights, axis), axis=axis)


def entmax_jvp(
    p: Any, tangent: Any, alpha: Any = 1.5, *, axis: int = -1, temperature: Any = 1.0, alpha_tangent: Any = None
) -> Any:
    """Return the derivative of `entmax` along ``tangent``, and ``alpha_tangent`` for alpha, from its output ``p``.

    Parameters
    ----------
    p, tangent : array, shape (..., n, ...)
        The entmax, and the direction of x.
    alpha, axis, temperature
        As in `entmax`.
    alpha_tangent : float or array, optional
        The direction of ``alpha``, broadcast as ``alpha`` is. Default: alpha stays.

    Returns
    -------
    derivative : array, shape of ``p``

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import entmax_jvp
    >>> entmax_jvp(np.array([0.64, 0.36, 0.0]), np.array([1.0, 1.0, 0.0]))
    array([0., 0., 0.])
    """
    xp, p, t = open_pair(p, tangent, "tangent")
    axis = check_axis(p, axis, "p")
    e = _excess(xp, alpha, p, axis)
    weights = support_weights(xp, p, e)
    t = xp.where(p > 0, t, 0.0)
    derivative = over_temperature(xp, weighted_centred(xp, weights, t, axis), temperature, axis)
    if alpha_tangent is None:
        return derivative
    rates = per_row(xp, alpha_tangent, p, axis, "alpha_tangent", lambda rate: rate == rate, "finite")
    rates = from_rows(xp, rates[:, None], (*p.shape[:axis], 1, *p.shape[axis + 1 :]), axis)
    return derivative + rates * alpha_direction(xp, p, e, weights, axis)


def _excess(xp: Any, alpha: Any, p: Any, axis: int) -> Any:
    """Return alpha - 1 in the shape of ``p`` with 1 in place of n."""
    alphas = per_row(xp, alpha, p, axis, "alpha", lambda a: a >= 1, "finite and at least 1")
    return from_rows(xp, (alphas - 1)[:, None], (*p.shape[:axis], 1, *p.shape[axis + 1 :]), axis)


def support_weights(xp: Any, p: Any, e: Any) -> Any:
    """Return s = p^(1 - e) where p > 0, NaN where p is, and 0 elsewhere."""
    return xp.where(p > 0, xp.where(p > 0, p, 1.0) ** (1 - e), 0.0 * p)


def alpha_direction(xp: Any, p: Any, e: Any, weights: Any, axis: int) -> Any:
    """Return the derivative of entmax by alpha, in the shape of ``p``."""
    log = xp.log(xp.where(p > 0, p, 1.0))
    w = xp.where(p > 0, p, 0.0) * log**2 * _phi(xp, -e * log)
    total = xp.sum(weights, axis=axis, keepdims=True)  # 0 in a row left out altogether
    return weights * xp.sum(w, axis=axis, keepdims=True) / xp.where(total == 0, 1.0, total) - w


def _phi(xp: Any, u: Any) -> Any:
    """Return (exp(u) - 1 - u) / u^2 for u >= 0, 1/2 at 0."""
    small = u < 0.5
    safe = xp.where(small, 1.0, u)
    t = xp.where(small, u, 0.0)
    series = xp.ones_like(u)
    for k in range(14, 2, -1):  # sum of 2 t^(k - 2) / k!, by Horner's rule
        series = 1 + series * t / k
    return xp.where(small, series / 2, (xp.expm1(safe) - safe) / safe**2)
