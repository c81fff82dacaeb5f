"""Diffusion by the formulas of the papers: step by step, one number at a time."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np

Pairs = Sequence[tuple[float, float]]


def mp_logsnr(name: str, t: float) -> float:
    """Return lambda of a schedule with its default parameters, in 50 digits."""
    with mpmath.workdps(50):
        u = mpmath.mpf(t)
        if name == "cosine":
            alpha, sigma = mpmath.cos(mpmath.pi * u / 2), mpmath.sin(mpmath.pi * u / 2)
        elif name == "nichol_cosine":
            o = mpmath.mpf(0.008)
            squares = [mpmath.cos((v + o) / (1 + o) * mpmath.pi / 2) ** 2 for v in (u, 0)]
            alpha, sigma = mpmath.sqrt(squares[0] / squares[1]), mpmath.sqrt(1 - squares[0] / squares[1])
        elif name == "vp_linear":
            low, high = mpmath.mpf(0.1), mpmath.mpf(20)
            square = mpmath.exp(-(low * u + (high - low) * u**2 / 2))
            alpha, sigma = mpmath.sqrt(square), mpmath.sqrt(1 - square)
        elif name == "edm":
            low, high = (mpmath.mpf(s) ** (mpmath.mpf(1) / 7) for s in (0.002, 80))
            alpha, sigma = mpmath.mpf(1), (low + u * (high - low)) ** 7
        else:
            alpha, sigma = 1 - u, u
        return float(2 * mpmath.log(alpha / sigma))


def predicted(kind: str, x0: Any, eps: Any, alpha: Any, sigma: Any) -> Any:
    """Return a prediction by its definition."""
    return {
        "eps": lambda: eps,
        "x0": lambda: x0,
        "v": lambda: alpha * eps - sigma * x0,
        "flow": lambda: eps - x0,
        "score": lambda: -eps / sigma,
    }[kind]()


def ddim(model_x0: Callable[[Any, int], Any], x: Any, pairs: Pairs, eta: float = 0.0, draws: Any = None) -> Any:
    """Return DDIM by its paper: the noise that x holds is kept, in part replaced by fresh noise."""
    for k, ((alpha, sigma), (alpha_next, sigma_next)) in enumerate(pairwise(pairs)):
        x0 = model_x0(x, k)
        eps = (x - alpha * x0) / sigma
        fresh = eta * sigma_next * math.sqrt(max(0.0, 1 - (alpha * sigma_next / (alpha_next * sigma)) ** 2))
        x = alpha_next * x0 + math.sqrt(sigma_next**2 - fresh**2) * eps
        if draws is not None:
            x = x + fresh * draws[k]
    return x


def dpmpp_2m(model_x0: Callable[[Any, int], Any], x: Any, pairs: Pairs) -> Any:
    """Return the second-order multistep solver by Algorithm 2 of its paper."""
    before, h_before = None, 0.0
    for k, ((alpha, sigma), (alpha_next, sigma_next)) in enumerate(pairwise(pairs)):
        x0 = model_x0(x, k)
        h = math.log(alpha_next / sigma_next) - math.log(alpha / sigma)
        r = h_before / h
        D = x0 if before is None else (1 + 1 / (2 * r)) * x0 - before / (2 * r)
        x = sigma_next / sigma * x - alpha_next * (math.exp(-h) - 1) * D
        before, h_before = x0, h
    return x


def heun(model_x0: Callable[[Any, int], Any], x: Any, pairs: Pairs) -> Any:
    """Return Heun's method for d(x / alpha) / d(sigma / alpha) = eps."""

    def slope(y: Any, k: int) -> Any:
        alpha, sigma = pairs[k]
        return (y * alpha - alpha * model_x0(y * alpha, k)) / sigma

    y = x / pairs[0][0]
    for k in range(len(pairs) - 1):
        step = pairs[k + 1][1] / pairs[k + 1][0] - pairs[k][1] / pairs[k][0]
        first = slope(y, k)
        y = y + step * (first + slope(y + step * first, k + 1)) / 2
    return y * pairs[-1][0]


def posterior(alpha: float, sigma: float, alpha_next: float, sigma_next: float) -> tuple[float, float, float]:
    """Return the factors of x and x0 in the mean of x' given x and x0, and its variance, by Bayes' rule."""
    ratio = alpha / alpha_next
    added = sigma**2 - ratio**2 * sigma_next**2
    return ratio * sigma_next**2 / sigma**2, alpha_next * added / sigma**2, added * sigma_next**2 / sigma**2


def gaussian_x0(x: np.ndarray, alpha: float, sigma: float, variance: Any, mean: Any = 0.0) -> np.ndarray:
    """Return the best prediction of Gaussian data."""
    return mean + alpha * variance / (alpha**2 * variance + sigma**2) * (x - alpha * mean)
