"""The result of nystrom, and of rpcholesky in the form of eigenvectors."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from lina._core.array import adjoint, balance, dtype_name, open_door, to_numpy
from lina._core.certificates import CertificateKind, Status
from lina._core.checks import check_positive, check_rank
from lina.linalg._lowrank import LowRank

NORMS = ("trace", "fro", "2")


@dataclass(frozen=True, eq=False, repr=False)
class LowRankEigh(LowRank):
    """The positive semidefinite matrix U @ diag(lam) @ U^H, and how far it is from the one that was given.

    Attributes
    ----------
    U : array, shape (n, k)
        Orthonormal columns.
    lam : array, shape (k,)
        Eigenvalues in descending order, real, not negative; each at most the one of the matrix, to rounding.
    error : float
        Norm of the difference to the matrix, absolute, in the norm ``norm``: an upper bound, rounding included.
    error_kind : CertificateKind
        "rigorous" or "probabilistic".
    failure_probability : float
        Probability that ``error`` is no upper bound; 0 for a rigorous one.
    norm : str
        The norm of ``error``: "trace" (sum of singular values), "fro" or "2".
    norm_A : float
        The same norm of the matrix; where only products with it are known, and always for "2", the norm of this
        approximation, which is not larger.
    passes : int
        Products of the matrix with a block, those for the certificate included.
    status : Status
        "converged", "max_rank" (``k`` was reached before the tolerance), "max_passes" (the passes ran out first) or
        "rounding" (the tolerance lies below what can be certified in this dtype).
    method : str
        The algorithm that ran.
    """

    U: Any
    lam: Any
    error: float
    error_kind: CertificateKind
    failure_probability: float
    norm: str
    norm_A: float
    passes: int
    status: Status
    method: str

    def _factors(self) -> tuple[Any, Any, Any]:
        xp = array_namespace(self.U)
        return self.U * xp.astype(self.lam, self.U.dtype)[None, :], adjoint(xp, self.U), None

    def truncate(self, k: int) -> "LowRankEigh":
        """Return the leading ``k`` terms; the error grows by the norm of the terms left out (triangle inequality)."""
        k = check_rank(k, self.lam.shape[0], what="the rank")
        error = self.error + norm_of(to_numpy(self.lam[k:]).tolist(), self.norm)
        return replace(self, U=self.U[:, :k], lam=self.lam[:k], error=error)

    def solve(self, B: Any, shift: float) -> Any:
        """Solve (U diag(lam) U^H + shift I) X = B by the formula of Woodbury.

        Parameters
        ----------
        B : array_like, shape (n,) or (n, p)
            Right-hand sides, in the library of ``U``.
        shift : float
            Positive: the ridge of kernel regression, the noise variance of a Gaussian process.

        Returns
        -------
        X : array, shape (n,) or (n, p)

        Raises
        ------
        TypeError
            If ``B`` is no array of numbers of the library of ``U``, or ``shift`` no number.
        ValueError
            If the shapes do not fit, ``B`` is not finite, or ``shift`` not finite and positive.
        OverflowError
            If ``X`` exceeds the range of the dtype.

        Notes
        -----
        ``B - U (lam / (lam + shift) * U^H B)`` over ``shift``: 4 n k flops a column. The relative error is about
        eps (lam[0] + shift) / shift. As a preconditioner of A + shift I it leaves a condition of at most
        1 + error / shift, with ``error`` in any of the norms.

        In kernel regression ``X`` belongs to this matrix, not to A: predictions are ``K_new @ U @ (U.T @ X)``.
        ``K_new @ X`` differs from that by up to ``error * norm(B) / shift``.

        References
        ----------
        Frangella, Tropp, Udell, SIAM J. Matrix Anal. Appl. 44 (2023) 718 (randomized Nystrom preconditioning).

        Examples
        --------
        >>> import numpy as np
        >>> from lina.linalg import nystrom
        >>> F = nystrom(np.diag([3.0, 1.0, 0.0]), 2)
        >>> np.round(F.solve([4.0, 2.0, 1.0], 1.0), 12)
        array([1., 1., 1.])
        """
        xp, U, B = open_door(U=self.U, B=B)
        shift = check_positive(shift, "shift")
        if B.ndim not in (1, 2) or B.shape[0] != U.shape[0]:
            raise ValueError(f"B must have {U.shape[0]} rows, got shape {tuple(B.shape)}")
        B, _, scale = balance(xp, B, "B")
        if dtype_name(B) != dtype_name(U):
            dtype = xp.result_type(B, U)
            B, U = xp.astype(B, dtype), xp.astype(U, dtype)
        lam = to_numpy(self.lam).astype(np.float64)
        weight = xp.asarray(lam / (lam + shift), dtype=U.dtype, device=device(U))
        coefficients = adjoint(xp, U) @ B
        X = B - U @ (weight * coefficients if B.ndim == 1 else weight[:, None] * coefficients)
        return _over(xp, X, scale, shift)


def _over(xp: Any, X: Any, scale: float, shift: float) -> Any:
    """Return X * scale / shift, the power of two in ``shift`` taken out: it may be beyond the dtype of ``X``."""
    mantissa, exponent = math.frexp(shift)
    exponent = math.frexp(scale)[1] - 1 - exponent
    with np.errstate(over="ignore"):
        X = X / mantissa * 2.0 ** (exponent // 2) * 2.0 ** (exponent - exponent // 2)
    if not bool(xp.all(xp.isfinite(X))):
        raise OverflowError(f"B must not be so large, or shift so small, that the solution overflows {dtype_name(X)}")
    return X


def norm_of(values: list[float], norm: str) -> float:
    """Return the norm of a positive semidefinite matrix with these eigenvalues."""
    if norm == "trace":
        return math.fsum(values)
    return math.hypot(*values) if norm == "fro" else max(values, default=0.0)
