"""The terms x_i y_i of a product, their sizes and inner products, and norms of their weighted sums."""

import math
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, conjugate, epsilon, frobenius, from_numpy, scalar, to_numpy
from lina._core.random import gaussian

_BLOCK_ENTRIES = 1 << 22  # 32 MB of float64: the product is never stored whole
_PROBES = 10


def hadamard_gram(xp: Any, C: Any, R: Any, X: Any, Y: Any) -> Any:
    """Return the inner products (r, l) of the terms of C (m, r), R (r, n) with those of X (m, l), Y (l, n)."""
    return (adjoint(xp, C) @ X) * conjugate(xp, R @ adjoint(xp, Y))


class Terms:
    """The outer products x_i y_i of the columns of ``X`` (m, l) and the rows of ``Y`` (l, n), norms in safe range."""

    def __init__(self, xp: Any, X: Any, Y: Any) -> None:
        self.xp, self.X, self.Y = xp, X, Y
        (self.m, self.l), self.n = X.shape, Y.shape[1]
        self.x_norms, self.y_norms = lengths(xp, X, 0), lengths(xp, Y, 1)
        self.sizes: np.ndarray = self.x_norms * self.y_norms

    @cached_property
    def gram(self) -> Any:
        """Inner products (l, l) of the terms, 2 l^2 (m + n) flops."""
        return hadamard_gram(self.xp, self.X, self.Y, self.X, self.Y)

    def gram_rows(self, indices: np.ndarray) -> Any:
        """Return the inner products (r, l) of some terms with all, 2 l r (m + n) flops unless they are there."""
        if "gram" in self.__dict__:
            return self.xp.take(self.gram, self.xp.asarray(indices, device=device(self.X)), axis=0)
        return hadamard_gram(self.xp, *self.chosen(indices), self.X, self.Y)

    def chosen(self, indices: np.ndarray) -> tuple[Any, Any]:
        """Return the columns (m, r) of X and the rows (r, n) of Y."""
        where = self.xp.asarray(indices, device=device(self.X))
        return self.xp.take(self.X, where, axis=1), self.xp.take(self.Y, where, axis=0)

    def doubt(self, d: np.ndarray) -> float:
        """Return how far rounding may move a square of the norm of sum(d_i x_i y_i) that comes from inner products."""
        roots = math.sqrt(self.m) + math.sqrt(self.n) + math.sqrt(self.l)
        return 2 * epsilon(self.X) * roots * float(np.sum(np.abs(d) * self.sizes)) ** 2

    def norm(self, d: np.ndarray) -> float:
        """Return the Frobenius norm of sum(d_i x_i y_i), rounding included.

        By inner products where they are cheaper (or there), and keep their digits; otherwise block by block.
        """
        if "gram" in self.__dict__ or self.l * (self.m + self.n) <= self.m * self.n:
            weights = from_numpy(d, self.X)
            square = float(np.real(to_numpy(self.xp.vecdot(weights, self.gram @ weights))))
            doubt = self.doubt(d)
            if square > 100 * doubt:
                return math.sqrt(square + doubt)
        return self._norm_in_blocks(d)

    def _norm_in_blocks(self, d: np.ndarray) -> float:
        """Form the sum of the terms with d_i != 0 by blocks of rows, 2 m n flops a term."""
        xp = self.xp
        some = np.flatnonzero(d)
        if some.size == 0:
            return 0.0
        if 2 * some.size > self.l:  # a copy of nearly all would save little
            some, left, right = np.arange(self.l), self.X, self.Y
        else:
            left, right = self.chosen(some)
        weights = from_numpy(d[some], left)
        total = 0.0
        for rows in self.blocks():
            total = math.hypot(total, scalar(frobenius(xp, (left[rows, :] * weights) @ right)))
        return total + 2 * epsilon(left) * float(np.sum(np.abs(d) * self.sizes))

    def residual_norm(self, left: Any, right: Any) -> float:
        """Return the norm of X Y - left @ right, rounding included, block by block: 2 m n (l + p) flops."""
        total = 0.0
        for rows in self.blocks():
            block = self.X[rows, :] @ self.Y - left[rows, :] @ right
            total = math.hypot(total, scalar(frobenius(self.xp, block)))
        return total + 2 * epsilon(left) * float(np.sum(self.sizes)) + product_rounding(self.xp, left, right)

    def blocks(self) -> list[slice]:
        """Return slices of the rows of X, so few that neither they nor their products with Y are large."""
        step = max(1, _BLOCK_ENTRIES // max(self.n, self.l))
        return [slice(start, min(start + step, self.m)) for start in range(0, self.m, step)]

    def estimated_norm(self, d: np.ndarray, rng: np.random.Generator) -> float:
        """Estimate norm(d) from ten Gaussian vectors, within 20 % or so; 20 l (m + n) flops."""
        probes = gaussian(rng, (self.n, _PROBES), self.Y)
        image = self.X @ (from_numpy(d[:, None], self.X) * (self.Y @ probes))
        return scalar(frobenius(self.xp, image)) / math.sqrt(_PROBES)


def lengths(xp: Any, A: Any, axis: int) -> np.ndarray:
    """Return the norms of the columns (``axis=0``) or rows of ``A``, on the host."""
    found: np.ndarray = to_numpy(xp.linalg.vector_norm(A, axis=axis)).astype(np.float64)
    return found


def product_rounding(xp: Any, left: Any, right: Any) -> float:
    """Return what rounding can add to, or hide in, the Frobenius norm of left @ right.

    Term by term: large columns that meet small rows do not count with the others.
    """
    return 2 * epsilon(left) * float(np.sum(lengths(xp, left, 0) * lengths(xp, right, 1)))
