"""A smooth choice of the k largest entries: weights between 0 and 1 of sum k."""

import math
from typing import Any

from lina._core.array import is_lazy
from lina._core.checks import check_option, check_rank
from lina._core.kernels import kernel
from lina.simplex._project_capped_simplex import project_capped_simplex
from lina.simplex._project_simplex import centred, open_pair
from lina.simplex._rows import (
    best_real,
    check_axis,
    check_mask,
    check_temperature,
    detach,
    divided,
    from_rows,
    is_torch,
    iterate,
    masked,
    offset,
    open_real,
    over_temperature,
    quiet,
    to_rows,
)
from lina.simplex._softmax import weighted_centred
from lina.simplex._truncated_softmax import keep_topk, kth_largest

REGULARIZERS = ("quadratic", "entropic")

# A gap of this width between the k-th entry and the next decides the weights to rounding.
_DECIDED = 80.0
# Entries this far from the k-th have the weight 0 or 1, and the squares of their exponentials do not overflow.
_BEYOND, _BEYOND_SINGLE = 300.0, 40.0
# Newton's method takes 3 to 8 steps; bisection of the bracket to rounding would take so many.
_MOST_STEPS = 60


def soft_topk(
    x: Any,
    k: int,
    temperature: Any = 1.0,
    *,
    regularizer: str = "quadratic",
    axis: int = -1,
    where: Any = None,
) -> Any:
    """Choose the ``k`` largest entries smoothly: weights p in [0, 1] of sum k that maximise p . x / temperature + H(p).

    Parameters
    ----------
    x : array_like
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    k : int
        In 1..n, n the length of ``axis``.
    temperature : float or array
        Towards 0 the k largest entries get 1 and the others 0. Positive; an array has the shape of ``x``
        without ``axis`` or with 1 there.
    regularizer : {"quadratic", "entropic"}
        H = - sum p^2 / 2: the projection onto the capped simplex, with weights exactly 0 and 1
        (`project_capped_simplex`). Or H = - sum p log p + (1 - p) log(1 - p): p = sigmoid(x / temperature - tau),
        strictly between but for rounding, which makes 0 and 1 of what is nearer to them than the dtype can tell, and
        infinitely often differentiable.
    axis : int
        The axis along which p sums to k, default the last.
    where : array of bool, optional
        Entries outside are left out: there p is exactly 0. Broadcasts to the shape of ``x``.

    Returns
    -------
    p : array, shape of ``x``
        Of sum k along ``axis``, or of as many entries as count where those are fewer: then these get 1.

    Raises
    ------
    TypeError
        If ``x`` is no real array, ``k`` or ``axis`` no int, or ``where`` not boolean.
    ValueError
        If ``k`` or ``axis`` is out of range, ``regularizer`` unknown, the temperature not positive and finite, or
        shapes do not fit.

    Notes
    -----
    Equal entries get equal weights, also at place k. An entry -inf counts as left out; +inf gets 1, more than k of them
    share k evenly. A row with a NaN is NaN. Computed in float64 where the library has it. "quadratic" costs what
    `project_capped_simplex` does; "entropic" solves log sum_{rest} p = log sum_{first k} (1 - p) for tau, in which
    nothing cancels, by Newton's method between bounds known from the k-th entry and the next. Differentiable for torch
    tensors.

    References
    ----------
    Amos, Koltun and Kolter, arXiv 1906.08707 ("limited multi-label projection", the entropic one).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import soft_topk
    >>> x = np.array([3.0, 1.0, 0.5, -1.0])
    >>> soft_topk(x, 2)
    array([1.  , 0.75, 0.25, 0.  ])
    >>> soft_topk(x, 2, regularizer="entropic").round(4)
    array([0.898 , 0.5437, 0.4195, 0.1388])
    """
    xp, x = open_real(x=x)
    axis = check_axis(x, axis)
    k = check_rank(k, x.shape[axis], what="n")
    check_option(regularizer, REGULARIZERS, "regularizer")
    mask = check_mask(xp, where, x)
    divisor = check_temperature(xp, temperature, x, axis)
    rows = to_rows(xp, masked(xp, x, mask, axis), axis)
    counts = (rows != -math.inf) if mask is None else (rows != -math.inf) & to_rows(xp, mask, axis)
    z = _relative(xp, rows, k, divisor)
    if regularizer == "quadratic":
        p = _quadratic(xp, z, counts, k)
    else:
        run = kernel("soft_topk", xp) or entropic_weights
        p = run(xp, z, k)
    p = xp.astype(xp.where(counts | xp.isnan(p), p, 0.0), x.dtype)
    return from_rows(xp, p, tuple(x.shape), axis)


def soft_topk_vjp(
    p: Any, cotangent: Any, *, regularizer: str = "quadratic", axis: int = -1, temperature: Any = 1.0
) -> Any:
    """Return the product of a cotangent with the Jacobian of `soft_topk` by x, from its output ``p``.

    With w = p (1 - p), or w = 1 where 0 < p < 1 for the quadratic regularizer, the Jacobian is
    (diag(w) - w w^T / sum w) / temperature, which is symmetric. Entries left out get exactly 0.

    Parameters
    ----------
    p, cotangent : array, shape (..., n, ...)
        The weights, and the gradient by them.
    regularizer, axis, temperature
        As in `soft_topk`; a temperature array has the shape of ``p`` without ``axis`` or with 1 there.

    Returns
    -------
    gradient : array, shape of ``p``

    Raises
    ------
    TypeError, ValueError
        As `soft_topk`, and if the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import soft_topk_vjp
    >>> soft_topk_vjp(np.array([1.0, 0.75, 0.25, 0.0]), np.array([9.0, 1.0, 0.0, 9.0]))
    array([ 0. ,  0.5, -0.5,  0. ])
    """
    xp, p, g = open_pair(p, cotangent)
    axis = check_axis(p, axis, "p")
    check_option(regularizer, REGULARIZERS, "regularizer")
    if regularizer == "quadratic":
        gradient = centred(xp, (p > 0) & (p < 1), g, axis)
    else:
        gradient = weighted_centred(xp, p * (1 - p), xp.where(p > 0, g, 0.0), axis)
    return over_temperature(xp, gradient, temperature, axis)


def soft_topk_jvp(
    p: Any, tangent: Any, *, regularizer: str = "quadratic", axis: int = -1, temperature: Any = 1.0
) -> Any:
    """Return the derivative of `soft_topk` along ``tangent``, from its output ``p``; the Jacobian is symmetric.

    Parameters and result are those of `soft_topk_vjp`.
    """
    open_pair(p, tangent, "tangent")  # errors by its own name
    return soft_topk_vjp(p, tangent, regularizer=regularizer, axis=axis, temperature=temperature)


def _relative(xp: Any, rows: Any, k: int, divisor: Any) -> Any:
    """Return the rows relative to their k-th largest entries, over the temperature, in the widest type."""
    rows = xp.astype(rows, best_real(xp))
    values = detach(rows)
    edge = kth_largest(xp, values, k)
    z = xp.where(rows == -math.inf, rows, offset(xp, rows, edge))
    z = xp.where(xp.any(xp.isnan(values), axis=-1, keepdims=True), math.nan, z)
    if divisor is None:
        return z
    with quiet(z):  # what overflows is as far from the k-th entry as it need be
        return divided(xp, z, xp.astype(divisor, z.dtype)[:, None])


def _quadratic(xp: Any, z: Any, counts: Any, k: int) -> Any:
    if not is_lazy(counts) and not is_torch(counts) and bool(xp.all(counts)):
        return project_capped_simplex(z, total=float(k))  # by a kernel, which takes numbers as bounds
    upper = xp.astype(counts, z.dtype)
    total = xp.minimum(xp.sum(upper, axis=-1, keepdims=True), xp.zeros_like(z[..., :1]) + k)
    return project_capped_simplex(z, upper=upper, total=detach(total))


def entropic_weights(xp: Any, z: Any, k: int) -> Any:
    """Return sigmoid(z - tau) of sum ``k``, for rows ``z`` (rows, n) in float64 whose k-th largest entry is 0."""
    counted = xp.astype((z != -math.inf) & ~xp.isnan(z), z.dtype)
    if k == z.shape[-1]:
        return xp.where(xp.isnan(z), z, counted)
    few = xp.sum(counted, axis=-1, keepdims=True) <= k
    values = xp.where(few, 0.0, z)  # what is computed of the few is not used, and has a derivative without NaN
    first = keep_topk(xp, values, k)
    tau = _threshold(xp, xp.sort(values, axis=-1, descending=True), k)
    u = xp.where(first, tau - values, values - tau)
    e = xp.exp(-xp.abs(u))
    small = xp.where(u > 0, 1.0, e) / (1 + e)
    p = xp.where(few, counted, xp.where(first, 1 - small, small))
    return xp.where(xp.isnan(z), z, p)


def _threshold(xp: Any, ordered: Any, k: int) -> Any:
    """Return tau of each row, (rows, 1), at which the weights of the rest sum to what the first k lack of 1.

    The logarithm of their quotient falls with tau, with a slope between -2 and -1/2. At the entry k + 1, less log k,
    the rest has more already; at the entry k, and log(n - k) more, the first k lack more.
    """
    tiny, beyond = (1e-300, _BEYOND) if ordered.dtype != xp.float32 else (1e-37, _BEYOND_SINGLE)
    ordered = xp.clip(ordered, -beyond, beyond)
    first, others = ordered[..., :k], ordered[..., k:]
    after = xp.maximum(others[..., :1], xp.zeros_like(others[..., :1]) - _DECIDED)
    tau, low = after / 2, after - math.log(k) - 1.0
    high = xp.zeros_like(after) + (math.log(others.shape[-1]) + 1.0)

    def step(_: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        low, high, tau = state
        lack, lack_slope = _sums(xp, first - tau)
        rest, rest_slope = _sums(xp, tau - others)
        excess = xp.log(rest + tiny) - xp.log(lack + tiny)
        low, high = xp.where(excess >= 0, tau, low), xp.where(excess <= 0, tau, high)
        slope = rest_slope / (rest + tiny) + lack_slope / (lack + tiny)
        new = tau + excess / xp.clip(slope, 0.5, 2.0)
        return low, high, xp.where((new < low) | (new > high), (low + high) / 2, new)

    def settled(old: Any, new: Any) -> Any:
        return ~(xp.abs(new - old) > 1e-15 * (1 + xp.abs(new)))

    return iterate(xp, step, (low, high, tau), _MOST_STEPS, settled)


def _sums(xp: Any, u: Any) -> tuple[Any, Any]:
    """Return the sums of s = 1 / (1 + exp(u)) and of s (1 - s), (rows, 1)."""
    s = 1 / (1 + xp.exp(u))
    return xp.sum(s, axis=-1, keepdims=True), xp.sum(s * (1 - s), axis=-1, keepdims=True)
