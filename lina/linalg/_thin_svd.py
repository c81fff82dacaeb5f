"""The whole thin SVD, by way of a triangle where the matrix is tall or wide, or of its rank where that is low."""

import math
from typing import Any, NamedTuple

from lina._core.array import adjoint, epsilon, to_numpy
from lina.linalg._orthonormal import cholesky, cholesky_qr, gram, triangular_inverse
from lina.linalg._pinv.cod import low_rank_gap, range_factors
from lina.linalg._pinv.outcome import Cutoff

# From this ratio of the sides on, QR goes first: as LAPACK's SVD itself would do it.
_TALL = 2
# Smaller matrices are done before the guard of Cholesky QR is evaluated.
_WORTH_GUARDING = 4096
# From this many columns on a failed attempt at a low rank costs a small part of the SVD that follows.
_WORTH_SKETCHING = 256


class ThinSVD(NamedTuple):
    """U (m, k), s (k,), Vt (k, n) with k = min(m, n), and how they were found: "cholqr2", "qr" or "svd"."""

    U: Any
    s: Any
    Vt: Any
    method: str


def counted_svd(xp: Any, A: Any, cutoff: Cutoff) -> tuple[Any, Any, Any, list[float]]:
    """Return U, s, Vt of ``A`` (m, n) with all triplets above the cutoff, and the values in s as a list.

    These are all triplets, as from `certain_svd`, or the leading ones where a rank far below both sides is certain:
    then the list has one more value, a bound of all that is left out. Cost in that case m n^2 + 8 m n k flops.
    """
    m, n = A.shape
    if m < n:
        U, s, Vt, values = counted_svd(xp, xp.matrix_transpose(A), cutoff)
        return xp.matrix_transpose(Vt), s, xp.matrix_transpose(U), values
    if n < _WORTH_SKETCHING:
        U, s, Vt = certain_svd(xp, A, cutoff)
        return U, s, Vt, to_numpy(s).tolist()
    G = gram(xp, A)
    found = _cholesky_svd(xp, A, G) if m >= _TALL * n else None
    if found is None and cholesky(xp, G) is None:
        low = _low_rank_svd(xp, A, G, cutoff)
        if low is not None:
            return low
    if found is None or not _clear(A, found.s, cutoff):
        found = thin_svd(xp, A, fast=False)
    return found.U, found.s, found.Vt, to_numpy(found.s).tolist()


def certain_svd(xp: Any, A: Any, cutoff: Cutoff) -> tuple[Any, Any, Any]:
    """Return all singular triplets of ``A`` (m, n); by Cholesky QR only where no value is near the cutoff."""
    found = thin_svd(xp, A)
    if found.method == "cholqr2" and not _clear(A, found.s, cutoff):
        found = thin_svd(xp, A, fast=False)
    return found.U, found.s, found.Vt


def thin_svd(xp: Any, A: Any, *, fast: bool = True) -> ThinSVD:
    """Return all singular triplets of ``A`` (m, n), whose norm is in safe range; without Cholesky unless ``fast``.

    Cost for m >= 2 n: 6 m n^2 + 22 n^3 flops through Cholesky QR twice, up to a condition of about 0.1 / sqrt(eps),
    and as many slower ones through Householder QR. The distance from ``A`` is a few eps in all of them.
    """
    m, n = A.shape
    if m < n:
        U, s, Vt, method = thin_svd(xp, xp.matrix_transpose(A), fast=fast)
        return ThinSVD(xp.matrix_transpose(Vt), s, xp.matrix_transpose(U), method)
    if m < _TALL * n or math.prod(A.shape) < _WORTH_GUARDING:
        U, s, Vt = xp.linalg.svd(A, full_matrices=False)
        return ThinSVD(U, s, Vt, "svd")
    found = _cholesky_svd(xp, A, gram(xp, A)) if fast else None
    if found is not None:
        return found
    Q, R = xp.linalg.qr(A)
    U, s, Vt = xp.linalg.svd(R, full_matrices=False)
    return ThinSVD(Q @ U, s, Vt, "qr")


def _cholesky_svd(xp: Any, A: Any, G: Any) -> ThinSVD | None:
    """Cholesky QR twice and the SVD of the triangle; None where the first pass was not nearly orthonormal."""
    L = cholesky(xp, G)
    if L is None:
        return None
    Q = A @ adjoint(xp, triangular_inverse(xp, L))
    second = cholesky_qr(xp, Q, form=False)
    if second is None or not second.deviation < 0.5:
        return None
    U, s, Vt = xp.linalg.svd(adjoint(xp, L @ triangular_inverse(xp, second.inverse)), full_matrices=False)
    return ThinSVD(Q @ (adjoint(xp, second.inverse) @ U), s, Vt, "cholqr2")


def _clear(A: Any, s: Any, cutoff: Cutoff) -> bool:
    """Whether values that err by a few eps of the largest are on the same side of the cutoff as those of the SVD."""
    values = to_numpy(s).tolist()
    return min(abs(value - cutoff.at(values[0])) for value in values) > 1e3 * epsilon(A) * values[0]


def _low_rank_svd(xp: Any, A: Any, G: Any, cutoff: Cutoff) -> tuple[Any, Any, Any, list[float]] | None:
    """A = Q B of rank k, and the SVD of B; None unless the rank is certain."""
    found = range_factors(xp, A, G)
    if found is None:
        return None
    Q, B = found
    U, s, Vt, _ = thin_svd(xp, B)
    values = to_numpy(s).tolist()
    clear = low_rank_gap(xp, A, Q, B, values[-1], values[0], cutoff)
    return None if clear is None else (Q @ U, s, Vt, [*values, clear[1]])
