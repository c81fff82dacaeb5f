"""Attention of the newest position to a cache of unrotated keys."""

from collections.abc import Iterator

import torch

from lina._core.errors import GradientError
from lina.torch.attention import flash
from lina.torch.attention.cache import RotaryCache
from lina.torch.attention.checks import check_scale, check_tensors, refuse_transforms
from lina.torch.attention.extrapolated import extrapolated_attention
from lina.torch.attention.merge import merge_attention
from lina.torch.attention.plans import PIECEWISE, far_positions, frequencies, row_runs, row_scale
from lina.torch.attention.rotation import rotate, table

# Position and frequencies of the query, keys as they are to be met, and which keys these are.
Segment = tuple[float, torch.Tensor, torch.Tensor, slice]


def decode_attention(q: torch.Tensor, cache: RotaryCache, *, scale: float | None = None) -> torch.Tensor:
    """Return attention of the last positions of a cache, whose keys and values are appended before.

    Parameters
    ----------
    q : Tensor, shape (batch, heads, m, head_dim)
        Queries of the last m positions, not rotated. One of them is met by keys that were rotated before; more go
        through `extrapolated_attention`.
    cache : RotaryCache
    scale : float, optional
        Factor on the logits, 1 / sqrt(head_dim) unless given.

    Returns
    -------
    Tensor, shape (batch, heads, m, head_dim)
        What `extrapolated_attention` of the whole sequence returns for these rows.

    Raises
    ------
    TypeError, ValueError
        If ``q`` is no such tensor or does not belong to what the cache holds, or that is empty.
    GradientError
        If a gradient by ``q`` would be recorded, in reverse or forward mode: the cache has none; in a transform of
        torch.func.

    Notes
    -----
    4 n heads head_dim operations for one query of n positions, of which one key is rotated at most twice; the schedule
    "row_bucket" rotates all of them again whenever the length doubles, the kind "dynamic" at every position beyond the
    trained length unless the cache has a ``length``. Source: J. Su, scientific spaces 9708 (the rotation goes on the
    query, so that far keys of ReRoPE need none).
    """
    if not isinstance(cache, RotaryCache):
        raise TypeError(f"cache must be a RotaryCache, got {type(cache).__name__}")
    k, v = cache.keys, cache.values
    check_tensors(q, k, v)
    refuse_transforms("decode_attention", q)
    if torch.is_grad_enabled() and q.requires_grad:
        raise GradientError("decode_attention has no gradient: call it under torch.no_grad() or on q.detach()")
    scale = check_scale(scale, q.shape[-1])
    if q.shape[-2] != 1 or q.numel() == 0:
        return extrapolated_attention(q, k, v, cache.scaling, scale=scale, start=cache.start, length=cache.length)
    # A compiler would compile anew at every length. The name is looked up here: it takes a second to import.
    one_query = torch.compiler.disable(_one_query) if torch.compiler.is_compiling() else _one_query
    with torch.no_grad(), torch.autocast(q.device.type, enabled=False):
        return one_query(q, v, cache, scale)


def _one_query(q: torch.Tensor, v: torch.Tensor, cache: RotaryCache, scale: float) -> torch.Tensor:
    """Attend to each segment of the keys; the queries of one head of keys are rows of one product."""
    n = len(cache)
    last = cache.start + n
    factor = row_scale(cache.scaling, last - 1, last, last if cache.length is None else cache.length)
    outs, lses = [], []
    for position, inv_freq, keys, seen in _segments(cache):
        at = torch.full((1,), position, dtype=torch.float64, device="cpu")
        turned = rotate(q, table(at, inv_freq, None if factor is None else factor[None], q), cache.scaling.layout)
        grouped = turned.view(q.shape[0], v.shape[1], -1, q.shape[-1])
        out, lse = flash.attend(grouped, keys, v[..., seen, :], False, scale)
        outs.append(out)
        lses.append(lse)
    out = outs[0] if len(outs) == 1 else merge_attention(outs, lses)[0]
    return out.reshape(q.shape)


def _segments(cache: RotaryCache) -> Iterator[Segment]:
    """Yield the sets of keys that the last row sees, each with positions of its own."""
    scaling, n = cache.scaling, len(cache)
    length = cache.start + n if cache.length is None else cache.length
    if scaling.kind not in PIECEWISE:
        ((_, _, seen),) = row_runs(scaling, n - 1, n, cache.start, length)
        inv_freq = frequencies(scaling, seen)
        yield n - 1, inv_freq, cache.rotated("all", inv_freq, _same, 0, n), slice(0, n)
        return
    inv_freq, near = frequencies(scaling, length), max(n - scaling.window, 0)
    yield n - 1, inv_freq, cache.rotated("near", inv_freq, _same, near, n), slice(near, n)
    sinks = min(scaling.sinks, near) if scaling.kind in ("sink", "lambda_mask") else near
    if scaling.kind == "window" or sinks == 0:
        return
    clipped = max(min(sinks, n - scaling.original_length), 0) if scaling.kind == "lambda_mask" else sinks
    if clipped:
        query, key = far_positions(scaling, cache.start)
        position = float(query(torch.tensor([n - 1.0], dtype=torch.float64, device="cpu")))
        keys = cache.keys[..., :clipped, :] if key is None else cache.rotated("far", inv_freq, key, 0, clipped)
        yield position, inv_freq, keys, slice(0, clipped)
    if clipped < sinks:
        yield n - 1, inv_freq, cache.rotated("sinks", inv_freq, _same, clipped, sinks), slice(clipped, sinks)


def _same(j: torch.Tensor) -> torch.Tensor:
    return j
