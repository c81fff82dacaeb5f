"""What a conversion returns: the system, how sensitive it is, and how far its response is off."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from lina._core.array import to_numpy
from lina._core.certificates import CertificateKind
from lina._core.errors import AccuracyWarning
from lina.ssm._response import response
from lina.ssm._systems import DenseSystem, DiagonalSystem, DPLRSystem, RationalSystem

# A response with less than three digits is not the one that was asked for.
HOPELESS = 1e-3
_POINTS = 128
# Widths of a resonance from its top at which the difference is measured: a pole that has moved differs most on a flank.
_FLANKS = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])


@dataclass(frozen=True)
class Conversion:
    """A converted system with what is known about its accuracy; for a batch the worst of its systems.

    Attributes
    ----------
    system : DenseSystem, DiagonalSystem, DPLRSystem or RationalSystem
        The system in its new form; of `recover_c` in the form it had, which may be a `DPLRSystem`.
    condition : float
        By how much the new form magnifies relative changes of its parameters: for a rational system the sum of
        abs(a_k) over the smallest abs(a(z)) on the unit circle, for a diagonal one the condition number of the
        eigenvectors, for a realisation 1.
    error : float
        The largest difference of the responses on the unit circle (the imaginary axis for continuous systems) over the
        largest response, measured at points that include the tops and both flanks of resonances, but no pole.
    error_kind : CertificateKind
        "estimate": between the points the difference may be larger.
    """

    system: Any
    condition: float
    error: float
    error_kind: CertificateKind = CertificateKind.ESTIMATE


def certified(old: Any, new: Any, condition: float) -> Conversion:
    """Return the Conversion from ``old`` to ``new``, with a warning where it is hopeless."""
    error = max((_difference(o, n) for o, n in zip(_each(old), _each(new), strict=True)), default=0.0)
    if not error <= HOPELESS:
        text = (
            f"the converted system has a response that is off by {error:.1e} (relative), of condition {condition:.1e}: "
            f"its poles do not determine it in this form; keep the {type(old).__name__}"
        )
        warnings.warn(text, AccuracyWarning, stacklevel=3)
    return Conversion(new, condition, error)


def _each(system: Any) -> list[Any]:
    """Return the systems of a batch one by one, as numpy arrays in double precision."""
    axes = {"A": 2, "P": 2, "Q": 2}
    names = {
        DenseSystem: ("A", "B", "C"),
        DiagonalSystem: ("Lambda", "B", "C"),
        DPLRSystem: ("Lambda", "P", "B", "C", "Q"),
        RationalSystem: ("a", "b"),
    }[type(system)]
    arrays = {}
    for name in names:
        x = to_numpy(getattr(system, name))
        x = x.astype(np.result_type(x, np.float64))
        arrays[name] = np.broadcast_to(x, (*system.batch, *x.shape[x.ndim - axes.get(name, 1) :]))
    if system.dt is not None:
        arrays["dt"] = np.broadcast_to(to_numpy(system.dt), system.batch)
    return [type(system)(**{name: x[index] for name, x in arrays.items()}) for index in np.ndindex(*system.batch)]


def _difference(old: Any, new: Any) -> float:
    """Return the largest difference over the largest value."""
    poles = poles_of(old)
    points = _points(old, poles)
    with np.errstate(all="ignore"):
        before, after = (_response(system, points) for system in (old, new))
        told = np.isfinite(before)  # at its poles nothing can be compared
        largest = np.max(np.abs(before[told]), initial=0.0)
        error = np.max(np.abs(after - before)[told], initial=0.0)
    if not np.isfinite(largest + error):
        return np.inf
    return float(error / largest) if largest > 0 else float(error)


def _points(system: Any, poles: np.ndarray) -> np.ndarray:
    """Return frequencies: evenly spread, and those at and beside poles that do not lie on the circle or axis itself."""
    widths = np.abs(1 - np.abs(poles) if system.is_discrete else poles.real)
    poles, widths = (x[widths > 1e-6 * np.abs(poles)] for x in (poles, widths))
    slowest = np.argsort(-np.abs(poles) if system.is_discrete else -poles.real)[:_POINTS]
    at = np.angle(poles) if system.is_discrete else poles.imag
    beside = (at[slowest] + _FLANKS[:, None] * widths[slowest]).ravel()
    if system.is_discrete:
        return np.concatenate([np.linspace(0, np.pi, _POINTS), beside])
    scale = np.max(np.abs(poles)) if len(poles) else 1.0
    spread = np.geomspace(1e-3, 10, _POINTS) * (scale if scale > 0 else 1.0)
    return np.concatenate([[0.0], spread, beside])


def poles_of(system: Any, single: np.ndarray | None = None) -> np.ndarray:
    """Return the poles of one numpy system, those of the diagonal part for diagonal plus low rank.

    The modes that ``single`` marks are no pairs.
    """
    if isinstance(system, DenseSystem):
        return np.linalg.eigvals(system.A)
    if isinstance(system, RationalSystem):
        return np.zeros(0)
    partners = system.Lambda if single is None else system.Lambda[~single]
    return np.concatenate([system.Lambda, partners.conj()])


def _response(system: Any, frequencies: np.ndarray) -> np.ndarray:
    if not system.is_discrete:
        return response(system, 1j * frequencies, np.ones(1, dtype=complex))
    z = np.exp(-1j * frequencies)
    if isinstance(system, RationalSystem):
        return np.polyval(system.b[::-1], z) / np.polyval(np.concatenate([system.a[::-1], [1]]), z)
    return response(system, np.ones(1, dtype=complex), z)
