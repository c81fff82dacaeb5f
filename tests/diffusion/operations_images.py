"""Rows of the table of operations: resampling of fields, errors at several resolutions, distances of samples."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lina._core.array import is_lazy, open_door
from lina.diffusion import avg_pool, dct_downsample, dct_upsample, multiscale_mse, nearest_upsample
from lina.diffusion.metrics import (
    frechet_distance,
    gaussian_frechet_distance,
    kid,
    precision_recall,
    radial_spectrum,
    sliced_wasserstein,
)
from tests.operation import Operation, eps
from tests.reference.diffusion_images import block_means, cosine_resampled, covered, radial_power, unbiased_mmd
from tests.rope.operations import marked, numbers

LIBRARIES = ("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax")

# NaN and infinities spoil what they touch; the table's inputs of two axes have no (batch, channels) before them.
SHAPES = dict.fromkeys(("1-d", "one entry", "one row", "one column"), ("ValueError",))
FIELDS = {**dict.fromkeys(("NaN", "infinity", "minus infinity", "complex NaN", "subnormal", "huge"), ()), **SHAPES}
SAMPLES = {"complex NaN": ("TypeError",), "one entry": ("ValueError",), "one row": ("ValueError",)}


def real_numbers(*shape: int) -> Callable[[np.random.Generator, Any], tuple[np.ndarray, ...]]:
    """Return a maker of normal numbers that are real also where a complex dtype is asked for."""

    def make(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
        real = {"complex64": "float32", "complex128": "float64"}.get(str(np.dtype(dtype)), dtype)
        return (rng.standard_normal(shape).astype(real),)

    return make


def partner(x: Any) -> Any:
    """Return another array that scales with ``x``, or ``x`` itself where it is none."""
    try:
        xp, found = open_door(min_ndim=2, x=x)
    except (TypeError, ValueError):
        return x
    return xp.flip(found, axis=-1) * 0.5


def unit(x: Any) -> Any:
    """Return ``x`` over its largest entry, for a kernel without units."""
    try:
        xp, found = open_door(min_ndim=2, x=x)
        largest = xp.max(xp.abs(found))
        if is_lazy(largest):
            return found / largest
        return found / largest if xp.isfinite(largest) and largest > 0 else x
    except (TypeError, ValueError):
        return x


def against(reference: Callable[[np.ndarray], Any], units: float) -> Callable[..., float]:
    """Return the judge of the largest error over units * eps * the largest entry."""

    def error(inputs: tuple[np.ndarray, ...], outputs: dict[str, Any]) -> float:
        x = inputs[0].astype(np.result_type(inputs[0].dtype, np.float64))
        expected = np.asarray(reference(x))
        return float(np.max(np.abs(outputs["X"] - expected)) / (units * eps(inputs[0]) * np.max(np.abs(expected))))

    return error


def series(*sizes: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the resampling of the last two axes by cosines."""

    def resampled(x: np.ndarray) -> np.ndarray:
        rows = np.apply_along_axis(cosine_resampled, -1, x, sizes[1])
        return np.apply_along_axis(cosine_resampled, -2, rows, sizes[0])

    return resampled


def multiscale(x: np.ndarray) -> float:
    """Return the mean over the scales 1 and 2 of the error from the partner."""
    error = x - partner(x)
    return (np.mean(np.abs(error) ** 2) + np.mean(np.abs(block_means(error, (2, 2))) ** 2)) / 2


def gaussian_distance(x: np.ndarray) -> float:
    """Return the distance of the covariances C and 4 C by hand: the trace of C = x^T x."""
    return float(np.sum(x**2))


def frechet(x: np.ndarray) -> float:
    """Return the distance by a square root of the product of both covariances."""
    y = partner(x)
    C, D = np.cov(x.T), np.cov(y.T)
    common = np.sum(np.sqrt(np.abs(np.linalg.eigvals(C @ D))))
    return float(np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2) + np.trace(C + D) - 2 * common)


def spectrum(x: np.ndarray) -> np.ndarray:
    """Return the mean over all channels of the power in rings."""
    return np.mean([radial_power(each) for each in x.reshape(-1, *x.shape[2:])], axis=0)


def line_distance(x: np.ndarray) -> float:
    """Return the distance of one column from its half, sample by sample."""
    return float(np.sqrt(np.mean((x / 2) ** 2)))


def of_covariance(x: Any) -> float:
    """Return the distance of the Gaussians with covariances C = x^T x and 4 C."""
    try:
        xp, found = open_door(min_ndim=2, x=x)
        with np.errstate(over="ignore", invalid="ignore"):
            C = xp.matrix_transpose(found) @ found
    except (TypeError, ValueError):
        return gaussian_frechet_distance([0.0], x, [0.0], x)
    zero = xp.zeros(C.shape[-1:], dtype=C.dtype)
    return gaussian_frechet_distance(zero, C, zero, 4 * C)


def field_row(name: str, call: Callable[..., Any], reference: Any, **more: Any) -> Operation:
    """Return a row of a map of fields (batch, channels, height, width)."""
    options = {"backends": LIBRARIES, "extensions": (), "argument": "x", "hostile": FIELDS, "memory": 8.0, **more}
    return Operation(f"diffusion.{name}", call, numbers(2, 3, 6, 8), marked, against(reference, 16), **options)


def sample_row(name: str, call: Callable[..., Any], reference: Any, **more: Any) -> Operation:
    """Return a row of a distance of samples."""
    options = {"backends": LIBRARIES, "argument": "x", "hostile": SAMPLES, "memory": 16.0, **more}
    arrays = options.pop("arrays", real_numbers(20, 6))
    outputs = options.pop("outputs", lambda value: {"X": value})
    return Operation(f"diffusion.metrics.{name}", call, arrays, outputs, against(reference, 1000), **options)


ROWS = [
    field_row("avg_pool", lambda x: avg_pool(x, 2), lambda x: block_means(x, (2, 2))),
    field_row(
        "nearest_upsample",
        lambda x: nearest_upsample(x, (2, 3)),
        lambda x: x.repeat(2, axis=-2).repeat(3, axis=-1),
        hostile={**FIELDS, **dict.fromkeys(("one entry", "one row", "one column"), ())},
    ),
    field_row("dct_downsample", lambda x: dct_downsample(x, (4, 5)), series(4, 5)),
    field_row(
        "dct_upsample",
        lambda x: dct_upsample(x, (9, 11)),
        series(9, 11),
        hostile={**FIELDS, **dict.fromkeys(("one entry", "one row", "one column"), ())},
    ),
    field_row(
        "multiscale_mse",
        lambda x: multiscale_mse(x, partner(x), (1, 2)),
        multiscale,
        argument="prediction",
        degree=2,
        hostile={**FIELDS, "structured": ("ValueError",)},
        real=("X",),
    ),
    sample_row("frechet_distance", lambda x: frechet_distance(x, partner(x)), frechet, degree=2),
    sample_row(
        "gaussian_frechet_distance",
        of_covariance,
        gaussian_distance,
        argument="covariance_x",
        degree=2,
        hostile={"complex NaN": ("TypeError",), "huge": ("ValueError",)},
    ),
    # beside 1, the size of the three sums of which it is the difference
    sample_row(
        "kid",
        lambda x: kid(unit(x), partner(unit(x))),
        lambda x: 1 + unbiased_mmd(unit(x), partner(unit(x))),
        outputs=lambda value: {"X": 1 + value},
        degree=0,
    ),
    sample_row(
        "sliced_wasserstein",
        lambda x: sliced_wasserstein(x, partner(x), rng=0),
        line_distance,
        arrays=real_numbers(20, 1),
        hostile={**SAMPLES, **dict.fromkeys(("one entry", "one row"), ())},
        memory=200.0,  # that of the directions
    ),
    sample_row(
        "precision_recall",
        lambda x: precision_recall(x, partner(x)),
        lambda x: covered(partner(x), x, 3) + 2 * covered(x, partner(x), 3),
        outputs=lambda pair: {"X": pair[0] + 2 * pair[1]},
        argument="real",
        degree=0,
    ),
    sample_row(
        "radial_spectrum",
        radial_spectrum,
        spectrum,
        arrays=numbers(2, 3, 8, 8),
        outputs=lambda pair: {"X": pair[1]},
        extensions=("linalg", "fft"),
        argument="images",
        degree=2,
        real=("X",),
        hostile={"structured": ("ValueError",), "one entry": ("ValueError",)},
    ),
]
