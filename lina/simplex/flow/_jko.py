"""The JKO step on the line: the minimiser of distance^2 / (2 tau) + F over the increasing quantiles, by Newton."""

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solveh_banded
from scipy.optimize import isotonic_regression

from lina.simplex.flow._on_quantiles import QuantileEnergy

_MAX_NEWTON = 100
# Share of the way to a gap of zero that one step may take.
_TO_BOUNDARY = 0.9


def jko_step(energy: QuantileEnergy, reference: np.ndarray, guess: np.ndarray, tau: float) -> np.ndarray | None:
    """Return the minimiser over increasing x of sum w (x - reference)^2 / (2 tau) + F(x); None if none was found.

    ``guess`` increases; ``reference`` need not. With a diffusion F is infinite where two quantiles meet, and the
    minimiser is inside; without one, quantiles may meet.
    """
    x, w = guess, energy.weights
    scale = float(np.max(np.abs(guess - guess[0]))) + float(np.max(np.abs(reference - guess)))
    rounding = 1e-14 * scale + 1e-15 * float(np.max(np.abs(guess)))
    here = _objective(energy, reference, x, tau)
    last = np.inf
    for _ in range(_MAX_NEWTON):
        gradient = w * (x - reference) / tau + energy.gradient(x)
        step = _descent(energy, x, gradient, tau)
        if step is None or not np.all(np.isfinite(step)):
            return None
        moved = float(np.max(np.abs(step)))
        if moved <= rounding or (moved <= 1e-10 * scale and moved > last / 4):
            return x
        share = _longest(x, step) if energy.diffusive else 1.0
        slope = float(gradient @ step)
        while moved > max(
            1e-7 * scale, rounding
        ):  # below, Newton converges and the objective has no digits left to compare
            there = _objective(energy, reference, x + share * step, tau)
            if there <= here + 1e-4 * share * slope + 1e-14 * abs(here):
                break
            share /= 2
            if share < 1e-10:
                return None
        x = x + share * step
        here = _objective(energy, reference, x, tau)
        last = moved
    return None


def _objective(energy: QuantileEnergy, reference: np.ndarray, x: np.ndarray, tau: float) -> float:
    return float(energy.weights @ (x - reference) ** 2) / (2 * tau) + energy.value(x)


def _longest(x: np.ndarray, step: np.ndarray) -> float:
    """Return the longest share of ``step``, at most 1, that keeps the order with room to spare."""
    closing = np.max(-np.diff(step) / np.diff(x))
    return 1.0 if closing <= _TO_BOUNDARY else _TO_BOUNDARY / closing


def _descent(energy: QuantileEnergy, x: np.ndarray, gradient: np.ndarray, tau: float) -> np.ndarray | None:
    """Return Newton's step; without a diffusion one to increasing quantiles, by a diagonal model where they cross."""
    diagonal, beside = energy.diagonals(x)
    diagonal = diagonal + energy.weights / tau
    matrix = energy.interaction_matrix(x) if energy.interacts else None
    step = _newton(diagonal, beside, matrix, gradient, energy.weights / tau)
    if energy.diffusive or step is None or np.min(np.diff(x + step)) >= 0:
        return step
    if matrix is not None:
        diagonal = diagonal + np.diag(matrix)
    model = np.maximum(diagonal, energy.weights / tau)
    return isotonic_regression(x - gradient / model, weights=model).x - x


def _newton(
    diagonal: np.ndarray, beside: np.ndarray, matrix: np.ndarray | None, gradient: np.ndarray, metric: np.ndarray
) -> np.ndarray | None:
    """Return -H^-1 gradient, where a multiple of the metric is added to H until it is positive definite."""
    shift = 0.0
    for _ in range(60):
        try:
            if matrix is None:
                bands = np.stack([np.concatenate([[0.0], -beside]), diagonal + shift * metric])
                return -solveh_banded(bands, gradient)
            H = matrix + np.diag(diagonal + shift * metric) - np.diag(beside, 1) - np.diag(beside, -1)
            return -cho_solve(cho_factor(H), gradient)
        except LinAlgError:
            shift = max(1.0, 4 * shift)
        except ValueError:  # not finite
            return None
    return None
