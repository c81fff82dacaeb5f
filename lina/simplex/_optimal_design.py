"""Optimal designs of experiments: how often to measure at each candidate point, D- and A-optimal."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lina._core.array import check_option, epsilon, from_numpy
from lina._core.kernels import kernel
from lina.simplex._data import host, host_rows, open_matrix, scaled
from lina.simplex._gap import widen
from lina.simplex._result import SimplexResult
from lina.simplex._working_set import EPS, Callback, check_start, check_stopping, descend, in_unit, result_fields

CRITERIA = ("D", "A")

# Exchanges between two inversions of the information matrix, and inversions between two passes.
_EXCHANGES, _INVERSIONS = 500, 8


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
    exchanges. The rows are orthogonalised first, so that neither the units of the regressors nor a basis matter.

    Cost 2 n d^2 flops once and as much a pass, about 10 to 50 passes; two copies of ``A`` in float64.

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
    problem = _Design(xp, A, criterion)
    start = check_start(x0, A.shape[0])
    found = descend(problem, problem.start(start), stopping, width=2 * A.shape[1])
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
    """The criterion over the rows of Q in A = Q T, which are orthonormal columns: M = T^T (sum w_i q_i q_i^T) T."""

    kind = "exchange"

    def __init__(self, xp: Any, A: Any, criterion: str) -> None:
        self.xp, self.criterion, (n, self.d) = xp, criterion, A.shape
        largest = host(xp.max(xp.abs(A), axis=0))
        units = 2.0 ** np.minimum(np.frexp(np.where(largest > 0, largest, 1.0))[1], 1023)
        B = scaled(xp, A, 1.0) / from_numpy(units, widen(xp, A[:1, :1]))
        if n < self.d:
            raise ValueError(f"A must have at least as many rows as columns, got shape {tuple(A.shape)}")
        self.Q, R = xp.linalg.qr(B, mode="reduced")
        R = host(R)
        singular = np.linalg.svd(R, compute_uv=False)
        rank = int(np.sum(singular > n * epsilon(B) * singular[0]))
        if rank < self.d:
            raise ValueError(f"A must have rank d = {self.d}, so that some design has a regular M, got rank {rank}")
        self.shift = -2 * float(np.sum(np.log(np.abs(np.diagonal(R)))) + np.sum(np.log(units)))
        self.unit = float(units.max())
        inverse = np.linalg.inv(R * (units / self.unit))
        self.root = inverse.T if criterion == "A" else None  # trace M^-1 = trace root' (sum w q q')^-1 root
        self.K = inverse.T @ inverse if criterion == "A" else None
        self.noise = 0.0

    def start(self, x: np.ndarray | None) -> np.ndarray:
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
        gradient = -self._squares(inverse if self.root is None else inverse @ (inverse.T @ self.root))
        self.noise = np.linalg.cond(R) * -float(gradient.min())
        return value if self.root is None else -float(x @ gradient), gradient

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
        for _ in range(_INVERSIONS):
            x, steps = exchange(rows, x, self.K, tolerance, _EXCHANGES)
            if steps < _EXCHANGES:
                break
        return x

    def scale(self, value: float) -> float:
        return float(self.d) if self.criterion == "D" else abs(value)

    def rounding(self) -> float:
        return 4 * EPS * self.noise
