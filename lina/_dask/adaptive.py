"""The basis that a tolerance needs: blocks of block Krylov on the cluster, one reading each, until they are enough."""

import math
from typing import Any, NamedTuple

import dask
import numpy as np

from lina._core.array import conjugate, epsilon
from lina._core.certificates import Status
from lina._core.random import gaussian
from lina._dask.graph import gathered, parts
from lina._dask.passes import (
    factors,
    grown,
    products,
    start,
    together,
    triangle_of_rows,
)
from lina._dask.rows import Rows
from lina._dask.triangles import joined
from lina.linalg._truncated_svd.problem import Goal, Request, final_rank, needed_rank

# Blocks are added while they lower the number of terms by this share.
_WORTH_FEWER_TERMS = 0.03
# A further block is not worth its reading when the last one lowered the squared error by less than this share.
_WORTH_A_BLOCK = 1e-2
_LEAST_BLOCKS = 4
# A square of the norm of what is left over that is below this many units of rounding may lose its digits next time.
_NEAR_ROUNDING = 1e6


class Basis(NamedTuple):
    """Orthonormal rows ``V`` (k, n) that meet the tolerance, or why they do not, and the ``readings`` spent on them.

    ``following`` bounds the next singular value, where that is known.
    """

    V: Any
    status: Status
    readings: int
    target: float
    following: float | None = None


def whole_basis(rows: Rows, request: Request) -> Basis:
    """Return the leading right singular vectors of all of the rows, by their triangle: one reading."""
    triangle = dask.compute(gathered(joined, rows.visit(triangle_of_rows)))[0]
    _, s, Vt = np.linalg.svd(triangle.R, full_matrices=False)
    values = s.astype(np.float64).tolist()
    scale = triangle.scale or 1.0
    goal = _goal(request, math.hypot(*values), values[0], scale, min(rows.shape))
    k, status = final_rank(values, 0.0, goal)
    following = (values[k] if k < len(values) else 0.0) + 4 * math.sqrt(len(values)) * epsilon(s) * values[0]
    return Basis(conjugate(np, Vt[:k, :]), status, 1, (goal.target or 0.0) * scale, following * scale)


def krylov_basis(rows: Rows, request: Request, width: int, rng: np.random.Generator) -> Basis:
    """Return the leading Ritz vectors of as many Krylov blocks as the tolerance needs."""
    n, like = rows.shape[1], rows.like
    V = start(gaussian(rng, (width, n), like))
    search = _Search(rows, request)
    while True:
        V_next = grown(V, search.read(V).images, gaussian(rng, (width, n), like))
        status = search.verdict(V_next.shape[0] == V.shape[0])
        if status is not None:
            return search.basis(V, status)
        V = V_next


class _Search:
    """What the readings so far say of the matrix: T = V A^H A V^H in terms of the basis, and its norm."""

    def __init__(self, rows: Rows, request: Request) -> None:
        self.rows, self.request = rows, request
        self.readings: list[Any] = []
        self.T: Any = np.zeros((0, 0), dtype=rows.like.dtype)
        self.measure = False
        self.needed: int | None = None
        self.captured = 0.0

    def read(self, V: Any) -> Any:
        """Multiply by the rows of ``V`` that are new, and take the products in."""
        rows, new = self.rows, V[self.T.shape[0] :, :]
        visited = rows.visit(products, dask.delayed(new), dask.delayed(V) if self.measure else None)
        reading = dask.compute(gathered(together, visited))[0]
        self.readings.append(reading)
        column = conjugate(np, V) @ reading.images.T
        old = self.T.shape[0]
        upper = np.concatenate([self.T, column[:old]], axis=1)
        self.T = np.concatenate([upper, np.concatenate([np.conj(column[:old].T), column[old:]], axis=1)], axis=0)
        values, self.Z = np.linalg.eigh(self.T)
        self.values = np.sqrt(np.maximum(values[::-1].astype(np.float64), 0.0)).tolist()
        limit = min(rows.shape)
        self.goal = _goal(self.request, reading.norm, self.values[0], reading.scale or 1.0, limit)
        self.rest = self._rest()
        return reading

    def _rest(self) -> float:
        """Return the norm of what the basis leaves over, rounding included; infinity where it has to be measured."""
        reading, like = self.readings[-1], self.rows.like
        rounding = 2 * epsilon(like) * math.sqrt(self.T.shape[0]) * reading.norm
        if not math.isnan(reading.rest):
            return float(reading.rest + rounding)
        caught = math.hypot(*(each.caught for each in self.readings))
        doubt = epsilon(like) * (8 + math.sqrt(math.prod(self.rows.shape))) * reading.norm**2
        difference = (reading.norm - caught) * (reading.norm + caught)
        self.measure = difference < _NEAR_ROUNDING * doubt
        return math.inf if self.measure else math.sqrt(difference + doubt)

    def verdict(self, spent: bool) -> Status | None:
        """Return why the search may end, or None."""
        goal, limit = self.goal, min(self.goal.rank, len(self.values))
        found = needed_rank(self.values, self.rest, goal)
        before, self.needed = self.needed, found
        gain, self.captured = self._gain(limit)
        last = goal.max_passes is not None and len(self.readings) + 1 >= goal.max_passes
        if found is not None and found <= limit:
            fewer = found > 1 and (before is None or found < (1 - _WORTH_FEWER_TERMS) * before)
            return None if fewer and not last and not spent else Status.CONVERGED
        beyond = math.hypot(self.rest, *self.values[limit:])
        settled = len(self.readings) >= _LEAST_BLOCKS and gain <= _WORTH_A_BLOCK * beyond**2 < math.inf
        if len(self.values) >= goal.rank < min(self.rows.shape) and settled:
            return Status.MAX_RANK
        if last:
            return Status.MAX_PASSES
        return Status.ROUNDING if spent else None

    def _gain(self, limit: int) -> tuple[float, float]:
        captured = math.fsum(value * value for value in self.values[:limit])
        return captured - self.captured, captured

    def basis(self, V: Any, status: Status) -> Basis:
        """Return the leading vectors; by one more reading where T, whose entries are squares, has blurred them."""
        goal, values, readings = self.goal, self.values, len(self.readings)
        Z, rest = self.Z[:, ::-1], self.rest
        k = final_rank(values, rest, goal)[0]
        blurred = 1e3 * math.sqrt(epsilon(V)) * values[0]
        if min(values[k - 1], goal.target or math.inf) <= blurred:
            visited = self.rows.visit(factors, dask.delayed(V))
            triangle, reading = dask.compute(gathered(joined, parts(visited, 1)), gathered(together, parts(visited, 2)))
            _, s, Zt = np.linalg.svd(triangle.R, full_matrices=False)
            Z, values, readings = np.conj(Zt.T), s.astype(np.float64).tolist(), readings + 1
            k, found = final_rank(values, reading.rest, goal)
            status = Status.CONVERGED if found is Status.CONVERGED else status
        scale = self.readings[-1].scale or 1.0
        return Basis(Z[:, :k].T @ V, status, readings, (goal.target or 0.0) * scale)


def _goal(request: Request, norm: float, largest: float, scale: float, limit: int) -> Goal:
    """Return where to stop, over ``scale``; ``largest`` is at most the 2-norm, so that its share is no larger."""
    size = largest if request.norm == "2" else norm
    target = max(size * float(request.rtol or 0.0), float(request.atol or 0.0) / scale) * (1 - 1e-6)
    return Goal(min(limit, request.k or limit), target, request.norm, request.max_passes)
