"""The efficient frontier of long-only portfolios: the least variance for every return, each point certified."""

import bisect
import math
import time
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import dtype_name, epsilon, from_numpy, open_door, refuse_gradient, scalar, to_numpy
from lina._core.certificates import Status
from lina.simplex._data import check_data, host, indices_like
from lina.simplex._result import SimplexResult, Step
from lina.simplex._simplex_qp.finish import in_dtype_of
from lina.simplex._simplex_qp.public import simplex_qp
from lina.simplex._working_set import EPS, Callback, Stopping, check_start, check_stopping

_POINTS = 30

# A variance below this part of the least one of a risky asset passes for zero.
_RISKLESS = 1e-6

# Quadratic programs for one return; the bracket of its price is halved at least every second time.
_TRIES = 80


@dataclass(frozen=True, repr=False)
class Frontier(SimplexResult):
    """Portfolios, one per row of ``x`` (p, n), with what each proves about all others.

    ``value`` (p,) are the variances. No portfolio with at least the same return has a variance below ``lower_bound`` =
    ``value - gap``; ``relative_gap`` is relative as ``rtol`` is. ``multiplier`` and ``reduced_costs`` are those of
    the sum and of the weights at the given risk aversion; ``support`` (k, 2) holds pairs of portfolio and asset.

    Attributes
    ----------
    returns : array, shape (p,)
        Expected returns.
    risk : array, shape (p,)
        Standard deviations.
    risk_aversion : array, shape (p,)
        The gamma for which the portfolio minimises gamma x.C x / 2 - mean.x; infinite for the least variance, and at
        least that below which only the largest mean counts.
    """

    returns: Any = None
    risk: Any = None
    risk_aversion: Any = None


def portfolio_frontier(
    covariance: Any = None,
    mean: Any = None,
    *,
    factor: Any = None,
    diagonal: Any = None,
    returns: Any = None,
    risk_aversion: Any = None,
    x0: Any = None,
    rtol: float = 1e-6,
    callback: Callback | None = None,
    history: bool = False,
) -> Frontier:
    """Find long-only portfolios of least variance, for a grid of returns or of risk aversions, each one certified.

    Parameters
    ----------
    covariance : array_like, shape (n, n), optional
        C, symmetric positive semidefinite; or give ``factor``.
    mean : array_like, shape (n,)
        Expected returns of the assets.
    factor, diagonal : array_like, shapes (n, k) and (n,), optional
        C = F F^T + diag(d) in place of ``covariance``; without ``diagonal`` d is 0.
    returns : array_like, shape (p,), optional
        Returns that the portfolios must have at least. By default 30 from that of the least variance to the largest
        mean.
    risk_aversion : array_like, shape (p,), optional
        In place of ``returns``: each portfolio minimises gamma x.C x / 2 - mean.x; positive, may be infinite.
    x0 : array_like, shape (n,) or (k, n), or Frontier, optional
        Portfolios of which the best one is where each quadratic program starts: those of yesterday's frontier.
    rtol : float
        The gap allowed, relative to the variance, or to a millionth of that of the least risky asset, if larger.
    callback : callable, optional
        Is given a `Step` after each program, its value a variance; a true answer leaves the others unsolved.
    history : bool
        Keep the steps.

    Returns
    -------
    Frontier
        A `SimplexResult` whose fields have a leading axis of portfolios, with ``returns``, ``risk``,
        ``risk_aversion``. ``iterations`` counts the quadratic programs solved for each.

    Raises
    ------
    TypeError
        If an argument is no dense array of real numbers, their libraries differ, not exactly one of ``covariance`` and
        ``factor`` is given, or both grids are.
    OverflowError
        If a variance exceeds the range of float64.
    ValueError
        If an array is empty, not finite or of a wrong shape, C is not symmetric or not positive semidefinite, a return
        exceeds every mean, or a risk aversion is not positive.
    GradientError
        If a torch tensor of the data requires a gradient: there is none.

    Notes
    -----
    The frontier is a curve x(t) over t = 1 / gamma, linear between finitely many points, on which the return grows
    with t. Where the solved points around a wanted return lie on one line, the portfolio between them is optimal, and
    its certificate at the price t between theirs proves it; else one more quadratic program is solved there, from the
    portfolio in between. So far-apart returns cost a few programs each and a dense grid little more than products.
    The gap holds for every portfolio with at least the same return, by weak duality.

    Cost as in `simplex_qp` for each program and n k flops for each certificate, k the number of assets held.

    References
    ----------
    Markowitz, J. Finance 7 (1952) 77; Markowitz, Naval Res. Logist. Q. 3 (1956) 111 (the critical line).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import portfolio_frontier
    >>> f = portfolio_frontier(np.diag([1.0, 4.0]), np.array([0.0, 1.0]), returns=np.array([0.0, 0.5, 1.0]))
    >>> f.x.round(6), f.value.round(6)
    (array([[0.8, 0.2],
           [0.5, 0.5],
           [0. , 1. ]]), array([0.8 , 1.25, 4.  ]))
    >>> f.certified, bool(np.all(f.relative_gap <= 1e-6))
    (True, True)
    """
    given = {"covariance": covariance, "factor": factor, "mean": mean, "diagonal": diagonal}
    stopping = check_stopping(rtol, 0, callback, history)
    market, xp, like = _open(given, stopping, x0)
    if returns is not None and risk_aversion is not None:
        raise TypeError("returns or risk_aversion must be None, got both")
    if risk_aversion is not None:
        gammas = _grid(risk_aversion, "risk_aversion")
        if not np.all(gammas > 0):
            raise ValueError(f"risk_aversion must be positive, got {gammas.min()}")
        points = market.at_prices(market.price_of(gammas))
    else:
        points = market.at_returns(None if returns is None else _grid(returns, "returns") / market.return_unit)
    return market.frontier(points, xp, like)


def _open(given: dict[str, Any], stopping: Stopping, x0: Any) -> tuple["_Market", Any, Any]:
    """Return the market, the namespace and the array whose library and dtype the answer takes."""
    if (given["covariance"] is None) == (given["factor"] is None):
        raise TypeError(f"covariance or factor must be given, got {'neither' if given['factor'] is None else 'both'}")
    if given["diagonal"] is not None and given["factor"] is None:
        raise TypeError("diagonal must be None where covariance is given")
    present = {name: value for name, value in given.items() if value is not None or name == "mean"}
    xp, *opened = open_door(**present)
    arrays = dict(zip(present, opened, strict=True))
    for name, value in arrays.items():
        check_data(xp, value, name, ndim=2 if name in ("covariance", "factor") else 1)
    refuse_gradient("portfolio_frontier", **arrays)
    n = opened[0].shape[0]
    if "covariance" in arrays and opened[0].shape[1] != n:
        raise ValueError(f"covariance must be square, got shape {tuple(opened[0].shape)}")
    for name in ("mean", "diagonal"):
        if name in arrays and arrays[name].shape[0] != n:
            raise ValueError(
                f"{name} must have one entry per row of covariance or factor, {n}, got {arrays[name].shape[0]}"
            )
    if "covariance" in arrays:
        off = scalar(xp.max(xp.abs(opened[0] - xp.matrix_transpose(opened[0]))))
        if off > n * epsilon(opened[0]) * scalar(xp.max(xp.abs(opened[0]))):
            raise ValueError(
                f"covariance must be symmetric, got entries that differ by {off:.3g} from the transposed ones"
            )
        _check_semidefinite(host(opened[0]), epsilon(opened[0]))
    data = {name: host(value) for name, value in arrays.items()}
    if "diagonal" in data and np.any(data["diagonal"] < 0):
        raise ValueError(f"diagonal must be non-negative, got an entry of {float(np.min(data['diagonal'])):.3g}")
    return _Market(data, stopping, _starts(x0, n)), xp, opened[0]


def _starts(x0: Any, n: int) -> list[np.ndarray]:
    """Return the portfolios to start from, each in float64 with the sum 1."""
    if x0 is None:
        return []
    _, rows = open_door(x0=x0.x if isinstance(x0, SimplexResult) else x0)
    starts = [check_start(row, n) for row in np.atleast_2d(to_numpy(rows))]
    return [x for x in starts if x is not None]


def _check_semidefinite(C: np.ndarray, eps: float) -> None:
    """Raise ValueError unless no portfolio, long or short, has a negative variance beyond rounding; n^3 / 3 flops."""
    largest = float(np.max(np.abs(C)))
    if largest == 0:
        return
    C, rounding = C / largest, 10 * C.shape[0] * eps
    try:
        np.linalg.cholesky(C + rounding * np.eye(C.shape[0]))
    except np.linalg.LinAlgError:
        least = float(np.linalg.eigvalsh(C)[0])
        if least < -rounding:
            found = f"found the eigenvalue {least * largest:.3g}"
            raise ValueError(f"covariance must be positive semidefinite to rounding, {found}") from None


def _grid(values: Any, name: str) -> np.ndarray:
    _, grid = open_door(**{name: values})
    if "complex" in dtype_name(grid):
        raise TypeError(f"{name} must be real, got dtype {dtype_name(grid)}")
    grid = host(grid)
    if grid.ndim != 1 or grid.size == 0:
        raise ValueError(f"{name} must be a nonempty vector, got shape {grid.shape}")
    if np.any(np.isnan(grid)) or (name == "returns" and not np.all(np.isfinite(grid))):
        raise ValueError(f"{name} must be {'finite' if name == 'returns' else 'numbers'}, got NaN or an infinity")
    return grid


class _Point(NamedTuple):
    """A portfolio, its return, the price t at which it is judged, and how many programs it took."""

    price: float
    gain: float
    x: np.ndarray
    programs: int = 0


@dataclass
class _Market:
    """Covariance and means in units of their own, and the points of the frontier solved so far, by price."""

    arrays: dict[str, np.ndarray]
    stopping: Stopping
    starts: list[np.ndarray]
    history: list[Step] = field(default_factory=list)
    stopped: bool = False
    begin: float = field(default_factory=time.perf_counter)
    options: dict[str, Any] = field(default_factory=dict)
    solved: list[_Point] = field(default_factory=list)

    def __post_init__(self) -> None:
        arrays = self.arrays
        mean, factor = arrays["mean"], arrays.get("factor")
        self.return_unit = float(np.max(np.abs(mean))) or 1.0
        self.mean = mean / self.return_unit
        # risks are in units of ``root``, variances in units of its square, which may be beyond the range
        if factor is None:
            self.root = math.sqrt(float(np.max(np.abs(arrays["covariance"])))) or 1.0
            C = arrays["covariance"] / self.root / self.root
            self.options = {"Q": (C + C.T) / 2}
            self.variances = np.diagonal(self.options["Q"])
        else:
            d = arrays.get("diagonal", np.zeros(mean.size))
            self.root = max(float(np.max(np.abs(factor))), math.sqrt(float(np.max(d)))) or 1.0
            self.options = {"factor": factor / self.root, "diagonal": d / self.root / self.root}
            self.variances = np.sum(self.options["factor"] ** 2, axis=1) + self.options["diagonal"]
        self.cost = self.mean.max() - self.mean  # what is lost against the best mean: small where it matters
        risky = self.variances[self.variances > 0]
        self.floor = _RISKLESS * float(risky.min()) if risky.size else 1.0
        self.least = self.floor
        vertex = np.zeros(mean.size)
        vertex[np.argmin(self.variances)] = 1.0
        self.least = max(self.variance(self.solve(0.0, vertex).x), self.floor)

    def price_of(self, gammas: np.ndarray) -> np.ndarray:
        """Return t = 1 / gamma in the units of here; the other way round as well."""
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            return self.return_unit / self.root / (self.root * gammas)

    def product(self, x: np.ndarray) -> np.ndarray:
        """Return C x, from the rows of the assets held."""
        if "Q" in self.options:
            held = np.flatnonzero(x)
            return x[held] @ self.options["Q"][held]
        F = self.options["factor"]
        return F @ (x @ F) + self.options["diagonal"] * x

    def variance(self, x: np.ndarray) -> float:
        return float(x @ self.product(x))

    def solve(self, price: float, x0: np.ndarray) -> _Point:
        """Return the portfolio of a price, and keep it; ``x0`` is where to start unless a start given is better."""
        x0 = min([x0, *self.starts], key=lambda x: self.variance(x) / 2 + price * float(self.cost @ x))
        tolerance = 0.05 * self.stopping.rtol * self.least
        x = simplex_qp(c=price * self.cost, x0=x0, convex=True, rtol=0.0, atol=tolerance, **self.options).x
        point = _Point(price, float(self.mean @ x), x)
        bisect.insort(self.solved, point, key=lambda p: p.price)
        if self.stopping.history or self.stopping.callback is not None:
            self._report(point)
        return point

    def _report(self, point: _Point) -> None:
        variance, gap, _ = self.certificate(point)
        size, seconds = int(np.count_nonzero(point.x)), time.perf_counter() - self.begin
        unit = self.root * self.root  # which may leave the range: the result would be refused anyway
        step = Step(len(self.solved), variance * unit, gap * unit, size, seconds, "program")
        self.history += [step] if self.stopping.history else []
        self.stopped |= self.stopping.callback is not None and bool(self.stopping.callback(step))

    def certificate(self, point: _Point) -> tuple[float, float, np.ndarray]:
        """Return the variance, by how much at most any portfolio of this return undercuts it, and the gradient."""
        product = self.product(point.x)
        g = product + point.price * self.cost
        rounding = 4 * EPS * (float(self.variances.max()) + point.price * float(point.x @ self.cost))
        return float(point.x @ product), 2 * (float(point.x @ (g - g.min())) + rounding), g

    def is_certified(self, point: _Point) -> bool:
        variance, gap, _ = self.certificate(point)
        return gap <= self.stopping.rtol * max(variance, self.floor)

    def at_prices(self, prices: np.ndarray) -> list[_Point]:
        """Return one portfolio per price, each started from the nearest that is known; the last price is enough."""
        prices = np.minimum(prices, self.solve_last().price)
        points: dict[float, _Point] = {}
        for price in sorted(set(prices.tolist())):
            nearest = min(self.solved, key=lambda p: abs(p.price - price))
            known = nearest.price == price or self.stopped
            points[price] = nearest if known else self.solve(price, nearest.x)._replace(programs=1)
        return [points[price] for price in prices.tolist()]

    def at_returns(self, gains: np.ndarray | None) -> list[_Point]:
        """Return one portfolio per return, or for returns all along the frontier."""
        best = float(self.mean.max())
        if gains is not None and gains.max() > best + 4 * EPS * abs(best):
            found = gains.max() * self.return_unit
            raise ValueError(f"returns must not exceed the largest mean {best * self.return_unit:g}, got {found:g}")
        least = self.solved[0].gain
        self.solve_last()
        wanted = np.linspace(least, best, _POINTS) if gains is None else gains
        return [self.at_return(float(gain)) for gain in wanted]

    def solve_last(self) -> _Point:
        """Return the portfolio of the largest mean, at the least price where it is optimal."""
        vertex = np.zeros(self.mean.size)
        vertex[np.argmax(self.mean)] = 1.0
        return self.solve(self._last_price(vertex), vertex)

    def _last_price(self, vertex: np.ndarray) -> float:
        """Return the price from which on only the largest mean counts."""
        product = self.product(vertex)
        worse = self.cost > 0
        if not np.any(worse):
            return 1.0
        return max(1.0, float(np.max((float(vertex @ product) - product[worse]) / self.cost[worse])))

    def at_return(self, gain: float) -> _Point:
        """Return the portfolio of least variance with a return of at least ``gain``."""
        low, high = self._around(gain)
        between = self._between(low, high, gain)
        for programs in range(_TRIES):
            if self.stopped or gain <= self.solved[0].gain or self.is_certified(between):
                break
            price = between.price if programs % 2 == 0 else (low.price + high.price) / 2
            if not low.price < price < high.price:
                break
            self.solve(price, between.x)
            low, high = self._around(gain)
            between = self._between(low, high, gain)
        return between._replace(programs=programs)

    def _around(self, gain: float) -> tuple[_Point, _Point]:
        above = next((i for i, p in enumerate(self.solved) if p.gain >= gain), len(self.solved) - 1)
        return self.solved[max(above - 1, 0)], self.solved[above]

    def _between(self, low: _Point, high: _Point, gain: float) -> _Point:
        if gain <= low.gain or not low.gain < high.gain:
            return high if gain > low.gain else low
        part = min((gain - low.gain) / (high.gain - low.gain), 1.0)
        x = (1 - part) * low.x + part * high.x
        return _Point((1 - part) * low.price + part * high.price, float(self.mean @ x), x)

    def frontier(self, points: list[_Point], xp: Any, like: Any) -> Frontier:
        """Return the result, certified at the portfolios as they are rounded to the dtype of ``like``."""
        points = [p._replace(x=_normal(in_dtype_of(like, p.x, 1.0))) for p in points]
        facts = [self.certificate(p) for p in points]
        value, gap = (np.array([f[i] for f in facts]) for i in (0, 1))
        relative = gap / np.maximum(value, self.floor)
        x, costs = np.stack([p.x for p in points]), np.stack([f[2] for f in facts])
        level = costs.min(axis=1)
        result = Frontier(
            x=from_numpy(x, like),
            value=self._variance_in_unit(value),
            gap=self._variance_in_unit(gap),
            relative_gap=relative,  # type: ignore[arg-type]  # one per portfolio, as the docstring says
            lower_bound=self._variance_in_unit(value - gap),
            certified=True,
            certified_in="float64",
            multiplier=self._variance_in_unit(level),
            reduced_costs=from_numpy(self._variance_in_unit(costs - level[:, None]), like),
            support=indices_like(np.argwhere(x), like, xp),
            status=self._status(relative),
            iterations=np.array([p.programs for p in points]),  # type: ignore[arg-type]
            evaluations=len(self.solved),
            method="parametric active set",
            history=tuple(self.history),
        )
        return replace(
            result,
            returns=x @ self.mean * self.return_unit,
            risk=np.sqrt(np.maximum(value, 0.0)) * self.root,
            risk_aversion=self.price_of(np.array([p.price for p in points])),
        )

    def _status(self, relative: np.ndarray) -> Status:
        if self.stopped:
            return Status.STOPPED
        return Status.CONVERGED if np.all(relative <= self.stopping.rtol) else Status.ROUNDING

    def _variance_in_unit(self, value: np.ndarray) -> Any:
        with np.errstate(over="ignore"):
            scaled = value * self.root * self.root
        if not np.all(np.isfinite(scaled)):
            raise OverflowError(
                "covariance or factor must give variances within the range of float64, got infinite ones"
            )
        return scaled


def _normal(x: np.ndarray) -> np.ndarray:
    return x / x.sum()
