"""The kernel distance of samples with the cubic kernel: a discrepancy without bias."""

from typing import Any

import numpy as np

from lina._core.array import scalar, where_is
from lina._core.checks import check_count
from lina._core.random import generator
from lina.diffusion.metrics._features import blocks, check_value, open_features


def kid(
    x: Any,
    y: Any,
    *,
    subsets: int | None = None,
    subset_size: int = 1000,
    return_all: bool = False,
    rng: Any = None,
) -> Any:
    """Return the squared maximum mean discrepancy of two samples in the kernel (a . b / d + 1)^3, without bias.

    Parameters
    ----------
    x, y : arrays, shapes (n, d) and (m, d)
        Features, samples as rows, real; at least 2 of each.
    subsets : int, optional
        Number of random pairs of subsets, over which it is averaged; by default all samples are used at once, which
        has the least variance.
    subset_size : int
        Samples in each subset, drawn without replacement; fewer where there are not so many.
    return_all : bool
        Return the values of all subsets, a numpy array, instead of their mean.
    rng : int, numpy.random.Generator or None
        Seed or source of the subsets.

    Returns
    -------
    discrepancy : float, or array of shape (subsets,)
        About 0, also below it, for samples of one distribution, of any size.

    Raises
    ------
    TypeError
        If the features are complex, or of different libraries.
    ValueError
        If the shapes do not fit, an entry is not finite, or a number is out of range.
    OverflowError
        If the kernel is beyond double precision.
    GradientError
        If torch records a gradient.

    Notes
    -----
    2 d (n^2 / 2 + m^2 / 2 + n m) flops in double precision, in blocks of pairs. Publications often print 1000 times
    the value. Source: M. Binkowski et al., Demystifying MMD GANs, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.diffusion.metrics import kid
    >>> draws = np.random.default_rng(0).standard_normal((3, 500, 4))
    >>> round(kid(draws[0], draws[1]), 2), round(kid(draws[0], draws[2] + 1), 1)
    (-0.01, 10.4)
    """
    xp, x, y = open_features("kid", 2, x=x, y=y)
    if subsets is None:
        return check_value(_discrepancy(xp, x, y), "x and y")
    count, size = check_count(subsets, "subsets"), check_count(subset_size, "subset_size", 2)
    draws, values = generator(rng), np.empty(count)
    for k in range(count):
        few = [_subset(xp, z, size, draws) for z in (x, y)]
        values[k] = check_value(_discrepancy(xp, *few), "x and y")
    return values if return_all else float(values.mean())


def _subset(xp: Any, x: Any, size: int, draws: np.random.Generator) -> Any:
    chosen = draws.choice(x.shape[0], min(size, x.shape[0]), replace=False)
    return xp.take(x, xp.asarray(chosen, device=where_is(x)), axis=0)


def _discrepancy(xp: Any, x: Any, y: Any) -> float:
    n, m = x.shape[0], y.shape[0]
    with np.errstate(over="ignore", invalid="ignore"):
        within = [(_sum(xp, z, z) - scalar(xp.sum(_cubes(xp.sum(z * z, axis=1), z)))) for z in (x, y)]
        return within[0] / n / (n - 1) + within[1] / m / (m - 1) - 2 * _sum(xp, x, y) / n / m


def _sum(xp: Any, x: Any, y: Any) -> float:
    """Return the sum of the kernel over all pairs."""
    parts = [
        scalar(xp.sum(_cubes(x[block, :] @ xp.matrix_transpose(y), x))) for block in blocks(x.shape[0], y.shape[0])
    ]
    return sum(parts)


def _cubes(products: Any, x: Any) -> Any:
    base = products / x.shape[1] + 1
    return base * base * base
