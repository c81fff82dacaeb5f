"""A Hermitian positive semidefinite matrix as Nystrom's method reads it: an array, sparse, or products only."""

import math
from typing import Any

import numpy as np
import scipy.sparse
from array_api_compat import is_array_api_obj

from lina._core.array import (
    adjoint,
    balance,
    check_finite,
    check_norm,
    divide,
    epsilon,
    on_cluster,
    open_door,
    refuse_gradient,
    to_numpy,
)
from lina.linalg._residual import residual_norm
from lina.linalg._stopping import check_matrix


class PsdMatrix:
    """``A`` (n, n) over the power of two ``scale``, and what is known of it beside its products.

    ``trace`` and ``frobenius`` are of the scaled matrix, None where they are not known; ``array`` is the scaled
    matrix where it is a dense array, and ``blocks`` where it is one of dask, otherwise None; ``like`` has its library,
    dtype and device.
    """

    def __init__(self, A: Any, trace: float | None = None) -> None:
        self.passes = 0
        self.scale = 1.0
        self.array: Any = None
        self.frobenius: float | None = None
        self._operator: Any = None
        self._given_trace = trace
        self.blocks: Any = None
        diagonal: Any = None
        in_blocks = on_cluster("psd_blocks", A)
        if in_blocks is not None:
            diagonal = self._open_blocks(in_blocks(A))
        elif scipy.sparse.issparse(A):
            diagonal = self._open_sparse(A)
        elif _acts_by_products(A):
            self._open_operator(A)
        else:
            diagonal = self._open_array(A)
        self.diagonal = None if diagonal is None else _checked_diagonal(diagonal, epsilon(self.like))

    def _open_array(self, A: Any) -> Any:
        self.xp, A = open_door(min_ndim=2, A=A)
        refuse_gradient("nystrom", A=A)
        check_matrix(A)
        _check_square(A.shape)
        self.n = int(A.shape[0])
        self.array, self.frobenius, self.scale = balance(self.xp, A, "A")
        check_norm(A, self.frobenius, self.scale, "A")
        self.like = self.array
        return to_numpy(self.xp.linalg.diagonal(self.array))

    def _open_blocks(self, blocks: Any) -> Any:
        self.xp, self.like = open_door(A=np.zeros(1, dtype=blocks.dtype))
        self.blocks = self._operator = blocks
        self.n, self.scale, self.frobenius = int(blocks.shape[0]), blocks.scale, blocks.norm
        return blocks.diagonal

    def _open_sparse(self, A: Any) -> Any:
        _check_square(A.shape)
        A = A.tocsr(copy=True)
        A.sum_duplicates()
        self.xp, data = open_door(A=A.data)
        data, self.frobenius, self.scale = balance(self.xp, data, "A")
        check_norm(data, self.frobenius, self.scale, "A")
        self.n = int(A.shape[0])
        self._operator = scipy.sparse.csr_array((data, A.indices, A.indptr), shape=A.shape)
        self.like = data
        return self._operator.diagonal()

    def _open_operator(self, A: Any) -> None:
        _check_square(A.shape)
        self.n = int(A.shape[0])
        self._operator = A
        dtype = np.dtype(getattr(A, "dtype", None) or np.float64)
        self.xp, self.like = open_door(A=np.zeros(1, dtype=dtype))

    @property
    def trace(self) -> float | None:
        """The trace, from the diagonal or as it was given."""
        if self.diagonal is not None:
            return math.fsum(self.diagonal.tolist())
        return None if self._given_trace is None else self._given_trace / self.scale

    @property
    def measurable(self) -> bool:
        """Whether what an approximation leaves over can be formed, a few rows at a time."""
        return self.array is not None or self.blocks is not None

    def residual(self, left: Any, right: Any) -> float:
        """Return the Frobenius norm of the matrix without left @ right, rounding included."""
        if self.blocks is not None:
            return float(self.blocks.residual(left, right))
        return residual_norm(self.xp, self.array, left, right)

    def product(self, X: Any) -> Any:
        """Return X @ A for rows X (b, n): with OpenBLAS faster than A @ X^H, and the same where A is Hermitian."""
        self.passes += 1
        if self.array is not None:
            return X @ self.array
        Y = self._operator @ adjoint(self.xp, X)
        if self.blocks is None and not isinstance(self._operator, scipy.sparse.csr_array):
            Y = self._checked_product(Y, X.shape[0])
        return adjoint(self.xp, Y)

    def _checked_product(self, Y: Any, columns: int) -> Any:
        Y = np.asarray(Y)
        if Y.shape != (self.n, columns):
            raise ValueError(f"A must return the shape ({self.n}, {columns}) of A @ X, got {Y.shape}")
        if not np.can_cast(Y.dtype, self.like.dtype, "same_kind"):
            raise TypeError(f"A must return products of its dtype {self.like.dtype}, got {Y.dtype}")
        Y = Y.astype(self.like.dtype, copy=False)
        check_finite(self.xp, Y, "A")
        if self.passes == 1:  # nothing else shows how large an operator is
            self.scale = balance(self.xp, Y, "A")[2]
        return divide(Y, self.scale) if self.scale != 1.0 else Y


def _acts_by_products(A: Any) -> bool:
    """Whether ``A`` has a shape and products, and is no array of any library."""
    array = is_array_api_obj(A) or isinstance(A, np.ndarray) or hasattr(A, "__array__")
    return not array and hasattr(A, "shape") and hasattr(A, "__matmul__")


def _check_square(shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(f"A must be a nonempty square matrix (n, n), got shape {tuple(shape)}")


def _checked_diagonal(diagonal: np.ndarray, eps: float) -> np.ndarray:
    """Return the diagonal in float64; ValueError unless it is real and not negative, up to rounding."""
    largest = float(np.max(np.abs(diagonal)))
    if float(np.max(np.abs(np.imag(diagonal)))) > 8 * eps * largest:
        raise ValueError("A must be Hermitian, found a diagonal that is not real")
    real = np.real(diagonal).astype(np.float64)
    if float(np.min(real)) < -8 * eps * largest:
        i = int(np.argmin(real))
        raise ValueError(f"A must be positive semidefinite, found a negative entry on the diagonal, A[{i}, {i}]")
    return real
