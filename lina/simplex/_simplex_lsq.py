"""Least squares over the simplex: the point of a polytope that is nearest to a given one."""

import math
from typing import Any

import numpy as np

from lina._core.array import from_numpy, open_door
from lina._core.checks import check_tolerance
from lina._core.kernels import kernel
from lina.simplex._data import check_data, computing, host, indices_like, power_of_two, scaled
from lina.simplex._result import SimplexResult
from lina.simplex._working_set import EPS, HELD, Callback, check_start, check_stopping, descend, in_unit, result_fields

# New columns after each pass: a pass costs m n, a column in the working set m times the size of that.
_WIDTH = 16


def simplex_lsq(
    A: Any,
    b: Any,
    *,
    x0: Any = None,
    rtol: float = 1e-6,
    scale: float | None = None,
    max_iterations: int = 1000,
    callback: Callback | None = None,
    history: bool = False,
) -> SimplexResult:
    """Minimise norm(A x - b)^2 / 2 over the simplex, with a certified gap: mix the columns of A to come near b.

    Parameters
    ----------
    A : array_like, shape (m, n)
        Real and finite. Columns may repeat, and there may be more of them than rows.
    b : array_like, shape (m,)
        In the library and on the device of ``A``.
    x0 : array_like, shape (n,), or SimplexResult, optional
        Where to start, non-negative with sum 1. Where it leads to a point from which nothing moves, the iteration goes
        on as without it.
    rtol : float
        Stop when the gap is at most ``rtol * max(value, scale)``. 0 asks for all that rounding allows.
    scale : float, optional
        By default norm(b)^2 / 2, or what the first column gives where b is zero: ``rtol`` is then the accuracy of the
        part of b that is explained.
    max_iterations : int
        Most passes over ``A``.
    callback : callable, optional
        Is given each `Step`; a true answer stops.
    history : bool
        Keep the steps.

    Returns
    -------
    SimplexResult
        ``value`` is norm(A x - b)^2 / 2. For torch tensors ``x`` is differentiable by ``A`` and ``b``, any number of
        times; where the solution has no derivative the backward pass raises
        `lina.torch.simplex_solutions.DegenerateSolutionError`.

    Raises
    ------
    TypeError
        If ``A`` or ``b`` is no dense array of real numbers, or their libraries differ.
    ValueError
        If ``A`` is not a finite nonempty matrix with values, ``b`` no such vector of its rows, or an option is out of
        range.
    OverflowError
        If the value exceeds the range of float64.

    Notes
    -----
    After each pass over A the quadratic is solved exactly on the columns that carry weight and those of least gradient,
    with the gradient of the pass, so that the passes are steps of iterative refinement: the square of the condition
    number costs time but no accuracy.

    Cost 4 m n flops a pass and m k^2 for k columns in the working set; one copy of ``A`` in float64.

    References
    ----------
    Wolfe, Math. Programming 11 (1976) 128; Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import simplex_lsq
    >>> A = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])
    >>> r = simplex_lsq(A, np.array([1.0, -1.0]))
    >>> r.x, r.value
    (array([0.5, 0.5, 0. ]), 0.5)
    """
    xp, A, b = open_door(A=A, b=b)
    check_data(xp, A, "A")
    check_data(xp, b, "b", ndim=1)
    if b.shape[0] != A.shape[0]:
        raise ValueError(f"b must have one entry per row of A, {A.shape[0]}, got {b.shape[0]}")
    stopping = check_stopping(rtol, max_iterations, callback, history)
    inner, matrix, target = computing(xp, A, b)
    problem = _LeastSquares(inner, matrix, target, scale)
    found = descend(problem, check_start(x0, A.shape[1]), stopping, width=_WIDTH)
    fields = result_fields(problem, found, xp, A, rtol=stopping.rtol, method="working set + active set")
    fields = in_unit(fields, problem.unit, 2, "A")
    attach = kernel("simplex_lsq_solution", xp)
    if attach is not None:
        fields["x"] = attach(fields["x"], A, b)
    return SimplexResult(**fields)


class _LeastSquares:
    """F(x) = norm(A x - b)^2 / 2, both in a unit in which squares keep in range."""

    kind, held = "active set", HELD

    def __init__(self, xp: Any, A: Any, b: Any, scale: float | None) -> None:
        self.xp, self.unit = xp, power_of_two(xp, A, b)
        self.A, self.b = scaled(xp, A, self.unit), scaled(xp, b, self.unit)
        self.norms = np.sqrt(host(xp.sum(self.A**2, axis=0)))
        self.longest = float(self.norms.max())
        self.norm_b, self.length, self.value = math.sqrt(float(xp.sum(self.b**2))), 0.0, 0.0
        squares = [float(host(v) @ host(v)) / 2 for v in (self.b, self.A[:, 0])]
        default = next((s for s in squares if s > 0), 1.0)
        self.least = default if scale is None else check_tolerance(scale, "scale") / self.unit / self.unit

    def start(self, x: np.ndarray | None = None) -> np.ndarray:
        """Return ``x``, or the column nearest to b."""
        if x is not None:
            return x
        distances = self.xp.sum((self.A - self.b[:, None]) ** 2, axis=0)
        x = np.zeros(self.A.shape[1])
        x[int(self.xp.argmin(distances))] = 1.0
        return x

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = self.A @ from_numpy(x, self.A)
        residual = mixed - self.b
        self.length = float(self.norms @ x) + self.norm_b  # not that of A x, in which columns may cancel
        self.value = float(self.xp.sum(residual**2)) / 2
        return self.value, host(residual @ self.A)

    def improve(self, chosen: np.ndarray, x: np.ndarray, gradient: np.ndarray, tolerance: float) -> np.ndarray:
        columns = self.xp.take(self.A, indices_like(chosen, self.A, self.xp), axis=1)
        Q = host(self.xp.matrix_transpose(columns) @ columns)
        solve: Any = kernel("active_set_qp", np)
        return solve(Q, gradient - Q @ x, x, tolerance)[0]

    def scale(self, value: float) -> float:
        return max(value, self.least)

    def rounding(self) -> float:
        return 4 * EPS * (self.longest * self.length + self.value)
