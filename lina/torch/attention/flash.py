"""One attention call with its logsumexp, and its backward with any logsumexp: by the stock operators or by blocks.

The operators of torch that return a logsumexp are not public. They are named here only, tried once for each device and
dtype against `blockwise`, and left alone where they are missing or say anything else.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from lina.torch.attention import blockwise

Forward = Callable[..., tuple[torch.Tensor, torch.Tensor]]
Backward = Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]

_CHANNELS_ON_CUDA = 256  # more than these the operators refuse


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `blockwise.attend` does; causal attention is square and no length is 0, which kills the process."""
    forward, _ = _operators_for(q)
    return forward(_rows_contiguous(q), _rows_contiguous(k), _rows_contiguous(v), causal, scale)


def attend_backward(
    grad: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    out: torch.Tensor,
    lse: torch.Tensor,
    causal: bool,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what `blockwise.attend_backward` does, under the conditions of `attend`."""
    _, backward = _operators_for(q)
    q, k, v, grad, out = (_rows_contiguous(x) for x in (q, k, v, grad, out))
    return backward(grad, q, k, v, out, lse, causal, scale)


def _operators_for(q: torch.Tensor) -> tuple[Forward, Backward]:
    if q.is_cuda and q.shape[-1] > _CHANNELS_ON_CUDA:
        return blockwise.attend, blockwise.attend_backward
    return operators(q.device.type, q.dtype)


@cache
def operators(device: str, dtype: torch.dtype) -> tuple[Forward, Backward]:
    """Return the fastest pair that says what `blockwise` says."""
    plain = blockwise.attend, blockwise.attend_backward
    candidates = {"cpu": (_cpu, _cpu_backward), "cuda": (_cuda, _cuda_backward)}
    stock = candidates.get(device)
    if stock is None:
        return plain
    with torch.autocast(device, enabled=False):  # or the trial would be one of lower precision
        return stock if _agree(stock, plain, device, dtype) else plain


def _agree(stock: tuple[Forward, Backward], plain: tuple[Forward, Backward], device: str, dtype: torch.dtype) -> bool:
    """Whether two pairs agree on a small case with shared heads, where the logsumexp is that of more keys."""
    generator = torch.Generator("cpu").manual_seed(0)
    q, k, v, g = (torch.randn(2, h, 5, 16, generator=generator, device="cpu").to(device, dtype) for h in (4, 2, 2, 4))
    try:
        found, wanted = ([*pair[0](q, k, v, True, 0.3)] for pair in (stock, plain))
        lse = wanted[1] + 0.5
        for results, pair in ((found, stock), (wanted, plain)):
            results.extend(pair[1](g, q, k, v, wanted[0], lse, True, 0.3))
    except (AttributeError, RuntimeError, TypeError):
        return False
    near = 30 * torch.finfo(dtype).eps
    return all(x.shape == y.shape and torch.allclose(x, y, near, near) for x, y in zip(found, wanted, strict=True))


def _rows_contiguous(x: torch.Tensor) -> torch.Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _cpu(q: Any, k: Any, v: Any, causal: bool, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend; the operator takes a row for masked as long as it has met no logit but NaN and minus infinity.

    Such a row has one of these with the first key, which all rows see. Where no product can be one, none is.
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    norms = (float(torch.linalg.vector_norm(x, dtype=wide)) for x in (q, k.select(2, 0)))
    if not abs(scale) * math.prod(norms) <= torch.finfo(wide).max:
        return blockwise.attend(q, k, v, causal, scale)
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal, scale=scale)


def _cpu_backward(
    grad: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, causal: bool, scale: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    operator = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    return operator(grad, q, k, v, out, lse, 0.0, causal, scale=scale)


def _cuda(q: Any, k: Any, v: Any, causal: bool, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, causal, scale=scale)
    return out, lse[..., : q.shape[-2]]


def _cuda_backward(
    grad: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, causal: bool, scale: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    # Without dropout the state of the random numbers is not read, and dense tensors have no cumulative lengths.
    state = torch.zeros(2, dtype=torch.uint64, device=q.device)
    sizes = None, None, q.shape[-2], k.shape[-2]
    operator = torch.ops.aten._scaled_dot_product_flash_attention_backward
    return operator(grad, q, k, v, out, lse.contiguous(), *sizes, 0.0, causal, state, state[0], scale=scale)
