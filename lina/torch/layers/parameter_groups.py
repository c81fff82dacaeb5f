"""Groups of parameters with the learning rates that the field gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

# The learning rate of the parameters that move poles, where that of the rest is higher.
_LR = 1e-3


def parameter_groups(
    module: nn.Module, lr: float, *, state_lr: float | None = None, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Return two groups of parameters for an optimiser: those that move poles of state-space layers, and the rest.

    Parameters
    ----------
    module : Module
        That contains `S4`, `S4D` or `RTF`, or is one of them.
    lr : float
        Learning rate of the rest.
    state_lr : float, optional
        Learning rate of decays, frequencies, low ranks, B, steps and denominators: the lower of ``lr`` and 1e-3 unless
        given. They have no weight decay: it would move the poles.
    weight_decay : float
        Of the rest.

    Raises
    ------
    TypeError
        If ``module`` is no module, or a rate no number.
    ValueError
        If a number is negative.

    Notes
    -----
    The poles decide over how many samples a layer remembers. Where training is short, as a few epochs of a small data
    set, a ``state_lr`` nearer to ``lr`` learns sooner; 1e-3 is what long training takes.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch module, got {type(module).__name__}")
    rates = {"lr": lr, "weight_decay": weight_decay, "state_lr": min(lr, _LR) if state_lr is None else state_lr}
    for name, value in rates.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{name} must be a number, got {type(value).__name__}")
        if not value >= 0:
            raise ValueError(f"{name} must not be negative, got {value}")
    slow = {id(p) for p in _of_poles(module)}
    both = [[p for p in module.parameters() if (id(p) in slow) is which] for which in (True, False)]
    groups = [
        {"params": both[0], "lr": rates["state_lr"], "weight_decay": 0.0},
        {"params": both[1], "lr": lr, "weight_decay": weight_decay},
    ]
    return [group for group in groups if group["params"]]


def _of_poles(module: nn.Module) -> Iterator[nn.Parameter]:
    for each in module.modules():
        for name in getattr(each, "pole_parameters", ()):
            if name in each._parameters:
                yield each._parameters[name]
            else:  # parametrised by others
                yield from each.parametrizations[name].parameters()
