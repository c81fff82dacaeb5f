"""Fenchel-Young losses: what a mapping to probabilities is the gradient of, as a distance of x from its target."""

from typing import Any

from lina._core.array import refuse_gradient
from lina._core.checks import check_option
from lina._core.kernels import kernel
from lina.simplex._entmax.public import entmax_rows
from lina.simplex._losses import REDUCTIONS, assemble, cross_entropy_rows, rows_that_count
from lina.simplex._project_simplex import project_rows
from lina.simplex._rows import (
    best_real,
    check_mask,
    check_number,
    check_temperature,
    largest,
    masked,
    offset,
    tempered,
    to_rows,
)
from lina.simplex._softmax import log_normaliser_rows, softmax_rows
from lina.simplex._target import dense, less_target, open_target

MAPPINGS = ("softmax", "sparsemax", "entmax")


def fenchel_young_loss(
    x: Any,
    target: Any,
    mapping: str = "softmax",
    alpha: float | None = None,
    *,
    axis: int = -1,
    where: Any = None,
    temperature: Any = 1.0,
    ignore_index: int | None = None,
    reduction: str = "none",
    return_gradient: bool = False,
) -> Any:
    r"""Return Omega*(x) + Omega(y) - x . y: at least 0, and 0 exactly where the mapping of x is the target.

    Omega is the negative entropy whose regularised maximum is the mapping p(x): Shannon's for softmax, the Gini index
    for sparsemax, Tsallis' for entmax. The loss is convex in x, and its gradient is p - y.

    Parameters
    ----------
    x : array_like
        Logits; integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    target : array_like
        Class indices: integers, of the shape of ``x`` without ``axis``. Or distributions y: floats, of the shape of
        ``x``, not negative, taken to sum to 1.
    mapping : {"softmax", "sparsemax", "entmax"}
        With softmax and an index this is the cross-entropy, with a distribution Kullback and Leibler's divergence of
        the prediction from it.
    alpha : float, optional
        Of entmax alone: at least 1, default 1.5.
    axis : int
        The axis of the distributions, default the last; n is its length.
    where : array of bool, optional
        Entries outside are left out. Broadcasts to the shape of ``x``.
    temperature : float or array
        ``x`` is divided by it. Positive; an array has the shape of ``x`` without ``axis`` or with 1 there.
    ignore_index, reduction
        As in `cross_entropy`: rows that do not count, and their "sum" or "mean" in place of one loss for each.
    return_gradient : bool
        Also return the gradient by ``x``, (p - y) / temperature; of a mean that over the number of rows that count.

    Returns
    -------
    loss : array, shape of ``x`` without ``axis``, or ()
        Infinite where y is not 0 at an entry that is left out; NaN in a row with a NaN or without an entry above -inf;
        0 in a row that ``where`` leaves out altogether.
    gradient : array, shape of ``x``
        Only with ``return_gradient=True``.

    Raises
    ------
    TypeError
        If ``x`` is no real array, ``target`` holds neither integers nor floats, or ``where`` is not boolean.
    ValueError
        If ``mapping`` is unknown, ``alpha`` below 1 or given beside another mapping than entmax, a class not in
        0..n - 1, a distribution has a negative entry, ``axis`` is out of range, the temperature not positive and
        finite, or shapes do not fit. In lazy, traced and torch arrays, whose values are not looked at, wrong targets
        make their rows NaN.

    Notes
    -----
    Computed in float64 where the library has it, as a sum of terms that are not negative (the divergence between y and
    p, and what the entries out of the support lack of it), not as the difference above: a loss near 0 has digits of
    its own. It bounds the distance of the prediction: sum (p - y)^2 / 2 <= loss for alpha up to 2. Cost that of the
    mapping.

    For torch tensors twice differentiable by ``x``; a target that requires a gradient is refused (GradientError).

    References
    ----------
    Blondel, Martins and Niculae, JMLR 21 (2020) 35; Martins and Astudillo, ICML 2016 (sparsemax).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import fenchel_young_loss
    >>> fenchel_young_loss(np.array([[2.0, 0.0], [0.5, 0.0]]), [0, 0], "sparsemax")
    array([0.    , 0.0625])
    """
    check_option(mapping, MAPPINGS, "mapping")
    refuse_gradient("a Fenchel-Young loss", alpha=alpha)
    alpha = _check_alpha(alpha, mapping)
    check_option(reduction, REDUCTIONS, "reduction")
    xp, x, aim, axis = open_target(x, target, axis, ignore_index)
    mask = check_mask(xp, where, x)
    heat = check_temperature(xp, temperature, x, axis)
    z = tempered(xp, to_rows(xp, masked(xp, x, mask, axis), axis), heat)
    if alpha == 1.0 and aim.index is not None:
        value, probabilities = cross_entropy_rows(xp, z, aim)
        gradient = less_target(xp, probabilities(), aim) if return_gradient else None
    else:
        z = offset(xp, z, largest(xp, z))
        y, p = dense(xp, aim, z), map_rows(xp, z, alpha)
        value = (kernel("fenchel_young", xp) or loss_rows)(xp, z, y, p, alpha)[:, None]
        gradient = p - y if return_gradient else None
    return assemble(xp, x, axis, rows_that_count(xp, aim, mask, axis), value, gradient, heat, reduction)


def sparsemax_loss(
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
    """Return the `fenchel_young_loss` of `sparsemax`.

    For an index t it is 1/2 - x_t + sum (x^2 - tau^2) / 2 over the support.

    Parameters, result and errors are those of `fenchel_young_loss`. It is exactly 0 where x leads by 1 at the target.

    Examples
    --------
    >>> from lina.simplex import sparsemax_loss
    >>> sparsemax_loss([[0.5, 0.0], [1.0, 0.0]], [0, 0])
    array([0.0625, 0.    ])
    """
    return fenchel_young_loss(
        x,
        target,
        "sparsemax",
        axis=axis,
        where=where,
        temperature=temperature,
        ignore_index=ignore_index,
        reduction=reduction,
        return_gradient=return_gradient,
    )


def entmax_loss(
    x: Any,
    target: Any,
    alpha: float = 1.5,
    *,
    axis: int = -1,
    where: Any = None,
    temperature: Any = 1.0,
    ignore_index: int | None = None,
    reduction: str = "none",
    return_gradient: bool = False,
) -> Any:
    """Return the `fenchel_young_loss` of `entmax`.

    Parameters, result and errors are those of `fenchel_young_loss`. It is exactly 0 where x leads by 1 / (alpha - 1)
    at the target.

    Examples
    --------
    >>> from lina.simplex import entmax_loss
    >>> entmax_loss([[2.0, 0.0], [0.0, 0.0]], [0, 0]).round(6)
    array([0.      , 0.390524])
    """
    return fenchel_young_loss(
        x,
        target,
        "entmax",
        alpha,
        axis=axis,
        where=where,
        temperature=temperature,
        ignore_index=ignore_index,
        reduction=reduction,
        return_gradient=return_gradient,
    )


def _check_alpha(alpha: Any, mapping: str) -> float:
    """Return the alpha at which entmax is the mapping."""
    if mapping != "entmax":
        if alpha is not None:
            raise ValueError(f"alpha must be left out with mapping={mapping!r}, which has none, got {alpha}")
        return {"softmax": 1.0, "sparsemax": 2.0}[mapping]
    return check_number(1.5 if alpha is None else alpha, "alpha", lambda a: a >= 1, "finite and at least 1")


def map_rows(xp: Any, z: Any, alpha: float) -> Any:
    """Return the mapping of the rows ``z``: softmax for alpha = 1, sparsemax for 2, entmax for others."""
    if alpha == 1.0:
        return softmax_rows(xp, z)
    ones = xp.ones_like(z[..., 0])
    return project_rows(xp, z, ones) if alpha == 2.0 else entmax_rows(xp, z, alpha * ones)


def loss_rows(xp: Any, z: Any, y: Any, p: Any, alpha: float) -> Any:
    """Return the losses (rows,) of rows ``z`` of largest entry 0, mapped to ``p``, against the distributions ``y``.

    A sum of terms that are not negative, but for softmax, where the sum is one number for a vertex y.
    """
    dtype, wide = z.dtype, best_real(xp)
    z, y, p = (xp.astype(each, wide) for each in (z, y, p))
    hit = (y > 0) | xp.isnan(y)
    some_y = xp.where(hit, y, 1.0)
    if alpha == 1.0:
        top, above = log_normaliser_rows(xp, z)
        terms = xp.where(hit, some_y * (xp.log(some_y) - xp.where(hit, (z - top) - above, 0.0)), 0.0)
    elif alpha == 2.0:
        terms = _gini(xp, xp.where(hit, z, 0.0), y, p, hit)
    else:
        terms = _tsallis(xp, xp.where(hit, z, 0.0), some_y, p, hit, alpha)
    total = xp.sum(terms, axis=-1)
    return xp.astype(xp.maximum(total, xp.zeros_like(total)), dtype)


def _gini(xp: Any, z: Any, y: Any, p: Any, hit: Any) -> Any:
    """Return (y - p)^2 / 2, and outside of the support y times what z lacks to the threshold, which is -max p."""
    lack = -xp.max(p, axis=-1, keepdims=True) - z
    return (y - p) ** 2 / 2 + xp.where(hit & (p == 0) & (lack > 0), y * lack, 0.0)


def _tsallis(xp: Any, z: Any, y: Any, p: Any, hit: Any, alpha: float) -> Any:
    """Return the terms for alpha > 1; e = alpha - 1, m is the largest p.

    [y (y^e - p^e) / e - p^e (y - p)] / alpha                       where p > 0,
    y [(m^e log(y / m) exprel(e log(y / m)) - m^e) / alpha - z]     where p = 0.

    (y^e - p^e) / e is p^e log(y / p) exprel(e log(y / p)), which has a limit at e = 0. ``y`` and ``z`` are those where
    ``hit``, y > 0.
    """
    e = alpha - 1.0
    inside = p > 0
    q = xp.where(inside, p, xp.max(p, axis=-1, keepdims=True))
    power, log_ratio = xp.exp(e * xp.log(q)), xp.log(y) - xp.log(q)
    rise = xp.where(hit, y * power * log_ratio * _exprel(xp, e * log_ratio), 0.0)
    truth = xp.where(hit, y, 0.0)
    near = (rise - power * (truth - p)) / alpha
    far = xp.where(hit, (rise - truth * power) / alpha - truth * z, 0.0)
    terms = xp.where(inside, near, far)
    return xp.where(terms < 0, 0.0, terms)


def _exprel(xp: Any, t: Any) -> Any:
    """Return (exp(t) - 1) / t, 1 at 0."""
    return xp.where(t == 0, 1.0, xp.expm1(t) / xp.where(t == 0, 1.0, t))
