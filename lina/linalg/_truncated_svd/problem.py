"""What an algorithm is given: the matrix through its two row products, the stopping rule, and what it hands back."""

import math
from typing import Any, NamedTuple

from lina._core.array import adjoint, conjugate
from lina._core.certificates import Status


class Matrix:
    """A dense matrix (m, n), read by products with blocks of rows, and how often it was read.

    Blocks are (b, n) or (b, m), row after row: with OpenBLAS ``X @ A.T`` and ``Y @ A`` on such blocks run up to 1.7
    times as fast as the same products on tall blocks of columns.
    """

    def __init__(self, xp: Any, A: Any) -> None:
        self.xp, self.A = xp, A
        self.shape = (int(A.shape[0]), int(A.shape[1]))
        self.passes = 0

    def forward(self, X: Any) -> Any:
        """Return X @ A.T, (b, n) -> (b, m)."""
        self.passes += 1
        return X @ self.xp.matrix_transpose(self.A)

    def backward(self, Y: Any) -> Any:
        """Return Y @ conj(A), (b, m) -> (b, n)."""
        self.passes += 1
        return conjugate(self.xp, conjugate(self.xp, Y) @ self.A)

    def gram(self) -> Any:
        """Return A^H A, (n, n)."""
        self.passes += 1
        return adjoint(self.xp, self.A) @ self.A


class Goal(NamedTuple):
    """When to stop: ``rank`` terms at most, or fewer if the error reaches ``target``; and after ``max_passes``."""

    rank: int
    target: float | None
    norm: str
    max_passes: int | None


class Factors(NamedTuple):
    """U (m, k), s (k,), Vt (k, n), why the algorithm ended, and a bound of the next singular value if known."""

    U: Any
    s: Any
    Vt: Any
    status: Status
    following: float | None = None


def needed_rank(values: list[float], rest: float, goal: Goal) -> int | None:
    """Return the least number of leading singular ``values`` that meets the target, or None where all do not.

    ``rest`` is the norm of what lies beyond the list. Summed from the small end: no difference of large numbers.
    """
    if goal.target is None or rest > goal.target:
        return None
    k, tail = len(values), rest
    while k > 1:
        tail = max(tail, values[k - 1]) if goal.norm == "2" else math.hypot(tail, values[k - 1])
        if tail > goal.target:
            break
        k -= 1
    return k


def final_rank(values: list[float], rest: float, goal: Goal) -> tuple[int, Status]:
    """Return the number of terms to keep of a decomposition that goes no further, and what that means."""
    needed = needed_rank(values, rest, goal)
    limit = min(goal.rank, len(values))
    if goal.target is None:
        return limit, Status.CONVERGED
    return (limit, Status.MAX_RANK) if needed is None or needed > limit else (needed, Status.CONVERGED)
