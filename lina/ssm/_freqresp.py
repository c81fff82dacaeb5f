"""The frequency response of a system."""

from typing import Any

import numpy as np

from lina._core.array import check_finite, dtype_name, open_door, real_dtype, where_is
from lina.ssm._generating_function import as_complex, of_discrete, state_array
from lina.ssm._resolvent import check_no_pole
from lina.ssm._response import response
from lina.ssm._systems_arrays import is_followed, namespace, refuse_followed, seen, widened_array


def freqresp(system: Any, omega: Any) -> Any:
    """Return the frequency response of a system: its answer to exp(i omega t), for many frequencies at once.

    Parameters
    ----------
    system : DenseSystem, DiagonalSystem, DPLRSystem or RationalSystem
    omega : array_like, shape (...)
        Angular frequencies in radians per unit of time, real; of a discrete system in the unit of its ``dt``.

    Returns
    -------
    response : array, shape (batch of the system, shape of omega)
        Complex, in the library and precision of the system: C (i omega I - A)^-1 B in continuous time, the sum over
        taps of K_l exp(-i omega dt l) in steps. Since tap 0 is C B, that is exp(i omega dt) times the response which
        scipy.signal and python-control call that of (A, B, C, 0), whose output lags by a step. Gradients pass,
        those by the frequencies and the step too.

    Raises
    ------
    TypeError
        If ``system`` is no system, or ``omega`` no array of real numbers.
    ValueError
        If ``omega`` is not finite, or a pole of the system up to rounding: if a change of A by 8 n eps of its norm (of
        Lambda by 8 eps) may make it one, so that the response has no digits.
    GradientError
        If torch records a gradient by ``omega`` or the step of a system whose arrays are of another library.

    Notes
    -----
    Dense systems are brought to the Hessenberg form whose first axis is B, 14 n^3 / 3 flops, after which a frequency
    takes 2 n^2 real multiplications and additions each for a real A (numpy; elsewhere one solve per frequency).
    Diagonal systems take 8 n flops a frequency, diagonal plus low rank ones (r + 1)^2 times that; frequencies at which
    Woodbury's identity loses four digits or more, next to the poles of the diagonal alone, are solved by the dense
    matrix. The error is that of a matrix changed by a few eps of its norm.

    References
    ----------
    Laub, IEEE Trans. Autom. Control 26 (1981) 407; Higham, Accuracy and Stability of Numerical Algorithms (2002),
    14.6.1.

    Examples
    --------
    >>> from lina.ssm import DenseSystem, freqresp
    >>> freqresp(DenseSystem([[-1.0]], [1.0], [1.0]), [1.0])
    array([0.5-0.5j])
    """
    like = state_array(system)
    xp = namespace(like)
    _, omega = open_door(omega=omega)
    check_finite(namespace(omega), omega, "omega")
    if "complex" in dtype_name(omega):
        raise TypeError(f"omega must be real, got dtype {dtype_name(omega)}")
    if system.is_discrete:
        angles, steps = _in_double(like, omega=omega, dt=system.dt)
        turns = steps[..., None] * namespace(angles).reshape(angles, (-1,))
        G = of_discrete(system, namespace(turns).exp(-1j * turns))
    else:
        (angles,) = _in_double(like, omega=omega)
        p = as_complex(xp, 1j * namespace(angles).reshape(angles, (-1,)), widened_array(xp, like))
        G = response(system, p, xp.ones_like(p))
    G = check_no_pole(xp, G, "omega")
    return xp.reshape(G, (*G.shape[:-1], *omega.shape))


def _in_double(like: Any, **reals: Any) -> list[Any]:
    """Return real arrays in double precision: on the host, or all as arrays of the system where one is followed there.

    Angles in single precision would have lost the digits of many turns: jax has no other where it is not told to.
    """
    xp, followed = namespace(like), {name: x for name, x in reals.items() if is_followed(x)}
    if not followed:
        return [seen(x).astype("float64") for x in reals.values()]
    for name, x in followed.items():
        if namespace(x) is not xp:
            refuse_followed(f"a response of a system of {xp.__name__}", **{name: x})
    double = real_dtype(xp, widened_array(xp, like))
    host = {name for name, x in reals.items() if isinstance(x, (float, np.ndarray))}
    return [
        xp.asarray(x, dtype=double, device=where_is(like)) if name in host else xp.astype(x, double)
        for name, x in reals.items()
    ]
