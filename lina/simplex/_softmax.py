"""Softmax, its logarithm, and the logarithm of its denominator."""

import math
from typing import Any

from lina._core.array import is_lazy
from lina._core.kernels import kernel
from lina.simplex._project_simplex import open_pair
from lina.simplex._rows import (
    check_axis,
    check_mask,
    check_temperature,
    detach,
    from_rows,
    is_torch,
    largest,
    offset,
    open_real,
    over_rows,
    over_temperature,
    places,
    quiet,
    take_at,
    tempered,
    to_rows,
    worth_calling,
)


def softmax(x: Any, *, axis: int = -1, where: Any = None, temperature: Any = 1.0) -> Any:
    """Return exp(x / temperature), normalised to sum 1 along an axis.

    Parameters
    ----------
    x : array_like, shape (..., n, ...)
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    axis : int
        The axis along which p sums to 1, default the last.
    where : array of bool, optional
        Entries outside are left out: there p is exactly 0. Broadcasts to the shape of ``x``.
    temperature : float or array
        Positive; an array broadcasts to the shape of ``x`` without ``axis`` or with 1 there.

    Returns
    -------
    p : array, shape of ``x``

    Raises
    ------
    TypeError
        If ``x`` is no dense array of real numbers, or ``where`` is not boolean.
    ValueError
        If ``x`` has no dimension or no entry along ``axis``, ``axis`` is out of range, ``where`` or ``temperature``
        does not broadcast, or ``temperature`` is not positive and finite. In a lazy, traced or torch array of
        temperatures, whose values are not looked at, such entries make their rows NaN.

    Notes
    -----
    The largest entry of a row is subtracted first, before the division by the temperature. An entry -inf counts as
    left out. Entries +inf share 1 evenly. A row with a NaN, or without an entry above -inf, is NaN; a row that
    ``where`` leaves out altogether is 0. The error of an entry is at most a few eps, relative to the entry times
    1 + its distance from the largest. Cost one exponential per entry. No certificate.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import softmax
    >>> softmax(np.log([1.0, 2.0, 5.0])).round(4)
    array([0.125, 0.25 , 0.625])
    """
    xp, x = open_real(x=x)
    axis, mask = check_axis(x, axis), check_mask(xp, where, x)
    heat = check_temperature(xp, temperature, x, axis)
    fast = None if mask is None and heat is None else worth_calling("masked_softmax", xp, x)
    if fast is None:
        return masked_softmax(xp, x, mask, heat, axis)
    rows = to_rows(xp, x, axis)
    mask = xp.ones_like(rows, dtype=xp.bool) if mask is None else to_rows(xp, mask, axis)
    heat = xp.ones_like(rows[:, 0]) if heat is None else heat
    return from_rows(xp, fast(rows, mask, heat), tuple(x.shape), axis)


def masked_softmax(xp: Any, x: Any, mask: Any, heat: Any, axis: int) -> Any:
    """Return the same in array code, of a mask in the shape of ``x`` and a temperature per row, or None for them."""
    return over_rows(xp, x, lambda rows: softmax_rows(xp, tempered(xp, rows, heat)), axis=axis, mask=mask)


def log_softmax(x: Any, *, axis: int = -1, where: Any = None, temperature: Any = 1.0) -> Any:
    """Return the logarithm of `softmax`, without the underflow of its small entries.

    Parameters, errors and notes are those of `softmax`, with -inf for what is 0 there.

    Returns
    -------
    logp : array, shape of ``x``

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import log_softmax
    >>> log_softmax(np.array([0.0, -1000.0]))
    array([    0., -1000.])
    """
    xp, x = open_real(x=x)
    axis, mask = check_axis(x, axis), check_mask(xp, where, x)
    heat = check_temperature(xp, temperature, x, axis)

    return over_rows(
        xp,
        x,
        lambda rows: log_softmax_rows(xp, tempered(xp, rows, heat)),
        axis=axis,
        mask=mask,
        masked_value=-math.inf,
    )


def logsumexp(x: Any, *, axis: int = -1, where: Any = None, temperature: Any = 1.0) -> Any:
    """Return temperature * log(sum(exp(x / temperature))) along an axis: a smooth maximum, whose gradient is `softmax`.

    Parameters and errors are those of `softmax`.

    Returns
    -------
    value : array, shape of ``x`` without ``axis``
        At least the largest entry, by at most temperature * log n. -inf where there is no entry above -inf (an empty
        sum), +inf where one is +inf, NaN where one is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import logsumexp
    >>> round(float(logsumexp(np.array([1e4, 1e4]))) - 1e4, 6)
    0.693147
    """
    xp, x = open_real(x=x)
    axis, mask = check_axis(x, axis), check_mask(xp, where, x)
    heat = check_temperature(xp, temperature, x, axis)

    def rows(values: Any) -> Any:
        own = kernel("logsumexp", xp) if heat is None else None
        if own is not None:
            return own(values)
        # rows with an infinity or a NaN are their largest entry; what else is computed of them has a derivative, too
        limit = largest(xp, values) if is_torch(values) or is_lazy(values) else None
        if limit is not None:
            values = xp.where(xp.isfinite(limit), values, 0.0)
        top, above = log_normaliser_rows(xp, tempered(xp, values, heat))
        if heat is not None:  # the largest is at 0 there, with a derivative of its own
            with quiet(x):
                top, above = largest(xp, values), (top + above) * heat[:, None]
        top = top if limit is None else xp.where(xp.isfinite(limit), top, limit)
        finite = xp.isfinite(top)
        return xp.where(finite, xp.where(finite, top, 0.0) + above, top)

    return xp.squeeze(over_rows_to_one(xp, x, rows, axis, mask), axis=axis)


def over_rows_to_one(xp: Any, x: Any, function: Any, axis: int, mask: Any) -> Any:
    """Return ``function`` of the rows, which makes one number of each, with 1 in place of n."""
    if mask is not None:  # those left out altogether too: they are empty sums
        x = xp.where(mask, x, -math.inf)
    return from_rows(xp, function(to_rows(xp, x, axis)), (*x.shape[:axis], 1, *x.shape[axis + 1 :]), axis)


def softmax_rows(xp: Any, x: Any) -> Any:
    """Return the softmax of the rows of ``x`` (rows, n)."""
    fast = worth_calling("softmax", xp, x)
    if fast is not None:
        return fast(x)
    weights = xp.exp(offset(xp, x, largest(xp, x)))
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def log_softmax_rows(xp: Any, x: Any) -> Any:
    """Return the logarithm of the softmax of the rows of ``x`` (rows, n)."""
    fast = worth_calling("log_softmax", xp, x)
    if fast is not None:
        return fast(x)
    top, above = _log_normaliser_body(xp, x)
    return offset(xp, x, top) - above


def log_normaliser_rows(xp: Any, x: Any) -> tuple[Any, Any]:
    """Return the largest entry of each row of ``x`` (rows, n), and log sum exp(x - that), both (rows, 1)."""
    fast = worth_calling("log_normaliser", xp, x)
    return _log_normaliser_body(xp, x) if fast is None else fast(x)


def _log_normaliser_body(xp: Any, x: Any) -> tuple[Any, Any]:
    """Return the same in array code.

    The sum is that of the others beside the largest, exp(x - largest) = 1 exactly: so its logarithm has digits near 0.
    """
    first = xp.argmax(detach(x), axis=-1, keepdims=True)
    top = take_at(xp, x, first)
    others = xp.where(places(xp, x) == first, 0.0, xp.exp(offset(xp, x, top)))
    # the sum is NaN where the largest is, or where there is none
    whole = xp.sum(others, axis=-1, keepdims=True)
    return top, xp.where(top > -math.inf, xp.log1p(whole), math.nan)


def softmax_vjp(p: Any, cotangent: Any, *, axis: int = -1, temperature: Any = 1.0) -> Any:
    """Return the product of a cotangent with the Jacobian of `softmax` by x, from its output ``p``.

    The Jacobian is (diag(p) - p p^T) / temperature, which is symmetric. Entries left out get exactly 0.

    Parameters
    ----------
    p, cotangent : array, shape (..., n, ...)
        The softmax, and the gradient by it.
    axis, temperature
        As in `softmax`; a temperature array has the shape of ``p`` without ``axis`` or with 1 there.

    Returns
    -------
    gradient : array, shape of ``p``

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import softmax_vjp
    >>> softmax_vjp(np.array([0.5, 0.5, 0.0]), np.array([1.0, 0.0, 7.0]))
    array([ 0.25, -0.25,  0.  ])
    """
    xp, p, g = open_pair(p, cotangent)
    axis = check_axis(p, axis, "p")
    gradient = weighted_centred(xp, p, xp.where(p > 0, g, 0.0), axis)
    return over_temperature(xp, gradient, temperature, axis)


def softmax_jvp(p: Any, tangent: Any, *, axis: int = -1, temperature: Any = 1.0) -> Any:
    """Return the derivative of `softmax` along ``tangent``, from its output ``p``; the Jacobian is symmetric.

    Parameters and result are those of `softmax_vjp`.
    """
    open_pair(p, tangent, "tangent")  # errors by its own name
    return softmax_vjp(p, tangent, axis=axis, temperature=temperature)


def weighted_centred(xp: Any, weights: Any, g: Any, axis: int) -> Any:
    """Return weights * (g - mean of g by these weights); 0 where all weights are."""
    total = xp.sum(weights, axis=axis, keepdims=True)
    mean = xp.sum(weights * g, axis=axis, keepdims=True) / xp.where(total == 0, 1.0, total)
    return xp.where(weights == 0, 0.0, weights * (g - mean))


def log_softmax_vjp(logp: Any, cotangent: Any, *, axis: int = -1, temperature: Any = 1.0) -> Any:
    """Return the product of a cotangent with the transposed Jacobian of `log_softmax` by x, from its output.

    That is (g - p sum g) / temperature with p = exp(logp). Entries left out, at -inf, get exactly 0 and give nothing.

    Parameters
    ----------
    logp, cotangent : array, shape (..., n, ...)
        The log-softmax, and the gradient by it.
    axis, temperature
        As in `log_softmax`; a temperature array has the shape of ``p`` without ``axis`` or with 1 there.

    Returns
    -------
    gradient : array, shape of ``logp``

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import log_softmax_vjp
    >>> log_softmax_vjp(np.log([0.25, 0.75]), np.array([1.0, 0.0]))
    array([ 0.75, -0.75])
    """
    xp, logp, g = open_pair(logp, cotangent, first="logp")
    axis = check_axis(logp, axis, "logp")
    counted = xp.where(logp == -math.inf, 0.0, g)
    gradient = counted - xp.exp(logp) * xp.sum(counted, axis=axis, keepdims=True)
    return over_temperature(xp, gradient, temperature, axis)


def log_softmax_jvp(logp: Any, tangent: Any, *, axis: int = -1, temperature: Any = 1.0) -> Any:
    """Return the derivative of `log_softmax` along ``tangent``, from its output: (t - sum p t) / temperature.

    Parameters are those of `log_softmax_vjp`; entries left out, at -inf, get exactly 0 and give nothing.

    Returns
    -------
    derivative : array, shape of ``logp``

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import log_softmax_jvp
    >>> log_softmax_jvp(np.log([0.25, 0.75]), np.array([1.0, 0.0]))
    array([ 0.75, -0.25])
    """
    xp, logp, t = open_pair(logp, tangent, "tangent", "logp")
    axis = check_axis(logp, axis, "logp")
    gone = logp == -math.inf
    counted = xp.where(gone, 0.0, t)
    derivative = counted - xp.sum(xp.exp(logp) * counted, axis=axis, keepdims=True)
    derivative = xp.where(gone, 0.0, derivative)
    return over_temperature(xp, derivative, temperature, axis)
