"""Samplers as tables: each step is a sum of the sample, predictions of the data, and noise."""

import math
from dataclasses import dataclass

import numpy as np

from lina.diffusion._schedule import Schedule

# Beyond such a fall of sigma / alpha the first-order step is the better one: over Gaussian data of all variances the
# largest relative error of one step is 0.118 for the trapezoidal rule and 0.134 for it at 3, and they meet at 3.3.
_TRAPEZOID_FALL = 3.0
# Beyond such a growth of the step in lambda an extrapolation adds more than the whole last change of x0. The last steps
# of even times and angles are up to ten times as long as those before, and are of first order.
_STEP_GROWTH = 2.0
METHODS = ("ddpm", "ddim", "dpmpp_1s", "dpmpp_2m", "heun", "euler")


@dataclass(frozen=True)
class StepTable:
    """Coefficients of every step, float64 (steps,): x' = x * x + x0 * x0 + other * other x0 + noise * z.

    Attributes
    ----------
    alpha, sigma : numpy array, shape (steps + 1,)
        At the start of each step, and at the end of the last one.
    x, x0, other, noise : numpy array, shape (steps,)
        The other x0 is that of the step before in "dpmpp_2m", and in "heun" that at the end of the step, where the sum
        of ``predict_x`` x and ``predict_x0`` x0 is the first guess; 0 where none is needed.
    looks_ahead : bool
        Whether the other x0 is that at the end of the step.
    """

    alpha: np.ndarray
    sigma: np.ndarray
    x: np.ndarray
    x0: np.ndarray
    other: np.ndarray
    noise: np.ndarray
    predict_x: np.ndarray
    predict_x0: np.ndarray
    looks_ahead: bool


def step_table(
    schedule: Schedule, times: np.ndarray, method: str, eta: float, variance: str, to_data: bool
) -> StepTable:
    """Return the table of a method; with ``to_data`` the last step ends at alpha = 1 and sigma = 0.

    With h half the rise of lambda, the exact step for a constant x0 is x' = (sigma' / sigma) x + alpha' (1 - e^-h) x0:
    that of DDIM, of the first-order DPM-Solver++, and of Euler in the coordinates x / alpha and sigma / alpha.
    """
    ends = np.stack((*schedule._alpha_sigma(times), schedule._logsnr(times)))
    if to_data:
        ends = np.concatenate((ends, [[1.0], [0.0], [np.inf]]), axis=1)
    alpha, sigma, logsnr = ends
    h = (logsnr[1:] - logsnr[:-1]) / 2
    loss = np.expm1(-2 * h)
    chance = 1.0 if method == "ddpm" else eta
    with np.errstate(divide="ignore"):
        kept = np.log1p(chance**2 * loss) / 2
    of_x = sigma[1:] / sigma[:-1] * np.exp(kept)
    of_x0 = -alpha[1:] * np.expm1(-h + kept)
    noise = chance * (sigma[:-1] if variance == "large" else sigma[1:]) * np.sqrt(-loss)
    if variance == "large":
        noise[-1:] = 0.0
    other = np.zeros_like(h)
    if method == "dpmpp_2m":
        other = -of_x0 * _extrapolation(h)
    elif method == "heun":
        usable = (h <= math.log(_TRAPEZOID_FALL) * (1 + 1e-12)) & (sigma[1:] > 0)
        other = alpha[1:] * np.expm1(np.where(usable, h, 0.0)) / 2
    return StepTable(alpha, sigma, of_x, of_x0 - other, other, noise, of_x, of_x0, method == "heun")


def _extrapolation(h: np.ndarray) -> np.ndarray:
    """Return the weight of x0 minus the x0 before.

    There is none in the first step, nor from or to an infinite lambda, nor in a step that is much longer than the last.
    """
    weight = np.zeros_like(h)
    usable = np.isfinite(h[1:]) & np.isfinite(h[:-1]) & (h[1:] <= _STEP_GROWTH * (1 + 1e-12) * h[:-1])
    np.divide(h[1:], 2 * h[:-1], out=weight[1:], where=usable)
    return weight
