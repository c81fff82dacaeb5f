"""What every low-rank result has in common: it acts as the matrix that it stands for."""

from typing import Any

from array_api_compat import array_namespace

from lina._core.array import balance, divide, open_door
from lina.linalg._residual import residual_norm


class LowRank:
    """A matrix mean + left @ right of shape (m, n), kept as its factors (m, k), (k, n) and an optional mean (n,)."""

    def _factors(self) -> tuple[Any, Any, Any]:
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        left, right, _ = self._factors()
        return left.shape[0], right.shape[1]

    @property
    def rank(self) -> int:
        """Number of terms k."""
        return int(self._factors()[0].shape[1])

    @property
    def T(self) -> "Factored":
        """The transpose, factored likewise."""
        left, right, mean = self._factors()
        xp = array_namespace(left)
        if mean is not None:
            ones = xp.ones((left.shape[0], 1), dtype=left.dtype)
            left, right = xp.concat([left, ones], axis=1), xp.concat([right, mean[None, :]], axis=0)
        return Factored(xp.matrix_transpose(right), xp.matrix_transpose(left))

    def __matmul__(self, x: Any) -> Any:
        """Apply to a vector (n,) or a matrix (n, p) in 2 k (m + n) flops a column."""
        left, right, mean = self._factors()
        y = left @ (right @ x)
        if mean is None:
            return y
        return y + (mean @ x if x.ndim == 1 else (mean @ x)[None, :])

    def toarray(self) -> Any:
        """Return the matrix (m, n) itself."""
        left, right, mean = self._factors()
        return left @ right if mean is None else left @ right + mean[None, :]

    def error_of(self, A: Any) -> float:
        """Return the Frobenius norm of the difference to any matrix ``A`` (m, n), rounding included; 2 m n k flops."""
        xp, A = open_door(A=A)
        if tuple(A.shape) != tuple(self.shape):
            raise ValueError(f"A must have the shape {tuple(self.shape)} of the factorisation, got {tuple(A.shape)}")
        left, right, mean = self._factors()
        A, _, scale = balance(xp, A if mean is None else A - mean[None, :], "A")
        return residual_norm(xp, A, divide(left, scale), right) * scale


class Factored(LowRank):
    """The product left @ right of (m, k) and (k, n), kept as its factors."""

    def __init__(self, left: Any, right: Any) -> None:
        self.left, self.right = left, right

    def _factors(self) -> tuple[Any, Any, Any]:
        return self.left, self.right, None
