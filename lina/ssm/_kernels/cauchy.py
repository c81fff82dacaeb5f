"""Products with Cauchy matrices 1 / (z - w), block by block, and their adjoint."""

import math
from typing import Any

import numpy as np

from lina._core.array import check_finite, conjugate, is_lazy, kernel_of_tensors, open_door, real_dtype
from lina.ssm._kernels.cotangents import summed_to
from lina.ssm._resolvent import check_no_pole
from lina.ssm._systems_arrays import batch_shape, check_last, check_overflow, open_parts, widened_array

_BLOCK = 2**17  # complex numbers of the matrix that are in memory at once


def cauchy(v: Any, z: Any, w: Any, *, pairs: bool = False) -> Any:
    """Return the sums over n of v_n / (z - w_n) for many z, with ``pairs`` also those of the conjugates of v and w.

    Parameters
    ----------
    v, w : array_like, shape (..., n)
        Weights and poles; made complex.
    z : array_like, shape (..., m)
        Points; made complex. Leading axes are a batch and broadcast.
    pairs : bool
        Add conj(v_n) / (z - conj(w_n)), as for systems of which one of each conjugate pair is given.

    Returns
    -------
    r : array, shape (..., m)
        Complex, in the precision of the arguments.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library.
    ValueError
        If shapes do not fit, entries are not finite, or a point is a pole.

    Notes
    -----
    Cost about 20 n m flops, in double precision where the library has it: next to a pole the difference z - w loses
    digits of its arguments only. Blocks of points of 2 MB are in memory. `kernel_dplr` does not take this way: it needs
    four sums with one matrix, at points that 2 (1 - z) / (1 + z) does not reach.

    Examples
    --------
    >>> from lina.ssm import cauchy
    >>> cauchy([1.0, 2.0], [1.0], [0.0, -1.0])
    array([2.+0.j])
    """
    return (kernel_of_tensors("cauchy", v, z, w) or cauchy_sums)(v, z, w, pairs)


def cauchy_sums(v: Any, z: Any, w: Any, pairs: bool) -> Any:
    """Do what `cauchy` does, by array code for any library."""
    xp, v, z, w, batch = _opened(v, z, w)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        wide_v, wide_z, wide_w = (widened_array(xp, x) for x in (v, z, w))
        r = [_sums(xp, wide_v, wide_z[..., these], wide_w, pairs) for these in _blocks(v, z, batch)]
        return _checked(xp, xp.astype(xp.concat(r, axis=-1), v.dtype, copy=False), "v", z, w, pairs)


def cauchy_vjp(cotangent: Any, v: Any, z: Any, w: Any, *, pairs: bool = False) -> tuple[Any, Any, Any]:
    """Return the gradients by v, z and w of Re sum(conj(cotangent) * r), for r = `cauchy` of them.

    Parameters
    ----------
    cotangent : array_like, shape (..., m)
        Complex, of the batch that the other arrays broadcast to: the gradient by r.
    v, z, w, pairs
        As in `cauchy`.

    Returns
    -------
    d_v, d_z, d_w : array
        Complex, in the shapes of the arguments: a change dx of an argument changes the sum by Re sum(conj(d_x) dx), as
        torch defines complex gradients.

    Raises
    ------
    TypeError, ValueError
        As `cauchy`, and where ``cotangent`` does not fit.

    Notes
    -----
    The matrix is formed again, block by block, where automatic differentiation would keep it.

    Examples
    --------
    >>> from lina.ssm import cauchy_vjp
    >>> [d.real.tolist() for d in cauchy_vjp([1.0], [2.0], [3.0], [1.0])]
    [[0.5], [-0.5], [0.5]]
    """
    xp, v, z, w, batch = _opened(v, z, w)
    found, g = open_door(min_ndim=1, cotangent=cotangent)
    check_finite(found, g, "cotangent")
    if found is not xp:
        raise TypeError(f"cotangent must be an array of the library of the others, got {type(cotangent).__name__}")
    if tuple(g.shape) != (*batch, z.shape[-1]):
        raise ValueError(f"cotangent must have shape {(*batch, z.shape[-1])}, got {tuple(g.shape)}")
    g = widened_array(xp, xp.astype(g, v.dtype))
    wide = [widened_array(xp, x) for x in (v, z, w)]
    d_v, d_w, d_z = 0, 0, []
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for these in _blocks(v, z, batch):
            by_v, by_z, by_w = _sums_vjp(xp, g[..., these], wide[0], wide[1][..., these], wide[2], pairs)
            d_v, d_w = d_v + by_v, d_w + by_w
            d_z.append(by_z)
        out = []
        for d, x in ((d_v, v), (xp.concat(d_z, axis=-1), z), (d_w, w)):
            d = xp.astype(summed_to(xp, d, x.shape), x.dtype, copy=False)
            out.append(_checked(xp, d, "cotangent", z, w, pairs))
        return tuple(out)  # type: ignore[return-value]


def _opened(v: Any, z: Any, w: Any) -> tuple[Any, Any, Any, Any, tuple[int, ...]]:
    xp, v, z, w = open_parts(as_complex=True, v=v, z=z, w=w)
    check_last(w, v.shape[-1], "w")
    return xp, v, z, w, batch_shape(v=v.shape[:-1], z=z.shape[:-1], w=w.shape[:-1])


def _checked(xp: Any, r: Any, name: str, z: Any, w: Any, pairs: bool) -> Any:
    """Return a result that is finite, or raise: ValueError where a point is a pole, OverflowError otherwise."""
    if not is_lazy(r) and not bool(xp.all(xp.isfinite(r))):
        for poles in (w, conjugate(xp, w)) if pairs else (w,):
            for n in range(w.shape[-1]):
                check_no_pole(xp, 1 / xp.astype(z != poles[..., n : n + 1], real_dtype(xp, z)))
    return check_overflow(xp, r, name)


def _blocks(v: Any, z: Any, batch: tuple[int, ...]) -> list[slice]:
    width = max(1, _BLOCK // max(1, math.prod(batch) * v.shape[-1]))
    return [slice(start, min(start + width, z.shape[-1])) for start in range(0, z.shape[-1], width)]


def _sums(xp: Any, v: Any, z: Any, w: Any, pairs: bool) -> Any:
    r = _product(xp, 1 / (z[..., :, None] - w[..., None, :]), v)
    if pairs:
        r = r + _product(xp, 1 / (z[..., :, None] - conjugate(xp, w)[..., None, :]), conjugate(xp, v))
    return r


def _product(xp: Any, M: Any, x: Any) -> Any:
    return xp.matmul(M, x[..., None])[..., 0]


def _sums_vjp(xp: Any, g: Any, v: Any, z: Any, w: Any, pairs: bool) -> tuple[Any, Any, Any]:
    """Return the gradients by v, z and w of a block; the partners' are those of the conjugate points, conjugated."""
    M = 1 / (z[..., :, None] - w[..., None, :])
    squares, bar, g_bar = M * M, conjugate(xp, v), conjugate(xp, g)
    first, second = (_product(xp, xp.matrix_transpose(each), g_bar) for each in (M, squares))
    by_v, by_w = conjugate(xp, first), conjugate(xp, v * second)
    by_z = -conjugate(xp, g_bar * _product(xp, squares, v))
    if pairs:
        M = 1 / (z[..., :, None] - conjugate(xp, w)[..., None, :])
        squares = M * M
        first, second = (_product(xp, xp.matrix_transpose(each), g_bar) for each in (M, squares))
        by_v, by_w = by_v + first, by_w + bar * second
        by_z = by_z - conjugate(xp, g_bar * _product(xp, squares, bar))
    return by_v, by_z, by_w
