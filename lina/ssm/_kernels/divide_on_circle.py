"""Division of samples on the unit circle, and what the samples of a denominator tell about its roots."""

import math
from typing import Any

import numpy as np

from lina._core.array import is_lazy, refuse_gradient, to_numpy
from lina._core.errors import GradientError
from lina._core.kernels import kernel
from lina.ssm._fourier import fast_length, forward
from lina.ssm._systems_arrays import is_complex, namespace

# Samples of the circle per degree, without which nothing is read from them.
_SAMPLES = 3
# Samples that are looked at together, so that they stay in cache.
_BLOCK = 2**15
# A kernel takes seconds to compile on its first call: fewer samples than this are done earlier without.
_WORTH_COMPILING = 2**17
# Sums of coefficients whose square is within the range of single and of double precision.
_LARGEST = {True: 2.0**60, False: 2.0**500}


def divide_on_circle(xp: Any, B: Any, A: Any, least: Any, *, real: bool, look: bool) -> tuple[Any, Any, Any]:
    """Return (B / A, near, winds) for samples (..., n): B may be overwritten.

    ``near`` and ``winds`` (...) say of each row whether abs(A) is below ``least`` (...) somewhere, and whether A may
    wind around 0; None where nobody wants to look. Real denominators are sampled on the half circle from 1 to -1.
    """
    hosted = _hosted(B, A) if real else None
    fast = None if hosted is None else kernel("circle_divide", namespace(hosted[0]))
    if fast is None or hosted is None:
        near, winds = _along_circle(xp, _detached(A), least, real=real) if look else (None, None)
        return B / A, near, winds
    rows = math.prod(A.shape[:-1])
    flat = [x.reshape(rows, A.shape[-1]) for x in hosted]
    near, winds = (x.reshape(A.shape[:-1]) for x in fast(*flat, to_numpy(least).reshape(rows)))
    return B, near, winds | (hosted[1][..., 0].real <= 0) | (hosted[1][..., -1].real <= 0)


def _hosted(B: Any, A: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return B and A as numpy arrays that share their memory, where a kernel may write to B and is worth compiling."""
    if tuple(B.shape) != tuple(A.shape) or math.prod(A.shape) < _WORTH_COMPILING or "cpu" not in str(A.device).lower():
        return None
    try:
        refuse_gradient("", B=B, A=A)
    except GradientError:
        return None
    found = to_numpy(B), to_numpy(A)
    return found if found[0].flags.writeable and all(x.flags.c_contiguous for x in found) else None


def may_wind(xp: Any, whole: Any, samples: int, winds: Any) -> Any:
    """Return which denominators (..., d + 1) may have a root in the unit disc, given what their samples told.

    These count where there are at least 3 for each degree; otherwise others are taken. An odd number leaves out -1.
    """
    whole, d, real = _detached(whole), whole.shape[-1] - 1, not is_complex(whole)
    if _SAMPLES * d > samples:
        size = fast_length(max(32, _SAMPLES * d), real=True)
        return _along_circle(xp, forward(xp, whole, size + size % 2), xp.zeros_like(xp.real(whole[..., 0])), real=real)[
            1
        ]
    if not real or samples % 2 == 0:
        return winds
    at_minus_one = xp.sum(whole[..., ::2], axis=-1) - xp.sum(whole[..., 1::2], axis=-1)
    return winds | (at_minus_one <= 0 if namespace(winds) is xp else to_numpy(at_minus_one) <= 0)


def safely_squared(xp: Any, whole: Any, sizes: Any) -> bool:
    """Return whether the squares of samples stay within the range, given the sums of their coefficients."""
    return bool(xp.max(_detached(sizes)) < _LARGEST[whole.dtype in (xp.float32, xp.complex64)])


def _along_circle(xp: Any, A: Any, least: Any, *, real: bool) -> tuple[Any, Any]:
    """Return whether abs(A) is below ``least`` somewhere and whether A may wind around 0, for each row of samples.

    While the argument turns by less than a quarter from one sample to the next, the crossings of the negative axis are
    those between two samples on the left, and A winds around 0 as often as it crosses upwards more than downwards. Real
    denominators have to be positive at 1 and -1, so that the other half adds as much.
    """
    if isinstance(A, np.ndarray) or "cpu" not in str(A.device).lower():
        rows = xp.reshape(A, (-1, A.shape[-1]))
    else:  # numpy sees the same memory, and takes a third of the time of other libraries
        rows = to_numpy(A).reshape(-1, A.shape[-1])
        xp, least = namespace(rows), to_numpy(least)
    step = max(1, _BLOCK // A.shape[-1] if isinstance(rows, np.ndarray) else rows.shape[0])
    smallest, winds = [], []
    for start in range(0, rows.shape[0], step):
        part = rows[start : min(start + step, rows.shape[0]), :]
        part = part if real else xp.concat([part, part[:, :1]], axis=-1)
        re, im = 1 * xp.real(part), 1 * xp.imag(part)  # contiguous
        smallest.append(xp.min(re * re + im * im, axis=-1))
        cosines = re[:, 1:] * re[:, :-1] + im[:, 1:] * im[:, :-1]
        doubtful = ~xp.all(cosines > 0, axis=-1) | (_crossings(xp, re < 0, im >= 0) != 0)
        winds.append(doubtful | (re[:, 0] <= 0) | (re[:, -1] <= 0) if real else doubtful)
    batch = tuple(A.shape[:-1])
    return xp.reshape(xp.concat(smallest), batch) < least**2, xp.reshape(xp.concat(winds), batch)


def _crossings(xp: Any, left: Any, above: Any) -> Any:
    """Return how much more often rows of samples cross the negative axis downwards than upwards."""
    both = left[:, 1:] & left[:, :-1]
    down, up = both & ~above[:, 1:] & above[:, :-1], both & above[:, 1:] & ~above[:, :-1]
    count = lambda x: xp.sum(x, axis=-1, dtype=xp.int64)  # noqa: E731
    return count(down) - count(up)


def _detached(x: Any) -> Any:
    return x.detach() if hasattr(x, "detach") else x


def has_zero(xp: Any, A: Any) -> bool:
    """Return whether a sample is 0; of lazy ones nothing is known."""
    return not is_lazy(A) and bool(xp.any(_detached(A) == 0))
