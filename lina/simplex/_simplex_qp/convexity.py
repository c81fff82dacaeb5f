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
    n = q.c.size
    mean = np.mean(q.Q, axis=0)
    H = q.Q - mean - mean[:, None] + np.mean(mean)
    # what rounding takes from the least eigenvalue
    H.flat[:: n + 1] += 4 * n * 2.0**-52 * max(float(np.max(np.diagonal(H))), float(np.max(np.abs(mean))), 1e-300)
    _, info = dpotrf(H.T, lower=1, clean=0, overwrite_a=1)
    return info == 0
