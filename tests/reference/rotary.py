"""Rotary positions one number at a time, as they are printed."""

import cmath
import math

import numpy as np


def frequency(kind, i, d, L, base=10000.0, s=1.0, low=1.0, high=32.0, exponent=0.625, length=None):
    """Return frequency i of a kind whose formula needs no list and no ramp over indices."""
    theta = base ** (-2 * i / d)
    if kind == "linear":
        return theta / s
    if kind == "ntk":
        return (base * s ** (d / (d - 2))) ** (-2 * i / d)
    if kind == "ntk_fixed":  # n / (lambda (beta lambda)^i) with beta = base^(2/d)
        beta, lam = base ** (2 / d), s ** (2 / d)
        return 1 / (lam * (beta * lam) ** i)
    if kind == "ntk_mixed":
        a = math.log(s) / (d / 2) ** exponent
        return theta / math.exp(a * (i + 1) ** exponent)
    if kind == "dynamic":
        growth = s * max(length or L, L) / L - (s - 1)
        return (base * growth ** (d / (d - 2))) ** (-2 * i / d)
    if kind == "turns":
        kept = min(max((L * theta / (2 * math.pi) - low) / (high - low), 0), 1)
        return (kept + (1 - kept) / s) * theta
    return theta


def yarn_by_dims(d, L, base, s, slow, fast):
    """Return the frequencies of YaRN whose ramp runs over whole indices."""
    at = [d * math.log(L / (2 * math.pi * r)) / (2 * math.log(base)) for r in (fast, slow)]
    low, high = max(math.floor(at[0]), 0), min(math.ceil(at[1]), d - 1)
    out = []
    for i in range(d // 2):
        ramp = min(max((i - low) / (high - low if high > low else 0.001), 0), 1)
        theta = base ** (-2 * i / d)
        out.append(theta * (1 - ramp) + theta / s * ramp)
    return np.array(out)


def relative_position(kind, i, j, w=None, k=None, G=None, sinks=0, L=None):
    """Return the position that query i gives key j, NaN where it is not seen."""
    m = i - j
    if m < 0:
        return math.nan
    if m < w:
        return m
    if kind == "rerope":
        return w
    if kind == "leaky_rerope":
        return w + (m - w) / k
    if kind == "self_extend":
        return i // G + w - w // G - j // G
    if kind == "window" or j >= sinks:
        return math.nan
    if kind == "lambda_mask":
        return min(m, L)
    kept = [*range(sinks), *range(max(sinks, i - w + 1), i + 1)]  # the cache of "sink" when query i is its last entry
    return kept.index(i) - kept.index(j)


def rotated(x, position, inv_freq, layout="half"):
    """Return one row, turned pair by pair as complex numbers."""
    r, out = len(inv_freq), np.array(x, dtype=float)
    for n, theta in enumerate(inv_freq):
        a, b = (n, n + r) if layout == "half" else (2 * n, 2 * n + 1)
        turned = complex(x[a], x[b]) * cmath.exp(1j * position * theta)
        out[a], out[b] = turned.real, turned.imag
    return out


def logits(q, k, P, inv_freq):
    """Return the logits of an explicit matrix of relative positions, minus infinity where it is NaN."""
    out = np.full(P.shape, -np.inf)
    for i, j in np.argwhere(~np.isnan(P)):
        out[i, j] = rotated(q[i], P[i, j], inv_freq) @ k[j]
    return out
