"""ign_loss: what an idempotent generative network is trained with."""

from __future__ import annotations  # as text: the documentation is built without torch

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils import parametrize

from lina._core.checks import check_option
from lina.torch.diffusion.checks import copied
from lina.torch.generative.checks import (
    check_finite,
    check_like,
    check_module,
    check_samples,
    check_weight,
    same_shape,
)
from lina.torch.generative.routing import call_apart

ROUTINGS = ("functional", "fused", "difference", "copy")
_Metric = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class IGNLoss(NamedTuple):
    """The loss of `ign_loss` and, without gradients, the means that it is made of.

    Attributes
    ----------
    loss : tensor, shape ()
    reconstruction : tensor, shape ()
        Mean distance of G(x) and x.
    idempotence : tensor, shape ()
        Mean distance of G(G(z)) and G(z).
    tightness : tensor, shape ()
        The same after the clamp: what is subtracted, times its weight.
    """

    loss: torch.Tensor
    reconstruction: torch.Tensor
    idempotence: torch.Tensor
    tightness: torch.Tensor


def ign_loss(
    model: nn.Module,
    x: torch.Tensor,
    z: torch.Tensor,
    *,
    weights: Sequence[float] = (20.0, 20.0, 2.5),
    clamp: float | None = 1.5,
    metric: str | _Metric = "l1",
    routing: str = "functional",
) -> IGNLoss:
    """Return the loss of an idempotent generative network: data are fixed points, and noise is mapped to fixed points.

    Parameters
    ----------
    model : torch.nn.Module
        G, which returns samples of the shape that it is given.
    x, z : tensors, shape (batch, ...)
        Data, and as much noise of the same shape.
    weights : three numbers
        Not negative, of reconstruction, idempotence and tightness. The last decides most: at 2.5, as published, small
        networks drop modes; about half of the others spreads the samples, at the price of idempotence.
    clamp : float or None
        a: the tightness t of a sample is replaced by ``a r tanh(t / (a r))``, r the reconstruction error of the sample
        of ``x`` at its place in the batch, so that it never exceeds a r; None leaves it.
    metric : {"l1", "l2"} or callable
        Distance of two samples, the mean of absolute or of squared differences of their entries; or a function of two
        tensors (batch, ...) that returns (batch,).
    routing : {"functional", "fused", "difference", "copy"}
        How the gradient of idempotence reaches the inner call of G alone, and that of tightness the outer one alone;
        see the notes. All have the same value and gradient for a deterministic model.

    Returns
    -------
    loss : IGNLoss
        ``loss.loss`` is weights[0] mean r + weights[1] mean t - weights[2] mean of the clamped t.

    Raises
    ------
    TypeError
        If ``model`` is no module, samples are no tensors of real floats, a number is none, "fused" meets half
        precision, or "copy" a model that does not copy.
    ValueError
        If ``x`` and ``z`` differ in shape, dtype or device, the model returns another shape, a weight or the clamp is
        out of range, values are not finite, a routing is asked for that does not suit active dropout ("difference"),
        batch normalisation ("fused" with a clamp) or reentrant checkpoints ("functional"), or within
        ``parametrize.cached()``.

    Notes
    -----
    "functional" calls the outer G with its parameters detached: four passes, no copy, and dropout draws a mask in each.
    "fused" makes one pass of the two through the outer G and scales what flows back from it into G(z), sample by
    sample: three passes, one mask, the same gradient to rounding. It is not for half precision, nor for a second
    derivative, nor with a clamp for samples that see each other, as in batch normalisation. "difference" subtracts
    the unwanted gradient, ``t(G(z)) - t(stop(G(z)))``, which is wrong where two passes draw two masks. "copy", the
    published one, makes a deep copy of the model in every call. Buffers, such as running means, are those after the
    pass of ``x``: noise does not enter them. The bound of the clamp has no gradient.

    Take "fused" or "copy" for a model with activation checkpoints (``torch.utils.checkpoint``): they compute parts
    again in the backward pass, when "functional" has put the parameters back. It refuses reentrant ones; others end in
    torch's CheckpointError, or in the right gradient. Such parts update running means once more, from noise too.

    A constant map has no idempotence error: judge by `idempotence_report`.

    Source: A. Shocher et al., Idempotent generative network, ICLR 2024; Scientific Spaces, article 9969, 2024.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import ign_loss
    >>> x, z = torch.ones(8, 2), torch.zeros(8, 2)
    >>> halve = torch.nn.Linear(2, 2, bias=False)
    >>> _ = torch.nn.init.constant_(halve.weight, 0.25)
    >>> found = ign_loss(halve, x, z)
    >>> found.reconstruction.item(), found.idempotence.item(), found.loss.item()
    (0.5, 0.0, 10.0)
    """
    check_module(model, "model")
    if parametrize._cache_enabled:
        raise ValueError(
            "ign_loss must not be called within parametrize.cached(), which keeps trained weights for fixed"
        )
    check_samples(x, "x")
    check_samples(z, "z")
    check_like(z, x, "z", "x")
    check_option(routing, ROUTINGS, "routing")
    lambdas = _checked_weights(weights)
    bound = None if clamp is None else _positive(clamp)
    _check_routing(model, routing, bound)
    if routing == "fused":
        _check_precision(x)
    distance = _distance(metric)
    again = _Again(model, distance)
    reconstruction = distance(same_shape(model, x), x)
    generated = same_shape(lambda y: call_apart(model, y, frozen=False), z)
    limit = None if bound is None else bound * reconstruction.detach()
    route = _fused if routing == "fused" else _two_passes
    loss, error = route(again, generated, limit, lambdas, routing)
    loss = lambdas[0] * reconstruction.mean() + loss
    check_finite(
        loss, f"the loss must be finite, got {loss.detach()}: model has diverged, or returns NaN or infinities"
    )
    parts = (reconstruction, error, clamped(error.detach(), limit))
    return IGNLoss(loss, *(part.detach().mean() for part in parts))


def clamped(error: torch.Tensor, limit: torch.Tensor | None) -> torch.Tensor:
    """Return ``limit tanh(error / limit)``, which is about the error where that is small, and at most the limit."""
    if limit is None:
        return error
    return limit * torch.tanh(error / limit.clamp_min(torch.finfo(limit.dtype).tiny))


class _Again(NamedTuple):
    """How far a second application moves samples: of the model, of a copy or of one with parameters held fixed."""

    model: nn.Module
    distance: _Metric

    def __call__(self, y: torch.Tensor, routing: str | None = None) -> torch.Tensor:
        if routing == "copy":
            frozen = copied(self.model).requires_grad_(False)
            return self.distance(same_shape(frozen, y), y)
        frozen = routing == "functional"
        return self.distance(same_shape(lambda y: call_apart(self.model, y, frozen=frozen), y), y)


def _two_passes(
    again: _Again, generated: torch.Tensor, limit: torch.Tensor | None, lambdas: tuple[float, ...], routing: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weighted loss of idempotence and tightness, each by a pass of its own, and the errors by sample."""
    tight = again(generated.detach())
    error = again(generated, routing)
    if routing == "difference":
        error = error - tight + tight.detach()
    return lambdas[1] * error.mean() - lambdas[2] * clamped(tight, limit).mean(), error


def _fused(
    again: _Again, generated: torch.Tensor, limit: torch.Tensor | None, lambdas: tuple[float, ...], routing: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Do the same by one pass, backwards with the weights of tightness, which are exchanged where it enters G(z)."""
    entry = generated.view_as(generated)
    error = again(entry)
    value, batch = error.detach(), len(error)
    slope = 1.0 if limit is None else 1 - torch.tanh(value / limit.clamp_min(_tiny(limit))) ** 2
    # A sample beyond the clamp keeps a weight that is lost in rounding: zero could not be exchanged.
    least = torch.finfo(value.dtype).eps * (lambdas[1] + lambdas[2]) + _tiny(value)
    outer = torch.as_tensor(lambdas[2] * slope).to(value).expand(batch).clamp_min(least)
    exchange = (-lambdas[1] / outer).reshape(batch, *[1] * (entry.ndim - 1))
    if entry.requires_grad:
        entry.register_hook(lambda gradient: gradient * exchange)
    gradients = -(outer * error).mean()
    wanted = lambdas[1] * value.mean() - lambdas[2] * clamped(value, limit).mean()
    return wanted + gradients - gradients.detach(), error


def _tiny(x: torch.Tensor) -> float:
    return torch.finfo(x.dtype).tiny


def _distance(metric: Any) -> _Metric:
    if not callable(metric):
        check_option(metric, ("l1", "l2"), "metric")
        return _l1 if metric == "l1" else _l2

    def checked(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        found = metric(y, x)
        if not isinstance(found, torch.Tensor) or found.shape != (len(x),):
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ValueError(f"metric must return one distance a sample, shape ({len(x)},), got {shape}")
        return found

    return checked


def _l1(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (y - x).abs().flatten(1).mean(1)


def _l2(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (y - x).square().flatten(1).mean(1)


def _checked_weights(weights: Any) -> tuple[float, ...]:
    names = ("reconstruction", "idempotence", "tightness")
    if isinstance(weights, str) or not isinstance(weights, Sequence) or len(weights) != 3:
        raise ValueError(f"weights must be three numbers, of {', '.join(names)}, got {weights!r}")
    return tuple(check_weight(each, f"weights[{i}], of {names[i]},") for i, each in enumerate(weights))


def _positive(clamp: Any) -> float:
    value = check_weight(clamp, "clamp")
    if value == 0:
        raise ValueError("clamp must be positive, or None for no clamp, got 0 (weights[2] = 0 leaves tightness out)")
    return value


def _check_routing(model: nn.Module, routing: str, clamp: float | None) -> None:
    """Raise ValueError where a routing would have another gradient with the layers that the model has."""
    if routing == "difference":
        found = [name for name, each in _layers(model, nn.Module) if each.training and _draws(each)]
        because = "without active dropout: its two passes draw two masks, and the gradients do not cancel"
    elif routing == "fused" and clamp is not None:
        found = [name for name, each in _layers(model, _BatchNorm) if each.training or each.running_mean is None]
        because = "whose samples do not see each other, or clamp=None: it scales gradients sample by sample"
    else:
        return
    if found:
        raise ValueError(f'routing="{routing}" needs a model {because}; found {", ".join(found)}; use "functional"')


def _draws(layer: nn.Module) -> bool:
    """Return whether a layer draws at random in training: by torch's classes, and by numbers named "...drop..."."""
    if isinstance(layer, (_DropoutNd, nn.RReLU)):
        return bool(getattr(layer, "p", True))
    return any("drop" in name and isinstance(value, float) and value for name, value in vars(layer).items())


def _check_precision(x: torch.Tensor) -> None:
    """Raise TypeError for half precision, in which the small weights of clamped samples are lost."""
    kind = x.device.type
    used = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    if torch.finfo(used).bits < 32:
        raise TypeError(f'routing="fused" needs float32 or float64, got {used}; use "functional"')


def _layers(model: nn.Module, kind: type) -> list[tuple[str, Any]]:
    return [(name or type(each).__name__, each) for name, each in model.named_modules() if isinstance(each, kind)]
