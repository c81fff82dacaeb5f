"""Rows of the table of operations: conversions of predictions, and samplers with linear models."""

from typing import Any

import numpy as np

from lina.diffusion import convert, cosine, sample
from tests.diffusion.operations_images import LIBRARIES, against, partner, real_numbers, unit
from tests.operation import Operation
from tests.reference import diffusion as reference
from tests.rope.operations import marked, numbers

SCHEDULE = cosine((-6.0, 6.0))
STEPS = 6
SPOILED = dict.fromkeys(
    ("NaN", "infinity", "minus infinity", "complex NaN", "subnormal", "huge", "1-d", "0-d", "a number"), ()
)
STARTS = {"complex NaN": ("ValueError", "TypeError"), "subnormal": (), "huge": (), "1-d": ()}


def pairs() -> list[tuple[float, float]]:
    """Return alpha and sigma at the ends of all steps."""
    alpha, sigma = SCHEDULE.alpha_sigma(SCHEDULE.time_of(np.linspace(*SCHEDULE.range, STEPS + 1)))
    return list(zip(alpha.tolist(), sigma.tolist(), strict=True))


def run(method: str, **options: Any) -> Any:
    """Return a sampler whose model predicts a quarter of x as the data."""
    return lambda x: sample(lambda x, t: 0.25 * x, x, SCHEDULE, STEPS, method=method, prediction="x0", **options)


def by(solver: Any) -> Any:
    """Return what a reference makes of the same model."""
    return lambda x: solver(lambda x, k: 0.25 * x, x, pairs())


def clipped(x: np.ndarray) -> np.ndarray:
    """Return deterministic steps from numbers of at most 1, whose data stay between 0 and 0.1."""
    return reference.ddim(lambda x, k: np.clip(0.25 * x, 0.0, 0.1), unit(x), pairs())


def row(name: str, call: Any, judged: Any, **more: Any) -> Operation:
    """Return a row with the settings that the samplers share."""
    options = {"backends": LIBRARIES, "extensions": (), "argument": "x", "hostile": STARTS, "memory": 8.0, **more}
    arrays = options.pop("arrays", numbers(3, 4, 5))
    return Operation(f"diffusion.{name}", call, arrays, marked, against(judged, 64), **options)


ROWS = [
    row(
        "convert",
        lambda x: convert(x, partner(x), 0.8, 0.6, "v", "eps"),
        lambda x: 0.6 * partner(x) + 0.8 * x,
        argument="prediction",
        hostile=SPOILED,
    ),
    row("sample", run("ddim"), by(reference.ddim)),
    row("sample (dpmpp_2m)", run("dpmpp_2m"), by(reference.dpmpp_2m)),
    row("sample (heun)", run("heun"), by(reference.heun)),
    row(
        "sample (clipped)",
        lambda x: run("euler", clip=(0.0, 0.1))(unit(x)),
        clipped,
        arrays=real_numbers(3, 4, 5),
        degree=0,
        real=("X",),
    ),
]
