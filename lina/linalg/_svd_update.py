"""Truncated SVDs of a matrix that changes: low-rank updates, appended and deleted rows and columns."""

import math
from dataclasses import replace
from typing import Any

from array_api_compat import array_namespace

from lina._core.array import balance, epsilon, is_lazy, to_numpy
from lina._core.checks import check_rank
from lina.linalg._truncated_svd.result import TruncatedSVD
from lina.linalg._update import (
    Change,
    Factors,
    add_product,
    append_rows,
    assemble,
    decompose,
    delete_rows,
    kept_and_gone,
    open_block,
)


def svd_update(F: TruncatedSVD, C: Any, D: Any, *, k: int | None = None) -> TruncatedSVD:
    """Compute the truncated SVD of A + C @ D^H from that of A, without A.

    Parameters
    ----------
    F : TruncatedSVD
        Of a matrix A (m, n), without ``center``.
    C, D : array_like, shapes (m, p) and (n, p), or (m,) and (n,)
        The change, in the library of ``F``; it is computed in the precision of ``F``.
    k : int, optional
        Largest number of triplets of the result, in 1..min(m, n). Default: as many as ``F`` has. The rank grows up to
        ``k`` by what is new in ``C`` and ``D``.

    Returns
    -------
    TruncatedSVD
        Its ``error`` is an upper bound of the distance from the changed matrix if that of ``F`` is one from A: the
        old error, the norm of the triplets left out now and the rounding, added up. ``error_kind`` and
        ``failure_probability`` are those of ``F``, ``method`` is "update".

    Raises
    ------
    TypeError
        If ``F`` is no TruncatedSVD, ``C`` or ``D`` no array of its library, or ``k`` no int.
    ValueError
        If ``F`` was made with ``center=True`` (a change moves the means), a shape does not fit, ``C`` or ``D`` holds
        NaN or infinities, ``k`` is out of range, or values are traced or lazy.

    OverflowError
        If the norm of the changed matrix exceeds half the range of the dtype.

    Notes
    -----
    The result is the best approximation of F + C @ D^H, not of A + C @ D^H: what ``F`` has left out does not come
    back. Every update adds at least its rounding to ``error``; compute a new SVD when it has grown too much.
    ``norm_A`` takes the part of A that ``F`` leaves out as orthogonal to the change.

    Cost 4 (m + n) k p + 2 (m + n) (k + p)^2 + 22 (k + p)^3 flops.

    References
    ----------
    Brand, Linear Algebra Appl. 415 (2006) 20; Zha, Simon, SIAM J. Sci. Comput. 21 (1999) 782.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import svd_update, truncated_svd
    >>> F = truncated_svd(np.diag([3.0, 2.0, 0.0]), 2)
    >>> G = svd_update(F, [0.0, 0.0, 1.0], [0.0, 0.0, 4.0])
    >>> np.round(G.s, 12), round(G.error, 12)
    (array([4., 3.]), 2.0)
    """
    factors = _opened(F)
    m, n = F.shape
    xp, C = open_block(factors, C, "C", (m, None))
    xp, D = open_block(factors, D, "D", (n, None))
    if C.shape[1] != D.shape[1]:
        raise ValueError(f"C and D must have as many columns, got {C.shape[1]} and {D.shape[1]}")
    limit = _limit(F, k, m, n)
    if C.shape[1] == 0:
        return F.truncate(min(limit, F.rank))
    return _changed(F, add_product(xp, factors, C, D), limit)


def svd_append(F: TruncatedSVD, rows: Any = None, columns: Any = None, *, k: int | None = None) -> TruncatedSVD:
    """Compute the truncated SVD of A with rows below it or columns to its right, from that of A.

    Parameters
    ----------
    F : TruncatedSVD
        Of a matrix A (m, n), without ``center``.
    rows : array_like, shape (r, n) or (n,), optional
        Appended first.
    columns : array_like, shape (m, c) or (m,), optional
        Appended then: with ``rows`` as well it has shape (m + r, c).
    k : int, optional
        Largest number of triplets of the result. Default: as many as ``F`` has.

    Returns
    -------
    TruncatedSVD
        As from `svd_update`; ``norm_A`` is exact.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `svd_update`, and ValueError if neither rows nor columns are given.

    Notes
    -----
    Cost 4 n k r + 2 (m + n) (k + r)^2 + 22 (k + r)^3 flops for r rows.

    References
    ----------
    Zha, Simon, SIAM J. Sci. Comput. 21 (1999) 782.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import svd_append, truncated_svd
    >>> F = truncated_svd(np.diag([3.0, 2.0]), 2)
    >>> svd_append(F, rows=[0.0, 1.5]).s
    array([3. , 2.5])
    """
    factors = _opened(F)
    if rows is None and columns is None:
        raise ValueError("one of rows and columns must be given, got none")
    m, n = F.shape
    if rows is not None:
        _, rows = open_block(factors, rows, "rows", (None, n))
        m += rows.shape[0]
    if columns is not None:
        xp, columns = open_block(factors, columns, "columns", (m, None))
        columns = xp.matrix_transpose(columns)
        n += columns.shape[0]
    limit = _limit(F, k, m, n)
    if rows is not None:
        F = _append(F, rows, limit if columns is None else m)
    return F if columns is None else _transposed(_append(_transposed(F), columns, limit))


def svd_delete(F: TruncatedSVD, rows: Any = None, columns: Any = None, *, k: int | None = None) -> TruncatedSVD:
    """Compute the truncated SVD of A without some rows or columns, from that of A.

    Parameters
    ----------
    F : TruncatedSVD
        Of a matrix A (m, n), without ``center``.
    rows, columns : int or sequence of int, optional
        Indices to leave out, as for ``numpy.delete``.
    k : int, optional
        Largest number of triplets of the result. Default: as many as ``F`` has.

    Returns
    -------
    TruncatedSVD
        As from `svd_update`; ``norm_A`` takes what ``F`` leaves out of A as still there.

    Raises
    ------
    TypeError
        If ``F`` is no TruncatedSVD, or an index or ``k`` no int.
    ValueError
        If ``F`` was made with ``center=True``, an index is out of range, nothing would be left, neither rows nor
        columns are given, ``k`` is out of range, or ``F`` is traced or lazy.

    Notes
    -----
    Cost 2 (m + n) k^2 + 22 k^3 flops.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import svd_delete, truncated_svd
    >>> F = truncated_svd(np.diag([3.0, 2.0, 1.0]), 2)
    >>> G = svd_delete(F, rows=[0])
    >>> G.s, G.shape
    (array([2.]), (2, 3))
    """
    _opened(F)
    if rows is None and columns is None:
        raise ValueError("one of rows and columns must be given, got none")
    m, n = F.shape
    kept_rows = None if rows is None else kept_and_gone(F.U, rows, m, "rows")
    kept_columns = None if columns is None else kept_and_gone(F.U, columns, n, "columns")
    m = m if kept_rows is None else kept_rows[0].shape[0]
    n = n if kept_columns is None else kept_columns[0].shape[0]
    limit = _limit(F, k, m, n)
    if kept_rows is not None:
        F = _delete(F, *kept_rows, limit if kept_columns is None else m)
    return F if kept_columns is None else _transposed(_delete(_transposed(F), *kept_columns, limit))


def _opened(F: Any) -> Factors:
    if not isinstance(F, TruncatedSVD):
        raise TypeError(f"F must be a TruncatedSVD, got {type(F).__name__}")
    if F.mean is not None:
        raise ValueError("F must be made without center=True, whose means a change of the matrix moves")
    if is_lazy(F.U):
        raise ValueError("F must have values that can be looked at, got traced or lazy arrays")
    return Factors(F.U, F.s, F.Vt)


def _limit(F: TruncatedSVD, k: Any, m: int, n: int) -> int:
    """Return the largest rank allowed for the changed matrix (m, n)."""
    return min(F.rank, m, n) if k is None else check_rank(k, min(m, n))


def _transposed(F: TruncatedSVD) -> TruncatedSVD:
    U, s, Vt = _opened(F).transposed(array_namespace(F.U))
    return replace(F, U=U, s=s, Vt=Vt)


def _append(F: TruncatedSVD, rows: Any, limit: int) -> TruncatedSVD:
    if rows.shape[0] == 0:
        return F.truncate(min(limit, F.rank))
    xp = array_namespace(F.U)
    G = _changed(F, append_rows(xp, _opened(F), rows), limit)
    _, size, scale = balance(xp, rows, "rows")
    return replace(G, norm_A=math.hypot(F.norm_A, size * scale))


def _delete(F: TruncatedSVD, kept: Any, gone: Any, limit: int) -> TruncatedSVD:
    if gone.shape[0] == 0:
        return F.truncate(min(limit, F.rank))
    xp = array_namespace(F.U)
    return _changed(F, delete_rows(xp, _opened(F), kept, gone), limit)


def _changed(F: TruncatedSVD, change: Change, limit: int) -> TruncatedSVD:
    """Return at most ``limit`` terms of the changed matrix, none of them within rounding of 0, at least one."""
    xp = array_namespace(F.U)
    terms = decompose(xp, change)
    noise = max(change.core.shape) * epsilon(F.s) * max(terms.peak, terms.values[0])
    k = max(1, sum(value > noise for value in terms.values[:limit]))
    (U, s, Vt), dropped, rounding = assemble(xp, change, terms, k)
    captured = math.hypot(*to_numpy(F.s).tolist())
    norm_A = math.hypot(*terms.values, _left_out(F.norm_A, captured, epsilon(F.s)))
    return replace(F, U=U, s=s, Vt=Vt, error=F.error + dropped + rounding, norm_A=norm_A, method="update")


def _left_out(norm: float, captured: float, eps: float) -> float:
    """Return sqrt(norm^2 - captured^2), or 0 where that difference has lost its digits."""
    share = captured / norm if norm > 0 else 1.0
    rest = (1 - share) * (1 + share)
    return norm * math.sqrt(rest) if rest > 1e3 * eps else 0.0
