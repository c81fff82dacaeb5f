"""Losses of softmax: cross-entropy, with a margin, and over the largest entries only."""

import math
from collections.abc import Callable
from typing import Any

from lina._core.checks import check_option, check_rank
from lina._core.kernels import kernel
from lina.simplex._rows import (
    check_mask,
    check_number,
    check_temperature,
    detach,
    from_rows,
    largest,
    masked,
    offset,
    quiet,
    take_at,
    tempered,
    to_rows,
    worth_calling,
)
from lina.simplex._softmax import log_normaliser_rows, softmax_rows
from lina.simplex._target import Target, dense, expected, less_target, open_target
from lina.simplex._truncated_softmax import keep_topk

REDUCTIONS = ("none", "mean", "sum")


def cross_entropy(
    x: Any,
    target: Any,
    *,
    axis: int = -1,
    where: Any = None,
    temperature: Any = 1.0,
    ignore_index: int | None = None,
    reduction: str = "none",
    return_gradient: bool = False,
) -> Any:
    """Return -sum y log softmax(x), per distribution.

    Parameters
    ----------
    x : array_like
        Logits; integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    target : array_like
        Class indices: integers, of the shape of ``x`` without ``axis``. Or distributions y: floats, of the shape of
        ``x``, not negative, taken to sum to 1.
    axis : int
        The axis of the distributions, default the last; n is its length.
    where : array of bool, optional
        Entries outside are left out. Broadcasts to the shape of ``x``.
    temperature : float or array
        Positive; an array has the shape of ``x`` without ``axis`` or with 1 there.
    ignore_index : int, optional
        Rows with this for a class do not count: loss and gradient are 0. It need not be in 0..n - 1.
    reduction : {"none", "mean", "sum"}
        One loss per row, or their sum or mean as a 0-d array. The mean is that of the rows that count: those that are
        not ignored and that ``where`` leaves something of; NaN where there is none.
    return_gradient : bool
        Also return the gradient by ``x``, (p - y) / temperature with p = softmax(x / temperature); of a mean that
        over the number of rows that count.

    Returns
    -------
    loss : array, shape of ``x`` without ``axis``, or ()
        Not negative, in digits of its own also where p is near 1 at the target. Infinite where p is 0 at a target, NaN
        in a row with a NaN or without an entry above -inf, 0 in a row that ``where`` leaves out altogether.
    gradient : array, shape of ``x``
        Only with ``return_gradient=True``. Exactly 0 where entries are left out and y is 0.

    Raises
    ------
    TypeError
        If ``x`` is no real array, ``target`` holds neither integers nor floats, ``where`` is not boolean, or
        ``ignore_index`` is no int or stands beside distributions.
    ValueError
        If a class is not in 0..n - 1, a distribution has a negative entry, ``axis`` is out of range, the temperature
        not positive, ``reduction`` unknown, or shapes do not fit. In lazy, traced and torch arrays, whose values are
        not looked at, wrong targets make their rows NaN.

    Notes
    -----
    Cost one exponential an entry. For torch tensors differentiable any number of times, by distributions too.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import cross_entropy
    >>> cross_entropy(np.array([[0.0, 0.0], [50.0, 0.0]]), [1, 0])
    array([6.93147181e-01, 1.92874985e-22])
    """
    return _row_losses(
        x, target, cross_entropy_rows, axis, where, temperature, ignore_index, reduction, return_gradient
    )


def margin_softmax_loss(
    x: Any,
    target: Any,
    margin: float = 0.35,
    scale: float = 30.0,
    *,
    axis: int = -1,
    where: Any = None,
    ignore_index: int | None = None,
    reduction: str = "none",
    return_gradient: bool = False,
) -> Any:
    """Return the cross-entropy of scale * (x - margin * y): the target has to win by a margin.

    Parameters
    ----------
    x : array_like
        Similarities, usually cosines between a feature and the n classes.
    target : array_like
        Class indices or distributions y, as in `cross_entropy`.
    margin : float
        Subtracted at the target, not negative; 0 gives the cross-entropy.
    scale : float
        Positive, the inverse of a temperature. The defaults are those of the reference.
    axis, where, ignore_index, reduction, return_gradient
        As in `cross_entropy`; the gradient is scale * (p - y), p the softmax with the margin.

    Returns
    -------
    loss : array, shape of ``x`` without ``axis``
        As in `cross_entropy`; for an index t it is log(1 + sum_{j != t} exp(scale (x_j - x_t + margin))).
    gradient : array, shape of ``x``
        Only with ``return_gradient=True``.

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`; also if ``margin`` is negative or ``scale`` not positive.

    References
    ----------
    Wang, Cheng, Liu and Liu, IEEE Signal Processing Letters 25 (2018) 926 ("AM-softmax").

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import margin_softmax_loss
    >>> margin_softmax_loss(np.array([[0.9, 0.1], [0.5, 0.4]]), [0, 0]).round(3)
    array([0.   , 7.501])
    """
    margin = check_number(margin, "margin", lambda m: m >= 0, "finite and not negative")
    scale = check_number(scale, "scale", lambda s: s > 0, "positive and finite")

    def loss(xp: Any, z: Any, aim: Target) -> tuple[Any, Any]:
        z = offset(xp, z, largest(xp, z))
        return cross_entropy_rows(xp, z - (margin * scale) * dense(xp, aim, z), aim)

    return _row_losses(x, target, loss, axis, where, 1 / scale, ignore_index, reduction, return_gradient)


def sparse_softmax_loss(
    x: Any,
    target: Any,
    k: int,
    *,
    include_target: bool = False,
    axis: int = -1,
    where: Any = None,
    temperature: Any = 1.0,
    ignore_index: int | None = None,
    reduction: str = "none",
    return_gradient: bool = False,
) -> Any:
    """Return the log of the sum of the ``k`` largest exp(x) less x at the target: the loss of `topk_softmax`.

    Finite also where the target is not among the k largest, whose probability is 0 and its logarithm infinite. Convex,
    and continuous where the target comes in. The gradient is p - y with p = topk_softmax(x, k), so that only k entries
    and the target are moved.

    Parameters
    ----------
    x : array_like
        Logits; integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    target : array_like
        Class indices or distributions y, as in `cross_entropy`.
    k : int
        In 1..n; n gives the cross-entropy.
    include_target : bool
        Sum over the k largest and the target where it is not among them: a cross-entropy again, of softmax over k or k
        + 1 entries. Its value jumps down where the target comes in.
    axis, where, temperature, ignore_index, reduction, return_gradient
        As in `cross_entropy`.

    Returns
    -------
    loss : array, shape of ``x`` without ``axis``
        Not negative; at least log k where the target is outside of the k largest.
    gradient : array, shape of ``x``
        Only with ``return_gradient=True``; (p - y) / temperature.

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`; also if ``k`` is no int in 1..n.

    Notes
    -----
    Of equal entries at place k the first ones count. Cost as `topk_softmax`.

    References
    ----------
    Scientific Spaces 8046 and 10145, "sparse softmax".

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import sparse_softmax_loss
    >>> sparse_softmax_loss(np.array([[2.0, 2.0, 0.0]]), [2], 2).round(6)
    array([2.693147])
    >>> sparse_softmax_loss(np.array([[2.0, 2.0, 0.0]]), [2], 2, include_target=True).round(6)
    array([2.758624])
    """

    def loss(xp: Any, z: Any, aim: Target) -> tuple[Any, Any]:
        z = offset(xp, z, largest(xp, z))
        keep = keep_topk(xp, detach(z), check_rank(k, z.shape[-1], what="n"))
        keep = keep | (dense(xp, aim, z) > 0) if include_target else keep
        inside = xp.where(keep, z, -math.inf)
        return _above_target(xp, z, aim, *log_normaliser_rows(xp, inside)), lambda: softmax_rows(xp, inside)

    return _row_losses(x, target, loss, axis, where, temperature, ignore_index, reduction, return_gradient)


def _row_losses(
    x: Any,
    target: Any,
    loss: Callable[[Any, Any, Target], tuple[Any, Callable[[], Any]]],
    axis: int,
    where: Any,
    temperature: Any,
    ignore_index: int | None,
    reduction: str,
    return_gradient: bool,
) -> Any:
    """Return the losses, ``loss(xp, z, target)`` being those of tempered rows (rows, 1) and what returns their p."""
    check_option(reduction, REDUCTIONS, "reduction")
    xp, x, aim, axis = open_target(x, target, axis, ignore_index)
    mask = check_mask(xp, where, x)
    heat = check_temperature(xp, temperature, x, axis)
    z = tempered(xp, to_rows(xp, masked(xp, x, mask, axis), axis), heat)
    value, probabilities = loss(xp, z, aim)
    gradient = less_target(xp, probabilities(), aim) if return_gradient else None
    return assemble(xp, x, axis, rows_that_count(xp, aim, mask, axis), value, gradient, heat, reduction)


def rows_that_count(xp: Any, target: Target, mask: Any, axis: int) -> Any:
    """Return which rows are not ignored and not left out altogether (rows, 1), None where all count."""
    if mask is None:
        return target.counted
    some = xp.any(to_rows(xp, mask, axis), axis=-1, keepdims=True)
    return some if target.counted is None else some & target.counted


def assemble(xp: Any, x: Any, axis: int, counted: Any, value: Any, gradient: Any, heat: Any, reduction: str) -> Any:
    """Return what a loss returns: from its values (rows, 1) and, if wanted, their gradients (rows, n) by x / heat."""
    value = value if counted is None else xp.where(counted, value, 0.0)
    count: Any = math.prod(value.shape) if counted is None else xp.sum(xp.astype(counted, x.dtype))
    if reduction == "none":
        value = xp.reshape(value, (*x.shape[:axis], *x.shape[axis + 1 :]))
    else:
        with quiet(x):  # of no rows
            value = xp.sum(value) / count if reduction == "mean" else xp.sum(value)
    if gradient is None:
        return value
    with quiet(x):  # of a quotient out of range
        gradient = gradient if heat is None else gradient / heat[:, None]
        gradient = gradient if counted is None else xp.where(counted, gradient, 0.0)
        gradient = gradient / count if reduction == "mean" else gradient
    return value, from_rows(xp, gradient, tuple(x.shape), axis)


def cross_entropy_rows(xp: Any, z: Any, target: Target) -> tuple[Any, Callable[[], Any]]:
    """Return the cross-entropies of the rows ``z`` (rows, n), (rows, 1), and what returns their softmax."""
    if target.index is None:
        soft = worth_calling("soft_cross_entropy", xp, z)
        value = soft_cross_entropy(xp, z, target.y) if soft is None else soft(z, target.y)
        return value, lambda: softmax_rows(xp, z)
    fast = kernel("cross_entropy", xp)
    if fast is not None:
        value = xp.where(target.right, fast(z, target.index), math.nan)
    else:
        value = _above_target(xp, z, target, *log_normaliser_rows(xp, z))
    return value, lambda: softmax_rows(xp, z)


def soft_cross_entropy(xp: Any, z: Any, y: Any) -> Any:
    """Return the cross-entropies (rows, 1) of the rows ``z`` against distributions ``y``, both (rows, n)."""
    return _above_target(xp, z, Target(y), *log_normaliser_rows(xp, z))


def _above_target(xp: Any, z: Any, target: Target, top: Any, above: Any) -> Any:
    """Return sum y (top + above - z), (rows, 1): what the logarithms of the sums exceed the logits of the target by."""
    if target.index is not None:
        at = offset(xp, take_at(xp, z, target.index), top)
        return xp.where(target.right, above - at, math.nan)
    return expected(xp, target, above - offset(xp, z, top))
