"""Independent quadratics in one call: small ones in one kernel, the rest one after the other; certified together."""

from typing import Any

import array_api_compat.numpy as numpy_namespace
import numpy as np

from lina._core.certificates import Status
from lina._core.kernels import kernel
from lina.simplex._gap import measure
from lina.simplex._minimize.progress import Progress, Region, Tolerances
from lina.simplex._result import SimplexResult
from lina.simplex._rows import WORTH_COMPILING
from lina.simplex._simplex_qp.convexity import is_convex
from lina.simplex._simplex_qp.finish import in_dtype_of, moved, support_of
from lina.simplex._simplex_qp.hybrid import NEGLIGIBLE, Problem, close_rounding, rounding, solve
from lina.simplex._simplex_qp.quadratic import Dense

# Above this size LAPACK's factors are faster than the kernel's own.
_LARGEST = 150


def solve_batch(
    Q: np.ndarray,
    c: np.ndarray,
    starts: np.ndarray | None,
    radius: float,
    tolerances: Tolerances,
    *,
    method: str,
    convex: bool | None,
    max_iterations: int,
    like: Any,
) -> SimplexResult:
    """Return one result for the problems Q (..., n, n), c (..., n)."""
    batch, n = c.shape[:-1], c.shape[-1]
    Q, c = np.ascontiguousarray(Q.reshape(-1, n, n)), np.ascontiguousarray(c.reshape(-1, n))
    known = np.array([is_convex(Dense(*each), convex) for each in zip(Q, c, strict=True)], dtype=bool)
    x = _vertices(Q, c, radius) if starts is None else starts.reshape(-1, n).copy()
    taken = np.zeros(len(c), dtype=np.int64)
    pending = np.ones(len(c), dtype=bool)
    if method == "auto" and n <= _LARGEST and Q.size >= WORTH_COMPILING:
        run: Any = kernel("simplex_qp_rows", numpy_namespace)
        t = tolerances
        report, taken, curvature = run(Q, c, x, max_iterations, (t.rtol, t.atol, t.scale))
        known &= curvature > -1e-12 * np.max(np.abs(Q), axis=(1, 2))
        pending = (report != 0) & (taken < max_iterations)
    for i in np.flatnonzero(pending):
        progress = Progress(
            numpy_namespace, Region(radius), tolerances, convex=bool(known[i]), max_iterations=max_iterations
        )
        solve(Problem(Dense(Q[i], c[i]), x[i], radius, progress), method if known[i] else "pairwise")
        assert progress.best is not None
        x[i], taken[i], known[i] = progress.best.x, taken[i] + progress.iteration, bool(progress.convex)
    status = Status.MAX_ITERATIONS if np.any(taken >= max_iterations) else Status.ROUNDING
    return _certified(Q, c, tolerances, radius, in_dtype_of(like, x, radius), taken, known, batch, status, like)


def _vertices(Q: np.ndarray, c: np.ndarray, radius: float) -> np.ndarray:
    """Return the vertex of the lowest value of each problem."""
    x = np.zeros_like(c)
    best = np.argmin(0.5 * radius * np.diagonal(Q, axis1=1, axis2=2) + c, axis=1)
    x[np.arange(len(c)), best] = radius
    return x


def _certified(
    Q: np.ndarray,
    c: np.ndarray,
    tolerances: Tolerances,
    radius: float,
    x: np.ndarray,
    taken: np.ndarray,
    known: np.ndarray,
    batch: tuple[int, ...],
    status: Status,
    like: Any,
) -> SimplexResult:
    """Return the result with every gap evaluated at the points as they are returned; ``status`` if one is too large."""
    g = (Q @ x[:, :, None])[:, :, 0] + c
    value = 0.5 * np.sum(x * (g + c), axis=1)
    parts = measure(numpy_namespace, x, g, radius)
    size = np.maximum(np.abs(value), tolerances.scale)
    noise = rounding(np.diagonal(Q, axis1=1, axis2=2), c, g, radius)
    for i in np.flatnonzero(noise > NEGLIGIBLE * (tolerances.rtol * size + tolerances.atol)):
        noise[i] = min(noise[i], close_rounding(Dense(Q[i], c[i]).sizes(x[i]), c[i], g[i], x[i], radius))
    gap = parts.gap + (noise if c.shape[-1] > 1 else 0.0)  # a single point has no other to compare slopes with
    certified = bool(np.all(known))
    x = moved(x.reshape(*batch, -1), like)
    return SimplexResult(
        x=x,
        value=value.reshape(batch),  # type: ignore[arg-type]  # arrays of the batch, as the docstring says
        gap=gap.reshape(batch),
        relative_gap=np.divide(gap, size, out=np.zeros_like(gap), where=gap > 0).reshape(batch),  # type: ignore[arg-type]
        lower_bound=(value - gap).reshape(batch) if certified else None,  # type: ignore[arg-type]
        certified=certified,
        certified_in="float64",
        multiplier=parts.multiplier.reshape(batch),
        reduced_costs=moved(parts.reduced_costs.reshape(*batch, -1), like),
        support=support_of(x),
        status=Status.CONVERGED if np.all(gap <= tolerances.rtol * size + tolerances.atol) else status,
        iterations=taken.reshape(batch),  # type: ignore[arg-type]
        evaluations=int(np.sum(taken)),
        method="pairwise + active set",
    )
