"""Another number of samples along one axis, by cosine series: crop it or fill it with zeros."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft

from lina._core.array import is_lazy, real_dtype
from lina._core.kernels import kernel

# Samples up to which a product with a matrix is faster than two transforms, ours or those of scipy.
_DENSE, _DENSE_BESIDE_SCIPY = 512, 128


def resample_axis(xp: Any, x: Any, axis: int, size: int) -> Any:
    """Return ``x`` with ``size`` samples along ``axis`` (negative), of the same mean.

    With orthonormal cosine transforms C this is sqrt(size / N) C^T crop C: the way down D has D D^T = (size / N) I, and
    the way up is its transpose times N / size.
    """
    old = x.shape[axis]
    if size == old:
        return x
    fast = kernel("resample_axis", xp)
    if max(old, size) <= (_DENSE if fast is None else _DENSE_BESIDE_SCIPY):
        return _by_matrix(xp, x, axis, size)
    if fast is not None:
        return fast(x, axis, size)
    last = xp.moveaxis(x, axis, -1)
    if x.dtype == real_dtype(xp, x):
        out = _by_fourier(xp, last, size)
    else:
        parts = [xp.astype(_by_fourier(xp, part, size), x.dtype) for part in (xp.real(last), xp.imag(last))]
        out = parts[0] + 1j * parts[1]
    return xp.moveaxis(out, -1, axis)


def scipy_resample_axis(x: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Return the same for a numpy array."""
    old = x.shape[axis]
    kept = [slice(None)] * x.ndim
    kept[axis] = slice(min(old, size))
    series = scipy.fft.dct(x, axis=axis, norm="ortho")[tuple(kept)]
    return np.asarray(scipy.fft.idct(series, n=size, axis=axis, norm="ortho")) * x.dtype.type(math.sqrt(size / old))


def _by_matrix(xp: Any, x: Any, axis: int, size: int) -> Any:
    matrix = xp.asarray(_matrix(x.shape[axis], size), dtype=x.dtype, device=_place(x))
    if axis == -1:
        return x @ xp.matrix_transpose(matrix)
    after = math.prod(x.shape[axis + 1 :])
    planes = xp.reshape(x, (*x.shape[:axis], x.shape[axis], after))
    return xp.reshape(matrix @ planes, (*x.shape[:axis], size, *x.shape[axis + 1 :]))


def _place(x: Any) -> Any:
    return None if is_lazy(x) else x.device  # without the caches of array_api_compat, through which torch.compile warns


def _matrix(old: int, new: int) -> np.ndarray:
    """Return the map of `resample_axis` as a matrix (new, old)."""
    return _kept_matrix(old, new)


_matrix._dynamo_marked_constant = True  # type: ignore[attr-defined]  # torch.compile takes it, instead of tracing numpy


@lru_cache(maxsize=64)
def _kept_matrix(old: int, new: int) -> np.ndarray:
    terms = min(old, new)
    return math.sqrt(new / old) * _cosines(new, terms).T @ _cosines(old, terms)


def _cosines(n: int, terms: int) -> np.ndarray:
    """Return the first rows of the orthonormal cosine transform of length n."""
    quarters = np.outer(np.arange(terms), 2 * np.arange(n) + 1) % (4 * n)  # whole numbers, so that angles are exact
    rows = np.cos(quarters * (np.pi / (2 * n))) * math.sqrt(2 / n)
    rows[0] = math.sqrt(1 / n)
    return rows


def _by_fourier(xp: Any, x: Any, size: int) -> Any:
    """Return real ``x`` with ``size`` samples along its last axis, by a Fourier transform of each length."""
    old, terms = x.shape[-1], min(x.shape[-1], size)
    series = _cosine_series(xp, x)[..., :terms]
    if size > terms:
        filling = xp.zeros((*x.shape[:-1], size - terms), dtype=x.dtype, device=_place(x))
        series = xp.concat([series, filling], axis=-1)
    return _cosine_sum(xp, series) * math.sqrt(size / old)


def _cosine_series(xp: Any, x: Any) -> Any:
    """Return the orthonormal cosine transform: entry N - k is in the imaginary part of entry k of one of Fourier."""
    n = x.shape[-1]
    folded = xp.concat([x[..., 0::2], xp.flip(x[..., 1::2], axis=-1)], axis=-1)
    turned = xp.fft.rfft(folded) * _turns(xp, x, n, -1) * math.sqrt(2 / n)
    first = xp.real(turned)
    rest = -xp.flip(xp.imag(turned)[..., 1 : (n + 1) // 2], axis=-1)
    return xp.concat([first[..., :1] * math.sqrt(0.5), first[..., 1:], rest], axis=-1)


def _cosine_sum(xp: Any, series: Any) -> Any:
    """Return the inverse of `_cosine_series`."""
    n = series.shape[-1]
    half = n // 2 + 1
    first = xp.concat([series[..., :1] * math.sqrt(2), series[..., 1:half]], axis=-1)
    last = xp.concat([xp.zeros_like(series[..., :1]), xp.flip(series[..., n - half + 1 :], axis=-1)], axis=-1)
    spectrum = (first - 1j * last) * _turns(xp, series, n, 1) * math.sqrt(n / 2)
    folded = xp.fft.irfft(spectrum, n=n)
    unfold = np.empty(n, dtype=np.int64)
    unfold[0::2], unfold[1::2] = np.arange((n + 1) // 2), np.arange(n - 1, (n + 1) // 2 - 1, -1)
    return xp.take(folded, xp.asarray(unfold, device=_place(series)), axis=-1)


def _turns(xp: Any, x: Any, n: int, sign: int) -> Any:
    values = np.exp(sign * 0.5j * np.pi / n * np.arange(n // 2 + 1))
    dtype = xp.complex128 if real_dtype(xp, x) == xp.float64 else xp.complex64
    return xp.asarray(values, dtype=dtype, device=_place(x))
