"""A singular value decomposition under a change of the matrix: all but a small core happens in orthonormal bases.

U diag(s) Vt + C D^H = [U P] core [V Q]^H, where P and Q are what is new in C and D (Brand, Linear Algebra Appl. 415
(2006) 20). Appended and deleted rows have such a form too; columns are rows of the transpose. Whether the bases are
orthonormal to the last digit does not enter the distance between the old factors, changed, and the new ones.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from lina._core.array import (
    adjoint,
    check_finite,
    dtype_name,
    epsilon,
    frobenius,
    from_numpy,
    host_array,
    is_lazy,
    open_door,
    real_dtype,
    scalar,
    to_numpy,
)
from lina._core.random import gaussian
from lina.linalg._norms import norm2_upper
from lina.linalg._orthonormal import cholesky, gram, triangular_inverse

# Orthonormal columns may drift this many eps (times sqrt(k)) from it before they are made orthonormal again.
_DRIFT = 100.0
# What is left of the rows of an orthonormal basis is orthonormalised through its Gram matrix up to this condition.
_KEPT_CONDITION = 4.0


class Factors(NamedTuple):
    """The matrix U diag(s) Vt: orthonormal columns (m, k), descending (k,), orthonormal rows (k, n)."""

    U: Any
    s: Any
    Vt: Any

    def transposed(self, xp: Any) -> "Factors":
        """Return the factors of the plain transpose."""
        return Factors(xp.matrix_transpose(self.Vt), self.s, xp.matrix_transpose(self.U))


class Change(NamedTuple):
    """The changed matrix over 2^exponent: ``left(core) @ right``, both orthonormal, applied to blocks of coefficients.

    ``size`` is the sum of the Frobenius norms that went through the arithmetic, ``peak`` the largest 2-norm, and
    ``lost`` what was left out as rounding, all of them over 2^exponent.
    """

    core: Any
    left: Callable[[Any], Any]
    right: Callable[[Any], Any]
    exponent: int
    size: float
    peak: float
    lost: float


class Terms(NamedTuple):
    """The core's Z diag(s) Yt and the norm of what that misses; its values and the peak, over 1 and not 2^exponent."""

    Z: Any
    s: Any
    Yt: Any
    missed: float
    values: list[float]
    peak: float


class Changed(NamedTuple):
    """New factors, the Frobenius norm of the terms left out, and a bound of the rounding."""

    factors: Factors
    dropped: float
    rounding: float


def open_block(F: Factors, value: Any, name: str, shape: tuple[int | None, int | None]) -> tuple[Any, Any]:
    """Return (xp, block): ``value`` as a checked matrix of the precision of ``F``; None in ``shape`` is any number.

    A vector is one column, or one row where ``shape`` asks for rows.
    """
    xp, U, block = open_door(F=F.U, **{name: value})
    check_finite(xp, block, name)
    if is_lazy(block) or is_lazy(U):
        raise ValueError(f"{name} must have values that can be looked at, got a traced or lazy array")
    given = tuple(block.shape)
    if block.ndim == 1:
        block = block[:, None] if shape[1] is None else block[None, :]
    if block.ndim != 2 or any(want not in (None, got) for want, got in zip(shape, block.shape, strict=True)):
        wanted = f"({shape[0] or 'any'}, {shape[1] or 'any'})"
        raise ValueError(f"{name} must have shape {wanted}, got {given}")
    dtype = real_dtype(xp, U)
    if dtype_name(block).startswith("complex"):
        dtype = xp.complex128 if epsilon(U) == 2.0**-52 else xp.complex64
    with np.errstate(over="ignore"):
        block = xp.astype(block, dtype)
    if not bool(xp.all(xp.isfinite(block))):
        raise OverflowError(f"{name} must have entries in the range of {dtype_name(block)}, the precision of F")
    return xp, block


def kept_and_gone(like: Any, indices: Any, size: int, name: str) -> tuple[Any, Any]:
    """Return the indices in 0..size-1 that are not in ``indices`` and those that are, each once, ascending."""
    found = np.atleast_1d(host_array(indices, name))
    if found.size and found.dtype.kind not in "iu":
        raise TypeError(f"{name} must be ints, got dtype {found.dtype}")
    if found.ndim != 1:
        raise ValueError(f"{name} must be one int or a sequence of ints, got shape {found.shape}")
    if found.size and not (-size <= found.min() and found.max() < size):
        raise ValueError(f"{name} must be in {-size}..{size - 1}, got {found.min()}..{found.max()}")
    gone = np.unique(found.astype(np.int64) % size)
    if gone.size == size:
        raise ValueError(f"{name} must leave something, got all of 0..{size - 1}")
    xp, kept = array_namespace(like), np.setdiff1d(np.arange(size), gone)
    return xp.asarray(kept, device=device(like)), xp.asarray(gone, device=device(like))


def add_product(xp: Any, F: Factors, C: Any, D: Any) -> Change:
    """Return F + C @ D^H for ``C`` (m, p) and ``D`` (n, p)."""
    F, C, D = _one_dtype(xp, F, C, D)
    exponents = _exponents(xp, C) + _exponents(xp, D)
    exponent = max(int(exponents.max()), _exponent(xp, F.s))
    # each pair of columns gets one size: what is small in C may be large in D
    half = (exponents - exponent) // 2
    C = times_power(C, half - _exponents(xp, C))
    D = times_power(D, exponents - exponent - half - _exponents(xp, D))
    s = times_power(F.s, -exponent)
    P, H, lost = _extend(xp, F.U, C)
    Q, J, lost_too = _extend(xp, adjoint(xp, F.Vt), D)
    Qt = adjoint(xp, Q)
    norm_C, norm_D = scalar(frobenius(xp, C)), scalar(frobenius(xp, D))
    core = _diagonal(xp, s, H.shape[0], J.shape[0], C) + H @ adjoint(xp, J)
    k = s.shape[0]

    def left(Z: Any) -> Any:
        return F.U @ Z[:k, :] + P @ Z[k:, :]

    def right(Zt: Any) -> Any:
        return Zt[:, :k] @ F.Vt + Zt[:, k:] @ Qt

    size = scalar(frobenius(xp, s)) + norm_C * norm_D
    peak = max(_largest(s), norm2_upper(xp, H) * norm2_upper(xp, J))
    return Change(core, left, right, exponent, size, peak, lost * norm_D + lost_too * norm_C)


def append_rows(xp: Any, F: Factors, rows: Any) -> Change:
    """Return F with ``rows`` (r, n) below it."""
    F, rows = _one_dtype(xp, F, rows)
    exponent = max(_exponent(xp, rows), _exponent(xp, F.s))
    rows, s = times_power(rows, -exponent), times_power(F.s, -exponent)
    Q, J, lost = _extend(xp, adjoint(xp, F.Vt), adjoint(xp, rows))
    Qt = adjoint(xp, Q)
    k = s.shape[0]
    core = xp.concat([_diagonal(xp, s, k, J.shape[0], rows), adjoint(xp, J)], axis=0)

    def left(Z: Any) -> Any:
        return xp.concat([F.U @ Z[:k, :], Z[k:, :]], axis=0)

    def right(Zt: Any) -> Any:
        return Zt[:, :k] @ F.Vt + Zt[:, k:] @ Qt

    return Change(core, left, right, exponent, scalar(frobenius(xp, core)), _largest(s), lost)


def delete_rows(xp: Any, F: Factors, kept: Any, gone: Any) -> Change:
    """Return F without the rows ``gone``, indices as well as ``kept``."""
    exponent = _exponent(xp, F.s)
    s = times_power(F.s, -exponent)
    rest = xp.take(F.U, kept, axis=0)
    inverse = _inverse_of_rest(xp, xp.take(F.U, gone, axis=0))
    if inverse is None:
        basis, R = xp.linalg.qr(rest)
    else:
        basis, R = rest, _upper_inverse(xp, inverse)

    def left(Z: Any) -> Any:
        return basis @ Z if inverse is None else basis @ (inverse @ Z)

    core = R * xp.astype(s, R.dtype)[None, :]
    return Change(core, left, lambda Zt: Zt @ F.Vt, exponent, scalar(frobenius(xp, s)), _largest(s), 0.0)


def _inverse_of_rest(xp: Any, gone: Any) -> Any | None:
    """Return R^-1 with rest^H rest = R^H R, from the rows ``gone`` (r, k) alone: rest^H rest = I - gone^H gone.

    None where the rest is too far from orthonormal for that.
    """
    identity = xp.eye(gone.shape[1], dtype=gone.dtype, device=device(gone))
    L = cholesky(xp, identity - gram(xp, gone)) if gone.shape[1] else None
    if L is None:
        return None
    inverse = triangular_inverse(xp, L)
    return adjoint(xp, inverse) if norm2_upper(xp, inverse) <= _KEPT_CONDITION else None


def _upper_inverse(xp: Any, R: Any) -> Any:
    """Return the inverse of an upper triangular matrix (n, n)."""
    return adjoint(xp, triangular_inverse(xp, adjoint(xp, R)))


def decompose(xp: Any, change: Change) -> Terms:
    """Return the singular triplets of the core, 22 (k + p)^3 flops."""
    if change.exponent > 1023:
        raise OverflowError("the changed matrix must have a norm below 2^1023, found a larger one")
    core, unit = change.core, 2.0**change.exponent
    if 0 in core.shape:
        none = xp.zeros((0,), dtype=real_dtype(xp, core), device=device(core))
        return Terms(core[:, :0], none, core[:0, :], 0.0, [], change.peak * unit)
    Z, s, Yt, missed = _measured_svd(xp, core)
    return Terms(Z, s, Yt, missed, [value * unit for value in to_numpy(s).tolist()], change.peak * unit)


def assemble(xp: Any, change: Change, terms: Terms, r: int) -> Changed:
    """Return the leading ``r`` terms of the changed matrix, 2 (m + n) (k + p) r flops."""
    Z, s, Yt, missed, values, _ = terms
    F = Factors(change.left(Z[:, :r]), s[:r], change.right(Yt[:r, :]))
    if r > 0 and max(_drift(xp, F.U), _drift(xp, adjoint(xp, F.Vt))) > _DRIFT * r**0.5 * epsilon(s):
        F, more = _orthonormal_again(xp, F)
        missed += more
    # k-term products err like sqrt(k) eps (Higham, Mary, SIAM J. Sci. Comput. 41 (2019) A2815)
    rounding = 4 * epsilon(s) * (4 + math.sqrt(max(change.core.shape))) * change.size + change.lost + missed
    s = times_power(F.s, change.exponent)
    if not bool(xp.all(xp.isfinite(s))):
        raise OverflowError(f"the changed matrix must not be so large that its 2-norm overflows {dtype_name(s)}")
    return Changed(F._replace(s=s), math.hypot(*values[r:]), rounding * 2.0**change.exponent)


def _extend(xp: Any, U: Any, C: Any) -> tuple[Any, Any, float]:
    """Return (P, H, lost): C = [U P] @ H up to the Frobenius norm ``lost``, P orthonormal and orthogonal to U.

    Directions of C - U U^H C at the level of its rounding are left out: to normalise them would bring U back in.
    """
    H = adjoint(xp, U) @ C
    W = C - U @ H
    Q, R = xp.linalg.qr(W)
    Z, sizes, Yt = xp.linalg.svd(R, full_matrices=False)
    noise = 10 * epsilon(C) * math.sqrt(U.shape[1] + 1) * scalar(frobenius(xp, C))
    values = to_numpy(sizes).tolist()
    fresh = min(sum(value > noise for value in values), U.shape[0] - U.shape[1])
    lost = math.hypot(*values[fresh:])
    P = Q @ Z[:, :fresh]
    if fresh == 0:
        return P, H, lost
    R = xp.astype(sizes[:fresh], C.dtype)[:, None] * Yt[:fresh, :]
    again = adjoint(xp, U) @ P
    P, T = xp.linalg.qr(P - U @ again)
    return P, xp.concat([H + again @ R, T @ R], axis=0), lost


def _drift(xp: Any, U: Any) -> float:
    """Return norm(U^H U - I, "fro") as four random vectors see it, right within a factor 2 as a rule."""
    x = gaussian(np.random.default_rng(0), (U.shape[1], 4), U)
    return scalar(frobenius(xp, adjoint(xp, U) @ (U @ x) - x)) / 2


def _orthonormal_again(xp: Any, F: Factors) -> tuple[Factors, float]:
    Q, R = xp.linalg.qr(F.U)
    P, L = xp.linalg.qr(adjoint(xp, F.Vt))
    Z, s, Yt, missed = _measured_svd(xp, (R * xp.astype(F.s, R.dtype)[None, :]) @ adjoint(xp, L))
    return Factors(Q @ Z, s, Yt @ adjoint(xp, P)), missed


def _measured_svd(xp: Any, K: Any) -> tuple[Any, Any, Any, float]:
    """Return (Z, s, Yt, norm(K - Z diag(s) Yt, "fro")): LAPACK's iteration may err by more than any sqrt(k) eps."""
    Z, s, Yt = xp.linalg.svd(K, full_matrices=False)
    return Z, s, Yt, scalar(frobenius(xp, K - (Z * xp.astype(s, Z.dtype)[None, :]) @ Yt))


def _diagonal(xp: Any, s: Any, rows: int, columns: int, like: Any) -> Any:
    """Return diag(s) in the upper left of a zero matrix (rows, columns) of the dtype of ``like``."""
    rest = xp.zeros((columns - s.shape[0],), dtype=s.dtype, device=device(s))
    row = xp.astype(xp.concat([s, rest]), like.dtype)
    return xp.eye(rows, columns, dtype=like.dtype, device=device(like)) * row[None, :]


def _largest(s: Any) -> float:
    return scalar(s[0]) if s.shape[0] else 0.0


def _one_dtype(xp: Any, F: Factors, *blocks: Any) -> tuple[Any, ...]:
    """Return factors and blocks, complex if one of them is."""
    dtype = xp.result_type(F.U, *blocks)
    F = Factors(xp.astype(F.U, dtype, copy=False), F.s, xp.astype(F.Vt, dtype, copy=False))
    return F, *(xp.astype(block, dtype, copy=False) for block in blocks)


def _exponents(xp: Any, C: Any) -> np.ndarray:
    """Return for each column of (m, p) the e with 2^(e - 1) <= largest entry < 2^e; zeros count as the least number."""
    largest = to_numpy(xp.max(xp.abs(C), axis=0)).astype(np.float64)
    least = -1074 if epsilon(C) == 2.0**-52 else -149
    return np.where(largest > 0, np.frexp(largest)[1], least)


def _exponent(xp: Any, x: Any) -> int:
    return int(_exponents(xp, xp.reshape(x, (-1, 1)))[0]) if 0 not in x.shape else -5000


def times_power(x: Any, e: Any) -> Any:
    """Return x * 2^e exactly for an int, or one for each column; in three steps, because 2^e may exceed the dtype."""
    limit = 1023 if epsilon(x) == 2.0**-52 else 127
    e = np.clip(e, -3 * limit, 3 * limit)
    for i in range(3):
        part = (e + i) // 3
        if np.any(part):
            x = x * (from_numpy(np.ldexp(1.0, part), x)[None, :] if np.ndim(e) else float(np.ldexp(1.0, part)))
    return x
