"""Softmax over the largest entries only: the first k, the fewest that hold a probability p, or those above a threshold.

Which entries stay is piecewise constant, so the derivative is that of softmax over them.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import numpy as numpy_namespace

from lina._core.array import is_lazy
from lina._core.checks import check_rank
from lina._core.kernels import kernel
from lina.simplex._rows import (
    best_int,
    best_real,
    check_axis,
    check_mask,
    check_number,
    check_temperature,
    detach,
    is_torch,
    largest,
    numpy_largest,
    offset,
    open_real,
    over_rows,
    over_temperature,
    tempered,
)
from lina.simplex._softmax import softmax_jvp, softmax_rows, softmax_vjp

# The mappings are softmax wherever their entries stay, and so are their derivatives at the probabilities.
topk_softmax_vjp = topp_softmax_vjp = threshold_softmax_vjp = softmax_vjp
topk_softmax_jvp = topp_softmax_jvp = threshold_softmax_jvp = softmax_jvp


def topk_softmax(
    x: Any,
    k: int,
    *,
    axis: int = -1,
    where: Any = None,
    temperature: Any = 1.0,
    return_threshold: bool = False,
) -> Any:
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
    return_threshold : bool
        Also return tau, the least x / temperature whose entry of p is not 0, and the number of these entries, in the
        shape of ``x`` without ``axis``. Equal entries are left out where more of them would be too many.

    Returns
    -------
    p : array, shape of ``x``
        Non-negative, of sum 1 along ``axis``. A row with a NaN, or without an entry above -inf, is NaN; a row that
        ``where`` leaves out altogether is 0, its tau -inf. Entries +inf share the probability.
    tau, support : array
        Only with ``return_threshold=True``.

    Raises
    ------
    TypeError
        If ``x`` is no real array, ``k`` or ``axis`` no int, or ``where`` not boolean.
    ValueError
        If ``k`` or ``axis`` is out of range, the temperature not positive and finite, or shapes do not fit.

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
    >>> p, tau, support = topk_softmax([0.0, np.log(3), -1.0, -2.0], 3, return_threshold=True)
    >>> float(tau), int(support)
    (-1.0, 3)
    """
    xp, x = open_real(x=x)
    axis = check_axis(x, axis)
    k = check_rank(k, x.shape[axis], what="n")
    return _truncated(xp, x, lambda rows: keep_topk(xp, rows, k), axis, where, temperature, return_threshold)


def topp_softmax(
    x: Any,
    p: float,
    *,
    axis: int = -1,
    where: Any = None,
    temperature: Any = 1.0,
    return_threshold: bool = False,
) -> Any:
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
    return_threshold : bool
        Also return tau and the number of entries that are not 0, as `topk_softmax` does.

    Returns
    -------
    array, shape of ``x``
        Non-negative, of sum 1 along ``axis``; NaN and infinities as in `topk_softmax`.
    tau, support : array
        Only with ``return_threshold=True``.

    Raises
    ------
    TypeError
        If ``x`` is no real array, ``p`` no number, ``axis`` no int, or ``where`` not boolean.
    ValueError
        If ``p`` or ``axis`` is out of range, the temperature not positive and finite, or shapes do not fit.

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
    return _truncated(xp, x, lambda rows: _keep_topp(xp, rows, p), axis, where, temperature, return_threshold)


def threshold_softmax(
    x: Any,
    threshold: float,
    *,
    relative: bool = False,
    axis: int = -1,
    where: Any = None,
    temperature: Any = 1.0,
    return_threshold: bool = False,
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
    return_threshold : bool
        Also return tau and the number of entries that are not 0, as `topk_softmax` does.

    Returns
    -------
    array, shape of ``x``
        Non-negative, of sum 1 along ``axis``; NaN and infinities as in `topk_softmax`.
    tau, support : array
        Only with ``return_threshold=True``.

    Raises
    ------
    TypeError
        If ``x`` is no real array, ``threshold`` no number, ``axis`` no int, or ``where`` not boolean.
    ValueError
        If ``threshold`` or ``axis`` is out of range, the temperature not positive and finite, or shapes do not fit.

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
    return _truncated(
        xp, x, lambda rows: _keep_above(xp, rows, threshold, bool(relative)), axis, where, temperature, return_threshold
    )


def _truncated(
    xp: Any, x: Any, keep: Callable[[Any], Any], axis: int, where: Any, temperature: Any, return_threshold: bool
) -> Any:
    """Return softmax over the entries that ``keep`` chooses from rows (rows, n), a NaN always being among them."""
    mask = check_mask(xp, where, x)
    divisor = check_temperature(xp, temperature, x, axis)

    def body(rows: Any) -> Any:
        z = tempered(xp, rows, divisor)
        return softmax_rows(xp, xp.where(keep(detach(z)), z, -math.inf))

    p = over_rows(xp, x, body, axis=axis, mask=mask)
    if not return_threshold:
        return p
    inside = p != 0
    least = xp.where(xp.isnan(p), math.nan, xp.where(inside, x, math.inf))
    least = xp.min(least, axis=axis, keepdims=True)
    least = xp.where(xp.any(inside, axis=axis, keepdims=True), least, -math.inf)  # of a row left out altogether
    tau = xp.squeeze(over_temperature(xp, least, temperature, axis), axis=axis)
    return p, tau, xp.sum(xp.astype(inside, best_int(xp)), axis=axis)


def keep_topk(xp: Any, z: Any, k: int) -> Any:
    """Return which entries are NaN or the ``k`` largest of their rows, the first ones of equal entries."""
    if k == z.shape[-1]:
        return xp.ones_like(z, dtype=xp.bool)
    own = kernel("keep_topk", xp)
    return first_largest(xp, z, kth_largest(xp, z, k), k) if own is None else own(z, k)


def kth_largest(xp: Any, z: Any, k: int) -> Any:
    """Return the k-th largest entry of each row, (rows, 1)."""
    select = kernel("kth_largest", xp)
    return xp.sort(z, axis=-1, descending=True)[..., k - 1 : k] if select is None else select(z, k)


def first_largest(xp: Any, z: Any, edge: Any, count: Any) -> Any:
    """Return which ``count`` entries are the largest, ``edge`` (rows, 1) being the smallest of them; NaN is, too."""
    reached = ~(z < edge)
    if not is_lazy(z) and not is_torch(z) and bool(xp.all(_count(xp, reached) <= count)):  # no ties beyond the edge
        return reached
    above, tied = ~(z <= edge), z == edge
    room = count - _count(xp, above)
    return above | (tied & (_running_sum(xp, tied, xp.int32) <= room))


def _count(xp: Any, which: Any) -> Any:
    return xp.sum(xp.astype(which, best_int(xp)), axis=-1, keepdims=True)


def _running_sum(xp: Any, x: Any, dtype: Any) -> Any:
    fast = kernel("running_sum", xp)  # of torch itself: torch.compile warns of caches in the way to the general one
    return (xp.cumulative_sum if fast is None else fast)(xp.astype(x, dtype), axis=-1)


def _keep_topp(xp: Any, x: Any, p: float) -> Any:
    """Return which entries are the fewest of their rows to hold the probability ``p``."""
    if p == 1.0:
        return xp.ones_like(x, dtype=xp.bool)
    z = offset(xp, x, largest(xp, x))
    ordered = xp.sort(z, axis=-1)
    tail = _running_sum(xp, xp.exp(ordered), best_real(xp))
    enough = tail > (1 - p) * tail[..., -1:]
    # where p is so small that the whole sum rounds to 1 - p of it, the largest entry still stays
    count = xp.maximum(_count(xp, enough), xp.asarray(1))
    edge = xp.min(xp.where(enough | (ordered == 0), ordered, math.inf), axis=-1, keepdims=True)
    return first_largest(xp, z, edge, count)


def _keep_above(xp: Any, x: Any, threshold: float, relative: bool) -> Any:
    """Return which entries have a probability of at least ``threshold``, or of that share of the largest one."""
    p = softmax_rows(xp, x)
    top = largest(xp, p)  # which always stays
    return ~(p < (threshold * top if relative else xp.where(top < threshold, top, threshold)))


def numpy_kth_largest(z: Any, k: int) -> Any:
    """Return the k-th largest entry of each row, (rows, 1)."""
    place = z.shape[-1] - k
    return np.partition(z, place, axis=-1)[..., place : place + 1]


def numpy_keep_topk(z: Any, k: int) -> Any:
    """Return the same as `keep_topk` for ``k`` < n."""
    place = z.shape[-1] - k
    parts = np.partition(z, place, axis=-1)
    edge = parts[..., place : place + 1]
    if not np.any(numpy_largest(parts[..., :place]) == edge):  # no ties beyond the edge
        return ~(z < edge)
    return first_largest(numpy_namespace, z, edge, k)
