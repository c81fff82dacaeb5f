"""Methods of `minimize`, and the function that its tests share."""

import numpy as np
import pytest

METHODS = (
    "auto",
    "projected_gradient",
    "mirror",
    "accelerated_mirror",
    "frank_wolfe",
    "away",
    "pairwise",
    "newton",
    "ipm",
)
every_method = pytest.mark.parametrize("method", METHODS)
fast_methods = pytest.mark.parametrize("method", [m for m in METHODS if m != "frank_wolfe"])


def least_squares(n=40, m=50, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((m, n)).astype(dtype), rng.standard_normal(m).astype(dtype)
    return A, b, lambda x: (0.5 * np.sum((A @ x - b) ** 2), A.T @ (A @ x - b))
