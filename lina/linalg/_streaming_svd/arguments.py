"""The arguments of a stream, checked, and how large its sketches are: by rule, by hand, or by a memory."""

import math
import operator
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import dtype_name
from lina._core.checks import check_int, check_option, check_tolerance
from lina._core.random import generator

DTYPES = ("float32", "float64", "complex64", "complex128")


class Sizes(NamedTuple):
    """Columns of the range sketch r, rows and columns of the core sketch s, and rows of the error sketch q."""

    range: int
    core: int
    probes: int

    def memory(self, m: int, n: int) -> int:
        """Return how many numbers the sketches hold: r (m + n) + s^2 + q n."""
        return self.range * (m + n) + self.core**2 + self.probes * n


def choose_sizes(shape: tuple[int, int], k: int, r: Any, s: Any, q: Any, memory: Any) -> Sizes:
    """Return the sizes that the arguments fix or leave to the rules r = 4 k + 3, s = 2 r + 1."""
    m, n = shape
    probes = check_size(q, 2, 2**31, "probes")
    if memory is not None:
        if r is not None or s is not None:
            raise ValueError("memory must not be given together with range_size or core_size")
        return _within(m, n, k, probes, check_size(memory, 1, 2**62, "memory"))
    limit = min(m, n)
    columns = min(4 * k + 3, limit) if r is None else check_size(r, k, limit, "range_size", "k..min(m, n)")
    if s is None:
        return Sizes(columns, 2 * columns + 1, probes)
    # with fewer, the least-squares problem that gives the core has no error bound (theorem 5.1)
    return Sizes(columns, check_size(s, columns + 2, 2**31, "core_size", "range_size + 2.."), probes)


def _within(m: int, n: int, k: int, probes: int, memory: int) -> Sizes:
    """Return the largest sizes with s = 2 r + 1 that fit into ``memory`` numbers; what r leaves over goes to s."""
    least = Sizes(k, k + 2, probes).memory(m, n)
    if memory < least:
        raise ValueError(f"memory must be at least k (m + n) + (k + 2)^2 + probes n = {least} numbers, got {memory}")
    room = memory - probes * n
    natural = (math.sqrt((m + n + 4) ** 2 + 16.0 * (room - 1)) - (m + n + 4)) / 8
    r = min(max(k, int(natural)), m, n)
    return Sizes(r, min(math.isqrt(room - r * (m + n)), 4 * r + 1), probes)


def check_size(value: Any, low: int, high: int, name: str, words: str | None = None) -> int:
    """Return ``value`` as an int in low..high; ``words`` say what these bounds are."""
    number = check_int(value, name)
    if not low <= number <= high:
        bounds = f"{low}..{high}" if high < 2**31 else f"{low} or more"
        wanted = f"in {words} = {bounds}" if words else bounds
        raise ValueError(f"{name} must be {wanted}, got {number}")
    return number


def check_shape(shape: Any) -> tuple[int, int]:
    """Return ``shape`` as a pair of ints of at least 1."""
    try:
        m, n = shape
    except (TypeError, ValueError):
        raise TypeError(f"shape must be a pair of ints (m, n), got {shape!r}") from None
    return check_size(m, 1, 2**62, "shape[0]"), check_size(n, 1, 2**62, "shape[1]")


def check_dtype(dtype: Any) -> str:
    """Return the name of a dtype of any library, if it is one to compute in."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = dtype_name(dtype)
    return check_option(name, DTYPES, "dtype")


def largest_norm(dtype: str, shape: tuple[int, int]) -> float:
    """Return the norm up to which no entry of a sketch overflows: each is a product with two Gaussian vectors."""
    largest = 2.0**1023 if dtype in ("float64", "complex128") else 2.0**127
    # one of length n is longer than sqrt(n) + 10 with a probability below 1e-21
    return largest / ((math.sqrt(shape[0]) + 10) * (math.sqrt(shape[1]) + 10))


def check_factor(theta: Any, *, real: bool) -> float | complex:
    """Return ``theta`` as a finite number of Python, real if it must be."""
    try:
        number = complex(theta)
    except (TypeError, ValueError):
        raise TypeError(f"theta must be a number, got {type(theta).__name__}") from None
    if not (math.isfinite(number.real) and math.isfinite(number.imag)):
        raise ValueError(f"theta must be finite, got {theta}")
    if number.imag == 0.0:
        return number.real
    if real:
        raise TypeError(f"theta must be real in a stream of real numbers, got {theta}")
    return number


def check_probability(value: Any) -> float:
    """Return ``value`` as a float above 0 and below 1."""
    number = check_tolerance(value, "failure_probability")
    if not 0.0 < number < 1.0:
        raise ValueError(f"failure_probability must be above 0 and below 1, got {number}")
    return number


def seed_of(rng: Any) -> int:
    """Return the int that ``rng`` is, or one drawn from it."""
    drawn = generator(rng)  # checks rng
    if rng is None or isinstance(rng, np.random.Generator):
        return int(drawn.integers(2**63))
    return operator.index(rng)
