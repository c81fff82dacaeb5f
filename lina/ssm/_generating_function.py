"""Generating functions: sums of the impulse response times powers of z, whole or of the first taps."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from lina._core.array import check_finite, open_door, where_is
from lina._core.checks import check_rank
from lina.ssm._convert.output_after import output_after, tail_numerator
from lina.ssm._resolvent import check_no_pole
from lina.ssm._response import response
from lina.ssm._sum_of_taps import sum_taps_where_lost
from lina.ssm._systems import DenseSystem, DiagonalSystem, DPLRSystem, RationalSystem
from lina.ssm._systems_arrays import (
    check_overflow,
    check_step,
    complex_dtype,
    is_complex,
    namespace,
    widened,
    widened_array,
)

_SYSTEMS = (DenseSystem, DiagonalSystem, DPLRSystem, RationalSystem)


def generating_function(system: Any, z: Any, length: int | None = None, *, dt: Any = None) -> Any:
    """Return the sum over l of K_l z^l, K_l = C A^l B being the impulse response, over all l or those below ``length``.

    Parameters
    ----------
    system : DenseSystem, DiagonalSystem, DPLRSystem or RationalSystem
        A continuous one is taken in steps of ``dt`` by the bilinear transform.
    z : int or array_like, shape (...)
        Points, or an int M for the M-th roots of unity exp(-2 pi i k / M), k = 0..M // 2: then the result is
        the ``rfft`` of the response summed over all taps M apart, and of the taps themselves with ``length`` = M.
    length : int, optional
        Number of taps; all of them unless given.
    dt : float or array_like, optional
        The step, with a continuous system; an array holds one for each system of the batch.

    Returns
    -------
    G : array, shape (batch of the system, shape of z)
        Complex, in the library and precision of the system.

    Raises
    ------
    TypeError
        If ``system`` is no system, or ``z`` no array of numbers.
    ValueError
        If ``z`` is not finite, ``z`` or ``length`` is an int below 1, a continuous system comes without ``dt`` or a
        discrete one with it, or the sum does not exist: ``z`` is the inverse of a pole, up to rounding.
    GradientError
        If torch records a gradient and ``length`` is given for a `RationalSystem`, whose recurrence runs on the host;
        there a trace of jax is a ValueError.

    Notes
    -----
    A continuous system needs no discrete matrices: C (I - z Ad)^-1 Bd = dt C ((1 - z) I - (dt / 2) (1 + z) A)^-1 B,
    which has nothing to divide by at z = -1. At roots of unity z = exp(-2 i theta), 1 - z is 2 i sin(theta) exp(-i
    theta) and 1 + z is 2 cos(theta) exp(-i theta). Sums over pairs are formed in double precision, since Woodbury's
    identity cancels next to the poles of the diagonal: complex64 keeps all its digits, where 2 (1 - z) / (1 + z) in
    single precision leaves three or four. Points are given in double precision for the same reason. Where the diagonal
    alone has a pole, as that of "fout" and "legt" at z = 1, the point is solved by the dense matrix.

    Diagonal plus low rank takes Woodbury's identity, (r + 1)^2 sums over n; a rational system two FFTs at roots of
    unity and Horner's rule elsewhere; a dense one its Hessenberg form (see `freqresp`). For the first taps C A^L is
    taken off C, which for dense and diagonal plus low rank takes log2(L) products of n x n matrices; next to a pole,
    where both parts are large, the taps themselves are summed. Diagonal systems sum the geometric series by doubling,
    so that a pole on the circle does no harm. The sum over all taps of an
    unstable system diverges on the unit circle: what is returned is its continuation, which no recurrence has (see
    `stability_margin`).

    References
    ----------
    Gu, Goel, Re, Efficiently Modeling Long Sequences with Structured State Spaces (2022), appendix C.3; Parnichkun et
    al., State-Free Inference of State-Space Models: the Transfer Function Approach (2024).

    Examples
    --------
    >>> from lina.ssm import RationalSystem, generating_function
    >>> halves = RationalSystem([-0.5], [1.0])  # taps 1, 1/2, 1/4, ...
    >>> generating_function(halves, [1.0])
    array([2.+0.j])
    >>> generating_function(halves, [1.0], length=3)
    array([1.75+0.j])
    """
    like = state_array(system)
    xp = namespace(like)
    _check_step_given(system, dt)
    length = None if length is None else check_rank(length, 2**62, "length", "2^62")
    if isinstance(z, (int, np.integer)) and not isinstance(z, (bool, np.bool_)):
        count = check_rank(z, 2**62, "z", "2^62")
        theta = np.pi * np.arange(count // 2 + 1) / count
        points, shape = np.exp(-2j * theta), (count // 2 + 1,)
    else:
        count, points, shape = None, _points(xp, z, like), np.shape(z)
    if length is not None:  # C less C A^L would lose digits in single precision
        system = widened(system)
    G = evaluated(system, points, count, length, dt)
    if length is not None and not isinstance(system, DiagonalSystem):
        whole = lambda: evaluated(system, points, count, None, dt)  # noqa: E731
        G = sum_taps_where_lost(system, G, whole, points, length, dt)
    G = as_complex(xp, check_no_pole(xp, G), like)
    return xp.reshape(G, (*G.shape[:-1], *shape))


def evaluated(system: Any, z: Any, count: int | None, length: int | None, dt: Any) -> Any:
    """Return the sums of a system in any form, with nothing said about poles."""
    if system.is_discrete:
        return of_discrete(system, z, count, length)
    return _continuous(namespace(state_array(system)), system, z, count, length, dt)


def state_array(system: Any) -> Any:
    """Return the array of a system that says which library, device and precision it is of."""
    if not isinstance(system, _SYSTEMS):
        wanted = "a DenseSystem, DiagonalSystem, DPLRSystem or RationalSystem"
        raise TypeError(f"system must be {wanted}, got {type(system).__name__}")
    if isinstance(system, RationalSystem):
        return system.a
    return system.A if isinstance(system, DenseSystem) else system.Lambda


def _check_step_given(system: Any, dt: Any) -> None:
    if system.is_discrete and dt is not None:
        raise ValueError(f"dt must be None for a system that is discrete, got {dt}")
    if not system.is_discrete and dt is None:
        raise ValueError("dt must be given for a continuous system, got None")


def _points(xp: Any, z: Any, like: Any) -> Any:
    """Return z as one axis of complex numbers, in double precision unless it is an array of a library but numpy."""
    found, z = open_door(z=z)
    check_finite(found, z, "z")
    if found is not xp:
        z = xp.asarray(np.asarray(z, dtype=np.complex128), device=where_is(like))
    z = xp.astype(z, complex_dtype(xp, z), copy=False)
    z = z if hasattr(z, "requires_grad") else widened_array(xp, z)
    return xp.reshape(z, (math.prod(z.shape),))


def _rational(xp: Any, system: RationalSystem, z: Any, count: int | None, length: int | None) -> Any:
    a, b = system.a, system.b
    one = xp.ones((*a.shape[:-1], 1), dtype=a.dtype, device=where_is(a))
    whole = xp.concat([one, a], axis=-1)
    tail = None if length is None else tail_numerator(a, b, length)
    if count is not None:
        evaluate = lambda c: _at_roots_of_unity(xp, c, count)  # noqa: E731
        shift = (
            None
            if length is None
            else np.exp(-2j * np.pi * (np.arange(count // 2 + 1) * (length % count) % count) / count)
        )
    else:
        evaluate = lambda c: _horner(xp, c, z)  # noqa: E731
        shift = None if length is None else integer_power(z, length)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        numerator = evaluate(b)
        if tail is not None:
            numerator = numerator - as_complex(xp, shift, a) * evaluate(tail)
        return check_overflow(xp, numerator, "b") / evaluate(whole)


def _at_roots_of_unity(xp: Any, c: Any, count: int) -> Any:
    """Return the polynomial (..., d) at exp(-2 pi i k / count), k = 0..count // 2: coefficients count apart add up."""
    folds = max(1, -(-c.shape[-1] // count))
    missing = folds * count - c.shape[-1]
    padded = xp.concat([c, xp.zeros((*c.shape[:-1], missing), dtype=c.dtype, device=where_is(c))], axis=-1)
    folded = xp.sum(xp.reshape(padded, (*c.shape[:-1], folds, count)), axis=-2)
    if is_complex(c):
        return xp.fft.fft(folded)[..., : count // 2 + 1]
    return xp.fft.rfft(folded)


def _horner(xp: Any, c: Any, z: Any) -> Any:
    """Return the polynomial (..., d) in rising powers at points (m,), in the precision of ``c``."""
    z = as_complex(xp, z, c)
    c = xp.astype(c, z.dtype)
    value = c[..., -1:] + 0 * z
    for k in range(c.shape[-1] - 2, -1, -1):
        value = value * z + c[..., k : k + 1]
    return value


def as_complex(xp: Any, values: Any, like: Any) -> Any:
    """Return complex numbers in the library and precision of ``like``."""
    wanted = complex_dtype(xp, like)
    if isinstance(values, np.ndarray) and xp is not namespace(values):
        return xp.asarray(values.astype("complex128"), dtype=wanted, device=where_is(like))
    return xp.astype(values, wanted, copy=False)


def integer_power(z: Any, exponent: int) -> Any:
    """Return z to a whole power by squaring, in the library of ``z``."""
    value = namespace(z).ones_like(z)
    while exponent:
        value = value * z if exponent & 1 else value
        exponent >>= 1
        z = z * z if exponent else z
    return value


def of_discrete(system: Any, z: Any, count: int | None = None, length: int | None = None) -> Any:
    """Return the generating function of a discrete system at points (..., m), or ``count``-th roots of unity."""
    like = state_array(system)
    xp = namespace(like)
    if isinstance(system, RationalSystem):
        return _rational(xp, system, z, count, length)
    if length is not None and isinstance(system, DiagonalSystem):
        return _geometric(xp, system, z, length)
    wide = as_complex(xp, z, widened_array(xp, like))
    one = xp.ones_like(wide)
    if length is None:
        return response(system, one, wide)
    power = as_complex(xp, integer_power(z, length), like)
    return _less_the_rest(system, output_after(system, length), power, one, wide)


def _less_the_rest(system: Any, C_after: Any, power: Any, p: Any, q: Any) -> Any:
    """Return the response by C less ``power`` times that by C A^L; one evaluation where the power is 1."""
    if power is None:
        return response(replace(system, C=system.C - C_after), p, q)
    return response(system, p, q) - power * response(replace(system, C=C_after), p, q)


def _continuous(xp: Any, system: Any, z: Any, count: int | None, length: int | None, dt: Any) -> Any:
    like = state_array(system)
    if length is not None and isinstance(system, DiagonalSystem):
        return _geometric(xp, widened(system).discretize(dt, "bilinear"), z, length, like)
    step = check_step(xp, dt, widened_array(xp, like))[..., None]
    if count is not None:
        k = np.arange(count // 2 + 1)
        sine, cosine = np.sin(np.pi * k / count), np.sin(np.pi * (count - 2 * k) / (2 * count))
        p, c = (as_complex(xp, x, widened_array(xp, like)) for x in (2j * sine, cosine + 0j))
        phase = as_complex(xp, cosine + 1j * sine, like)
        q = xp.astype(step, c.dtype) * c
    else:
        wide = as_complex(xp, z, widened_array(xp, like))
        p, q, phase = 1 - wide, xp.astype(step, wide.dtype) / 2 * (1 + wide), None
    if length is None:
        G = response(system, p, q)
    else:
        after = output_after(system.discretize(dt, "bilinear"), length)
        power = None if count == length else as_complex(xp, integer_power(z, length), like)
        G = _less_the_rest(system, after, power, p, q)
    G = G * as_complex(xp, step, like)
    return G if phase is None else G * phase


def _geometric(xp: Any, system: DiagonalSystem, z: Any, length: int, like: Any = None) -> Any:
    """Return the sum over n of b c (1 + x + ... + x^(L-1)) at x = z lambda, and of the partners."""
    like = system.Lambda if like is None else like
    wide = widened(system)
    z = as_complex(xp, z, wide.Lambda)
    Lambda = wide.Lambda
    products = wide.B * wide.C
    poles = xp.concat([Lambda, xp.conj(Lambda)], axis=-1)
    weights = xp.concat([products, xp.conj(products)], axis=-1)
    x = z[:, None] * poles[..., None, :]
    total, power = xp.ones_like(x), x
    for bit in bin(length)[3:]:
        total, power = total * (1 + power), power * power
        if bit == "1":
            total, power = total * x + 1, power * x
    return as_complex(xp, xp.sum(weights[..., None, :] * total, axis=-1), like)
