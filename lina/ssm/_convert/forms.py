"""From one form of a system to another: dense, diagonal, rational."""

from dataclasses import fields
from typing import Any

import numpy as np
from scipy.signal import lfilter

from lina._core.array import epsilon, from_numpy
from lina.ssm._convert.polynomials import _product
from lina.ssm._convert.realise import real_modes, realised
from lina.ssm._convert.result import Conversion, _each, certified, poles_of
from lina.ssm._generating_function import state_array
from lina.ssm._systems import DenseSystem, DiagonalSystem, DPLRSystem, RationalSystem
from lina.ssm._systems_arrays import complex_dtype, is_complex, namespace, refuse_followed


def to_dense(system: Any) -> Conversion:
    """Return a system in dense form: the companion realisation of a rational one, real blocks of conjugate pairs.

    Parameters
    ----------
    system : DiagonalSystem, DPLRSystem, RationalSystem or DenseSystem

    Returns
    -------
    conversion : Conversion
        With the `DenseSystem` and condition 1. n pairs give 2 n real states: sqrt2 times the real parts, then sqrt2
        times the imaginary ones but those of real modes (Lambda, P and B have imaginary part 0, in all systems of a
        batch), each of which is one state. A rational system of degree d gives its controller form: A has -a in the
        first row and ones below the diagonal, B is e_1 and C is b.

    Raises
    ------
    TypeError
        If ``system`` is no system.

    Notes
    -----
    Nothing is rounded but the square roots of 2 of the unitary basis and the low rank product; cost n^2 r. Gradients
    pass. Inside a trace of jax, where values cannot be seen, real modes count as pairs: their second state stays 0.

    Examples
    --------
    >>> from lina.ssm import RationalSystem, to_dense
    >>> to_dense(RationalSystem([-0.75, 0.125], [1.0, 0.0])).system.A
    array([[ 0.75 , -0.125],
           [ 1.   ,  0.   ]])
    """
    state_array(system)
    exact = isinstance(system, (DenseSystem, RationalSystem))
    return Conversion(realised(system, real_modes(system)), 1.0, 0.0 if exact else 8 * epsilon(system.Lambda))


def to_diagonal(system: Any) -> Conversion:
    """Return a real system in diagonal form, by the eigenvalues and eigenvectors of its matrix.

    Parameters
    ----------
    system : DenseSystem, DPLRSystem, RationalSystem or DiagonalSystem
        Real. Of each conjugate pair of poles the one in the upper half plane is kept; real poles get half weight.

    Returns
    -------
    conversion : Conversion
        With the `DiagonalSystem`; ``condition`` is that of the eigenvectors in the 2-norm, each of length 1. A batch
        must have the same number of real poles in each system.

    Raises
    ------
    TypeError
        If ``system`` is no system.
    ValueError
        If the system is complex or traced by jax, or the systems of a batch differ in the number of their real poles.
    GradientError
        If torch records a gradient.

    Warns
    -----
    AccuracyWarning
        If the response of the diagonal system is off by more than 1e-3, as for HiPPO-LegS from about 20 states on.

    Notes
    -----
    25 n^3 flops in double precision, on the host.

    Examples
    --------
    >>> from lina.ssm import DenseSystem, to_diagonal
    >>> to_diagonal(DenseSystem([[0.0, 1.0], [-1.0, 0.0]], [0.0, 1.0], [1.0, 0.0])).system.Lambda
    array([0.+1.j])
    """
    like = _host_only("to_diagonal", system)
    if isinstance(system, DiagonalSystem):
        return Conversion(system, 1.0, 0.0)
    single = real_modes(system)
    found = [_eigenpairs(realised(each, single)) for each in _each(system)]
    counts = {len(each[0]) for each in found}
    if len(counts) > 1:
        raise ValueError(f"system must have as many real poles in each of its batch, got {sorted(counts)} pairs")
    arrays = [np.stack([each[i] for each in found]).reshape(*system.batch, -1) for i in range(3)]
    complex_like = namespace(like).astype(like, _complex_of(like)) if not is_complex(like) else like
    new = _with_arrays(DiagonalSystem, arrays, complex_like, system)
    return certified(system, new, max(each[3] for each in found))


def _with_arrays(form: Any, arrays: list[np.ndarray], like: Any, old: Any) -> Any:
    return form(*(from_numpy(x, like=like) for x in arrays), dt=old.dt)


def _complex_of(like: Any) -> Any:
    return complex_dtype(namespace(like), like)


def _eigenpairs(system: DenseSystem) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    if any(np.iscomplexobj(x) and np.any(x.imag) for x in (system.A, system.B, system.C)):
        raise ValueError("system must be real, got complex entries: conjugate pairs cannot stand for it")
    poles, V = np.linalg.eig(system.A.real)
    condition = float(np.linalg.cond(V))
    driven = system.B.real.astype(complex)
    try:
        B = np.linalg.solve(V, driven)
    except np.linalg.LinAlgError:  # a defective matrix: the nearest that a diagonal one comes
        condition, B = np.inf, np.linalg.lstsq(V, driven, rcond=None)[0]
    keep = poles.imag >= 0
    poles, B, C = poles[keep].astype(complex), B[keep].astype(complex), (system.C @ V)[keep].astype(complex)
    real = poles.imag == 0
    B[real], C[real] = B[real].real, C[real].real / 2  # of rounding errors in the imaginary parts they would be pairs
    return poles, B, C, condition


def to_rational(system: Any) -> Conversion:
    """Return a discrete system as a fraction of polynomials: Leja-ordered products of its poles, and its first taps.

    Parameters
    ----------
    system : DenseSystem, DiagonalSystem, DPLRSystem or RationalSystem
        Discrete; n conjugate pairs give degree 2 n, less one for each real mode (see `to_dense`).

    Returns
    -------
    conversion : Conversion
        With the `RationalSystem`; ``condition`` is the sum of the moduli of 1, a_1, ..., a_d over the smallest modulus
        of 1 + a_1 z + ... + a_d z^d on the unit circle: rounding of the coefficients alone moves the response by eps
        times that.

    Raises
    ------
    TypeError
        If ``system`` is no system.
    ValueError
        If the system is continuous or traced by jax.
    GradientError
        If torch records a gradient.

    Warns
    -----
    AccuracyWarning
        If the response is off by more than 1e-3: poles that crowd around 1, as those of any continuous system in short
        steps, are not determined by coefficients, whatever the algorithm. 16 pairs at dt = 0.01 lose everything.

    Notes
    -----
    The denominator is the characteristic polynomial; the numerator is the product of the denominator with the first d
    taps, cut to d coefficients, so that the first d taps are right whatever the error of the denominator; the later
    ones are as good as it is. 10 d^3 flops in double precision, on the host.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.ssm import DenseSystem, to_rational
    >>> converted = to_rational(DenseSystem([[0.5, 0.0], [0.0, -0.5]], [1.0, 1.0], [1.0, 1.0], dt=1.0))
    >>> converted.system.a + 0, np.round(converted.system.b, 12) + 0
    (array([ 0.  , -0.25]), array([2., 0.]))
    """
    like = _host_only("to_rational", system)
    if not system.is_discrete:
        raise ValueError("system must be discrete, got a continuous one: call its discretize first")
    if isinstance(system, RationalSystem):
        return Conversion(system, 1.0, 0.0)
    single = real_modes(system)
    found = [_fraction(each, single) for each in _each(system)]
    stacked = [np.stack([each[i] for each in found]).reshape(*system.batch, -1) for i in (0, 1)]
    if isinstance(system, (DiagonalSystem, DPLRSystem)):
        like = namespace(like).real(like)
    new = _with_arrays(RationalSystem, stacked, like, system)
    return certified(system, new, max(each[2] for each in found))


def _fraction(system: Any, single: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, float]:
    """Return (a, b, condition) of one numpy system in double precision."""
    dense = realised(system, single)
    poles = poles_of(dense if isinstance(system, DPLRSystem) else system, single)
    with np.errstate(all="ignore"):
        a = _product(poles)
        if not is_complex(dense.A):
            a = a.real
        b = lfilter(np.concatenate([np.ones(1), a]), [1.0], _taps(dense, len(a)))
        return a, b, polynomial_condition(a, poles)


def _taps(system: DenseSystem, count: int) -> np.ndarray:
    out, x = [], system.B
    for _ in range(count):
        out.append(system.C @ x)
        x = system.A @ x
    return np.array(out)


def polynomial_condition(a: np.ndarray, poles: np.ndarray) -> float:
    """Return the sum of the coefficients' moduli over the smallest value on the unit circle, taken from the poles."""
    angles = np.concatenate([np.linspace(0, 2 * np.pi, 4 * len(a) + 1), np.angle(poles)])
    z = np.exp(-1j * angles)
    with np.errstate(divide="ignore"):
        smallest = min(float(np.sum(np.log(np.abs(1 - point * poles)))) for point in z)
    with np.errstate(over="ignore"):
        return float((1 + np.sum(np.abs(a))) * np.exp(-smallest))


def _host_only(function: str, system: Any) -> Any:
    like = state_array(system)
    refuse_followed(function, **{each.name: getattr(system, each.name) for each in fields(system)})
    return like
