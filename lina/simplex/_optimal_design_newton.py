"""Newton steps on the weights of a few candidate points of a design: quadratic programs over the simplex."""

import math
from typing import Any

import numpy as np

from lina._core.kernels import kernel

_STEPS, _HALVINGS = 12, 30

# A step that promises less than this part of the value is taken whole: the value itself does not show it any more.
_UNSEEN = 1e-11


def newton_design(rows: np.ndarray, w: np.ndarray, K: np.ndarray | None, tolerance: float) -> np.ndarray:
    """Return weights (k,) of the ``rows`` (k, d) whose gap over them is at most ``tolerance``, or as far as steps go.

    Minimises -log det M for M = sum w_i a_i a_i^T, or trace(K M^-1) where ``K`` (d, d) is given. Each step solves the
    quadratic model over the simplex, so that weights become zero or positive as they should, and is halved until the
    value falls. The Hessian of -log det M is (a_i.P a_j)^2, that of the trace 2 (a_i.P a_j)(a_i.P K P a_j), P = M^-1.

    Cost 2 k^2 d + k^3 / 3 flops a step; the error is squared by each in the end.
    """
    solve: Any = kernel("active_set_qp", np)
    value, gradient, hessian = _model(rows, w, K)
    for _ in range(_STEPS):
        if float(w @ (gradient - gradient.min())) <= tolerance:
            break
        target = solve(hessian, gradient - hessian @ w, w, 0.1 * tolerance)[0]
        slope = float((target - w) @ gradient)
        if not slope < 0:
            break
        moved = _searched(rows, w, target, K, value, slope)
        if moved is None:
            break
        w, (value, gradient, hessian) = moved
    return w


def _searched(
    rows: np.ndarray, w: np.ndarray, target: np.ndarray, K: np.ndarray | None, value: float, slope: float
) -> tuple[np.ndarray, tuple[float, np.ndarray, np.ndarray]] | None:
    """Return the first point with its model, at 1, 1/2, 1/4, ... of the way, that is lower; None if there is none."""
    part = 1.0
    for _ in range(_HALVINGS):
        point = w + part * (target - w) if part < 1 else target
        try:
            model = _model(rows, point, K)
        except np.linalg.LinAlgError:  # M is singular there
            part /= 2
            continue
        if model[0] <= value + 0.1 * part * slope or -slope <= _UNSEEN * max(abs(value), rows.shape[1]):
            return point, model
        part /= 2
    return None


def _model(rows: np.ndarray, w: np.ndarray, K: np.ndarray | None) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the value, the gradient and the Hessian in ``w``."""
    L = np.linalg.cholesky((rows.T * w) @ rows)
    V = np.linalg.solve(L, rows.T)
    between = V.T @ V
    if K is None:
        return -2 * math.fsum(np.log(np.diagonal(L))), -np.diagonal(between), between**2
    W = np.linalg.solve(L, np.linalg.solve(L, K).T)
    gains = V.T @ ((W + W.T) / 2) @ V
    return float(np.trace(W)), -np.diagonal(gains), 2 * between * gains
