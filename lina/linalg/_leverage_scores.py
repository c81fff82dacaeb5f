"""Leverage scores: how much each row (or column) matters to the space that the matrix spans."""

from typing import Any

import numpy as np

from lina._core.array import balance, check_norm, epsilon, open_door, to_numpy
from lina._core.checks import check_int, check_option, check_rank, check_tolerance
from lina._core.random import gaussian, generator
from lina.linalg._pinv.outcome import cutoff_for
from lina.linalg._sketch import sketch
from lina.linalg._stopping import check_matrix
from lina.linalg._thin_svd import certain_svd

METHODS = ("exact", "sketch")

# Rows of the sketch over columns of the matrix: lengths are kept within about a factor 1 +- sqrt(1 / 8).
_SKETCH_ROWS = 8
# Columns of the random projection that replaces the squared norms of rows: each errs by about sqrt(2 / 64).
_PROJECTION = 64


def leverage_scores(
    A: Any,
    k: int | None = None,
    *,
    ridge: float | None = None,
    axis: int = 0,
    method: str = "exact",
    rtol: float | None = None,
    rng: int | np.random.Generator | None = None,
) -> Any:
    """Compute the leverage of each row: the squared length of its part in an orthonormal basis of the columns.

    Parameters
    ----------
    A : array_like, shape (m, n)
        Dense. Integers and booleans are promoted to float64, half precisions to float32.
    k : int, optional
        Use the leading ``k`` singular vectors only (the dominant part), in 1..min(m, n). Default: all that count.
    ridge : float, optional
        Weigh singular vector i by s_i^2 / (s_i^2 + ridge) (ridge leverage scores).
    axis : {0, 1}
        Scores of rows (0), the diagonal of the hat matrix A A^+ as in regression; or of columns (1), as in CUR.
    method : {"exact", "sketch"}
        From the singular vectors; or from those of a sketch and a random projection, with an error of about a fifth
        of each score (see the notes). Where the side scored is not over 8 times the other, "exact" runs.
    rtol : float, optional
        Singular values at or below ``rtol * largest`` do not count; default ``max(m, n) * eps``, as in `pinv`.
    rng : int, numpy.random.Generator or None
        Source of the sketch.

    Returns
    -------
    array, shape (m,) or (n,)
        Real, in [0, 1] for "exact". They add up to the rank (``k``; with ``ridge`` the effective dimension).

    Raises
    ------
    TypeError
        If ``A`` is no dense array of numbers, ``k`` no int, or ``rng`` none of the above.
    ValueError
        If ``A`` is not a finite nonempty matrix, is traced or lazy, ``k`` is out of range, or ``ridge`` or ``rtol``
        is negative.

    OverflowError
        If the Frobenius norm of ``A`` exceeds half the range of the dtype.

    Notes
    -----
    "exact" errs by a few eps times s_1 over the distance of the singular values that count from those that do not;
    it carries no other certificate. "sketch" is off by a factor between (1 + d)^-2 and (1 - d)^-2, d = sqrt(1 / 8),
    that all rows about share (1.1 to 1.2 as a rule), and for more than 64 columns by sqrt(2 / 64) = 18 % (standard
    deviation) from row to row; for ``k`` it needs s_k and s_(k+1) further apart than that. These are probable
    errors, not bounds.

    Cost for m >= n: "exact" 6 m n^2 + 22 n^3 flops; "sketch" 16 m n for a sketch of 8 n rows, 70 n^3, and
    128 m n for the projection. Memory: one array of the size of ``A``.

    References
    ----------
    Mahoney, Found. Trends Mach. Learn. 3 (2011) 123; Drineas, Magdon-Ismail, Mahoney, Woodruff, J. Mach. Learn. Res.
    13 (2012) 3475 (sketch); Alaoui, Mahoney, NeurIPS 2015 (ridge).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import leverage_scores
    >>> A = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 5.0]])
    >>> leverage_scores(A).round(12)
    array([0.5, 0.5, 1. ])
    """
    xp, A = open_door(min_ndim=2, A=A)
    check_matrix(A)
    if check_int(axis, "axis") not in (0, 1):
        raise ValueError(f"axis must be 0 or 1, got {axis!r}")
    check_option(method, METHODS, "method")
    limit = min(A.shape) if k is None else check_rank(k, min(A.shape))
    weight = 0.0 if ridge is None else check_tolerance(ridge, "ridge")
    cutoff = cutoff_for(A.shape, epsilon(A), rtol, None)
    draws = generator(rng)
    scaled, norm_A, scale = balance(xp, A, "A")
    check_norm(A, norm_A, scale, "A")
    weight = min(weight / scale / scale, 2.0**1000 if epsilon(A) == 2.0**-52 else 2.0**120)  # a finite one, at least
    M = scaled if axis == 0 else xp.matrix_transpose(scaled)
    if method == "sketch" and M.shape[0] > _SKETCH_ROWS * M.shape[1]:
        return _sketched(xp, M, limit, weight, cutoff, draws)
    U, s, _ = certain_svd(xp, M, cutoff)
    kept = _counted(s, cutoff, limit)
    share = s[:kept] ** 2 / (s[:kept] ** 2 + weight)
    scores = xp.sum(xp.abs(U[:, :kept]) ** 2 * share[None, :], axis=1)
    return xp.minimum(scores, xp.ones_like(scores))  # rounding alone is above 1


def _counted(s: Any, cutoff: Any, limit: int) -> int:
    """Return how many of the descending singular values count, ``limit`` at most."""
    values = to_numpy(s).tolist()
    return min(limit, sum(value > cutoff.at(values[0]) for value in values))


def _sketched(xp: Any, A: Any, limit: int, weight: float, cutoff: Any, rng: np.random.Generator) -> Any:
    """Return the squared row lengths of A V / sqrt(s^2 + weight), V and s those of a sketch, after a projection."""
    m, n = A.shape
    _, s, Vt = certain_svd(xp, sketch(_SKETCH_ROWS * n, m, kind="sparse_sign", rng=rng) @ A, cutoff)
    kept = _counted(s, cutoff, limit)
    s, Vt = s[:kept], Vt[:kept, :]
    basis = xp.conj(xp.matrix_transpose(Vt)) / xp.astype(xp.sqrt(s**2 + weight), A.dtype)[None, :]
    if kept > _PROJECTION:
        basis = basis @ gaussian(rng, (kept, _PROJECTION), A) / _PROJECTION**0.5
    return xp.sum(xp.abs(A @ basis) ** 2, axis=1)
