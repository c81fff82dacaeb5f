"""From one layer to another of the same response: S4 to S4D to RTF."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lina._core.array import to_numpy
from lina._core.checks import check_option
from lina._core.errors import AccuracyWarning
from lina.ssm import DiagonalSystem, DPLRSystem, step_down, to_diagonal, to_rational
from lina.ssm._convert.result import HOPELESS, _difference, _each
from lina.torch.layers.layer import StateSpaceLayer
from lina.torch.layers.modal import ModalLayer
from lina.torch.layers.rtf import RTF
from lina.torch.layers.s4 import S4
from lina.torch.layers.s4d import S4D

_UNSTABLE = (
    "layer must have stable denominators for constraint='reflection', but rounding of the coefficients moves poles of "
    "{} channels out of the unit circle: give constraint=None, or a layer in double precision"
)


@dataclass(frozen=True)
class LayerConversion:
    """A converted layer with what is known about its accuracy.

    Attributes
    ----------
    layer : S4D or RTF
        In the precision of the one it was made of; its ``state`` may differ, since real poles count as pairs where
        there are any.
    condition : array, shape (channels,)
        By how much the new form magnifies relative changes of its parameters, as in `lina.ssm.Conversion`; of a
        bidirectional layer the larger one of both directions, as the error.
    error : array, shape (channels,)
        Largest difference of the responses on the unit circle over the largest response, of the parameters as they
        were rounded, in double precision; estimated at points that include those next to the poles.
    """

    layer: Any
    condition: np.ndarray
    error: np.ndarray


def to_diagonal_layer(layer: S4) -> LayerConversion:
    """Return an `S4` layer as an `S4D` layer in bilinear steps, by the eigenvectors of the matrix of each channel.

    Parameters
    ----------
    layer : S4

    Returns
    -------
    LayerConversion
        The layer has one complex mode for each eigenvalue pair and each real eigenvalue; channels that have fewer are
        filled with modes of weight zero.

    Raises
    ------
    TypeError
        If ``layer`` is no `S4`.

    Warns
    -----
    AccuracyWarning
        If the response of a channel is off by more than 1e-3: the eigenvectors of the LegS matrix are nearly parallel
        from about 16 states on (8 in single precision). Training moves away from it; the condition says how far.

    Notes
    -----
    25 N^3 flops for each channel, in double precision on the host. A parameter that is frozen there is frozen in the
    new layer, by its name.
    """
    _check(layer, (S4,), "S4")
    Lambda, B, C, dt, P = (to_numpy(x.detach()) for x in (*layer.continuous(), layer.low_rank()))
    found = [_quietly(to_diagonal, DPLRSystem(*parts)) for parts in zip(Lambda, P, B, C, strict=True)]
    size = max(each.system.state_size for each in found)
    with torch.random.fork_rng(devices=[]):  # what the new layer draws is replaced
        new = S4D(layer.channels, 2 * size, method="bilinear")
    _load_modes(new.to(dtype=layer.dtype), [_padded(each.system, size) for each in found], np.log(dt))
    for name in ("log_dt", "log_decay", "frequency", "B", "C"):
        getattr(new, name).requires_grad_(getattr(layer, name).requires_grad)
    return _certified(layer, new, [each.condition for each in found], to_diagonal_layer)


def to_rational_layer(layer: ModalLayer, *, constraint: str | None = None) -> LayerConversion:
    """Return an `S4` or `S4D` layer as an `RTF` layer, by the characteristic polynomial of each channel.

    Parameters
    ----------
    layer : S4 or S4D
    constraint : {"reflection"} or None
        Of the new layer; by reflection coefficients it stays stable in training.

    Returns
    -------
    LayerConversion

    Raises
    ------
    TypeError
        If ``layer`` is none of them.
    ValueError
        If ``constraint`` is another, or is "reflection" where rounding has moved a pole onto or out of the circle.

    Warns
    -----
    AccuracyWarning
        If the response of a channel is off by more than 1e-3: poles that crowd around 1, as those of layers with steps
        of 0.01, are not determined by coefficients, whatever the algorithm.

    Notes
    -----
    10 N^3 flops for each channel, in double precision on the host. The new denominators are frozen where all parameters
    that move poles are, the numerators where C is, and D where D is.
    """
    _check(layer, (S4, S4D), "S4 or S4D")
    if constraint is not None:
        check_option(constraint, ("reflection",), "constraint")
    found = [_quietly(to_rational, system) for system in _each(layer.system())]
    degree = max(each.system.state_size for each in found)
    a, b = (np.stack([_filled(getattr(each.system, name), degree) for each in found]) for name in ("a", "b"))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        new = RTF(layer.channels, degree, constraint=constraint).to(dtype=layer.dtype)
        free = a if constraint is None else np.arctanh(_reflections(a))
        getattr(new, *new.pole_parameters).copy_(torch.from_numpy(free))
        new.b.copy_(torch.from_numpy(b))
    poles = any(getattr(layer, name).requires_grad for name in layer.pole_parameters)
    getattr(new, *new.pole_parameters).requires_grad_(poles)
    new.b.requires_grad_(layer.C.requires_grad)
    return _certified(
        layer, new, [each.condition for each in found], lambda half: to_rational_layer(half, constraint=constraint)
    )


def _check(layer: Any, kinds: tuple[Any, ...], names: str) -> None:
    if not isinstance(layer, kinds):
        raise TypeError(f"layer must be {names}, got {type(layer).__name__}")


def _quietly(convert: Any, system: Any) -> Any:
    with warnings.catch_warnings():  # one warning for all channels is given at the end
        warnings.simplefilter("ignore", AccuracyWarning)
        return convert(system)


def _padded(system: DiagonalSystem, size: int) -> tuple[np.ndarray, ...]:
    more = size - system.state_size
    values = (
        np.pad(x, (0, more), constant_values=fill) for x, fill in ((system.Lambda, -1), (system.B, 0), (system.C, 0))
    )
    return tuple(values)


def _filled(x: np.ndarray, degree: int) -> np.ndarray:
    return np.pad(x, (0, degree - len(x)))


def _reflections(a: np.ndarray) -> np.ndarray:
    k = step_down(a)
    if not np.all(np.abs(k) < 1):
        raise ValueError(_UNSTABLE.format(int(np.sum(np.any(np.abs(k) >= 1, -1)))))
    return k


def _load_modes(new: S4D, channels: list[tuple[np.ndarray, ...]], log_dt: np.ndarray) -> None:
    Lambda, B, C = (np.stack(each) for each in zip(*channels, strict=True))
    values = {
        "log_dt": log_dt,
        "log_decay": np.log(np.maximum(-Lambda.real, 1e-8)),
        "frequency": Lambda.imag,
        "B": np.stack([B.real, B.imag], -1),
        "C": np.stack([C.real, C.imag], -1),
    }
    with torch.no_grad():
        for name, value in values.items():
            getattr(new, name).copy_(torch.from_numpy(value))


def _certified(old: StateSpaceLayer, new: StateSpaceLayer, condition: list[float], convert: Any) -> LayerConversion:
    with torch.no_grad():
        new.D.copy_(old.D).requires_grad_(old.D.requires_grad)
    systems = (_each(copy.deepcopy(each).double().system()) for each in (old, new))
    error = np.array([_difference(before, after) for before, after in zip(*systems, strict=True)])
    bounds = [np.array(condition), error]
    unstable = int((new.check_stability("ignore") <= 0).sum()) if bool(np.all(np.isfinite(error))) else 0
    if not np.all(error <= HOPELESS) or unstable:
        worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
        text = (
            f"the response of channel {worst} is off by {error[worst]:.1e} (relative), condition "
            f"{condition[worst]:.1e}, and {int(np.sum(~(error <= HOPELESS)))} of {len(error)} channels by more than "
            f"{HOPELESS}; {unstable} channels are unstable: keep the {type(old).__name__}"
        )
        warnings.warn(text, AccuracyWarning, stacklevel=3)
    if old.reverse is not None:
        back = convert(old.reverse)
        new.reverse = back.layer
        bounds = [np.maximum(mine, other) for mine, other in zip(bounds, (back.condition, back.error), strict=True)]
    return LayerConversion(new.to(old.D.device), *bounds)
