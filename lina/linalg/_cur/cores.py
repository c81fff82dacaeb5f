"""The middle of a CUR decomposition, and the factors through which it is applied."""

import math
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import adjoint, divide, dtype_name, epsilon, frobenius, scalar, to_numpy
from lina.linalg._residual import projection_error, residual_norm
from lina.linalg._thin_svd import thin_svd

CORES = ("stable", "projection", "intersection")


class Basis(NamedTuple):
    """A matrix as Q diag(s) Vh over its counted singular values; ``gap`` is how far the others are from the cutoff."""

    Q: Any
    s: Any
    Vh: Any
    gap: float

    @property
    def rank(self) -> int:
        """Number of singular values counted."""
        return int(self.s.shape[0])

    @property
    def condition(self) -> float:
        """Largest over smallest counted singular value, 1 where none counts."""
        return scalar(self.s[0]) / scalar(self.s[-1]) if self.rank else 1.0


class Core(NamedTuple):
    """``core`` (c, r) and its distance from left @ right, the approximation itself."""

    core: Any
    left: Any
    right: Any
    error: float
    core_error: float
    rank: int


def basis(xp: Any, C: Any, rtol: float) -> Basis:
    """Return the singular triplets of ``C`` (m, c) above ``rtol`` times the largest; 6 m c^2 + 22 c^3 flops."""
    U, s, Vh, _ = thin_svd(xp, C)
    values = to_numpy(s).astype(np.float64)
    cut = rtol * values[0]
    rank = int(np.sum(values > cut))
    gap = math.inf if cut == 0.0 else values[rank - 1] / cut
    if rank < len(values) and values[rank] > 0.0:
        gap = min(gap, cut / values[rank])
    return Basis(U[:, :rank], s[:rank], Vh[:rank, :], float(gap))


def pseudo_inverse(xp: Any, W: Basis) -> Any:
    """Return the pseudo-inverse of the matrix that ``W`` stands for."""
    return (adjoint(xp, W.Vh) / xp.astype(W.s, W.Q.dtype)) @ adjoint(xp, W.Q)


def projection_core(xp: Any, A: Any, norm: float, C: Any, R: Any, rtol: float, *, stable: bool) -> Core:
    """Return the core C^+ A R^+, the best for these columns and rows: A projected on both ranges.

    With Q_C and Q_R orthonormal and B = Q_C^H A Q_R the approximation is Q_C B Q_R^H. Cost 4 m n c flops.
    """
    left, right = basis(xp, C, rtol), basis(xp, adjoint(xp, R), rtol)
    B = (adjoint(xp, left.Q) @ A) @ right.Q
    core = joined(xp, left, B, right)
    rank = min(left.rank, right.rank)
    rounding = multiplication_rounding(xp, C, core, R)
    if not stable:
        return _multiplied(xp, A, C, core, R, rank)
    s_left, s_right = xp.astype(left.s, A.dtype), xp.astype(right.s, A.dtype)
    again = (s_left[:, None] * left.Vh) @ core @ (adjoint(xp, right.Vh) * s_right)
    core_error = scalar(frobenius(xp, again - B)) + rounding
    wide = B @ adjoint(xp, right.Q)
    error = projection_error(xp, A, norm, frobenius(xp, B), left.Q, wide)
    return Core(core, left.Q, wide, error, core_error, rank)


def joined(xp: Any, left: Basis, B: Any, right: Basis) -> Any:
    """Return the core with C core R = left.Q B right.Q^H for the C and R^H that the bases stand for."""
    s_left, s_right = xp.astype(left.s, B.dtype), xp.astype(right.s, B.dtype)
    return adjoint(xp, left.Vh) @ (B / s_left[:, None] / s_right) @ right.Vh


def intersection_core(xp: Any, A: Any, C: Any, W: Basis, R: Any) -> Core:
    """Return the core W^+, which needs no entry of A but those of C and R; 2 m n c flops for the error alone."""
    return _multiplied(xp, A, C, pseudo_inverse(xp, W), R, W.rank)


def _multiplied(xp: Any, A: Any, C: Any, core: Any, R: Any, rank: int) -> Core:
    right = core @ R
    error = residual_norm(xp, A, C, right)
    return Core(core, C, right, error, multiplication_rounding(xp, C, core, R), rank)


def multiplication_rounding(xp: Any, C: Any, core: Any, R: Any) -> float:
    """Return a bound of what rounding costs in C @ core @ R, in whichever order."""
    return 4 * epsilon(C) * math.prod(scalar(frobenius(xp, each)) for each in (C, core, R))


def unscale(xp: Any, core: Any, scale: float, name: str) -> Any:
    """Return the core of a matrix that was divided by ``scale``, a power of two."""
    if scale == 1.0:
        return core
    with np.errstate(over="ignore"):
        core = divide(core, scale)
    if not bool(xp.all(xp.isfinite(core))):
        raise OverflowError(f"{name} must not be so small that the core of its CUR overflows {dtype_name(core)}")
    return core
