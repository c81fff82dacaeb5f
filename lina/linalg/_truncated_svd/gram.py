"""Truncated SVD from the eigenvectors of the smaller Gram matrix: one product at the speed of GEMM, then one pass."""

import math
from typing import Any

from lina._core.array import adjoint, conjugate, epsilon, to_numpy
from lina._core.kernels import kernel
from lina.linalg._orthonormal import orthonormal_columns
from lina.linalg._truncated_svd.problem import Factors, Goal, Matrix, final_rank

# Eigenvalues of A^H A below this share of the largest have lost too many digits to decide or to be kept.
_TRUSTED = 1e-10


def gram_svd(matrix: Matrix, goal: Goal) -> Factors | None:
    """Return the leading terms of ``matrix`` (m, n), m >= n; None where the Gram matrix has lost their digits.

    Cost m n^2 + 9 n^3 + 4 m n k flops; eigenvalues lose half the digits, so s_k / s_1 must exceed 1e-5 in float64.
    """
    xp = matrix.xp
    A = matrix.A
    values, vectors = _top_eigh(xp, matrix.gram(), goal)
    singular = [math.sqrt(max(0.0, v)) for v in values]
    rest = 0.0 if len(singular) == A.shape[1] else math.inf
    k, status = final_rank(singular, rest, goal)
    trusted = max(_TRUSTED, 1e4 * A.shape[1] * epsilon(A))
    if singular[min(k, len(singular)) - 1] ** 2 < trusted * singular[0] ** 2:
        return None
    V = vectors[:, :k]
    Vt = xp.matrix_transpose(V)
    Y = xp.matrix_transpose(matrix.forward(Vt))
    Q = orthonormal_columns(xp, Y)
    QH = adjoint(xp, Q)
    U, s, Wt = xp.linalg.svd(QH @ Y, full_matrices=False)
    return Factors(Q @ U, s, Wt @ conjugate(xp, Vt), status, _following(singular, k, epsilon(A)))


def _top_eigh(xp: Any, G: Any, goal: Goal) -> tuple[list[float], Any]:
    """Return eigenvalues (descending) and vectors of ``G``: all for a tolerance, else one more than the rank."""
    fast = kernel("top_eigh", xp)
    if fast is not None and goal.target is None and goal.rank + 1 < G.shape[0] // 4:
        values, vectors = fast(G, goal.rank + 1)
    else:
        values, vectors = xp.linalg.eigh(G)
    return to_numpy(xp.flip(values)).tolist(), xp.flip(vectors, axis=1)


def _following(singular: list[float], k: int, eps: float) -> float | None:
    """Return singular value k + 1, rounding included (Weyl's inequality); None where rounding is most of it."""
    if k >= len(singular):
        return None
    blur = 4 * math.sqrt(len(singular)) * eps * singular[0] ** 2
    return math.sqrt(singular[k] ** 2 + blur) if singular[k] ** 2 > blur else None
