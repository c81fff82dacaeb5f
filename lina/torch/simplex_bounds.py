"""Projection between bounds as a torch operation, differentiable any number of times by all of its arguments."""

from typing import Any

import torch
from array_api_compat import numpy as numpy_namespace
from array_api_compat import torch as torch_namespace

from lina._core.array import to_numpy
from lina.simplex._project_capped_simplex import capped_rows
from lina.simplex._project_capped_simplex import project_between as project_arrays
from lina.simplex._rows import quiet
from lina.torch._op import register_op
from lina.torch.simplex import centre


def _forward(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    n = x.shape[-1]
    rows, totals = x.detach().reshape(-1, n), sums.detach().expand(*x.shape[:-1], 1).reshape(-1, 1)
    low, high = _as_rows(low.detach(), x), _as_rows(high.detach(), x)
    if x.device.type != "cpu":
        return capped_rows(torch_namespace, rows, low, high, totals).reshape(x.shape)
    arrays = to_numpy(rows), to_numpy(low), to_numpy(high), to_numpy(totals)
    with quiet():
        return torch.from_numpy(project_arrays(numpy_namespace, *arrays)).reshape(x.shape)


def _as_rows(bound: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return a bound as (1, 1) where it is one number, which kernels take, otherwise in the shape of the rows."""
    if bound.numel() > 0:
        least, most = torch.aminmax(bound)
        if bool(least == most):
            return least.reshape(1, 1)
    return bound.expand(x.shape).reshape(-1, x.shape[-1])


def _fake(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    return x.new_empty(x.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(output, *inputs[1:])


def _backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """What moves a bound that is reached, or the total, moves the free entries against it, each by as much."""
    p, low, high, sums = ctx.saved_tensors
    free = (p > low) & (p < high)
    by_bounds = ctx.needs_input_grad[1:]
    if not any(by_bounds):
        return centre(free.to(p.dtype), grad), None, None, None
    mean = torch.where(free, grad, 0.0).sum(-1, keepdim=True) / free.sum(-1, keepdim=True).clamp(min=1)
    above = p >= high
    places = (free, (p <= low) & ~above, above)
    by_x, by_low, by_high = (torch.where(place, grad - mean, 0.0) for place in places)
    wanted = zip((by_low, by_high, mean), (low, high, sums), by_bounds, strict=True)
    return by_x, *(_summed(each, like) if needed else None for each, like, needed in wanted)


def _summed(grad: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the sums of a gradient over the axes along which ``like`` was spread."""
    spread = [i for i, length in enumerate(like.shape) if length == 1 and grad.shape[i] != 1]
    return grad.sum(spread, keepdim=True) if spread else grad


project_between = register_op(
    "project_between",
    "(Tensor x, Tensor low, Tensor high, Tensor sums) -> Tensor",
    forward=_forward,
    fake=_fake,
    save=_save,
    backward=_backward,
)
