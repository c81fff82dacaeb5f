"""Optimal designs of experiments: how often to measure at each candidate point, D- and A-optimal."""

import math
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as numpy_namespace
import numpy as np

from lina._core.array import epsilon, from_numpy, scalar
from lina._core.checks import check_option
from lina._core.kernels import kernel
from lina.simplex._data import computing, host, host_rows, open_matrix, scaled
from lina.simplex._gap import widen
from lina.simplex._optimal_design_newton import newton_design
from lina.simplex._result import SimplexResult
from lina.simplex._working_set import Callback, check_start, check_stopping, descend, in_unit, result_fields

CRITERIA = ("D", "A")

# Exchanges between two inversions of the information matrix, and inversions between two passes.
_EXCHANGES, _INVERSIONS = 500, 8

# With at most so many candidates at once Newton steps follow the first 500 exchanges.
_FEW = 300

# Corrections of a factor or an inverse; each brings as many digits as the condition has left.
_REFINEMENTS = 4

# Up to this condition, in Frobenius norms, the factor of LAPACK will do for "D"; the bound for "A" is not as tight.
_WELL_CONDITIONED = 30.0


@dataclass(frozen=True, repr=False)
class OptimalDesign(SimplexResult):
    """Weights of the candidate points of an experiment, with a bound of what a better design could gain.

    ``value`` is -log det M for the criterion "D" and trace M^-1 for "A"; ``relative_gap`` is gap / d for "D" (the
    determinant has no scale), gap / value for "A". ``support`` are the points to measure at.

    Attributes
    ----------
    criterion : str
        "D" or "A".
    efficiency : float
        A lower bound of (det M / det of the best)^(1/d), or of the least trace over that of this design.
    information : array, shape (d, d)
        M = sum x_i a_i a_i^T.
    """

    criterion: str = "D"
    efficiency: float = math.nan
    information: Any = None


def optimal_design(
    A: Any,
    criterion: str = "D",
    *,
    x0: Any = None,
    rtol: float = 1e-6,
    max_iterations: int = 1000,
    callback: Callback | None = None,
    history: bool = False,
) -> OptimalDesign:
    """Weigh the candidate points A[i] of a linear model to estimate its parameters best, with a certified gap.

    The design x gives the information matrix M = sum x_i a_i a_i^T. A D-optimal one maximises det M, which makes the
    confidence ellipsoid smallest; an A-optimal one minimises trace M^-1, the sum of the variances of the parameters.

    Parameters
    ----------
    A : array_like, shape (n, d)
        One candidate point, a vector of regressors, per row; of rank d. They may repeat.
    criterion : {"D", "A"}
        What is optimal.
    x0 : array_like, shape (n,), or SimplexResult, optional
        A design to start from, non-negative with sum 1 and M regular.
    rtol : float
        Stop when the gap is at most ``rtol * d`` ("D": no standardised variance exceeds d by more) or
        ``rtol * trace M^-1`` ("A").
    max_iterations : int
        Most passes over the candidates.
    callback : callable, optional
        Is given each `Step`; a true answer stops.
    history : bool
        Keep the steps.

    Returns
    -------
    OptimalDesign
        A `SimplexResult` with ``criterion``, ``efficiency``, ``information``.

    Raises
    ------
    TypeError
        If ``A`` is no dense array of real numbers.
    ValueError
        If ``A`` is not a finite nonempty matrix with values, its rank is below d, so that M is singular for every
        design, or an option is out of range.
    OverflowError
        If trace M^-1 or an entry of M exceeds the range of the dtype.
    GradientError
        If a torch tensor of the data requires a gradient: there is none.

    Notes
    -----
    The gap is max a.P a - d for P = M^-1 (Kiefer and Wolfowitz), and max a.P^2 a - trace P for "A". After each pass
    over the candidates weight is exchanged between pairs of those that carry weight or have the largest scores, each
    time as far as a closed formula says is best, the inverse updated by a term of rank two and made anew every 500
    exchanges; with at most 300 candidates Newton steps follow where 500 have not been enough. The rows are
    orthogonalised first, so that neither the units of the regressors nor a basis matter.

    The gap includes all rounding. Regressors that are nearly dependent are orthogonalised with residuals of twice the
    digits, so that "D" is certified to about 1e-12 up to a condition of 1e9; beyond it the status may be "rounding".

    Cost 2 n d^2 flops once and as much a pass, about 10 to 20 passes; two copies of ``A`` in float64.

    References
    ----------
    Kiefer and Wolfowitz, Canad. J. Math. 12 (1960) 363; Boehning, Metrika 33 (1986) 337; Todd, Minimum-Volume
    Ellipsoids, SIAM (2016), chapter 3.

    Examples
    --------
    Quadratic regression on [-1, 1]: a third of the measurements at each end and in the middle.

    >>> import numpy as np
    >>> from lina.simplex import optimal_design
    >>> t = np.linspace(-1, 1, 201)
    >>> design = optimal_design(np.stack([t**0, t, t**2], axis=1))
    >>> t[design.support], design.x[design.support].round(4)
    (array([-1.,  0.,  1.]), array([0.3333, 0.3333, 0.3333]))
    >>> design.efficiency > 0.999999
    True
    """
    xp, A = open_matrix(A, "A", "optimal_design")
    criterion = check_option(criterion, CRITERIA, "criterion")
    stopping = check_stopping(rtol, max_iterations, callback, history)
    inner, rows = computing(xp, A)
    problem = _Design(inner, rows, criterion)
    found = descend(problem, check_start(x0, A.shape[0]), stopping, width=2 * A.shape[1])
    fields = result_fields(problem, found, xp, A, rtol=stopping.rtol, method="working set + pairwise exchange")
    if criterion == "A":
        fields = in_unit(fields, problem.unit, -2, "A")
    d = A.shape[1]
    efficiency = math.exp(-fields["gap"] / d) if criterion == "D" else 1.0 - fields["relative_gap"]
    facts = {"criterion": criterion, "efficiency": efficiency, "information": _information(xp, A, fields["x"])}
    return OptimalDesign(**fields, **facts)


def _information(xp: Any, A: Any, x: Any) -> Any:
    with np.errstate(over="ignore", invalid="ignore"):
        M = xp.matrix_transpose(A) @ (x[:, None] * A)
    if not bool(xp.all(xp.isfinite(M))):
        raise OverflowError("A must give an information matrix within the range of its dtype, got an infinite one")
    return M


class _Design:
    """The criterion over the rows of Q in A = Q T, T triangular: M = T^T (sum w_i q_i q_i^T) T.

    Q comes from a QR factorisation and is refined until it gives back A beyond its own digits: what an
    ill-conditioned A would lose in the orthogonal factor, the certificate would not see.
    """

    kind, held = "exchange", math.inf

    def __init__(self, xp: Any, A: Any, criterion: str) -> None:
        self.xp, self.criterion, (n, self.d) = xp, criterion, A.shape
        largest = host(xp.max(xp.abs(A), axis=0))
        units = 2.0 ** np.minimum(np.frexp(np.where(largest > 0, largest, 1.0))[1], 1023)
        B = scaled(xp, A, 1.0) / from_numpy(units, widen(xp, A[:1, :1]))
        if n < self.d:
            raise ValueError(f"A must have at least as many rows as columns, got shape {tuple(A.shape)}")
        Q, R = xp.linalg.qr(B, mode="reduced")
        self.eps = epsilon(B)
        singular = np.linalg.svd(host(R), compute_uv=False)
        rank = int(np.sum(singular > n * self.eps * singular[0]))
        if rank < self.d:
            raise ValueError(f"A must have rank d = {self.d}, so that some design has a regular M, got rank {rank}")
        self.Q, self.missed = _refined(xp, B, Q, R, _WELL_CONDITIONED if criterion == "D" else 0.0)
        self.longest = math.sqrt(scalar(xp.max(xp.sum(self.Q**2, axis=1))))
        logs = np.concatenate([np.log(np.abs(np.diagonal(host(R)))), np.log(units)])
        self.shift, self.shift_noise = -2 * float(np.sum(logs)), 2 * self.eps * float(np.sum(np.abs(logs)))
        self.unit = float(units.min())  # the trace is that of the smallest: those of the others may be out of range
        self.root, self.K, self.inverse_noise = None, None, 0.0
        if criterion == "A":  # trace M^-1 = trace root' (sum w q q')^-1 root
            inverse, noise = _refined_inverse(host(R), self.eps)
            inverse = inverse * (self.unit / units)[:, None]
            self.root, self.K = inverse.T, inverse.T @ inverse
            self.inverse_noise = float(np.linalg.norm(noise * (self.unit / units)))
        self.noise = 0.0

    def start(self, x: np.ndarray | None = None) -> np.ndarray:
        """Return a design with a regular M: ``x``, or d rows alike, each the farthest from the span so far."""
        if x is not None:
            rows = host_rows(self.xp, self.Q, np.flatnonzero(x)) * np.sqrt(x[x > 0])[:, None]
            if np.linalg.matrix_rank(rows) < self.d:
                raise ValueError(f"x0 must be a design with a regular M, of rank {self.d}, got one of lower rank")
            return x
        left = host(self.xp.sum(self.Q**2, axis=1))
        basis = np.zeros((self.d, self.d))
        x = np.zeros(left.size)
        for k in range(self.d):
            i = int(np.argmax(left))
            x[i] = 1 / self.d
            row = host_rows(self.xp, self.Q, np.array([i]))[0]
            for _ in range(2):
                row = row - (basis @ row) @ basis
            basis[k] = row / np.linalg.norm(row)
            left = left - host(self.Q @ from_numpy(basis[k], self.Q)) ** 2
            left[i] = -math.inf
        return x

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        support = np.flatnonzero(x)
        rows = host_rows(self.xp, self.Q, support) * np.sqrt(x[support])[:, None]
        R: np.ndarray = np.asarray(np.linalg.qr(rows, mode="r"))
        if R.shape[0] < R.shape[1] or not np.all(np.diagonal(R)):
            raise ValueError("A must keep its rank on the support of a design, but rounding has taken it: rescale rows")
        inverse = np.linalg.inv(R)  # P = inverse @ inverse.T
        value = self.shift - 2 * float(np.sum(np.log(np.abs(np.diagonal(R)))))
        factor = inverse if self.root is None else inverse @ (inverse.T @ self.root)
        gradient = -self._squares(factor)
        self.noise = self._noise(inverse, factor, -float(gradient.min()))
        return value if self.root is None else -float(x @ gradient), gradient

    def _noise(self, inverse: np.ndarray, factor: np.ndarray, most: float) -> float:
        """Return a bound of the rounding in value and gap together, ``most`` being the largest score.

        Three things have been rounded: the rows of Q, by ``missed`` in the norm of M^-1; the factor of M, by eps times
        the longest row in units of its shortest axis; and for "A" the inverse of T.
        """
        steepness = float(np.linalg.norm(inverse, 2))
        spread = self.longest * steepness
        missed = float(np.linalg.norm(self.missed @ np.abs(inverse)))
        rounded = 4 * math.sqrt(self.d) * self.eps * spread
        if self.root is None:
            return most * (6 * missed + rounded) + self.shift_noise
        missed += float(np.linalg.norm(self.missed @ np.abs(factor))) / math.sqrt(most)
        lost = spread * steepness * self.inverse_noise / math.sqrt(most)
        return most * (2 * (3 + spread + 2 * math.sqrt(self.d)) * missed + 6 * lost + 3 * rounded)

    def _squares(self, factor: np.ndarray) -> np.ndarray:
        Y = self.Q @ from_numpy(factor, self.Q)
        return host(self.xp.sum(Y * Y, axis=1))

    def improve(
        self,
        chosen: np.ndarray,
        x: np.ndarray,
        gradient: np.ndarray,  # noqa: ARG002  # the exchanges make their own
        tolerance: float,
    ) -> np.ndarray:
        exchange: Any = kernel("exchange_design", np)
        rows = host_rows(self.xp, self.Q, chosen)
        few = len(chosen) <= _FEW
        try:
            for _ in range(1 if few else _INVERSIONS):
                x, steps = exchange(rows, x, self.K, tolerance, _EXCHANGES)
                if steps < _EXCHANGES:
                    return x
            return newton_design(rows, x, self.K, tolerance) if few else x
        except np.linalg.LinAlgError:  # the design has become as good as singular: the last one stays
            return x

    def scale(self, value: float) -> float:
        return float(self.d) if self.criterion == "D" else abs(value)

    def rounding(self) -> float:
        return self.noise


def _refined(xp: Any, B: Any, Q: Any, R: Any, enough: float) -> tuple[Any, np.ndarray]:
    """Return Q, nearer to B R^-1 than its condition allows in one precision, and a bound of its error by column.

    Up to a condition of ``enough`` it is left as it is.
    """
    X, eps = np.linalg.inv(host(R)), epsilon(B)
    spread = float(np.linalg.norm(X)) * float(np.linalg.norm(host(R)))
    if spread <= enough:
        return Q, np.full(X.shape[0], 2 * eps * spread)
    inverse = from_numpy(X, B)
    for _ in range(_REFINEMENTS):
        E, noise = _residual(xp, B, Q, R)
        step = E @ inverse
        Q = Q + step
        missed = host(xp.max(xp.abs(step), axis=0))
        if float(missed.max()) <= 4 * eps:  # as much as the rounding of Q itself
            break
    return Q, missed + noise @ np.abs(X) + eps * host(xp.max(xp.abs(Q), axis=0))


def _refined_inverse(R: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Return R^-1, and a bound of the norm of the error of each of its rows."""
    X = np.linalg.inv(R)
    for _ in range(_REFINEMENTS):
        F, noise = _residual(numpy_namespace, np.eye(R.shape[0]), R, X)
        step = X @ F
        X = X + step
        error, size = np.linalg.norm(step, axis=1), np.linalg.norm(X, axis=1)
        if np.all(error <= 4 * eps * size):
            break
    return X, error + eps * size + np.sum(np.abs(X), axis=1) * float(np.linalg.norm(noise))


def _residual(xp: Any, B: Any, Q: Any, R: Any) -> tuple[Any, np.ndarray]:
    """Return B - Q R beyond the digits of the dtype, and its rounding in each column.

    The leading halves of Q, by rows, and R, by columns, have so few bits that their product is exact; it takes the
    leading digits of B away.
    """
    bits = (round(-math.log2(epsilon(B))) - 2 - math.frexp(R.shape[0])[1]) // 2
    high, low = _halves(xp, Q, 1, bits)
    top, rest = _halves(xp, R, 0, bits)
    noise = 4 * epsilon(B) * R.shape[0] * 2.0**-bits * host(xp.max(xp.abs(R), axis=0)) * scalar(xp.max(xp.abs(Q)))
    return ((B - high @ top) - high @ rest) - low @ R, noise


def _halves(xp: Any, X: Any, axis: int, bits: int) -> tuple[Any, Any]:
    """Return the multiples of 2^-bits of the largest entry along ``axis`` nearest to X, and what is left."""
    largest = host(xp.max(xp.abs(X), axis=axis, keepdims=True))
    unit = from_numpy(np.exp2(np.frexp(largest)[1] - bits), X)
    high = xp.round(X / unit) * unit
    return high, X - high
