"""The frequency response of a system."""

from typing import Any

import numpy as np

from lina._core.array import check_finite, dtype_name, open_door, to_numpy, where_is
from lina.ssm._generating_function import generating_function, state_array
from lina.ssm._resolvent import check_no_pole, resolvent
from lina.ssm._systems_arrays import complex_dtype, namespace, widened_array


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
        scipy.signal and python-control call that of (A, B, C, 0), whose output lags by a step.

    Raises
    ------
    TypeError
        If ``system`` is no system, or ``omega`` no array of real numbers.
    ValueError
        If ``omega`` is not finite or a pole of the system.

    Notes
    -----
    Dense systems are brought to the Hessenberg form whose first axis is B, 14 n^3 / 3 flops, after which a frequency
    takes 2 n^2 real multiplications and additions each for a real A (numpy; elsewhere one solve per frequency).
    Diagonal systems take 8 n flops a frequency, diagonal plus low rank ones (r + 1)^2 times that. The error is that of
    a matrix changed by a few eps of its norm.

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
    angles = to_numpy(omega).astype("float64")
    if system.is_discrete:
        return generating_function(system, np.exp(-1j * system.dt * angles))
    p = xp.asarray((1j * angles).ravel(), dtype=complex_dtype(xp, widened_array(xp, like)), device=where_is(like))
    G = check_no_pole(xp, resolvent(system, p, xp.ones_like(p)), "omega")
    return xp.reshape(G, (*G.shape[:-1], *angles.shape))
