"""Whether a quadratic is convex along the simplex: known for a factor, declared, or found by a Cholesky factor."""

import numpy as np
from scipy.linalg.lapack import dpotrf

from lina.simplex._simplex_qp.quadratic import Dense, Factored


def is_convex(q: Dense | Factored, declared: bool | None) -> bool:
    """Return what was declared, or whether Q is positive semidefinite on vectors of sum 0, up to rounding."""
    if isinstance(q, Factored):
        return True
    if declared is not None:
        return bool(declared)
    return _factors(_along_the_simplex(q.Q))


def _along_the_simplex(Q: np.ndarray) -> np.ndarray:
    """Return the matrix of x . Q x for x of sum 0, of all entries but one, and what rounding may take from it.

    The entry that is left out is one of a small row: subtracted, it takes no digits from the others. What is added to
    the diagonal is relative to each row, so that a large one does not hide negative curvature among small ones.
    """
    n = Q.shape[0]
    sizes = np.max(np.abs(Q), axis=1)
    least = int(np.argmin(sizes))
    H = Q - Q[least] - Q[:, least, None] + Q[least, least]
    H.flat[:: n + 1] += 4 * n * 2.0**-52 * np.maximum(sizes, 1e-300)
    return H


def _factors(H: np.ndarray) -> bool:
    """Whether ``H``, which is overwritten, has a Cholesky factor."""
    _, info = dpotrf(H.T, lower=1, clean=0, overwrite_a=1)
    return bool(info == 0)
