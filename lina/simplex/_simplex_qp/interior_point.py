"""A feasible primal-dual interior point method with Mehrotra's corrector, for quadratics of any condition."""

from collections.abc import Callable, Iterator

import numpy as np

from lina.simplex._simplex_qp.quadratic import Dense, Factored, Solver

# A gap this far below the terms of the value is rounding.
ENOUGH = 1e-14

# Entries of this share of the sum are zero for all purposes; below it z / x leaves the range.
LEAST = 1e-100


def interior_point(q: Dense | Factored, radius: float, start: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield points of the interior of the simplex, each from one factor of Q + diag(z / x); ends at rounding.

    Both the sum of x and the gradient less its multiplier are feasible from the start, so x.z is a duality gap. About
    ten points lead to a relative gap of 1e-8. Cost n^3 / 3 flops a point, n k^2 with a factor of k columns.
    """
    n = q.c.size
    x = np.full(n, radius / n) if start is None else start
    g = q.product(x) + q.c
    spread = float(np.max(g) - np.min(g)) or float(np.max(np.abs(g))) or 1.0
    level = float(np.min(g)) - 0.1 * spread
    z = g - level
    while True:
        if not np.min(x) > LEAST * radius:
            return
        solve = q.shifted_solver(z / x)
        if solve is None:
            return
        direction = _newton(solve, g - level - z, radius - float(np.sum(x)))
        if direction is None:
            return
        dx, dz, _ = direction(x * z, x, z)
        mean = float(x @ z) / n
        if mean * n <= ENOUGH * float(np.abs(g) @ x):
            return
        step = min(1.0, _longest(x, z, dx, dz))
        reached = max(float((x + step * dx) @ (z + step * dz)) / n, 0.0) / mean
        target = mean * reached**3
        dx, dz, dlevel = direction(x * z + dx * dz - target, x, z)
        step = min(1.0, max(0.9, 0.9999 - reached) * _longest(x, z, dx, dz))
        if not step > 1e-8:
            return
        x, z, level = x + step * dx, z + step * dz, level + step * dlevel
        g = q.product(x) + q.c
        yield x * (radius / float(np.sum(x)))


Direction = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, float]]


def _newton(solve: Solver, dual: np.ndarray, primal: float) -> Direction | None:
    """Return the map from the residual of x z to the direction (dx, dz, change of the multiplier), or None for none."""
    ones = solve(np.ones_like(dual))
    total = float(np.sum(ones))
    if not 0 < total < np.inf:  # beyond the range
        return None

    def direction(product: np.ndarray, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        free = solve(-dual - product / x)
        change = (primal - float(np.sum(free))) / total
        dx = free + change * ones
        return dx, -(product + z * dx) / x, change

    return direction


def _longest(x: np.ndarray, z: np.ndarray, dx: np.ndarray, dz: np.ndarray) -> float:
    """Return the longest step at which neither x nor z turns negative, at most 1e10."""
    return 1 / max(float(np.max(-dx / x)), float(np.max(-dz / z)), 1e-10)
