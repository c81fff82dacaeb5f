"""Attention with rotary positions by its definition: one position for each pair, in float64."""

import numpy as np
import torch


def pair_positions(scaling, i, j):
    """Return the effective relative position of query i and key j (arrays), NaN where j is not seen."""
    m, w = i - j, scaling.window
    if scaling.kind == "rerope":
        P = np.where(m < w, m, w)
    elif scaling.kind == "leaky_rerope":
        P = np.where(m < w, m, w + (m - w) / scaling.factor)
    elif scaling.kind == "self_extend":
        G = scaling.group
        P = np.where(m < w, m, i // G - j // G + w - w // G)
    elif scaling.kind == "window":
        P = np.where(m < w, m, np.nan)
    elif scaling.kind == "sink":
        P = np.where(j < scaling.sinks, np.minimum(i, scaling.sinks + w - 1) - j, np.where(m < w, m, np.nan))
    elif scaling.kind == "lambda_mask":
        P = np.where(j < scaling.sinks, np.minimum(m, scaling.original_length), np.where(m < w, m, np.nan))
    else:
        P = m
    return np.where(m >= 0, P, np.nan)


def row_frequencies(scaling, position, length):
    """Return the frequencies with which the query at a position sees all keys."""
    if scaling.schedule == "row_bucket":
        length = scaling.original_length
        while length <= position:
            length *= 2
    return scaling.inv_freq(length)


def as_complex(x, scaling):
    """Return the rotated channels as complex numbers, and the others."""
    turned, rest = x[..., : scaling.rotary_dim], x[..., scaling.rotary_dim :]
    if scaling.layout == "interleaved":
        a, b = turned[..., 0::2], turned[..., 1::2]
    else:
        a, b = turned.chunk(2, -1)
    return torch.complex(a, b), rest


def attention_by_definition(q, k, v, scaling, *, start=0, length=None, rows=None, scale=None):
    """Return (out, lse) in float64 of the queries, the last of the sequence of keys, or of some ``rows`` of them."""
    q, k, v = (x.double() for x in (q, k, v))
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
    rows = range(q.shape[2]) if rows is None else rows
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    length = start + k.shape[2] if length is None else length
    j = np.arange(start, start + k.shape[2])
    keys, rest = as_complex(k, scaling)
    outs, lses = [], []
    for row in rows:
        i = start + k.shape[2] - q.shape[2] + row
        # A cache of sinks counts from its first key.
        shift = start if scaling.kind in ("sink", "lambda_mask") else 0
        P = torch.from_numpy(pair_positions(scaling, np.float64(i - shift), (j - shift).astype(float)))
        theta = torch.from_numpy(np.array(row_frequencies(scaling, i, length)))
        query, query_rest = as_complex(
            q[:, :, row, None] * float(scaling.query_scale(np.array([i]), length)[0]), scaling
        )
        angles = P.nan_to_num()[:, None] * theta
        logits = (query * torch.polar(torch.ones_like(angles), angles) * keys.conj()).real.sum(-1)
        logits = scale * (logits + (query_rest * rest).sum(-1))
        logits = logits.masked_fill(P.isnan(), -torch.inf)
        lses.append(torch.logsumexp(logits, -1))
        outs.append((torch.softmax(logits, -1)[..., None] * v).sum(-2))
    return torch.stack(outs, 2), torch.stack(lses, 2)
