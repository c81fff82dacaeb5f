"""An energy of points with masses: its value, the velocity down it, and the divergence of that."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from array_api_compat import device

from lina._core.array import scalar

# Numbers in one block of pairs.
_BLOCK = 2**20


class State(NamedTuple):
    """The points (n, d), the velocity there, and what is known about them."""

    x: Any
    velocity: Any
    divergence: Any
    energy: float
    dissipation: float


class Pairs:
    """All pairs of points in blocks of rows: (start, differences (b, n, d), Gaussian kernel (b, n) or None)."""

    def __init__(self, xp: Any, x: Any, bandwidth: float | None) -> None:
        self.xp, self.x, self.bandwidth = xp, x, bandwidth
        n, d = x.shape
        self._rows = max(1, min(n, _BLOCK // max(1, n * d)))
        self._only = self._block(0) if self._rows == n else None

    def __iter__(self) -> Iterator[tuple[int, Any, Any]]:
        if self._only is not None:
            yield self._only
            return
        for start in range(0, self.x.shape[0], self._rows):
            yield self._block(start)

    def _block(self, start: int) -> tuple[int, Any, Any]:
        z = self.x[start : start + self._rows, None, :] - self.x[None, :, :]
        if self.bandwidth is None:
            return start, z, None
        kernel = self.xp.exp(-inner(self.xp, z, z) / (2 * self.bandwidth**2))
        return start, z, kernel * (2 * math.pi * self.bandwidth**2) ** (-z.shape[-1] / 2)


def inner(xp: Any, y: Any, z: Any) -> Any:
    """Return the inner products over the last axis; a product with ones is faster than a sum over a short axis."""
    return xp.matmul(y * z, xp.ones(z.shape[-1], dtype=z.dtype, device=device(z)))


def weighted_sums(xp: Any, weights: Any, z: Any) -> Any:
    """Return the sums (b, d) of z (b, n, d) with ``weights`` (b, n) over the second axis."""
    return xp.matmul(weights[:, None, :], z)[:, 0, :]


class ParticleEnergy:
    """The energy of points; a diffusion sees the density blurred by a Gaussian of width ``bandwidth`` (the blob)."""

    def __init__(self, xp: Any, energy: Any, weights: Any, line: bool, bandwidth: float | None) -> None:
        self.xp, self.energy, self.weights, self.line = xp, energy, weights, line
        self.bandwidth = bandwidth if energy.diffusions else None

    def at(self, x: Any, with_divergence: bool = False) -> State:
        """Return the state in ``x`` (n, d), its divergence only if asked for."""
        xp, w = self.xp, self.weights
        value, velocity = 0.0, xp.zeros_like(x)
        divergence = xp.zeros(x.shape[0], dtype=x.dtype, device=device(x)) if with_divergence else None
        parts = [self._potential(x, with_divergence)]
        if self.energy.interactions or self.energy.diffusions:
            pairs = Pairs(xp, x, self.bandwidth)
            parts += [self._interaction(pairs, with_divergence)] if self.energy.interactions else []
            parts += [self._blob(pairs, with_divergence)] if self.energy.diffusions else []
        for per_point, v, div in parts:
            value += scalar(xp.sum(w * per_point))
            velocity = velocity + v
            divergence = divergence + div if with_divergence else None
        dissipation = scalar(xp.sum(w * xp.sum(velocity**2, axis=-1)))
        return State(x, velocity, divergence, value, dissipation)

    def _potential(self, x: Any, with_divergence: bool) -> tuple[Any, Any, Any]:
        value, velocity, divergence = self.xp.zeros_like(x[:, 0]), self.xp.zeros_like(x), self.xp.zeros_like(x[:, 0])
        for term in self.energy.potentials:
            value = value + term.weight * term.field.value_at(x, self.line)
            velocity = velocity - term.weight * term.field.gradient_at(x, self.line)
            if with_divergence:
                divergence = divergence - term.weight * term.field.laplacian_at(x, self.line)
        return value, velocity, divergence

    def _interaction(self, pairs: Pairs, with_divergence: bool) -> tuple[Any, Any, Any]:
        """Sum over the other points; those that coincide do not see each other."""
        xp, w, rows = self.xp, self.weights, []
        for _, z, _ in pairs:
            apart = xp.any(z != 0, axis=-1)
            safe = xp.where(apart[..., None], z, xp.ones_like(z))
            seen = xp.where(apart, w[None, :], xp.zeros_like(w)[None, :])
            value, velocity = xp.zeros_like(z[:, 0, 0]), xp.zeros_like(z[:, 0, :])
            divergence = xp.zeros_like(value)
            for term in self.energy.interactions:
                value = value + term.weight / 2 * xp.sum(seen * term.field.value_at(safe, self.line), axis=1)
                slopes = term.field.gradient_at(safe, self.line)
                velocity = velocity - term.weight * weighted_sums(xp, seen, slopes)
                if with_divergence:
                    curved = term.field.laplacian_at(safe, self.line)
                    divergence = divergence - term.weight * xp.sum(seen * curved, axis=1)
            rows.append((value, velocity, divergence))
        return self._joined(rows)

    def _blob(self, pairs: Pairs, with_divergence: bool) -> tuple[Any, Any, Any]:
        """Go down the sum of w f(rho) with rho = sum of w phi: both the blur at a point and its part in others."""
        xp, w = self.xp, self.weights
        rho = xp.concat([xp.sum(w[None, :] * kernel, axis=1) for _, _, kernel in pairs])
        value = sum(term.per_mass(xp, rho) for term in self.energy.diffusions)
        slope = sum(term.per_mass_slope(xp, rho) for term in self.energy.diffusions)
        variance = self.bandwidth**2  # type: ignore[operator]
        rows = []
        for start, z, kernel in pairs:
            mine = slope[start : start + z.shape[0], None]
            push = w[None, :] * kernel * (mine + slope[None, :]) / variance
            velocity = weighted_sums(xp, push, z)
            divergence = xp.zeros_like(velocity[:, 0])
            if with_divergence:
                here = rho[start : start + z.shape[0]]
                curved = sum(term.per_mass_curvature(xp, here) for term in self.energy.diffusions)
                rise = weighted_sums(xp, w[None, :] * kernel, z) / variance
                spread = z.shape[-1] - inner(xp, z, z) / variance
                divergence = xp.sum(push * spread, axis=1) - curved * xp.sum(rise**2, axis=-1)
            rows.append((xp.zeros_like(velocity[:, 0]), velocity, divergence))
        _, velocity, divergence = self._joined(rows)
        return value, velocity, divergence

    def _joined(self, rows: list[tuple[Any, Any, Any]]) -> tuple[Any, Any, Any]:
        value, velocity, divergence = (self.xp.concat(list(each), axis=0) for each in zip(*rows, strict=True))
        return value, velocity, divergence
