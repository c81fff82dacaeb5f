"""The Wasserstein distance of samples, averaged over projections to random lines."""

from typing import Any

import numpy as np

from lina._core.array import scalar, where_is
from lina._core.checks import check_count, check_tolerance
from lina._core.random import gaussian, generator
from lina.diffusion.metrics._features import blocks, check_value, open_features, to_unit_scale


def sliced_wasserstein(x: Any, y: Any, *, p: float = 2.0, projections: int = 256, rng: Any = None) -> float:
    """Return the sliced Wasserstein distance of two samples.

    Parameters
    ----------
    x, y : arrays, shapes (n, d) and (m, d)
        Features, samples as rows, real. n and m may differ.
    p : float
        Order, at least 1.
    projections : int
        Number of random directions.
    rng : int, numpy.random.Generator or None
        Seed or source of the directions.

    Returns
    -------
    distance : float
        ``(mean over directions of W_p(x . direction, y . direction)^p)^(1/p)``, in the units of the features.

    Raises
    ------
    TypeError
        If the features are complex, or of different libraries.
    ValueError
        If the shapes do not fit, an entry is not finite, or a number is out of range.
    GradientError
        If torch records a gradient.

    Notes
    -----
    On a line the distance is that of the quantile functions, exact for samples of different sizes too. O((n + m) (d +
    log n)) a direction, in double precision; the standard error falls with 1 / sqrt(projections). Source: J. Rabin et
    al., Wasserstein barycenter and its application to texture mixing, 2011.

    Examples
    --------
    >>> from lina.diffusion.metrics import sliced_wasserstein
    >>> sliced_wasserstein([[0.0], [2.0]], [[1.0], [3.0], [1.0], [3.0]], rng=0)
    1.0
    """
    xp, x, y = open_features("sliced_wasserstein", 1, x=x, y=y)
    order, count = check_tolerance(p, "p"), check_count(projections, "projections")
    if order < 1:
        raise ValueError(f"p must be at least 1, got {order}")
    x, y, scale = to_unit_scale(xp, x, y)
    directions = gaussian(generator(rng), (count, x.shape[1]), x)
    directions = directions / xp.linalg.vector_norm(directions, axis=1, keepdims=True)
    widths, at_x, at_y = _common_steps(x.shape[0], y.shape[0])
    widths, at_x, at_y = (xp.asarray(v, device=where_is(x)) for v in (widths, at_x, at_y))
    widths = xp.astype(widths, x.dtype)
    total, largest = 0.0, 0.0
    for block in blocks(count, widths.shape[0]):
        lines = xp.matrix_transpose(directions[block, :])
        # the quantiles on each step; sorted projections are not kept
        apart = xp.abs(
            xp.take(xp.sort(x @ lines, axis=0), at_x, axis=0) - xp.take(xp.sort(y @ lines, axis=0), at_y, axis=0)
        )
        most = scalar(xp.max(apart))
        if most > largest:  # powers are those of at most 1: a large order neither overflows nor vanishes
            total, largest = total * (largest / most) ** order, most
        if largest > 0:
            apart = apart / largest
            total += scalar(xp.sum(widths @ apart**order))
    return check_value((total / count) ** (1 / order) * largest * scale, "x and y")


def _common_steps(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return widths of the steps on which both quantile functions are constant, and the samples that they equal."""
    ends = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)  # in units of 1 / (n m), so that they are exact
    return np.diff(ends) / (n * m), ends[:-1] // m, ends[:-1] // n
