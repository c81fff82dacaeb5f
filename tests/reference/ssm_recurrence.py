"""Recurrences of rational systems with so many digits that nothing is lost, and those of matrices step by step."""

import mpmath
import numpy as np


def rational_recurrence(
    a: np.ndarray, b: np.ndarray, u: np.ndarray, x0: np.ndarray, digits: int = 80
) -> tuple[np.ndarray, np.ndarray]:
    """Return (y, states (L, d)) of w = u - a_1 w_1 - a_2 w_2 - ..., y = b_1 w + b_2 w_1 + ..., for real numbers."""
    with mpmath.workdps(digits):
        below, above, state = ([mpmath.mpf(float(v)) for v in x] for x in (a, b, x0))
        outputs, states = [], []
        for sample in u:
            state = [mpmath.mpf(float(sample)) - mpmath.fdot(below, state), *state[:-1]]
            outputs.append(float(mpmath.fdot(above, state)))
            states.append([float(v) for v in state])
    return np.array(outputs), np.array(states)


def dense_recurrence(
    A: np.ndarray, B: np.ndarray, C: np.ndarray, u: np.ndarray, x0: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (y, states (L, n)) of x = A x + B u, y = C x in the precision of the arrays, one step after the other."""
    x, states = x0, []
    for sample in u:
        x = A @ x + B * sample
        states.append(x)
    return np.array([C @ each for each in states]), np.array(states)
