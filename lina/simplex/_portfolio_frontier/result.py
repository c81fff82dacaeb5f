"""What `portfolio_frontier` returns."""

from dataclasses import dataclass
from typing import Any

from lina.simplex._result import SimplexResult


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
