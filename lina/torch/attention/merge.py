"""Attention over several sets of keys, merged to that over all of them."""

from collections.abc import Sequence

import torch


def merge_attention(outs: Sequence[torch.Tensor], lses: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the attention over all keys from those over parts of them.

    Parameters
    ----------
    outs : sequence of Tensor, shape (..., m, d)
        Output of the same queries over each set of keys; no key may be in two sets. A row whose logsumexp is -inf is
        not read.
    lses : sequence of Tensor, shape (..., m)
        Logarithm, to the base e, of the sum of exp(logit) over each set; -inf where a row sees no key of it. It must
        have its gradient, as that of `extrapolated_attention` has: the one of torch's own operators has none, and then
        the gradients by queries and keys are wrong without an error.

    Returns
    -------
    out : Tensor, shape (..., m, d)
        In the dtype of the outputs; a row that sees no key at all is zero.
    lse : Tensor, shape (..., m)
        Both differentiable as often as the arguments.

    Raises
    ------
    TypeError
        If an entry is no floating-point tensor.
    ValueError
        If there are none, their numbers differ, or the shapes do not belong together.

    Notes
    -----
    Source: M. N. Rabe and C. Staats, Self-attention does not need O(n^2) memory, 2021. 3 m d operations a set.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import merge_attention
    >>> logits, v = torch.tensor([[0.3, 2.0, -1.0, 0.7]]), torch.eye(4)
    >>> sets = slice(0, 3), slice(3, 4)
    >>> outs = [torch.softmax(logits[:, s], -1) @ v[s] for s in sets]
    >>> out, lse = merge_attention(outs, [logits[:, s].logsumexp(-1) for s in sets])
    >>> torch.allclose(out, torch.softmax(logits, -1))
    True
    """
    _check(outs, lses)
    wide = torch.float64 if lses[0].dtype == torch.float64 else torch.float32
    stacked = torch.stack([lse.to(wide) for lse in lses])
    empty = torch.isneginf(stacked).all(0)
    total = torch.logsumexp(stacked.masked_fill(empty, 0.0), 0)  # which has no derivative where all are -inf
    weights = torch.exp(stacked - total)
    read = (x.to(wide).masked_fill(torch.isneginf(lse)[..., None], 0.0) for x, lse in zip(outs, lses, strict=True))
    out = sum(weight[..., None] * x for weight, x in zip(weights, read, strict=True))
    return out.to(outs[0].dtype), total.masked_fill(empty, -torch.inf)


def _check(outs: Sequence[torch.Tensor], lses: Sequence[torch.Tensor]) -> None:
    for name, given in (("outs", outs), ("lses", lses)):
        if not isinstance(given, (Sequence, torch.Tensor)):
            raise TypeError(f"{name} must be a sequence of tensors, got {type(given).__name__}")
    if len(outs) == 0 or len(outs) != len(lses):
        raise ValueError(f"outs and lses must have as many entries, at least one, got {len(outs)} and {len(lses)}")
    for name, entries in (("outs", outs), ("lses", lses)):
        for i, x in enumerate(entries):
            if not isinstance(x, torch.Tensor) or not x.is_floating_point():
                found = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
                raise TypeError(f"{name}[{i}] must be a floating-point tensor, got {found}")
    for i, (out, lse) in enumerate(zip(outs, lses, strict=True)):
        if out.shape != outs[0].shape or lse.shape != out.shape[:-1]:
            wanted = f"{tuple(outs[0].shape)} and {tuple(outs[0].shape[:-1])}"
            found = f"{tuple(out.shape)} and {tuple(lse.shape)}"
            raise ValueError(f"outs[{i}] and lses[{i}] must have the shapes {wanted}, got {found}")
