"""Discrete Fourier transforms along the last axis, real where the numbers are; of numpy arrays by scipy, in threads."""

from typing import Any

import numpy as np
import scipy.fft

from lina._core.array import check_finite, is_lazy, real_dtype, where_is
from lina._core.kernels import kernel
from lina._core.threads import get_threads
from lina.ssm._systems_arrays import check_overflow, complex_dtype, is_complex

# Entries from which on the threads of a transform are worth starting.
_WORTH_THREADS = 2**18


def fast_length(n: int, *, real: bool) -> int:
    """Return the next length of at least ``n`` >= 1 that is a product of small primes."""
    return int(scipy.fft.next_fast_len(int(n), real=real))


def forward(xp: Any, x: Any, n: int) -> Any:
    """Return the transform of ``x``, cut or filled with zeros to length n: half of it for real numbers."""
    return _transform(xp, "fft" if is_complex(x) else "rfft", x, n)


def inverse(xp: Any, X: Any, n: int, *, real: bool) -> Any:
    """Return the inverse of `forward`, of length n."""
    return _transform(xp, "irfft" if real else "ifft", X, n)


def _transform(xp: Any, name: str, x: Any, n: int) -> Any:
    if 0 in x.shape[:-1]:  # some libraries refuse to transform nothing
        count, dtype = (
            (n // 2 + 1 if name == "rfft" else n),
            real_dtype(xp, x) if name == "irfft" else complex_dtype(xp, x),
        )
        return xp.zeros((*x.shape[:-1], count), dtype=dtype, device=where_is(x))
    fast = kernel("fourier", xp)
    return getattr(xp.fft, name)(x, n=n) if fast is None else fast(name, x, n)


def scipy_transform(name: str, x: np.ndarray, n: int) -> np.ndarray:
    """Return a transform of a numpy array in its own precision."""
    workers = get_threads() if x.size >= _WORTH_THREADS else 1
    return np.asarray(getattr(scipy.fft, name)(x, n, workers=workers))


def check_entries(xp: Any, x: Any, name: str) -> None:
    """Raise ValueError for NaN and infinities as `check_finite` does, at the price of one sum where there are none."""
    if not (is_lazy(x) or sum_is_finite(xp, x)):
        check_finite(xp, x, name)


def check_result(xp: Any, x: Any, name: str) -> Any:
    """Return a result that is finite, or raise OverflowError as `check_overflow` does, at the same price."""
    return x if is_lazy(x) or sum_is_finite(xp, x) else check_overflow(xp, x, name)


def sum_is_finite(xp: Any, x: Any) -> bool:
    """Return whether the sum of all entries is finite: then they are, while a sum may overflow without them."""
    x = x.detach() if hasattr(x, "detach") else x
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(xp.isfinite(xp.sum(x)))


def product(xp: Any, x: Any, y: Any, count: int) -> Any:
    """Return the first coefficients (..., count) of the product of polynomials (..., m) and (..., n) of one dtype."""
    real = not (is_complex(x) or is_complex(y))
    n = product_length(x.shape[-1], y.shape[-1], count, real=real)
    x, y = first(x, count), first(y, count)
    return inverse(xp, times(forward(xp, x, n), forward(xp, y, n)), n, real=real)[..., :count]


def product_length(m: int, n: int, count: int, *, real: bool) -> int:
    """Return the length of the transforms that give ``count`` coefficients of a product."""
    return fast_length(max(min(m, count) + min(n, count) - 1, count), real=real)


def first(x: Any, count: int) -> Any:
    """Return the first entries, ``count`` or as many as there are: some libraries refuse longer slices."""
    return x[..., : min(count, x.shape[-1])]


def times(X: Any, Y: Any) -> Any:
    """Return X * Y, in the place of X where it is numpy's: fresh memory takes longer than the product."""
    if isinstance(X, np.ndarray) and X.shape == np.broadcast_shapes(X.shape, Y.shape):
        return np.multiply(X, Y, out=X)
    return X * Y
