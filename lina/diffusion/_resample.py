"""Fewer and more samples along the trailing axes of a field: by blocks, and by cosine series."""

import math
from collections.abc import Sequence
from typing import Any

from lina._core.array import in_full_precision, open_door
from lina._core.checks import check_count
from lina.diffusion._dct import resample_axis
from lina.rope._checks import quiet


def avg_pool(x: Any, scale: int | Sequence[int]) -> Any:
    """Return the means over blocks of ``scale`` samples along each trailing axis.

    White noise stays white, with its variance divided by the number of samples of a block: the signal-to-noise ratio
    is multiplied by it.

    Parameters
    ----------
    x : array, shape (batch, channels, ...), or any with a tuple for ``scale``
        Real or complex: sound has one trailing axis, an image two, a film three.
    scale : int or tuple of int
        Samples of a block along each axis after the first two, or along each of as many last axes as the tuple has
        entries. They divide the lengths of the axes.

    Returns
    -------
    pooled : array, shape (batch, channels, ...)
        With each trailing axis over its scale.

    Raises
    ------
    TypeError
        If ``x`` is no array of numbers or a scale is no int.
    ValueError
        If a scale is below 1 or does not divide its axis, or ``x`` has too few axes.

    Notes
    -----
    About one addition for each entry, forwards and backwards, memory of 2 outputs. ``avg_pool(nearest_upsample(x, s),
    s)`` is ``x``; the other order is the orthogonal projection to means of blocks. What is not finite spoils its own
    block. Differentiable.
    Source: E. Hoogeboom et al., simple diffusion, 2023, section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.diffusion import avg_pool
    >>> avg_pool(np.arange(8.0).reshape(1, 1, 2, 4), 2)
    array([[[[2.5, 4.5]]]])
    """
    xp, x = open_door(min_ndim=1, x=x)
    scales = block_scales(x, scale, "scale")
    check_divisible(x, scales, "x")
    with quiet(x):
        for axis, s in zip(range(-len(scales), 0), scales, strict=True):
            for factor in _factors(s):
                x = _mean_over(xp, x, axis, factor)
    return x


def _factors(scale: int) -> list[int]:
    """Return small factors of a scale, and what they leave: each has its pass, over as many times fewer entries."""
    found = []
    for factor in (4, 3, 2, 5, 7):
        while scale % factor == 0:
            found.append(factor)
            scale //= factor
    return found if scale == 1 else [*found, scale]


def check_divisible(x: Any, scales: Sequence[int], name: str) -> None:
    """Raise ValueError where a scale does not divide its axis of the array."""
    for n, s in zip(x.shape[x.ndim - len(scales) :], scales, strict=True):
        if n % s:
            raise ValueError(f"{name} must have trailing axes that {tuple(scales)} divide, got shape {tuple(x.shape)}")


def _mean_over(xp: Any, x: Any, axis: int, scale: int) -> Any:
    """Return the means over blocks of one axis, which counts from the end."""
    if scale > 7:
        before, after = tuple(x.shape[:axis]), tuple(x.shape[axis:])
        return xp.sum(xp.reshape(x, (*before, after[0] // scale, scale, *after[1:])), axis=axis) * (1 / scale)
    # a mean over a short axis is several times slower than a sum of a few strided slices, over a long one faster
    place = [slice(None)] * x.ndim
    total = None
    for k in range(scale):
        place[axis] = slice(k, None, scale)
        part = x[tuple(place)]
        total = part if total is None else total + part
    assert total is not None
    return total * (1 / scale)


def nearest_upsample(x: Any, scale: int | Sequence[int]) -> Any:
    """Return ``x`` with each sample repeated ``scale`` times along each trailing axis.

    Parameters
    ----------
    x : array, shape (batch, channels, ...), or any with a tuple for ``scale``
        Real or complex.
    scale : int or tuple of int
        As in `avg_pool`.

    Returns
    -------
    repeated : array, shape (batch, channels, ...)
        With each trailing axis times its scale.

    Raises
    ------
    TypeError
        If ``x`` is no array of numbers or a scale is no int.
    ValueError
        If a scale is below 1, or ``x`` has too few axes.

    Notes
    -----
    One pass. It is the transpose of `avg_pool`, times the number of samples of a block. Differentiable.

    Examples
    --------
    >>> from lina.diffusion import nearest_upsample
    >>> nearest_upsample([[[1.0, 2.0]]], 2)
    array([[[1., 1., 2., 2.]]])
    """
    xp, x = open_door(min_ndim=1, x=x)
    scales = block_scales(x, scale, "scale")
    for axis in range(-1, -len(scales) - 1, -1):
        x = xp.repeat(x, scales[axis], axis=axis)
    return x


@in_full_precision
def dct_downsample(x: Any, size: int | Sequence[int]) -> Any:
    """Return ``x`` with fewer samples along its trailing axes: the first terms of its cosine series.

    White noise stays white, as with `avg_pool`, and the scale may be any ratio of two lengths.

    Parameters
    ----------
    x : array, shape (batch, channels, ...), or any with a tuple for ``size``
        Real or complex.
    size : int or tuple of int
        Length of each axis after the first two, or of as many last axes as the tuple has entries; at most what it is.

    Returns
    -------
    smaller : array, shape (batch, channels, ...)
        Of the lengths ``size``, and with the same mean.

    Raises
    ------
    TypeError
        If ``x`` is no array of numbers or a length is no int.
    ValueError
        If a length is below 1 or above that of ``x``, or ``x`` has too few axes.

    Notes
    -----
    ``dct_downsample(dct_upsample(x, N), n)`` is ``x``, and the way up is the transpose of the way down, times the
    product of the scales. Products with matrices on axes of up to 512 samples, O(log N) flops an entry for longer
    ones. What is not finite spoils its lines. Differentiable.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.diffusion import dct_downsample
    >>> dct_downsample(np.ones((1, 1, 6)), 4).round(12)
    array([[[1., 1., 1., 1.]]])
    """
    xp, x = open_door(min_ndim=1, x=x)
    sizes = block_scales(x, size, "size")
    for n, wanted in zip(x.shape[x.ndim - len(sizes) :], sizes, strict=True):
        if wanted > n:
            raise ValueError(f"x must have trailing axes of at least {sizes}, the size, got shape {tuple(x.shape)}")
    return _by_series(xp, x, sizes)


@in_full_precision
def dct_upsample(x: Any, size: int | Sequence[int]) -> Any:
    """Return ``x`` with more samples along its trailing axes: its cosine series, evaluated on a finer grid.

    Parameters
    ----------
    x : array, shape (batch, channels, ...), or any with a tuple for ``size``
        Real or complex.
    size : int or tuple of int
        As in `dct_downsample`, at least what it is.

    Returns
    -------
    larger : array, shape (batch, channels, ...)
        Of the lengths ``size``, and with the same mean.

    Raises
    ------
    TypeError
        If ``x`` is no array of numbers or a length is no int.
    ValueError
        If a length is below that of ``x``, or ``x`` has too few axes or an empty one.

    Notes
    -----
    Cost and gradient are those of `dct_downsample`.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.diffusion import dct_downsample, dct_upsample
    >>> x = np.array([[[1.0, 4.0, 2.0]]])
    >>> dct_downsample(dct_upsample(x, 7), 3).round(12)
    array([[[1., 4., 2.]]])
    """
    xp, x = open_door(min_ndim=1, x=x)
    sizes = block_scales(x, size, "size")
    for n, wanted in zip(x.shape[x.ndim - len(sizes) :], sizes, strict=True):
        if wanted < n or n == 0:
            raise ValueError(f"x must have trailing axes of 1 to {sizes}, the size, got shape {tuple(x.shape)}")
    return _by_series(xp, x, sizes)


def _by_series(xp: Any, x: Any, sizes: Sequence[int]) -> Any:
    with quiet(x):
        for axis, size in zip(range(-len(sizes), 0), sizes, strict=True):
            x = resample_axis(xp, x, axis, size)
    return x


def block_scales(x: Any, value: int | Sequence[int], name: str) -> tuple[int, ...]:
    """Return one whole number of at least 1 for each trailing axis of ``x``."""
    if isinstance(value, (list, tuple)):
        numbers = tuple(check_count(v, name) for v in value)
        if not 1 <= len(numbers) <= x.ndim:
            wanted = f"at least one and at most as many entries as x of shape {tuple(x.shape)} has axes"
            raise ValueError(f"{name} must have {wanted}, got {len(numbers)}")
        return numbers
    number = check_count(value, name)
    if x.ndim < 3:
        wanted = f"the shape (batch, channels, ...) for one {name}, a tuple of them is for its last axes"
        raise ValueError(f"x must have {wanted}, got shape {tuple(x.shape)}")
    return (number,) * (x.ndim - 2)


def gain_of(scales: Sequence[float]) -> float:
    """Return the factor of the signal-to-noise ratio: the product of the scales."""
    return math.prod(scales)
