"""A dense matrix in memory."""

from typing import Any

from lina._core.array import adjoint, conjugate, frobenius, is_lazy
from lina._core.certificates import Certificate, CertificateKind
from lina.linalg._residual import projection_error, residual_norm
from lina.linalg._truncated_svd.problem import Factors, Matrix
from lina.linalg._truncated_svd.visits import Products

_SLICE_ENTRIES = 1 << 20  # both products with 8 MB of rows while they are at hand


class Dense(Matrix):
    """An array (m, n) of any library, scaled and centred."""

    def __init__(self, xp: Any, A: Any, norm: Any, scale: float = 1.0) -> None:
        super().__init__(xp, A, (int(A.shape[0]), int(A.shape[1])), norm, scale)
        self.A = A

    def _forward(self, X: Any) -> Any:
        return X @ self.xp.matrix_transpose(self.A)

    def _backward(self, Y: Any) -> Any:
        return conjugate(self.xp, conjugate(self.xp, Y) @ self.A)

    def together(self, X: Any) -> tuple[Any, Any]:
        """Return Y = X @ A.T and Y @ conj(A), slice by slice of the rows."""
        self.passes += 1
        found = Products(self.xp, X)
        m, n = self.shape
        step = max(1, _SLICE_ENTRIES // n)
        for start in range(0, m, step):
            found.add(self.A[start : min(start + step, m), :])
        return found.result()

    def gram(self) -> Any:
        """Return A^H A, (n, n)."""
        self.passes += 1
        return adjoint(self.xp, self.A) @ self.A

    def svd(self) -> tuple[Any, Any, Any]:
        """Return the library's own SVD, 14 m n^2 + 8 n^3 flops for m >= n."""
        self.passes += 1
        U, s, Vt = self.xp.linalg.svd(self.A, full_matrices=False)
        return U, s, Vt

    def residual(self, left: Any, right: Any) -> float:
        """Return norm(A - left @ right, "fro") from the residual itself, rounding included."""
        self.passes += 1
        return residual_norm(self.xp, self.A, left, right) + self.lost

    def certify(self, factors: Factors) -> Certificate:
        """Return the Frobenius norm of what the factors leave over, lazy for a lazy matrix."""
        if not is_lazy(self.A):
            return super().certify(factors)
        left = factors.U * self.xp.astype(factors.s, self.A.dtype)
        captured = frobenius(self.xp, factors.s)
        value = projection_error(self.xp, self.A, self.norm, captured, left, factors.Vt)
        return Certificate(value, CertificateKind.RIGOROUS)
