"""Randomised block Krylov: the best terms within span{V, (A^H A) V, (A^H A)^2 V, ...}, blocks as rows."""

import math
from typing import Any

import numpy as np

from lina._core.array import adjoint, conjugate, epsilon, frobenius, scalar, to_numpy
from lina._core.certificates import Status
from lina._core.random import gaussian
from lina.linalg._orthonormal import orthonormal_columns
from lina.linalg._residual import pythagoras, residual_norm
from lina.linalg._truncated_svd.problem import Factors, Goal, Matrix, final_rank, needed_rank

_OVERSAMPLE = 5
_BLOCK_FOR_TOLERANCE = 32
# Narrower blocks are bound by memory: a pass takes as long.
_LEAST_ROWS = 24
# Four blocks move the matrix 7 times, where seven subspace iterations move it 16 times for the same accuracy.
_LEAST_BLOCKS = 4
# A further block is not worth its two passes when the last one lowered the squared error by less than this share;
# the blocks gain at least a factor 10 each, so that what is left is below 0.1 % of the error.
_WORTH_A_BLOCK = 1e-2


class _Basis:
    """Blocks of orthonormal rows V (b, n), their images Y = V @ A.T (b, m), and T = conj(Y) @ Y.T."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.V: list[Any] = []
        self.Y: list[Any] = []
        self.T: Any = None

    @property
    def size(self) -> int:
        return sum(int(block.shape[0]) for block in self.V)

    def add(self, V: Any, Y: Any) -> None:
        xp = self.xp
        self.V.append(V)
        self.Y.append(Y)
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

    def combine(self, blocks: list[Any], Z: Any) -> Any:
        """Return Z.T @ blocks, without joining the blocks."""
        start, total = 0, None
        for block in blocks:
            part = self.xp.matrix_transpose(Z[start : start + block.shape[0], :]) @ block
            total = part if total is None else total + part
            start += block.shape[0]
        return total

    def next_block(self, W: Any) -> Any | None:
        """Return what is new in the rows of ``W`` (b, n), orthonormal; None where nothing is, to rounding."""
        xp, free = self.xp, int(W.shape[1]) - self.size
        if free <= 0:
            return None
        before = scalar(frobenius(xp, W))
        W = self._project(W[: min(free, W.shape[0]), :])
        if scalar(frobenius(xp, W)) <= 10 * epsilon(W) * before:
            return None
        for _ in range(2):  # once more, because orthonormalising magnifies what the projection left
            W = self._project(xp.matrix_transpose(orthonormal_columns(xp, xp.matrix_transpose(W))))
        return xp.matrix_transpose(xp.linalg.qr(xp.matrix_transpose(W))[0])

    def _project(self, W: Any) -> Any:
        for V in self.V:
            W = W - (W @ adjoint(self.xp, V)) @ V
        return W


def krylov_svd(matrix: Matrix, goal: Goal, norm_A: float, rng: np.random.Generator) -> Factors:
    """Return the leading terms of ``matrix`` (m, n), m >= n.

    Each block costs two passes, 4 m n b flops; the basis stores (m + n) b numbers a block.
    """
    basis = _Basis(matrix.xp)
    V = _start(matrix, goal, rng)
    before = 0.0
    while True:
        basis.add(V, matrix.forward(V))
        values, Z = basis.ritz()
        captured = math.fsum(v * v for v in values[: goal.rank])
        status, rest = _decide(matrix, basis, goal, norm_A, values, captured - before)
        if status is not None:
            break
        before = captured
        following = basis.next_block(matrix.backward(basis.Y[-1]))
        if following is None:  # the basis spans the row space, or what A^H A shows of it
            status, rest = Status.ROUNDING, _unseen(matrix, basis)
            break
        V = following
    return _extract(matrix.xp, basis, values, Z, goal, status, rest)


def _start(matrix: Matrix, goal: Goal, rng: np.random.Generator) -> Any:
    xp, (m, n) = matrix.xp, matrix.shape
    wanted = max(goal.rank + _OVERSAMPLE, _LEAST_ROWS) if goal.target is None else _BLOCK_FOR_TOLERANCE
    b = min(-(-wanted // 8) * 8, n)
    if goal.max_passes is not None and goal.max_passes % 2 == 0:
        draw = matrix.backward(gaussian(rng, (b, m), matrix.A))  # an even number of passes begins on the other side
    else:
        draw = gaussian(rng, (b, n), matrix.A)
    return xp.matrix_transpose(orthonormal_columns(xp, xp.matrix_transpose(draw)))


def _decide(
    matrix: Matrix, basis: _Basis, goal: Goal, norm_A: float, values: list[float], gain: float
) -> tuple[Status | None, float]:
    """Return why the iteration may end here, or None; and the norm of what the basis does not see, if measured."""
    limit = min(goal.rank, len(values))
    rest = math.inf
    if goal.target is not None:
        rest = _rest(matrix, basis, goal.target, norm_A, values)
        needed = needed_rank(values, rest, goal)
        if needed is not None and needed <= limit:
            return Status.CONVERGED, rest
    unseen = pythagoras(matrix.A, norm_A, math.sqrt(math.fsum(v * v for v in values[:limit])))
    if len(values) >= goal.rank and _settled(len(basis.V), gain, unseen, norm_A, matrix):
        return Status.CONVERGED, rest
    if goal.max_passes is not None and matrix.passes + 2 > goal.max_passes:
        return Status.MAX_PASSES, rest
    return None, rest


def _settled(blocks: int, gain: float, unseen: float | None, norm_A: float, matrix: Matrix) -> bool:
    """Whether one more block would no longer lower the error noticeably."""
    rounding = epsilon(matrix.A) * norm_A**2
    if gain <= 4 * rounding:
        return blocks > 1
    return blocks >= _LEAST_BLOCKS and unseen is not None and gain <= _WORTH_A_BLOCK * unseen**2


def _rest(matrix: Matrix, basis: _Basis, target: float, norm_A: float, values: list[float]) -> float:
    """Return the norm of what the whole basis does not see, measured only when it may be below the target."""
    xp = matrix.xp
    cheap = pythagoras(matrix.A, norm_A, math.sqrt(math.fsum(v * v for v in values)))
    if cheap is not None and basis.size < matrix.shape[1]:
        return cheap
    if basis.size < matrix.shape[1] and scalar(frobenius(xp, basis.Y[-1])) > target:
        return math.inf
    return _unseen(matrix, basis)


def _unseen(matrix: Matrix, basis: _Basis) -> float:
    """Return the norm of what the whole basis does not see, from the residual itself."""
    xp = matrix.xp
    if basis.size == matrix.shape[1]:
        return 0.0
    left = xp.matrix_transpose(xp.concat(basis.Y, axis=0))
    matrix.passes += 1
    return residual_norm(xp, matrix.A, left, conjugate(xp, xp.concat(basis.V, axis=0)))


def _extract(xp: Any, basis: _Basis, values: list[float], Z: Any, goal: Goal, status: Status, rest: float) -> Factors:
    """Return the leading terms: a small SVD of the images, because T has blurred what lies below sqrt(eps)."""
    k, found = final_rank(values, rest, goal)
    blurred = 1e3 * math.sqrt(epsilon(Z)) * values[0]
    exact = values[k - 1] <= blurred or (goal.target is not None and goal.target <= blurred)
    if exact:
        V, Y = xp.concat(basis.V, axis=0), xp.concat(basis.Y, axis=0)
    else:
        V, Y = basis.combine(basis.V, Z[:, :k]), basis.combine(basis.Y, Z[:, :k])
    tall = xp.matrix_transpose(Y)
    Q = orthonormal_columns(xp, tall)
    U, s, Wt = xp.linalg.svd(adjoint(xp, Q) @ tall, full_matrices=False)
    if exact:
        k, found = final_rank(to_numpy(s).tolist(), rest, goal)
    met = goal.target is not None and found is Status.CONVERGED
    stopped = status is Status.MAX_PASSES or (status is Status.ROUNDING and goal.target is not None)
    why = status if stopped and not met else found
    return Factors(Q @ U[:, :k], s[:k], Wt[:k, :] @ conjugate(xp, V), why)
