"""Precision and recall of generated samples: who lies within the neighbourhoods of the others."""

import math
from typing import Any

import numpy as np

from lina._core.array import epsilon, from_numpy, to_numpy, where_is
from lina._core.checks import check_count
from lina.diffusion.metrics._features import BLOCK, blocks, open_features, to_unit_scale
from lina.simplex._truncated_softmax import kth_largest


def precision_recall(real: Any, fake: Any, *, k: int = 3) -> tuple[float, float]:
    """Return which share of the generated samples looks real, and which share of the real ones is covered.

    Parameters
    ----------
    real, fake : arrays, shapes (n, d) and (m, d)
        Features, samples as rows, real numbers; more than k of each.
    k : int
        Neighbours: the manifold of a set is the union of balls around its samples, each of the radius to the k-th
        other sample of the set.

    Returns
    -------
    precision, recall : float
        Share of ``fake`` in the manifold of ``real``, share of ``real`` in that of ``fake``; a low recall is that of
        a model that has dropped modes.

    Raises
    ------
    TypeError
        If the features are complex, or of different libraries.
    ValueError
        If the shapes do not fit, an entry is not finite, or there are not more than k samples.
    GradientError
        If torch records a gradient.

    Notes
    -----
    2 d (n^2 + m^2 + n m) flops in double precision, in blocks of pairs; pairs that are near beside their distance from
    the centre are summed once more by differences, all of them at worst, where few far samples move the centre. A point
    on the surface of a ball is inside, to 1e-8 of its squared radius (3e-4 in jax without double precision), so that a
    copy of the real samples has precision and recall 1. Both depend on n and m and on k: only
    numbers at equal sizes compare. Source: T. Kynkaanniemi et al., Improved precision and recall metric for assessing
    generative models, 2019.

    Examples
    --------
    >>> from lina.diffusion.metrics import precision_recall
    >>> real = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]
    >>> precision_recall(real, [[0.5], [1.0], [1.5]], k=1)  # nothing of the second group
    (1.0, 0.5)
    """
    count = check_count(k, "k")
    xp, real, fake = open_features("precision_recall", 2, real=real, fake=fake)
    for name, z in (("real", real), ("fake", fake)):
        if z.shape[0] <= count:
            raise ValueError(f"{name} must have more than k = {count} rows, got {z.shape[0]}")
    real, fake, _ = to_unit_scale(xp, real, fake)
    centre = xp.mean(real, axis=0)  # squares of distances are differences of squares: keep them short
    real, fake = real - centre, fake - centre
    limits = [_limits(xp, z, count) for z in (real, fake)]
    inside, covered = 0, None
    for block in blocks(fake.shape[0], real.shape[0]):
        squares = _squares(xp, fake[block, :], real)
        inside += int(xp.count_nonzero(xp.any(squares <= limits[0], axis=1)))
        found = xp.any(squares <= limits[1][block, None], axis=0)
        covered = found if covered is None else covered | found
    return inside / fake.shape[0], int(xp.count_nonzero(covered)) / real.shape[0]


def _limits(xp: Any, x: Any, k: int) -> Any:
    """Return the squares of the radii to the k-th other row, and a little more, which rounding may take."""
    # the largest of the negatives: a row is its own nearest one
    parts = [-kth_largest(xp, -_squares(xp, x[b, :], x, b.start), k + 1)[:, 0] for b in blocks(x.shape[0], x.shape[0])]
    return xp.concat(parts) * (1 + math.sqrt(epsilon(x)))


def _squares(xp: Any, x: Any, y: Any, first: int | None = None) -> Any:
    """Return the squares of the distances of all pairs, each to about sqrt(eps) / 2 of itself.

    They are differences of squares where these keep enough digits, and sums of squared differences elsewhere: a few far
    samples must not decide who is near whom. With ``first`` row i of x is row first + i of y, at the distance 0.
    """
    lengths = xp.sum(x * x, axis=1)[:, None] + xp.sum(y * y, axis=1)
    squares = lengths - 2 * (x @ xp.matrix_transpose(y))
    if first is not None:
        rows, columns = (xp.arange(z.shape[0], device=where_is(x)) for z in (x, y))
        squares = xp.where(rows[:, None] + first == columns, -lengths, squares)
    lost = (squares < 16 * math.sqrt(epsilon(x)) * lengths) & (squares > -lengths / 2)
    if bool(xp.any(lost)):
        squares = _mended(xp, x, y, squares, np.nonzero(to_numpy(lost)))
    return xp.where(squares > 0, squares, xp.zeros_like(squares))


def _mended(xp: Any, x: Any, y: Any, squares: Any, pairs: tuple[np.ndarray, ...]) -> Any:
    """Return ``squares`` with those of some pairs by their differences."""
    values = to_numpy(squares).copy()
    step = max(1, BLOCK // x.shape[1])
    for start in range(0, pairs[0].size, step):
        rows, columns = (each[start : start + step] for each in pairs)
        ends = (xp.take(z, xp.asarray(at, device=where_is(x)), axis=0) for z, at in ((x, rows), (y, columns)))
        values[rows, columns] = to_numpy(xp.sum((next(ends) - next(ends)) ** 2, axis=1))
    return from_numpy(values, squares)
