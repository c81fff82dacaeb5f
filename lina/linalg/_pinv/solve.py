"""A+ M by guarded paths that never form A+: corrected seminormal equations, Householder QR, SVD."""

import math
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, balance, check_finite, divide, dtype_name, epsilon, frobenius, is_lazy, scalar
from lina._core.kernels import kernel
from lina.linalg._householder import householder
from lina.linalg._norms import norm2_upper
from lina.linalg._orthonormal import cholesky, cholesky_qr, gram, triangular_inverse
from lina.linalg._pinv.cod import low_rank_gap, range_factors
from lina.linalg._pinv.compute import empty_pinv
from lina.linalg._pinv.outcome import Cutoff, FullRank, Outcome
from lina.linalg._pinv.svd import inverse_where, spectrum_facts

# Below this many entries a matrix is done before the guards of the fast paths are evaluated.
_WORTH_GUARDING = 4096
# From this ratio of the sides on, the SVD is taken of the triangle: as LAPACK's SVD itself would do it.
_TALL = 2
# From this many columns on a failed attempt at a low rank costs a small part of the SVD that follows.
_WORTH_SKETCHING = 256
_MOST_CORRECTIONS = 5
# The bound of the rounding in the squares of the singular values, some thousand times too large, over the least square:
# from here on the second pass of Cholesky QR fails more often than not.
_HOPELESS = 1e5


def compute_solution(xp: Any, A: Any, M: Any, cutoff: Cutoff) -> Outcome:
    """Return A+ M (..., n, p) for ``A`` (..., m, n) and ``M`` (..., m, p) of one dtype, with the facts on A."""
    check_finite(xp, A, "A")
    check_finite(xp, M, "M")
    if math.prod(A.shape) == 0:
        X = xp.zeros((*A.shape[:-2], A.shape[-1], M.shape[-1]), dtype=A.dtype, device=device(A))
        return empty_pinv(xp, A)._replace(X=X)
    if A.ndim > 2 or is_lazy(A) or is_lazy(M):
        found = svd_solution(xp, A, M, cutoff)
        return found._replace(method=np.full(A.shape[:-2], "svd")) if A.ndim > 2 else found
    A, norm_A, scale = balance(xp, A, "A")
    M, _, scale_M = balance(xp, M, "M")
    found = _matrix(xp, A, M, norm_A, cutoff._replace(atol=cutoff.atol / scale))
    if scale == scale_M:
        return found
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        X = divide(found.X, scale / scale_M)
    if not bool(xp.all(xp.isfinite(X))):
        raise OverflowError(f"A must not be so small, nor M so large, that the solution overflows {dtype_name(X)}")
    return found._replace(X=X)


def _matrix(xp: Any, A: Any, M: Any, norm_A: float, cutoff: Cutoff) -> Outcome:
    """One matrix (m, n) and right-hand sides (m, p), both of norms in safe range: try, fall back."""
    if math.prod(A.shape) < _WORTH_GUARDING or M.shape[1] == 0:
        return svd_solution(xp, A, M, cutoff)
    wide = A.shape[0] < A.shape[1]
    G = gram(xp, adjoint(xp, A) if wide else A)
    found = _full_rank_solution(xp, A, G, M, norm_A, cutoff)
    if found is None and G.shape[0] >= _WORTH_SKETCHING:
        found = _low_rank_solution(xp, A, G, M, cutoff)
    return _qr_solution(xp, A, M, cutoff) if found is None else found


def svd_solution(xp: Any, A: Any, M: Any, cutoff: Cutoff) -> Outcome:
    """Return A+ M from the singular value decomposition of ``A`` (..., m, n)."""
    fast = kernel("svd_least_squares", xp)  # LAPACK's gelsd, which never forms the vectors
    if fast is not None and A.ndim == 2 and cutoff.atol == 0.0:
        X, _, _, s = fast(A, M, rcond=cutoff.rtol)
        return Outcome(X, *spectrum_facts(xp, s, cutoff)[1:], "svd")
    with np.errstate(over="ignore"):  # looked at in spectrum_facts
        U, s, Vt = xp.linalg.svd(A, full_matrices=False)
    keep, rank, condition, gap = spectrum_facts(xp, s, cutoff)
    weights = xp.astype(inverse_where(xp, s, keep), A.dtype)
    X = adjoint(xp, Vt) @ (weights[..., :, None] * (adjoint(xp, U) @ M))
    return Outcome(X, rank, condition, gap, "svd")


def _qr_solution(xp: Any, A: Any, M: Any, cutoff: Cutoff) -> Outcome:
    """Return A+ M through the triangle of A or of A^H: by inverting it where full rank is certain."""
    m, n = A.shape
    R, apply, apply_adjoint = householder(xp, adjoint(xp, A) if m < n else A)
    triangle, right = (adjoint(xp, R), M) if m < n else (R, apply_adjoint(M))
    found = _triangular_solution(xp, R, triangle, right, cutoff)
    if found is None:
        if max(m, n) < _TALL * min(m, n):
            return svd_solution(xp, A, M, cutoff)
        found = svd_solution(xp, triangle, right, cutoff)
    return found._replace(X=apply(found.X)) if m < n else found


def _triangular_solution(xp: Any, R: Any, triangle: Any, right: Any, cutoff: Cutoff) -> Outcome | None:
    """Return triangle^-1 @ right, ``triangle`` being R or R^H; None unless full rank is certain."""
    found = certain_inverse(xp, R, cutoff)
    if found is None:
        return None
    lower, low, high = found
    X = corrected(lower if triangle is not R else adjoint(xp, lower), triangle, right)
    return FullRank(X, low, high, "qr").outcome(R.shape[0], cutoff)


def certain_inverse(xp: Any, R: Any, cutoff: Cutoff) -> tuple[Any, float, float] | None:
    """Return R^-H of a triangle and the interval of its singular values; None unless full rank is certain."""
    if scalar(xp.min(xp.abs(xp.linalg.diagonal(R)))) == 0.0:
        return None
    lower = triangular_inverse(xp, adjoint(xp, R))
    low, high = 1.0 / norm2_upper(xp, lower), norm2_upper(xp, R)
    return (lower, low, high) if cutoff.below(low, high) else None


def corrected(inverse: Any, triangle: Any, right: Any) -> Any:
    """Return triangle^-1 @ right: an inverse times a vector is stable once corrected."""
    X = inverse @ right
    return X + inverse @ (right - triangle @ X)


def _full_rank_solution(xp: Any, A: Any, G: Any, M: Any, norm_A: float, cutoff: Cutoff) -> Outcome | None:
    """Return A+ M from the smaller Gram matrix ``G``; None unless full rank is certain."""
    triangle = _triangle(xp, A if A.shape[0] >= A.shape[1] else adjoint(xp, A), G, norm_A)
    if triangle is None or not cutoff.below(triangle.low, triangle.high):
        return None
    X = _seminormal_solution(xp, A, M, triangle.inverse)
    return FullRank(X, triangle.low, triangle.high, triangle.method).outcome(G.shape[0], cutoff)


def _low_rank_solution(xp: Any, A: Any, G: Any, M: Any, cutoff: Cutoff) -> Outcome | None:
    """Return A+ M for A = Q B of a rank k far below both sides, A+ = B+ Q^H; None unless the rank is certain.

    For wide A its adjoint is Q B. Cost about m n^2 + 6 m n k + 4 n k p a correction.
    """
    wide = A.shape[0] < A.shape[1]
    tall = adjoint(xp, A) if wide else A
    found = range_factors(xp, tall, G)
    if found is None:
        return None
    Q, B = found
    BH = adjoint(xp, B)
    triangle = _triangle(xp, BH, gram(xp, BH), scalar(frobenius(xp, B)))
    if triangle is None:
        return None
    clear = low_rank_gap(xp, tall, Q, B, triangle.low, triangle.high, cutoff)
    if clear is None:
        return None
    if wide:
        X = Q @ _seminormal_solution(xp, BH, M, triangle.inverse)
    else:
        X = _seminormal_solution(xp, B, adjoint(xp, Q) @ M, triangle.inverse)
    return Outcome(X, B.shape[0], triangle.high / triangle.low, clear[0], "cod")


def _seminormal_solution(xp: Any, A: Any, M: Any, inverse: Any) -> Any:
    """Return R^-1 R^-H A^H M, for wide A A^H R^-1 R^-H M, with ``inverse`` = R^-H, whose error is condition^2 eps.

    Corrections X += solution for M - A X multiply the error by condition^2 eps or less, down to that of a backward
    stable method (Bjorck, Linear Algebra Appl. 88/89 (1987) 31); ended when a further one would add no digits to any
    column. Cost 4 m n p flops each.
    """
    AH, adjoint_inverse = adjoint(xp, A), adjoint(xp, inverse)

    def solve(B: Any) -> Any:
        if A.shape[0] >= A.shape[1]:
            return adjoint_inverse @ (inverse @ (AH @ B))
        return AH @ (adjoint_inverse @ (inverse @ B))

    X = solve(M)
    before = 1.0
    for _ in range(_MOST_CORRECTIONS):
        D = solve(M - A @ X)
        size = _largest_ratio(xp, D, X)
        X = X + D
        if size * size <= before * epsilon(X) or size > before / 2:
            break
        before = size
    return X


class _Triangle(NamedTuple):
    """R^-H of A = Q R, the interval of all singular values, and whether Cholesky ran once ("gram") or twice."""

    inverse: Any
    low: float
    high: float
    method: str


def _triangle(xp: Any, A: Any, G: Any, norm_A: float) -> _Triangle | None:
    """Return R of ``A`` (m, n), m >= n, from its Gram matrix ``G``, or None where that has no Cholesky factor.

    Where rounding may have moved the singular values by more than a little, A R^-1 is orthonormalised once more: its
    distance from orthonormal proves them.
    """
    L = cholesky(xp, G)
    if L is None:
        return None
    inverse = triangular_inverse(xp, L)
    low, high = 1.0 / norm2_upper(xp, inverse), norm2_upper(xp, L)
    # entries of A^H A err by sqrt(m) eps, as sums of m terms do; the factor 4 has room for Cholesky's own rounding
    doubt = 4 * A.shape[0] ** 0.5 * epsilon(A) * norm_A**2
    if doubt > _HOPELESS * low**2:
        return None
    if 4 * doubt <= low**2:
        return _Triangle(inverse, (low**2 - doubt) ** 0.5, (high**2 + doubt) ** 0.5, "gram")
    second = cholesky_qr(xp, A @ adjoint(xp, inverse), form=False)
    if second is None or not second.deviation < 0.5:
        return None
    low, high = low * (1 - second.deviation) ** 0.5, high * (1 + second.deviation) ** 0.5
    return _Triangle(second.inverse @ inverse, low, high, "cholqr2")


def _largest_ratio(xp: Any, D: Any, X: Any) -> float:
    """Return the largest norm of a column of D over that of the same column of X."""
    top, bottom = xp.linalg.vector_norm(D, axis=0), xp.linalg.vector_norm(X, axis=0)
    return scalar(xp.max(xp.where(bottom > 0, top / xp.where(bottom > 0, bottom, xp.ones_like(bottom)), 0 * top)))
