"""Gaussian fields, whose best predictions are known, and a model that is wrong in all that a smaller image shows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from lina._tour.chapter import Row, timed
from lina.diffusion import cosine, sample, upsample_guidance

SCHEDULE = cosine(clip=None)
SCALES = (1.5, 2.0, 2.5)
SMALL = 24  # pixels that the model knows
RATIOS = np.linspace(-8.0, 8.0, 17)  # lambda of the predictions
TOLERANCE = 1e-12
STEPS = 60
_WRONG = 7.0  # power that the model takes for that of all coarse terms


@dataclass
class Fields:
    """Relative errors (scales, ratios) of the model and of guidance, and what samplers make of one noise."""

    alone: np.ndarray
    guided: np.ndarray
    sampled: dict[str, np.ndarray]


def best_noise(x: np.ndarray, t: float, wrong_below: int = 0) -> np.ndarray:
    """Return the best prediction of the noise in fields (..., n, n) whose cosine series has the power frequency^-2.

    With ``wrong_below`` it takes the terms below this index on both axes to have another power.
    """
    alpha, sigma = SCHEDULE.alpha_sigma(t)
    n = x.shape[-1]
    frequency = np.hypot(*np.meshgrid(np.arange(n), np.arange(n))) / n
    frequency[0, 0] = 0.5 / n
    power = 0.1 / frequency**2
    power[:wrong_below, :wrong_below] = _WRONG
    terms = scipy.fft.dctn(x, axes=(-2, -1), norm="ortho") * (sigma / (alpha**2 * power + sigma**2))
    return scipy.fft.idctn(terms, axes=(-2, -1), norm="ortho")


def models(size: int, scale: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the model that is right at the small size only, and the same guided by itself."""

    def model(x: np.ndarray, t: float) -> np.ndarray:
        return best_noise(x, t, SMALL if x.shape[-1] == size else 0)

    return model, upsample_guidance(model, SCHEDULE, scale, w=0.0, resample="dct")


def compare(generator: np.random.Generator) -> tuple[list[Row], Fields]:
    """Compare predictions of noise with the best ones at three scales, and sample one field in three ways."""
    rows, alone, guided = [], [], []
    for scale in SCALES:
        size = round(SMALL * scale)
        x, both = generator.standard_normal((2, 1, size, size)), models(size, scale)
        (off, mended), seconds = timed(lambda x=x, both=both: [errors(each, x) for each in both])
        alone.append(off)
        guided.append(mended)
        question, answer = f"Gaussian field, scale {scale:g}", f"{size} x {size} pixels"
        best = f"alone: {max(off):.2f}"
        rows.append(Row(question, answer, float(max(mended)), TOLERANCE, "tolerance", best, seconds))
    return rows, Fields(np.array(alone), np.array(guided), sampled(generator))


def errors(model: Callable[..., Any], x: np.ndarray) -> np.ndarray:
    """Return the relative errors of predictions of the noise at all ratios."""
    found = []
    for t in SCHEDULE.time_of(RATIOS).tolist():
        exact = best_noise(x, t)
        found.append(np.linalg.norm(model(x, t) - exact) / np.linalg.norm(exact))
    return np.array(found)


def sampled(generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the fields (n, n) that the best model, the wrong one and the guided one make of the same noise."""
    size = round(SMALL * SCALES[-1])
    noise = generator.standard_normal((1, 1, size, size))
    times = SCHEDULE.time_of(np.linspace(RATIOS[0], RATIOS[-1], STEPS + 1))
    alone, guided = models(size, SCALES[-1])
    both = {"best model": best_noise, "model alone": alone, "guided": guided}
    return {name: sample(each, noise, SCHEDULE, times, method="dpmpp_2m")[0, 0] for name, each in both.items()}
