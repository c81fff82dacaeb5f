"""The data of the named problems: one matrix with values, in float64, and parts of it brought to the host."""

import math
from typing import Any

import array_api_compat.numpy as numpy_namespace
import numpy as np
from array_api_compat import device

from lina._core.array import check_finite, divide, is_lazy, open_door, refuse_gradient, scalar, to_numpy
from lina.simplex._gap import check_real, widen


def check_data(xp: Any, x: Any, name: str, ndim: int = 2) -> None:
    """Raise an error unless ``x`` is a nonempty real matrix (vector) whose values can be looked at and are finite."""
    check_shape(xp, x, name, ndim)
    check_finite(xp, x, name)


def check_shape(xp: Any, x: Any, name: str, ndim: int = 2) -> None:
    """Raise an error unless ``x`` is a nonempty real matrix (vector) whose values can be looked at."""
    check_real(xp, x, name)
    if x.ndim != ndim:
        raise ValueError(f"{name} must be a {'matrix' if ndim == 2 else 'vector'}, got shape {tuple(x.shape)}")
    if 0 in x.shape:
        raise ValueError(f"{name} must not be empty, got shape {tuple(x.shape)}")
    if is_lazy(x):
        raise ValueError(f"{name} must have values that can be looked at, got a traced or lazy array")


def open_matrix(X: Any, name: str, function: str) -> tuple[Any, Any]:
    """Return (xp, X) for a nonempty, finite, real matrix, by which ``function`` has no gradient."""
    xp, X = open_door(**{name: X})
    check_data(xp, X, name)
    refuse_gradient(function, **{name: X})
    return xp, X


def computing(xp: Any, *arrays: Any) -> tuple[Any, ...]:
    """Return (xp, array, ...) to compute with: in numpy where the library has no float64, as jax unless it is told."""
    if "float64" in xp.__array_namespace_info__().dtypes(kind="real floating"):
        return (xp, *arrays)
    return (numpy_namespace, *(host(x) for x in arrays))


def power_of_two(xp: Any, *arrays: Any) -> float:
    """Return the power of two just above the largest entry of the arrays, 1 if all are zero."""
    largest = max(scalar(xp.max(xp.abs(x))) for x in arrays)
    return 2.0 ** min(math.frexp(largest)[1], 1023) if largest > 0 else 1.0


def scaled(xp: Any, x: Any, scale: float) -> Any:
    """Return x / scale in float64, outside of any gradient, for a power of two."""
    return divide(plain(xp, x), scale)


def plain(xp: Any, x: Any) -> Any:
    """Return ``x`` in float64, outside of any gradient."""
    return widen(xp, x.detach() if hasattr(x, "detach") else x)


def host_rows(xp: Any, X: Any, rows: np.ndarray) -> np.ndarray:
    """Return some rows of a matrix as a float64 numpy array."""
    return np.asarray(to_numpy(xp.take(X, indices_like(rows, X, xp), axis=0)), dtype=np.float64)


def host(x: Any) -> np.ndarray:
    """Return an array as a float64 numpy array."""
    return np.asarray(to_numpy(x), dtype=np.float64)


def indices_like(indices: np.ndarray, like: Any, xp: Any) -> Any:
    """Return indices on the host as those of the library and device of ``like``."""
    return xp.asarray(np.asarray(indices, dtype=np.int64), device=device(like))
