"""Truncated SVD from the eigenvectors of the smaller Gram matrix: one product at the speed of GEMM, then one pass."""

import math
from typing import Any

from lina._core.array import epsilon, to_numpy
from lina._core.kernels import kernel
from lina.linalg._truncated_svd.problem import (
    Factors,
    Goal,
    Matrix,
    Request,
    final_rank,
    from_images,
    zero_factors,
)

# Eigenvalues of A^H A below this share of the largest have lost too many digits to decide or to be kept.
_TRUSTED = 1e-10


def gram_serves(matrix: Matrix) -> bool:
    """Whether the Gram matrix keeps digits enough: in single precision it sees little but the largest triplet."""
    return _doubt(matrix) < 1e-2


def _doubt(matrix: Matrix) -> float:
    return 1e4 * matrix.shape[1] * epsilon(matrix.like)


def gram_svd(matrix: Matrix, request: Request) -> Factors | None:
    """Return the leading terms of ``matrix`` (m, n); None where the Gram matrix has lost their digits.

    Cost m n^2 + 9 n^3 + 4 m n k flops; eigenvalues lose half the digits, so s_k / s_1 must exceed 1e-5 in float64.
    """
    G, eps = matrix.gram(), epsilon(matrix.like)
    goal = request.goal(matrix)
    if matrix.norm == 0:
        return zero_factors(matrix, goal)
    values, vectors = _top_eigh(matrix.xp, G, goal)
    singular = [math.sqrt(max(0.0, v)) for v in values][: min(matrix.shape)]
    rest = 0.0 if len(singular) >= min(matrix.shape) else math.inf
    k, status = final_rank(singular, rest, goal)
    trusted = max(_TRUSTED, _doubt(matrix)) * (matrix.size / matrix.norm) ** 2
    if singular[min(k, len(singular)) - 1] ** 2 < trusted * singular[0] ** 2:
        return None
    V = matrix.xp.matrix_transpose(vectors[:, :k])
    U, s, Vt = from_images(matrix.xp, V, matrix.forward(V))
    return Factors(U, s, Vt, status, _following(singular, k, eps))


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
