"""True parameters from those that belong to one length, and back.

A kernel that is formed by an inverse FFT of length L is the first L taps of a system only if its output row is
C~ = C (I - A^L) or its numerator b~, which divides to K_l - K_{l+L}. Training by FFT learns these; a recurrence or
another length needs C and b.
"""

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.fft
from scipy.signal import lfilter

from lina._core.array import check_option, check_rank, epsilon, from_numpy, refuse_gradient, to_numpy
from lina._core.errors import AccuracyWarning
from lina.ssm._convert.forms import _host_only
from lina.ssm._convert.output_after import matrix_power, output_after, tail_numerator_host
from lina.ssm._convert.realise import pairs, realised
from lina.ssm._convert.result import HOPELESS, Conversion, _each
from lina.ssm._stability.margin import ACTIONS, certified_margin, flag_unstable, stability_margin
from lina.ssm._stability.schur_cohn import schur_cohn_sign
from lina.ssm._stability.winding import winds_around_nothing
from lina.ssm._systems import DenseSystem, DiagonalSystem, RationalSystem
from lina.ssm._systems_arrays import batch_shape, check_last, check_overflow, open_parts


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
        If shapes do not fit, entries are not finite, or ``length`` is below 1.
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
    refuse_gradient("truncated_b", a=a, b=b)
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
        largest over the smallest modulus of the denominator at the roots of unity, ``error`` eps times that.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library, or ``length`` is no int.
    ValueError
        If shapes do not fit, entries are not finite, ``length`` is below 1, the denominator vanishes at a root of
        unity, or the system is unstable and ``unstable`` is "raise".
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
    the denominator where its samples turn by less than a quarter from one to the next, otherwise by Schur-Cohn.

    Examples
    --------
    >>> from lina.ssm import recover_b
    >>> recover_b([-0.5], [0.75], 2).system.b
    array([1.])
    """
    _, a, b = _opened(a, b_tilde, "b_tilde")
    length = check_rank(length, 2**62, "length", "2^62")
    refuse_gradient("recover_b", a=a, b_tilde=b)
    wide = np.result_type(to_numpy(a[..., :1]), np.float64)
    batch = batch_shape(a=a.shape[:-1], b_tilde=b.shape[:-1])
    numerator, d = np.broadcast_to(to_numpy(b).astype(wide, copy=False), (*batch, b.shape[-1])), b.shape[-1]
    whole = np.ones((*batch, d + 1), dtype=wide)
    whole[..., 1:] = to_numpy(a)
    if length < d:
        numerator, length = _numerator_of_multiple(whole, numerator, length)
    with np.errstate(over="ignore", invalid="ignore"):
        found, condition = _divided(whole, numerator, length)
    check_overflow(np, found, "b_tilde")
    _flag(whole, unstable)
    return _judged(RationalSystem(a, from_numpy(found, like=b)), condition, epsilon(b))


def _opened(a: Any, b: Any, name: str) -> tuple[Any, Any, Any]:
    xp, a, b = open_parts(**{"a": a, name: b})
    check_last(b, a.shape[-1], name)
    batch_shape(**{"a": a.shape[:-1], name: b.shape[:-1]})
    return xp, a, b


def _numerator_of_multiple(whole: np.ndarray, b: np.ndarray, length: int) -> tuple[np.ndarray, int]:
    """Return the numerator that belongs to m L >= d: the sum over i < m of the differences K_{l+iL} - K_{l+(i+1)L}."""
    d = b.shape[-1]
    m = -(-d // length)
    impulse = np.zeros(d + (m - 1) * length)
    impulse[0] = 1
    out = np.empty_like(b)
    for index in np.ndindex(*b.shape[:-1]):
        taps = lfilter(b[index], whole[index], impulse)
        total = sum(taps[i * length : i * length + d] for i in range(m))
        out[index] = lfilter(whole[index], [1.0], total)
    return out, m * length


def _divided(whole: np.ndarray, numerator: np.ndarray, length: int) -> tuple[np.ndarray, float]:
    """Return (b, condition) from the division at the roots of unity of a length of at least d."""
    d = numerator.shape[-1]
    real = not np.iscomplexobj(whole)
    forward, back = (scipy.fft.rfft, scipy.fft.irfft) if real else (scipy.fft.fft, scipy.fft.ifft)
    denominator = forward(whole[..., :length], length)
    if d == length:  # the coefficient of z^L falls on that of 1
        denominator = denominator + whole[..., -1:]
    sizes = np.abs(denominator)
    smallest, largest = float(np.min(sizes)), float(np.max(sizes))
    if smallest == 0:
        raise ValueError("a must not vanish at a root of unity of the length, found it does: b is not determined")
    taps = back(forward(numerator, length) / denominator, length)[..., :d]
    size = scipy.fft.next_fast_len(2 * d, real=real)
    product = back(forward(whole[..., :d], size) * forward(taps, size), size)[..., :d]
    return product, largest / smallest


def _flag(whole: np.ndarray, action: str) -> None:
    """Warn or raise where a denominator has a root inside the unit circle of z."""
    check_option(action, ACTIONS, "unstable")
    if action == "ignore":
        return
    for row in whole.reshape(-1, whole.shape[-1]):
        if not winds_around_nothing(row) and schur_cohn_sign(row[1:]) <= 0:
            flag_unstable(certified_margin(row[1:]), action)


def _judged(system: Any, condition: float, eps: float) -> Conversion:
    error = eps * condition
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

    Raises
    ------
    TypeError
        If ``system`` is no such system, or ``length`` no int.
    ValueError
        If the system is continuous or ``length`` below 1.

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
    return system.C - output_after(system, length)


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
        smallest modulus), ``error`` eps times that.

    Raises
    ------
    TypeError
        If ``system`` is no such system, or ``length`` no int.
    ValueError
        If the system is continuous, ``length`` is below 1, a pole is a root of unity of the length, or the system is
        unstable and ``unstable`` is "raise".
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
    companion matrices. A power of A of norm below 1 proves the system stable; otherwise its eigenvalues are computed.

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
    margins = [1.0 if proven else float(stability_margin(one)) for one, (_, _, proven) in zip(each, found, strict=True)]
    flag_unstable(min(margins, default=1.0), unstable)
    rows = np.stack([row for row, _, _ in found]).reshape(*system.batch, -1)
    worst = max(condition for _, condition, _ in found)
    if not math.isfinite(worst) or not np.all(np.isfinite(rows)):
        raise ValueError("system must have no pole at a root of unity of the length, found one: C is not determined")
    return _judged(replace(system, C=from_numpy(rows, like=system.C)), worst, epsilon(like))


def _check_state_space(system: Any) -> None:
    if isinstance(system, RationalSystem):
        raise TypeError("system must have a state matrix, got a RationalSystem: see recover_b and truncated_b")
    discrete = getattr(system, "is_discrete", None)
    if discrete is None:
        raise TypeError(f"system must be a DenseSystem, DiagonalSystem or DPLRSystem, got {type(system).__name__}")
    if not discrete:
        raise ValueError("system must be discrete, got a continuous one: call its discretize first")


def _recovered_row(system: Any, length: int) -> tuple[np.ndarray, float, bool]:
    """Return (C, condition, whether the system is surely stable) of one numpy system."""
    if isinstance(system, DiagonalSystem):
        factor = 1 - system.Lambda**length
        smallest = float(np.min(np.abs(factor)))
        condition = float(np.max(np.abs(factor))) / smallest if smallest > 0 else math.inf
        with np.errstate(divide="ignore", invalid="ignore"):
            return system.C / factor, condition, bool(np.all(np.abs(system.Lambda) < 1))
    dense = realised(system)
    power = matrix_power(dense.A, length)
    M = np.eye(dense.state_size) - power
    try:
        condition = float(np.linalg.cond(M, 1)) if np.all(np.isfinite(M)) else math.inf
        row = np.linalg.solve(M.T, dense.C)
    except np.linalg.LinAlgError:
        condition, row = math.inf, dense.C
    stable = bool(np.linalg.norm(power) < 1)
    return (row if isinstance(system, DenseSystem) else pairs(row).conj()), condition, stable
