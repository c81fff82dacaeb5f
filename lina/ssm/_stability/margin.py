"""The stability margin of a system."""

import warnings
from typing import Any

import numpy as np

from lina._core.array import check_option, epsilon, from_numpy, is_lazy, refuse_gradient, to_numpy
from lina._core.errors import LinaWarning
from lina.ssm._convert.realise import realised
from lina.ssm._stability.schur_cohn import schur_cohn_sign
from lina.ssm._systems import DenseSystem, DiagonalSystem, DPLRSystem, RationalSystem
from lina.ssm._systems_arrays import is_complex, namespace, open_parts

ACTIONS = ("warn", "raise", "ignore")


class UnstableSystemWarning(LinaWarning):
    """The recurrence of this system grows without bound, although its kernel by circular convolution looks harmless."""


def stability_margin(a: Any) -> Any:
    """Return 1 less the largest modulus of a pole of 1 / (1 + a_1 z + ... + a_d z^d): positive means stable.

    Parameters
    ----------
    a : array_like, shape (..., d), or a system
        Denominators without their leading 1. Of another system than a `RationalSystem` the eigenvalues are taken; of a
        continuous one the margin is the distance of the largest real part below 0.

    Returns
    -------
    margin : array, shape (...)
        In the library and real dtype of ``a``.

    Raises
    ------
    TypeError
        If ``a`` is no dense array of numbers.
    ValueError
        If ``a`` is not finite.
    GradientError
        If torch records a gradient.

    Notes
    -----
    For denominators the sign is rigorous, whatever the rounding of the poles: the reflection coefficients are computed
    with bounds of their errors, in floating point and where that cannot tell in fixed point of 128, 512 and 2048 bits.
    0 is returned where even those cannot tell it from poles on the circle. The size is that of the eigenvalues of the
    companion matrix, an estimate: multiple poles move by a root of eps. Cost 10 d^3 flops, on the host.

    For other systems both are estimates.

    References
    ----------
    Schur, J. reine angew. Math. 147 (1917) 205; Cohn, Math. Z. 14 (1922) 110.

    Examples
    --------
    >>> from lina.ssm import stability_margin
    >>> stability_margin([[-0.5], [-1.0], [-1.5]])
    array([ 0.5,  0. , -0.5])
    """
    if isinstance(a, (DenseSystem, DiagonalSystem, DPLRSystem)):
        return _of_system(a)
    _, a = open_parts(a=a.a if isinstance(a, RationalSystem) else a)
    refuse_gradient("stability_margin", a=a)
    values = to_numpy(a)
    margins = np.empty(values.shape[:-1])
    for index in np.ndindex(*values.shape[:-1]):
        margins[index] = certified_margin(values[index])
    return _real_like(margins, a)


def certified_margin(a: np.ndarray) -> float:
    """Return the margin of one denominator, of proven sign."""
    sign, largest = schur_cohn_sign(a), largest_pole(a)
    least = 2.0**-53
    return max(1 - largest, least) if sign > 0 else min(1 - largest, -least) if sign < 0 else 0.0


def largest_pole(a: np.ndarray) -> float:
    """Return the largest modulus of a root of w^d + a_1 w^(d-1) + ... + a_d; infinite where the eigenvalues fail."""
    a = np.trim_zeros(a.astype(np.result_type(a, np.float64)), "b")
    if not len(a):
        return 0.0
    companion = np.diag(np.ones(len(a) - 1, dtype=a.dtype), -1)
    companion[0] = -a
    try:
        return float(np.max(np.abs(np.linalg.eigvals(companion))))
    except np.linalg.LinAlgError:  # coefficients near the end of the range
        return np.inf


def _of_system(system: Any) -> Any:
    if isinstance(system, DiagonalSystem):
        like, poles = system.Lambda, to_numpy(system.Lambda)
    else:
        dense = realised(system)
        like = dense.A
        refuse_gradient("stability_margin", A=like)
        poles = np.linalg.eigvals(to_numpy(like))
    refuse_gradient("stability_margin", A=like)
    margin = 1 - np.max(np.abs(poles), axis=-1) if system.is_discrete else -np.max(np.real(poles), axis=-1)
    return _real_like(np.asarray(margin), like)


def _real_like(margins: np.ndarray, like: Any) -> Any:
    values = margins.astype("float64" if epsilon(like) == 2.0**-52 else "float32")
    if isinstance(like, np.ndarray) or is_lazy(like):
        return values
    xp = namespace(like)
    return from_numpy(values, like=xp.real(like) if is_complex(like) else like)


def flag_unstable(margin: float, action: str) -> None:
    """Warn of, raise ValueError for, or ignore a margin that is not positive."""
    check_option(action, ACTIONS, "unstable")
    if margin > 0 or action == "ignore":
        return
    text = (
        f"the system is unstable: its largest pole has modulus {1 - margin:.6g}, so that its recurrence "
        "grows where a circular convolution of one length looks harmless"
    )
    if action == "raise":
        raise ValueError(f"a must have all poles inside the unit circle: {text}")
    warnings.warn(text, UnstableSystemWarning, stacklevel=4)
