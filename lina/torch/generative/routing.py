"""One network called twice, once with parameters that are trained and once with the same ones held fixed."""

from __future__ import annotations  # as text: the documentation is built without torch

from typing import Any

import torch
from torch import nn
from torch.func import functional_call


def call_apart(model: nn.Module, y: torch.Tensor, *, frozen: bool) -> Any:
    """Return ``model(y)`` without a trace in its buffers; with ``frozen`` its parameters get no gradient, y does.

    Buffers are cloned: running statistics are those of the calls that are not made through here. Raises ValueError for
    frozen parameters under a reentrant checkpoint: it is computed again in the backward pass, with the others.
    """
    tensors = {name: buffer.clone() for name, buffer in model.named_buffers()}
    if frozen:
        tensors |= {name: parameter.detach() for name, parameter in model.named_parameters()}
    found = functional_call(model, tensors, (y,)) if tensors else model(y)
    if frozen and isinstance(found, torch.Tensor) and _has_checkpoint(found):
        raise ValueError(
            'routing="functional" needs a model without reentrant checkpoints, which are computed again with parameters'
            ' that are not held fixed; use "fused" or "copy"'
        )
    return found


def _has_checkpoint(x: torch.Tensor) -> bool:
    """Return whether the graph of x has a part that the backward pass will compute again."""
    if torch.compiler.is_compiling():
        return False
    seen, waiting = set(), [x.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if type(node).__name__.startswith("CheckpointFunction"):
            return True
        seen.add(node)
        waiting.extend(each for each, _ in node.next_functions)
    return False
