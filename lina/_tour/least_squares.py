"""How far a computed (ridge) least squares solution is from the exact one."""

from typing import Any

import numpy as np


def normal_equations_bound(A: np.ndarray, B: np.ndarray, X: np.ndarray, ridge: np.ndarray, smallest: Any) -> Any:
    """Return an upper bound of norm(X - exact, "fro"), where (A^T A + ridge) exact = A^T B.

    The residual over the smallest eigenvalue, with all that rounding can hide in the residual added (Higham, Accuracy
    and Stability of Numerical Algorithms, section 3.5).

    Parameters
    ----------
    A, B, X : array, shape (..., m, n), (..., m, p), (..., n, p)
        Matrix, right-hand sides and the solutions to be judged.
    ridge : array, shape (...)
        Zero for plain least squares.
    smallest : array, shape (...)
        A positive lower bound of the smallest singular value of ``A``.
    """
    m, n = A.shape[-2:]
    residual = np.swapaxes(A, -1, -2) @ (B - A @ X) - ridge[..., None, None] * X
    size_A, size_B, size_X, size = (np.linalg.norm(M, axis=(-2, -1)) for M in (A, B, X, residual))
    rounding = (m + n + 4) * np.finfo(float).eps * (size_A * (size_B + size_A * size_X) + ridge * size_X)
    return (size + rounding) / (smallest**2 + ridge)


def refined_solution(A: np.ndarray, B: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """Return the solution of (A^T A + ridge) X = A^T B beyond double precision, by residuals in long double."""
    long_A = A.astype(np.longdouble)
    transposed = np.swapaxes(long_A, -1, -2)
    G = transposed @ long_A + ridge[..., None, None].astype(np.longdouble) * np.eye(A.shape[-1], dtype=np.longdouble)
    right = transposed @ B.astype(np.longdouble)
    X = np.zeros(np.broadcast_shapes(G.shape[:-2], right.shape[:-2]) + right.shape[-2:], dtype=np.longdouble)
    for _ in range(5):
        X = X + np.linalg.solve(G.astype(float), (right - G @ X).astype(float))
    return X
