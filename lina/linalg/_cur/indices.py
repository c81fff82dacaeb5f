"""Which rows and columns: those given, and those still to be chosen, the second set after the first."""

from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, host_array, to_numpy
from lina._core.checks import check_rank
from lina.linalg._cur.cores import basis
from lina.linalg._pivoted_qr import pivoted_qr
from lina.linalg._select_columns.choose import choose_columns

# Up to so many rows or columns pivoted QR of the matrix takes no time worth saving.
_SMALL = 128
# The Gram matrix of the greedy rule costs n / 4 k times what a sketch and its product do: worth it up to five times.
_NARROW = 20


def _first(xp: Any, A: Any, k: int, method: str, rng: np.random.Generator) -> Any:
    """Return ``k`` columns of ``A`` (m, n) by ``method``; "auto" takes the best rule that the size allows."""
    if method == "auto":
        method = "cpqr" if min(A.shape) <= _SMALL else "greedy" if A.shape[1] <= _NARROW * k else "sketch"
    return choose_columns(xp, A, k, method, rng)


def choose(
    xp: Any, A: Any, counts: tuple[int, int], rows: Any, cols: Any, method: str, rng: np.random.Generator
) -> tuple[Any, Any]:
    """Return (rows, cols) of ``A`` (m, n), ``counts`` of them, keeping those that are not None.

    The larger set is chosen by ``method``, the other one by pivoting on what was chosen.
    """
    if cols is None and (rows is not None or counts[0] > counts[1]):
        cols, rows = choose(xp, xp.matrix_transpose(A), counts[::-1], cols, rows, method, rng)
        return rows, cols
    if cols is None:
        cols = _first(xp, A, counts[1], method, rng)
    if rows is None:
        rows = _rows_after(xp, A, cols, counts[0], method, rng)
    return rows, cols


def _rows_after(xp: Any, A: Any, cols: Any, r: int, method: str, rng: np.random.Generator) -> Any:
    """Return ``r`` rows such that the intersection with ``cols`` is well conditioned.

    Pivoted QR on the leading left singular vectors U of the columns (Drmac, Gugercin 2016): the error of the core
    ``A[rows, cols]^+`` is at most norm(U[rows]^-1, 2) times that of the columns. Rows beyond the number of columns
    come from what the first ones leave of the others.
    """
    Q = basis(xp, xp.take(A, cols, axis=1), 0.0).Q
    first = min(r, Q.shape[1])
    if first == 0:  # columns of zeros
        return _first(xp, xp.matrix_transpose(A), r, method, rng)
    rows = pivoted_qr(xp, adjoint(xp, Q[:, :first]), first)[1]
    if first == r:
        return rows
    others = from_host(xp, np.setdiff1d(np.arange(A.shape[0]), to_numpy(rows)), A)
    P = basis(xp, adjoint(xp, xp.take(A, rows, axis=0)), 0.0).Q
    rest = xp.take(A, others, axis=0)
    rest = rest - (rest @ P) @ adjoint(xp, P)
    more = _first(xp, xp.matrix_transpose(rest), r - first, method, rng)
    return xp.concat([rows, xp.take(others, more)])


def given(xp: Any, values: Any, limit: int, name: str, like: Any) -> Any:
    """Return the indices that the caller gave as a checked array of int64; None stays None."""
    if values is None:
        return None
    found = host_array(values, name)
    if found.ndim != 1 or found.size == 0 or found.dtype.kind not in "iu":
        wanted = "a nonempty sequence of ints"
        raise ValueError(f"{name} must be {wanted}, got shape {found.shape} and dtype {found.dtype}")
    if found.min() < 0 or found.max() >= limit:
        raise ValueError(f"{name} must lie in 0..{limit - 1}, got {found.min()}..{found.max()}")
    return from_host(xp, found, like)


def counts_of(shape: tuple[int, int], k: Any, rows: Any, cols: Any) -> tuple[int, int]:
    """Return how many rows and columns are wanted by ``k``: an int, a pair, or None where indices are given."""
    limit = min(shape)
    lengths = [None if each is None else each.shape[0] for each in (rows, cols)]
    pair = isinstance(k, (tuple, list))
    if k is None:
        known = [length for length in lengths if length is not None]
        if not known:
            raise ValueError("k must be given where neither rows nor cols are, got None")
        wanted = [min(limit, known[0])] * 2
    elif pair:
        if len(k) != 2:
            raise ValueError(f"k must be an int or a pair (rows, columns), got {len(k)} entries")
        wanted = [check_rank(each, limit, f"k[{i}]") for i, each in enumerate(k)]
    else:
        wanted = [check_rank(k, limit)] * 2
    if pair or (k is not None and None not in lengths):
        for name, length, count in zip(("rows", "cols"), lengths, wanted, strict=True):
            if length not in (None, count):
                raise ValueError(f"{name} must have as many entries as k says, {count}, got {length}")
    r, c = (count if length is None else length for length, count in zip(lengths, wanted, strict=True))
    return r, c


def from_host(xp: Any, values: np.ndarray, like: Any) -> Any:
    """Return host indices as an array of int64 beside ``like``."""
    return xp.asarray(values.astype(np.int64), device=device(like))
