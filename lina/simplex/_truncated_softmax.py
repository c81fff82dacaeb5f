"""Softmax over the largest entries only: the first k, the fewest that hold a probability p, or those above a threshold.

Which entries stay is piecewise constant, so the derivative is that of softmax over them.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lina._core.array import check_rank, is_lazy
from lina._core.kernels import kernel
from lina.simplex._rows import (
    best_real,
    check_axis,
    check_mask,
    check_number,
    check_temperature,
    detach,
    is_torch,
    largest,
    offset,
    open_real,
    over_rows,
    tempered,
)
from lina.simplex._softmax import softmax_jvp, softmax_vjp

# The mappings are softmax wherever their entries stay, and so are their derivatives at the probabilities.
topk_softmax_vjp = topp_softmax_vjp = threshold_softmax_vjp = softmax_vjp
topk_softmax_jvp = topp_softmax_jvp = threshold_softmax_jvp = softmax_jvp


def topk_softmax(x: Any, k: int, *, axis: int = -1, where: Any = None, temperature: Any = 1.0) -> Any:
    """Compute softmax over the ``k`` largest entries; the others get 0.

    Parameters
    ----------
    x : array_like
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    k : int
        In 1..n, n the length of ``axis``. Of equal entries at place k the first ones stay, so that there are never
        more than k; fewer where fewer count.
    axis : int
        The axis of the distributions, default the last.
    where : array_like of bool, optional
        Entries that count, broadcast to ``x``; the others get 0, as entries -inf do.
    temperature : float or array
        ``x`` is divided by it; one for all or one per row (the shape of ``x`` without ``axis`` or with 1 there).

    Returns
    -------
    p : array, shape of ``x``
        Non-negative, of sum 1 along ``axis``. A row with a NaN, or without an entry above -inf, is NaN; a row that
        ``where`` leaves out altogether is 0. Entries +inf share the probability.

    Raises
    ------
    TypeError
        If ``x`` is no real array, ``k`` or ``axis`` no int, or ``where`` not boolean.
    ValueError
        If ``k`` or ``axis`` is out of range, the temperature not positive, or shapes do not fit.

    Notes
    -----
    The k-th entry is selected in O(n) by numpy and sorted out in O(n log n) elsewhere; memory: about four arrays of the
    size of ``x``. Differentiable for torch tensors, with gradients exactly 0 outside of the k entries; at ties, where
    the mapping jumps, the derivative is that of the entries that stay. The derivatives `softmax_vjp` and `softmax_jvp`
    at ``p`` are also those of `topk_softmax`, `topp_softmax` and `threshold_softmax`.

    References
    ----------
    Scientific Spaces 10145, "sparse softmax"; Fan, Lewis and Dauphin, ACL 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import topk_softmax
    >>> topk_softmax([0.0, np.log(3), -1.0, -2.0], 2)
    array([0.25, 0.75, 0.  , 0.  ])
    """
    xp, x = open_real(x=x)
    axis = check_axis(x, axis)
    k = check_rank(k, x.shape[axis], what="n")
    return _truncated(xp, x, lambda z: keep_topk(xp, z, k), axis, where, temperature)


def topp_softmax(x: Any, p: float, *, axis: int = -1, where: Any = None, temperature: Any = 1.0) -> Any:
    """Compute softmax over the fewest entries whose probabilities sum to at least ``p``; the others get 0.

    Parameters
    ----------
    x : array_like
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    p : float
        In (0, 1]; 1 keeps every entry whose probability is not zero in the working dtype. The largest always stays. Of
        equal entries at the edge the first ones stay.
    axis : int
        The axis of the distributions, default the last.
    where : array_like of bool, optional
        Entries that count, broadcast to ``x``; the others get 0, as entries -inf do.
    temperature : float or array
        ``x`` is divided by it; one for all or one per row (the shape of ``x`` without ``axis`` or with 1 there).

    Returns
    -------
    array, shape of ``x``
        Non-negative, of sum 1 along ``axis``; NaN and infinities as in `topk_softmax`.

    Raises
    ------
    TypeError
        If ``x`` is no real array, ``p`` no number, ``axis`` no int, or ``where`` not boolean.
    ValueError
        If ``p`` or ``axis`` is out of range, the temperature not positive, or shapes do not fit.

    Notes
    -----
    One sort and one sum of each row. The sum runs from the smallest entry, in float64 where the library has it: what
    is left out is compared with 1 - p, which keeps its digits however close ``p`` is to 1. Differentiable for torch
    tensors, with gradients exactly 0 where entries are left out; derivatives as for `topk_softmax`.

    References
    ----------
    Holtzman, Buys, Du, Forbes and Choi, ICLR 2020 ("nucleus sampling").

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import topp_softmax
    >>> topp_softmax(np.log([0.15, 0.45, 0.1, 0.3]), 0.7)
    array([0. , 0.6, 0. , 0.4])
    """
    xp, x = open_real(x=x)
    axis = check_axis(x, axis)
    p = check_number(p, "p", lambda v: 0 < v <= 1, "in (0, 1]")
    return _truncated(xp, x, lambda z: _keep_topp(xp, z, p), axis, where, temperature)


def threshold_softmax(
    x: Any, threshold: float, *, relative: bool = False, axis: int = -1, where: Any = None, temperature: Any = 1.0
) -> Any:
    """Compute softmax over the entries whose softmax is at least ``threshold``; the others get 0.

    Parameters
    ----------
    x : array_like
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    threshold : float
        In [0, 1]. The largest entries stay, whatever their probability.
    relative : bool
        Compare with the threshold times the largest probability of the row ("min-p").
    axis : int
        The axis of the distributions, default the last.
    where : array_like of bool, optional
        Entries that count, broadcast to ``x``; the others get 0, as entries -inf do.
    temperature : float or array
        ``x`` is divided by it; one for all or one per row (the shape of ``x`` without ``axis`` or with 1 there).

    Returns
    -------
    array, shape of ``x``
        Non-negative, of sum 1 along ``axis``; NaN and infinities as in `topk_softmax`.

    Raises
    ------
    TypeError
        If ``x`` is no real array, ``threshold`` no number, ``axis`` no int, or ``where`` not boolean.
    ValueError
        If ``threshold`` or ``axis`` is out of range, the temperature not positive, or shapes do not fit.

    Notes
    -----
    O(n) a row, the cost of softmax; equal entries stay or go together. Differentiable for torch tensors, with gradients
    exactly 0 where entries are left out; derivatives as for `topk_softmax`.

    References
    ----------
    Hewitt, Manning and Liang, Findings of EMNLP 2022 ("epsilon sampling"); Nguyen et al., arXiv 2407.01082 ("min-p").

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import threshold_softmax
    >>> threshold_softmax(np.log([0.15, 0.45, 0.1, 0.3]), 0.2)
    array([0. , 0.6, 0. , 0.4])
    """
    xp, x = open_real(x=x)
    axis = check_axis(x, axis)
    threshold = check_number(threshold, "threshold", lambda v: 0 <= v <= 1, "in [0, 1]")
    return _truncated(xp, x, lambda z: _keep_above(xp, z, threshold, bool(relative)), axis, where, temperature)


def _truncated(xp: Any, x: Any, keep: Callable[[Any], Any], axis: int, where: Any, temperature: Any) -> Any:
    """Return softmax over the entries that ``keep`` chooses from rows whose largest entry is 0."""
    mask = check_mask(xp, where, x)
    divisor = check_temperature(xp, temperature, x, axis)

    def body(rows: Any) -> Any:
        z = tempered(xp, rows, divisor)
        z = offset(xp, z, largest(xp, z))
        return exp_normalised(xp, z, keep(detach(z)))

    return over_rows(xp, x, body, axis=axis, mask=mask)


def exp_normalised(xp: Any, z: Any, keep: Any) -> Any:
    """Return exp(z) over its sum where ``keep`` and 0 elsewhere, from rows whose largest entry is 0; NaN stays."""
    e = xp.where(keep | xp.isnan(z), xp.exp(z), 0.0)
    return e / xp.sum(e, axis=-1, keepdims=True)


def keep_topk(xp: Any, z: Any, k: int) -> Any:
    """Return which entries are the ``k`` largest of their rows, the first ones of equal entries."""
    if k == z.shape[-1]:
        return xp.ones_like(z, dtype=xp.bool)
    select = kernel("kth_largest", xp)
    edge = xp.sort(z, axis=-1, descending=True)[..., k - 1 : k] if select is None else select(z, k)
    return _first_largest(xp, z, edge, k)


def _first_largest(xp: Any, z: Any, edge: Any, count: Any) -> Any:
    """Return which ``count`` entries are the largest, ``edge`` (rows, 1) being the smallest of them."""
    reached = z >= edge
    if not is_lazy(z) and not is_torch(z) and bool(xp.all(_count(xp, reached) <= count)):  # no ties beyond the edge
        return reached
    above, tied = z > edge, z == edge
    room = count - _count(xp, above)
    return above | (tied & (_running_sum(xp, tied, xp.int32) <= room))


def _count(xp: Any, which: Any) -> Any:
    return xp.sum(xp.astype(which, xp.int64), axis=-1, keepdims=True)


def _running_sum(xp: Any, x: Any, dtype: Any) -> Any:
    fast = kernel("running_sum", xp)  # of torch itself: torch.compile warns of caches in the way to the general one
    return (xp.cumulative_sum if fast is None else fast)(xp.astype(x, dtype), axis=-1)


def _keep_topp(xp: Any, z: Any, p: float) -> Any:
    if p == 1.0:
        return xp.ones_like(z, dtype=xp.bool)
    ordered = xp.sort(z, axis=-1)
    tail = _running_sum(xp, xp.exp(ordered), best_real(xp))
    enough = tail > (1 - p) * tail[..., -1:]
    # where p is so small that the whole sum rounds to 1 - p of it, the largest entry still stays
    count = xp.maximum(_count(xp, enough), xp.asarray(1))
    edge = xp.min(xp.where(enough | (ordered == 0), ordered, math.inf), axis=-1, keepdims=True)
    return _first_largest(xp, z, edge, count)


def _keep_above(xp: Any, z: Any, threshold: float, relative: bool) -> Any:
    e = xp.exp(z)
    level = threshold if relative else threshold * xp.sum(e, axis=-1, keepdims=True)
    return (e >= level) | (z == 0)


def numpy_kth_largest(z: Any, k: int) -> Any:
    """Return the k-th largest entry of each row, (rows, 1)."""
    place = z.shape[-1] - k
    return np.partition(z, place, axis=-1)[..., place : place + 1]
