"""single_loss_gan: generator and discriminator trained by one loss and one backward pass."""

from __future__ import annotations  # as text: the documentation is built without torch

from collections.abc import Callable
from typing import Any

import torch

from lina.torch.generative.checks import check_finite, check_samples


def single_loss_gan(
    discriminator: Callable[[torch.Tensor], torch.Tensor],
    generator: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    z: torch.Tensor,
    *,
    f: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Return one loss by whose gradient a discriminator and a generator descend each in its own direction.

    Parameters
    ----------
    discriminator : callable
        D, from samples (n, ...) to numbers (n,) or (n, 1): low for real samples, high for generated ones.
    generator : callable
        G, from noise ``z`` to samples of the shape of those in ``x``.
    x : tensor, shape (n, ...)
        Real samples.
    z : tensor, shape (m, ...)
        Noise, as the generator reads it.
    f : callable, optional
        Increasing function of numbers, the identity unless given; softplus makes it the minimax game of probabilities.

    Returns
    -------
    loss : tensor, shape ()
        ``mean f(D(x)) + mean f(-D(G(z)))``. Its gradient by the parameters of D is that of this number; its gradient by
        those of G is that of its negative, for the identity of ``mean D(G(z))``.

    Raises
    ------
    TypeError
        If samples are no tensors of real floats, or a network returns no tensor.
    ValueError
        If shapes do not fit, samples or the loss are not finite.

    Notes
    -----
    The samples enter D as ``2 stop(y) - y``, which is y to the bit and has the derivative -1. The published loss,
    ``D(x) - 2 D(stop(y)) + D(y)``, has the same value and gradient where D is deterministic, and takes one pass through
    D more; here dropout in D draws one mask for both players. Both networks need an optimiser, which may be one.
    Nothing here bounds the slope of D, which the identity as f needs: a gradient penalty, normalised weights, clipping.

    Source: Scientific Spaces, article 9969, 2024.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import single_loss_gan
    >>> D, G = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    >>> x, z = torch.ones(4, 1), torch.zeros(4, 1)
    >>> single_loss_gan(D, G, x, z).backward()
    >>> bool(torch.equal(G.bias.grad, D.weight.detach()[0]))  # descends D(G(z))
    True
    """
    check_samples(x, "x")
    check_samples(z, "z")
    y = generator(z)
    if not isinstance(y, torch.Tensor) or y.shape[1:] != x.shape[1:]:
        found = tuple(y.shape) if isinstance(y, torch.Tensor) else type(y).__name__
        raise ValueError(f"generator must return samples of the shape {('m', *x.shape[1:])}, as x has, got {found}")
    reversed_y = 2 * y.detach() - y
    real, fake = (_score(discriminator, each) for each in (x, reversed_y))
    loss = real.mean() - fake.mean() if f is None else f(real).mean() + f(-fake).mean()
    check_finite(
        loss, f"the loss must be finite, got {loss.detach()}: a network has diverged, or f is not finite there"
    )
    return loss


def _score(discriminator: Callable[[torch.Tensor], Any], y: torch.Tensor) -> torch.Tensor:
    found = discriminator(y)
    if not isinstance(found, torch.Tensor):
        raise TypeError(f"discriminator must return a tensor, got {type(found).__name__}")
    if found.shape not in ((len(y),), (len(y), 1)):
        raise ValueError(f"discriminator must return one number a sample, ({len(y)},), got shape {tuple(found.shape)}")
    return found
