"""Products with the Vandermonde matrix exp(l x_n) of many modes, with its transpose, and the adjoint."""

import math
from typing import Any

import numpy as np

from lina._core.array import conjugate, kernel_of_tensors, where_is
from lina._core.kernels import kernel
from lina._core.threads import get_threads
from lina.ssm._kernels.cotangents import open_cotangent, open_real, summed_to
from lina.ssm._kernels.dplr_parts import check_length
from lina.ssm._systems_arrays import batch_shape, check_last, check_overflow, open_parts, widened_array

# A kernel takes seconds to compile on its first call: below this many modes times powers the body is done earlier.
WORTH_COMPILING = 2**20
# Real numbers that an adjoint weighs at once, beside inputs and outputs.
_WEIGHTS = 2**17


def vandermonde(c: Any, x: Any, L: int) -> Any:
    """Return K_l = 2 Re sum_n c_n exp(l x_n) for l < L, the sum over conjugate pairs of which one each is given.

    Parameters
    ----------
    c, x : array_like, shape (..., n)
        Weights, and logarithms of the poles; made complex. Leading axes are a batch and broadcast.
    L : int
        Number of powers, at least 1.

    Returns
    -------
    K : array, shape (..., L)
        Real, in the precision of the arguments; those of a smaller L are its first ones.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library, or L is no int.
    ValueError
        If shapes do not fit, entries are not finite, or L is below 1.
    OverflowError
        If an exponential or a sum exceeds the range of the dtype.

    Notes
    -----
    exp((i T + j) x) is a product of an entry of each of two tables of about sqrt(L) columns, so that the sum is a
    product of matrices: 4 n L flops, and 4 n sqrt(L) entries of memory. All is in double precision where the library
    has it, since the phases l x need it: an entry of K errs by 2^-52 (l abs(x) + 2 sqrt(L) + 30) times the sum of
    abs(c_n exp(l x_n)), and by the rounding to its dtype. The root is of the powers that a kernel multiplies up.

    Examples
    --------
    >>> from lina.ssm import vandermonde
    >>> vandermonde([0.5], [0.0], 3)
    array([1., 1., 1.])
    """
    return (kernel_of_tensors("checked_vandermonde", c, x) or products)(c, x, L)


def products(c: Any, x: Any, L: int) -> Any:
    """Do what `vandermonde` does, by array code for any library."""
    xp, c, x = open_parts(as_complex=True, c=c, x=x)
    L = check_length(L)
    check_last(x, c.shape[-1], "x")
    batch = batch_shape(c=c.shape[:-1], x=x.shape[:-1])
    with np.errstate(over="ignore", invalid="ignore"):
        return check_overflow(xp, powers_summed(xp, c, x, batch, L), "c and x")


def powers_summed(xp: Any, c: Any, x: Any, batch: tuple[int, ...], L: int) -> Any:
    """Return what `vandermonde` does, unchecked, in the precision of ``c``; x may have more."""
    fast, n = kernel("vandermonde", xp), c.shape[-1]
    c, x = (xp.reshape(xp.broadcast_to(each, (*batch, n)), (math.prod(batch), n)) for each in (c, x))
    if fast is None or c.shape[0] * n * L < WORTH_COMPILING:
        K = _products(xp, c, widened_array(xp, x), L)
    else:
        K = fast(c, x, L)
    return xp.reshape(K, (*batch, L))


def _products(xp: Any, c: Any, x: Any, L: int) -> Any:
    table, jumps = _tables(xp, x, L)
    jumps = xp.astype(c, x.dtype)[..., None] * jumps
    K = 2 * xp.real(xp.matmul(xp.matrix_transpose(jumps), table))
    return xp.astype(xp.reshape(K, (c.shape[0], K.shape[-2] * K.shape[-1]))[:, :L], xp.real(c).dtype, copy=False)


def _tables(xp: Any, x: Any, L: int) -> tuple[Any, Any]:
    """Return exp(j x) for j < T and exp(i T x) for i T < L, on a new last axis."""
    T = max(1, math.isqrt(L))
    steps = xp.arange(T, dtype=xp.real(x).dtype, device=where_is(x))
    jumps = T * xp.arange(-(-L // T), dtype=xp.real(x).dtype, device=where_is(x))
    table, wide = (xp.exp(x[..., None] * xp.astype(each, x.dtype)) for each in (steps, jumps))
    return table, wide


def vandermonde_transpose(u: Any, x: Any) -> Any:
    """Return m_n = sum_l u_l exp(l x_n), the product with the transpose of the matrix of `vandermonde`.

    Parameters
    ----------
    u : array_like, shape (..., L)
        Real, L at least 1.
    x : array_like, shape (..., n)
        Logarithms of the poles; made complex. Leading axes are a batch and broadcast.

    Returns
    -------
    m : array, shape (..., n)
        Complex, in the precision of the arguments. With u in reverse order it is the state of diagonal systems after
        these inputs.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library, or ``u`` is complex.
    ValueError
        If shapes do not fit, an axis is empty, or entries are not finite.
    OverflowError
        If an exponential or a sum exceeds the range of the dtype.

    Notes
    -----
    Cost and memory of `vandermonde`.

    Examples
    --------
    >>> from lina.ssm import vandermonde_transpose
    >>> vandermonde_transpose([1.0, 2.0, 3.0], [0.0])
    array([6.+0.j])
    """
    return (kernel_of_tensors("checked_vandermonde_transpose", u, x) or transposed_products)(u, x)


def transposed_products(u: Any, x: Any) -> Any:
    """Do what `vandermonde_transpose` does, by array code for any library."""
    xp, u, x = open_real(u=u, x=x)
    batch = batch_shape(u=u.shape[:-1], x=x.shape[:-1])
    u, x = (xp.broadcast_to(each, (*batch, each.shape[-1])) for each in (u, x))
    with np.errstate(over="ignore", invalid="ignore"):
        m = powers_weighed(xp, u[..., None, :], x)[..., 0, :]
        return check_overflow(xp, xp.astype(m, x.dtype, copy=False), "u and x")


def powers_weighed(xp: Any, u: Any, x: Any) -> Any:
    """Return sum_l u_l exp(l x_n) of shape (..., k, n) for u (..., k, L) and x (..., n) of one batch; wide."""
    fast, batch = kernel("vandermonde_transpose", xp), x.shape[:-1]
    n, (k, L) = x.shape[-1], u.shape[-2:]
    rows = math.prod(batch)
    u, x = xp.reshape(u, (rows, k, L)), xp.reshape(x, (rows, n))
    small = rows * k * n * L < WORTH_COMPILING
    m = _sums(xp, u, widened_array(xp, x)) if fast is None or small else fast(u, x)
    return xp.reshape(m, (*batch, k, n))


def _sums(xp: Any, u: Any, x: Any) -> Any:
    rows, k, L = u.shape
    table, jumps = _tables(xp, x, L)
    count, T = jumps.shape[-1], table.shape[-1]
    missing = xp.zeros((rows, k, count * T - L), dtype=u.dtype, device=where_is(u))
    padded = xp.reshape(xp.concat([u, missing], axis=-1), (rows, k * count, T))
    inner = xp.matmul(xp.astype(padded, x.dtype), xp.matrix_transpose(table))
    inner = xp.reshape(inner, (rows, k, count, x.shape[-1]))
    return xp.sum(inner * xp.matrix_transpose(jumps)[:, None, :, :], axis=2)


def vandermonde_transpose_vjp(cotangent: Any, u: Any, x: Any) -> tuple[Any, Any]:
    """Return the gradients by u and x of Re sum(conj(cotangent) * m), for m = `vandermonde_transpose` of them.

    With h = conj(cotangent) these are Re sum_n h_n exp(l x_n) and the conjugate of h sum_l l u_l exp(l x).
    """
    xp, u, x = open_real(u=u, x=x)
    _, h, _ = open_parts(as_complex=True, cotangent=cotangent, x=x)
    batch = batch_shape(u=u.shape[:-1], x=x.shape[:-1])
    h = conjugate(xp, xp.astype(h, x.dtype, copy=False))
    l = xp.arange(u.shape[-1], dtype=u.dtype, device=where_is(u))  # noqa: E741
    weighed = xp.broadcast_to(l * u, (*batch, u.shape[-1]))[..., None, :]
    with np.errstate(over="ignore", invalid="ignore"):
        d_u = powers_summed(xp, h, x, batch, u.shape[-1]) / 2
        m = powers_weighed(xp, weighed, xp.broadcast_to(x, (*batch, x.shape[-1])))[..., 0, :]
        d_x = conjugate(xp, widened_array(xp, h) * m)
        found = (xp.astype(summed_to(xp, d, z.shape), z.dtype, copy=False) for d, z in ((d_u, u), (d_x, x)))
        return tuple(check_overflow(xp, d, "cotangent") for d in found)  # type: ignore[return-value]


def vandermonde_vjp(cotangent: Any, c: Any, x: Any) -> tuple[Any, Any]:
    """Return the gradients of sum(cotangent * K) by c and x, for K = `vandermonde` of them.

    Parameters
    ----------
    cotangent : array_like, shape (..., L)
        Real, of the batch that the other arrays broadcast to.
    c, x : array_like, shape (..., n)
        As in `vandermonde`.

    Returns
    -------
    d_c, d_x : array
        Complex, in the shapes of the arguments: a change dz of an argument changes the sum by Re sum(conj(d_z) dz), as
        torch defines complex gradients.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `vandermonde`, and where ``cotangent`` does not fit.

    Notes
    -----
    With m = sum_l g_l exp(l x) and m' = sum_l l g_l exp(l x) the gradients are the conjugates of 2 m and 2 c m': two
    products with the transpose, and no memory but of inputs and outputs.

    Examples
    --------
    >>> from lina.ssm import vandermonde_vjp
    >>> d_c, d_x = vandermonde_vjp([1.0, 1.0, 1.0], [0.5], [0.0])
    >>> d_c.real, d_x.real
    (array([6.]), array([3.]))
    """
    xp, c, x = open_parts(as_complex=True, c=c, x=x)
    check_last(x, c.shape[-1], "x")
    batch = batch_shape(c=c.shape[:-1], x=x.shape[:-1])
    g = open_cotangent(xp, cotangent, c, batch)
    with np.errstate(over="ignore", invalid="ignore"):
        d_c, d_x = powers_vjp(xp, g, c, x, batch)
        found = (xp.astype(summed_to(xp, d, z.shape), z.dtype, copy=False) for d, z in ((d_c, c), (d_x, x)))
        return tuple(check_overflow(xp, d, "cotangent") for d in found)  # type: ignore[return-value]


def powers_vjp(xp: Any, g: Any, c: Any, x: Any, batch: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the gradients by c and x broadcast to the batch, in double precision where the library has it."""
    n, L, rows = c.shape[-1], g.shape[-1], math.prod(batch)
    l = xp.arange(L, dtype=g.dtype, device=where_is(g))  # noqa: E741
    g, x = xp.reshape(g, (rows, L)), xp.reshape(xp.broadcast_to(x, (*batch, n)), (rows, n))
    count, parts = max(get_threads(), _WEIGHTS // L), []
    for start in range(0, max(1, rows), count):
        these = slice(start, min(start + count, rows))
        weights = xp.stack([g[these, :], l * g[these, :]], axis=-2)
        parts.append(powers_weighed(xp, weights, x[these, :]))
    m = xp.reshape(parts[0] if len(parts) == 1 else xp.concat(parts, axis=0), (*batch, 2, n))
    return 2 * conjugate(xp, m[..., 0, :]), 2 * conjugate(xp, widened_array(xp, c) * m[..., 1, :])
