"""Convolution kernels the slow and obvious way: one step after the other, in 40 digits."""

from typing import Any

import mpmath
import numpy as np

from tests.reference.ssm_systems import full_matrices, taps, transform

DIGITS = 40


def dplr_taps(Lambda: Any, P: Any, B: Any, C: Any, dt: Any, L: int, *, truncated: bool = False) -> list[Any]:
    """Return C Ad^l Bd, l < L, of the bilinear transform of diag(Lambda) - P P^*, both halves of all pairs written out.

    Where C is ``truncated`` it is that times I - Ad^L. Entries may be mpmath numbers.
    """
    with mpmath.workdps(DIGITS):
        rows = [_both(row) for row in P]
        n = 2 * len(Lambda)
        A = mpmath.diag(_both(Lambda))
        for row in rows:
            A -= mpmath.matrix(row) * mpmath.matrix([mpmath.conj(x) for x in row]).T
        half, one = A * (mpmath.mpmathify(dt) / 2), mpmath.eye(n)
        x = mpmath.lu_solve(one - half, mpmath.matrix(_both(B)) * dt)
        out, c = [], mpmath.matrix(_both(C)).T
        if truncated:
            c = c * (one - (mpmath.inverse(one - half) * (one + half)) ** L) ** -1
        for _ in range(L):
            out.append(mpmath.re((c * x)[0]))
            x = mpmath.lu_solve(one - half, (one + half) * x)
        return out


def _both(values: Any) -> list[Any]:
    half = [mpmath.mpmathify(x) for x in values]
    return half + [mpmath.conj(x) for x in half]


def dplr_taps_in_double(Lambda: Any, P: Any, B: Any, C: Any, dt: float, L: int) -> np.ndarray:
    """Return the same by full matrices in double precision, for long kernels."""
    A, b, c = full_matrices(Lambda, P, B, C)
    return taps(*transform(A, b, dt, 0.5), c, L).real


def diag_taps(Lambda: Any, B: Any, C: Any, dt: Any, L: int, method: str) -> list[Any]:
    """Return 2 Re sum_n C_n Bd_n Ad_n^l. Entries may be mpmath numbers."""
    with mpmath.workdps(DIGITS):
        out, dt = [mpmath.mpf(0)] * L, mpmath.mpmathify(dt)
        for pole, b, c in zip(Lambda, B, C, strict=True):
            pole, b, c = mpmath.mpmathify(pole), mpmath.mpmathify(b), mpmath.mpmathify(c)
            if method == "zoh":
                A, b = mpmath.exp(pole * dt), b * (dt if pole == 0 else mpmath.expm1(pole * dt) / pole)
            else:
                A, b = (1 + pole * dt / 2) / (1 - pole * dt / 2), dt * b / (1 - pole * dt / 2)
            for l in range(L):  # noqa: E741
                out[l] += 2 * mpmath.re(c * b * A**l)
        return out


def exponential_sums(c: Any, x: Any, L: int) -> list[Any]:
    """Return 2 Re sum_n c_n exp(l x_n). Entries may be mpmath numbers."""
    with mpmath.workdps(DIGITS):
        terms = [(mpmath.mpmathify(a), mpmath.mpmathify(b)) for a, b in zip(c, x, strict=True)]
        return [2 * mpmath.re(sum(a * mpmath.exp(l * b) for a, b in terms)) for l in range(L)]  # noqa: E741


def cauchy_sums(v: Any, z: Any, w: Any, pairs: bool) -> list[Any]:
    """Return sum_n v_n / (z - w_n), and the sums of the conjugates. Entries may be mpmath numbers."""
    with mpmath.workdps(DIGITS):
        terms = [(mpmath.mpmathify(a), mpmath.mpmathify(b)) for a, b in zip(v, w, strict=True)]
        terms += [(mpmath.conj(a), mpmath.conj(b)) for a, b in terms] if pairs else []
        return [sum(a / (mpmath.mpmathify(point) - b) for a, b in terms) for point in z]


def derivative(function: Any, arguments: list[Any], which: int, direction: Any) -> np.ndarray:
    """Return the derivative of a list of numbers along a direction of one argument, by a central difference."""
    with mpmath.workdps(DIGITS):
        step = mpmath.mpf(10) ** (-DIGITS // 3)
        ends = []
        for sign in (1, -1):
            moved = list(arguments)
            moved[which] = _moved(arguments[which], direction, sign * step)
            ends.append(function(*moved))
        return np.array([complex((a - b) / (2 * step)) for a, b in zip(*ends, strict=True)])


def _moved(values: Any, direction: Any, step: Any) -> Any:
    if np.ndim(values) == 0:
        return mpmath.mpmathify(values) + step * mpmath.mpmathify(direction)
    return [_moved(a, b, step) for a, b in zip(values, direction, strict=True)]
