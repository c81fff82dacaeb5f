"""EMA: the running mean of the parameters of a model in training."""

from __future__ import annotations  # as text: the documentation is built without torch

from typing import Any

import torch
from torch import nn

from lina.hippo._measures import check_number
from lina.torch.diffusion.checks import check_module, copied


class EMA(nn.Module):
    """Keep the exponential mean of the parameters of a model: what one samples with.

    Parameters
    ----------
    model : module
        The one in training, which `update` is given after each step.
    decay : float
        In [0, 1): share of the mean that stays in a step, once there are many.
    warmup : float
        Not negative. After k steps the share is at most 1 - 1 / (1 + k / (1 + warmup)), so that at 0 the mean begins
        as that of all steps, and forgets the first values, which are drawn at random.

    Attributes
    ----------
    model : module
        A copy with the means, in evaluation mode and without gradients, of its own dtype: parameters and buffers
        narrower than float32 are float32 here, as a mean in half precision stands still once a step is below its
        rounding. Buffers are those of the last step.

    Raises
    ------
    TypeError
        If ``model`` is no module or cannot be copied, or a number is none; in `update`, if the means were cast below
        float32.
    ValueError
        If ``decay`` or ``warmup`` is out of range; in `update`, if parameters or buffers differ in names or shapes.

    Notes
    -----
    A module, so that its means are kept by ``state_dict``, moved and saved. One pass over the parameters in each step.
    `update` takes a model of any float dtype. To sample in half precision put the means into a model that has it, as
    ``half.load_state_dict(ema.model.state_dict())``, or cast a copy of ``ema.model``; not this module.

    Source: B. Polyak, A. Juditsky, 1992.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import EMA
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> ema = EMA(model, decay=0.9)
    >>> for value in (1.0, 2.0, 3.0):
    ...     torch.nn.init.constant_(model.weight, value).item(), ema.update(model)
    (1.0, None)
    (2.0, None)
    (3.0, None)
    >>> ema.model.weight.item()
    2.0
    """

    steps: torch.Tensor

    def __init__(self, model: nn.Module, decay: float = 0.999, *, warmup: float = 0.0):
        super().__init__()
        check_module(model, "model")
        self.decay, self.warmup = check_number(decay, "decay"), check_number(warmup, "warmup")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {self.decay:g}")
        if self.warmup < 0:
            raise ValueError(f"warmup must not be negative, got {self.warmup:g}")
        self.model = copied(model).requires_grad_(False).eval()._apply(_widened)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> EMA:
        """Keep the copy in evaluation mode."""
        super().train(mode)
        self.model.eval()
        return self

    def update(self, model: nn.Module) -> None:
        """Take the parameters of ``model`` after a step into the mean, and its buffers as they are."""
        check_module(model, "model")
        means = dict(self.model.named_parameters())
        values = _matched(dict(model.named_parameters()), means, "parameters")
        buffers = dict(self.model.named_buffers())
        others = _matched(dict(model.named_buffers()), buffers, "buffers")
        for name, mean in means.items():
            if mean.is_floating_point() and torch.finfo(mean.dtype).bits < 32:
                raise TypeError(f"means must be float32 or wider, but {name} was cast to {mean.dtype}: cast a copy")
        before = int(self.steps)
        share = min(self.decay, 1 - 1 / (1 + before / (1 + self.warmup)))
        self.steps += 1
        with torch.no_grad():
            if means:
                torch._foreach_lerp_(list(means.values()), [values[name].to(means[name]) for name in means], 1 - share)
            for name, kept in buffers.items():
                kept.copy_(others[name])

    def forward(self, *args: Any, **options: Any) -> Any:
        """Return what the model with the means returns."""
        return self.model(*args, **options)


def _widened(x: torch.Tensor) -> torch.Tensor:
    """Return floats in float32 at least, and others as they are."""
    return x.float() if x.is_floating_point() and torch.finfo(x.dtype).bits < 32 else x


def _matched(found: dict[str, torch.Tensor], kept: dict[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a model, after a look whether their names and shapes are those that were kept."""
    if found.keys() != kept.keys():
        names = ", ".join(sorted(found.keys() ^ kept.keys())[:3])
        raise ValueError(f"model must have the {kind} that it had, but these are on one side only: {names}")
    for name, each in kept.items():
        if each.shape != found[name].shape:
            shapes = f"{tuple(found[name].shape)} for {name} of shape {tuple(each.shape)}"
            raise ValueError(f"model must have {kind} of the shapes that it had, got {shapes}")
    return found
