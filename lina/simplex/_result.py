"""What every minimisation over the simplex returns: the point, and the gap that says how good it is."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array

from lina._core.array import to_numpy
from lina._core.certificates import Status


class Step(NamedTuple):
    """One line of the history: what was known after ``iteration``, ``seconds`` after the start."""

    iteration: int
    value: float
    gap: float
    support: int
    seconds: float
    kind: str


@dataclass(frozen=True, repr=False)
class SimplexResult:
    """A minimiser of F over the probability simplex, with its Frank-Wolfe gap.

    Attributes
    ----------
    x : array, shape (n,)
        The best point met, in the set; in the library of the input. Of shape (..., n) for a product of simplices or a
        batch.
    value : float
        F(x).
    gap : float
        x . g minus the least z . g of the set, on the simplex radius * min g, at the gradient g of F in x. Evaluated
        from scratch in float64 on g - min g, with the rounding of the gradient added: for a convex F, F(x) exceeds
        the minimum by no more.
    relative_gap : float
        gap / max(abs(value), scale). The scale is an argument of `minimize`, `simplex_qp` (0 by default) and
        `simplex_lsq` (norm(b)^2 / 2); `min_enclosing_ball` divides by abs(value), `optimal_design` by d or by the
        value, `mixture_proportions` by 1, and `portfolio_frontier` by the variance.
    lower_bound : float or None
        value - gap where F is convex, known or declared; otherwise None.
    certified : bool
        Whether convexity is known or declared, so that ``gap`` is a bound. Otherwise it measures stationarity.
    certified_in : str
        The dtype of the gradient that the gap was evaluated from, whose rounding limits it.
    multiplier : float
        The multiplier of sum x = radius: min g on the simplex.
    reduced_costs : array, shape (n,)
        g - multiplier. On the simplex these are the multipliers of x >= 0, zero up to the gap where x > 0; with
        ``upper`` they are negative where x is at its cap.
    support : array of int
        Indices of the entries that are not zero; one row of indices each where ``x`` has several axes.
    status : Status
        Why the iteration ended.
    iterations : int
        Steps of the method.
    evaluations : int
        Calls of the objective, or products with the data in the named problems.
    method : str
        The method, or the methods in their order joined by " + ".
    history : tuple of Step
        Empty unless it was asked for.
    """

    x: Any
    value: float
    gap: float
    relative_gap: float
    lower_bound: float | None
    certified: bool
    certified_in: str
    multiplier: float
    reduced_costs: Any
    support: Any
    status: Status
    iterations: int
    evaluations: int
    method: str
    history: tuple[Step, ...] = ()

    def __repr__(self) -> str:
        """Return the facts without the arrays."""
        kind = "certified" if self.certified else "not certified"
        return (
            f"{type(self).__name__}(value={_largest(self.value):.6g}, gap={_largest(self.gap):.2g}, "
            f"relative_gap={_largest(self.relative_gap):.2g}, {kind}, "
            f"support={self.support.shape[0]} of {math.prod(self.x.shape)}, status={self.status}, "
            f"method={self.method!r}, iterations={int(_largest(self.iterations))})"
        )


def _largest(value: Any) -> float:
    """Return a number, or the largest of a batch of them."""
    return float(np.max(value))


def support_of(x: Any) -> Any:
    """Return the indices of the entries that are not zero, in the library of ``x``; one row each for several axes."""
    found = np.argwhere(to_numpy(x))
    found = found[:, 0] if x.ndim == 1 else found
    return found if is_numpy_array(x) else array_namespace(x).asarray(found, device=device(x))
