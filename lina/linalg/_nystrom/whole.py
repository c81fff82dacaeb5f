"""All eigenvectors of an array, where a basis that grows block by block would be more work."""

import math
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, epsilon, frobenius, scalar, to_numpy
from lina.linalg._nystrom.matrix import PsdMatrix

# Eigenvalues below minus this many units of rounding, and asymmetries above it, are not rounding.
NOT_ROUNDING = 100.0


class Whole:
    """What `Basis` says of its blocks, for the eigenvectors of ``matrix.array``: they leave nothing but rounding."""

    shift = 0.0
    spent = True

    def __init__(self, matrix: PsdMatrix) -> None:
        xp, A = matrix.xp, matrix.array
        self.matrix, self.xp, self.size = matrix, xp, matrix.n
        found, self.U = xp.linalg.eigh(A)
        lam = to_numpy(found).astype(np.float64)[::-1]
        self.rounding = epsilon(A) * math.sqrt(matrix.n) * max(abs(float(lam[0])), abs(float(lam[-1])))
        if scalar(frobenius(xp, A - adjoint(xp, A))) > NOT_ROUNDING * self.rounding * math.sqrt(matrix.n):
            raise ValueError("A must be Hermitian, found an asymmetry beyond rounding")
        if lam[-1] < -NOT_ROUNDING * self.rounding:
            least = float(lam[-1]) * matrix.scale
            raise ValueError(f"A must be positive semidefinite, found an eigenvalue of at most {least:.3g}")
        self.lam = xp.asarray(np.maximum(lam, 0.0), dtype=found.dtype, device=device(A))
        self.values: list[float] = np.maximum(lam, 0.0).tolist()

    @cached_property
    def B(self) -> list[Any]:
        """One block B^H (n, n) with B B^H = A."""
        root = self.xp.astype(self.xp.sqrt(self.lam), self.U.dtype)
        return [root[:, None] * adjoint(self.xp, self.terms(self.size)[0])]

    def terms(self, k: int) -> tuple[Any, Any]:
        """Return (U, lam) of the leading ``k`` terms, descending."""
        return self.xp.flip(self.U, axis=1)[:, :k], self.lam[:k]
