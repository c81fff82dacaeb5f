"""The smallest ball around points: a quadratic over the simplex whose gradient is minus the squared distances."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lina._core.array import from_numpy, scalar
from lina._core.kernels import kernel
from lina.simplex._data import computing, host, host_rows, open_matrix, power_of_two, scaled
from lina.simplex._result import SimplexResult
from lina.simplex._working_set import EPS, HELD, Callback, check_start, check_stopping, descend, in_unit, result_fields

# New points after each pass: a pass costs n d, a point in the working set only its column of the Gram matrix.
_WIDTH = 16


@dataclass(frozen=True, repr=False)
class EnclosingBall(SimplexResult):
    """A ball around points, with a bound of how much smaller the smallest one can be.

    ``x`` are the weights of the points whose mean is the center; ``value`` is minus the squared radius that they prove
    to be necessary, ``value - gap`` minus the squared radius of the ball found, ``support`` the core set.

    Attributes
    ----------
    center : array, shape (d,)
        In the library of the points.
    radius : float
        The largest distance from ``center``, as returned, to a point.
    radius_bound : float
        No ball with a smaller radius contains all points: sqrt(-value).
    """

    center: Any = None
    radius: float = math.nan
    radius_bound: float = math.nan


def min_enclosing_ball(
    X: Any,
    *,
    x0: Any = None,
    rtol: float = 1e-6,
    max_iterations: int = 1000,
    callback: Callback | None = None,
    history: bool = False,
) -> EnclosingBall:
    """Find the smallest ball that contains the points X[i], with a certified gap of its squared radius.

    Parameters
    ----------
    X : array_like, shape (n, d)
        The points, real and finite. They may repeat.
    x0 : array_like, shape (n,), or SimplexResult, optional
        Weights to start from, non-negative with sum 1: those of an earlier result. Where they lead to a point from
        which nothing moves, the iteration goes on as without them.
    rtol : float
        Stop when the squared radius exceeds what is proved necessary by no more than this part of it. 0 asks for all
        that rounding allows.
    max_iterations : int
        Most passes over the points.
    callback : callable, optional
        Is given each `Step`; a true answer stops.
    history : bool
        Keep the steps.

    Returns
    -------
    EnclosingBall
        A `SimplexResult` with ``center``, ``radius``, ``radius_bound``; its ``support`` is the core set.

    Raises
    ------
    TypeError
        If ``X`` is no dense array of real numbers.
    ValueError
        If ``X`` is not a finite nonempty matrix with values, or an option is out of range.
    OverflowError
        If the squared radius exceeds the range of float64.
    GradientError
        If a torch tensor of the data requires a gradient: there is none.

    Notes
    -----
    The ball of weights w has the center c = X^T w, and the mean of the squared distances from c is a lower bound
    of its squared radius: the dual problem, whose Frank-Wolfe gap is the largest squared distance less that bound.
    After each pass over the points the dual is solved exactly on those that carry weight and the farthest others, 16 or
    half as many as carry weight. Points are taken relative to their mean first: a common offset costs no digits but its
    own.

    Cost 2 n d flops a pass; one copy of the points in float64. At most d + 1 points carry weight. A few tens of
    dimensions take 3 to 10 passes to rounding. Points that lie at the same distance from the center but for
    rounding, as 20 000 unit vectors of 128 entries in single precision, take 8 passes to ``rtol`` 1e-6 and hundreds to
    1e-7.

    References
    ----------
    Badoiu and Clarkson, Comput. Geom. 40 (2008) 14; Yildirim, SIAM J. Optim. 19 (2008) 1368.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import min_enclosing_ball
    >>> ball = min_enclosing_ball(np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [1.0, 0.5]]))
    >>> ball.center, ball.radius
    (array([1., 0.]), 1.0)
    >>> ball.gap <= 1e-6, ball.support
    (True, array([0, 1]))
    """
    xp, X = open_matrix(X, "X", "min_enclosing_ball")
    stopping = check_stopping(rtol, max_iterations, callback, history)
    problem = _Ball(*computing(xp, X))
    found = descend(problem, check_start(x0, X.shape[0]), stopping, width=_WIDTH)
    fields = result_fields(problem, found, xp, X, rtol=stopping.rtol, method="working set + active set")
    return EnclosingBall(**in_unit(fields, problem.unit, 2, "X"), **problem.ball(fields["x"], X))


class _Ball:
    """F(w) = -sum w_i norm(x_i - c)^2 at c = X^T w; on the simplex its gradient is minus the squared distances."""

    kind, held = "active set", HELD

    def __init__(self, xp: Any, X: Any) -> None:
        self.xp, self.unit = xp, power_of_two(xp, X)
        P = scaled(xp, X, self.unit)
        first = P[0, :]
        self.mean = first + xp.mean(P - first, axis=0)  # points that are all the same are exactly at it
        self.P = P - self.mean
        self.squares = xp.sum(self.P**2, axis=1)
        self.largest = scalar(xp.max(self.squares))

    def start(self, x: np.ndarray | None = None) -> np.ndarray:
        """Return ``x``, or half the weight on the point farthest from the mean, half on that farthest from it."""
        if x is not None:
            return x
        x = np.zeros(self.P.shape[0])
        first = int(self.xp.argmax(self.squares))
        x[first] = 0.5
        x[int(np.argmax(self._distances(host_rows(self.xp, self.P, np.array([first]))[0])))] += 0.5
        return x

    def _distances(self, center: np.ndarray) -> np.ndarray:
        c = from_numpy(center, self.P)
        return np.maximum(host(self.squares - 2 * (self.P @ c)) + float(center @ center), 0.0)

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        support = np.flatnonzero(x)
        distances = self._distances(x[support] @ host_rows(self.xp, self.P, support))
        return 0.0 - float(x @ distances), -distances

    def improve(self, chosen: np.ndarray, x: np.ndarray, gradient: np.ndarray, tolerance: float) -> np.ndarray:
        P = host_rows(self.xp, self.P, chosen)
        P = P - x @ P  # near the center the Gram matrix keeps the digits that distances need
        G = P @ P.T
        solve: Any = kernel("active_set_qp", np)
        return solve(2 * G, gradient - 2 * (G @ x), x, tolerance)[0]

    def scale(self, value: float) -> float:
        return abs(value)

    def rounding(self) -> float:
        return 8 * EPS * self.largest

    def ball(self, x: Any, like: Any) -> dict[str, Any]:
        """Return center, radius and its bound; the radius is measured from the center as it is rounded."""
        xp, weights = self.xp, host(x) / np.sum(host(x))
        c = from_numpy(weights, self.P) @ self.P
        rounded = from_numpy(host((c + self.mean) * self.unit), like)
        off = self.P - (from_numpy(host(rounded), self.P) / self.unit - self.mean)
        radius = math.sqrt(scalar(xp.max(xp.sum(off**2, axis=1))))
        value, _ = self.evaluate(weights)
        facts = {"radius": radius * self.unit, "radius_bound": math.sqrt(max(-value, 0.0)) * self.unit}
        return {"center": rounded, **facts}
