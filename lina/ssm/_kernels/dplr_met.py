"""Modes of a diagonal that meet roots of unity: there the sums over the diagonal have no digits, the whole matrix has.

A low rank moves the pole of the mode away, but Woodbury's identity cancels 1 / distance, and its derivatives the square
of that. The matrix p I - q A, with the low rank as a border, cancels nothing, for n^3 flops a point.
"""

import math
from typing import Any

import numpy as np

from lina._core.array import is_lazy, where_is
from lina.ssm._convert.realise import parts, realised
from lina.ssm._freqresp_hessenberg import rounding
from lina.ssm._kernels.circle import Circle, constant
from lina.ssm._kernels.dplr_parts import Rows
from lina.ssm._systems import DiagonalSystem
from lina.ssm._systems_arrays import refuse_followed, seen

# Complex numbers of the matrices that are in memory at once.
_BLOCK = 2**20
_POLE = (
    "Lambda must not be at a root of unity where nothing moves it, found it is: there the gradient, if not the system "
    "itself, has a pole; kernel_dplr takes the true C on a smaller circle"
)


def met_roots(rows: Rows, L: int, within: float) -> dict[tuple[int, ...], list[int]]:
    """Return which L-th roots of unity, of those on the half circle, are met to ``within`` by modes of which rows.

    Of lazy arrays nothing is known, and none is met.
    """
    xp, w, count = rows.xp, rows.w, rows.w.shape[0]
    if is_lazy(w) or 0 in w.shape:
        return {(): list(range(count))}
    turns = xp.atan(xp.imag(w) / 2) * (L / math.pi)
    nearest = xp.round(turns)
    away = xp.abs(turns - nearest) * (2 * math.pi / L) + xp.abs(xp.real(w)) / (1 + xp.abs(w) ** 2 / 4)
    near = away < within
    if not bool(xp.any(near)):
        return {(): list(range(count))}
    near, roots = seen(near), np.abs(seen(nearest)).astype(int)
    met: dict[tuple[int, ...], list[int]] = {}
    for row in range(count):
        met.setdefault(tuple(np.unique(roots[row, near[row]]).tolist()), []).append(row)
    return met


def gradients_by_matrix(rows: Rows, circle: Circle, S: Any, k: int) -> tuple[Any, Any, Any]:
    """Return (h_left, h_right, h_w) of the point k of a circle, with the weights S (rows,).

    A change of left, right and w changes Re sum S G by the real part of the sum of its products with these.
    """
    xp, total = rows.xp, rows.w.shape[0]
    count = max(1, _BLOCK // (4 * rows.w.shape[1] ** 2))
    found = []
    for start in range(0, total, count):
        these = list(range(start, min(start + count, total)))
        found.append(_at(rows.take(these), circle, S[start : start + count, None], k))
    return tuple(xp.concat(each, axis=0) for each in zip(*found, strict=True))  # type: ignore[return-value]


def _at(rows: Rows, circle: Circle, S: Any, k: int) -> tuple[Any, Any, Any]:
    """Return the same by real coordinates: G = c_0^T x where D x + q sum of b_k u_k = b_0, u_k = c_k^T x for k > 0.

    D is p I - q (blocks of w). The low rank is not added to it, where it would cover the distance of a pair from p / q.
    """
    xp, w, n = rows.xp, rows.w, rows.w.shape[-1]
    p, q = (constant(xp, z[k : k + 1], w) for z in (circle.p, circle.q))
    b, c = (xp.astype(parts(xp, x), w.dtype) for x in (rows.right, xp.conj(rows.left)))
    A = xp.astype(realised(DiagonalSystem(w, rows.right[:, 0, :], rows.left[:, 0, :])).A, w.dtype)
    one, rank = (xp.eye(size, dtype=w.dtype, device=where_is(w)) for size in (2 * n, b.shape[1] - 1))
    A = A - _idle(rows, b, c)[..., None] * one
    below = xp.concat([-c[:, 1:, :], xp.broadcast_to(rank, (w.shape[0], *rank.shape))], axis=-1)
    beside = q * xp.matrix_transpose(b[:, 1:, :])
    M, sizes = (
        xp.concat([xp.concat([D, beside], axis=-1), below], axis=-2)
        for D in (p * one - q * A, xp.abs(p) * one + xp.abs(q) * xp.abs(A))
    )
    sizes = xp.abs(sizes)
    x = _solved(xp, M, b[:, 0, :], sizes)
    y = _solved(xp, xp.matrix_transpose(M), c[:, 0, :], xp.matrix_transpose(sizes)) * S
    of_b = xp.concat([xp.ones_like(S), -q * x[:, 2 * n :]], axis=-1)
    of_c = xp.concat([S, y[:, 2 * n :]], axis=-1)
    h_right = xp.conj(_joined(xp, of_b[..., None] * y[:, None, : 2 * n]))
    h_left = _joined(xp, of_c[..., None] * x[:, None, : 2 * n])
    (x_re, x_im), (y_re, y_im) = ((z[:, :n], z[:, n : 2 * n]) for z in (x, y))
    h_w = xp.real(q * (y_re * x_re + y_im * x_im)) - 1j * xp.real(q * (y_im * x_re - y_re * x_im))
    return h_left, h_right, h_w


def _joined(xp: Any, x: Any) -> Any:
    """Return sqrt2 (first + i second half) of the real part: from a gradient by `parts` to one by their conjugates."""
    n = x.shape[-1] // 2
    return math.sqrt(2.0) * (xp.real(x[..., :n]) + 1j * xp.real(x[..., n:]))


def _idle(rows: Rows, b: Any, c: Any) -> Any:
    """Return 1 for the states (rows, 2 n) that nothing drives and nothing sees, 0 for the others.

    The imaginary parts of real modes are, of which the mode 0 of "fout" would make the matrix singular without effect.
    """
    xp, n = rows.xp, rows.w.shape[-1]
    alone = xp.all((b == 0) & (c == 0), axis=1)
    apart = xp.imag(rows.w) == 0
    idle = alone & (xp.concat([apart, apart], axis=-1) | xp.roll(alone, n, axis=-1))
    if bool(xp.any(idle)):  # the derivatives of second order by what would drive and see them are not finite
        refuse_followed("a gradient at a pole of Lambda", Lambda=rows.w, P=rows.left, B=rows.right)
    return xp.astype(idle, rows.w.dtype)


def _solved(xp: Any, M: Any, right: Any, sizes: Any) -> Any:
    """Return M^-1 (right, 0) for (rows, m, m) and (rows, 2 n), or raise ValueError where a row has no digits.

    That is where rounding of the terms that M is a sum of, which are as large as ``sizes``, moves it by as much.
    """
    right = xp.concat([right, xp.zeros_like(M[:, right.shape[-1] :, 0])], axis=-1)
    try:
        x = xp.linalg.solve(M, right[..., None])[..., 0]
    except Exception as reason:  # each library has its own error for a singular matrix
        if "singular" not in str(reason).lower():
            raise
        raise ValueError(_POLE) from None
    terms, given = (xp.max(z, axis=-1) for z in (xp.matmul(sizes, xp.abs(x)[..., None])[..., 0], xp.abs(right)))
    if bool(xp.any(~(rounding(M.shape[-1], M) * terms <= given))):
        raise ValueError(_POLE)
    return x
