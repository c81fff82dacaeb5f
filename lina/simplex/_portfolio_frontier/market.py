"""The points of a frontier by price: programs over the simplex, and the chords between them."""

import bisect
import math
import time
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import from_numpy
from lina._core.certificates import Status
from lina.simplex._data import indices_like
from lina.simplex._portfolio_frontier.result import Frontier
from lina.simplex._result import Step
from lina.simplex._simplex_qp.finish import in_dtype_of
from lina.simplex._simplex_qp.public import simplex_qp
from lina.simplex._working_set import EPS, Stopping

_POINTS = 30

# A variance below this part of the least one of a risky asset passes for zero.
_RISKLESS = 1e-6

# Quadratic programs for one return; the bracket of its price is halved at least every second time.
_TRIES = 80


class _Point(NamedTuple):
    """A portfolio, its return, the price t at which it is judged, and how many programs it took."""

    price: float
    gain: float
    x: np.ndarray
    programs: int = 0


@dataclass
class Market:
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
