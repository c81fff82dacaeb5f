"""The interior point method of `interior_point` with upper bounds beside the lower ones."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lina.simplex._simplex_qp.interior_point import ENOUGH, LEAST
from lina.simplex._simplex_qp.quadratic import Dense, Factored, Solver


class _State(NamedTuple):
    """x and the room s = upper - x above it, the multipliers z and w of both bounds, and that of the sum."""

    x: np.ndarray
    s: np.ndarray
    z: np.ndarray
    w: np.ndarray
    level: float

    def moved(self, step: float, d: "_State") -> "_State":
        x, s, z, w = (a + step * b for a, b in zip(self[:4], d[:4], strict=True))
        return _State(x, s, z, w, self.level + step * d.level)

    def product(self) -> float:
        return float(self.x @ self.z + self.s @ self.w)


def capped_interior_point(q: Dense | Factored, radius: float, upper: np.ndarray) -> Iterator[np.ndarray]:
    """Yield points strictly between 0 and ``upper`` > 0, of a sum above ``radius``; ends at rounding.

    Both the sum of x and the dual equation are feasible from the start, so the sum of both products is a duality gap.
    Cost n^3 / 3 flops a point, n k^2 with a factor of k columns.
    """
    x = upper * (radius / float(np.sum(upper)))
    g = q.product(x) + q.c
    spread = 0.1 * float(np.ptp(g)) or float(np.max(np.abs(g))) or 1.0
    d = g - float(np.median(g))
    now = _State(x, upper - x, np.maximum(d, 0) + spread, np.maximum(-d, 0) + spread, float(np.median(g)))
    while now.product() > ENOUGH * float(np.abs(g) @ now.x) and min(now.x.min(), now.s.min()) > LEAST * radius:
        solve = q.shifted_solver(now.z / now.x + now.w / now.s)
        if solve is None:
            return
        dual, primal = g - now.level - now.z + now.w, radius - float(np.sum(now.x))
        first = _direction(solve, now, dual, primal, now.x * now.z, now.s * now.w)
        step = min(1.0, _longest(now, first))
        mean = now.product() / (2 * x.size)
        reached = max(now.moved(step, first).product(), 0.0) / now.product()
        target = mean * reached**3
        below, above = now.x * now.z + first.x * first.z - target, now.s * now.w + first.s * first.w - target
        second = _direction(solve, now, dual, primal, below, above)
        step = min(1.0, max(0.9, 0.9999 - reached) * _longest(now, second))
        if not step > 1e-8:
            return
        now = now.moved(step, second)
        g = q.product(now.x) + q.c
        yield now.x


def _direction(
    solve: Solver, now: _State, dual: np.ndarray, primal: float, below: np.ndarray, above: np.ndarray
) -> _State:
    """Return the Newton direction for the residuals of the dual equation, the sum, x z and s w."""
    both = solve(np.stack([-dual - below / now.x + above / now.s, np.ones_like(dual)], axis=1))
    level = (primal - float(np.sum(both[:, 0]))) / float(np.sum(both[:, 1]))
    dx = both[:, 0] + level * both[:, 1]
    return _State(dx, -dx, -(below + now.z * dx) / now.x, -(above - now.w * dx) / now.s, level)


def _longest(now: _State, d: _State) -> float:
    """Return the longest step at which no entry turns negative, at most 1e10."""
    return 1 / max(1e-10, *(float(np.max(-b / a)) for a, b in zip(now[:4], d[:4], strict=True)))
