"""Few points that stand for many: kernel herding, and quantisation with optimal weights, by the mean discrepancy."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lina._core.array import check_finite, check_rank, check_tolerance, open_door, refuse_gradient, scalar
from lina._core.certificates import Status
from lina._core.kernels import kernel as kernel_of
from lina.simplex._data import check_data, host, host_rows, indices_like, open_matrix, power_of_two, scaled
from lina.simplex._result import SimplexResult
from lina.simplex._working_set import EPS, Callback, Found, check_stopping, descend, in_unit, result_fields, visit

Kernel = str | Callable[[Any, Any], Any]

# Columns of the kernel matrix that are made at once while its mean is taken.
_BLOCK = 256


@dataclass(frozen=True, repr=False)
class Quantisation(SimplexResult):
    """Weights of some points, and how far their measure is from all the points.

    ``value`` is half the square of the maximum mean discrepancy; ``relative_gap`` is relative to
    that of the target alone.

    Attributes
    ----------
    mmd : float
        The maximum mean discrepancy, the distance of the two means in the space of the kernel; sqrt(eps) of the norm
        of either is all that can be told from zero.
    order : array of int
        The points in the order in which they were chosen; herding can choose one more than once.
    """

    mmd: float = math.nan
    order: Any = None


def mmd_quantization(
    X: Any,
    k: int,
    *,
    kernel: Kernel = "gaussian",
    bandwidth: float | None = None,
    weights: Any = None,
    rtol: float = 1e-6,
    callback: Callback | None = None,
    history: bool = False,
) -> Quantisation:
    """Choose k of the points X[i] and weigh them so that they stand for all, by the maximum mean discrepancy.

    Minimises F(x) = (x - w).K (x - w) / 2 over the simplex, w the weights of all points and K their kernel matrix, by
    fully corrective Frank-Wolfe: the point of least gradient is added, then all weights are made optimal.

    Parameters
    ----------
    X : array_like, shape (n, d)
        The points; with ``kernel="precomputed"`` the matrix K (n, n) itself.
    k : int
        Most points with weight, in 1..n.
    kernel : {"gaussian", "precomputed"} or callable
        "gaussian" is exp(-norm(x - y)^2 / (2 bandwidth^2)). A callable is given two arrays of points (n, d) and (p, d)
        in the library of ``X`` and returns the matrix (n, p) of a positive semidefinite kernel.
    bandwidth : float, optional
        By default the root of the total variance, which is that of half the mean squared distance.
    weights : array_like, shape (n,), optional
        Those of the points that are to be replaced, divided by their sum. By default all the same.
    rtol : float
        Stop at fewer points when the gap is at most ``rtol * w.K w / 2``.
    callback : callable, optional
        Is given each `Step`; a true answer stops.
    history : bool
        Keep the steps.

    Returns
    -------
    Quantisation
        A `SimplexResult` with ``mmd`` and ``order``; ``status`` "max_rank" where k points are used up before the
        tolerance is reached. The gap is that to any weights of all n points.

    Raises
    ------
    TypeError
        If ``X`` is no dense array of real numbers.
    ValueError
        If ``X`` is not a finite nonempty matrix with values, a kernel matrix is not square and symmetric, a kernel
        gives another shape than it should, or an option is out of range.
    GradientError
        If a torch tensor of the data requires a gradient: there is none.

    Notes
    -----
    Cost: the kernel matrix once, in blocks of 256 columns, for its mean; then n k numbers of it, 2 n k flops a point
    and k^3 / 3 in all. The matrix is never held, unless it is given.

    References
    ----------
    Bach, Lacoste-Julien and Obozinski, ICML (2012), arXiv:1203.4523; Chen, Welling and Smola, UAI (2010).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import kernel_herding, mmd_quantization
    >>> X = np.linspace(0, 1, 101)[:, None]
    >>> q = mmd_quantization(X, 3)
    >>> q.order, q.mmd < kernel_herding(X, 3).mmd
    (array([50,  0, 99]), True)
    """
    problem, like, k = _open("mmd_quantization", X, k, kernel, bandwidth, weights)
    stopping = check_stopping(rtol, 50 * k, callback, history)
    x = np.zeros(problem.n)
    x[problem.first()] = 1.0
    found = descend(problem, x, stopping, width=1, most=k)
    order = [i for i in problem.places if found.x[i] > 0]
    return problem.result(found, like, stopping.rtol, "fully corrective", order)


def kernel_herding(
    X: Any,
    k: int,
    *,
    kernel: Kernel = "gaussian",
    bandwidth: float | None = None,
    weights: Any = None,
) -> Quantisation:
    """Choose k of the points X[i], with repetition and the same weight each, so that they stand for all.

    Frank-Wolfe with steps 1 / t: each point is that of the least gradient of the maximum mean discrepancy, where the
    points so far are fewest for what they should be. Any first part of ``order`` is a sample as well.

    Parameters
    ----------
    X, kernel, bandwidth, weights
        As in `mmd_quantization`.
    k : int
        Number of points, at least 1; it may exceed n.

    Returns
    -------
    Quantisation
        ``x`` holds multiples of 1 / k; ``status`` is "max_rank".

    Raises
    ------
    TypeError, ValueError, GradientError
        As `mmd_quantization`.

    Notes
    -----
    The discrepancy falls like 1 / k at best, where that of a random sample falls like 1 / sqrt(k). Cost as there, with
    a column of the kernel matrix and n flops a point.

    References
    ----------
    Chen, Welling and Smola, UAI (2010).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import kernel_herding
    >>> sample = kernel_herding(np.linspace(0, 1, 101)[:, None], 5)
    >>> sample.order, sample.x[sample.support]
    (array([50,  0, 91, 43, 81]), array([0.2, 0.2, 0.2, 0.2, 0.2]))
    """
    problem, like, k = _open("kernel_herding", X, k, kernel, bandwidth, weights, most=2**31)
    counts, order, sums = np.zeros(problem.n), [problem.first()], np.zeros(problem.n)
    for t in range(1, k + 1):
        counts[order[-1]] += 1
        sums = sums + problem.column(order[-1])
        if t < k:
            order.append(int(np.argmin(sums / t - problem.embedding)))
    found = visit(problem, counts / k)
    found.status, found.iterations, found.evaluations = Status.MAX_RANK, k, k
    return problem.result(found, like, 0.0, "herding", order)


def _open(
    function: str, X: Any, k: Any, kernel: Any, bandwidth: Any, weights: Any, most: int | None = None
) -> tuple["_Discrepancy", Any, int]:
    """Return the problem, the array whose library and dtype the answer takes, and the number of points."""
    xp, X = open_matrix(X, "X", function)
    n = X.shape[0]
    k = check_rank(k, most or n, what="n" if most is None else "2^31")
    refuse_gradient(function, weights=weights)
    w = np.full(n, 1 / n) if weights is None else _check_weights(weights, n)
    return _Discrepancy(xp, _columns(xp, X, kernel, bandwidth), w), X, k


def _check_weights(weights: Any, n: int) -> np.ndarray:
    xp, w = open_door(weights=weights)
    check_data(xp, w, "weights", ndim=1)
    w = host(w)
    if w.size != n:
        raise ValueError(f"weights must have one entry per point, {n}, got {w.size}")
    total = float(np.sum(w))
    if w.min() < 0 or not 0 < total < math.inf:
        raise ValueError(f"weights must be non-negative with a positive, finite sum, got the sum {total:g}")
    return w / total


def _columns(xp: Any, X: Any, kernel: Any, bandwidth: Any) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """Return what gives columns (p, n) of the kernel matrix by their indices, and the unit in which they are."""
    if kernel != "gaussian" and bandwidth is not None:
        raise ValueError("bandwidth must be None unless kernel is 'gaussian'")
    if callable(kernel):
        return _Called(xp, X, kernel), 1.0
    if kernel == "precomputed":
        unit = power_of_two(xp, X)
        K = scaled(xp, X, unit)
        n = K.shape[0]
        if K.shape[1] != n:
            raise ValueError(f"X must be square with kernel='precomputed', got shape {tuple(K.shape)}")
        if scalar(xp.max(xp.abs(K - xp.matrix_transpose(K)))) > 1e-6:
            raise ValueError(
                "X must be symmetric with kernel='precomputed', got entries that differ from their mirror images"
            )
        return lambda chosen: host_rows(xp, K, chosen), unit
    if kernel != "gaussian":
        raise ValueError(f"kernel must be 'gaussian', 'precomputed' or callable, got {kernel!r}")
    return _Gaussian(xp, X, bandwidth), 1.0


class _Called:
    """Columns of a kernel that is a function of two arrays of points."""

    def __init__(self, xp: Any, X: Any, function: Callable[[Any, Any], Any]) -> None:
        self.xp, self.X, self.function = xp, X, function

    def __call__(self, chosen: np.ndarray) -> np.ndarray:
        part = self.xp.take(self.X, indices_like(chosen, self.X, self.xp), axis=0)
        K = self.function(self.X, part)
        wanted = (self.X.shape[0], len(chosen))
        if tuple(getattr(K, "shape", ())) != wanted:
            raise ValueError(f"kernel must return a matrix of shape {wanted}, got {tuple(getattr(K, 'shape', ()))}")
        check_finite(self.xp, K, "kernel")
        return host(K).T


class _Gaussian:
    """Columns of exp(-norm(x - y)^2 / (2 h^2)), the points taken relative to their mean."""

    def __init__(self, xp: Any, X: Any, bandwidth: Any) -> None:
        unit = power_of_two(xp, X)
        P = scaled(xp, X, unit)
        P = P - xp.mean(P, axis=0)
        variance = scalar(xp.sum(P**2)) / P.shape[0]
        if bandwidth is None:
            width = math.sqrt(variance) or 1.0
        else:
            width = check_tolerance(bandwidth, "bandwidth") / unit
            if width == 0.0:
                raise ValueError("bandwidth must be positive, got 0")
        self.xp, self.P = xp, P / width
        self.squares = xp.sum(self.P**2, axis=1)

    def __call__(self, chosen: np.ndarray) -> np.ndarray:
        xp, where = self.xp, indices_like(chosen, self.P, self.xp)
        part, squares = xp.take(self.P, where, axis=0), xp.take(self.squares, where)
        distances = squares[:, None] + self.squares[None, :] - 2 * (part @ xp.matrix_transpose(self.P))
        return host(xp.exp(-0.5 * xp.where(distances > 0, distances, 0.0)))


class _Discrepancy:
    """F(x) = (x - w).K (x - w) / 2, from the columns of K that were asked for."""

    kind = "active set"

    def __init__(self, xp: Any, source: tuple[Callable[[np.ndarray], np.ndarray], float], w: np.ndarray) -> None:
        (self.columns, self.unit), self.xp, self.w, self.n = source, xp, w, w.size
        self.embedding, self.diagonal = np.zeros(self.n), np.empty(self.n)
        for start in range(0, self.n, _BLOCK):
            chosen = np.arange(start, min(start + _BLOCK, self.n))
            block = self.columns(chosen)
            self.embedding += w[chosen] @ block
            self.diagonal[chosen] = block[chosen - start, chosen]
        self.energy = 0.5 * float(w @ self.embedding)
        self.rows = np.empty((16, self.n))
        self.places: dict[int, int] = {}

    def first(self) -> int:
        """Return the best single point."""
        return int(np.argmin(0.5 * self.diagonal - self.embedding))

    def column(self, i: int) -> np.ndarray:
        """Return a column of K, from memory where it was asked for before."""
        if i not in self.places:
            if len(self.places) == self.rows.shape[0]:
                self.rows = np.concatenate([self.rows, np.empty_like(self.rows)])
            self.rows[len(self.places)] = self.columns(np.array([i]))[0]
            self.places[i] = len(self.places)
        return self.rows[self.places[i]]

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        for i in np.flatnonzero(x).tolist():
            self.column(i)
        known = np.fromiter(self.places, dtype=np.int64)
        gradient = x[known] @ self.rows[: known.size] - self.embedding
        value = 0.5 * float((x - self.w) @ gradient)
        if value < -self.rounding():
            raise ValueError(f"kernel must be positive semidefinite, found a squared distance of {2 * value:.3g}")
        return max(value, 0.0), gradient

    def improve(self, chosen: np.ndarray, x: np.ndarray, gradient: np.ndarray, tolerance: float) -> np.ndarray:
        Q = np.stack([self.column(i)[chosen] for i in chosen.tolist()])
        solve: Any = kernel_of("active_set_qp", np)
        return solve((Q + Q.T) / 2, gradient - Q @ x, x, tolerance)[0]

    def scale(self, value: float) -> float:
        return max(value, self.energy)

    def rounding(self) -> float:
        return 4 * EPS * float(self.diagonal.max() + np.max(np.abs(self.embedding)))

    def result(self, found: Found, like: Any, rtol: float, method: str, order: list[int]) -> Quantisation:
        """Return the result; the relative gap has no unit."""
        fields = result_fields(self, found, self.xp, like, rtol=rtol, method=method)
        fields = in_unit(fields, self.unit, 1, "X")
        mmd = math.sqrt(2 * fields["value"])
        return Quantisation(**fields, mmd=mmd, order=indices_like(np.array(order), like, self.xp))
