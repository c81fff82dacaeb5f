"""The result of cr_matmul."""

from dataclasses import dataclass
from typing import Any

from lina._core.certificates import CertificateKind
from lina.linalg._lowrank import LowRank


@dataclass(frozen=True, eq=False, repr=False)
class CR(LowRank):
    """The product X[:, indices] @ weights @ Y[indices, :], and how far it is from X @ Y.

    Attributes
    ----------
    indices : array of int, shape (r,)
        The terms kept. With ``select="sample"`` and ``replace=True`` some may come twice.
    weights : array, shape (r,) or (r, r)
        The diagonal between columns and rows; a matrix with ``weights="full"``.
    left, right : array, shape (m, p) and (p, n)
        What the operator multiplies: the chosen columns and rows, each with the square roots of the weights (the sign
        or phase on the left); with ``weights="full"`` orthonormal columns and what goes with them.
    error : float
        Frobenius norm of the difference to ``X @ Y``, absolute: an upper bound, rounding included. With
        ``measure=False`` the sum of the norms of what is left out, which can be many times too large.
    error_kind : CertificateKind
        "rigorous".
    predicted_error : float or None
        Root mean square error over all draws, known before one is made; None unless sampled with importance weights.
    norm_A : float or None
        Frobenius norm of ``X @ Y``; None with ``measure=False``.
    """

    indices: Any
    weights: Any
    left: Any
    right: Any
    error: float
    error_kind: CertificateKind
    predicted_error: float | None
    norm_A: float | None

    def _factors(self) -> tuple[Any, Any, Any]:
        return self.left, self.right, None

    def matmul(self) -> Any:
        """Return the approximate product (m, n), in 2 m n r flops."""
        return self.toarray()
