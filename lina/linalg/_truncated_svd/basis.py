"""The orthonormal basis that Krylov blocks grow, and what the matrix does to it."""

import math
from typing import Any

from lina._core.array import adjoint, conjugate, epsilon, frobenius, scalar, to_numpy
from lina.linalg._orthonormal import cholesky_qr, orthonormal_columns

_JOINED = 64


class Basis:
    """Blocks of orthonormal rows V (b, n), their images Y = V @ A.T (b, m), and T = conj(Y) @ Y.T."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.V: list[Any] = []
        self.Y: list[Any] = []
        self.T: Any = None
        self.images: Any = None

    @property
    def size(self) -> int:
        """Rows in all blocks."""
        return sum(int(block.shape[0]) for block in self.V)

    def add(self, V: Any, Y: Any) -> None:
        """Take in orthonormal rows, orthogonal to those before, and their images."""
        xp = self.xp
        self.images = Y
        _append(xp, self.V, V)
        _append(xp, self.Y, Y)
        column = xp.concat([conjugate(xp, old) @ xp.matrix_transpose(Y) for old in self.Y], axis=0)
        if self.T is None:
            self.T = column
            return
        row = adjoint(xp, column[: -Y.shape[0], :])
        upper = xp.concat([self.T, column[: -Y.shape[0], :]], axis=1)
        self.T = xp.concat([upper, xp.concat([row, column[-Y.shape[0] :, :]], axis=1)], axis=0)

    def ritz(self) -> tuple[list[float], Any]:
        """Return the singular values that the basis sees, descending, and their coefficients in it."""
        values, Z = self.xp.linalg.eigh(self.T)
        singular = [math.sqrt(max(0.0, v)) for v in to_numpy(self.xp.flip(values)).tolist()]
        return singular, self.xp.flip(Z, axis=1)

    def release(self, Z: Any | None) -> tuple[Any, Any]:
        """Return Z.T @ V and Z.T @ Y, or all rows; the blocks, most of the memory, are let go."""
        self.images = None
        Y = self._combine(self.Y, Z)
        self.Y.clear()
        V = self._combine(self.V, Z)
        self.V.clear()
        return V, Y

    def _combine(self, blocks: list[Any], Z: Any | None) -> Any:
        if Z is None:
            return self.xp.concat(blocks, axis=0)
        start = int(blocks[0].shape[0])
        total = self.xp.matrix_transpose(Z[:start, :]) @ blocks[0]
        for block in blocks[1:]:
            total += self.xp.matrix_transpose(Z[start : start + block.shape[0], :]) @ block
            start += block.shape[0]
        return total

    def new(self, W: Any) -> Any | None:
        """Return what is new in the rows of ``W`` (b, n), orthonormal; None where nothing is, to rounding."""
        xp, free = self.xp, int(W.shape[1]) - self.size
        if free <= 0:
            return None
        before = scalar(frobenius(xp, W))
        W = self._project(W[: min(free, W.shape[0]), :])
        if scalar(frobenius(xp, W)) <= 10 * epsilon(W) * before:
            return None
        for _ in range(3):
            W = xp.matrix_transpose(orthonormal_columns(xp, xp.matrix_transpose(W)))
            old, W = W, self._project(W)
            # orthonormalising magnifies what the projection left: once more unless little was
            if scalar(frobenius(xp, W - old)) < 0.1:
                break
        last = cholesky_qr(xp, xp.matrix_transpose(W))
        fine = last is not None and last.deviation < 0.5
        return xp.matrix_transpose(last.Q if last and fine else xp.linalg.qr(xp.matrix_transpose(W))[0])

    def _project(self, W: Any) -> Any:
        for V in self.V:
            W = W - (W @ adjoint(self.xp, V)) @ V
        return W


def _append(xp: Any, blocks: list[Any], block: Any) -> None:
    """Append, joining blocks of like size: products with few wide blocks run faster than with many narrow ones."""
    blocks.append(block)
    while len(blocks) > 1 and blocks[-1].shape[0] >= blocks[-2].shape[0] and 2 * blocks[-1].shape[0] <= _JOINED:
        last = blocks.pop()
        blocks[-1] = xp.concat([blocks[-1], last], axis=0)
