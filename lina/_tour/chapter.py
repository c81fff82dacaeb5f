"""What a chapter is made of, and what it hands to the page and to the terminal."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Any


@dataclass
class Row:
    """One answer: the question, what was found, its true error, its certificate, and the optimum or a peer."""

    question: str
    answer: str
    true_error: float
    certificate: float
    kind: str
    best: str
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the certificate is no smaller than the error, as it claims."""
        return self.true_error <= self.certificate


@dataclass
class Figure:
    """A picture as PNG bytes, with what is asked, the call, what is seen and what the certificate says."""

    title: str
    asked: str
    code: str
    png: bytes
    alt: str
    seen: str
    certified: str
    photograph: bool = False  # keeps its colours on dark paper, where charts are inverted


@dataclass
class Part:
    """One computation of a chapter, on real data with figures, or on made data with numbers only.

    ``compute(*data)`` returns its rows and whatever ``draw`` makes figures of. Without ``real`` and ``draw`` it runs
    in the numeric tour only.
    """

    name: str
    made: Callable[[], tuple[Any, ...]]
    compute: Callable[..., tuple[list[Row], Any]]
    real: Callable[[], tuple[Any, ...]] | None = None
    draw: Callable[[Any], list[Figure]] | None = None


@dataclass
class Chapter:
    """A part of the tour, filled by playing its parts."""

    title: str
    intro: str
    parts: list[Part]
    errors: str = ""
    """What the errors of its rows are measured in."""
    figures: list[Figure] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def timed(call: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, float]:
    """Return what ``call`` returns, and its seconds."""
    start = time.perf_counter()
    out = call(*args, **options)
    return out, time.perf_counter() - start


def rounded_up(x: float, digits: int = 4) -> str:
    """Return ``x`` with a few digits, never smaller than it is: a bound rounded to nearest would be none."""
    if x == 0 or not math.isfinite(x):
        return str(x)
    step = Decimal(1).scaleb(Decimal(x).adjusted() - digits + 1)
    return f"{float(Decimal(x).quantize(step, ROUND_CEILING)):.{digits}g}"


def percent_up(x: float) -> str:
    """Return a share as a percentage with one digit behind the point, rounded up."""
    return f"{Decimal(100 * x).quantize(Decimal('0.1'), ROUND_CEILING)} %"
