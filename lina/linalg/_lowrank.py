"""What every low-rank result has in common: it acts as the matrix that it stands for."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from lina._core.array import balance, divide, dtype_name, is_lazy, open_door, to_numpy
from lina.linalg._residual import residual_norm
from lina.linalg._truncated_svd.row_blocks import RowBlocks


class Concise:
    """A result that prints as its facts: arrays by their shape, certificates in words."""

    def __repr__(self) -> str:
        facts = ", ".join(f"{each.name}={_concise(getattr(self, each.name))}" for each in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({facts})"


def _concise(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and (shape or is_lazy(value)):
        return f"<{dtype_name(value)} {' x '.join(map(str, shape)) or 'to be computed'}>"
    if isinstance(value, float):
        return f"{value:.4g}"
    return repr(str(value)) if isinstance(value, StrEnum) else repr(value)


class LowRank(Concise):
    """A matrix mean + left @ right of shape (m, n), kept as its factors (m, k), (k, n) and an optional mean (n,)."""

    ndim = 2
    # numpy shall leave products with an array on the left to __rmatmul__, and refuse sums
    __array_ufunc__ = None

    def _factors(self) -> tuple[Any, Any, Any]:
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        left, right, _ = self._factors()
        return left.shape[0], right.shape[1]

    @property
    def dtype(self) -> Any:
        """The dtype of the matrix."""
        return self._factors()[0].dtype

    @property
    def relative_error(self) -> Any:
        """``error / norm_A``; 0 where both are 0, None where the error is not known."""
        error, norm = self.error, getattr(self, "norm_A", None)  # type: ignore[attr-defined]
        if error is None:
            return None
        return error if isinstance(norm, float) and norm == 0 else error / norm

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
        xp, left, x = open_door(**{type(self).__name__: left, "x": x})
        if x.ndim not in (1, 2) or x.shape[0] != right.shape[1]:
            n = right.shape[1]
            raise ValueError(
                f"x must have shape ({n},) or ({n}, p) for {type(self).__name__} @ x, got {tuple(x.shape)}"
            )
        dtype = xp.result_type(left, x)
        left, right, x = (xp.astype(each, dtype, copy=False) for each in (left, right, x))
        y = left @ (right @ x)
        if mean is None:
            return y
        shift = xp.astype(mean, dtype, copy=False) @ x
        return y + (shift if x.ndim == 1 else shift[None, :])

    def __rmatmul__(self, y: Any) -> Any:
        """Apply from the right: y @ F for a vector (m,) or a matrix (p, m)."""
        turned = self.T @ (y if y.ndim == 1 else array_namespace(y).matrix_transpose(y))
        return turned if y.ndim == 1 else array_namespace(y).matrix_transpose(turned)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Let ``numpy.asarray`` form the matrix."""
        if copy is False:
            raise ValueError("copy must not be False: the matrix has to be formed")
        return np.asarray(to_numpy(self.toarray()), dtype=dtype)

    def toarray(self) -> Any:
        """Return the matrix (m, n) itself."""
        left, right, mean = self._factors()
        return left @ right if mean is None else left @ right + mean[None, :]

    def error_of(self, A: Any) -> float:
        """Return the Frobenius norm of the difference to any matrix, rounding included.

        Parameters
        ----------
        A : array_like, scipy.sparse matrix or `RowBlocks`, shape (m, n)
            In the library of the factors. Sparse matrices are filled a few rows at a time.

        Returns
        -------
        float
            An upper bound; 2 m n k flops.

        Raises
        ------
        TypeError
            If ``A`` is none of these.
        ValueError
            If the shapes differ, or ``A`` is not finite.
        """
        left, right, mean = self._factors()
        total, row = 0.0, 0
        for block in _row_blocks(A, self.shape):
            xp, block = open_door(min_ndim=2, A=block)
            stop = row + block.shape[0]
            if block.shape[1] != right.shape[1] or stop > left.shape[0]:
                raise ValueError(f"A must have the shape {self.shape} of the factorisation, got more or other rows")
            block, _, scale = balance(xp, block if mean is None else block - mean[None, :], "A")
            total = math.hypot(total, residual_norm(xp, block, divide(left[row:stop, :], scale), right) * scale)
            row = stop
        if row != left.shape[0]:
            raise ValueError(f"A must have the shape {self.shape} of the factorisation, got {row} rows")
        return total


def _row_blocks(A: Any, shape: tuple[int, int]) -> Iterable[Any]:
    """Return the rows of any kind of matrix in blocks of arrays."""
    if isinstance(A, RowBlocks):
        return A
    sparse = hasattr(A, "tocsr")
    whole = A.tocsr() if sparse else open_door(A=A)[1]
    if tuple(whole.shape) != shape:
        raise ValueError(f"A must have the shape {shape} of the factorisation, got {tuple(whole.shape)}")
    return (block.toarray() for block in RowBlocks(whole)) if sparse else (whole,)


@dataclass(frozen=True, eq=False, repr=False)
class Factored(LowRank):
    """The product left @ right of (m, k) and (k, n), kept as its factors."""

    left: Any
    right: Any

    def _factors(self) -> tuple[Any, Any, Any]:
        return self.left, self.right, None
