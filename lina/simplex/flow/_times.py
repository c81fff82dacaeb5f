"""Times and steps as the callers ask for them, checked, and the constants of the second-order steps."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from lina._core.array import to_numpy
from lina._core.checks import check_positive

# The steps to which the time from the start to an output is divided where no step is given.
_DEFAULT_STEPS = 100
# The two stages of the second-order steps: p1 = p0 + G dt f(p1), p2 = p0 + (1 - G) dt f(p1) + G dt f(p2); L-stable.
GAMMA = 1 - math.sqrt(0.5)
# The second stage is an implicit step from p0 + EXTRAPOLATION (p1 - p0).
EXTRAPOLATION = (1 - GAMMA) / GAMMA


def check_times(times: Any) -> np.ndarray:
    """Return ``times`` in float64: at least two, increasing."""
    try:
        found = np.array(to_numpy(times) if hasattr(times, "shape") else times, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"times must be numbers, got {type(times).__name__}") from None
    if found.ndim != 1 or found.size < 2:
        raise ValueError(f"times must be at least two numbers, shape (k,), got shape {found.shape}")
    if not (np.all(np.isfinite(found)) and np.all(np.diff(found) > 0)):
        raise ValueError(f"times must be finite and increasing, got {found[:5].tolist()}{'...' * (found.size > 5)}")
    return found


def check_step(step: Any) -> float | None:
    """Return the longest step in time, or None for the default."""
    return None if step is None else check_positive(step, "step")


def check_order(order: Any) -> int:
    """Return ``order``, 1 or 2."""
    if order not in (1, 2) or isinstance(order, bool):
        raise ValueError(f"order must be 1 or 2, got {order!r}")
    return int(order)


def equal_steps(first: float, start: float, stop: float, step: float | None) -> Iterator[float]:
    """Yield the equal steps, at most ``step`` long, that lead from ``start`` to ``stop``.

    By default a hundredth of the time since ``first``: an output far away does not spoil the near ones.
    """
    step = (stop - first) / _DEFAULT_STEPS if step is None else step
    count = max(1, math.ceil((stop - start) / step * (1 - 1e-12)))
    for _ in range(count):
        yield (stop - start) / count
