"""Any small problem over the simplex ends in a point of the set whose certificate holds in exact arithmetic.

Certificates are compared with the exact values of the objective, in fractions, at the vertices, at the centre, and at
points between them: none may lie below a lower bound.
"""

import warnings
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from lina._core.errors import GradientError
from lina.simplex import (
    entmax,
    min_enclosing_ball,
    project_capped_simplex,
    project_l1_ball,
    project_simplex,
    project_sparse_simplex,
    simplex_lsq,
    simplex_qp,
    softmax,
    sparsemax,
)
from tests.reference.simplex import exact_projection
from tests.robustness.draws import Draws

ERRORS = (TypeError, ValueError, OverflowError, GradientError)
EPS = np.finfo(float).eps


def exact(x: Any) -> list[Fraction]:
    """Return the entries of a vector as they are."""
    return [Fraction(float(v)) for v in np.ravel(x)]


def feasible_points(n: int) -> list[list[Fraction]]:
    """Return points of the simplex: vertices, their midpoints in order, the centre."""
    vertices = [[Fraction(int(i == j)) for i in range(n)] for j in range(n)]
    between = [[(a + b) / 2 for a, b in zip(*pair, strict=True)] for pair in pairwise(vertices)]
    return [*vertices, *between, [Fraction(1, n)] * n]


def quadratic(Q: np.ndarray, c: np.ndarray) -> Callable[[list[Fraction]], Fraction]:
    """Return x . Q x / 2 + c . x in fractions."""
    rows, linear = [exact(row) for row in Q], exact(c)

    def value(x: list[Fraction]) -> Fraction:
        products = (sum(q * v for q, v in zip(row, x, strict=True)) for row in rows)
        return sum((u * p for u, p in zip(x, products, strict=True)), Fraction()) / 2 + sum(
            a * v for a, v in zip(linear, x, strict=True)
        )

    return value


def check_point(x: np.ndarray, radius: float, allowed: float = 8 * EPS) -> None:
    """Raise AssertionError unless x is not negative and sums to the radius, up to n times what is ``allowed`` of it."""
    assert np.all(np.isfinite(x)), x
    assert np.all(x >= 0), x
    off = abs(float(sum(exact(x)) - Fraction(radius)))
    assert off <= allowed * radius * x.size, (x, off)


def check_certificate(result: Any, value: Callable[[list[Fraction]], Fraction], n: int, scale: float) -> None:
    """Raise AssertionError if a point of the simplex is better than a certified lower bound allows.

    The value must be that of the point, up to the part 4e-12 n of ``scale``, the size of the terms of the objective.
    """
    check_point(np.asarray(result.x), 1.0, 1e-12)  # up to which a sum passes for right; what it misses is in the gap
    assert result.gap >= 0
    off = abs(value(exact(result.x)) - Fraction(float(result.value)))
    underflow = n * Fraction(2.0**-1020)
    assert off <= Fraction(4e-12) * n * Fraction(scale) + underflow, (float(off), scale)
    if result.certified:
        bound = Fraction(float(result.value)) - Fraction(float(result.gap))
        slack = Fraction(4 * EPS) * abs(Fraction(float(result.value)))
        least = min(value(x) for x in feasible_points(n))
        assert bound <= least + slack, (float(bound), float(least))


def distance(x: np.ndarray, expected: list[Fraction]) -> float:
    """Return the largest difference of an entry from its exact value."""
    return float(max(abs(a - b) for a, b in zip(exact(x), expected, strict=True)))


def matrix(draws: Draws, m: int, n: int) -> np.ndarray:
    """Return an (m, n) matrix of numbers that are finite."""
    A = np.array([draws.number(strange=False) for _ in range(m * n)]).reshape(m, n)
    return np.where(np.abs(A) < 1e100, A, 1.0)


def run_qp(draws: Draws) -> None:
    n = 1 + draws.below(5)
    F, c = matrix(draws, n, n), matrix(draws, 1, n)[0]
    with np.errstate(all="ignore"):
        Q = (F + F.T) / 2 if draws.below(3) == 2 else F @ F.T
    method = draws.pick(("auto", "pairwise", "active", "ipm"))
    result = simplex_qp(Q, c, method=method, rtol=draws.pick((1e-6, 0.0, 1e-12)), max_iterations=1 + draws.below(200))
    check_certificate(result, quadratic(0.5 * (Q + Q.T), c), n, float(np.max(np.abs(Q)) + np.max(np.abs(c))))


def run_lsq(draws: Draws) -> None:
    m, n = 1 + draws.below(4), 1 + draws.below(5)
    A, b = matrix(draws, m, n), matrix(draws, 1, m)[0]
    result = simplex_lsq(A, b, rtol=draws.pick((1e-6, 0.0)), max_iterations=1 + draws.below(100))
    rows, right = [exact(row) for row in A], exact(b)

    def value(x: list[Fraction]) -> Fraction:
        residuals = (sum(a * v for a, v in zip(row, x, strict=True)) - t for row, t in zip(rows, right, strict=True))
        return sum((r * r for r in residuals), Fraction()) / 2

    check_certificate(result, value, n, m * (float(np.max(np.abs(A))) + float(np.max(np.abs(b)))) ** 2)


def run_ball(draws: Draws) -> None:
    m, d = 1 + draws.below(5), 1 + draws.below(3)
    X = matrix(draws, m, d)
    ball = min_enclosing_ball(X)
    center, radius = exact(ball.center), Fraction(float(ball.radius))
    farthest = max(sum((a - b) ** 2 for a, b in zip(exact(row), center, strict=True)) for row in X)
    size = Fraction(float(np.max(np.abs(X))))
    rounding = 64 * EPS * float(radius + size)
    assert float(farthest) ** 0.5 <= float(radius) + rounding, (X, ball)
    points = [exact(row) for row in X]
    widest = max(sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) for p in points for q in points)
    shape = float(widest / size**2) ** 0.5 if size else 0.0  # without underflow
    most = shape * float(size) * (d / (2 * d + 2)) ** 0.5  # Jung's theorem
    assert float(radius) <= most * (1 + 1e-5) + rounding, (X, ball)


def run_projection(draws: Draws) -> None:
    n = 1 + draws.below(6)
    x, radius = matrix(draws, 1, n)[0], draws.pick((1.0, 0.5, 3.0, 1e-3, 1e6))
    check_point(project_simplex(x, radius), radius)
    span = max(1.0, float(np.max(np.abs(x))) * 2 / radius)  # entries and their sum err by rounding of x as well
    allowed = 16 * EPS * n * radius * span
    assert distance(project_simplex(x, radius), exact_projection(x, radius)[0]) <= allowed, (x, radius)
    check_point(project_sparse_simplex(x, 1 + draws.below(n), radius), radius)
    check_point(softmax(x), 1.0)
    check_point(sparsemax(x), 1.0)
    check_point(entmax(x, draws.pick((1.5, 1.25, 2.0, 1.0))), 1.0, 64 * EPS)
    ball = project_l1_ball(x, radius)
    assert float(sum(abs(v) for v in exact(ball))) <= radius * (1 + 8 * EPS * n), ball
    inside = sum(abs(v) for v in exact(x)) <= Fraction(radius)
    sizes = exact(abs(x)) if inside else exact_projection(abs(x), radius)[0]
    assert distance(abs(ball), sizes) <= allowed, (x, radius)
    assert np.all(ball * np.sign(x) >= 0), (x, ball)
    cap = radius * draws.pick((1.0, 0.5, 0.25))
    if cap * n >= radius:
        p = project_capped_simplex(x, upper=cap, total=radius)
        assert np.all((p >= 0) & (p <= cap)), p
        assert abs(float(sum(exact(p))) - radius) <= allowed, (p, radius)


TARGETS = (run_qp, run_lsq, run_ball, run_projection)


def run(data: bytes) -> str:
    """Solve the problem that these bytes say; raise AssertionError where the answer does not hold."""
    draws = Draws(data)
    target = draws.pick(TARGETS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            target(draws)
        except ERRORS as error:
            if " must " not in str(error):
                raise AssertionError(f"an error must say what is wanted, got {error!r}") from error
            return type(error).__name__
    return "result"
