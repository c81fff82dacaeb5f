"""Which of many denominators are stable, by their reflection coefficients in floating point: quick, and not a proof."""

import numpy as np
from array_api_compat import array_namespace

from lina._core.kernels import kernel

# Digits of the reflection coefficients that have to be left.
_DIGITS = 1e-4
# A kernel takes seconds to compile on its first call: fewer products than this are done earlier without.
_WORTH_COMPILING = 2**21


def reflect_below_one(a: np.ndarray) -> np.ndarray:
    """Return which rows (rows, d) have all reflection coefficients below 1 in modulus, with digits to spare.

    The step-down recursion loses the product of 1 / (1 - abs(k_m)^2) in relative accuracy; a row that loses too much is
    not counted. 2 d^2 flops a row.
    """
    rows = np.array(a, dtype=np.result_type(a, np.float64), order="C")
    d, fast = rows.shape[1], kernel("step_down", array_namespace(rows))
    worth = fast is not None and rows.dtype == np.float64 and len(rows) * d * d >= _WORTH_COMPILING
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        below, lost = fast(rows) if fast is not None and worth else _step_down(rows)
        return below & (lost * d * 2.0**-52 < _DIGITS)


def _step_down(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether all reflection coefficients are below 1, and the product of 1 / (1 - abs(k_m)^2)."""
    below, lost = np.ones(len(rows), dtype=bool), np.ones(len(rows))
    for m in range(rows.shape[1], 0, -1):
        k = rows[:, m - 1]
        spare = 1 - np.abs(k) ** 2
        below &= spare > 0
        lost /= spare
        rest = rows[:, : m - 1]
        rest -= rest[:, ::-1].conj() * k[:, None]
        rest /= spare[:, None]
    return below, lost
