"""Numbers that samples of a batch have: looked at on the host, in double precision, and spread over their axes."""

from typing import Any

import numpy as np

from lina._core.array import check_finite, from_numpy, is_lazy, open_door, refuse_gradient, to_numpy


def host_numbers(value: Any, name: str, what: str) -> tuple[np.ndarray, Any]:
    """Return real numbers as a float64 array of the host, and as an array of their own library."""
    if is_lazy(value):
        raise TypeError(f"{name} must have values that are known, got an array that is traced or lazy")
    _, found = open_door(**{name: value})
    refuse_gradient(what, **{name: found})
    numbers = to_numpy(found)
    if numbers.dtype.kind != "f":
        raise TypeError(f"{name} must be real, got dtype {numbers.dtype}")
    return numbers.astype(np.float64), found


def per_sample(value: Any, name: str, x: Any, what: str) -> np.ndarray:
    """Return a number, or one for each sample of ``x``, as a float64 array of the host."""
    numbers, _ = host_numbers(value, name, what)
    if numbers.shape not in ((), tuple(x.shape[:1])):
        wanted = f"a number or one for each sample of x, which has shape {tuple(x.shape)}"
        raise ValueError(f"{name} must be {wanted}, got shape {numbers.shape}")
    check_finite(np, numbers, name)
    return numbers


def spread(values: Any, like: Any) -> Any:
    """Return one number for all samples, or one for each in the library of ``like``."""
    values = np.asarray(values, dtype=np.float64)
    return float(values) if values.ndim == 0 else from_numpy(values.reshape(-1, *[1] * (like.ndim - 1)), like)
