"""What every path returns, and the cutoff below which a singular value counts as zero."""

import math
from typing import Any, NamedTuple

from lina._core.checks import check_tolerance

PATHS = ("svd", "eigh", "gram", "cholqr2", "lu", "cod", "qr", "mgs2")

# A fast path decides the rank only where every singular value is this factor away from the cutoff;
# nearer to it the SVD itself runs, so that the rank is always the SVD's. (``cod`` has the residual at hand: factor 2.)
BAND = 10.0


class Cutoff(NamedTuple):
    """Singular values at or below max(atol, rtol * largest) count as zero."""

    rtol: float
    atol: float

    def at(self, largest: float) -> float:
        """Return the cutoff for a largest singular value."""
        return max(self.atol, self.rtol * largest)

    def below(self, low: float, high: float) -> bool:
        """Whether singular values within [low, high] certainly count, the band included; False for NaN."""
        return 0.0 < low < math.inf and low >= BAND * self.at(high)


def cutoff_for(shape: tuple[int, ...], eps: float, rtol: Any, atol: Any) -> Cutoff:
    """Return the cutoff that the arguments of a public function mean for a matrix of ``shape`` (..., m, n)."""
    absolute = 0.0 if atol is None else check_tolerance(atol, "atol")
    if rtol is None:
        return Cutoff(0.0 if absolute > 0 else max(shape[-2:]) * eps, absolute)
    return Cutoff(check_tolerance(rtol, "rtol"), absolute)


class FullRank(NamedTuple):
    """The pseudo-inverse of a matrix of full column rank, all of whose singular values lie in [low, high]."""

    X: Any
    low: float
    high: float
    method: str

    def outcome(self, rank: int, cutoff: Cutoff) -> "Outcome":
        """Return this with the facts that the caller sees."""
        return Outcome(self.X, rank, self.high / self.low, ratio(self.low, cutoff.at(self.high)), self.method)


class Outcome(NamedTuple):
    """A pseudo-inverse with the facts behind its rank; the last four are arrays for a batch."""

    X: Any
    rank: Any
    condition: Any
    gap: Any
    method: Any


def ratio(a: float, b: float) -> float:
    """Return a / b, infinite where b is 0."""
    return a / b if b > 0 else math.inf
