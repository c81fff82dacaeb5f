"""Minimisation over the simplex, obviously right: exact gaps, every face of a quadratic, Newton in long numbers."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import combinations

import numpy as np

Long = np.longdouble


def exact_gap(x: np.ndarray, g: np.ndarray, radius: float = 1.0, upper: np.ndarray | None = None) -> Fraction:
    """Return x . g less the least y . g, the cheapest entries filled one after the other, in rationals."""
    x, g = [Fraction(float(v)) for v in x], [Fraction(float(v)) for v in g]
    bounds = [Fraction(radius)] * len(x) if upper is None else [Fraction(float(v)) for v in upper]
    left, least = Fraction(radius), Fraction(0)
    for i in sorted(range(len(g)), key=lambda i: g[i]):
        filled = min(left, bounds[i])
        least, left = least + filled * g[i], left - filled
    return sum((a * b for a, b in zip(x, g, strict=True)), Fraction(0)) - least


def exact_ball_gap(x: np.ndarray, g: np.ndarray, radius: float = 1.0) -> Fraction:
    """Return x . g + radius max abs g in rationals."""
    inner = sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x, g, strict=True)), Fraction(0))
    return inner + Fraction(radius) * max(abs(Fraction(float(v))) for v in g)


def exact_qp(Q: np.ndarray, c: np.ndarray, radius: float = 1.0) -> Fraction:
    """Return the least x.Q x / 2 + c.x of a convex quadratic: that of the face whose minimiser lies inside of it."""
    n = len(c)
    Q = [[Fraction(float(v)) for v in row] for row in Q]
    c = [Fraction(float(v)) for v in c]
    best = None
    for face in faces(n):
        x = _face_minimiser(Q, c, face, Fraction(radius))
        if x is None or min(x) < 0:
            continue
        value = sum(c[i] * a for i, a in zip(face, x, strict=True))
        value += sum(Q[i][j] * a * b for i, a in zip(face, x, strict=True) for j, b in zip(face, x, strict=True)) / 2
        best = value if best is None else min(best, value)
    assert best is not None
    return best


def faces(n: int) -> Iterator[tuple[int, ...]]:
    """Yield every face of the simplex as the indices of its vertices."""
    for size in range(1, n + 1):
        yield from combinations(range(n), size)


def _face_minimiser(Q: list, c: list, face: tuple[int, ...], radius: Fraction) -> list | None:
    """Return the stationary point of the plane of a face; None where it is not the only one: a smaller face has one."""
    size = len(face)
    rows = [[Q[i][j] for j in face] + [Fraction(1), -c[i]] for i in face]
    rows.append([Fraction(1)] * size + [Fraction(0), radius])
    solved = _eliminate(rows)
    return None if solved is None else solved[:size]


def _eliminate(rows: list) -> list | None:
    size = len(rows)
    for k in range(size):
        pivot = max(range(k, size), key=lambda i: abs(rows[i][k]))
        if rows[pivot][k] == 0:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(size):
            if i != k and rows[i][k] != 0:
                factor = rows[i][k] / rows[k][k]
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k], strict=True)]
    return [rows[k][-1] / rows[k][k] for k in range(size)]


Derivatives = Callable[[np.ndarray], tuple[Long, np.ndarray, np.ndarray]]


def long_minimum(f: Derivatives, n: int) -> Long:
    """Return the minimum of a convex f over the simplex: the least of the minimisers inside of the faces, by Newton.

    ``f`` returns value, gradient and Hessian in extended precision. A face whose Newton iteration ends at its border
    does not hold the minimiser in its interior; another face does.
    """
    return min(value for value in (_face_minimum(f, n, face) for face in faces(n)) if value is not None)


def _face_minimum(f: Derivatives, n: int, face: tuple[int, ...]) -> Long | None:
    x = np.zeros(n, dtype=Long)
    x[list(face)] = Long(1) / len(face)
    value, g, H = f(x)
    for _ in range(60):
        if len(face) == 1:
            return value
        size = len(face)
        rows = [[*(H[i, j] for j in face), Long(1), -g[i]] for i in face]
        rows.append([Long(1)] * size + [Long(0), Long(0)])
        with np.errstate(all="ignore"):
            solved = _eliminate(rows)
        if solved is None or not np.all(np.isfinite(np.array(solved))):
            return None if solved is None else value
        d = np.zeros(n, dtype=Long)
        d[list(face)] = solved[:size]
        d[list(face)] -= np.sum(d) / size
        slope = g @ d
        if not slope < -abs(value) * Long(1e-18) - Long(1e-30):
            return value
        step = Long(1)
        while np.any((x + step * d)[list(face)] <= 0) or f(x + step * d)[0] > value + slope * step / 10:
            step /= 2
            if step < 1e-12:
                return value  # at rounding, or at the border of a face: an upper bound of the minimum all the same
        x = x + step * d
        value, g, H = f(x)
    return value


def numeric_maximum_clique(adjacency: np.ndarray) -> int:
    """Return the size of the largest clique, by trying every set of vertices."""
    n = len(adjacency)
    return max(len(each) for each in faces(n) if all(adjacency[i, j] for i, j in combinations(each, 2)))
