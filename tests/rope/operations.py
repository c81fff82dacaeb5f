"""Rows of the table of operations: rotations, normalised keys, averages over bases."""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from lina.rope import RotaryScaling, average_bases, grid_positions, normalise_keys, rotate, rotate_axial
from tests.operation import Operation, eps
from tests.reference.rotary import rotated

LIBRARIES = ("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax")
THETA = RotaryScaling("none", head_dim=6, original_length=64).inv_freq()
AXES = [
    RotaryScaling("linear", head_dim=4, original_length=2, factor=2),
    RotaryScaling("none", head_dim=4, original_length=4),
]

# NaN and infinities spoil their own pair or row; one axis and wide numbers are results.
PASSES = {"NaN": (), "infinity": (), "minus infinity": (), "complex NaN": (), "1-d": (), "subnormal": (), "huge": ()}
# The table's inputs of other shapes than that of the row have no room for its positions.
NARROW = {**PASSES, **dict.fromkeys(("1-d", "one entry", "one row", "one column"), ("ValueError",))}
CHANCES = {"complex NaN": ("TypeError",), "minus infinity": ("ValueError",), "subnormal": (), "huge": ()}


def numbers(*shape: int) -> Callable[[np.random.Generator, Any], tuple[np.ndarray, ...]]:
    """Return a maker of normal numbers, complex where the dtype is."""

    def make(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
        x = rng.standard_normal(shape)
        if np.dtype(dtype).kind == "c":
            x = x + 1j * rng.standard_normal(shape)
        return (x.astype(dtype),)

    return make


def chances(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
    """Return probabilities with three bases, real also where a complex dtype is asked for."""
    real = {"complex64": "float32", "complex128": "float64"}.get(str(np.dtype(dtype)), dtype)
    return (rng.dirichlet(np.ones(6), size=(3, 4)).astype(real),)


def marked(y: Any) -> dict[str, Any]:
    """Return the result with -1 for NaN and infinities, which are a documented result."""
    xp = array_namespace(y)
    return {"X": xp.where(xp.isfinite(y), y, -xp.ones_like(y))}


def against(reference: Callable[[np.ndarray], np.ndarray], units: float) -> Callable[..., float]:
    """Return the judge of the largest error over units * eps * the largest entry."""

    def error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
        x = inputs[0].astype(np.result_type(inputs[0].dtype, np.float64))
        expected = reference(x)
        return float(np.max(np.abs(outputs["X"] - expected)) / (units * eps(inputs[0]) * np.max(np.abs(expected))))

    return error


def by_parts(reference: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a reference for complex numbers: real and imaginary part by themselves."""
    return lambda x: reference(x.real) + 1j * reference(x.imag) if np.iscomplexobj(x) else reference(x)


def turned(layout: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the rotation of the rows of an array (batch, L, d) by their index."""
    return by_parts(lambda x: np.stack([[rotated(r, i, THETA, layout) for i, r in enumerate(rows)] for rows in x]))


def turned_on_grid(x: np.ndarray) -> np.ndarray:
    """Return rows on the grid (2, 3), whose halves turn by half the row and by the column."""
    theta = AXES[1].inv_freq()

    def real(y: np.ndarray) -> np.ndarray:
        at = [(a, b) for a in range(2) for b in range(3)]
        parts = [(rotated(r[:4], a / 2, theta), rotated(r[4:], b, theta)) for r, (a, b) in zip(y, at, strict=True)]
        return np.array([np.concatenate(pair) for pair in parts])

    return by_parts(real)(x)


def of_length_one(k: np.ndarray) -> np.ndarray:
    """Return rows over their lengths."""
    return k / np.linalg.norm(k, axis=-1, keepdims=True)


def averaged(p: np.ndarray) -> np.ndarray:
    """Return the mean over bases, weighted by the largest entries."""
    weights = p.max(axis=-1)
    return np.einsum("bl,bln->ln", weights / weights.sum(axis=0), p)


def rows_of(x: Any) -> Any:
    """Return the index of each row, as many as a list or an array has."""
    shape = np.shape(x)
    return range(shape[-2]) if len(shape) > 1 else 1


def few(x: Any) -> np.ndarray:
    """Return as many of the frequencies as a row has pairs."""
    shape = np.shape(x)
    return THETA[: shape[-1] // 2] if shape else THETA


def safe(function: Callable[[Any], Any], x: Any, otherwise: Any) -> Any:
    """Return what a function says of the shape of ``x``, something fixed where it has none."""
    try:
        return function(x)
    except (ValueError, TypeError):
        return otherwise


def row(name: str, call: Callable[..., Any], shape: tuple[int, ...], reference: Any, **more: Any) -> Operation:
    """Return a row with the settings that the room shares."""
    options = {"backends": LIBRARIES, "extensions": (), "argument": "x", "hostile": PASSES, "memory": 8.0, **more}
    return Operation(f"rope.{name}", call, numbers(*shape), marked, against(reference, 8), **options)


ROWS = [
    row("rotate", lambda x: rotate(x, safe(rows_of, x, 0), safe(few, x, THETA)), (2, 5, 8), turned("half")),
    row(
        "rotate (interleaved)",
        lambda x: rotate(x, safe(rows_of, x, 0), safe(few, x, THETA), layout="interleaved"),
        (2, 5, 8),
        turned("interleaved"),
    ),
    row("rotate_axial", lambda x: rotate_axial(x, grid_positions(2, 3), AXES), (6, 8), turned_on_grid, hostile=NARROW),
    row("normalise_keys", normalise_keys, (7, 9), of_length_one, argument="k", degree=0),
    Operation(
        "rope.average_bases",
        average_bases,
        chances,
        lambda X: {"X": X},
        against(averaged, 8),
        backends=LIBRARIES,
        extensions=(),
        real=("X",),
        memory=8.0,
        argument="probabilities",
        hostile=CHANCES,
    ),
]
