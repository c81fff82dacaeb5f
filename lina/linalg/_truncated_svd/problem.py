"""What an algorithm is given, a matrix and a request, and what it hands back."""

import math
from typing import Any, NamedTuple

from array_api_compat import device

from lina._core.array import balance, conjugate, epsilon, frobenius, is_lazy, scalar
from lina._core.certificates import Certificate, CertificateKind, Status
from lina._core.checks import check_rank
from lina.linalg._orthonormal import orthonormal_columns

# The least part of a tolerance that is left to rounding.
_ROUNDING_SHARE = 1e-6


class Matrix:
    """A matrix (m, n) of any kind, read by products with blocks of rows, and how often it was read.

    Blocks are (b, n) or (b, m), row after row: with OpenBLAS ``X @ A.T`` and ``Y @ A`` on such blocks run up to 1.7
    times as fast as the same products on tall blocks of columns. ``shift`` holds (p, q) where the matrix is
    A - p q^T and only A is stored: a mean that is subtracted without filling a sparse matrix.

    Attributes
    ----------
    like : array
        Has the library, dtype and device of the products.
    norm, size : float
        Frobenius norm of the matrix, and of what the sums run over, which is larger where ``shift`` takes most away.
    scale : float
        What all products were divided by.
    lost : float
        Rounding of the subtraction of a mean, in norm: part of every error.
    passes, overhead : int
        Readings by the algorithm, which ``max_passes`` limits, and those for means, norms and certificates.
    fused : bool
        Reading is dearer than arithmetic: ``together`` is to be used, one reading for both products.
    narrow : bool
        A product costs what its columns cost: narrow blocks and many of them are best.
    whole : bool
        The whole SVD is affordable.
    """

    fused = False
    narrow = False
    whole = True

    def __init__(self, xp: Any, like: Any, shape: tuple[int, int], norm: Any, scale: float = 1.0) -> None:
        self.xp, self.like, self.shape, self.norm, self.scale = xp, like, shape, norm, scale
        self.size = norm
        self.mean: Any = None
        self.lost = 0.0
        self.shift: tuple[Any, Any] | None = None
        self.passes = self.overhead = 0

    def forward(self, X: Any) -> Any:
        """Return X @ A.T, (b, n) -> (b, m)."""
        self.passes += 1
        Y = self._forward(X)
        return Y if self.shift is None else Y - (X @ self.shift[1])[:, None] * self.shift[0]

    def backward(self, Y: Any) -> Any:
        """Return Y @ conj(A), (b, m) -> (b, n)."""
        self.passes += 1
        return self._shift_back(self._backward(Y), Y)

    def _shift_back(self, Z: Any, Y: Any) -> Any:
        if self.shift is None:
            return Z
        p, q = (conjugate(self.xp, each) for each in self.shift)
        return Z - (Y @ p)[:, None] * q

    def _forward(self, X: Any) -> Any:
        raise NotImplementedError

    def _backward(self, Y: Any) -> Any:
        raise NotImplementedError

    def together(self, X: Any) -> tuple[Any, Any]:
        """Return Y = X @ A.T and Y @ conj(A) from one reading."""
        raise NotImplementedError

    def gram(self) -> Any:
        """Return A^H A, (n, n)."""
        raise NotImplementedError

    def svd(self) -> tuple[Any, Any, Any]:
        """Return the whole thin SVD."""
        raise NotImplementedError

    def residual(self, left: Any, right: Any) -> float:
        """Return norm(A - left @ right, "fro") from the residual itself, rounding included: one reading."""
        raise NotImplementedError

    def normal_residual(self, X: Any, left: Any, right: Any) -> Any:
        """Return the rows E^H E x for the rows x of ``X`` (p, n) and E = A - left @ right."""
        xp, T = self.xp, self.xp.matrix_transpose
        Y = self.forward(X) - (X @ T(right)) @ T(left)
        return self.backward(Y) - (Y @ conjugate(xp, left)) @ conjugate(xp, right)

    def subtracted(self, mean: Any) -> None:
        """Note the ``mean`` (n,), unscaled, that was or is taken off every one of the rows."""
        self.mean = mean
        if is_lazy(mean):
            return
        _, norm, scale = balance(self.xp, mean, "A")
        # of the two sides the larger, whichever way round the matrix is held
        self.lost = epsilon(self.like) * math.sqrt(max(self.shape)) * norm * (scale / self.scale)

    def norm_at_least(self, captured: float) -> Any:  # noqa: ARG002
        """Return the Frobenius norm, or a lower bound where only the part ``captured`` by a basis is certain."""
        return self.norm

    def beyond(self, basis: Any, values: list[float], limit: int) -> float | None:  # noqa: ARG002
        """Return a bound of what the leading ``limit`` Ritz values leave over; None where its digits are lost."""
        return self.pythagoras(math.sqrt(math.fsum(v * v for v in values[:limit])))

    def pythagoras(self, captured: float) -> float | None:
        """Return sqrt(norm^2 - captured^2), rounding included; None where the difference has lost its digits."""
        doubt = self.doubt() * self.size**2
        difference = (self.norm - captured) * (self.norm + captured)
        return math.sqrt(difference + doubt) + self.lost if difference > 1e3 * doubt else None

    def doubt(self) -> float:
        """Return the rounding of the sums of squares of the matrix and of its projections, over ``size ** 2``."""
        return epsilon(self.like) * (8 + math.sqrt(self.shape[0] * self.shape[1]))

    def rounding_share(self, target: float) -> float:
        """Return the part of a target of the Frobenius error that rounding in its certificate may take, 1 % at most."""
        if self.size == 0 or target == 0:
            return _ROUNDING_SHARE
        ratio = target / self.size
        if ratio**2 > 1e3 * self.doubt():
            share = self.doubt() / (2 * ratio**2)
        else:  # the residual itself is measured
            share = epsilon(self.like) * (4 + 2 * math.sqrt(min(self.shape)) / ratio)
        return min(max(_ROUNDING_SHARE, share), 1e-2)

    def certify(self, factors: "Factors") -> Certificate:
        """Return the Frobenius norm of what the factors, a projection of the matrix, leave over."""
        cheap = self.pythagoras(scalar(frobenius(self.xp, factors.s)))
        if cheap is None:
            cheap = self.residual(factors.U * self.xp.astype(factors.s, factors.U.dtype), factors.Vt)
        return Certificate(cheap, CertificateKind.RIGOROUS)


class Goal(NamedTuple):
    """When to stop: ``rank`` terms at most, or fewer if the error reaches ``target``; and after ``max_passes``."""

    rank: int
    target: float | None
    norm: str
    max_passes: int | None


class Request(NamedTuple):
    """What the caller asked for; it becomes a goal once the matrix knows its shape, norm and scale.

    ``norm2`` is the 2-norm of the matrix where ``rtol`` refers to it.
    """

    k: int | None
    rtol: float | None
    atol: float | None
    norm: str
    max_passes: int | None
    norm2: float = 0.0

    @property
    def tolerant(self) -> bool:
        """Whether a tolerance was given."""
        return not (self.rtol is None and self.atol is None)

    def goal(self, matrix: Matrix, captured: float = 0.0) -> Goal:
        """Return the goal for ``matrix``, of whose norm a basis has ``captured`` a part."""
        limit = min(matrix.shape)
        rank = limit if self.k is None else check_rank(self.k, limit)
        target = None
        if self.tolerant:
            target = self.tolerance(matrix, captured)
            # a little less than asked for: the error that is certified in the end includes rounding
            target *= 1 - (matrix.rounding_share(target) if self.norm == "fro" else _ROUNDING_SHARE)
        return Goal(rank, target, self.norm, self.max_passes)

    def tolerance(self, matrix: Matrix, captured: float = 0.0) -> float:
        """Return the error that is asked for, in the scale of ``matrix``, of whose norm a part is ``captured``."""
        size = self.norm2 if self.norm == "2" else scalar(matrix.norm_at_least(captured))
        return max(size * float(self.rtol or 0.0), float(self.atol or 0.0) / matrix.scale)


class Factors(NamedTuple):
    """U (m, k), s (k,), Vt (k, n), why the algorithm ended, and what it knows of the error.

    ``following`` bounds the next singular value, ``beyond`` the Frobenius norm of the rest, where they are known;
    ``certificate`` is the last word of an algorithm that nothing can be measured after.
    """

    U: Any
    s: Any
    Vt: Any
    status: Status
    following: float | None = None
    beyond: float | None = None
    certificate: Certificate | None = None


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


def from_images(xp: Any, V: Any, Y: Any) -> tuple[Any, Any, Any]:
    """Return the SVD (U, s, Vt) of A restricted to the orthonormal rows ``V`` (k, n), from ``Y`` = V @ A.T (k, m)."""
    tall = xp.matrix_transpose(Y)
    Q = orthonormal_columns(xp, tall)
    U, s, Wt = xp.linalg.svd(conjugate(xp, xp.matrix_transpose(Q)) @ tall, full_matrices=False)
    return Q @ U, s, Wt @ conjugate(xp, V)


def zero_factors(matrix: Matrix, goal: Goal) -> Factors:
    """Return the factors of a zero matrix."""
    xp, (m, n) = matrix.xp, matrix.shape
    place: dict[str, Any] = {"dtype": matrix.like.dtype, "device": device(matrix.like)}
    k = goal.rank if goal.target is None else 1
    s = xp.abs(xp.zeros(k, **place))
    return Factors(xp.eye(m, k, **place), s, xp.eye(k, n, **place), Status.CONVERGED, 0.0)
