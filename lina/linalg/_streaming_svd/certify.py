"""The rank that a tolerance needs, and bounds of the error of every rank, from what the probes see."""

import math
from typing import Any, NamedTuple

import numpy as np

from lina._core.certificates import Status
from lina.linalg._streaming_svd.reconstruct import lower_tail


class Scree(NamedTuple):
    """What the sketches say of every rank j = 0..r; each field but the last has shape (r + 1,).

    Attributes
    ----------
    error : array
        Estimate of the Frobenius error of the approximation of rank j that the stream can give: the root of an
        unbiased estimate of its square.
    deviation : array
        Standard deviation of ``error``, from the spread of the probes.
    lower, upper : array
        Bounds of the least error that any matrix of rank j has: the root of the sum of the squares of the singular
        values beyond j. Where both are small, j terms are enough; where both are large, they never are.
    failure_probability : float
        Probability that one of the bounds is wrong.
    """

    error: Any
    deviation: Any
    lower: Any
    upper: Any
    failure_probability: float


class Seen(NamedTuple):
    """Singular values (r,) and squares (r + 1, q) that the probes see left over, with what rounding can hide."""

    values: np.ndarray
    left_over: np.ndarray
    rounding: float
    degrees: int

    def bounds(self, probability: float) -> np.ndarray:
        """Return upper bounds (r + 1,) of the errors, each of which fails with ``probability``."""
        seen = np.sqrt(np.mean(self.left_over, axis=1)) + self.rounding
        return seen / math.sqrt(lower_tail(self.degrees, probability))

    def needed(self, limit: int, rtol: float, atol: float, probability: float) -> tuple[int, float, Status]:
        """Return the least rank whose bound meets the tolerance, or ``limit``; its bound; and which it was."""
        each = probability / limit  # the rank is chosen by the bounds: all of them must hold
        bounds = self.bounds(each)[1 : limit + 1]
        norms = np.sqrt(np.cumsum(self.values**2))[:limit]
        targets = np.maximum(rtol * (norms - bounds), atol)  # the norm of the matrix is at least that
        enough = np.nonzero(bounds <= targets)[0]
        if enough.size:
            return int(enough[0]) + 1, float(bounds[enough[0]]), Status.CONVERGED
        hidden = self.rounding / math.sqrt(lower_tail(self.degrees, each))
        return limit, float(bounds[-1]), Status.ROUNDING if hidden > targets[-1] else Status.MAX_RANK

    def scree(self, probability: float) -> tuple[np.ndarray, ...]:
        """Return the first four fields of a `Scree`."""
        error = np.sqrt(np.mean(self.left_over, axis=1))
        spread = np.std(self.left_over, axis=1, ddof=1) / math.sqrt(self.left_over.shape[1])
        deviation = np.divide(spread, 2 * error, out=np.zeros_like(error), where=error > 0)
        tails = np.sqrt(np.append(np.cumsum(self.values[::-1] ** 2)[::-1], 0.0))
        bounds = self.bounds(probability / len(error))
        # tails of singular values differ by no more than the matrices (Mirsky)
        return error, deviation, np.maximum(tails - bounds[-1], 0.0), np.minimum(tails + bounds[-1], bounds)
