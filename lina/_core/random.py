"""Random numbers: one source, drawn in float64 on the CPU and moved, so that CPU and GPU see the same sketch."""

import operator
from typing import Any

import numpy as np

from lina._core.array import from_numpy

# With it draws differ from those of numpy.random.default_rng(seed), which many a test matrix is made of: probes must
# not depend on the matrix that they probe.
_SALT = 0x6C696E61


def generator(rng: Any) -> np.random.Generator:
    """Return the Generator that ``rng`` stands for: an int seed, a Generator, or None for fresh entropy."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None:
        return np.random.default_rng()
    try:
        if isinstance(rng, (bool, np.bool_)):
            raise TypeError
        seed = operator.index(rng)
    except TypeError:
        wanted = "an int, a numpy.random.Generator or None"
        raise TypeError(f"rng must be {wanted}, got {type(rng).__name__}") from None
    if seed < 0:
        raise ValueError(f"rng must be a non-negative seed, got {seed}")
    return np.random.default_rng((seed, _SALT))


def gaussian(rng: np.random.Generator, shape: tuple[int, ...], like: Any) -> Any:
    """Draw standard normal numbers of ``shape`` in the library, dtype and device of ``like``."""
    draws = rng.standard_normal(shape)
    return from_numpy(draws, like)
