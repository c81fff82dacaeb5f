"""What a chapter hands to the page and to the terminal."""

from dataclasses import dataclass, field


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


@dataclass
class Figure:
    """A picture as PNG bytes, with what is seen and what the certificate says."""

    title: str
    caption: str
    alt: str
    png: bytes


@dataclass
class Chapter:
    """A part of the tour."""

    title: str
    intro: str
    figures: list[Figure] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
