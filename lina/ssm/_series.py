"""Division of power series: the quotient of a polynomial or a signal by 1 + a_1 z + ... + a_d z^d.

Done as long division, coefficient by coefficient, by a kernel or as the solution of triangular systems; of many
coefficients, or where a library has neither, in blocks of m: a block is the product of 1 / a, cut to m coefficients,
with what the numerator has left after the d coefficients before. That is the recurrence of long division, m steps at
once. There is no aliasing, and a quotient that grows or decays keeps its digits, because every block is computed at its
own scale.
"""

import math
from typing import Any

import numpy as np
from scipy.signal import lfilter

from lina._core.array import is_lazy, where_is
from lina._core.kernels import kernel
from lina.ssm._fourier import fast_length, first, forward, inverse
from lina.ssm._series_substitution import divide_by_substitution
from lina.ssm._systems_arrays import is_complex

# A block ends where 1 / a has grown by so much inside it: its transforms err by eps times the largest entry.
_GROWTH = 2.0**12
# Up to the degree of long division, which loses none of this, a block ends sooner; short blocks give way to it.
_LITTLE_GROWTH = 16.0
_SHORTEST = 192
# Coefficients of 1 / a that are found one by one, before their number is doubled.
_ONE_BY_ONE = 64
# Up to this degree long division beats blocks; both took 20 ns a coefficient on one core.
_LONG_DIVISION = 256
# A kernel takes seconds to compile on its first call: fewer products than this are done earlier without.
_WORTH_COMPILING = 2**21


def divide(xp: Any, numerator: Any, a: Any, L: int) -> Any:
    """Return the first L >= 1 coefficients (..., L) of numerator(z) / (1 + a_1 z + ... + a_d z^d).

    ``numerator`` (..., M) and ``a`` (..., d) may be of any length; they are of one precision, and batches broadcast.
    The quotient of an unstable denominator may end in infinities or NaN. Where there is a kernel for long division it
    takes 2 d L flops a row up to d = 256, and where triangular systems are solved (max(64, d) + d) L; elsewhere and
    beyond blocks take about 5 transforms of length L.
    """
    batch = np.broadcast_shapes(numerator.shape[:-1], a.shape[:-1])
    numerator, a = first(numerator, L), first(a, L - 1)
    if L == 1 or 0 in batch:
        return xp.broadcast_to(filled(xp, numerator, L), (*batch, L))
    long_division, d = kernel("series_divide", xp), a.shape[-1]
    if long_division is not None and (d <= _LONG_DIVISION or 2 * d >= L):
        return long_division(numerator, a, L)
    solve = kernel("solve_triangular", xp)
    if solve is not None and d <= _LONG_DIVISION:
        return divide_by_substitution(xp, solve, filled(xp, numerator, L), a, batch)
    return _by_blocks(xp, numerator, a, L, batch)


def numpy_divide(numerator: np.ndarray, a: np.ndarray, L: int) -> np.ndarray:
    """Return the same for numpy arrays by long division, compiled where that pays."""
    batch, d = np.broadcast_shapes(numerator.shape[:-1], a.shape[:-1]), a.shape[-1]
    rows = math.prod(batch)
    rest = np.zeros((*batch, L), dtype=np.result_type(numerator, a))
    rest[..., : numerator.shape[-1]] = numerator
    flat = rest.reshape(rows, L)
    below = np.ascontiguousarray(np.broadcast_to(a, (*batch, d)), dtype=rest.dtype).reshape(rows, d)
    if rows * L * d >= _WORTH_COMPILING:
        from lina._numba.series_divide import series_divide

        return np.asarray(series_divide(flat, below)).reshape(*batch, L)
    if rows > L:
        return _all_rows_at_once(flat, below).reshape(*batch, L)
    for row, coefficients in zip(flat, below, strict=True):
        row[:] = lfilter([1.0], np.r_[1, coefficients], row)
    return rest


def _all_rows_at_once(rest: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return long divisions of rows (rows, L) by 1 + a_1 z + ... for ``a`` (rows, d), a quotient of each at a time."""
    out, a = rest.T.copy(), a.T.copy()
    for l in range(len(out) - 1):  # noqa: E741
        behind = out[l + 1 : l + 1 + len(a)]
        behind -= a[: len(behind)] * out[l]
    return np.ascontiguousarray(out.T)


def _by_blocks(xp: Any, numerator: Any, a: Any, L: int, batch: tuple[int, ...]) -> Any:
    divisor = _Divisor(xp, a, L, complex_=is_complex(numerator))
    m, count = divisor.length, numerator.shape[-1]
    if divisor.order <= _LONG_DIVISION and m < min(L, _SHORTEST):
        return _one_by_one(xp, filled(xp, numerator, L), a, batch)
    blocks: list[Any] = []
    for start in range(0, L, m):
        rest = numerator[..., start : min(start + m, count)] if start < count else None
        if blocks:
            carried = divisor.remainder(_last(xp, blocks, divisor.order))
            rest = carried if rest is None else _sum(xp, rest, carried)
        blocks.append(xp.broadcast_to(divisor.quotient(rest), (*batch, m)))
        if m < _SHORTEST and not (is_lazy(a) or bool(xp.all(xp.isfinite(blocks[-1][..., -1])))):
            break  # nothing finite follows
    return filled(xp, xp.concat(blocks, axis=-1), L, float("nan"))[..., :L]


class _Divisor:
    """1 / a to the length of a block, with the transforms that are used again and again."""

    def __init__(self, xp: Any, a: Any, L: int, *, complex_: bool) -> None:
        self.xp, self.order = xp, a.shape[-1]
        self.real = not (is_complex(a) or complex_)
        self.dtype = a.dtype if self.real else xp.result_type(a, xp.complex64)
        self.whole = xp.concat([xp.ones_like(a[..., :1]), a], axis=-1)
        self.inverse = _reciprocal(xp, a, self.whole, min(L, max(2 * self.order, _SHORTEST)))
        self.length = self.inverse.shape[-1]
        self.spectra: dict[tuple[str, int], Any] = {}

    def quotient(self, rest: Any) -> Any:
        """Return the first m coefficients of the product of 1 / a with ``rest``."""
        product = self._product("inverse", rest, self.length + rest.shape[-1] - 1)
        return product[..., : self.length]

    def remainder(self, last: Any) -> Any:
        """Return what the d quotients before a block take from the numerator inside of it, with its sign."""
        d, reach = self.order, min(self.order, self.length)
        # what is longer falls on entries that nobody looks at
        return -self._product("whole", last, d + reach)[..., d : d + reach]

    def _product(self, name: str, x: Any, size: int) -> Any:
        n = fast_length(size, real=self.real)
        return inverse(self.xp, self._spectrum(name, n) * forward(self.xp, self._cast(x), n), n, real=self.real)

    def _spectrum(self, name: str, n: int) -> Any:
        if (name, n) not in self.spectra:
            self.spectra[name, n] = forward(self.xp, self._cast(getattr(self, name)), n)
        return self.spectra[name, n]

    def _cast(self, x: Any) -> Any:
        return self.xp.astype(x, self.dtype, copy=False)


def _reciprocal(xp: Any, a: Any, whole: Any, length: int) -> Any:
    """Return the first coefficients of 1 / whole(z), one at least: ``length``, or as many as grow little enough.

    The first ones come by long division, because an error in them grows with every doubling of their number.
    """
    begun = _begun(xp, a, whole[..., :1], length)
    limit = _LITTLE_GROWTH if a.shape[-1] <= _LONG_DIVISION else _GROWTH
    found = _until_it_grows(xp, begun, limit)
    complete = found.shape[-1] == length or found.shape[-1] < begun.shape[-1]
    return found if complete else _doubled(xp, found, whole, length, limit)


def _begun(xp: Any, a: Any, one: Any, length: int) -> Any:
    """Return the coefficients of 1 / (1 + a_1 z + ...) that are found one by one."""
    long_division = kernel("series_divide", xp)
    if long_division is not None:
        return long_division(one, a, length)
    return _one_by_one(xp, filled(xp, one, min(length, _ONE_BY_ONE)), a, one.shape[:-1])


def _one_by_one(xp: Any, numerator: Any, a: Any, batch: tuple[int, ...]) -> Any:
    """Return as many coefficients of numerator(z) / (1 + a_1 z + ...) as the numerator has."""
    a = xp.broadcast_to(a, (*batch, a.shape[-1]))
    latest, found = xp.astype(xp.zeros_like(a), xp.result_type(a, numerator)), []
    for i in range(numerator.shape[-1]):
        found.append(numerator[..., i : i + 1] - xp.sum(a * latest, axis=-1, keepdims=True))
        latest = xp.concat([found[-1], latest[..., :-1]], axis=-1)
    return xp.concat(found, axis=-1)


def _until_it_grows(xp: Any, found: Any, limit: float) -> Any:
    if is_lazy(found):
        return found
    sizes = xp.max(xp.abs(xp.reshape(found, (-1, found.shape[-1]))), axis=0)
    return found[..., : max(1, int(xp.sum(xp.cumulative_prod(xp.astype(sizes <= limit, xp.int64)))))]


def _doubled(xp: Any, found: Any, whole: Any, length: int, limit: float) -> Any:
    """Return 1 / whole to ``length`` coefficients by Newton's steps, or as many as grow little enough."""
    real, sizes = not is_complex(whole), [length]
    while sizes[-1] > 2 * found.shape[-1]:
        sizes.append(-(-sizes[-1] // 2))
    for size in sizes[::-1]:
        known, n = found.shape[-1], fast_length(size, real=real)
        spectrum = forward(xp, found, n)
        # the product is longer than n: what wraps around falls on the known part
        error = inverse(xp, spectrum * forward(xp, first(whole, size), n), n, real=real)[..., known:size]
        error = first(error, whole.shape[-1] - 1)  # beyond the degree it is zero
        more = inverse(xp, spectrum * forward(xp, error, n), n, real=real)[..., : size - known]
        if not is_lazy(more) and not bool(xp.max(xp.abs(more)) <= limit):
            return found
        found = xp.concat([found, -more], axis=-1)
    return found


def _last(xp: Any, blocks: list[Any], d: int) -> Any:
    """Return the last d coefficients before a block, zeros where there were none."""
    recent, have = [], 0
    for block in reversed(blocks):
        recent.append(block)
        have += block.shape[-1]
        if have >= d:
            break
    joined = xp.concat(recent[::-1], axis=-1)
    if have >= d:
        return joined[..., have - d :]
    return xp.flip(filled(xp, xp.flip(joined, axis=-1), d, 0.0), axis=-1)


def _sum(xp: Any, x: Any, y: Any) -> Any:
    """Return the sum of two polynomials."""
    size = max(x.shape[-1], y.shape[-1])
    return filled(xp, x, size, 0.0) + filled(xp, y, size, 0.0)


def filled(xp: Any, x: Any, size: int, value: float = 0.0) -> Any:
    """Return ``x`` with its last axis filled up to a size by a value."""
    missing = size - x.shape[-1]
    if missing <= 0:
        return x
    rest = xp.full((*x.shape[:-1], missing), value, dtype=x.dtype, device=where_is(x))
    return xp.concat([x, rest], axis=-1)
