"""Causal convolution of a signal with a kernel, whole or in parts, and its adjoint."""

import math
from typing import Any

import numpy as np

from lina._core.array import check_finite, is_lazy, kernel_of_tensors, open_door, scalar, where_is
from lina.ssm._fourier import (
    check_entries,
    check_result,
    first,
    forward,
    inverse,
    product,
    product_length,
    sum_is_finite,
)
from lina.ssm._kernels.cotangents import summed_to
from lina.ssm._series import filled
from lina.ssm._systems_arrays import batch_shape, check_last, check_overflow, is_complex


def fftconv(u: Any, k: Any, x0: Any = None, *, return_state: bool = False) -> Any:
    """Return the causal convolution y_n = k_0 u_n + k_1 u_{n-1} + ..., by fast Fourier transforms that do not wrap.

    Parameters
    ----------
    u : array_like, shape (..., L)
        Samples, real or complex; L >= 0.
    k : array_like, shape (..., M)
        Kernel, of any length from 1 on. Leading axes broadcast with those of ``u``.
    x0 : array_like, shape (..., M - 1), optional
        State after the samples before ``u``: what they add to the outputs that follow. Zeros unless given.
    return_state : bool
        Also return the state after ``u``, with which the next samples go on: parts that are joined are the whole.

    Returns
    -------
    y : array, shape (..., L)
        In the library and common dtype of the arrays.
    x : array, shape (..., M - 1)
        Only with ``return_state=True``.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library.
    ValueError
        If shapes do not fit, or entries are not finite.
    OverflowError
        If the result exceeds the range of the dtype.

    Notes
    -----
    Three transforms of the next length from L + min(L, M) - 1 on that has small prime factors (L + M - 1 with the
    state), in the precision of the arrays; not of the next power of two. The error is eps log2(L) of the norm of u
    times that of k, so that an output much smaller than this has fewer digits. Gradients pass. With a kernel of L taps
    a system is done in O(L log L); `linear_scan` carries its n states instead of M - 1 numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.ssm import fftconv
    >>> np.round(fftconv([1.0, 0.0, 2.0], [1.0, 0.5]), 12)
    array([1. , 0.5, 2. ])
    >>> y, x = fftconv([1.0, 0.0, 2.0], [1.0, 0.5], return_state=True)
    >>> np.round(fftconv([0.0, 0.0], [1.0, 0.5], x), 12) + 0
    array([1., 0.])
    """
    arrays = (u, k) if x0 is None else (u, k, x0)
    return (kernel_of_tensors("fftconv", *arrays) or _in_parts)(u, k, x0, return_state)


def _in_parts(u: Any, k: Any, x0: Any, return_state: bool) -> Any:
    y = convolution(u, k, x0, return_state)
    L = y.shape[-1] - np.shape(k)[-1] + 1
    return (y[..., :L], y[..., L:]) if return_state else y


def convolution(u: Any, k: Any, x0: Any, return_state: bool) -> Any:
    """Return the outputs of `fftconv` and, with ``return_state``, the state behind them; for any library."""
    arrays = {"u": u, "k": k} if x0 is None else {"u": u, "k": k, "x0": x0}
    xp, *opened = _opened(arrays)
    count = opened[0].shape[-1] + (opened[1].shape[-1] - 1 if return_state else 0)
    with np.errstate(over="ignore", invalid="ignore"):
        y = _convolved(xp, opened[0], opened[1], count)
        if x0 is not None:
            y = y + filled(xp, first(opened[2], count), count)
    if is_lazy(y):
        return y
    # one that is not finite makes all outputs of its row so: a look at these is one at all that they are made of
    seen = count if 0 not in y.shape and opened[0].shape[-1] > 0 and sum_is_finite(xp, y) else 0
    for name, x in zip(arrays, opened, strict=True):
        if x.shape[-1] > seen:
            check_finite(xp, x[..., seen:], name)
    if not seen and opened[0].shape[-1] > 0 and not bool(xp.all(xp.isfinite(y))):
        y = _in_range(xp, y, opened, count)
    return y if seen else check_overflow(xp, y, "u or k")


def _in_range(xp: Any, y: Any, opened: list[Any], count: int) -> Any:
    """Return outputs whose rows that are not finite are those of entries below 1, times the powers of two of these."""
    u, k = opened[:2]
    e, f = _exponent(xp, u), _exponent(xp, k)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = _times_power(_convolved(xp, _times_power(u, -e), _times_power(k, -f), count), e + f)
        if len(opened) > 2:
            scaled = scaled + filled(xp, first(opened[2], count), count)
    return xp.where(xp.all(xp.isfinite(y), axis=-1, keepdims=True), y, scaled)


def _exponent(xp: Any, x: Any) -> int:
    """Return the exponent of the power of two above all parts of entries."""
    parts = (xp.real(x), xp.imag(x)) if is_complex(x) else (x,)
    return math.frexp(max(scalar(xp.max(xp.abs(part))) for part in parts))[1]


def _times_power(x: Any, exponent: int) -> Any:
    """Return x 2^exponent, in two steps, because the power alone may be out of range."""
    half = exponent // 2
    return x * 2.0**half * 2.0 ** (exponent - half)


def fftconv_vjp(cotangent: Any, u: Any, k: Any, *, cotangent_state: Any = None) -> tuple[Any, Any, Any]:
    """Return the products of a cotangent with the Jacobians of `fftconv` by u, by k and by x0.

    Parameters
    ----------
    cotangent : array, shape (..., L)
        The gradient by the outputs, with all leading axes of these.
    u : array_like, shape (..., L)
    k : array_like, shape (..., M)
        As in `fftconv`; L is at least 1.
    cotangent_state : array, shape (..., M - 1), optional
        The gradient by the state after ``u``, where that was returned.

    Returns
    -------
    du : array, shape (..., L)
    dk : array, shape (..., M)
        Of the shapes of ``u`` and ``k``: summed over axes along which these were broadcast.
    dx0 : array, shape (..., M - 1)
        With all leading axes of the cotangent.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `fftconv` does.

    Notes
    -----
    Correlations of the cotangent with k and with u, by five transforms. For complex arrays the product is with
    the adjoint of the Jacobian, as torch has it.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.ssm import fftconv_vjp
    >>> du, dk, dx0 = fftconv_vjp([1.0, 2.0], [3.0, 4.0], [5.0, 6.0])
    >>> np.round(du, 12), np.round(dk, 12), dx0
    (array([17., 10.]), array([11.,  6.]), array([1.]))
    """
    xp, u, k, g = _opened({"u": u, "k": k, "cotangent": cotangent}, finite=True)
    L, M = u.shape[-1], k.shape[-1]
    if L == 0:
        raise ValueError(f"u must have at least one sample, got shape {tuple(u.shape)}")
    check_last(g, L, "cotangent")
    if g.ndim < max(u.ndim, k.ndim):
        raise ValueError(f"cotangent must have all leading axes of u and k, got shape {tuple(g.shape)}")
    if cotangent_state is not None:
        _, _, _, more = _opened({"u": u, "k": k, "cotangent_state": cotangent_state}, finite=True)
        check_last(more, M - 1, "cotangent_state")
        batch = tuple(g.shape[:-1])
        if batch_shape(cotangent=batch, cotangent_state=tuple(more.shape[:-1])) != batch:
            raise ValueError(f"cotangent_state must have no more axes than cotangent, got shape {tuple(more.shape)}")
        g = xp.concat([g, xp.broadcast_to(more, (*g.shape[:-1], M - 1))], axis=-1)
    with np.errstate(over="ignore", invalid="ignore"):
        du, dk = (check_result(xp, x, "cotangent") for x in _correlated(xp, g, u, k))
    return du, dk, filled(xp, first(g, M - 1), M - 1)


def _correlated(xp: Any, g: Any, u: Any, k: Any) -> tuple[Any, Any]:
    """Return the correlations of g with k, in the shape of u, and with u, in that of k."""
    N, L, M, real = g.shape[-1], u.shape[-1], k.shape[-1], not is_complex(g)
    n = product_length(N, max(L, M), N, real=real)
    G = forward(xp, g, n)

    def correlation(x: Any, like: Any) -> Any:
        products = summed_to(xp, G * xp.conj(forward(xp, first(x, N), n)), (*like.shape[:-1], G.shape[-1]))
        found = first(inverse(xp, products, n, real=real), min(N, like.shape[-1]))
        return filled(xp, found, like.shape[-1])

    return correlation(k, u), correlation(u, k)


def _opened(arrays: dict[str, Any], *, finite: bool = False) -> tuple[Any, ...]:
    """Return (xp, array, ...) of one dtype and of shapes that fit, u and k first; finite where asked for."""
    xp, *opened = open_door(min_ndim=1, **arrays)
    common = xp.result_type(*opened)
    if finite:
        for name, x in zip(arrays, opened, strict=True):
            check_entries(xp, x, name)
    check_shapes(dict(zip(arrays, opened, strict=True)))
    return (xp, *(xp.astype(x, common, copy=False) for x in opened))


def check_shapes(arrays: dict[str, Any]) -> None:
    """Raise ValueError unless k has entries, the state x0 one less than it, and the leading axes broadcast."""
    k = arrays["k"]
    if k.shape[-1] == 0:
        raise ValueError(f"k must have at least one entry on its last axis, got shape {tuple(k.shape)}")
    if "x0" in arrays:
        check_state(arrays["x0"], k.shape[-1])
    batch_shape(**{name: x.shape[:-1] for name, x in arrays.items()})


def check_state(x: Any, M: int) -> None:
    """Raise ValueError unless a state has one entry less than the kernel."""
    if x.shape[-1] != M - 1:
        raise ValueError(f"x0 must have M - 1 = {M - 1} entries on its last axis, got shape {tuple(x.shape)}")


def _convolved(xp: Any, u: Any, k: Any, count: int) -> Any:
    """Return the first coefficients (..., count) of the product of u and k."""
    if count == 0 or u.shape[-1] == 0:
        batch = batch_shape(u=u.shape[:-1], k=k.shape[:-1])
        return xp.zeros((*batch, count), dtype=u.dtype, device=where_is(u))
    return product(xp, u, k, count)
