"""Randomised block Krylov: the best terms within span{V, (A^H A) V, (A^H A)^2 V, ...}, blocks as rows."""

import math
from typing import Any, cast

import numpy as np

from lina._core.array import conjugate, epsilon, frobenius, scalar, to_numpy
from lina._core.certificates import Status
from lina._core.random import gaussian
from lina.linalg._orthonormal import orthonormal_columns
from lina.linalg._truncated_svd.basis import Basis
from lina.linalg._truncated_svd.problem import (
    Factors,
    Goal,
    Matrix,
    Request,
    final_rank,
    from_images,
    needed_rank,
    zero_factors,
)

_OVERSAMPLE = 5
_BLOCK_FOR_TOLERANCE = 32
# Narrower blocks are bound by memory: a pass takes as long.
_LEAST_ROWS = 24
# Where a pass costs what its columns cost, narrow blocks reach the same error with half the columns.
_NARROW = 16
# So few passes are best spent on wide blocks.
_MANY_PASSES = 12
# A tolerance is met with too many terms at first: blocks are added while they lower the number by this share.
_WORTH_FEWER_TERMS = 0.03
# Four blocks move the matrix 7 times, where seven subspace iterations move it 16 times for the same accuracy.
_LEAST_BLOCKS = 4
# A further block is not worth its two passes when the last one lowered the squared error by less than this share;
# the blocks gain at least a factor 10 each, so that what is left is below 0.1 % of the error. Narrow ones gain 3 to 5.
_WORTH_A_BLOCK = 1e-2
_WORTH_A_NARROW_BLOCK = 3e-4
# Singular values this near each other are taken for equal.
_TIE = 1e-2


class _Chain:
    """Krylov blocks from a random start; ``starts`` counts the starts, ``length`` the blocks since the last."""

    def __init__(self, matrix: Matrix, request: Request, rng: np.random.Generator) -> None:
        self.matrix, self.rng = matrix, rng
        xp, (m, n) = matrix.xp, matrix.shape
        self.narrow = matrix.narrow and (request.max_passes is None or request.max_passes > _MANY_PASSES)
        self.width = min(block_width(request, self.narrow, n), n)
        self.basis = Basis(xp)
        self.starts = self.length = 0
        self.needed: int | None = None
        if request.max_passes is not None and request.max_passes % 2 == 0 and not matrix.fused:
            draw = matrix.backward(gaussian(rng, (self.width, m), matrix.like))  # begin on the other side
        else:
            draw = gaussian(rng, (self.width, n), matrix.like)
        self.V: Any = xp.matrix_transpose(orthonormal_columns(xp, xp.matrix_transpose(draw)))
        self._W: Any = None

    def extend(self) -> None:
        """Apply the matrix to the next block and take it in."""
        matrix = self.matrix
        Y, self._W = matrix.together(self.V) if matrix.fused else (matrix.forward(self.V), None)
        self.basis.add(self.V, Y)
        self.starts, self.length = max(self.starts, 1), self.length + 1

    @property
    def silent(self) -> bool:
        """Whether the matrix takes the last block to nothing but rounding."""
        basis, matrix = self.basis, self.matrix
        return scalar(frobenius(basis.xp, basis.images)) <= 10 * epsilon(matrix.like) * matrix.size

    def next(self) -> bool:
        """Go on with A^H A; False where the basis spans all that it leads to, to rounding."""
        if self.silent:
            return False
        W = self.matrix.backward(self.basis.images) if self._W is None else self._W
        self.V = self.basis.new(W)
        return self.V is not None

    def restart(self) -> bool:
        """Go on with a random block, which sees what no block before it leads to; False where no room is left."""
        draw = gaussian(self.rng, (self.width, self.matrix.shape[1]), self.matrix.like)
        self.V = self.basis.new(draw)
        self.starts, self.length = self.starts + 1, 0
        return self.V is not None

    def shrinks(self, needed: int) -> bool:
        """Whether one more block may meet the tolerance with noticeably fewer terms than are ``needed`` now."""
        before, self.needed = self.needed, needed
        return needed > 1 and (before is None or needed < (1 - _WORTH_FEWER_TERMS) * before)

    def hides_ties(self, values: list[float], rank: int) -> bool:
        """Whether a singular value may have further copies: blocks show no more of them than they have rows."""
        rows = self.starts * self.width
        return any(values[i + rows - 1] >= (1 - _TIE) * values[i] for i in range(rank - rows))


def block_width(request: Request, narrow: bool, n: int) -> int:
    """Return the number of rows of a block, which may exceed ``n``."""
    if request.tolerant:
        return _NARROW if narrow else _BLOCK_FOR_TOLERANCE
    wanted = (request.k or n) + _OVERSAMPLE
    wanted = min(wanted, _NARROW) if narrow else max(wanted, _LEAST_ROWS)
    return -(-wanted // 8) * 8


def krylov_svd(matrix: Matrix, request: Request, rng: np.random.Generator) -> Factors:
    """Return the leading terms of ``matrix`` (m, n).

    Each block costs two passes, 4 m n b flops; the basis stores (m + n) b numbers a block.
    """
    return cast(Factors, try_krylov_svd(matrix, request, rng, math.inf))  # never given up


def try_krylov_svd(matrix: Matrix, request: Request, rng: np.random.Generator, most: float) -> Factors | None:
    """Return what `krylov_svd` does; None where a tolerance needs more than ``most`` n basis vectors."""
    chain = _Chain(matrix, request, rng)
    basis, before = chain.basis, 0.0
    while True:
        chain.extend()
        values, Z = basis.ritz()
        goal = request.goal(matrix, math.sqrt(math.fsum(v * v for v in values)))
        if matrix.norm == 0:
            return zero_factors(matrix, goal)
        captured = math.fsum(v * v for v in values[: goal.rank])
        status, rest = _decide(chain, goal, values, captured - before)
        before = captured
        settled = status is Status.CONVERGED and needed_rank(values, rest, goal) is None
        if status is None and goal.target is not None and basis.size > most * matrix.shape[1]:
            return None
        if status is not None and not (settled and chain.hides_ties(values, goal.rank) and chain.restart()):
            break
        if status is None and not chain.next() and not _resume(chain, goal, values):
            # the basis spans the row space, or what A^H A shows of it
            status, rest = Status.ROUNDING, _unseen(matrix, basis)
            break
    return _extract(matrix, basis, values, Z, goal, status, rest)


def _resume(chain: _Chain, goal: Goal, values: list[float]) -> bool:
    """Start again where a chain has ended too early: random blocks fill the rank, or see what it did not lead to."""
    if goal.target is None:
        return (chain.basis.size < goal.rank or chain.hides_ties(values, goal.rank)) and chain.restart()
    return not chain.matrix.whole and not chain.silent and chain.restart()


def _decide(chain: _Chain, goal: Goal, values: list[float], gain: float) -> tuple[Status | None, float]:
    """Return why the iteration may end here, or None; and the norm of what the basis does not see, if measured."""
    matrix, basis = chain.matrix, chain.basis
    limit = min(goal.rank, len(values))
    rest = math.inf
    if goal.target is not None:
        rest = _rest(matrix, basis, goal.target, values)
        needed = needed_rank(values, rest, goal)
        if needed is not None and needed <= limit:
            spent = goal.max_passes is not None and matrix.passes + 2 > goal.max_passes
            return (None if chain.shrinks(needed) and not spent else Status.CONVERGED), rest
    if len(values) >= goal.rank and _settled(chain, goal, gain, matrix.beyond(basis, values, limit)):
        return Status.CONVERGED, rest
    cost = 1 if matrix.fused else 2
    if goal.max_passes is not None and matrix.passes + cost > goal.max_passes:
        return Status.MAX_PASSES, rest
    return None, rest


def _settled(chain: _Chain, goal: Goal, gain: float, unseen: float | None) -> bool:
    """Whether one more block would no longer lower the error noticeably, or at all where passes were allotted."""
    rounding = epsilon(chain.matrix.like) * chain.matrix.size**2
    if gain <= 4 * rounding:
        return chain.length > 1
    if goal.max_passes is not None:
        return False  # the error is near its least long before the triplets are at theirs
    worth = _WORTH_A_NARROW_BLOCK if chain.narrow else _WORTH_A_BLOCK
    return chain.length >= _LEAST_BLOCKS and unseen is not None and gain <= worth * unseen**2


def _rest(matrix: Matrix, basis: Basis, target: float, values: list[float]) -> float:
    """Return the norm of what the whole basis does not see, measured only when it may be below the target."""
    if basis.size < matrix.shape[1]:
        cheap = matrix.beyond(basis, values, len(values))
        if cheap is not None:
            return cheap
        if scalar(frobenius(matrix.xp, basis.images)) > target:
            return math.inf
    return _unseen(matrix, basis)


def _unseen(matrix: Matrix, basis: Basis) -> float:
    """Return the norm of what the whole basis does not see, from the residual itself."""
    xp = matrix.xp
    if basis.size == matrix.shape[1]:
        return _rounding(matrix, basis)
    left, right = xp.matrix_transpose(xp.concat(basis.Y, axis=0)), conjugate(xp, xp.concat(basis.V, axis=0))
    return matrix.residual(left, right)


def _rounding(matrix: Matrix, basis: Basis) -> float:
    return 2 * epsilon(matrix.like) * math.sqrt(basis.size) * matrix.size


def _extract(
    matrix: Matrix, basis: Basis, values: list[float], Z: Any, goal: Goal, status: Status, rest: float
) -> Factors:
    """Return the leading terms: a small SVD of the images, because T has blurred what lies below sqrt(eps)."""
    xp = matrix.xp
    k, found = final_rank(values, rest, goal)
    blurred = 1e3 * math.sqrt(epsilon(Z)) * values[0]
    exact = values[k - 1] <= blurred or (goal.target is not None and goal.target <= blurred)
    beyond = None if math.isfinite(rest) else matrix.beyond(basis, values, k)
    rounding = _rounding(matrix, basis)
    V, Y = basis.release(None if exact else Z[:, :k])
    U, s, Vt = from_images(xp, V, Y)
    if exact:
        values = to_numpy(s).tolist()
        k, found = final_rank(values, rest, goal)
    met = goal.target is not None and found is Status.CONVERGED
    stopped = status is Status.MAX_PASSES or (status is Status.ROUNDING and goal.target is not None)
    why = status if stopped and not met else found
    if math.isfinite(rest):
        # the values dropped err together by no more than the images do (Mirsky)
        beyond = math.hypot(rest, *values[k:]) + rounding
    return Factors(U[:, :k], s[:k], Vt[:k, :], why, beyond=beyond)
