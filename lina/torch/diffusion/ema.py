"""EMA: the running mean of the parameters of a model in training."""

from __future__ import annotations  # as text: the documentation is built without torch

import copy
from typing import Any

import torch
from torch import nn

from lina.hippo._measures import check_number
from lina.torch.diffusion.checks import check_module


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
        A copy with the means, in evaluation mode and without gradients. Buffers are those of the last step.

    Raises
    ------
    TypeError
        If ``model`` is no module, or a number none; in `update`, if it is given another kind of module.
    ValueError
        If ``decay`` or ``warmup`` is out of range; in `update`, if parameters differ in names or shapes.

    Notes
    -----
    A module, so that its means are kept by ``state_dict``, moved and saved. One pass over the parameters in each step.

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
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> EMA:
        """Keep the copy in evaluation mode."""
        super().train(mode)
        self.model.eval()
        return self

    def update(self, model: nn.Module) -> None:
        """Take the parameters of ``model`` after a step into the mean, and its buffers as they are."""
        check_module(model, "model")
        means, values = self._paired(model)
        before = int(self.steps)
        share = min(self.decay, 1 - 1 / (1 + before / (1 + self.warmup)))
        self.steps += 1
        with torch.no_grad():
            if means:
                torch._foreach_lerp_(means, values, 1 - share)
            for kept, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
                kept.copy_(buffer)

    def forward(self, *args: Any, **options: Any) -> Any:
        """Return what the model with the means returns."""
        return self.model(*args, **options)

    def _paired(self, model: nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the means and the parameters, after a look at their names and shapes."""
        means, values = dict(self.model.named_parameters()), dict(model.named_parameters())
        if means.keys() != values.keys():
            found = ", ".join(sorted(means.keys() ^ values.keys())[:3])
            raise ValueError(f"model must have the parameters that it had, but these are on one side only: {found}")
        for name, mean in means.items():
            if mean.shape != values[name].shape:
                found = f"{tuple(values[name].shape)} for {name} of shape {tuple(mean.shape)}"
                raise ValueError(f"model must have parameters of the shapes that it had, got {found}")
        return list(means.values()), [values[name].detach() for name in means]
