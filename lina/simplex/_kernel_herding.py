"""Few points that stand for many: kernel herding, and quantisation with optimal weights, by the mean discrepancy."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lina._core.array import check_finite, open_door, refuse_gradient, scalar
from lina._core.certificates import Status
from lina._core.checks import check_rank, check_tolerance
from lina._core.kernels import kernel as kernel_of
from lina.simplex._data import check_data, computing, host, host_rows, indices_like, open_matrix, power_of_two, scaled
from lina.simplex._growing_face import GrowingFace
from lina.simplex._result import SimplexResult
from lina.simplex._working_set import EPS, HELD, Callback, Found, check_stopping, descend, in_unit, result_fields, visit

Kernel = str | Callable[[Any, Any], Any]
_Columns = Callable[[np.ndarray], np.ndarray]

# Columns of the kernel matrix that are made at once while its mean is taken.
_BLOCK = 256

# Up to so many features distances by differences cost no more than the exponential of them; above, they are left to
# matrix products where the kernel loses at most this to rounding.
_FEW_FEATURES, _PRODUCTS_NOISE = 8, 1e-12


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
    and 5 k^3 in all, and k^3 / 3 or so more for each point whose weight returns to zero. The matrix is never held,
    unless it is given.

    Gaussian kernels of points that lie far from their mean for the bandwidth take their distances from differences,
    3 d flops an entry. The gap includes their rounding, but not that within a matrix or function that is given.

    References
    ----------
    Bach, Lacoste-Julien and Obozinski, ICML (2012), arXiv:1203.4523; Chen, Welling and Smola, UAI (2010).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import kernel_herding, mmd_quantization
    >>> X = np.linspace(0, 1, 101)[:, None]
    >>> q = mmd_quantization(X, 5)
    >>> q.order, q.mmd < kernel_herding(X, 5).mmd
    (array([50,  0, 99, 20, 77]), True)
    """
    problem, like, k = _open("mmd_quantization", X, k, kernel, bandwidth, weights)
    stopping = check_stopping(rtol, 50 * k, callback, history)
    found = descend(problem, None, stopping, width=1, most=k)
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

    Each point is the one that brings the mean of the sample, itself included, nearest to that of all points in the
    space of the kernel. Any first part of ``order`` is a sample as well.

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
    After t points s the next one is the x of the largest (t + 1) m(x) - sum_s k(x, s) - k(x, x) / 2, m(x) the mean of
    k(x, y) over all points y with their weights. For kernels of constant k(x, x), such as the Gaussian, this is the
    rule of Chen, Welling and Smola: x = argmax w_t(x), then w_(t+1)(x) = w_t(x) + m(x) - k(x, s), from w_0 = m on.

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
    (array([50, 90, 17, 54, 11]), array([0.2, 0.2, 0.2, 0.2, 0.2]))
    """
    problem, like, k = _open("kernel_herding", X, k, kernel, bandwidth, weights, most=2**31)
    counts, order, sums = np.zeros(problem.n), [], 0.5 * problem.diagonal
    for t in range(k):
        order.append(int(np.argmin(sums - (t + 1) * problem.embedding)))
        counts[order[-1]] += 1
        sums = sums + problem.column(order[-1])
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


def _columns(xp: Any, X: Any, kernel: Any, bandwidth: Any) -> tuple[_Columns, float, float]:
    """Return what gives columns (p, n) of the kernel matrix by their indices, their unit, and the rounding in it."""
    if not (isinstance(kernel, str) or callable(kernel)):
        raise TypeError(f"kernel must be 'gaussian', 'precomputed' or a function, got {type(kernel).__name__}")
    if kernel != "gaussian" and bandwidth is not None:
        raise ValueError("bandwidth must be None unless kernel is 'gaussian'")
    if callable(kernel):
        return _Called(xp, X, kernel), 1.0, 0.0
    xp, X = computing(xp, X)
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
        return lambda chosen: host_rows(xp, K, chosen), unit, 0.0
    if kernel != "gaussian":
        raise ValueError(f"kernel must be 'gaussian', 'precomputed' or callable, got {kernel!r}")
    gaussian = _Gaussian(xp, X, bandwidth)
    return gaussian, 1.0, gaussian.noise


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
    """Columns of exp(-norm(x - y)^2 / (2 h^2)), and in ``noise`` the rounding of an entry.

    The squared distances are sums over differences of the points as they are given: norm(x)^2 + norm(y)^2 - 2 x.y,
    which is faster for points of many features, only where it keeps the digits.
    """

    def __init__(self, xp: Any, X: Any, bandwidth: Any) -> None:
        unit = power_of_two(xp, X)
        P = scaled(xp, X, unit)
        centred = P - xp.mean(P, axis=0)
        squares = xp.sum(centred**2, axis=1)
        if bandwidth is None:
            width = math.sqrt(scalar(xp.sum(squares)) / P.shape[0]) or 1.0
        else:
            width = check_tolerance(bandwidth, "bandwidth") / unit
            if width == 0.0:
                raise ValueError("bandwidth must be positive, got 0")
        self.xp, d = xp, P.shape[1]
        self.noise = 2 * EPS * (d + 4) * scalar(xp.max(squares)) / width / width
        self.by_products = d > _FEW_FEATURES and self.noise < _PRODUCTS_NOISE
        if self.by_products:
            self.rate, self.P, self.squares = 0.5, centred / width, squares / width / width
        else:  # a relative error e of the distance t^2 is one of e t^2 exp(-t^2 / 2) / 2, at most e / 2.7
            near = 2.0 ** min(max(math.frexp(width)[1], -1000), 1000)  # division by it is exact
            self.rate, self.P, self.noise = 0.5 / (width / near) ** 2, P / near, 0.4 * EPS * (d + 3)

    def __call__(self, chosen: np.ndarray) -> np.ndarray:
        xp, where = self.xp, indices_like(chosen, self.P, self.xp)
        part = xp.take(self.P, where, axis=0)
        with np.errstate(over="ignore"):  # an infinite distance has the kernel 0
            distances = self._products(part, where) if self.by_products else self._differences(part)
            return host(xp.exp(-self.rate * distances))

    def _products(self, part: Any, where: Any) -> Any:
        squares = self.xp.take(self.squares, where)
        distances = squares[:, None] + self.squares[None, :] - 2 * (part @ self.xp.matrix_transpose(self.P))
        return self.xp.where(distances > 0, distances, 0.0)

    def _differences(self, part: Any) -> Any:
        distances = (part[:, 0][:, None] - self.P[:, 0][None, :]) ** 2
        for j in range(1, self.P.shape[1]):
            distances += (part[:, j][:, None] - self.P[:, j][None, :]) ** 2
        return distances


class _Discrepancy:
    """F(x) = (x - w).K (x - w) / 2, from the columns of K that were asked for."""

    kind, held = "active set", HELD

    def __init__(self, xp: Any, source: tuple[_Columns, float, float], w: np.ndarray) -> None:
        (self.columns, self.unit, self.noise), self.xp, self.w, self.n = source, xp, w, w.size
        self.embedding, self.diagonal = np.zeros(self.n), np.empty(self.n)
        for start in range(0, self.n, _BLOCK):
            chosen = np.arange(start, min(start + _BLOCK, self.n))
            block = self.columns(chosen)
            self.embedding += w[chosen] @ block
            self.diagonal[chosen] = block[chosen - start, chosen]
        self.energy = 0.5 * float(w @ self.embedding)
        self.rows = np.empty((16, self.n))
        self.places: dict[int, int] = {}
        self.face = GrowingFace(self.column)

    def start(self, x: np.ndarray | None = None) -> np.ndarray:
        """Return ``x``, or all the weight on the best single point."""
        if x is not None:
            return x
        x = np.zeros(self.n)
        x[np.argmin(0.5 * self.diagonal - self.embedding)] = 1.0
        return x

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
        weights = self.face.minimise(chosen, x, gradient, tolerance)
        if weights is not None:
            return weights
        Q = np.stack([self.column(i)[chosen] for i in chosen.tolist()])
        solve: Any = kernel_of("active_set_qp", np)
        return solve((Q + Q.T) / 2, gradient - Q @ x, x, tolerance)[0]

    def scale(self, value: float) -> float:
        return max(value, self.energy)

    def rounding(self) -> float:
        exact = 4 * EPS * float(self.diagonal.max() + np.max(np.abs(self.embedding)))
        return exact + 4 * self.noise  # a slope is the difference of two sums, each of entries of weight 2 at most

    def result(self, found: Found, like: Any, rtol: float, method: str, order: list[int]) -> Quantisation:
        """Return the result; the relative gap has no unit."""
        fields = result_fields(self, found, self.xp, like, rtol=rtol, method=method)
        fields = in_unit(fields, self.unit, 1, "X")
        mmd = math.sqrt(2 * fields["value"])
        return Quantisation(**fields, mmd=mmd, order=indices_like(np.array(order), like, self.xp))
