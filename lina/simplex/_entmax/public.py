"""lina.simplex.sparsemax and entmax: checks, and the choice of the solver."""

from typing import Any

from lina.simplex._entmax.body import entmax_body
from lina.simplex._project_simplex import project_rows, threshold
from lina.simplex._rows import (
    check_axis,
    check_mask,
    check_temperature,
    from_rows,
    open_real,
    over_rows,
    per_row,
    tempered,
    worth_calling,
)


def sparsemax(
    x: Any, *, axis: int = -1, where: Any = None, temperature: Any = 1.0, return_threshold: bool = False
) -> Any:
    """Return the distribution nearest to x / temperature along an axis: entries far below the largest become exactly 0.

    p = max(x / temperature - tau, 0), the projection onto the simplex.

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
    return_threshold : bool
        Also return tau and the number of entries of p that are not 0, in the shape of ``x`` without ``axis``.

    Returns
    -------
    p : array, shape of ``x``
    tau, support : array
        Only with ``return_threshold=True``.

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
    Infinite and missing entries, cost and derivatives are as for `project_simplex`.

    References
    ----------
    Martins and Astudillo, ICML 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import sparsemax
    >>> sparsemax(np.array([1.0, 0.5, -1.0]))
    array([0.75, 0.25, 0.  ])
    >>> sparsemax(np.array([1.0, 0.5, -1.0]), temperature=4.0)
    array([0.54166667, 0.41666667, 0.04166667])
    """
    xp, x = open_real(x=x)
    axis, mask = check_axis(x, axis), check_mask(xp, where, x)
    heat = check_temperature(xp, temperature, x, axis)
    radii = per_row(xp, 1.0, x, axis, "radius", lambda r: r >= 0, "finite and not negative")
    p = over_rows(xp, x, lambda rows: project_rows(xp, tempered(xp, rows, heat), radii), axis=axis, mask=mask)
    if not return_threshold:
        return p
    return (p, *threshold(xp, x, p, axis, mask, temperature))


def entmax(
    x: Any,
    alpha: Any = 1.5,
    *,
    axis: int = -1,
    where: Any = None,
    temperature: Any = 1.0,
    return_threshold: bool = False,
) -> Any:
    """Return the alpha-entmax of x / temperature along an axis: softmax at alpha = 1, sparsemax at 2, sparser beyond.

    p maximises p . x / temperature + H(p) over the simplex, with Tsallis' entropy
    H = (1 - sum p^alpha) / (alpha (alpha - 1)). So p = max((alpha - 1) x / temperature - tau, 0)^(1 / (alpha - 1)),
    with the one tau per row at which the sum is 1.

    Parameters
    ----------
    x : array_like, shape (..., n, ...)
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    alpha : float or array
        At least 1; an array broadcasts to the shape of ``x`` without ``axis`` or with 1 there.
    axis : int
        The axis along which p sums to 1, default the last.
    where : array of bool, optional
        Entries outside are left out: there p is exactly 0. Broadcasts to the shape of ``x``.
    temperature : float or array
        Positive; an array broadcasts to the shape of ``x`` without ``axis`` or with 1 there.
    return_threshold : bool
        Also return tau and the number of entries of p that are not 0, in the shape of ``x`` without ``axis``. tau
        tends to -1 for alpha to 1 and says nothing there.

    Returns
    -------
    p : array, shape of ``x``
    tau, support : array
        Only with ``return_threshold=True``.

    Raises
    ------
    TypeError
        If ``x`` is no dense array of real numbers, or ``where`` is not boolean.
    ValueError
        If ``x`` has no dimension or no entry along ``axis``, ``axis`` is out of range, ``where``, ``alpha`` or
        ``temperature`` does not broadcast, ``alpha`` is below 1 or ``temperature`` not positive and finite. In lazy,
        traced or torch arrays of these, whose values are not looked at, such entries make their rows NaN.

    Notes
    -----
    Near alpha = 1 nothing is lost: the unknown is the logarithm of the largest entry of p, and the others are
    exp(log1p((alpha - 1) u) / (alpha - 1)) of it, with the series of that quotient where alpha - 1 is tiny. For alpha
    > 2 the slope of an entry is infinite where it becomes 0: entries there have the error eps^(1 / (alpha - 1)).

    Infinite and missing entries are as for `project_simplex`. No certificate: the error is a dozen eps of the largest
    entry of p for alpha up to 2, times the condition above beyond. Cost: Newton's method on
    (sum of max(...)^(1 / (alpha - 1)))^(alpha - 1), which is convex in tau for alpha up to 2 and bracketed beyond, 3
    to 8 passes over the entries within 1 / (alpha - 1) of the largest.

    For torch tensors p is differentiable any number of times, by ``x``, ``alpha`` and ``temperature``.

    References
    ----------
    Blondel, Martins and Niculae, JMLR 21 (2020) 35; Peters, Niculae and Martins, ACL 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import entmax
    >>> entmax(np.array([2.0, 0.0, -1.0]), 1.5)
    array([1., 0., 0.])
    >>> entmax(np.array([1.0, 0.0, -1.0]), 1.5).round(4)
    array([0.8307, 0.1693, 0.    ])
    """
    xp, x = open_real(x=x)
    axis, mask = check_axis(x, axis), check_mask(xp, where, x)
    heat = check_temperature(xp, temperature, x, axis)
    alphas = per_row(xp, alpha, x, axis, "alpha", lambda a: a >= 1, "finite and at least 1")
    p = over_rows(xp, x, lambda rows: entmax_rows(xp, tempered(xp, rows, heat), alphas), axis=axis, mask=mask)
    if not return_threshold:
        return p
    excess = from_rows(xp, (alphas - 1)[:, None], (*x.shape[:axis], 1, *x.shape[axis + 1 :]), axis)
    return (p, *threshold(xp, x, p, axis, mask, temperature, excess))


def entmax_rows(xp: Any, x: Any, alpha: Any) -> Any:
    """Return the entmax of the rows of ``x`` (rows, n) with ``alpha`` (rows,)."""
    fast = worth_calling("entmax", xp, x)
    return entmax_body(xp, x, alpha) if fast is None else fast(x, alpha)
