"""lina.linalg.cur_completion: a matrix of which only some columns and some rows were seen."""

import math
from typing import Any

from lina._core.array import balance, check_norm, divide, epsilon, frobenius, open_door, scalar
from lina._core.checks import check_tolerance
from lina.linalg._cur.cores import basis, multiplication_rounding, pseudo_inverse, unscale
from lina.linalg._cur.indices import given
from lina.linalg._cur.result import CURCompletion
from lina.linalg._residual import residual_norm
from lina.linalg._stopping import check_matrix


def cur_completion(C: Any, R: Any, rows: Any, cols: Any, *, rtol: float | None = None) -> CURCompletion:
    """Complete a matrix from some of its columns and rows, ``C @ pinv(C[rows, :]) @ R``.

    In blocks: of [[A, B], [C, D]] all but D was seen, and D is taken to be C A^+ B. That is exact where the
    intersection A has the rank of the whole matrix.

    Parameters
    ----------
    C : array_like, shape (m, c)
        The columns seen, whole.
    R : array_like, shape (r, n)
        The rows seen, whole.
    rows, cols : sequence of int, shape (r,) and (c,)
        Where they lie: ``R`` is ``A[rows, :]`` and ``C`` is ``A[:, cols]``.
    rtol : float, optional
        Singular values of the intersection at or below ``rtol`` times the largest count as zero, and ``C[rows, :]``
        may differ from ``R[:, cols]`` by ``rtol`` of its norm. Default ``max(m, n) * eps`` of the working dtype; for
        data with noise, its level: noise that is inverted spoils every unseen entry.

    Returns
    -------
    CURCompletion
        ``core`` (c, r), ``seen_error``, ``condition``, ``gap``, ``rank``. It acts as a matrix: ``F @ x``,
        ``F.T @ y``, ``F.toarray()``.

    Raises
    ------
    TypeError
        If ``C`` or ``R`` is no dense array of numbers.
    ValueError
        If ``C`` or ``R`` is not a finite nonempty matrix, an index is out of range, there is not one for each column
        and row, ``C[rows, :]`` and ``R[:, cols]`` hold different entries, or an array is traced or lazy.
    OverflowError
        If a norm exceeds half the range of the dtype, or the core does.

    Notes
    -----
    Certified is the error on the entries seen, and no more: ``error`` and ``error_kind`` are None, because no bound
    of unseen entries exists without an assumption. If the matrix has the rank ``F.rank``, the completion is exact
    but for rounding, about eps norm(C) norm(core) norm(R). What speaks for that: with more rows and columns than
    ``F.rank``, a small ``seen_error`` and a large ``gap`` say that the seen part has this rank. With as many rows or
    columns as ``F.rank`` the seen entries are met whatever the others are, and nothing is learnt from that.

    Noise in the entries reaches the unseen ones multiplied by up to ``condition``: where that is large, ``rtol`` is
    too small for the noise, however large ``gap`` is, which compares with ``rtol`` alone.

    Cost 2 (m c + n r) (r + c) flops; the matrix itself is never formed.

    References
    ----------
    Goreinov, Tyrtyshnikov, Zamarashkin, Linear Algebra Appl. 261 (1997) 1.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import cur_completion
    >>> A = np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 4.0, 8.0])
    >>> F = cur_completion(A[:, :2], A[:2], [0, 1], [0, 1])
    >>> np.allclose(F.toarray(), A), F.rank
    (True, 1)
    """
    xp, C, R = open_door(min_ndim=2, C=C, R=R)
    check_matrix(C, "C")
    check_matrix(R, "R")
    dtype = xp.result_type(C, R)
    C, R = xp.astype(C, dtype, copy=False), xp.astype(R, dtype, copy=False)
    rows = _one_for_each(given(xp, rows, C.shape[0], "rows", C), R.shape[0], "rows", "row of R")
    cols = _one_for_each(given(xp, cols, R.shape[1], "cols", C), C.shape[1], "cols", "column of C")
    cutoff = max(C.shape[0], R.shape[1]) * epsilon(C) if rtol is None else check_tolerance(rtol, "rtol")
    C, R, scale = _common_scale(xp, C, R)
    seen = xp.take(C, rows, axis=0)
    _check_consistent(xp, seen, xp.take(R, cols, axis=1), cutoff, scale)
    W = basis(xp, seen, cutoff)
    core = pseudo_inverse(xp, W)
    right = core @ R
    columns = residual_norm(xp, C, C, xp.take(right, cols, axis=1))
    error = math.hypot(columns, residual_norm(xp, R, seen, right))
    original = C if scale == 1.0 else C * scale
    return CURCompletion(
        rows=rows,
        cols=cols,
        C=original,
        core=unscale(xp, core, scale, "C"),
        R=R if scale == 1.0 else R * scale,
        seen_error=error * scale,
        error=None,
        error_kind=None,
        core_error=multiplication_rounding(xp, C, core, R) * scale,
        condition=W.condition,
        gap=W.gap,
        core_rank=W.rank,
        left=original,
        right=right,
    )


def _one_for_each(indices: Any, count: int, name: str, what: str) -> Any:
    """Return ``indices`` if there are ``count`` of them."""
    found = None if indices is None else indices.shape[0]
    if found != count:
        raise ValueError(f"{name} must have one index for each {what}, {count} in all, got {found}")
    return indices


def _common_scale(xp: Any, C: Any, R: Any) -> tuple[Any, Any, float]:
    """Return both arrays over one power of two, 1 unless a norm is extreme."""
    scales = []
    for name, each in (("C", C), ("R", R)):
        _, norm, scale = balance(xp, each, name)
        check_norm(each, norm, scale, name)
        scales += [scale] if norm > 0 else []
    scale = max(scales, default=1.0)
    return (C, R, 1.0) if scale == 1.0 else (divide(C, scale), divide(R, scale), scale)


def _check_consistent(xp: Any, seen: Any, again: Any, rtol: float, scale: float) -> None:
    """Raise ValueError unless the intersection is the same in the columns and in the rows."""
    difference = scalar(frobenius(xp, seen - again))
    if difference > rtol * scalar(frobenius(xp, seen)):
        found = f"they differ by {difference * scale:.3g} in the Frobenius norm"
        raise ValueError(f"C[rows, :] and R[:, cols] must hold the same entries up to rtol, {found}")
