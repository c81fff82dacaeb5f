"""Pseudo-inverses in 50 digits: the normal equations, which are harmless at that precision."""

import mpmath
import numpy as np


def full_rank_pinv(A: np.ndarray) -> np.ndarray:
    """Return (A^H A)^-1 A^H of a real or complex matrix (m, n) of full column rank."""
    with mpmath.workdps(50):
        M = mpmath.matrix(A.tolist())
        X = mpmath.lu_solve(M.H * M, M.H) if A.shape[1] == 1 else (M.H * M) ** -1 * M.H
        return np.array(X.tolist(), dtype=np.complex128 if np.iscomplexobj(A) else np.float64)
