"""Rows of the table of operations: minimisation over the simplex, quadratic programs, the gap and the residual."""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from lina._core.array import is_lazy, to_numpy
from lina.simplex import frank_wolfe_gap, kkt_residual, minimize, simplex_qp
from tests.linalg.operations_psd import NOT_SQUARE, kernel_matrix
from tests.operation import Operation, eps
from tests.simplex.operations_mappings import REAL, length, numbers, size

# The largest entry of the quadratic programs with caps.
CAP = 0.25

COMPLEX: dict[str, tuple[str, ...]] = {"complex NaN": ("TypeError",)}
VECTORS: dict[str, tuple[str, ...]] = {**COMPLEX, "1-d": ()}


def kernels(*batch: int) -> Callable[[np.random.Generator, Any], tuple[np.ndarray, ...]]:
    """Return a maker of kernel matrices with a nugget, real also where a complex dtype is asked for."""

    def make(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
        dtype = REAL.get(str(np.dtype(dtype)), dtype)
        if not batch:
            return kernel_matrix(rng, dtype)
        return (np.stack([kernel_matrix(rng, dtype)[0][:12, :12] for _ in range(batch[0])]),)

    return make


def qp_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the gap over the value, over 10 eps: the last step is Newton's on the right face."""
    Q, x = inputs[0].astype(np.float64), outputs["X"].astype(np.float64)
    g = (Q @ x[..., None])[..., 0]
    gap = np.sum(x * (g - g.min(axis=-1, keepdims=True)), axis=-1)
    off = np.abs(np.sum(x, axis=-1) - 1)
    return float(np.max(gap / (20 * eps(inputs[0]) * np.sum(x * g, axis=-1)) + off / (4 * eps(inputs[0]))))


def capped_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the gap over its tolerance of 1e-10, in single precision over what rounding to it costs."""
    Q, x = inputs[0].astype(np.float64), outputs["X"].astype(np.float64)
    g = Q @ x
    gap = float(frank_wolfe_gap(x / x.sum(), g, upper=CAP / min(1.0, x.sum())))
    excess = max(float(x.max()) - CAP, abs(float(x.sum()) - 1))
    return gap / (max(1e-10, 100 * eps(inputs[0])) * float(x @ g)) + excess / (40 * eps(inputs[0]))


class Mirror:
    """The squared distance from minus the first point asked for, in units of its size."""

    def __init__(self, unit: float) -> None:
        self.unit = unit
        self.target: Any = None

    def __call__(self, x: Any) -> tuple[float, Any]:
        if self.target is None:
            self.target = -x
        d = (x - self.target) / self.unit
        plain = to_numpy(d).astype(np.float64)
        return 0.5 * self.unit * float(np.sum(plain * plain)), d


def wide(x: Any) -> float:
    """Return a radius of the ball in which x lies with room around it."""
    return min(2.0 * length(x) * size(x), 1e308)


def reflect(x: Any) -> Any:
    """Return -x as the point of the ball nearest to it."""
    return minimize(Mirror(size(x)), x, set="l1_ball", radius=wide(x), method="projected_gradient", rtol=1e-9).x


def reflection_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the distance from -x over a hundredth of its size: the tolerance is one of the value."""
    return float(np.max(np.abs(outputs["X"] + inputs[0])) / (0.01 * np.max(np.abs(inputs[0]))))


def largest(gap: Any) -> dict[str, Any]:
    """Return the largest of the rows as a float: gaps are float64 whatever the input."""
    if is_lazy(gap):
        return {"error": array_namespace(gap).max(gap)}
    return {"error": np.max(to_numpy(gap).astype(np.float64))}


def gap_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, Any]) -> float:
    """Return the relative error of the largest x.x + radius max abs x of the rows."""
    x = inputs[0].astype(np.float64)
    unit = np.max(np.abs(x))
    expected = np.max(np.sum((x / unit) ** 2, axis=-1) + 2.0 * x.shape[-1] * np.max(np.abs(x / unit), axis=-1))
    return float(abs(outputs["error"] / unit / unit - expected) / (20 * eps(inputs[0]) * expected))


def residual_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, Any]) -> float:
    """Return the relative error of the largest norm of x - radius / n of the rows."""
    x = inputs[0].astype(np.float64)
    unit = np.max(np.abs(x))
    expected = np.max(np.linalg.norm(x / unit - 1 / x.shape[-1], axis=-1))
    return float(abs(outputs["error"] / unit - expected) / (20 * eps(inputs[0]) * expected))


ROWS = [
    Operation(
        "simplex.simplex_qp",
        call=lambda Q: simplex_qp(Q).x,
        arrays=kernels(),
        outputs=lambda x: {"X": x},
        error=qp_error,
        degree=0,
        argument="Q",
        hostile={**NOT_SQUARE, **COMPLEX, "one entry": (), "None": ("ValueError",)},
        real=("X",),
    ),
    Operation(
        "simplex.simplex_qp (batch)",
        call=lambda Q: simplex_qp(Q).x,
        arrays=kernels(40),
        outputs=lambda x: {"X": x},
        error=qp_error,
        degree=0,
        argument="Q",
        hostile={**NOT_SQUARE, **COMPLEX, "one entry": (), "None": ("ValueError",)},
        real=("X",),
    ),
    Operation(
        "simplex.simplex_qp (upper)",
        call=lambda Q: simplex_qp(Q, upper=1.0 if getattr(Q, "size", 1) == 1 else CAP, rtol=1e-10).x,
        arrays=kernels(),
        outputs=lambda x: {"X": x},
        error=capped_error,
        degree=0,
        argument="Q",
        hostile={**NOT_SQUARE, **COMPLEX, "one entry": (), "None": ("ValueError",)},
        real=("X",),
    ),
    Operation(
        "simplex.minimize",
        call=reflect,
        arrays=numbers(4, 10),
        outputs=lambda x: {"X": x},
        error=reflection_error,
        argument="x0",
        hostile={**VECTORS, "None": ("ValueError",), "huge": ("ValueError",)},
        real=("X",),
    ),
    Operation(
        "simplex.frank_wolfe_gap",
        call=lambda x: frank_wolfe_gap(x, x, set="l1_ball", radius=wide(x)),
        arrays=numbers(4, 10),
        outputs=largest,
        error=gap_error,
        degree=2,
        argument="x",
        hostile={**VECTORS, "huge": ("ValueError",)},
    ),
    Operation(
        "simplex.kkt_residual",
        call=lambda x: kkt_residual(x, x, radius=size(x)),
        arrays=numbers(4, 10),
        outputs=largest,
        error=residual_error,
        argument="x",
        hostile=VECTORS,
    ),
]
