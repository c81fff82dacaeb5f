"""The result of truncated_svd."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from array_api_compat import array_namespace

from lina._core.array import frobenius, scalar
from lina._core.certificates import CertificateKind, Status
from lina._core.checks import check_rank
from lina.linalg._lowrank import LowRank

# What these leave over is orthogonal to every term, so that dropped terms join it as squares.
_PROJECTIONS = ("gram", "krylov", "svd")


@dataclass(frozen=True, eq=False, repr=False)
class TruncatedSVD(LowRank):
    """The matrix mean + U @ diag(s) @ Vt, and how far it is from the one that was given.

    Attributes
    ----------
    U : array, shape (m, k)
        Orthonormal columns.
    s : array, shape (k,)
        Singular values in descending order, real.
    Vt : array, shape (k, n)
        Orthonormal rows, conjugated for complex matrices.
    error : float
        Norm of the difference to the matrix, absolute, in the norm that was asked for; like ``norm_A`` a lazy 0-d array
        where the factors are lazy.
    error_kind : CertificateKind
        "rigorous" or "probabilistic": an upper bound, rounding included. A single pass whose error is too small for
        that returns an "estimate".
    failure_probability : float
        Probability that ``error`` is no upper bound; 0 for a rigorous one.
    norm_A : float
        Frobenius norm of the matrix (centred, if asked): ``error / norm_A`` is the relative error.
    passes : int
        Products of the matrix or its adjoint with a block, those for the 2-norms included.
    status : Status
        "converged", "max_passes" (the passes ran out first), "max_rank" (k was reached before the tolerance) or
        "rounding" (the tolerance lies below what can be certified in this dtype).
    method : str
        The algorithm that ran: "gram", "krylov", "svd" or "single_pass"; "streaming" and "update" where the result
        comes from `StreamingSVD` or from `svd_update`, `svd_append`, `svd_delete`.
    mean : array, shape (n,), or None
        Column means, with ``center=True``.
    """

    U: Any
    s: Any
    Vt: Any
    error: Any
    error_kind: CertificateKind
    failure_probability: float
    norm_A: Any
    passes: int
    status: Status
    method: str
    mean: Any = None

    def _factors(self) -> tuple[Any, Any, Any]:
        return self.U * array_namespace(self.U).astype(self.s, self.U.dtype), self.Vt, self.mean

    def __iter__(self) -> Iterator[Any]:
        """Unpack as U, s, Vt."""
        return iter((self.U, self.s, self.Vt))

    def truncate(self, k: int) -> "TruncatedSVD":
        """Return the leading ``k`` terms; what is left out is added to the error.

        As squares for "gram", "krylov", "svd" and a rigorous "single_pass", whose errors are orthogonal to the terms;
        otherwise as it is.
        """
        k = check_rank(k, self.s.shape[0], what="the rank")
        left_out = scalar(frobenius(array_namespace(self.s), self.s[k:])) if k < self.s.shape[0] else 0.0
        rigorous = self.error_kind is CertificateKind.RIGOROUS
        squares = self.method in _PROJECTIONS or (self.method == "single_pass" and rigorous)
        error = (self.error**2 + left_out**2) ** 0.5 if squares else self.error + left_out
        return replace(self, U=self.U[:, :k], s=self.s[:k], Vt=self.Vt[:k, :], error=error)
