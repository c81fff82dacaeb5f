"""The stability margin of a system."""

import warnings
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from lina._core.array import epsilon, from_numpy, is_lazy, to_numpy
from lina._core.checks import check_option
from lina._core.errors import LinaWarning
from lina.ssm._convert.realise import real_modes, realised
from lina.ssm._convert.result import _each
from lina.ssm._stability.schur_cohn import eigenvalues, schur_cohn_sign
from lina.ssm._systems import DenseSystem, DiagonalSystem, DPLRSystem, RationalSystem
from lina.ssm._systems_arrays import is_complex, namespace, open_parts, refuse_followed, refuse_traced

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
        In the library and real dtype of ``a``; one for each system of a batch.

    Raises
    ------
    TypeError
        If ``a`` is no dense array of numbers and no system.
    ValueError
        If ``a`` is not finite, or traced by jax.
    GradientError
        If torch records a gradient.

    Notes
    -----
    For denominators the sign is rigorous, whatever the rounding of the poles: the reflection coefficients are computed
    with bounds of their errors; where these cannot tell, the poles are enclosed in discs, those next to the circle by
    Newton's steps in 128 bits; and for clusters the reflection coefficients in fixed point of 128, 512 and 2048 bits
    follow. 0 is returned where even those cannot tell it from poles on the circle. The size is that of the eigenvalues
    of the companion matrix, an estimate: multiple poles move by a root of eps. Cost 10 d^3 flops, on the host, and
    4 d^2 products of large integers for clusters on the circle: 0.2 s for d = 256, 3 s for 512, half a minute for 1024.

    For other systems both are estimates. Those of diagonal plus low rank have no pole at the partner of a real mode,
    where Lambda, P and B have imaginary part 0: it is one state, and the low rank moves it.

    References
    ----------
    Schur, J. reine angew. Math. 147 (1917) 205; Cohn, Math. Z. 14 (1922) 110; Smith, J. ACM 17 (1970) 137, for discs.

    Examples
    --------
    >>> from lina.ssm import stability_margin
    >>> stability_margin([[-0.5], [-1.0], [-1.5]])
    array([ 0.5,  0. , -0.5])
    """
    if isinstance(a, (DenseSystem, DiagonalSystem, DPLRSystem)):
        return _of_system(a)
    if is_dataclass(a) and not isinstance(a, RationalSystem):
        wanted = "an array of denominators or a system, as DPLRSystem(F.Lambda, F.P, F.B, C) makes of nplr"
        raise TypeError(f"a must be {wanted}, got {type(a).__name__}")
    batch = a.batch if isinstance(a, RationalSystem) else None
    _, a = open_parts(a=a.a if isinstance(a, RationalSystem) else a)
    refuse_followed("stability_margin", a=a)
    values = to_numpy(a)
    margins = np.empty(values.shape[:-1])
    for index in np.ndindex(*values.shape[:-1]):
        margins[index] = certified_margin(values[index])
    return _real_like(margins if batch is None else np.broadcast_to(margins, batch), a)


def certified_margin(a: np.ndarray) -> float:
    """Return the margin of one denominator, of proven sign."""
    a = np.trim_zeros(a, "b")
    poles = eigenvalues(a)
    sign, margin, least = schur_cohn_sign(a, poles), 1 - float(np.max(np.abs(poles), initial=0)), 2.0**-53
    return max(margin, least) if sign > 0 else min(margin, -least) if sign < 0 else 0.0


def _of_system(system: Any) -> Any:
    like = system.A if isinstance(system, DenseSystem) else system.Lambda
    matter = {DenseSystem: ("A",), DiagonalSystem: ("Lambda",), DPLRSystem: ("Lambda", "P", "Q")}[type(system)]
    refuse_followed("stability_margin", **{name: getattr(system, name) for name in matter})
    if isinstance(system, DPLRSystem):
        refuse_traced("stability_margin", B=system.B, C=system.C)
        # one by one: a mode may be real in some of a batch only
        margins = [_margin(np.linalg.eigvals(realised(one, real_modes(one)).A), system) for one in _each(system)]
        return _real_like(np.reshape(margins, system.batch), like)
    poles = np.linalg.eigvals(to_numpy(like)) if isinstance(system, DenseSystem) else to_numpy(like)
    return _real_like(np.broadcast_to(_margin(poles, system), system.batch), like)


def _margin(poles: np.ndarray, system: Any) -> Any:
    return np.asarray(1 - np.max(np.abs(poles), axis=-1) if system.is_discrete else -np.max(np.real(poles), axis=-1))


def _real_like(margins: np.ndarray, like: Any) -> Any:
    values = margins.astype("float64" if epsilon(like) == 2.0**-52 else "float32")
    if isinstance(like, np.ndarray) or is_lazy(like):
        return values
    xp = namespace(like)
    return from_numpy(values, like=xp.real(like) if is_complex(like) else like)


def system_at(index: Any, batch: tuple[int, ...]) -> str:
    """Return how to name the system of a batch that is at this place when all are counted."""
    return f"system {tuple(int(i) for i in np.unravel_index(index, batch))} of the batch" if batch else "the system"


def flag_unstable(margin: float, action: str, pole: str = "its largest pole", system: str = "the system") -> None:
    """Warn of, raise ValueError for, or ignore a margin that is not positive."""
    check_option(action, ACTIONS, "unstable")
    if margin > 0 or action == "ignore":
        return
    modulus = f"{1 - margin:.6g}" if margin < -1e-4 or margin == 0 else f"1 + {-margin:.2g}"
    text = (
        f"{system} is unstable: {pole} has modulus {modulus}, so that its recurrence "
        "grows where a circular convolution of one length looks harmless"
    )
    if action == "raise":
        raise ValueError(f"a must have all poles inside the unit circle: {text}")
    warnings.warn(text, UnstableSystemWarning, stacklevel=4)
