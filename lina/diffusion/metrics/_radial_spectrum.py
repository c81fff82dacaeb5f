"""Power of fields by spatial frequency, averaged over all directions."""

import math
from typing import Any

import numpy as np

from lina._core.array import check_finite, from_numpy, open_door, real_dtype, refuse_gradient, to_numpy


def radial_spectrum(images: Any) -> tuple[Any, Any]:
    """Return spatial frequencies and the power of images there: the mean over rings, images and channels.

    Parameters
    ----------
    images : array, shape (batch, channels, ...)
        Real or complex fields with any number of trailing axes.

    Returns
    -------
    frequencies : array, shape (n // 2 + 1,)
        In cycles per sample, from 0 to at most 1/2, with n the shortest trailing axis.
    power : array, shape (n // 2 + 1,)
        Mean of the squared modulus of the Fourier transform over the ring of width 1 / n, over the number of samples:
        white noise has its variance at every frequency.

    Raises
    ------
    TypeError
        If ``images`` is no array of numbers.
    ValueError
        If it has fewer than three axes, is empty, or an entry is not finite.
    OverflowError
        If the power is beyond the dtype.
    GradientError
        If torch records a gradient.

    Notes
    -----
    One transform of each channel. The corners of the spectrum beyond 1/2 are left out. Natural images fall like
    ``frequency**-2`` in two dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.diffusion.metrics import radial_spectrum
    >>> stripes = np.cos(np.pi / 2 * np.arange(8)) * np.ones((1, 1, 8, 1))
    >>> frequencies, power = radial_spectrum(stripes)
    >>> float(frequencies[np.argmax(power)])
    0.25
    """
    refuse_gradient("radial_spectrum", images=images)
    xp, images = open_door(min_ndim=3, images=images)
    if 0 in images.shape:
        raise ValueError(f"images must not be empty, got shape {tuple(images.shape)}")
    check_finite(xp, images, "images")
    spatial = images.shape[2:]
    with np.errstate(over="ignore", invalid="ignore"):
        transformed = xp.fft.fftn(_as_complex(xp, images), axes=tuple(range(2, images.ndim)), norm="ortho")
        power = xp.mean(xp.abs(transformed) ** 2, axis=(0, 1))
        rings, n = _rings(spatial), min(spatial)
        kept = rings <= n // 2
        values = np.bincount(rings[kept], weights=to_numpy(power)[kept]) / np.bincount(rings[kept])
    if not np.all(values < np.finfo(to_numpy(power).dtype).max):
        raise OverflowError("images must have entries whose squares are finite numbers, found larger ones")
    like = xp.real(images) if images.dtype != real_dtype(xp, images) else images
    return from_numpy(np.arange(n // 2 + 1) / n, like), from_numpy(values, like)


def _as_complex(xp: Any, x: Any) -> Any:
    return xp.astype(x, xp.complex128 if real_dtype(xp, x) == xp.float64 else xp.complex64)


def _rings(spatial: tuple[int, ...]) -> np.ndarray:
    """Return the number of the ring, of width 1 / n of the shortest axis, to which each frequency belongs."""
    squares = np.zeros(spatial)
    for axis, length in enumerate(spatial):
        along = [1] * len(spatial)
        along[axis] = length
        squares = squares + (np.fft.fftfreq(length) ** 2).reshape(along)
    radii = np.sqrt(squares) * min(spatial) * (1 + 4 * math.ulp(1.0))  # rounding must not move an edge inwards
    return np.floor(radii + 0.5).astype(np.int64)
