"""Nystrom's approximation, block by block: each one removes what it sees from the rest.

With a block of orthonormal columns V and R = (A - B B^H) V, the rest A - B B^H - R (V^H R)^-1 R^H is positive
semidefinite again and vanishes on V: B grows by R (V^H R)^-1/2. A small shift of A keeps the root stable (Tropp,
Yurtsever, Udell, Cevher, NeurIPS 2017, algorithm 3). Blocks are kept as rows V^H (b, n).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, epsilon, frobenius, scalar, to_numpy
from lina._core.certificates import Certificate, Status
from lina._core.random import gaussian
from lina.linalg._norms import norm2_upper
from lina.linalg._nystrom.certify import Certifier
from lina.linalg._nystrom.matrix import PsdMatrix
from lina.linalg._nystrom.whole import NOT_ROUNDING, Whole
from lina.linalg._orthonormal import orthonormal_columns

_BLOCK_FOR_TOLERANCE = 32
_OVERSAMPLE = 10
# All eigenvectors of an array are about as much work as blocks that amount to this part of its columns; and a basis
# that grows until a tolerance is met, nobody knows how far, is given up while it has cost a third of that.
_AS_ALL = 2
_GIVEN_UP = 5
# Blocks that a rank needs as a rule.
_BLOCKS_FOR_RANK = 3
# Each pass of Krylov lowers the excess of the error over the optimum to less than a tenth, so that after a gain of
# this share of the error about 1 % is left.
_WORTH_A_PASS = 0.1

# The optimum is at least what a basis holds beyond the rank: what it leaves over at this share of that is little.
_PROVED = 0.01


class Goal(NamedTuple):
    """When to stop: at ``rank`` terms, or fewer if the error reaches the target; and after ``max_passes``.

    ``free`` says that all eigenvectors may be taken instead, where that is less work.
    """

    rank: int
    tolerant: bool
    rtol: float
    atol: float
    max_passes: int | None
    free: bool

    def target(self, norm_A: float, scale: float) -> float:
        """Return the error allowed, over ``scale``, for a matrix of the norm ``norm_A`` times that."""
        return max(self.rtol * norm_A, self.atol / scale)


class Basis:
    """Blocks V^H of orthonormal rows (b, n) and B^H (b, n) of B B^H ~ A + shift I, with T = B^H B."""

    def __init__(self, matrix: PsdMatrix) -> None:
        self.matrix, self.xp = matrix, matrix.xp
        self.V: list[Any] = []
        self.B: list[Any] = []
        self.T: Any = None
        self.shift = self.rounding = 0.0
        self.values: list[float] = []
        self.rest: Any = None

    @property
    def size(self) -> int:
        """The number of rows so far."""
        return sum(int(block.shape[0]) for block in self.V)

    @property
    def spent(self) -> bool:
        """Whether the last block found nothing but rounding, or all was seen."""
        small = 10 * self.shift * math.sqrt(self.V[-1].shape[0])
        return scalar(frobenius(self.xp, self.rest)) <= small or self.size == self.matrix.n

    def add(self, V: Any) -> None:
        """Take in a block V^H of orthonormal rows, orthogonal to the others."""
        xp = self.xp
        Y = self.matrix.product(V)
        self._measure(Y)
        C = Y @ adjoint(xp, V)
        if scalar(frobenius(xp, C - adjoint(xp, C))) > NOT_ROUNDING * self.rounding * math.sqrt(V.shape[0]):
            raise ValueError("A must be Hermitian, found an asymmetry beyond rounding")
        R = Y + self.shift * V
        for B in self.B:
            R = R - (V @ adjoint(xp, B)) @ B
        self.V.append(V)
        self.B.append(self._inverse_root(R @ adjoint(xp, V)) @ R)
        self.rest = R
        self._extend_gram()

    def _measure(self, Y: Any) -> None:
        """Fix the shift at the level of rounding when the first products are there."""
        xp, eps = self.xp, epsilon(Y)
        size = math.sqrt(norm2_upper(xp, Y @ adjoint(xp, Y)))
        if self.matrix.diagonal is not None:
            size = max(size, float(np.max(self.matrix.diagonal)))
        self.rounding = max(self.rounding, eps * math.sqrt(self.matrix.n) * size)
        if not self.V:
            self.shift = self.rounding or 1.0

    def _inverse_root(self, S: Any) -> Any:
        """Return M with M S M^H = I of a Hermitian ``S`` (b, b).

        By eigenvectors: rounding in a row of M is of the size of that row, where an inverse Cholesky factor mixes them.
        """
        xp = self.xp
        found, Z = xp.linalg.eigh((S + adjoint(xp, S)) / 2)
        values = to_numpy(found).astype(np.float64)
        if not values[0] - self.shift > -NOT_ROUNDING * self.rounding - self.shift * self.matrix.n * epsilon(S):
            least = (values[0] - self.shift) * self.matrix.scale
            raise ValueError(f"A must be positive semidefinite, found an eigenvalue of at most {least:.3g}")
        # nothing is below the shift but by rounding; raised, it takes a smaller step, and the rest stays semidefinite
        root = xp.asarray(np.maximum(values, self.shift) ** -0.5, dtype=found.dtype, device=device(S))
        return adjoint(xp, Z * xp.astype(root, Z.dtype)[None, :])

    def _extend_gram(self) -> None:
        xp, new = self.xp, self.B[-1]
        column = xp.concat([old @ adjoint(xp, new) for old in self.B], axis=0)
        if self.T is None:
            self.T = column
        else:
            above = column[: -new.shape[0], :]
            lower = xp.concat([adjoint(xp, above), column[-new.shape[0] :, :]], axis=1)
            self.T = xp.concat([xp.concat([self.T, above], axis=1), lower], axis=0)
        found, self.Z = xp.linalg.eigh(self.T)
        squares = to_numpy(xp.flip(found)).astype(np.float64)
        self.values = _unshifted(squares, self.shift).tolist()

    def next_block(self, W: Any, width: int) -> Any | None:
        """Return what is new in the rows of ``W``, orthonormal; None where nothing is, to rounding."""
        xp = self.xp
        W = W[: min(width, self.matrix.n - self.size), :]
        before = scalar(frobenius(xp, W))
        for _ in range(2):  # once more, because orthonormalising magnifies what the projection left
            for V in self.V:
                W = W - (W @ adjoint(xp, V)) @ V
            if scalar(frobenius(xp, W)) <= 10 * epsilon(W) * before:
                return None
            W = _orthonormal_rows(xp, W)
        return W

    def terms(self, k: int) -> tuple[Any, Any]:
        """Return (U, lam) of the leading ``k`` terms, descending."""
        xp = self.xp
        Z = xp.flip(self.Z, axis=1)[:, :k]
        start, total = 0, None
        for B in self.B:
            part = adjoint(xp, B) @ Z[start : start + B.shape[0], :]
            total = part if total is None else total + part
            start += B.shape[0]
        Q = orthonormal_columns(xp, total)
        U, s, _ = xp.linalg.svd(adjoint(xp, Q) @ total, full_matrices=False)
        lam = _unshifted(to_numpy(s).astype(np.float64) ** 2, self.shift)
        return Q @ U, xp.asarray(lam, dtype=s.dtype, device=device(s))


def _unshifted(squares: np.ndarray, shift: float) -> np.ndarray:
    """Return the eigenvalues without the shift; what is no larger than it is rounding."""
    return np.where(squares > 2 * shift, squares - shift, 0.0)


def _orthonormal_rows(xp: Any, W: Any) -> Any:
    return adjoint(xp, orthonormal_columns(xp, adjoint(xp, W)))


def approximate(
    matrix: PsdMatrix, goal: Goal, method: str, certifier: Certifier, rng: np.random.Generator
) -> tuple[Basis | Whole, int, Status, Certificate | None]:
    """Return the basis, the number of its terms to keep, why it ended there, and a bound of their error if known.

    Each block of b rows costs 2 n^2 b flops for its product and about 10 n b m for a basis of m rows.
    """
    basis: Any = Basis(matrix)
    width = _width(matrix.n, goal, method)
    fresh, V = True, _start(matrix, width, rng)
    before = 0.0
    while True:
        if goal.free and _as_much_as_all(basis, int(V.shape[0]), goal):
            basis = Whole(matrix)
        else:
            basis.add(V)
        k, status, bound = _decide(basis, goal, method, certifier, before)
        if status is None and fresh and basis.spent:
            k, status = min(goal.rank, basis.size), Status.ROUNDING if goal.tolerant else Status.CONVERGED
        if status is not None:
            return basis, k, status, bound
        before = math.fsum(basis.values[: goal.rank])
        fresh = method == "sketch" or basis.spent
        if method == "sketch":
            width = basis.size
        found = None if fresh else basis.next_block(basis.rest, width)
        if found is None:
            fresh, found = True, basis.next_block(gaussian(rng, (width, matrix.n), matrix.like), width)
        V = found


def _width(n: int, goal: Goal, method: str) -> int:
    """Return the width of the first block; all of ``A`` where three blocks are no less work."""
    if method == "sketch" and not goal.tolerant:
        return min(n, goal.rank + goal.rank // 2 + _OVERSAMPLE)
    width = _BLOCK_FOR_TOLERANCE if goal.tolerant else goal.rank + _OVERSAMPLE
    return n if method == "krylov" and 3 * width >= n else min(n, width)


def _as_much_as_all(basis: Basis, width: int, goal: Goal) -> bool:
    """Whether all eigenvectors of an array are no more work than another block of ``width`` rows, and what follows."""
    matrix, size = basis.matrix, basis.size + width
    if matrix.array is None:
        return False
    if goal.tolerant:
        return _GIVEN_UP * size > matrix.n
    return _AS_ALL * max(size, _BLOCKS_FOR_RANK * width) > matrix.n


def _start(matrix: PsdMatrix, width: int, rng: np.random.Generator) -> Any:
    if width == matrix.n:
        return matrix.xp.eye(width, dtype=matrix.like.dtype, device=device(matrix.like))
    return _orthonormal_rows(matrix.xp, gaussian(rng, (width, matrix.n), matrix.like))


def _decide(
    basis: Any, goal: Goal, method: str, certifier: Certifier, before: float
) -> tuple[int, Status | None, Certificate | None]:
    """Return the number of terms to keep, why the iteration may end here or None, and a bound of their error."""
    limit = min(goal.rank, basis.size)
    bound = None
    if goal.tolerant:
        target = goal.target(certifier.norm_A(basis.values), basis.matrix.scale)
        k, bound = certifier.needed(basis, target, limit)
        if bound.value <= target:
            return k, Status.CONVERGED, bound
    elif method == "sketch" or basis.size == basis.matrix.n:
        return limit, Status.CONVERGED, bound
    if goal.rank <= basis.size < basis.matrix.n and _settled(basis, goal, certifier, before):
        return limit, Status.MAX_RANK if goal.tolerant else Status.CONVERGED, bound
    if basis.size == basis.matrix.n:
        return limit, Status.MAX_RANK if limit < basis.matrix.n else Status.ROUNDING, bound
    if goal.max_passes is not None and len(basis.V) >= goal.max_passes:
        return limit, Status.MAX_PASSES, bound
    return limit, None, bound


def _settled(basis: Any, goal: Goal, certifier: Certifier, before: float) -> bool:
    """Whether a further block would not lower the error of ``goal.rank`` terms noticeably."""
    beyond, rest = math.fsum(basis.values[goal.rank :]), 0.0
    rounding = certifier.rounding(basis)
    if basis.matrix.trace is not None:
        rest = max(0.0, basis.matrix.trace - math.fsum(basis.values))
        if rest <= max(_PROVED * beyond, rounding):
            return True
    gain = math.fsum(basis.values[: goal.rank]) - before
    return len(basis.V) > 1 and gain <= max(_WORTH_A_PASS * (beyond + rest), rounding)
