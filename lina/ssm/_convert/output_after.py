"""What the output row C becomes L steps later: C A^L, and for a rational system the numerator of its taps from L on."""

from typing import Any

import numpy as np
from scipy.signal import lfilter

from lina._core.array import from_numpy, to_numpy
from lina.ssm._convert.realise import pairs, real_modes, realised
from lina.ssm._systems import DenseSystem, DiagonalSystem
from lina.ssm._systems_arrays import namespace, refuse_followed, widened


def output_after(system: Any, length: int) -> Any:
    """Return C A^L in the form and dtype of C, for a discrete system; log2(L) products of n x n matrices.

    It is computed in double precision: the powers of a rounded A move by L eps.
    """
    xp = namespace(system.C)
    wide = widened(system)
    if isinstance(system, DiagonalSystem):
        return xp.astype(wide.C * _power(wide.Lambda, length), system.C.dtype)
    single = real_modes(wide)
    dense = realised(wide, single)
    row = matrix_power_row(dense.C, dense.A, length)
    if not isinstance(system, DenseSystem):
        row = xp.conj(pairs(row, single))
    return xp.astype(row, system.C.dtype)


def one_less_power(xp: Any, Lambda: Any, exponent: int) -> Any:
    """Return 1 - Lambda^L, with all its digits where Lambda is near 1."""
    zero = Lambda == 0
    one = xp.ones_like(Lambda)
    return xp.where(zero, one, -xp.expm1(exponent * xp.log(xp.where(zero, one, Lambda))))


def _power(x: Any, exponent: int) -> Any:
    value = None
    while exponent:
        if exponent & 1:
            value = x if value is None else value * x
        exponent >>= 1
        x = x * x if exponent else x
    return value


def matrix_power_row(row: Any, A: Any, exponent: int) -> Any:
    """Return row A^L for a row (..., n)."""
    xp = namespace(A)
    row = row[..., None, :]
    while exponent:
        if exponent & 1:
            row = xp.matmul(row, A)
        exponent >>= 1
        if exponent:
            A = xp.matmul(A, A)
    return row[..., 0, :]


def matrix_power(A: Any, exponent: int) -> Any:
    """Return A^L for L >= 1."""
    xp = namespace(A)
    value = None
    while True:
        if exponent & 1:
            value = A if value is None else xp.matmul(value, A)
        exponent >>= 1
        if not exponent:
            return value
        A = xp.matmul(A, A)


def tail_numerator(a: Any, b: Any, length: int) -> Any:
    """Return r (..., d) with r(z) / a(z) = sum of K_{l + L} z^l, in the dtype of ``b``; 4 d L flops on the host."""
    refuse_followed("a sum of the first taps of a rational system", a=a, b=b)
    return from_numpy(tail_numerator_host(to_numpy(a), to_numpy(b), length), like=b)


def tail_numerator_host(a: np.ndarray, b: np.ndarray, length: int) -> np.ndarray:
    """Return the same for numpy arrays, in double precision."""
    batch, d = np.broadcast_shapes(a.shape[:-1], b.shape[:-1]), a.shape[-1]
    wide = np.result_type(a, b, np.float64)
    a, b = (np.broadcast_to(x, (*batch, d)).astype(wide) for x in (a, b))
    out = np.empty((*batch, d), dtype=wide)
    for index in np.ndindex(*batch):
        out[index] = _state_after(b[index], a[index], length)
    return out


def _state_after(b: np.ndarray, a: np.ndarray, length: int) -> np.ndarray:
    """Return the state of the transposed direct form after an impulse and L - 1 zeros.

    That state is what remains of the numerator: after each step the quotient has taken one tap off and the rest is
    divided by z.
    """
    rest = b.copy()
    denominator = np.concatenate([np.ones(1, dtype=a.dtype), a])
    done = 0
    while done < length:  # in pieces, so that no array is longer than a million
        count = min(length - done, 1 << 20)
        rest = lfilter(np.zeros_like(denominator), denominator, np.zeros(count, dtype=a.dtype), zi=rest)[1]
        done += count
    return rest
