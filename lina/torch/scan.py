"""Scans of tensors through the kernels of the CPU, where nobody asks for their gradients."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from lina._core.array import to_numpy


def scan_values(
    scan: Callable[..., tuple[Any, Any, Any]], system: Any, u: torch.Tensor, x: torch.Tensor, return_states: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None] | None:
    """Return what ``scan(numpy, system, u, x, return_states)`` does of the values, or None where they do not suffice.

    They do not on another device than the CPU, while a gradient is recorded, in forward mode, and inside the transforms
    of torch.
    """
    parts = {each.name: getattr(system, each.name) for each in fields(system)}
    tensors = [*(v for v in parts.values() if isinstance(v, torch.Tensor)), u, x]
    recorded = torch.is_grad_enabled() and any(v.requires_grad for v in tensors)
    traced = torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None
    if recorded or traced or forward_ad._current_level >= 0 or any(v.device.type != "cpu" for v in tensors):
        return None
    plain = replace(system, **{k: to_numpy(v) for k, v in parts.items() if isinstance(v, torch.Tensor)})
    y, end, states = scan(np, plain, to_numpy(u), to_numpy(x), return_states)
    y, end = (torch.from_numpy(np.require(v, requirements=["C", "W"])) for v in (y, end))
    return y, end, None if states is None else torch.from_numpy(np.require(states, requirements=["C", "W"]))
