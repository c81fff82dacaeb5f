"""The kinds of certificate that a result can carry, and the statuses that an iteration can end in."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class CertificateKind(StrEnum):
    """How far a stated error can be trusted; rounding is included in the two kinds of bound."""

    ESTIMATE = "estimate"
    """A value near the true error, on either side of it."""

    PROBABILISTIC = "probabilistic"
    """An upper bound that fails with the probability given beside it."""

    RIGOROUS = "rigorous"
    """An upper bound that holds for every input; rounding enters by its sqrt(k) model, not by the worst case."""


class Status(StrEnum):
    """Why an iteration ended."""

    CONTRADICTION = "contradiction"
    CONVERGED = "converged"
    MAX_ITERATIONS = "max_iterations"
    MAX_PASSES = "max_passes"
    MAX_RANK = "max_rank"
    NOT_FINITE = "not_finite"
    ROUNDING = "rounding"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Certificate:
    """An error, what kind of statement it is, and the probability that the statement is false.

    ``value`` is a float, or a 0-d array where the input was traced or lazy.
    """

    value: Any
    kind: CertificateKind
    failure_probability: float = 0.0
