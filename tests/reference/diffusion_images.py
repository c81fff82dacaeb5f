"""Resampling, upsample guidance and distances of samples, one number at a time."""

import itertools
import math

import numpy as np


def block_means(x, scales):
    """Return the mean of each block of the last axes."""
    lead, space = x.shape[: x.ndim - len(scales)], x.shape[x.ndim - len(scales) :]
    small = tuple(n // s for n, s in zip(space, scales, strict=True))
    out = np.zeros((*lead, *small), dtype=x.dtype)
    for cell in itertools.product(*map(range, small)):
        block = tuple(slice(c * s, c * s + s) for c, s in zip(cell, scales, strict=True))
        out[(..., *cell)] = x[(..., *block)].reshape(*lead, -1).mean(axis=-1)
    return out


def cosine_resampled(row, size):
    """Return one row as the sum of its first cosines cos(pi k u), evaluated at ``size`` midpoints u of [0, 1]."""
    n, out = len(row), np.zeros(size, dtype=row.dtype)
    for k in range(min(n, size)):
        term = sum(row[j] * math.cos(math.pi * k * (j + 0.5) / n) for j in range(n)) * (1 if k == 0 else 2) / n
        # between orthonormal bases the terms of both grids have one scale: that of the mean
        out += [term * math.cos(math.pi * k * (j + 0.5) / size) for j in range(size)]
    return out


def guided_x0(x, x0_high, x0_low, w, down, up):
    """Return the guided clean image: the details of one model, the coarse image of the same at the lower resolution."""
    return x0_high + (1 + w) * up(x0_low - down(x0_high))


def wasserstein_1d(x, y, p):
    """Return the integral of |difference of quantiles|^p for sorted samples, over their common refinement."""
    x, y = np.sort(x), np.sort(y)
    n, m = len(x), len(y)
    levels = sorted({i / n for i in range(n + 1)} | {j / m for j in range(m + 1)})
    total = 0.0
    for a, b in itertools.pairwise(levels):
        middle = (a + b) / 2
        total += (b - a) * abs(x[int(middle * n)] - y[int(middle * m)]) ** p
    return total


def cubic_kernel(a, b):
    """Return (a . b / d + 1)^3."""
    return (float(a @ b) / len(a) + 1) ** 3


def unbiased_mmd(x, y):
    """Return the unbiased squared discrepancy by three double sums."""
    n, m = len(x), len(y)
    same_x = sum(cubic_kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    same_y = sum(cubic_kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return same_x + same_y - 2 * sum(cubic_kernel(a, b) for a in x for b in y) / (n * m)


def covered(points, centres, k):
    """Return the share of points that lie in a ball around a centre, of the radius to its k-th neighbour."""
    balls = [(c, sorted(np.linalg.norm(c - o) for o in centres)[k]) for c in centres]
    return np.mean([any(np.linalg.norm(p - c) <= r for c, r in balls) for p in points])


def radial_power(image):
    """Return the mean power in rings of width 1 around the zero frequency of one square image."""
    n = len(image)
    power = np.abs(np.fft.fft2(image)) ** 2 / n**2
    rings = {}
    for i, j in itertools.product(range(n), range(n)):
        radius = math.hypot(min(i, n - i), min(j, n - j))
        rings.setdefault(math.floor(radius + 0.5), []).append(power[i, j])
    return np.array([np.mean(rings[r]) for r in range(n // 2 + 1)])
