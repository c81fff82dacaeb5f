"""Attention of a whole sequence, or of its last part, under any scaling of rotary positions."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import pad

from lina._core.checks import check_option
from lina.torch.attention.checks import (
    check_lengths,
    check_scale,
    check_scaling,
    check_start,
    check_tensors,
    refuse_transforms,
)
from lina.torch.attention.merged import MergedAttention
from lina.torch.attention.plans import plan
from lina.torch.attention.rotation import working_dtype

Attend = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def extrapolated_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scaling: Any,
    *,
    scale: float | None = None,
    start: int = 0,
    length: int | None = None,
    lengths: Any = None,
    padding: str = "right",
    return_lse: bool = False,
) -> Any:
    """Return causal attention whose positions follow a scaling, from queries and keys that are not rotated.

    Kinds that act on positions, as ReRoPE, Leaky ReRoPE and Self-Extend, are a few plain causal attentions, merged by
    their logsumexp: as many products as one causal attention has, and memory linear in the length.

    Parameters
    ----------
    q : Tensor, shape (batch, heads, m, head_dim)
        Queries of the last m positions: fewer than keys in a prefill by parts, or beside a cache.
    k, v : Tensor, shape (batch, key_heads, n, head_dim)
        Keys and values of all positions so far; ``key_heads`` divides ``heads``, and each of them serves as many heads
        that follow each other. float64, float32, bfloat16 or float16, all three the same.
    scaling : RotaryScaling
        Of `lina.rope`.
    scale : float, optional
        Factor on the logits, 1 / sqrt(head_dim) unless given; that of the scaling comes in addition.
    start : int
        Position of the first key.
    length : int, optional
        The length that the frequencies are for, where they depend on one: of the kinds "dynamic" and "longrope" and in
        the schedule "local_static". For parts and single tokens to agree it must be the same in all calls, that of the
        whole; it is ``start + n`` unless given.
    lengths : sequence of int, shape (batch,), optional
        Number of positions of each sequence that are no padding, out of n.
    padding : {"right", "left"}
        On which side the padding is. Positions count from the first one that is none.
    return_lse : bool
        Whether to return the logsumexp as well.

    Returns
    -------
    out : Tensor, shape (batch, heads, m, head_dim)
        In the dtype of ``q``; zero where the query is padding.
    lse : Tensor, shape (batch, heads, m)
        With ``return_lse``: the logsumexp of the logits, float32 or float64; -inf where the query is padding.

    Raises
    ------
    TypeError
        If tensors are none, or their dtypes differ or are no floating-point ones; if a length is no int.
    ValueError
        If shapes do not belong together or with the scaling, or a length, ``start`` or ``padding`` is none of those.
    GradientError
        In forward mode, in a transform of torch.func, or for a second derivative.

    Notes
    -----
    2 n^2 heads head_dim products and sums for m = n. Gradients are exact, once: in reverse mode, also through ``lse``.
    Angles are computed in float64 and count from the rows of each block, so that distance, and not position, sets their
    precision. Logits of a row depend on the row and its keys only, so that a whole, its parts and its tokens agree.
    On the CPU, and in half precision on CUDA, the operators are those of torch; elsewhere blocks of products.
    Where torch.compile meets it, it runs uncompiled; the transforms of torch.func do not take it.

    Sources: J. Su, scientific spaces 9708 and 9728 (ReRoPE, Leaky ReRoPE); H. Jin et al., LLM Maybe LongLM, 2024
    (Self-Extend); G. Xiao et al., Efficient streaming language models with attention sinks, 2023; C. Han et al.,
    LM-Infinite, 2023.

    Examples
    --------
    >>> import torch
    >>> from lina.rope import RotaryScaling
    >>> from lina.torch import extrapolated_attention
    >>> scaling = RotaryScaling("rerope", head_dim=16, original_length=64, window=32)
    >>> q, k, v = torch.randn(1, 4, 200, 16), torch.randn(1, 2, 200, 16), torch.randn(1, 2, 200, 16)
    >>> extrapolated_attention(q, k, v, scaling).shape
    torch.Size([1, 4, 200, 16])
    """
    check_tensors(q, k, v)
    check_scaling(scaling, q.shape[-1])
    start, length = check_start(start, length)
    check_option(padding, ("right", "left"), "padding")
    scale = check_scale(scale, q.shape[-1])
    counts = [] if lengths is None else check_lengths(lengths, k)
    refuse_transforms("extrapolated_attention", q, k, v)
    if scale <= 0:  # the operators multiply the minus infinities of their mask as well
        q, scale = (-q, -scale) if scale else (0 * q, 1.0)

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return _attend(q, k, v, scaling, scale, start, length)

    out, lse = _padded(q, k, v, counts, padding, attend) if counts else attend(q, k, v)
    return (out, lse) if return_lse else out


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scaling: Any, scale: float, start: int, length: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return output and logsumexp; what is empty does not reach the operators, which it would kill."""
    if q.numel() == 0:
        out = q + 0 * (k.sum() + v.sum())  # of which all have a gradient, of zeros
        return out, out.sum(-1).to(working_dtype(q))
    # A compiler would trace the trial of the operators. The name is looked up here: it takes a second to import.
    merged = torch.compiler.disable(_merged) if torch.compiler.is_compiling() else _merged
    return merged(q, k, v, scaling, scale, start, length)


def _merged(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scaling: Any, scale: float, start: int, length: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    n = k.shape[-2]
    with torch.autocast(q.device.type, enabled=False):
        return MergedAttention.apply(q, k, v, plan(scaling, n - q.shape[-2], n, start, length), scale)


def _padded(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lengths: list[int], padding: str, attend: Attend
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend without the padding: sequences of one length together, none of what the padding holds is read."""
    m, n = q.shape[-2], k.shape[-2]
    order: list[int] = []
    outs, lses = [], []
    for length in sorted(set(lengths)):
        members = [i for i, each in enumerate(lengths) if each == length]
        order += members
        begin = n - length if padding == "left" else 0
        first = min(max(begin - (n - m), 0), m)
        last = max(begin + length - (n - m), first)
        out, lse = attend(q[members, :, first:last], *(x[members, :, begin : begin + length] for x in (k, v)))
        outs.append(pad(out, (0, 0, first, m - last)))
        lses.append(pad(lse, (first, m - last), value=-torch.inf))
    place = torch.tensor(order, device=q.device).argsort()
    return torch.cat(outs)[place], torch.cat(lses)[place]
