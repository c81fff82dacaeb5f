"""The one way in which a kernel becomes a torch operation."""

from collections.abc import Callable
from typing import Any

import torch

from lina._core.errors import GradientError


def register_op(
    name: str,
    schema: str,
    *,
    forward: Callable[..., Any],
    fake: Callable[..., Any],
    save: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Register ``torch.ops.lina.NAME`` with its shapes, gradient and vmap, and return a function that calls it.

    Parameters
    ----------
    name, schema : str
        For example ``"scale"``, ``"(Tensor x, float factor) -> Tensor"``.
    forward : callable
        Computes new tensors from the arguments; nothing it does is recorded, and no output may share memory with
        an input. It treats leading axes of every tensor as a batch: vmap is made from that.
    fake : callable
        Returns empty tensors of the shapes, dtypes and strides that ``forward`` returns.
    save, backward : callable, optional
        ``save(ctx, inputs, output)`` and ``backward(ctx, *grads)`` as in ``torch.library``; ``backward`` is written
        in differentiable torch operations, so that it has a gradient itself. Without them the operation refuses
        tensors that require a gradient.

    Returns
    -------
    callable
        Raises `lina._core.errors.GradientError` where a gradient is wanted and there is none.
    """
    op = torch.library.custom_op(f"lina::{name}", forward, mutates_args=(), schema=schema)
    op.register_fake(fake)
    op.register_vmap(_fold_batch(op))
    if backward is not None:
        op.register_autograd(backward, setup_context=save)
        return op

    def without_gradient(*args: Any) -> Any:
        if torch.is_grad_enabled() and any(isinstance(a, torch.Tensor) and a.requires_grad for a in args):
            raise GradientError(f"lina::{name} has no gradient: call it under torch.no_grad() or on tensor.detach()")
        return op(*args)

    return without_gradient


def _fold_batch(op: Callable[..., Any]) -> Callable[..., Any]:
    """Return the vmap rule of an operation whose leading axes are a batch already: move the new axis to the front."""

    def rule(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        moved = []
        for arg, dim in zip(args, in_dims, strict=True):
            if not isinstance(arg, torch.Tensor):
                moved.append(arg)
            elif dim is None:
                moved.append(arg.expand(info.batch_size, *arg.shape))
            else:
                moved.append(arg.movedim(dim, 0))
        out = op(*moved)
        return out, (0,) * len(out) if isinstance(out, (tuple, list)) else 0

    return rule
