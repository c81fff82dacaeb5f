"""All metrics of generated samples at once, each beside the floor that real samples have among themselves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lina._core.array import open_door, to_numpy, where_is
from lina._core.checks import check_count
from lina._core.random import generator
from lina.diffusion.metrics._features import open_features
from lina.diffusion.metrics._frechet import frechet_distance
from lina.diffusion.metrics._kid import kid
from lina.diffusion.metrics._precision_recall import precision_recall
from lina.diffusion.metrics._radial_spectrum import radial_spectrum
from lina.diffusion.metrics._sliced_wasserstein import sliced_wasserstein


@dataclass(frozen=True)
class Measured:
    """One metric of generated samples, and the same of as many real ones.

    Attributes
    ----------
    value, floor : float
        Means over the splits: generated samples against the reference, and real samples that were held out of it.
    spread, floor_spread : float
        Estimates of their standard deviations over sets of as many samples. nan with one split, or where there are too
        few generated samples to measure halves of them.
    """

    value: float
    spread: float
    floor: float
    floor_spread: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` has measured; its text is a table.

    Attributes
    ----------
    reference, held_out : int
        Real samples in the reference, and those that are compared with it, as many as generated ones.
    splits : int
        Random splits over which values and floors are averaged.
    metrics : mapping of str to Measured
    """

    reference: int
    held_out: int
    splits: int
    metrics: Mapping[str, Measured]

    def __str__(self) -> str:
        sizes = f"{self.held_out} generated and {self.held_out} real samples, each against {self.reference} real ones"
        often = "one split" if self.splits == 1 else f"mean of {self.splits} splits +- standard deviation"
        lines = [f"{sizes}; {often}", f"{'':22}{'generated':>22}{'real (floor)':>22}"]
        for name, m in self.metrics.items():
            cells = _cell(m.value, m.spread), _cell(m.floor, m.floor_spread)
            lines.append(f"{name:22}{cells[0]:>22}{cells[1]:>22}")
        return "\n".join(lines)


def _cell(value: float, spread: float) -> str:
    return f"{value:.4g} +- {spread:.2g}" if math.isfinite(spread) else f"{value:.4g}"


def compare(
    features_real: Any,
    features_fake: Any,
    *,
    images_real: Any = None,
    images_fake: Any = None,
    held_out: int | None = None,
    splits: int = 3,
    k: int = 3,
    projections: int = 256,
    rng: Any = None,
) -> Comparison:
    """Return all metrics of generated samples, each beside its floor: that of real samples held out of the reference.

    The distances of finite samples are not zero even between real ones, and by how much depends on the numbers of
    samples: value and floor are measured with equal numbers.

    Parameters
    ----------
    features_real, features_fake : arrays, shapes (n, d) and (m, d)
        Features, samples as rows, real numbers: of a network, principal components, or pixels.
    images_real, images_fake : arrays, shapes (n, channels, ...) and (m, channels, ...), optional
        The images of the same samples: their spectra are compared too.
    held_out : int, optional
        Real samples that are held out, and generated ones that are taken, at random in each split. The smaller of m
        and n / 2 by default.
    splits : int
        Random splits.
    k : int
        Neighbours of `precision_recall`.
    projections : int
        Directions of `sliced_wasserstein`, the same in all comparisons.
    rng : int, numpy.random.Generator or None
        Seed or source of splits and directions.

    Returns
    -------
    comparison : Comparison
        With ``metrics`` "Frechet distance", "KID", "sliced Wasserstein", "precision" and "recall", and with images
        "spectrum, low half" and "spectrum, high half": the mean of abs(log10(power / power of the reference)) over the
        frequencies up to and beyond half of the highest one.

    Raises
    ------
    TypeError
        If features are complex or of different libraries.
    ValueError
        If shapes do not fit, an entry is not finite, a number is out of range, there are not more than k samples in a
        part, or only one of the images is given.
    OverflowError
        If a distance is beyond double precision.

    Notes
    -----
    Splits that all take the same generated samples do not scatter. So where more than half of them are taken, every
    split measures a random half, too: halves scatter about as sets of the whole size do among each other. Where parts
    are a share q of the samples, they scatter by sqrt(1 - q) less than independent ones: spreads take it into account.
    They come from a few splits, are good to a factor of 2 with three of them, and are rather too large where a distance
    is near its floor.

    The cost is two to three times that of the metrics in each split. A fake sample that memorised the reference is
    beyond the reach of all of them.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.diffusion.metrics import compare
    >>> draws = np.random.default_rng(0).standard_normal((1500, 4))
    >>> report = compare(draws[:1000], draws[1000:] * 1.5, rng=0)
    >>> report.metrics["KID"].value > 10 * report.metrics["KID"].floor
    True
    """
    xp, real, fake = open_features("compare", 2, features_real=features_real, features_fake=features_fake)
    (n, _), m = real.shape, fake.shape[0]
    size = check_count(min(m, n // 2) if held_out is None else held_out, "held_out", 2)
    if size > min(m, n - 2):
        raise ValueError(f"held_out must be at most {min(m, n - 2)} for {n} real and {m} generated samples, got {size}")
    count, part = check_count(splits, "splits"), min(size, m // 2)
    neighbours = _checked_neighbours(k, n, size)
    if count == 1 or part <= neighbours:
        part = 0  # nothing to measure a spread by
    pictures = _images(images_real, images_fake, n, m)
    draws, rows = generator(rng), []
    directions = int(draws.integers(2**32))
    options = {"k": neighbours, "projections": projections, "rng": directions}
    for _ in range(count):
        order, few = draws.permutation(n), draws.permutation(m)[:size]
        held, halves = order[:size], (few[:part],) if 0 < part < size else ()
        sets = [("fake", few), ("real", held), *(("fake", half) for half in halves)]
        reference = _rows(xp, real, order[size:])
        both = [_measure(reference, _rows(xp, fake if side == "fake" else real, i), **options) for side, i in sets]
        if pictures is not None:
            target = _spectrum(pictures["real"], order[size:])
            for row, (side, i) in zip(both, sets, strict=True):
                row.update(_spectral_error(_spectrum(pictures[side], i), target))
        rows.append(both)
    # n samples scatter like 1 / sqrt(n), and parts of a set of m by sqrt(1 - n / m) less
    factor = math.sqrt(part / size / (1 - part / m)) if part else math.nan
    return Comparison(n - size, size, count, {name: _summary(rows, name, factor) for name in rows[0][0]})


def _checked_neighbours(k: Any, n: int, size: int) -> int:
    """Return k, which is below the number of samples of each part."""
    neighbours = check_count(k, "k")
    if min(size, n - size) <= neighbours:
        found = f"{size} generated and {size} held out real samples, and {n - size} in the reference"
        raise ValueError(f"k must be below the number of samples in each part, got k = {neighbours} for {found}")
    return neighbours


def _measure(reference: Any, other: Any, *, k: int, projections: int, rng: int) -> dict[str, float]:
    try:
        precision, recall = precision_recall(reference, other, k=k)
        return {
            "Frechet distance": frechet_distance(reference, other),
            "KID": kid(reference, other),
            "sliced Wasserstein": sliced_wasserstein(reference, other, projections=projections, rng=rng),
            "precision": precision,
            "recall": recall,
        }
    except OverflowError:
        wanted = "entries whose distance is a finite number, found larger ones"
        raise OverflowError(f"features_real and features_fake must have {wanted}") from None


def _summary(rows: list[list[dict[str, float]]], name: str, factor: float) -> Measured:
    """Return means over the splits, and the deviations of the last set of generated samples and of the real ones."""
    table = np.array([[found[name] for found in row] for row in rows])
    deviations = np.full(table.shape[1], math.nan)
    if len(table) > 1:
        deviations = np.std(table - table[0], axis=0, ddof=1)  # of equal values exactly 0
    value, floor = table.mean(axis=0)[:2]
    scattered = 2 if table.shape[1] > 2 else 0
    return Measured(float(value), float(factor * deviations[scattered]), float(floor), float(deviations[1]))


def _rows(xp: Any, x: Any, chosen: np.ndarray) -> Any:
    return xp.take(x, xp.asarray(chosen, device=where_is(x)), axis=0)


def _images(images_real: Any, images_fake: Any, n: int, m: int) -> dict[str, Any] | None:
    if images_real is None and images_fake is None:
        return None
    if images_real is None or images_fake is None:
        missing = "images_real" if images_real is None else "images_fake"
        raise ValueError(f"{missing} must be given as well: both or neither of the images")
    _, real, fake = open_door(min_ndim=3, images_real=images_real, images_fake=images_fake)
    for name, images, count in (("images_real", real, n), ("images_fake", fake, m)):
        if images.shape[0] != count or images.shape[1:] != real.shape[1:]:
            wanted = (count, *real.shape[1:])
            raise ValueError(f"{name} must have the shape {wanted}, got {tuple(images.shape)}")
    return {"real": real, "fake": fake}


def _spectrum(images: Any, chosen: np.ndarray) -> np.ndarray:
    xp, images = open_door(images=images)
    return to_numpy(radial_spectrum(_rows(xp, images, chosen))[1])


def _spectral_error(power: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Return the mean difference of log10 power, without the frequency 0, below and above half of the highest."""
    limits = np.finfo(power.dtype)
    least = max(limits.eps**2 * reference.max(), limits.tiny)  # below it is rounding
    error = np.abs(np.log10(np.maximum(power, least)) - np.log10(np.maximum(reference, least)))[1:]
    middle = (len(error) + 1) // 2
    halves = {"spectrum, low half": error[:middle], "spectrum, high half": error[middle:]}
    return {name: float(part.mean()) if part.size else 0.0 for name, part in halves.items()}
