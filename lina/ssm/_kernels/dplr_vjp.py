"""Adjoints of the kernels of diagonal plus low rank systems, from their inputs alone."""

from typing import Any

import numpy as np

from lina._core.array import conjugate, where_is
from lina._core.kernels import kernel
from lina._core.threads import get_threads
from lina.ssm._kernels.circle import Circle, blocks_of_points, constant, samples_vjp, unit_circle
from lina.ssm._kernels.cotangents import open_cotangent, summed_to
from lina.ssm._kernels.dplr import SAMPLES, WORTH_COMPILING
from lina.ssm._kernels.dplr_met import gradients_by_matrix, met_roots
from lina.ssm._kernels.dplr_parts import Rows, check_length, open_rows, over_circles, pole_moduli
from lina.ssm._systems_arrays import check_overflow

_BLOCK = 2**17  # complex numbers of g that are in memory at once
# A mode of the diagonal that is so near to a root of unity takes nine digits of the sums of g^2, or more.
_NEXT = 1e-4


def kernel_dplr_vjp(cotangent: Any, Lambda: Any, P: Any, B: Any, C: Any, dt: Any) -> tuple[Any, ...]:
    """Return the gradients of sum(cotangent * K) by all arrays that `kernel_dplr` makes K of.

    Parameters
    ----------
    cotangent : array_like, shape (..., L)
        Real, the gradient by the taps, of the batch that the other arrays broadcast to.
    Lambda, P, B, C, dt
        As in `kernel_dplr`.

    Returns
    -------
    d_Lambda, d_P, d_B, d_C, d_dt : array
        In the shapes of the arguments (complex those of the first four): a change dz of an argument changes the sum by
        Re sum(conj(d_z) dz), as torch defines complex gradients.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `kernel_dplr`, and where ``cotangent`` does not fit. An unstable system is not flagged again.

    Notes
    -----
    The response is a sum of products a_i F_ij b_j to first order, F_ij being sums over pairs; with weights S a_i b_j,
    S the transposed FFT of the cotangent, products of these with g and g^2 over all points are all moments that the
    gradients need. About three times the cost of the kernel, and its memory. The step needs no sums of its own: only dt
    Lambda, dt^(1/2) P and dt B matter.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.ssm import kernel_dplr, kernel_dplr_vjp
    >>> parts, dt = ([-0.5 + 1j], [0.5], [1.0], [1.0]), 0.1
    >>> g = np.array([1.0, -1.0, 2.0])
    >>> d_C = kernel_dplr_vjp(g, *parts, dt)[3]
    >>> bool(np.isclose((d_C.conj() @ [1.0]).real, g @ kernel_dplr(*parts, dt, 3)))  # linear in C
    True
    """
    rows = open_rows(Lambda, P, B, C, dt)
    g = open_cotangent(rows.xp, cotangent, rows.w, rows.batch)
    L = check_length(g.shape[-1])
    moduli = pole_moduli(rows, "ignore")
    g = rows.xp.reshape(g, (rows.w.shape[0], L))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if moduli is None:
            found = over_circles(rows, L, None, lambda part, circle: _by_sums(part, circle, g))
        else:
            each = (g[i, ...][None] for i in range(len(moduli)))
            found = over_circles(rows, L, moduli, lambda part, circle: _by_sums(part, circle, next(each)))
        return _gradients(rows, *found)


def kernel_dplr_truncated_vjp(cotangent: Any, Lambda: Any, P: Any, B: Any, C_tilde: Any, dt: Any) -> tuple[Any, ...]:
    """Return the gradients of sum(cotangent * K) by all arrays that `kernel_dplr_truncated` makes K of.

    Parameters
    ----------
    cotangent : array_like, shape (..., L)
        Real, the gradient by the taps, of the batch that the other arrays broadcast to.
    Lambda, P, B, C_tilde, dt
        As in `kernel_dplr_truncated`.

    Returns
    -------
    d_Lambda, d_P, d_B, d_C_tilde, d_dt : array
        As those of `kernel_dplr_vjp`.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `kernel_dplr_truncated`, where ``cotangent`` does not fit, and where the gradient has a pole: for Lambda = 0
        with an input or a low rank whose imaginary part at that mode is 0, and an output whose is not.

    Notes
    -----
    As `kernel_dplr_vjp`, at the roots of unity. Those that a mode of the diagonal meets to 1e-4 are solved by the dense
    matrix, n^3 flops each; farther away up to nine digits of sixteen are lost. Where both modes of a pair are within
    1e-6 of z = 1, so is a pole of the system, and gradients by Lambda and dt have no digits.

    Examples
    --------
    >>> from lina.ssm import kernel_dplr_truncated_vjp
    >>> d_Lambda, d_P, d_B, d_C, d_dt = kernel_dplr_truncated_vjp([1.0, 0.0], [-0.5 + 1j], [0.5], [1.0], [1.0], 0.1)
    >>> d_Lambda.shape, d_dt.shape
    ((1,), ())
    """
    rows = open_rows(Lambda, P, B, C_tilde, dt, "C_tilde")
    g = open_cotangent(rows.xp, cotangent, rows.w, rows.batch)
    L = check_length(g.shape[-1])
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _gradients(rows, *_at_roots_of_unity(rows, L, rows.xp.reshape(g, (rows.w.shape[0], L))))


def _at_roots_of_unity(rows: Rows, L: int, g: Any) -> tuple[Any, Any, Any]:
    """Return `_by_sums`, where modes meet roots of unity by the matrix."""
    xp, circle, met = rows.xp, unit_circle(L), met_roots(rows, L, _NEXT)
    if list(met) == [()]:
        return _by_sums(rows, circle, g)
    found = []
    for points, these in met.items():
        some, left = rows.take(these), np.setdiff1d(np.arange(circle.p.size), points)
        at = xp.take(g, xp.asarray(these, device=where_is(g)), axis=0)
        S = samples_vjp(xp, at, circle, rows.w)
        each = [gradients_by_matrix(some, circle, S[:, k], k) for k in points]
        each += [_by_sums(some, circle, at, left)] if left.size else []
        found.append([sum(x[1:], start=x[0]) for x in zip(*each, strict=True)])
    order = xp.asarray(np.argsort(np.concatenate(list(met.values()))), device=where_is(g))
    return tuple(xp.take(xp.concat(x, axis=0), order, axis=0) for x in zip(*found, strict=True))  # type: ignore[return-value]


def _by_sums(rows: Rows, circle: Circle, g: Any, points: np.ndarray | None = None) -> tuple[Any, Any, Any]:
    """Return gradients by left, right and w at the other two, for cotangents g (rows, L)."""
    xp = rows.xp
    h_v, h_w = moments(rows, circle, g, points)
    h_left = xp.sum(rows.right[:, None, :, :] * h_v, axis=2)
    return h_left, xp.sum(rows.left[:, :, None, :] * h_v, axis=1), h_w


def _gradients(rows: Rows, h_left: Any, h_right: Any, h_w: Any) -> tuple[Any, ...]:
    """Return gradients in the shapes given, from those by the rows left and right, and by w."""
    xp, given = rows.xp, list(rows.given.values())
    Lambda, P, B, _, dt = (xp.astype(x, rows.w.dtype) for x in given)
    batched = lambda x: xp.reshape(x, (*rows.batch, *x.shape[1:]))  # noqa: E731
    h_left, h_right, h_Lambda = batched(h_left), batched(h_right), batched(h_w) * dt[..., None]
    h_P = xp.sqrt(dt)[..., None, None] * (h_right[..., 1:, :] + conjugate(xp, h_left[..., 1:, :]))
    h_B, h_C = dt[..., None] * h_right[..., 0, :], h_left[..., 0, :]
    along = xp.sum(Lambda * h_Lambda + B * h_B, axis=-1) + xp.sum(P * h_P, axis=(-2, -1)) / 2
    d_dt = xp.real(along / dt)
    found = [conjugate(xp, h) for h in (h_Lambda, h_P, h_B, h_C)] + [d_dt]
    out = []
    for h, x, shape in zip(found, given, rows.shapes, strict=True):
        h = xp.astype(summed_to(xp, h, x.shape), x.dtype)
        out.append(xp.reshape(check_overflow(xp, h, "cotangent"), shape))
    return tuple(out)


def moments(rows: Rows, circle: Circle, g: Any, points: np.ndarray | None = None) -> tuple[Any, Any]:
    """Return (h_v, h_w) of `lina._numba.dplr_response` for cotangents (rows, L), chunk by chunk of the rows.

    Only these ``points`` of the circle count, where they are given.
    """
    xp, p, q = rows.xp, circle.p, circle.q
    p, q = (p, q) if points is None else (p[points], q[points])
    fast, half = kernel("dplr_response_vjp", xp), circle.p.size
    if fast is not None and rows.w.shape[0] * rows.w.shape[1] * half < WORTH_COMPILING:
        fast = None
    count = max(get_threads(), SAMPLES // half)
    parts = []
    for start in range(0, max(1, rows.w.shape[0]), count):
        these = slice(start, min(start + count, rows.w.shape[0]))
        w, left, right = rows.w[these, :], rows.left[these, ...], rows.right[these, ...]
        S = samples_vjp(xp, g[these, :], circle, w)
        S = S if points is None else xp.take(S, xp.asarray(points, device=where_is(S)), axis=-1)
        if fast is None:
            parts.append(_moments(xp, w, left, right, p, q, S))
        else:
            blocks = [fast(w, left, right, *some) for some in blocks_of_points(p, q, S)]
            parts.append(tuple(sum(x[1:], start=x[0]) for x in zip(*blocks, strict=True)))
    return tuple(each[0] if len(parts) == 1 else xp.concat(each, axis=0) for each in zip(*parts, strict=True))  # type: ignore[return-value]


def _moments(xp: Any, w: Any, left: Any, right: Any, P: np.ndarray, Q: np.ndarray, S: Any) -> tuple[Any, Any]:
    """Do what the kernel does, by blocks of the points P, Q."""
    rows, size, n = left.shape
    v = xp.reshape(left[:, :, None, :] * right[:, None, :, :], (rows, size * size, n))
    bar = conjugate(xp, w)[:, None, :]
    weights = xp.astype(xp.concat([2 * xp.real(v), 2 * xp.real(v * bar)], axis=1), w.dtype)
    slope, square = -2 * xp.real(w)[..., None], (xp.real(w) ** 2 + xp.imag(w) ** 2)[..., None]
    width = max(1, _BLOCK // max(1, rows * n))
    once, twice = 0, 0
    for start in range(0, P.size, width):
        these = slice(start, min(start + width, P.size))
        p, q = (constant(xp, z[these], w) for z in (P, Q))
        g = 1 / (p * p + slope * (p * q) + square * (q * q))
        sums = xp.matmul(weights, g)
        F = xp.reshape(p * sums[:, : size * size, :] - q * sums[:, size * size :, :], (rows, size, size, g.shape[-1]))
        a, b = _left_and_right(xp, F, q)
        s = xp.reshape(a[:, :, None, :] * b[:, None, :, :], (rows, size * size, g.shape[-1])) * S[:, None, these]
        once = once + _real_products(xp, xp.concat([s * p, s * q], axis=1), g)
        s = s * q
        twice = twice + _real_products(xp, xp.concat([s * (p * p), s * (p * q), s * (q * q)], axis=1), g * g)
    once, twice = (
        xp.reshape(xp.astype(x, w.dtype), (rows, count, size * size, n)) for count, x in ((2, once), (3, twice))
    )
    h_v = 2 * (once[:, 0, ...] - bar * once[:, 1, ...])
    curvature = 2 * (twice[:, 0, ...] - 2 * bar * twice[:, 1, ...] + bar * bar * twice[:, 2, ...])
    return xp.reshape(h_v, (rows, size, size, n)), xp.sum(v * curvature, axis=1)


def _real_products(xp: Any, s: Any, g: Any) -> Any:
    return xp.real(xp.matmul(s, xp.matrix_transpose(g)))


def _left_and_right(xp: Any, F: Any, q: Any) -> tuple[Any, Any]:
    """Return a and b (rows, 1 + r, points) such that a_i b_j is the derivative of the response by F_ij."""
    F = xp.moveaxis(F, -1, 1)
    q = q[:, None, None]
    rank = F.shape[-1] - 1
    one = xp.ones((*F.shape[:2], 1, 1), dtype=F.dtype, device=where_is(F))
    if rank == 0:
        return xp.moveaxis(one[..., 0], 1, -1), xp.moveaxis(one[..., 0], 1, -1)
    inner = xp.eye(rank, dtype=F.dtype, device=where_is(F)) + q * F[..., 1:, 1:]
    b = -q * xp.linalg.solve(inner, F[..., 1:, :1])
    a = -q * xp.linalg.solve(xp.matrix_transpose(inner), xp.matrix_transpose(F[..., :1, 1:]))
    whole = [xp.concat([one, x], axis=-2)[..., 0] for x in (a, b)]
    return xp.moveaxis(whole[0], 1, -1), xp.moveaxis(whole[1], 1, -1)
