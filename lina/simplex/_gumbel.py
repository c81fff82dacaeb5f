"""Draws from a softmax by Gumbel noise: the index itself, and its relaxation to a point of the simplex."""

import math
from typing import Any

from lina._core.array import from_numpy
from lina._core.random import generator
from lina.simplex._rows import (
    best_int,
    check_axis,
    check_mask,
    check_temperature,
    detach,
    held,
    largest,
    offset,
    open_real,
    over_rows,
    tempered,
    to_rows,
)
from lina.simplex._softmax import softmax_jvp, softmax_rows, softmax_vjp
from lina.simplex._truncated_softmax import keep_topk

# For fixed noise the soft draw is a softmax, and so are its derivatives at the draw.
gumbel_softmax_vjp = softmax_vjp
gumbel_softmax_jvp = softmax_jvp


def gumbel_max(x: Any, *, axis: int = -1, where: Any = None, temperature: Any = 1.0, rng: Any = None) -> Any:
    """Draw an index from each softmax: the largest entry once Gumbel noise is added.

    Parameters
    ----------
    x : array_like
        Logits; integers and booleans are promoted to float64, half precisions to float32.
    axis : int
        The axis of the distributions, default the last.
    where : array of bool, optional
        Entries outside are never drawn. Broadcasts to the shape of ``x``.
    temperature : float or array
        Positive; an array has the shape of ``x`` without ``axis`` or with 1 there.
    rng : int, numpy.random.Generator or None
        Source of the noise, drawn in float64 on the CPU. Under torch.vmap every element of the batch gets the same
        noise: call it on the whole batch instead. torch.compile cannot trace numpy's generator.

    Returns
    -------
    index : array of int64, shape of ``x`` without ``axis``
        -1 in a row with a NaN, or without an entry above -inf. Of entries +inf each is drawn as often.

    Raises
    ------
    TypeError
        If ``x`` is no real array, or ``where`` not boolean.
    ValueError
        If ``axis`` is out of range, the temperature not positive and finite, or shapes do not fit.

    Notes
    -----
    One logarithm of a logarithm per entry, no exponential and no sum: nothing overflows. No derivative.

    References
    ----------
    Gumbel, NBS Applied Math. Series 33 (1954); Maddison, Tarlow and Minka, NeurIPS 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import gumbel_max
    >>> draws = gumbel_max(np.broadcast_to(np.log([0.7, 0.2, 0.1]), (10_000, 3)), rng=0)
    >>> (np.bincount(draws) / 10_000).round(2)
    array([0.7, 0.2, 0.1])
    """
    xp, x = open_real(x=x)
    axis, mask = check_axis(x, axis), check_mask(xp, where, x)
    heat = check_temperature(xp, temperature, x, axis)
    rows = to_rows(xp, detach(x) if mask is None else xp.where(mask, detach(x), -math.inf), axis)
    z = _noisy(xp, rows, heat, _noise(x, axis, xp, rng))
    drawn = xp.max(z, axis=-1) > -math.inf
    index = xp.where(drawn, xp.astype(xp.argmax(z, axis=-1), best_int(xp)), -1)
    return xp.reshape(index, (*x.shape[:axis], *x.shape[axis + 1 :]))


def gumbel_softmax(
    x: Any, temperature: Any = 1.0, *, hard: bool = False, axis: int = -1, where: Any = None, rng: Any = None
) -> Any:
    """Draw a point of the simplex near a vertex: softmax((x + Gumbel noise) / temperature).

    Its largest entry is a draw from softmax(x) at any temperature; towards 0 the others vanish.

    Parameters
    ----------
    x : array_like
        Logits; integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    temperature : float or array
        Positive; an array has the shape of ``x`` without ``axis`` or with 1 there.
    hard : bool
        Return the vertex itself; for torch tensors with the derivative of the soft point ("straight through").
    axis : int
        The axis of the distributions, default the last.
    where : array of bool, optional
        Entries outside are left out: there the result is exactly 0. Broadcasts to the shape of ``x``.
    rng : int, numpy.random.Generator or None
        Source of the noise, as in `gumbel_max`.

    Returns
    -------
    y : array, shape of ``x``
        Of sum 1 along ``axis``; with infinities and NaN as in `softmax`.

    Raises
    ------
    TypeError
        If ``x`` is no real array, or ``where`` not boolean.
    ValueError
        If ``axis`` is out of range, the temperature not positive and finite, or shapes do not fit.

    Notes
    -----
    The noise is added to the entries relative to the largest, so that an offset does not drown it. Derivatives at a
    soft draw y are `softmax_vjp` and `softmax_jvp` of y, also called ``gumbel_softmax_vjp`` and ``gumbel_softmax_jvp``.

    References
    ----------
    Jang, Gu and Poole, ICLR 2017; Maddison, Mnih and Teh, ICLR 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import gumbel_softmax
    >>> gumbel_softmax(np.zeros(3), hard=True, rng=0)
    array([1., 0., 0.])
    """
    xp, x = open_real(x=x)
    axis, mask = check_axis(x, axis), check_mask(xp, where, x)
    heat = check_temperature(xp, temperature, x, axis)
    noise = _noise(x, axis, xp, rng)

    def rows(values: Any) -> Any:
        z = _noisy(xp, values, None, noise)
        y = softmax_rows(xp, tempered(xp, z, heat))
        return _vertex(xp, y, detach(z)) if hard else y

    return over_rows(xp, x, rows, axis=axis, mask=mask)


def _noise(x: Any, axis: int, xp: Any, rng: Any) -> Any:
    """Return Gumbel noise in rows; drawn in the shape of ``x``, so that it does not depend on the axis."""
    return to_rows(xp, from_numpy(generator(rng).gumbel(size=tuple(x.shape)), x), axis)


def _noisy(xp: Any, rows: Any, heat: Any, noise: Any) -> Any:
    z = offset(xp, rows, largest(xp, rows))
    return (z if heat is None else z / heat[:, None]) + noise


def _vertex(xp: Any, y: Any, z: Any) -> Any:
    """Return the vertex of the largest entry of each row, with the derivative of ``y``; NaN where that is."""
    return xp.where(xp.isnan(y), y, xp.astype(keep_topk(xp, z, 1), y.dtype) + (y - held(y)))
