"""Convolution kernels of diagonal systems, and their adjoint."""

import math
from typing import Any

import numpy as np

from lina._core.array import conjugate, is_lazy, kernel_of_tensors, on_cluster
from lina._core.checks import check_option
from lina.ssm._discretize import _complex_expm1
from lina.ssm._kernels.cotangents import open_cotangent, summed_to
from lina.ssm._kernels.dplr_parts import check_length
from lina.ssm._kernels.vandermonde import powers_summed, powers_vjp
from lina.ssm._stability.margin import ACTIONS, flag_unstable, system_at
from lina.ssm._systems_arrays import (
    batch_shape,
    check_last,
    check_overflow,
    check_step,
    open_parts,
    seen,
    widened_array,
)

METHODS = ("zoh", "bilinear")
# Below this modulus of w the derivative of (exp(w) - 1) / w is that many terms of its series.
_SMALL, _TERMS = 0.125, 11
# Below this modulus (exp(w) - 1) / w is 1, and w may be too small to divide by.
_LEAST = 2.0**-60


def kernel_diag(Lambda: Any, B: Any, C: Any, dt: Any, L: int, method: str = "zoh", *, unstable: str = "warn") -> Any:
    """Return the first L taps of the impulse response of diagonal systems in steps of ``dt``.

    Parameters
    ----------
    Lambda, B, C : array_like, shape (..., n)
        One of each conjugate pair; made complex. B is not scaled by the step, C not conjugated. An unpaired real mode
        enters with half weight: half of its product C B.
    dt : float or array_like, shape (...)
        Step, positive. It broadcasts with the leading axes of the others, which are a batch. A Python float keeps its
        double precision beside systems in single precision.
    L : int
        Number of taps, at least 1, odd or even.
    method : {"zoh", "bilinear"}
        As in `discretize`.
    unstable : {"warn", "raise", "ignore"}
        What to do about a system whose taps grow without bound; they are right all the same.

    Returns
    -------
    K : array, shape (..., L)
        K_l = 2 Re sum_n C_n Bd_n Ad_n^l, real, in the precision of the systems; the taps of a smaller L are its first
        ones.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library, or L is no int.
    ValueError
        If shapes do not fit, entries are not finite, ``dt`` is not positive, L is below 1, Lambda is 2 / dt in bilinear
        steps, or a system is unstable and ``unstable`` is "raise".
    OverflowError
        If taps exceed the range of the dtype.

    Warns
    -----
    UnstableSystemWarning
        If a system is unstable: a real part of Lambda is positive.

    Notes
    -----
    `vandermonde` of the weights C Bd and the logarithms of the poles: dt Lambda, or 2 atanh(dt Lambda / 2) in bilinear
    steps. Cost 4 n L flops, memory 4 n sqrt(L) beside inputs and outputs, and its errors, which grow with L for poles
    on the unit circle: 7e-12 of the largest tap for L = 1e5 and the mode 1j in bilinear steps of 0.5.

    References
    ----------
    Gu, Gupta, Goel, Re, On the Parameterization and Initialization of Diagonal State Space Models (2022), section 3.3.

    Examples
    --------
    >>> from lina.ssm import kernel_diag
    >>> kernel_diag([0.0], [1.0], [0.5], 0.1, 3)  # an integrator
    array([0.1, 0.1, 0.1])
    """
    own = kernel_of_tensors("kernel_diag", Lambda, B, C) or on_cluster("kernel_diag", Lambda, B, C, dt)
    return (own or diag_taps)(Lambda, B, C, dt, L, method, unstable)


def diag_taps(Lambda: Any, B: Any, C: Any, dt: Any, L: int, method: str, unstable: str) -> Any:
    """Do what `kernel_diag` does, by array code for any library."""
    xp, given, wide, batch = _opened(Lambda, B, C, dt)
    L = check_length(L)
    check_option(method, METHODS, "method")
    _flag(xp, wide, method, unstable, batch)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        x, gain, _, _ = _step(xp, wide, method)
        c = check_overflow(xp, xp.astype(wide["C"] * wide["B"] * gain, given["C"].dtype), "B and C")
        K = powers_summed(xp, c, x, batch, L)
        return check_overflow(xp, xp.astype(K, xp.real(given["C"]).dtype, copy=False), "C")


def kernel_diag_vjp(
    cotangent: Any, Lambda: Any, B: Any, C: Any, dt: Any, method: str = "zoh"
) -> tuple[Any, Any, Any, Any]:
    """Return the gradients of sum(cotangent * K) by all arrays that `kernel_diag` makes K of.

    Parameters
    ----------
    cotangent : array_like, shape (..., L)
        Real, the gradient by the taps, of the batch that the other arrays broadcast to.
    Lambda, B, C, dt, method
        As in `kernel_diag`.

    Returns
    -------
    d_Lambda, d_B, d_C, d_dt : array
        In the shapes of the arguments (complex those of the first three): a change dz of an argument changes the sum by
        Re sum(conj(d_z) dz), as torch defines complex gradients.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `kernel_diag`, and where ``cotangent`` does not fit. An unstable system is not flagged again.

    Notes
    -----
    Two products with the transposed Vandermonde matrix; no memory but of inputs and outputs.

    Examples
    --------
    >>> from lina.ssm import kernel_diag_vjp
    >>> d_Lambda, d_B, d_C, d_dt = kernel_diag_vjp([1.0, 1.0], [0.0], [1.0], [0.5], 0.1)
    >>> float(d_dt)  # two taps of size dt
    2.0
    """
    xp, given, wide, batch = _opened(Lambda, B, C, dt)
    check_option(method, METHODS, "method")
    g = open_cotangent(xp, cotangent, given["C"], batch)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        x, gain, d_x_w, d_gain_w = _step(xp, wide, method)
        weight = wide["C"] * wide["B"]
        c = weight * gain
        d_c, d_x = (conjugate(xp, each) for each in powers_vjp(xp, g, c, x, batch))
        dt = xp.astype(wide["dt"], c.dtype)[..., None]
        # c = C B dt f(w): of the step, what passes by w is left, and what passes by dt itself
        h_w = d_x * d_x_w + d_c * weight * dt * d_gain_w
        h = {"Lambda": h_w * dt, "B": d_c * wide["C"] * gain, "C": d_c * wide["B"] * gain}
        h["dt"] = xp.real(xp.sum(h_w * wide["Lambda"] + d_c * weight * gain / dt, axis=-1))
        out = []
        for name, x in given.items():
            found = h[name] if name == "dt" else conjugate(xp, h[name])
            out.append(check_overflow(xp, xp.astype(summed_to(xp, found, x.shape), x.dtype, copy=False), "cotangent"))
        return tuple(out)  # type: ignore[return-value]


def _opened(Lambda: Any, B: Any, C: Any, dt: Any) -> tuple[Any, dict[str, Any], dict[str, Any], tuple[int, ...]]:
    """Return (xp, arrays as given, in double precision where the library has it, batch)."""
    xp, Lambda, B, C = open_parts(as_complex=True, Lambda=Lambda, B=B, C=C)
    check_last(B, Lambda.shape[-1], "B")
    check_last(C, Lambda.shape[-1], "C")
    step, dt = dt, check_step(xp, dt, Lambda)
    given = {"Lambda": Lambda, "B": B, "C": C, "dt": dt}
    batch = batch_shape(Lambda=Lambda.shape[:-1], B=B.shape[:-1], C=C.shape[:-1], dt=dt.shape)
    wide = {name: widened_array(xp, x) for name, x in given.items()}
    wide["dt"] = check_step(
        xp, step, wide["Lambda"]
    )  # not rounded to the precision of the others: phases hold it L times
    return xp, given, wide, batch


def _step(xp: Any, wide: dict[str, Any], method: str) -> tuple[Any, Any, Any, Any]:
    """Return the logarithms x of the poles, the gain of B, dx/dw and the derivative by w = dt Lambda of gain / dt."""
    dt = xp.astype(wide["dt"], wide["Lambda"].dtype)[..., None]
    w = check_overflow(xp, dt * wide["Lambda"], "Lambda")
    one = xp.ones_like(w)
    if method == "zoh":
        held, slope = _held(xp, w)
        return w, dt * held, one, slope
    below, above = 1 - w / 2, 1 + w / 2
    if not is_lazy(below) and bool(xp.any(below == 0)):
        raise ValueError("Lambda must not have the value 2 / dt in bilinear steps, found it has")
    # a pole at 0 is moved by next to nothing, so that its logarithm and the derivative of that exist
    above = xp.where(above == 0, one * math.sqrt(xp.finfo(w.dtype).smallest_normal), above)
    return xp.log(above / below), dt / below, 1 / (above * below), 1 / (2 * below * below)


def _held(xp: Any, w: Any) -> tuple[Any, Any]:
    """Return f(w) = (exp(w) - 1) / w and its derivative, which cancels for small w: there it is summed."""
    size = xp.abs(w)
    least, small = size < _LEAST, size < _SMALL
    safe = xp.where(least, xp.ones_like(w), w)
    f = xp.where(least, xp.ones_like(w), _complex_expm1(xp, safe) / safe)
    slope = xp.zeros_like(w)
    for k in range(_TERMS, 0, -1):
        slope = slope * w + k / math.factorial(k + 1)
    return f, xp.where(small, slope, (xp.exp(safe) - f) / safe)


def _flag(xp: Any, wide: dict[str, Any], method: str, unstable: str, batch: tuple[int, ...]) -> None:
    """Do what is told about poles outside of the unit circle."""
    check_option(unstable, ACTIONS, "unstable")
    rising = xp.real(wide["Lambda"])
    if unstable == "ignore" or is_lazy(rising) or 0 in batch or not bool(xp.any(rising > 0)):
        return
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        x = _step(xp, wide, method)[0]
        growth = np.broadcast_to(seen(xp.max(xp.real(x), axis=-1)), batch)
    worst = int(np.argmax(growth))
    largest, system = math.exp(min(700.0, float(growth.flat[worst]))), system_at(worst, batch)
    if unstable == "raise":
        raise ValueError(f"Lambda must make no unstable system, found a pole of modulus {largest:.6g} in {system}")
    flag_unstable(1 - largest, unstable, system=system)
