"""Maximum-likelihood proportions of a mixture of known components, by sequential quadratic programming."""

import math
from typing import Any

import numpy as np

from lina._core.array import check_finite, from_numpy, open_door, refuse_gradient, scalar, to_numpy
from lina._core.kernels import kernel
from lina.simplex._data import check_data, check_shape, computing, host, indices_like, plain
from lina.simplex._result import SimplexResult
from lina.simplex._working_set import EPS, HELD, Callback, check_start, check_stopping, descend, result_fields

# New components after each pass, and Newton steps on the working set between two passes.
_WIDTH, _NEWTON_STEPS = 16, 10

# A Newton step that changes no density by more than this part of it decreases F: u - log(1 + u) is nearly u^2 / 2.
_SMALL_CHANGE = 0.2

# A start from which a step towards that of few components gains more than this at first, in natural units of
# log-likelihood per observation, gives some observation next to nothing: near this pole quadratic models say nothing.
_STEEP = 10.0

# A component explains an observation, as far as the start is concerned, with this part of the largest likelihood.
_EXPLAINS = 0.1


def mixture_proportions(
    likelihood: Any = None,
    *,
    x0: Any = None,
    log_likelihood: Any = None,
    weights: Any = None,
    rtol: float = 1e-6,
    max_iterations: int = 1000,
    callback: Callback | None = None,
    history: bool = False,
) -> SimplexResult:
    """Estimate the proportions x of known components that make the observations likeliest, with a certified gap.

    Minimises F(x) = -sum_i weights_i log (L x)_i over the simplex, L_ij the density of component j at observation i
    and the weights of sum 1: the negative log-likelihood per observation.

    Parameters
    ----------
    likelihood : array_like, shape (n, m)
        L, non-negative and finite, with a positive entry in every row. Rows may have any scale of their own.
    x0 : array_like, shape (m,), or SimplexResult, optional
        Where to start, non-negative with sum 1; it must give every observation a positive likelihood. Where it leads
        to a point from which nothing moves, the iteration goes on as without it.
    log_likelihood : array_like, shape (n, m)
        log L in place of L; -inf is a likelihood of zero.
    weights : array_like, shape (n,), optional
        Non-negative numbers of times that each row was observed, divided by their sum. By default all the same.
    rtol : float
        Stop when the gap is at most ``rtol``, in natural units of log-likelihood per observation: no proportions are
        likelier by more.
    max_iterations : int
        Most passes over all components.
    callback : callable, optional
        Is given each `Step`; a true answer stops.
    history : bool
        Keep the steps.

    Returns
    -------
    SimplexResult
        ``x`` are the proportions, mostly exact zeros, ``value`` is F(x). ``relative_gap`` is ``gap``, as the value
        itself depends on the unit of the densities.

    Raises
    ------
    TypeError
        If an argument is no dense array of real numbers, or their libraries differ.
    ValueError
        If not exactly one of the two forms is given, it is no nonempty matrix with values, has NaN, +inf or negative
        entries or a row without a positive likelihood, or another argument is out of range.
    GradientError
        If a torch tensor of the data requires a gradient: there is none.

    Notes
    -----
    The gap is max_j sum_i weights_i L_ij / (L x)_i - 1. After each pass over L, Newton steps are taken on the
    components that carry weight and those of least gradient: quadratic programs solved exactly by an active set, each
    followed by an exact line search. Convergence is quadratic, where that of expectation maximisation is sublinear.

    Cost 4 n m flops a pass, and n k^2 a Newton step with k components in the working set; two copies of L in float64.

    References
    ----------
    Kim, Carbonetto, Stephens, Anitescu, J. Comput. Graph. Statist. 29 (2020) 261 (mixsqp); Koenker and Mizera, J. Amer.
    Statist. Assoc. 109 (2014) 674.

    Examples
    --------
    Seven observations that only the first component explains, three that only the second does.

    >>> import numpy as np
    >>> from lina.simplex import mixture_proportions
    >>> r = mixture_proportions(np.array([[0.5, 0.0, 0.1], [0.0, 2.0, 0.1]]), weights=np.array([7.0, 3.0]))
    >>> r.x.round(6), r.gap <= 1e-6
    (array([0.7, 0.3, 0. ]), True)
    """
    xp, given, problem = _open(likelihood, log_likelihood, weights)
    stopping = check_stopping(rtol, max_iterations, callback, history)
    found = descend(problem, check_start(x0, given.shape[1]), stopping, width=_WIDTH)
    return SimplexResult(**result_fields(problem, found, xp, given, rtol=stopping.rtol, method="working set + SQP"))


def _open(likelihood: Any, log_likelihood: Any, weights: Any) -> tuple[Any, Any, "_Mixture"]:
    """Return the namespace of the matrix, the matrix given, and the problem in units of its rows."""
    if (likelihood is None) == (log_likelihood is None):
        found = "neither" if likelihood is None else "both"
        raise TypeError(f"likelihood must be given or log_likelihood, got {found}")
    name = "likelihood" if log_likelihood is None else "log_likelihood"
    arrays = {name: likelihood if log_likelihood is None else log_likelihood}
    xp, given, *more = open_door(**arrays, **({} if weights is None else {"weights": weights}))
    check_shape(xp, given, name)
    refuse_gradient("mixture_proportions", **{name: given}, **dict(zip(["weights"], more, strict=False)))
    inner, matrix, *more = computing(xp, given, *more)
    L, logs = _from_likelihood(inner, matrix) if log_likelihood is None else _from_logs(inner, matrix)
    w = _check_weights(inner, more[0], given.shape[0]) if more else inner.ones_like(L[:, 0]) / given.shape[0]
    return xp, given, _Mixture(inner, L, host(logs), w)


def _from_likelihood(xp: Any, likelihood: Any) -> tuple[Any, Any]:
    check_finite(xp, likelihood, "likelihood")
    L = plain(xp, likelihood)
    if scalar(xp.min(L)) < 0:
        raise ValueError(f"likelihood must be non-negative, got an entry of {scalar(xp.min(L)):g}")
    top = xp.max(L, axis=1)
    _check_rows(top > 0, "likelihood", "positive")
    return L / top[:, None], xp.log(top)


def _from_logs(xp: Any, log_likelihood: Any) -> tuple[Any, Any]:
    logs = plain(xp, log_likelihood)
    check_finite(xp, xp.where(logs == -math.inf, 0.0, logs), "log_likelihood")
    top = xp.max(logs, axis=1)
    _check_rows(top > -math.inf, "log_likelihood", "finite")
    return xp.exp(logs - top[:, None]), top


def _check_rows(right: Any, name: str, kind: str) -> None:
    wrong = np.flatnonzero(~to_numpy(right))
    if wrong.size:
        found = f"{wrong.size} without, the first is row {wrong[0]}"
        raise ValueError(f"{name} must have a {kind} entry in every row, got {found}")


def _check_weights(xp: Any, weights: Any, n: int) -> Any:
    check_data(xp, weights, "weights", ndim=1)
    if weights.shape[0] != n:
        raise ValueError(f"weights must have one entry per row, {n}, got {weights.shape[0]}")
    w = plain(xp, weights)
    total = scalar(xp.sum(w))
    if scalar(xp.min(w)) < 0 or not 0 < total < math.inf:
        raise ValueError(f"weights must be non-negative with a positive, finite sum, got the sum {total:g}")
    return w / total


class _Mixture:
    """F(x) = -sum w_i (log (L x)_i + logs_i)."""

    kind, held = "newton", HELD

    def __init__(self, xp: Any, L: Any, logs: np.ndarray, w: Any) -> None:
        self.xp, self.L, self.w = xp, L, w
        self.shift, self.shift_size = float(host(w) @ logs), float(host(w) @ np.abs(logs))
        self.steepest, self.size = 0.0, 0.0

    def start(self, x: np.ndarray | None = None) -> np.ndarray:
        """Return the same weight on few components that explain every observation, or ``x``, moved there if need be."""
        few = self._few()
        if x is None:
            return few
        z = self.L @ from_numpy(x, self.L)
        if scalar(self.xp.min(z)) <= 0:
            raise ValueError("x0 must give every observation a positive likelihood, got zero for some")
        with np.errstate(over="ignore"):
            change = self.L @ from_numpy(few - x, self.L) / z
        gain = scalar(self.xp.sum(self.w * change))
        if not math.isfinite(gain):
            return few
        return x if gain <= _STEEP else x + self._length(change) * (few - x)

    def _few(self) -> np.ndarray:
        """Return the same weight on few components that together explain every observation."""
        explained = self.xp.astype(self.L >= _EXPLAINS, self.L.dtype)
        left = self.xp.ones_like(self.w)
        x = np.zeros(self.L.shape[1])
        while scalar(self.xp.max(left)) > 0:
            j = int(self.xp.argmax(left @ explained))
            x[j] = 1.0
            left = left * (1 - explained[:, j])
        return x / x.sum()

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        z = self.L @ from_numpy(x, self.L)
        gradient = -host((self.w / z) @ self.L)
        terms = self.w * self.xp.log(z)
        self.steepest, self.size = -float(gradient.min()), float(self.xp.sum(self.xp.abs(terms)))
        return -float(self.xp.sum(terms)) - self.shift, gradient

    def improve(self, chosen: np.ndarray, x: np.ndarray, gradient: np.ndarray, tolerance: float) -> np.ndarray:
        xp = self.xp
        solve: Any = kernel("active_set_qp", np)
        L = xp.take(self.L, indices_like(chosen, self.L, xp), axis=1)
        z = L @ from_numpy(x, L)
        for _ in range(_NEWTON_STEPS):
            scaled = L * (xp.sqrt(self.w) / z)[:, None]
            Q = host(xp.matrix_transpose(scaled) @ scaled)
            y = solve(Q, gradient - Q @ x, x, 0.1 * tolerance)[0]
            x = x + self._length(L @ from_numpy(y - x, L) / z) * (y - x)
            z = L @ from_numpy(x, L)
            gradient = -host((self.w / z) @ L)
            if float(x @ (gradient - gradient.min())) <= tolerance:
                break
        return x

    def _length(self, change: Any) -> float:
        """Return the t in (0, 1] that minimises -sum w log(1 + t change), by Newton's method within a bracket."""
        xp, low, high, t = self.xp, 0.0, 1.0, 1.0
        if scalar(xp.max(xp.abs(change))) <= _SMALL_CHANGE:
            return 1.0
        for _ in range(50):
            below = 1 + t * change
            inside = scalar(xp.min(below)) > 0
            ratio = change / xp.where(below > 0, below, 1.0)
            slope = -scalar(xp.sum(self.w * ratio)) if inside else math.inf
            if slope <= 0 and (t == 1.0 or slope > -1e-3 * scalar(xp.sum(self.w * ratio**2)) * t):
                return t
            low, high = (t, high) if slope <= 0 else (low, t)
            step = t - slope / scalar(xp.sum(self.w * ratio**2)) if inside else 0.0
            t = step if low < step < high else (low + high) / 2
        return low

    def scale(self, value: float) -> float:  # noqa: ARG002  # the value depends on the unit of the densities
        return 1.0

    def rounding(self) -> float:
        """Return that of the gradient, and that of the value, which is a sum of logarithms of any size."""
        return EPS * (4 * self.steepest + 4 * self.size + 4 * self.shift_size + 4)
