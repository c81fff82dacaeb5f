"""Probability mappings and losses as torch operations, where a graph through the computation would be slow or wrong."""

from typing import Any

import torch
from array_api_compat import numpy as numpy_namespace
from array_api_compat import torch as torch_namespace

from lina._core.array import refuse_gradient, to_numpy
from lina.simplex._fenchel_young import loss_rows
from lina.simplex._losses import soft_cross_entropy as soft_cross_entropy_body
from lina.simplex._perturb_max import laplacian_product, probabilities
from lina.simplex._rows import offset, quiet, worth_calling
from lina.simplex._soft_topk import entropic_weights
from lina.simplex._softmax import log_normaliser_rows, log_softmax_rows, softmax_rows, weighted_centred
from lina.simplex._truncated_softmax import first_largest, numpy_keep_topk, numpy_kth_largest
from lina.torch._op import register_op
from lina.torch.simplex import known

# A call of a registered operation costs as much as a sort of so many entries.
_WORTH_REGISTERING = 4096


def _kth_forward(z: torch.Tensor, k: int) -> torch.Tensor:
    if z.device.type == "cpu":  # numpy selects, where torch sorts
        return torch.from_numpy(numpy_kth_largest(to_numpy(z), k).copy())
    return torch.topk(z, k, dim=-1, sorted=True).values[..., k - 1 :].clone()


def _kth_fake(z: torch.Tensor, k: int) -> torch.Tensor:
    return z.new_empty((*z.shape[:-1], 1))


def _keep_forward(z: torch.Tensor, k: int) -> torch.Tensor:
    if z.device.type == "cpu":
        return torch.from_numpy(numpy_keep_topk(to_numpy(z), k))
    return first_largest(torch_namespace, z, _kth_forward(z, k), k)


def _keep_fake(z: torch.Tensor, k: int) -> torch.Tensor:
    return z.new_empty(z.shape, dtype=torch.bool)


_kth_largest = register_op("kth_largest", "(Tensor z, int k) -> Tensor", forward=_kth_forward, fake=_kth_fake)
_keep_topk = register_op("keep_topk", "(Tensor z, int k) -> Tensor", forward=_keep_forward, fake=_keep_fake)


def kth_largest(z: torch.Tensor, k: int) -> torch.Tensor:
    """Return the k-th largest entry of each row, (rows, 1), outside of any gradient."""
    return _kth_largest(z.detach(), k)


def keep_topk(z: torch.Tensor, k: int) -> torch.Tensor:
    """Return which entries are NaN or the ``k`` < n largest of their rows, the first ones of equal entries."""
    z = z.detach()
    if z.numel() >= _WORTH_REGISTERING:
        return _keep_topk(z, k)
    order = torch.sort(z, dim=-1, descending=True, stable=True).indices
    return torch.isnan(z).scatter(-1, order[..., :k], True)


def _entropy_forward(z: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    rows, places = z.detach().reshape(-1, z.shape[-1]), index.reshape(-1, 1)
    if z.device.type != "cpu":
        top, above = log_normaliser_rows(torch_namespace, rows)
    else:
        top, above = (torch.from_numpy(each) for each in log_normaliser_rows(numpy_namespace, to_numpy(rows)))
    at = offset(torch_namespace, torch.take_along_dim(rows, places, dim=-1), top)
    return (above - at).reshape(index.shape)


def _entropy_fake(z: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return z.new_empty(index.shape)


def _entropy_save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _entropy_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    z, index = ctx.saved_tensors
    weighted = softmax_rows(torch_namespace, z.reshape(-1, z.shape[-1])).reshape(z.shape) * grad
    return weighted.scatter_add(-1, index, -grad), None


cross_entropy = register_op(
    "cross_entropy",
    "(Tensor z, Tensor index) -> Tensor",
    forward=_entropy_forward,
    fake=_entropy_fake,
    save=_entropy_save,
    backward=_entropy_backward,
)


def nan_if_negative(y: torch.Tensor) -> torch.Tensor:
    """Return ``y`` with NaN for negative entries: itself where it is known to have none."""
    if known(y, lambda values: values.numel() == 0 or bool(values.amin() >= 0)):
        return y
    return torch.where(y < 0, torch.nan, y)


def _soft_entropy_forward(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    rows, targets = (each.detach().reshape(-1, z.shape[-1]) for each in (z, y))
    if z.device.type != "cpu":
        return soft_cross_entropy_body(torch_namespace, rows, targets).reshape(*z.shape[:-1], 1)
    arrays = to_numpy(rows), to_numpy(targets)
    fast = worth_calling("soft_cross_entropy", numpy_namespace, arrays[0])
    with quiet():
        value = soft_cross_entropy_body(numpy_namespace, *arrays) if fast is None else fast(*arrays)
    return torch.from_numpy(value).reshape(*z.shape[:-1], 1)


def _soft_entropy_fake(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return z.new_empty((*z.shape[:-1], 1))


def _soft_entropy_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    z, y = ctx.saved_tensors
    rows = z.reshape(-1, z.shape[-1])
    by_z = by_y = None
    if ctx.needs_input_grad[0]:
        p = softmax_rows(torch_namespace, rows).reshape(z.shape)
        by_z = p * (grad * y.sum(-1, keepdim=True)) - grad * y
    if ctx.needs_input_grad[1]:
        log_p = log_softmax_rows(torch_namespace, rows).reshape(z.shape)
        by_y = -grad * torch.where(y == 0, 0.0, log_p)
    return by_z, by_y


soft_cross_entropy = register_op(
    "soft_cross_entropy",
    "(Tensor z, Tensor y) -> Tensor",
    forward=_soft_entropy_forward,
    fake=_soft_entropy_fake,
    save=_entropy_save,
    backward=_soft_entropy_backward,
)


def _perturb_forward(z: torch.Tensor, noise: str, nodes: int) -> tuple[torch.Tensor, torch.Tensor]:
    return probabilities(torch_namespace, z.detach(), noise, nodes)


def _perturb_fake(z: torch.Tensor, noise: str, nodes: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty_like(z), z.new_empty(z.shape[:-1])


def _perturb_save(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    ctx.rule = inputs[1:]
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(inputs[0])


def _perturb_backward(ctx: Any, grad: torch.Tensor, _: Any) -> tuple[torch.Tensor | None, ...]:
    (z,) = ctx.saved_tensors
    return laplacian_product(torch_namespace, z, grad, *ctx.rule), None, None


_perturb_max = register_op(
    "perturb_max",
    "(Tensor z, str noise, int nodes) -> (Tensor, Tensor)",
    forward=_perturb_forward,
    fake=_perturb_fake,
    save=_perturb_save,
    backward=_perturb_backward,
)


def perturb_max(xp: Any, z: torch.Tensor, noise: str, nodes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the probabilities (rows, n) and their errors (rows,) at rows ``z`` whose largest entry is 0."""
    return _perturb_max(z, noise, nodes)


def _topk_forward(z: torch.Tensor, k: int) -> torch.Tensor:
    if z.device.type != "cpu":
        return entropic_weights(torch_namespace, z.detach(), k)
    with quiet():
        return torch.from_numpy(entropic_weights(numpy_namespace, to_numpy(z), k))


def _topk_fake(z: torch.Tensor, k: int) -> torch.Tensor:
    return torch.empty_like(z)


def _topk_save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(output)


def _topk_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    (p,) = ctx.saved_tensors
    return weighted_centred(torch_namespace, p * (1 - p), grad, -1), None


_soft_topk = register_op(
    "soft_topk",
    "(Tensor z, int k) -> Tensor",
    forward=_topk_forward,
    fake=_topk_fake,
    save=_topk_save,
    backward=_topk_backward,
)


def soft_topk(xp: Any, z: torch.Tensor, k: int) -> torch.Tensor:
    """Return the entropic weights (rows, n) of sum ``k`` at rows ``z`` whose k-th largest entry is 0."""
    return _soft_topk(z, k)


def _loss_forward(z: torch.Tensor, y: torch.Tensor, p: torch.Tensor, alpha: float) -> torch.Tensor:
    return loss_rows(torch_namespace, z.detach(), y.detach(), p.detach(), alpha)


def _loss_fake(z: torch.Tensor, y: torch.Tensor, p: torch.Tensor, alpha: float) -> torch.Tensor:
    return z.new_empty(z.shape[:-1])


def _loss_save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(inputs[1], inputs[2])


def _loss_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    # p is the mapping of z, in which the loss is stationary (Danskin); its own derivative is the loss's second
    y, p = ctx.saved_tensors
    return grad[..., None] * (p - y), None, None, None


_fenchel_young = register_op(
    "fenchel_young",
    "(Tensor z, Tensor y, Tensor p, float alpha) -> Tensor",
    forward=_loss_forward,
    fake=_loss_fake,
    save=_loss_save,
    backward=_loss_backward,
)


def fenchel_young(xp: Any, z: torch.Tensor, y: torch.Tensor, p: torch.Tensor, alpha: float) -> torch.Tensor:
    """Return the losses (rows,) of rows ``z`` of largest entry 0, mapped to ``p``, against the distributions ``y``."""
    refuse_gradient("a Fenchel-Young loss", target=y)
    return _fenchel_young(z, y, p, alpha)
