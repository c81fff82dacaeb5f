"""One network called twice, once with parameters that are trained and once with the same ones held fixed."""

from __future__ import annotations  # as text: the documentation is built without torch

from typing import Any

import torch
from torch import nn
from torch.func import functional_call


def call_apart(model: nn.Module, y: torch.Tensor, *, frozen: bool) -> Any:
    """Return ``model(y)`` without a trace in its buffers; with ``frozen`` its parameters get no gradient, y does.

    Buffers are cloned: running statistics are those of the calls that are not made through here.
    """
    tensors = {name: buffer.clone() for name, buffer in model.named_buffers()}
    if frozen:
        tensors |= {name: parameter.detach() for name, parameter in model.named_parameters()}
    return functional_call(model, tensors, (y,)) if tensors else model(y)
