"""Squared errors at several resolutions at once."""

from collections.abc import Sequence
from typing import Any

from lina._core.array import dtype_name, open_door, refuse_gradient
from lina._core.checks import check_option, check_tolerance
from lina.diffusion._resample import avg_pool, block_scales, check_divisible, gain_of
from lina.rope._checks import quiet


def multiscale_mse(
    prediction: Any,
    target: Any,
    scales: Sequence[int | Sequence[int]] = (1, 2, 4),
    weights: Sequence[float] | None = None,
    normalize: bool = False,
    *,
    reduction: str = "mean",
) -> Any:
    """Return the mean squared error of a prediction, averaged over several resolutions.

    The coarse errors, which are the structure of an image, are small among the many fine ones: pooled, they count by
    themselves.

    Parameters
    ----------
    prediction, target : arrays, shape (batch, channels, ...)
        Of one library and shape, real or complex.
    scales : sequence of int or of tuples of int
        Block sizes s as in `avg_pool`; 1 is the plain error.
    weights : sequence of float, optional
        One for each scale, not negative; 1 / len(scales) by default. They need not add up to 1.
    normalize : bool
        Multiply the error of each scale by the number of samples of its blocks. Without it that of white noise is one
        over this number, and coarse scales count little.
    reduction : {"mean", "none"}
        A single mean, or that of each entry of the batch, for weights by its time.

    Returns
    -------
    loss : array, shape () or (batch,)
        ``sum(w * mean(abs(avg_pool(prediction - target, s))**2) for s, w in zip(scales, weights))``, real.

    Raises
    ------
    TypeError
        If the arrays are of different libraries, or a scale is no int.
    GradientError
        If a weight is a tensor whose gradient is recorded.
    ValueError
        If shapes differ, a scale does not divide an axis, or scales and weights do not fit.

    Notes
    -----
    Differentiable, and traced by torch.compile and jax; nothing is looked at, so that NaN and infinities are those of
    the arrays. A scale is pooled from the last one that divides it: with (1, 2, 4) about 4 passes.

    Source: E. Hoogeboom et al., simple diffusion, 2023, section 3.4, with ``scales`` from 1 and weights 1 / s.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.diffusion import multiscale_mse
    >>> checkerboard = np.array([[[[1.0, -1.0], [-1.0, 1.0]]]])
    >>> float(multiscale_mse(checkerboard, 0 * checkerboard, scales=(1, 2)))
    0.5
    """
    xp, prediction, target = open_door(min_ndim=3, prediction=prediction, target=target)
    check_option(reduction, ("mean", "none"), "reduction")
    if prediction.shape != target.shape:
        found = f"{tuple(prediction.shape)} and {tuple(target.shape)}"
        raise ValueError(f"prediction and target must have one shape, got {found}")
    blocks = _checked_scales(prediction, scales)
    shares = _checked_weights(weights, len(blocks))
    with quiet(prediction):
        pooled = {(1,) * (prediction.ndim - 2): prediction - target}
        loss = None
        for block, share in zip(blocks, shares, strict=True):
            factor = share * (gain_of(block) if normalize else 1.0)
            term = _mean_square(xp, _pooled(pooled, block)) * factor
            loss = term if loss is None else loss + term
        return xp.mean(loss) if reduction == "mean" else loss


def _pooled(known: dict[tuple[int, ...], Any], block: tuple[int, ...]) -> Any:
    """Return the means over blocks, from the coarsest known ones that divide them."""
    if block not in known:
        divisors = [each for each in known if all(b % e == 0 for b, e in zip(block, each, strict=True))]
        nearest = max(divisors, key=gain_of)
        rest = tuple(b // e for b, e in zip(block, nearest, strict=True))
        known[block] = avg_pool(known[nearest], rest)
    return known[block]


def _mean_square(xp: Any, x: Any) -> Any:
    """Return the mean of abs(x)^2 over all axes but the first."""
    squares = xp.real(x * xp.conj(x)) if "complex" in dtype_name(x) else x * x
    while squares.ndim > 1:  # axis by axis: sums of few entries neither overflow early nor lose digits
        squares = xp.mean(squares, axis=-1)
    return squares


def _checked_scales(x: Any, scales: Sequence[int | Sequence[int]]) -> list[tuple[int, ...]]:
    if not isinstance(scales, (list, tuple)) or len(scales) == 0:
        raise ValueError(f"scales must be a sequence of at least one scale, got {scales!r}")
    blocks = [block_scales(x, scale, "scales") for scale in scales]
    for block in blocks:
        if len(block) != x.ndim - 2:
            raise ValueError(f"scales must have entries for {x.ndim - 2} trailing axes, got {block}")
        check_divisible(x, block, "prediction")
    return blocks


def _checked_weights(weights: Sequence[float] | None, count: int) -> list[float]:
    if weights is None:
        return [1 / count] * count
    given = [weights] if isinstance(weights, (int, float)) else list(weights)
    for weight in given:
        refuse_gradient("multiscale_mse", weights=weight)
    shares = [check_tolerance(weight, "weights") for weight in given]
    if len(shares) != count:
        raise ValueError(f"weights must have one entry for each of the {count} scales, got {len(shares)}")
    return shares
