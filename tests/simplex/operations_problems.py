"""Rows of the table of operations: the named problems over the simplex."""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from lina.simplex import (
    kernel_herding,
    min_enclosing_ball,
    mixture_proportions,
    mmd_quantization,
    optimal_design,
    portfolio_frontier,
    simplex_lsq,
)
from tests.operation import Operation, eps
from tests.reference.simplex_problems import exhaustive_ball, exhaustive_qp, mmd_squared

REAL = {"complex64": "float32", "complex128": "float64"}

# Distributions are over real data, also where a complex dtype is asked for.
COMPLEX: dict[str, tuple[str, ...]] = {"complex NaN": ("TypeError",)}

Maker = Callable[[np.random.Generator, Any], tuple[np.ndarray, ...]]


def real(draw: Callable[[np.random.Generator], np.ndarray]) -> Maker:
    """Return a maker of what ``draw`` draws, real also where a complex dtype is asked for."""
    return lambda rng, dtype: (draw(rng).astype(REAL.get(str(np.dtype(dtype)), dtype)),)


def first_column(A: Any) -> Any:
    """Return the first column of a matrix of any library or of a list of rows, else what was given."""
    if isinstance(A, (list, tuple)) and all(isinstance(row, (list, tuple)) for row in A):
        return [row[0] for row in A]
    return A[:, 0] if getattr(A, "ndim", 0) == 2 and not hasattr(A, "tocsr") else A


def zeros(A: Any) -> Any:
    """Return a vector of zeros, one per row, in the library of a matrix."""
    column = first_column(A)
    if isinstance(column, list):
        return [0.0] * len(column)
    return np.zeros(1) if column is A else array_namespace(column).zeros_like(column)


def some_rows(A: Any) -> int:
    """Return 4, or the number of rows if that is less."""
    return min(4, A.shape[0] if getattr(A, "ndim", 0) == 2 else 4)


def off(found: np.ndarray, wanted: np.ndarray, bound: float) -> float:
    """Return the largest difference over its bound."""
    return float(np.max(np.abs(found - wanted)) / bound)


def least_norm_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the distance from the best of all faces, over 1000 eps."""
    A = inputs[0].astype(np.float64)
    return off(outputs["X"], exhaustive_qp(A.T @ A, np.zeros(A.shape[1]))[0], 1000 * eps(inputs[0]))


def ball_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the distance from the center of the best of all subsets, over 1000 eps."""
    return off(outputs["X"], exhaustive_ball(inputs[0].astype(np.float64))[0], 1000 * eps(inputs[0]))


def heaviest_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the distance from the design on the largest of single regressors."""
    best = np.argmax(np.abs(inputs[0][:, 0]))
    return off(outputs["X"], np.eye(len(inputs[0]))[best], 10 * eps(inputs[0]))


def likelihood_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the gap of the proportions over 1e-6 and rounding."""
    L = inputs[0].astype(np.float64)
    x = outputs["X"] / outputs["X"].sum(dtype=np.float64)
    return float((np.mean(L / (L @ x)[:, None], axis=0).max() - 1) / (1e-6 + 100 * eps(inputs[0])))


def least_variance_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the distance from the portfolio of the best of all faces, over 1e-4."""
    F = inputs[0].astype(np.float64)
    return off(outputs["X"][0], exhaustive_qp(F @ F.T, np.zeros(len(F)))[0], 1e-4)


def discrepancy_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the discrepancy of four points over that of the best single one."""
    X = inputs[0].astype(np.float64) / np.max(np.abs(inputs[0]))
    squares = np.sum((X[:, None] - X) ** 2, axis=2)
    K = np.exp(-squares / np.mean(squares))
    w = np.full(len(X), 1 / len(X))
    single = min(mmd_squared(K, e, w) for e in np.eye(len(X)))
    return float(np.sqrt(mmd_squared(K, outputs["X"], w) / single))


def normal(*shape: int) -> Maker:
    """Return a maker of normal numbers."""
    return real(lambda rng: rng.standard_normal(shape))


def row(name: str, call: Callable[..., Any], arrays: Maker, error: Callable[..., float], **options: Any) -> Operation:
    """Return a row whose output X does not change with the scale of the data, unless it says otherwise."""
    hostile = COMPLEX | options.pop("hostile", {})
    defaults: dict[str, Any] = {"degree": 0, "extensions": (), "real": ("X",), "memory": 12.0}
    return Operation(
        f"simplex.{name}", call, arrays, lambda x: {"X": x}, error, hostile=hostile, **(defaults | options)
    )


ROWS = [
    row(
        "simplex_lsq",
        lambda A: simplex_lsq(A, zeros(A)).x,
        real(lambda rng: rng.standard_normal((30, 8)) + 1),
        least_norm_error,
    ),
    row(
        "min_enclosing_ball", lambda X: min_enclosing_ball(X).center, normal(12, 2), ball_error, degree=1, argument="X"
    ),
    row(
        "optimal_design",
        lambda A: optimal_design(A).x,
        normal(40, 1),
        heaviest_error,
        extensions=("linalg",),
        hostile={"zeros": ("ValueError",), "one row": (), "one column": ()},
    ),
    row(
        "mixture_proportions",
        lambda L: mixture_proportions(L).x,
        real(lambda rng: 1 + rng.random((40, 5))),
        likelihood_error,
        argument="likelihood",
        hostile={"zeros": ("ValueError",)},
    ),
    row(
        "portfolio_frontier",
        lambda F: portfolio_frontier(mean=first_column(F), factor=F, risk_aversion=np.array([np.inf])).x,
        normal(8, 20),
        least_variance_error,
        argument="factor",
        hostile={"huge": ("OverflowError",)},
    ),
    row(
        "mmd_quantization",
        lambda X: mmd_quantization(X, some_rows(X)).x,
        normal(30, 2),
        discrepancy_error,
        argument="X",
    ),
    row("kernel_herding", lambda X: kernel_herding(X, 4).x, normal(30, 2), discrepancy_error, argument="X"),
]
