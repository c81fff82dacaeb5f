"""The best matrix of low rank between two given factors."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import adjoint, balance, check_norm, epsilon, frobenius, open_door, scalar, to_numpy
from lina._core.certificates import CertificateKind
from lina._core.checks import check_rank
from lina.linalg._householder import householder
from lina.linalg._lowrank import LowRank
from lina.linalg._pinv.outcome import Cutoff, cutoff_for
from lina.linalg._pinv.solve import certain_inverse, corrected
from lina.linalg._pinv.svd import inverse_where
from lina.linalg._residual import residual_norm
from lina.linalg._stopping import check_matrix
from lina.linalg._thin_svd import certain_svd


@dataclass(frozen=True, eq=False, repr=False)
class GeneralizedLowRank(LowRank):
    """The matrix C = left @ right between B and D, and how far B C D is from A.

    As an operator it is C: ``F @ x``, ``F.toarray()``, ``F.shape`` are (p, q), and `error_of` compares C itself.

    Attributes
    ----------
    left : array, shape (p, k)
        Left factor of C, ``k <= rank``.
    right : array, shape (k, q)
        Right factor of C.
    error : float
        ``norm(A - B @ C @ D, "fro")``, absolute: an upper bound, rounding included.
    error_kind : CertificateKind
        "rigorous".
    norm_A : float
        Frobenius norm of ``A``.
    rank_B, rank_D : int
        Singular values of ``B`` and ``D`` that count.
    """

    left: Any
    right: Any
    error: float
    error_kind: CertificateKind
    norm_A: float
    rank_B: int
    rank_D: int

    def _factors(self) -> tuple[Any, Any, Any]:
        return self.left, self.right, None


def generalized_low_rank(A: Any, B: Any, D: Any, rank: int, *, rtol: float | None = None) -> GeneralizedLowRank:
    """Find the C of rank at most ``rank`` that minimises ``norm(A - B @ C @ D, "fro")``.

    Parameters
    ----------
    A : array_like, shape (m, n)
        Dense, as ``B`` and ``D``. Integers and booleans are promoted to float64, half precisions to float32.
    B : array_like, shape (m, p)
        Left factor; of any rank.
    D : array_like, shape (q, n)
        Right factor; of any rank.
    rank : int
        Largest rank of C, in 1..min(p, q).
    rtol : float, optional
        Singular values of ``B`` and of ``D`` at or below ``rtol`` times the largest count as zero, as in `pinv`.
        Default ``max(m, p) * eps`` and ``max(q, n) * eps`` of the working dtype.

    Returns
    -------
    GeneralizedLowRank
        ``left`` (p, k) and ``right`` (k, q) of C, ``error``, ``rank_B``, ``rank_D``. It acts as C: ``F @ x``,
        ``F.toarray()``. Of all minimisers with these products ``B @ C @ D``, C has the least norm.

    Raises
    ------
    TypeError
        If an argument is no dense array of numbers, or ``rank`` no int.
    ValueError
        If an argument is not a finite nonempty matrix, the shapes do not fit, ``rank`` is out of range, ``rtol`` is
        negative, or an array is traced or lazy.
    OverflowError
        If a Frobenius norm exceeds half the range of the dtype, or C does.

    Notes
    -----
    ``C = B^+ [P_B A P_D]_rank D^+`` with the orthogonal projections on the columns of ``B`` and the rows of ``D``.
    Truncating ``B^+ A D^+`` instead is not optimal, because ``B`` and ``D`` stretch what the truncation drops. With
    thin QR factorisations of ``B`` and the adjoint of ``D`` the truncated matrix is as small as Q_B^H A Q_D; no
    projection is formed. Where their full rank is not certain, their singular value decompositions decide.

    ``error`` is that of the product of the factors as they are returned: rounding in them is magnified by the
    condition of the counted parts of ``B`` and ``D``, and the bound grows with it.

    Cost 4 m n min(p, q) + 2 m p^2 + 2 n q^2 flops or so (6 m p^2 and 6 n q^2 where ranks are not certain), the
    singular value decomposition of a matrix (min(m, p), min(n, q)), and 2 m n rank for the certificate.

    References
    ----------
    Friedland, Torokhti, SIAM J. Matrix Anal. Appl. 29 (2007) 656, theorem 2.1.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import generalized_low_rank
    >>> A = np.arange(12.0).reshape(4, 3)
    >>> F = generalized_low_rank(A, np.eye(4), np.eye(3), 1)
    >>> s = np.linalg.svd(A, compute_uv=False)
    >>> bool(np.isclose(F.error, np.hypot(s[1], s[2])))
    True
    """
    xp, A, B, D = open_door(min_ndim=2, A=A, B=B, D=D)
    for name, value in (("A", A), ("B", B), ("D", D)):
        check_matrix(value, name)
    if B.shape[0] != A.shape[0] or D.shape[1] != A.shape[1]:
        found = f"B {tuple(B.shape)} and D {tuple(D.shape)}"
        raise ValueError(f"A {tuple(A.shape)} must have the rows of B and the columns of D, got {found}")
    rank = check_rank(rank, min(B.shape[1], D.shape[0]), "rank")
    cutoffs = [cutoff_for(each.shape, epsilon(each), rtol, None) for each in (B, D)]
    dtype = xp.result_type(A, B, D)
    A, B, D = (xp.astype(each, dtype, copy=False) for each in (A, B, D))
    scaled = []
    for name, value in (("A", A), ("B", B), ("D", D)):
        M, norm, scale = balance(xp, value, name)
        check_norm(value, norm, scale, name)
        scaled.append((M, norm, scale))
    (A, norm_A, a), (B, _, b), (D, _, d) = scaled
    left, right, ranks = _minimise(xp, A, B, D, rank, cutoffs)
    error = _error(xp, A, B, D, left, right)
    left, right = _unscaled(xp, left, right, a, b, d)
    return GeneralizedLowRank(left, right, error * a, CertificateKind.RIGOROUS, norm_A * a, *ranks)


def _minimise(xp: Any, A: Any, B: Any, D: Any, rank: int, cutoffs: list[Cutoff]) -> tuple[Any, Any, tuple[int, int]]:
    """Return the factors of C and the ranks of B and D."""
    b, d = _factor(xp, B, cutoffs[0]), _factor(xp, adjoint(xp, D), cutoffs[1])
    if A.shape[1] * b.size <= A.shape[0] * d.size:
        core = adjoint(xp, d.project(adjoint(xp, b.project(A))))
    else:
        core = b.project(adjoint(xp, d.project(adjoint(xp, A))))
    X, s, Yt = xp.linalg.svd(core, full_matrices=False)
    k = min(rank, b.size, d.size)
    root = xp.astype(xp.sqrt(s[:k]), A.dtype)  # half to each side: neither factor is extreme
    return b.lift(X[:, :k] * root), adjoint(xp, d.lift(adjoint(xp, Yt[:k, :]) * root)), (b.rank, d.rank)


class _Factor(NamedTuple):
    """B through an orthonormal basis Q (m, size) of its columns: ``project(M)`` is Q^H M, ``lift(X)`` is B^+ Q X."""

    size: int
    rank: int
    project: Callable[[Any], Any]
    lift: Callable[[Any], Any]


def _factor(xp: Any, B: Any, cutoff: Cutoff) -> _Factor:
    """Return the factor of ``B`` (m, p) by QR of the tall one of B and B^H, or by SVD unless full rank is certain."""
    tall, size = B.shape[0] >= B.shape[1], min(B.shape)
    R, apply, apply_adjoint = householder(xp, B if tall else adjoint(xp, B))
    found = certain_inverse(xp, R, cutoff)
    if found is None:
        return _svd_factor(xp, B, cutoff)
    lower, upper = found[0], adjoint(xp, found[0])
    if tall:
        return _Factor(size, size, apply_adjoint, lambda X: corrected(upper, R, X))
    return _Factor(size, size, lambda M: M, lambda X: apply(corrected(lower, adjoint(xp, R), X)))


def _svd_factor(xp: Any, B: Any, cutoff: Cutoff) -> _Factor:
    """Return the factor with the singular values that count, or with one of zero instead of none."""
    U, s, Vt = certain_svd(xp, B, cutoff)
    values = to_numpy(s)
    rank = int(np.sum(values > cutoff.at(float(values[0]))))
    size = max(1, rank)
    keep = xp.full_like(s[:size], float(rank > 0)) > 0
    inverse = xp.astype(inverse_where(xp, s[:size], keep), B.dtype)[:, None]
    basis, V = adjoint(xp, U[:, :size]), adjoint(xp, Vt[:size, :])
    return _Factor(size, rank, lambda M: basis @ M, lambda X: V @ (inverse * X))


def _error(xp: Any, A: Any, B: Any, D: Any, left: Any, right: Any) -> float:
    """Return norm(A - B left right D, "fro"), the rounding of all its products included."""
    P, Q = B @ left, right @ D
    norms = {name: scalar(frobenius(xp, x)) for name, x in (("B", B), ("l", left), ("P", P), ("r", right), ("D", D))}
    norms["Q"] = scalar(frobenius(xp, Q))
    rounding = norms["B"] * norms["l"] * norms["Q"] + norms["P"] * norms["r"] * norms["D"]
    return residual_norm(xp, A, P, Q) + 2 * epsilon(A) * rounding


def _unscaled(xp: Any, left: Any, right: Any, a: float, b: float, d: float) -> tuple[Any, Any]:
    """Return factors whose product is left @ right * a / (b d), the powers of two shared between them."""
    exponent = int(math.log2(a) - math.log2(b) - math.log2(d))
    size = scalar(frobenius(xp, left)) * scalar(frobenius(xp, right))
    if size > 0.0 and math.log2(size) + exponent > (1023 if epsilon(left) == 2.0**-52 else 127):
        raise OverflowError("A must not be so large beside B and D that C overflows its dtype")
    return _times(left, exponent // 2), _times(right, exponent - exponent // 2)


def _times(x: Any, exponent: int) -> Any:
    """Return x * 2^exponent, in steps that no dtype overflows at before the result does."""
    while exponent:
        step = max(-100, min(100, exponent))
        x = x * 2.0**step
        exponent -= step
    return x
