"""Groups of parameters with the learning rates that the field gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from lina.torch.layers.checks import check_real

# What torch appends to the name of a parameter that it makes of others, in pruning and in normalisation of weights.
_MADE_OF = ("_orig", "_g", "_v")
# The learning rate of the parameters that move poles, where that of the rest is higher.
_LR = 1e-3


def parameter_groups(
    module: nn.Module, lr: float, *, state_lr: float | None = None, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Return two groups of parameters for an optimiser: those that move poles of state-space layers, and the rest.

    Parameters
    ----------
    module : Module
        That contains `S4`, `S4D` or `RTF`, or is one of them. What torch makes a parameter of, in pruning, in
        normalisation of weights and by ``torch.nn.utils.parametrize``, belongs to its group.
    lr : float or Tensor
        Learning rate of the rest; a tensor of one number where the optimiser takes it.
    state_lr : float or Tensor, optional
        Learning rate of decays, frequencies, low ranks, B, steps and denominators: the lower of ``lr`` and 1e-3 unless
        given. They have no weight decay: it would move the poles.
    weight_decay : float
        Of the rest.

    Raises
    ------
    TypeError
        If ``module`` is no module, or a rate no number.
    ValueError
        If a number is negative, or nothing is found that a parameter of a layer was made of.

    Notes
    -----
    The poles decide over how many samples a layer remembers. Where training is short, as a few epochs of a small data
    set, a ``state_lr`` nearer to ``lr`` learns sooner; 1e-3 is what long training takes.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch module, got {type(module).__name__}")
    lr, weight_decay = _checked(lr, "lr"), _checked(weight_decay, "weight_decay")
    state_lr = min(lr, _LR) if state_lr is None else _checked(state_lr, "state_lr")
    slow = {id(p) for p in _of_poles(module)}
    both = [[p for p in module.parameters() if (id(p) in slow) is which] for which in (True, False)]
    groups = [
        {"params": both[0], "lr": state_lr, "weight_decay": 0.0},
        {"params": both[1], "lr": lr, "weight_decay": weight_decay},
    ]
    return [group for group in groups if group["params"]]


def _checked(value: Any, name: str) -> Any:
    """Return a rate: a number that is not negative, or a tensor of one."""
    tensor = isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_complex()
    found = value if tensor else check_real(value, name)
    if not bool(found >= 0):
        raise ValueError(f"{name} must not be negative, got {found}")
    return found


def _of_poles(module: nn.Module) -> Iterator[nn.Parameter]:
    for each in module.modules():
        for name in getattr(each, "pole_parameters", ()):
            yield from _made_of(each, name)


def _made_of(module: nn.Module, name: str) -> list[nn.Parameter]:
    """Return the parameter of a name, or those that torch makes it of."""
    if name in getattr(module, "parametrizations", ()):
        return list(module.parametrizations[name].parameters())
    names = [name] if name in module._parameters else [name + end for end in _MADE_OF]
    found = [p for p in (module._parameters.get(each) for each in names) if p is not None]
    if not found:
        got = type(getattr(module, name, None)).__name__
        raise ValueError(
            f"{name} of the {type(module).__name__} layer must be a parameter, or made of parameters by "
            f"parametrisation, pruning or normalisation of torch.nn.utils, got {got}"
        )
    return found
