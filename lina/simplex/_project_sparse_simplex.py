"""Euclidean projection onto the points of the simplex with at most k entries."""

import math
from typing import Any

from lina._core.checks import check_rank
from lina.simplex._project_simplex import project_rows, threshold
from lina.simplex._rows import check_axis, detach, open_real, over_rows, per_row
from lina.simplex._truncated_softmax import keep_topk


def project_sparse_simplex(x: Any, k: int, radius: Any = 1.0, *, axis: int = -1, return_threshold: bool = False) -> Any:
    """Project onto the k-sparse simplex: the p >= 0 of sum ``radius`` with at most ``k`` entries nearest to ``x``.

    The k largest entries, projected onto their simplex; among equal entries the first ones are kept.

    Parameters
    ----------
    x : array_like, shape (..., n, ...)
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    k : int
        The most entries that p may have, in 1..n.
    radius : float or array
        The sum of p, not negative and finite; an array broadcasts to the shape of ``x`` without ``axis`` or
        with 1 there.
    axis : int
        The axis along which p sums to ``radius``, default the last.
    return_threshold : bool
        Also return tau, by which p = max(x - tau, 0) on the k entries, and the number of entries of p that are not 0,
        in the shape of ``x`` without ``axis``.

    Returns
    -------
    p : array, shape of ``x``
    tau, support : array
        Only with ``return_threshold=True``.

    Raises
    ------
    TypeError
        If ``x`` is no dense array of real numbers, or ``k`` no int.
    ValueError
        If ``x`` has no dimension or no entry along ``axis``, ``axis`` or ``k`` is out of range, ``radius`` does not
        broadcast, or is negative or not finite. In a lazy, traced or torch array of radii, whose values are not looked
        at, such entries make their rows NaN.

    Notes
    -----
    The set is not convex, and this is a global minimiser (Kyrillidis et al., theorem 1). Infinite and missing entries
    are as for `project_simplex`. Cost one selection of the k-th entry, where a library has none a sort. No certificate.

    References
    ----------
    Kyrillidis, Becker, Cevher and Koch, ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import project_sparse_simplex
    >>> project_sparse_simplex(np.array([0.25, 0.5, 0.5, 0.5]), 2)
    array([0. , 0.5, 0.5, 0. ])
    >>> p, tau, support = project_sparse_simplex(np.array([0.25, 0.5, 0.75]), 2, return_threshold=True)
    >>> float(tau), int(support)
    (0.125, 2)
    """
    xp, x = open_real(x=x)
    axis = check_axis(x, axis)
    k = check_rank(k, x.shape[axis], what="n")
    radii = per_row(xp, radius, x, axis, "radius", lambda r: r >= 0, "finite and not negative")

    def rows(values: Any) -> Any:
        keep = keep_topk(xp, detach(values), k)
        return project_rows(xp, xp.where(keep, values, -math.inf), radii)

    p = over_rows(xp, x, rows, axis=axis)
    return (p, *threshold(xp, x, p, axis, None)) if return_threshold else p
