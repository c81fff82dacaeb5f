"""lina.linalg.cur: a matrix from some of its own columns and rows."""

from typing import Any

import numpy as np

from lina._core.array import balance, check_norm, epsilon, open_door
from lina._core.certificates import CertificateKind
from lina._core.checks import check_option, check_tolerance
from lina._core.random import generator
from lina.linalg._cur.cores import CORES, Core, basis, intersection_core, projection_core, unscale
from lina.linalg._cur.indices import choose, counts_of, given
from lina.linalg._cur.result import CUR
from lina.linalg._select_columns.choose import RULES
from lina.linalg._stopping import check_matrix

METHODS = ("auto", *RULES)


def cur(
    A: Any,
    k: int | tuple[int, int] | None = None,
    *,
    rows: Any = None,
    cols: Any = None,
    method: str = "auto",
    core: str = "stable",
    rtol: float | None = None,
    rng: int | np.random.Generator | None = None,
) -> CUR:
    """Write a matrix in terms of some of its own columns and rows, ``A ~ C @ core @ R``, with the error left over.

    Columns are chosen first, rows after them by pivoting on the columns, so that the intersection is well
    conditioned; where more rows than columns are wanted it is the other way round.

    Parameters
    ----------
    A : array_like, shape (m, n)
        Dense. Integers and booleans are promoted to float64, half precisions to float32.
    k : int or (int, int), optional
        Number of rows and of columns, each in 1..min(m, n); an int means both. So many are returned also where
        the numerical rank is smaller. May be left out where ``rows`` or ``cols`` are given.
    rows, cols : sequence of int, optional
        Use these; only what is not given is chosen. Repeated indices are allowed.
    method : str
        How the first set is chosen: a rule of `select_columns`. "auto" takes "cpqr" where one side is at most 128,
        "greedy" where columns are at most 20 times as many as are wanted, and otherwise "sketch".
    core : {"stable", "projection", "intersection"}
        "projection" is ``pinv(C) @ A @ pinv(R)``, the best core there is. "stable" is the same core with an operator
        that does not multiply by it: ``Q_C (Q_C^H A Q_R) Q_R^H`` with orthonormal bases of both ranges.
        "intersection" is ``pinv(A[rows, :][:, cols])``: it reads no entry of ``A`` but those of C and R, is exact
        where the intersection has the rank of ``A``, and is the Nystrom approximation where ``A`` is positive
        semidefinite and ``rows`` equals ``cols``.
    rtol : float, optional
        Singular values at or below ``rtol`` times the largest count as zero in what is inverted: the intersection,
        or C and R. Default ``max(m, n) * eps`` of the working dtype; for data with noise, its level.
    rng : int, numpy.random.Generator or None
        Source of sketches and draws.

    Returns
    -------
    CUR
        ``rows`` (r,), ``cols`` (c,), ``C`` (m, c), ``core`` (c, r), ``R`` (r, n), ``error``, ``condition``. It acts as
        a matrix: ``F @ x``, ``F.T @ y``, ``F.toarray()``.

    Raises
    ------
    TypeError
        If ``A`` is no dense array of numbers, ``k`` no int or pair of ints, or ``rng`` none of the above.
    ValueError
        If ``A`` is not a finite nonempty matrix, ``k`` is out of range or disagrees with the indices given, an
        index is out of range, ``rtol`` is negative, or ``A`` is traced or lazy.
    OverflowError
        If the Frobenius norm of ``A`` exceeds half the range of the dtype, or the core does.

    Notes
    -----
    ``error`` is rigorous. For "stable" it is norm(A)^2 - norm(Q_C^H A Q_R)^2 while that difference keeps its digits,
    otherwise, and for the other cores, the residual itself.

    ``C @ core @ R`` multiplies large numbers by small ones: for the core "stable" it is within ``core_error`` of the
    operator, about eps norm(C) norm(core) norm(R), where the operator itself has an error of a few eps.

    With r rows, c = r columns and their orthonormal basis Q, the "intersection" core has an error of at most
    norm(Q[rows]^-1, 2) times that of the columns; the other two cores, at most that of the columns plus that of the
    rows. Rows and columns chosen independently of each other can make the intersection nearly singular: look at
    ``condition`` where you give both.

    Cost 2 m n k flops to choose with a sketch, m n^2 + 2 n^2 k with "greedy", then 2 m n k (intersection) or 4 m n k;
    memory 2 (m + n) k numbers for the result.

    References
    ----------
    Stewart, Numer. Math. 83 (1999) 313; Goreinov, Tyrtyshnikov, Zamarashkin, Linear Algebra Appl. 261 (1997) 1;
    Sorensen, Embree, SIAM J. Sci. Comput. 38 (2016) A1454, section 4 (both bounds); Drmac, Gugercin, SIAM J. Sci.
    Comput. 38 (2016) A631 (pivoted QR on the basis).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import cur
    >>> A = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
    >>> F = cur(A, 2, rng=0)
    >>> np.allclose(A[:, F.cols] @ F.core @ A[F.rows], A)
    True
    """
    xp, A = open_door(min_ndim=2, A=A)
    check_matrix(A)
    check_option(method, METHODS, "method")
    check_option(core, CORES, "core")
    cutoff = max(A.shape) * epsilon(A) if rtol is None else check_tolerance(rtol, "rtol")
    rows, cols = given(xp, rows, A.shape[0], "rows", A), given(xp, cols, A.shape[1], "cols", A)
    counts = counts_of(A.shape, k, rows, cols)
    draws = generator(rng)
    M, norm_A, scale = balance(xp, A, "A")
    check_norm(A, norm_A, scale, "A")
    rows, cols = choose(xp, M, counts, rows, cols, method, draws)
    C, R = xp.take(M, cols, axis=1), xp.take(M, rows, axis=0)
    W = basis(xp, xp.take(C, rows, axis=0), cutoff)
    if core == "intersection":
        found = intersection_core(xp, M, C, W, R)
    else:
        found = projection_core(xp, M, norm_A, C, R, cutoff, stable=core == "stable")
    return _result(xp, found, rows, cols, C, R, W.condition, norm_A, scale)


def _result(
    xp: Any, found: Core, rows: Any, cols: Any, C: Any, R: Any, condition: float, norm_A: float, scale: float
) -> CUR:
    """Return the decomposition of the matrix that was divided by ``scale``."""
    return CUR(
        rows=rows,
        cols=cols,
        C=C if scale == 1.0 else C * scale,
        core=unscale(xp, found.core, scale, "A"),
        R=R if scale == 1.0 else R * scale,
        error=found.error * scale,
        error_kind=CertificateKind.RIGOROUS,
        core_error=found.core_error * scale,
        condition=condition,
        norm_A=norm_A * scale,
        core_rank=found.rank,
        left=found.left if scale == 1.0 else found.left * scale,
        right=found.right,
    )
