"""The quadratic x.Q x / 2 + c.x, dense or as factor and diagonal: its products, and systems with its blocks.

Points, products and factors are float64 whatever the dtype of the data.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs, dpstrf

Solver = Callable[[np.ndarray], np.ndarray]

# A Cholesky pivot this far below the entry it began as has lost its digits.
_SINGULAR = 1e-13

# Rows of which copies are made at a time.
_ROWS = 64


class Dense:
    """Q (n, n) as it is."""

    def __init__(self, Q: np.ndarray, c: np.ndarray) -> None:
        self.Q = Q
        self.c = c
        self.products = 0

    @cached_property
    def diagonal(self) -> np.ndarray:
        """Return the diagonal of Q."""
        return np.diagonal(self.Q).astype(np.float64)

    def product(self, x: np.ndarray) -> np.ndarray:
        """Return Q x, from the rows of the support only where these are few."""
        self.products += 1
        support = np.flatnonzero(x)
        if 2 * support.size < x.size:
            return x[support] @ self.Q[support]
        return self.Q @ x

    def sizes(self, x: np.ndarray) -> np.ndarray:
        """Return abs(Q) x, from the rows of the support, some at a time."""
        support = np.flatnonzero(x)
        parts = [support[k : k + _ROWS] for k in range(0, support.size, _ROWS)]
        return sum((x[part] @ np.abs(self.Q[part]) for part in parts), np.zeros(x.size))

    def block(self, face: np.ndarray) -> np.ndarray:
        """Return Q on the face, in an array of its own."""
        return np.take(np.take(self.Q, face, axis=0), face, axis=1).astype(np.float64, copy=False)

    def face_solver(self, face: np.ndarray) -> Solver | None:
        """Return the solver of systems with Q on the face, up to a multiple of the ones; None where it is singular."""
        H = self.block(face)
        solve = cholesky_solver(H)
        if solve is None:  # on the simplex Q and Q + t 11' are the same up to a constant: distances need the second
            solve = cholesky_solver(self.block(face) + 4 * float(np.max(np.abs(H))))
        return solve

    def shifted_solver(self, theta: np.ndarray) -> Solver | None:
        """Return the solver of systems with Q + diag(theta), up to a multiple of the ones."""
        for ones in (0.0, 4 * float(np.max(np.abs(self.diagonal))) + 4 * float(np.max(np.abs(self.Q[0])))):
            H = self.Q + ones if ones else self.Q.copy()
            H.flat[:: H.shape[0] + 1] += theta
            solve = cholesky_solver(H)
            if solve is not None:
                return solve
        return None


class Factored:
    """Q = F F' + diag(d), F (n, k), never formed where k is the smaller."""

    def __init__(self, F: np.ndarray, d: np.ndarray, c: np.ndarray) -> None:
        self.F = F
        self.d = d
        self.c = c
        self.products = 0

    @cached_property
    def diagonal(self) -> np.ndarray:
        """Return the diagonal of Q."""
        return np.einsum("ik,ik->i", self.F, self.F) + self.d

    def product(self, x: np.ndarray) -> np.ndarray:
        """Return Q x."""
        self.products += 1
        support = np.flatnonzero(x)
        inner = x[support] @ self.F[support] if 2 * support.size < x.size else x @ self.F
        return self.F @ inner + self.d * x

    def sizes(self, x: np.ndarray) -> np.ndarray:
        """Return abs(F) abs(F') x + d x, the sizes of what a product sums up."""
        F = np.abs(self.F)
        return F @ (x @ F) + self.d * x

    def block(self, face: np.ndarray) -> np.ndarray:
        """Return Q on the face."""
        F = self.F[face]
        H = F @ F.T
        H.flat[:: face.size + 1] += self.d[face]
        return H

    def face_solver(self, face: np.ndarray) -> Solver | None:
        """Return the solver of systems with Q on the face; None where it is singular."""
        d = self.d[face]
        small = self.F.shape[1] < face.size
        if small and np.all(d > _SINGULAR * self.diagonal[face]):
            return woodbury_solver(self.F[face], d)
        return cholesky_solver(self.block(face))

    def shifted_solver(self, theta: np.ndarray) -> Solver | None:
        """Return the solver of systems with Q + diag(theta), theta > 0."""
        if self.F.shape[1] < self.F.shape[0]:
            return woodbury_solver(self.F, self.d + theta)
        H = self.F @ self.F.T
        H.flat[:: H.shape[0] + 1] += self.d + theta
        return cholesky_solver(H)


def compressed(q: Dense | Factored) -> Dense | Factored:
    """Return a pivoted Cholesky factor of a dense Q and the diagonal of the rest, where the rank is far below n."""
    if isinstance(q, Factored):
        return q
    n = q.c.size
    packed, pivots, rank, _ = dpstrf(q.Q.T, tol=1e-13 * float(np.max(q.diagonal)), lower=1)
    if not 0 < 2 * rank <= n:
        return q
    F = np.empty((n, rank))
    F[pivots - 1] = np.tril(packed)[:, :rank]
    return Factored(F, np.maximum(q.diagonal - np.einsum("ik,ik->i", F, F), 0.0), q.c)


def cholesky_solver(H: np.ndarray) -> Solver | None:
    """Return the solver of systems with H, whose memory it takes; None where H is not safely positive definite."""
    diagonal = np.diagonal(H).copy()
    L, info = dpotrf(H.T, lower=1, clean=0, overwrite_a=1)
    if info != 0 or not np.all(np.diagonal(L) ** 2 > _SINGULAR * diagonal):
        return None
    return lambda b: dpotrs(L, b, lower=1)[0]


def woodbury_solver(F: np.ndarray, d: np.ndarray) -> Solver | None:
    """Return the solver of systems with F F' + diag(d), d > 0, through a matrix of the size of the factor."""
    scaled = F / np.sqrt(d)[:, None]
    core = scaled.T @ scaled
    core.flat[:: core.shape[0] + 1] += 1.0
    inner = cholesky_solver(core)
    if inner is None:
        return None
    root = np.sqrt(d)

    def solve(b: np.ndarray) -> np.ndarray:
        y = (b.T / root).T
        return ((y - scaled @ inner(scaled.T @ y)).T / root).T

    return solve
