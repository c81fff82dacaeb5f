"""True parameters from those that belong to one length, and back.

A kernel that is formed by an inverse FFT of length L is the first L taps of a system only if its output row is
C~ = C (I - A^L) or its numerator b~, which divides to K_l - K_{l+L}. Training by FFT learns these; a recurrence or
another length needs C and b.
"""

import math
import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
from scipy.signal import lfilter

from lina._core.array import epsilon, from_numpy, to_numpy
from lina._core.checks import check_rank
from lina._core.errors import AccuracyWarning
from lina.ssm._convert.forms import _host_only
from lina.ssm._convert.output_after import matrix_power, one_less_power, output_after, tail_numerator_host
from lina.ssm._convert.realise import pairs, real_modes, realised
from lina.ssm._convert.result import HOPELESS, Conversion, _each
from lina.ssm._kernels.rational_truncated import truncated_rational_taps
from lina.ssm._series import divide
from lina.ssm._stability.flag import flag_denominators, unsettled
from lina.ssm._stability.margin import flag_unstable, stability_margin, system_at
from lina.ssm._systems import DenseSystem, DiagonalSystem, RationalSystem
from lina.ssm._systems_arrays import (
    batch_shape,
    check_last,
    check_overflow,
    namespace,
    open_parts,
    refuse_followed,
    widened,
)


def truncated_b(a: Any, b: Any, length: int) -> Any:
    """Return the numerator b~ whose division by the denominator at the L-th roots of unity gives the first L taps.

    Parameters
    ----------
    a, b : array_like, shape (..., d)
        Denominator without its leading 1, and true numerator.
    length : int
        L, any length from 1 on: below d too.

    Returns
    -------
    b_tilde : array, shape (..., d)
        b~(z) / a(z) is the sum of (K_l - K_{l+L}) z^l.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library, or ``length`` is no int.
    ValueError
        If shapes do not fit, entries are not finite, ``length`` is below 1, or jax traces an array.
    OverflowError
        If an unstable system has a tap beyond the range of the dtype.
    GradientError
        If torch records a gradient.

    Notes
    -----
    A recurrence of L steps in double precision, 4 d L flops, on the host.

    Examples
    --------
    >>> from lina.ssm import truncated_b
    >>> truncated_b([-0.5], [1.0], 2)
    array([0.75])
    """
    xp, a, b = _opened(a, b, "b")
    length = check_rank(length, 2**62, "length", "2^62")
    refuse_followed("truncated_b", a=a, b=b)
    with np.errstate(over="ignore", invalid="ignore"):
        found = to_numpy(b) - tail_numerator_host(to_numpy(a), to_numpy(b), length)
    return check_overflow(xp, from_numpy(found, like=b), "b")


def recover_b(a: Any, b_tilde: Any, length: int, *, unstable: str = "warn") -> Conversion:
    """Return the rational system whose first L taps are the kernel of b~ and a at the L-th roots of unity.

    Parameters
    ----------
    a, b_tilde : array_like, shape (..., d)
        Denominator without its leading 1, and the numerator that belongs to the length, as training by FFT learns it.
    length : int
        L, any length from 1 on, odd or even.
    unstable : {"warn", "raise", "ignore"}
        What to do about a pole outside of the unit circle, of which the circular kernel shows nothing.

    Returns
    -------
    conversion : Conversion
        With the `RationalSystem`, whose ``b`` is also the output row C of its companion form; ``condition`` is the
        largest over the smallest modulus of the denominator at the roots of unity, ``error`` eps times that, and times
        sqrt(d / L) where that is more; where the denominator is not seen to be stable it is at least the largest
        difference of the first L taps from the kernel over the largest of these, measured.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library, or ``length`` is no int.
    ValueError
        If shapes do not fit, entries are not finite, ``length`` is below 1, the denominator vanishes at a root of
        unity, jax traces an array, or the system is unstable and ``unstable`` is "raise".
    GradientError
        If torch records a gradient.

    Warns
    -----
    AccuracyWarning
        If less than three digits are left.
    UnstableSystemWarning
        If the system is unstable.

    Notes
    -----
    The kernel K comes from one division at the roots of unity; then b is the product of a with K, cut to d
    coefficients. That takes O(L log L) where (I - A^L)^-1 takes d^3 log L. For L < d the recurrence of b~ first gives
    the numerator of a multiple of L. In double precision, on the host. The stability is told by the winding number of
    the denominator in 16 d samples, past single roots next to the circle, which Newton's method finds. The first
    system of a batch that is proven unstable is told, in 20 ms for d = 64, 100 ms for 256, and less beyond, where poles
    that are on the circle up to rounding are not; `stability_margin` takes the time it needs.

    Examples
    --------
    >>> from lina.ssm import recover_b
    >>> recover_b([-0.5], [0.75], 2).system.b
    array([1.])
    """
    _, a, b = _opened(a, b_tilde, "b_tilde")
    length = check_rank(length, 2**62, "length", "2^62")
    refuse_followed("recover_b", a=a, b_tilde=b)
    wide = np.result_type(to_numpy(a[..., :1]), np.float64)
    batch = batch_shape(a=a.shape[:-1], b_tilde=b.shape[:-1])
    given, d = np.broadcast_to(to_numpy(b).astype(wide, copy=False), (*batch, b.shape[-1])), b.shape[-1]
    whole = np.ones((*batch, d + 1), dtype=wide)
    whole[..., 1:] = to_numpy(a)
    multiple = max(1, -(-d // length))
    numerator = given if multiple == 1 else _numerator_of_multiple(whole, given, length, multiple)
    with np.errstate(over="ignore", invalid="ignore"):
        found, condition = _divided(whole, numerator, multiple * length)
    check_overflow(np, found, "b_tilde")
    doubtful = np.zeros(math.prod(batch), dtype=bool)
    doubtful[[i for i, _, _ in unsettled(whole.reshape(-1, d + 1))]] = True
    flag_denominators(whole, unstable, doubtful)
    system = RationalSystem(a, from_numpy(found, like=b))
    error = max(epsilon(b) * condition * math.sqrt(multiple), _error_of_taps(whole, given, system.b, length, doubtful))
    return _judged(system, condition, error)


def _error_of_taps(whole: np.ndarray, b_tilde: np.ndarray, b: Any, length: int, doubtful: np.ndarray) -> float:
    """Return by how much the first taps miss the kernel, relative, of systems whose taps and errors may grow."""
    rows, given, found = (
        x.reshape(math.prod(x.shape[:-1]), x.shape[-1]) for x in (whole, b_tilde, to_numpy(b).astype(whole.dtype))
    )
    worst = 0.0
    for i in np.flatnonzero(doubtful):
        kernel = truncated_rational_taps(rows[i, 1:], given[i], length, "ignore")
        with np.errstate(all="ignore"):
            taps = divide(np, found[i], rows[i, 1:], length)
            off, size = float(np.max(np.abs(taps - kernel))), float(np.max(np.abs(kernel)))
        worst = max(worst, off / size if size > 0 else off) if math.isfinite(off) else math.inf
    return worst


def _opened(a: Any, b: Any, name: str) -> tuple[Any, Any, Any]:
    xp, a, b = open_parts(**{"a": a, name: b})
    check_last(b, a.shape[-1], name)
    batch_shape(**{"a": a.shape[:-1], name: b.shape[:-1]})
    return xp, a, b


def _numerator_of_multiple(whole: np.ndarray, b: np.ndarray, length: int, m: int) -> np.ndarray:
    """Return the numerator that belongs to m L >= d: the sum over i < m of the differences K_{l+iL} - K_{l+(i+1)L}."""
    d = b.shape[-1]
    impulse = np.zeros(d + (m - 1) * length)
    impulse[0] = 1
    out = np.empty_like(b)
    for index in np.ndindex(*b.shape[:-1]):
        taps = lfilter(b[index], whole[index], impulse)
        total = sum(taps[i * length : i * length + d] for i in range(m))
        out[index] = lfilter(whole[index], [1.0], total)
    return out


def _divided(whole: np.ndarray, numerator: np.ndarray, length: int) -> tuple[np.ndarray, float]:
    """Return (b, condition) from the division at the roots of unity of a length of at least d."""
    d = numerator.shape[-1]
    real = not np.iscomplexobj(whole)
    forward, back = (scipy.fft.rfft, scipy.fft.irfft) if real else (scipy.fft.fft, scipy.fft.ifft)
    denominator = forward(whole[..., :length], length)
    if d == length:  # the coefficient of z^L falls on that of 1
        denominator = denominator + whole[..., -1:]
    sizes = np.abs(denominator)
    smallest, largest = np.min(sizes, axis=-1), np.max(sizes, axis=-1)
    if np.any(smallest == 0):
        raise ValueError("a must not vanish at a root of unity of the length, found it does: b is not determined")
    taps = back(forward(numerator, length) / denominator, length)[..., :d]
    size = scipy.fft.next_fast_len(2 * d, real=real)
    product = back(forward(whole[..., :d], size) * forward(taps, size), size)[..., :d]
    return product, float(np.max(largest / smallest, initial=1.0))


def _judged(system: Any, condition: float, error: float) -> Conversion:
    if not error <= HOPELESS:
        text = f"the recovered parameters have a relative error of about {error:.1e}, of condition {condition:.1e}"
        warnings.warn(text, AccuracyWarning, stacklevel=3)
    return Conversion(system, condition, error)


def truncated_c(system: Any, length: int) -> Any:
    """Return C~ = C (I - A^L), whose sum over all taps, at the L-th roots of unity, is that of L taps.

    Parameters
    ----------
    system : DenseSystem, DiagonalSystem or DPLRSystem
        Discrete.
    length : int
        L >= 1.

    Returns
    -------
    C_tilde : array, shape (..., n)
        One for each system of the batch.

    Raises
    ------
    TypeError
        If ``system`` is no such system, or ``length`` no int.
    ValueError
        If the system is continuous or ``length`` below 1.
    OverflowError
        If the system is unstable and A^L overflows.

    Notes
    -----
    log2(L) products of matrices, 4 n^3 flops each for n real states (twice as many as pairs); diagonal systems take
    none. Computed in double precision. Gradients pass.

    Examples
    --------
    >>> from lina.ssm import DenseSystem, truncated_c
    >>> truncated_c(DenseSystem([[0.5]], [1.0], [1.0], dt=1.0), 2)
    array([0.75])
    """
    _check_state_space(system)
    length = check_rank(length, 2**62, "length", "2^62")
    xp = namespace(system.C)
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(system, DiagonalSystem):
            wide = widened(system)
            row = xp.astype(wide.C * one_less_power(xp, wide.Lambda, length), system.C.dtype)
        else:
            row = system.C - output_after(system, length)
        row = check_overflow(xp, row, "A^L, a power of the system,")
    whole = (*system.batch, row.shape[-1])
    return row if row.shape == whole else 1 * xp.broadcast_to(row, whole)


def recover_c(system: Any, length: int, *, unstable: str = "warn") -> Conversion:
    """Return a system with the true output row C, from one with C~ = C (I - A^L) in its place.

    Parameters
    ----------
    system : DenseSystem, DiagonalSystem or DPLRSystem
        Discrete; its C is C~, as training at one length learns it.
    length : int
        L >= 1.
    unstable : {"warn", "raise", "ignore"}
        What to do about a pole outside of the unit circle, of which the circular kernel shows nothing.

    Returns
    -------
    conversion : Conversion
        With a system of the same form; ``condition`` is that of I - A^L in the 1-norm (diagonal: the largest over the
        smallest modulus), ``error`` eps times that, and what A^L has rounded.

    Raises
    ------
    TypeError
        If ``system`` is no such system, or ``length`` no int.
    ValueError
        If the system is continuous or traced by jax, ``length`` is below 1, a pole is a root of unity of the length, or
        the system is unstable and ``unstable`` is "raise".
    GradientError
        If torch records a gradient.

    Warns
    -----
    AccuracyWarning
        If less than three digits are left.
    UnstableSystemWarning
        If the system is unstable.

    Notes
    -----
    log2(L) products of n x n matrices and one solve, in double precision, on the host. `recover_b` takes O(L log L) for
    companion matrices. The imaginary part of C at a real mode with a low rank has no effect, and is returned as 0. A
    power of A of norm below 1 proves the system stable; otherwise its eigenvalues are computed.

    Examples
    --------
    >>> from lina.ssm import DenseSystem, recover_c
    >>> recover_c(DenseSystem([[0.5]], [1.0], [0.75], dt=1.0), 2).system.C
    array([1.])
    """
    _check_state_space(system)
    like = _host_only("recover_c", system)
    length = check_rank(length, 2**62, "length", "2^62")
    each = _each(system)
    with np.errstate(over="ignore", invalid="ignore"):
        found = [_recovered_row(one, length) for one in each]
    margins = [1.0 if row.proven else float(stability_margin(one)) for one, row in zip(each, found, strict=True)]
    if margins:
        worst_one = int(np.argmin(margins))
        flag_unstable(margins[worst_one], unstable, system=system_at(worst_one, system.batch))
    rows = np.reshape([row.C for row in found], (*system.batch, system.C.shape[-1]))
    worst = max((row.condition for row in found), default=1.0)
    if not math.isfinite(worst) or not np.all(np.isfinite(rows)):
        raise ValueError("system must have no pole at a root of unity of the length, found one: C is not determined")
    error = epsilon(like) * max((row.loss for row in found), default=1.0)
    return _judged(replace(system, C=from_numpy(rows, like=system.C)), worst, error)


def _check_state_space(system: Any) -> None:
    if isinstance(system, RationalSystem):
        raise TypeError("system must have a state matrix, got a RationalSystem: see recover_b and truncated_b")
    discrete = getattr(system, "is_discrete", None)
    if discrete is None:
        raise TypeError(f"system must be a DenseSystem, DiagonalSystem or DPLRSystem, got {type(system).__name__}")
    if not discrete:
        raise ValueError("system must be discrete, got a continuous one: call its discretize first")


class _Recovered(NamedTuple):
    """C, the condition of I - A^L, the eps that C may have lost, and whether the system is surely stable."""

    C: np.ndarray
    condition: float
    loss: float
    proven: bool


def _recovered_row(system: Any, length: int) -> _Recovered:
    """Return what is recovered of one numpy system."""
    if isinstance(system, DiagonalSystem):
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = one_less_power(np, system.Lambda, length)
            smallest = float(np.min(np.abs(factor)))
            condition = float(np.max(np.abs(factor))) / smallest if smallest > 0 else math.inf
            return _Recovered(system.C / factor, condition, condition, bool(np.all(np.abs(system.Lambda) < 1)))
    single = real_modes(system)
    dense = realised(system, single)
    power = check_overflow(np, matrix_power(dense.A, length), "A^L, a power of the system,")
    M = np.eye(dense.state_size) - power
    try:
        condition = float(np.linalg.cond(M, 1))
        row = np.linalg.solve(M.T, dense.C)
    except np.linalg.LinAlgError:
        condition, row = math.inf, dense.C
    # what the squarings have rounded stays where the difference cancels
    kept = (1 + math.log2(length)) * float(np.linalg.norm(power, 1) / (np.linalg.norm(M, 1) or 1.0))
    C = row if isinstance(system, DenseSystem) else pairs(row, single).conj()
    return _Recovered(C, condition, condition * (1 + kept), bool(np.linalg.norm(power) < 1))
