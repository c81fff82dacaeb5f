"""Rows of the table of operations: projections onto the simplex and its kin, softmax, entmax, and their derivatives."""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from lina._core.array import to_numpy
from lina.simplex import (
    entmax,
    entmax_jvp,
    entmax_vjp,
    kl_project,
    log_softmax,
    log_softmax_jvp,
    log_softmax_vjp,
    logsumexp,
    project_capped_simplex,
    project_capped_simplex_jvp,
    project_capped_simplex_vjp,
    project_l1_ball,
    project_l1_ball_jvp,
    project_l1_ball_vjp,
    project_simplex,
    project_simplex_jvp,
    project_simplex_vjp,
    project_sparse_simplex,
    prox_kl,
    softmax,
    softmax_jvp,
    softmax_vjp,
    sparsemax,
    sparsemax_jvp,
    sparsemax_vjp,
)
from tests.operation import Operation, eps
from tests.reference.simplex import sorted_projection

REAL = {"complex64": "float32", "complex128": "float64"}

# A mapping has a result for infinities and NaN, and for one dimension; it has none for complex numbers.
ANY_REAL: dict[str, tuple[str, ...]] = {
    "NaN": (),
    "infinity": (),
    "minus infinity": (),
    "complex NaN": ("TypeError",),
    "1-d": (),
    "subnormal": (),
    "huge": (),
}
NOT_NEGATIVE = {**ANY_REAL, "NaN": ("ValueError",), "infinity": ("ValueError",), "minus infinity": ("ValueError",)}


def numbers(*shape: int) -> Callable[[np.random.Generator, Any], tuple[np.ndarray, ...]]:
    """Return a maker of normal numbers, real also where a complex dtype is asked for."""
    return lambda rng, dtype: (rng.standard_normal(shape).astype(REAL.get(str(np.dtype(dtype)), dtype)),)


def positive(*shape: int) -> Callable[[np.random.Generator, Any], tuple[np.ndarray, ...]]:
    """Return a maker of positive numbers."""
    return lambda rng, dtype: (np.abs(numbers(*shape)(rng, dtype)[0]) + np.asarray(0.1, REAL.get(str(dtype), dtype)),)


def size(x: Any) -> float:
    """Return the largest finite size of an entry, by which radius and temperature follow the scale of x; or 1."""
    try:
        values = to_numpy(x) if hasattr(x, "shape") and hasattr(x, "dtype") else x
        values = np.abs(np.asarray(np.real(values), dtype=np.float64))
    except (TypeError, ValueError):
        return 1.0
    values = values[np.isfinite(values)]
    return float(values.max()) if values.size and values.max() > 0 else 1.0


def marked(p: Any) -> dict[str, Any]:
    """Return p with -1 for the entries of NaN rows, which are a documented result."""
    xp = array_namespace(p)
    return {"X": xp.where(xp.isnan(p), -1.0, p)}


def against(reference: Callable[[np.ndarray], np.ndarray], units: float = 8) -> Any:
    """Return the judge by a reference in float64: the largest difference over units * eps * largest entry."""

    def error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
        x = inputs[0]
        expected = reference(x.astype(np.float64))
        return float(np.max(np.abs(outputs["X"] - expected)) / (units * eps(x) * max(np.max(np.abs(expected)), 1e-300)))

    return error


def each_row(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function of an array whose rows are given to ``function``."""
    return lambda x: np.apply_along_axis(function, -1, x)


def reference_projection(x: np.ndarray) -> np.ndarray:
    """Return the projection onto the simplex of radius `size`, by sorting."""
    radius = size(x)
    return each_row(lambda row: sorted_projection(row, radius)[0])(x)


def reference_entmax15(x: np.ndarray) -> np.ndarray:
    """Return the entmax at 1.5 and temperature `size`, by bisection."""
    z = (x - x.max(axis=-1, keepdims=True)) / size(x) / 2
    low, high = -np.ones((*x.shape[:-1], 1)), np.zeros((*x.shape[:-1], 1))
    for _ in range(60):
        middle = (low + high) / 2
        above = np.sum(np.maximum(z - middle, 0) ** 2, axis=-1, keepdims=True) > 1
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.maximum(z - low, 0) ** 2


def reference_softmax(x: np.ndarray) -> np.ndarray:
    """Return the softmax at temperature `size`."""
    weights = np.exp((x - x.max(axis=-1, keepdims=True)) / size(x))
    return weights / weights.sum(axis=-1, keepdims=True)


def reference_l1(x: np.ndarray) -> np.ndarray:
    """Return the projection onto the l1 ball of radius `size`."""
    inside = np.abs(x).sum(axis=-1, keepdims=True) <= size(x)
    return np.where(inside, x, np.sign(x) * reference_projection(np.abs(x)))


def reference_sparse(x: np.ndarray) -> np.ndarray:
    """Return the projection with three entries (no ties) onto the simplex of radius `size`."""
    third = np.sort(x, axis=-1)[..., -3:][..., :1]
    radius = size(x)
    return each_row(lambda row: sorted_projection(row, radius)[0])(np.where(x >= third, x, -np.inf))


def reference_capped(x: np.ndarray) -> np.ndarray:
    """Return the projection between 0 and a third of the sum `size`, by bisection."""
    total = size(x)
    low = x.min(axis=-1, keepdims=True) - total
    high = x.max(axis=-1, keepdims=True)
    for _ in range(80):
        middle = (low + high) / 2
        above = np.clip(x - middle, 0, total / 3).sum(axis=-1, keepdims=True) > total
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.clip(x - low, 0, total / 3)


def length(x: Any) -> int:
    """Return the number of entries of a row, 1 where there is no row."""
    try:
        shape = x.shape if hasattr(x, "shape") else np.shape(x)
    except ValueError:  # a ragged list
        return 1
    return shape[-1] if len(shape) else 1


def capped(x: Any) -> Any:
    """Return the same by lina; rows too short for their caps have wider ones."""
    total = size(x)
    return project_capped_simplex(x, upper=total / min(3, length(x)), total=total)


def of_distribution(function: Any, **options: Any) -> Any:
    """Return the call of a derivative at one distribution made of x, in the direction of another."""

    def call(x: Any) -> Any:
        p = sparsemax(x, temperature=size(x))
        return function(p, sparsemax(x, temperature=size(x) / 4), **options)

    return call


def weighted_jacobian(weights: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the product of diag(s) - s s^T / sum s, s = weights(p), with the direction of `of_distribution`."""

    def product(x: np.ndarray) -> np.ndarray:
        radius, out = size(x), np.zeros_like(x)
        for i, line in enumerate(x):
            p, g = sorted_projection(line, radius)[0] / radius, sorted_projection(line, radius / 4)[0] * 4 / radius
            s = weights(p)
            out[i] = (np.diag(s) - np.outer(s, s) / s.sum()) @ g
        return out

    return product


def log_softmax_product(transposed: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Return the product of I - 1 p^T or its transpose with the direction of `at_log_softmax`."""

    def product(x: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for i, (p, line) in enumerate(zip(reference_softmax(x), x, strict=True)):
            jacobian = np.eye(len(p)) - np.outer(np.ones(len(p)), p)
            out[i] = (jacobian.T if transposed else jacobian) @ sorted_projection(line, size(x))[0] / size(x)
        return out

    return product


def at_log_softmax(function: Any) -> Any:
    """Return the call of a derivative at the log-softmax of x, in the direction of a distribution."""
    return lambda x: function(log_softmax(x, temperature=size(x)), sparsemax(x, temperature=size(x)))


def reference_kl(x: np.ndarray) -> np.ndarray:
    """Return x scaled to rows of the sum `size`."""
    return x / x.sum(axis=-1, keepdims=True) * size(x)


def reference_kl_capped(x: np.ndarray) -> np.ndarray:
    """Return min(c x, cap), of rows of the sum `size`, by bisection on c."""
    total = size(x)
    low, high = np.zeros((*x.shape[:-1], 1)), np.full((*x.shape[:-1], 1), 1e3)
    for _ in range(100):
        middle = (low + high) / 2
        above = np.minimum(middle * x, total / 20).sum(axis=-1, keepdims=True) > total
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.minimum(low * x, total / 20)


def reference_prox(x: np.ndarray) -> np.ndarray:
    """Return x exp(-g) scaled to rows of the sum `size`, g the sparsemax of x at temperature `size`."""
    weights = x * np.exp(-reference_projection(x) / size(x))
    return weights / weights.sum(axis=-1, keepdims=True) * size(x)


def reference_logsumexp(x: np.ndarray) -> np.ndarray:
    """Return the logsumexp at temperature `size`."""
    return np.log(np.exp(x / size(x)).sum(axis=-1)) * size(x)


def finite_or_marked(p: Any) -> dict[str, Any]:
    """Return p with -1 for what is not finite: infinities are a documented result of logarithms."""
    xp = array_namespace(p)
    return {"X": xp.where(xp.isfinite(p), p, -1.0)}


LIBRARIES = ("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax")


def row(name: str, call: Any, error: Any, **options: Any) -> Operation:
    """Return a row with what all mappings have in common."""
    common = {"arrays": numbers(7, 40), "hostile": ANY_REAL, "degree": 0, "outputs": marked, "argument": "x"}
    common["backends"] = (*LIBRARIES, "dask")
    options = {**common, **options}
    return Operation(f"simplex.{name}", call=call, error=error, extensions=(), real=("X",), **options)


ones = weighted_jacobian(lambda p: (p > 0) * 1.0)
own = weighted_jacobian(lambda p: p)
roots = weighted_jacobian(np.sqrt)

ROWS = [
    row("project_simplex", lambda x: project_simplex(x, size(x)), against(reference_projection), degree=1),
    row(
        "project_simplex (batch)",
        lambda x: project_simplex(x, size(x)),
        against(reference_projection),
        arrays=numbers(60, 90),
        degree=1,
    ),
    row("project_l1_ball", lambda x: project_l1_ball(x, size(x)), against(reference_l1), degree=1),
    row(
        "project_sparse_simplex",
        lambda x: project_sparse_simplex(x, min(3, length(x)), size(x)),
        against(reference_sparse),
        degree=1,
    ),
    row("project_capped_simplex", capped, against(reference_capped), degree=1),
    row("project_capped_simplex (batch)", capped, against(reference_capped), arrays=numbers(60, 90), degree=1),
    row(
        "kl_project",
        lambda x: kl_project(x, size(x)),
        against(reference_kl),
        arrays=positive(7, 40),
        hostile={**NOT_NEGATIVE, "zeros": ("ValueError",)},
        degree=1,
    ),
    row(
        "kl_project (capped)",
        lambda x: kl_project(x, size(x), upper=size(x) / min(20, length(x))),
        against(reference_kl_capped),
        backends=LIBRARIES,  # dask takes no entries in a given order
        arrays=positive(7, 40),
        hostile={**NOT_NEGATIVE, "zeros": ("ValueError",)},
        degree=1,
    ),
    row(
        "prox_kl",
        lambda x: prox_kl(x, sparsemax(x, temperature=size(x)), radius=size(x)),
        against(reference_prox),
        arrays=positive(7, 40),
        hostile={**NOT_NEGATIVE, "zeros": ("ValueError",)},
        degree=1,
    ),
    row("softmax", lambda x: softmax(x, temperature=size(x)), against(reference_softmax)),
    row(
        "log_softmax",
        lambda x: log_softmax(x, temperature=size(x)),
        against(lambda x: np.log(reference_softmax(x))),
        outputs=finite_or_marked,
    ),
    row(
        "logsumexp",
        lambda x: logsumexp(x, temperature=size(x)),
        against(reference_logsumexp),
        outputs=finite_or_marked,
        degree=1,
    ),
    row("sparsemax", lambda x: sparsemax(x, temperature=size(x)), against(lambda x: reference_projection(x) / size(x))),
    row("entmax", lambda x: entmax(x, temperature=size(x)), against(reference_entmax15), memory=20.0),
    row(
        "entmax (batch)",
        lambda x: entmax(x, temperature=size(x)),
        against(reference_entmax15),
        arrays=numbers(60, 90),
    ),
    row(
        "softmax (batch)",
        lambda x: softmax(x, temperature=size(x)),
        against(reference_softmax),
        arrays=numbers(60, 90),
    ),
    row("project_simplex_vjp", of_distribution(project_simplex_vjp), against(ones)),
    row("project_simplex_jvp", of_distribution(project_simplex_jvp), against(ones)),
    row("project_capped_simplex_vjp", of_distribution(project_capped_simplex_vjp, upper=2.0), against(ones)),
    row("project_capped_simplex_jvp", of_distribution(project_capped_simplex_jvp, upper=2.0), against(ones)),
    row("project_l1_ball_vjp", of_distribution(project_l1_ball_vjp), against(ones)),
    row("project_l1_ball_jvp", of_distribution(project_l1_ball_jvp), against(ones)),
    row("sparsemax_vjp", of_distribution(sparsemax_vjp), against(ones)),
    row("sparsemax_jvp", of_distribution(sparsemax_jvp), against(ones)),
    row("softmax_vjp", of_distribution(softmax_vjp), against(own)),
    row("softmax_jvp", of_distribution(softmax_jvp), against(own)),
    row("entmax_vjp", of_distribution(entmax_vjp), against(roots)),
    row("entmax_jvp", of_distribution(entmax_jvp), against(roots)),
    row(
        "log_softmax_vjp", at_log_softmax(log_softmax_vjp), against(log_softmax_product(True)), outputs=finite_or_marked
    ),
    row(
        "log_softmax_jvp",
        at_log_softmax(log_softmax_jvp),
        against(log_softmax_product(False)),
        outputs=finite_or_marked,
    ),
]
