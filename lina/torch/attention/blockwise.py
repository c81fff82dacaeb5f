"""Attention by blocks of queries in plain torch, with its backward: for what no stock operator takes."""

from collections.abc import Iterator

import torch

# Rows of the logits that are held at once: enough for a product at full speed, few beside any length.
_ROWS = 256


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (output, logsumexp) of q (b, h, m, d) and k, v (b, g, n, d), the head count g a divisor of h.

    Causal attention has m = n. The logsumexp has the precision of the computation: float32 for half precisions.
    """
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    out, lse = q.new_empty(q.shape), q.new_empty(q.shape[:-1], dtype=wide)
    groups, keys, values = _grouped(q, k), k.to(wide), v.to(wide)
    out_groups, lse_groups = _grouped(out, k), _grouped(lse[..., None], k)
    for rows, seen in _row_blocks(q.shape[-2], k.shape[-2], causal):
        logits = _logits(groups, keys, rows, seen, causal, scale)
        lse_groups[..., rows, :] = torch.logsumexp(logits, -1, keepdim=True)
        weights = torch.exp(logits - lse_groups[..., rows, :])
        out_groups[..., rows, :] = (weights @ values[:, :, None, seen]).to(q.dtype)
    return out, lse


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
    """Return the gradients by q, k and v, where out and lse may be those of more keys than these."""
    wide = lse.dtype
    grad_q = torch.empty(q.shape, dtype=wide, device=q.device)
    grad_k, grad_v = (torch.zeros(x.shape, dtype=wide, device=x.device) for x in (k, v))
    keys, values = k.to(wide), v.to(wide)
    groups, grads, lse_groups, outs = (_grouped(x, k) for x in (q, grad, lse[..., None], out))
    grad_groups = _grouped(grad_q, k)
    for rows, seen in _row_blocks(q.shape[-2], k.shape[-2], causal):
        weights = torch.exp(_logits(groups, keys, rows, seen, causal, scale) - lse_groups[..., rows, :])
        g = grads[..., rows, :].to(wide)
        inner = (g * outs[..., rows, :].to(wide)).sum(-1, keepdim=True)
        by_logits = scale * weights * (g @ values[:, :, None, seen].mT - inner)
        grad_groups[..., rows, :] = by_logits @ keys[:, :, None, seen]
        grad_k[..., seen, :] += (by_logits.mT @ groups[..., rows, :].to(wide)).sum(2)
        grad_v[..., seen, :] += (weights.mT @ g).sum(2)
    return grad_q.to(q.dtype), grad_k.to(k.dtype), grad_v.to(v.dtype)


def _grouped(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Return a view (b, g, h / g, m, d): the heads that share a head of keys lie together."""
    return x.unflatten(1, (k.shape[1], -1))


def _row_blocks(rows: int, keys: int, causal: bool) -> Iterator[tuple[slice, slice]]:
    for start in range(0, rows, _ROWS):
        stop = min(start + _ROWS, rows)
        yield slice(start, stop), slice(0, stop if causal else keys)


def _logits(
    groups: torch.Tensor, keys: torch.Tensor, rows: slice, seen: slice, causal: bool, scale: float
) -> torch.Tensor:
    logits = scale * (groups[..., rows, :].to(keys.dtype) @ keys[:, :, None, seen].mT)
    if causal:
        hidden = torch.ones(logits.shape[-2:], dtype=torch.bool, device=keys.device).triu(rows.start + 1)
        logits = logits.masked_fill(hidden, -torch.inf)
    return logits
