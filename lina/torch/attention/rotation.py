"""Rotations of queries and keys by tables whose angles are computed in float64."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Table:
    """Cosines and sines (..., rows, pairs), times a factor on each row; ``rest`` is it for what is not rotated."""

    cos: torch.Tensor
    sin: torch.Tensor
    rest: torch.Tensor | None = None


def table(positions: torch.Tensor, inv_freq: torch.Tensor, scale: torch.Tensor | None, like: torch.Tensor) -> Table:
    """Return the table of positions (rows,) and frequencies (pairs,), both float64 on the CPU, for x ``like``.

    ``scale`` (runs, rows) multiplies each row in addition, and the table has runs then: it broadcasts to
    (runs, heads, rows, pairs).
    """
    angles = positions[:, None] * inv_freq
    factors = [torch.cos(angles), torch.sin(angles)]
    if scale is not None:
        rest = scale[:, None, :, None]
        factors = [rest * factors[0], rest * factors[1], rest]
    return Table(*(x.to(like.device, working_dtype(like)) for x in factors))


def working_dtype(x: torch.Tensor) -> torch.dtype:
    """Return the dtype of what is between two roundings: float32 for half precisions."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def rotate(x: torch.Tensor, turn: Table, layout: str, *, back: bool = False) -> torch.Tensor:
    """Return x (..., rows, channels) with its first channels rotated, contiguous; with ``back`` by the adjoint.

    The layout "half" pairs channel i with i + pairs, "interleaved" 2 i with 2 i + 1.
    """
    wide = x.to(turn.cos.dtype)
    y = torch.empty(x.shape, dtype=wide.dtype, device=x.device)
    rotated = 2 * turn.cos.shape[-1]
    a, b = _pairs(wide[..., :rotated], layout)
    c, d = _pairs(y[..., :rotated], layout)
    sign = -1 if back else 1
    torch.mul(a, turn.cos, out=c).addcmul_(b, turn.sin, value=-sign)
    torch.mul(b, turn.cos, out=d).addcmul_(a, turn.sin, value=sign)
    if rotated < x.shape[-1]:
        left = wide[..., rotated:]
        y[..., rotated:] = left if turn.rest is None else left * turn.rest
    return y.to(x.dtype)


def _pairs(x: torch.Tensor, layout: str) -> tuple[torch.Tensor, torch.Tensor]:
    if layout == "interleaved":
        return x[..., 0::2], x[..., 1::2]
    first, second = x.chunk(2, -1)
    return first, second
