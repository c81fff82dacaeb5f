"""The results of cur and cur_completion."""

from dataclasses import dataclass
from typing import Any

from lina._core.certificates import CertificateKind
from lina.linalg._lowrank import LowRank


class Skeleton(LowRank):
    """A matrix C @ core @ R of its own columns and rows, kept as left @ right."""

    left: Any
    right: Any
    core_rank: int

    def _factors(self) -> tuple[Any, Any, Any]:
        return self.left, self.right, None

    @property
    def rank(self) -> int:
        """Number of singular values that were counted: the rank of ``core``."""
        return self.core_rank


@dataclass(frozen=True, eq=False, repr=False)
class CUR(Skeleton):
    """The matrix C @ core @ R, and how far it is from the one given.

    Attributes
    ----------
    rows : array of int, shape (r,)
        The rows chosen.
    cols : array of int, shape (c,)
        The columns chosen.
    C : array, shape (m, c)
        The chosen columns ``A[:, cols]``.
    core : array, shape (c, r)
        What joins them; its entries are about as large as the reciprocal of the smallest singular value counted.
    R : array, shape (r, n)
        The chosen rows ``A[rows, :]``.
    error : float
        Frobenius norm of the difference of the matrix to this operator, absolute: an upper bound, rounding included.
    error_kind : CertificateKind
        "rigorous".
    core_error : float
        Upper bound of the Frobenius norm of ``C @ core @ R``, as it is computed, minus this operator: what rounding
        loses when the three are multiplied.
    condition : float
        Largest over smallest counted singular value of the intersection ``A[rows, :][:, cols]``; 1 where none counts.
    norm_A : float
        Frobenius norm of the matrix.
    core_rank : int
        Number of singular values counted: of the intersection, or the fewer of ``C``'s and ``R``'s.
    left, right : array, shape (m, p) and (p, n)
        What the operator multiplies. For the core "stable" orthonormal factors, free of ``core``; otherwise ``C`` and
        ``core @ R``.
    """

    rows: Any
    cols: Any
    C: Any
    core: Any
    R: Any
    error: float
    error_kind: CertificateKind
    core_error: float
    condition: float
    norm_A: float
    core_rank: int
    left: Any
    right: Any


@dataclass(frozen=True, eq=False, repr=False)
class CURCompletion(Skeleton):
    """The matrix C @ core @ R of which only the columns C and the rows R were seen.

    Attributes
    ----------
    rows, cols : array of int, shape (r,) and (c,)
        Where the rows and columns lie in the matrix.
    C : array, shape (m, c)
        The columns seen.
    core : array, shape (c, r)
        Pseudo-inverse of the intersection.
    R : array, shape (r, n)
        The rows seen.
    seen_error : float
        Frobenius norm of the difference on the entries seen, absolute: an upper bound, rounding included.
    error : None
        Nothing is known of entries that were never seen; `error_of` measures once the matrix is there.
    error_kind : None
        Likewise.
    core_error : float
        Upper bound of the Frobenius norm of ``C @ core @ R``, as it is computed, minus this operator.
    condition : float
        Largest over smallest counted singular value of the intersection; 1 where none counts.
    gap : float
        Every singular value of the intersection is at least this factor away from the cutoff.
    core_rank : int
        Number of singular values of the intersection that count.
    left, right : array, shape (m, c) and (c, n)
        ``C`` and ``core @ R``.
    """

    rows: Any
    cols: Any
    C: Any
    core: Any
    R: Any
    seen_error: float
    error: None
    error_kind: None
    core_error: float
    condition: float
    gap: float
    core_rank: int
    left: Any
    right: Any
