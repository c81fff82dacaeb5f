"""Causal convolution of a signal with a kernel, whole or in parts, and its adjoint."""

from typing import Any

import numpy as np

from lina._core.array import conjugate, epsilon, open_door, where_is
from lina.ssm._fourier import check_result, checked_norm, first, product
from lina.ssm._kernels.cotangents import summed_to
from lina.ssm._series import filled
from lina.ssm._systems_arrays import batch_shape, check_last


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
    xp, u, k, x0, size = _opened(u, k, x0)
    L, M = u.shape[-1], k.shape[-1]
    count = L + M - 1 if return_state else L
    with np.errstate(over="ignore", invalid="ignore"):
        y = _convolved(xp, u, k, count)
        if x0 is not None:
            y = y + filled(xp, first(x0, count), count)
        # otherwise no entry overflows, of the transforms neither: that is known without a look at them
        if x0 is not None or not size * (L + M) ** 2 < (2.0**120 if epsilon(u) > 2.0**-52 else 2.0**1000):
            check_result(xp, y, "u or k")
    return (y[..., :L], y[..., L:]) if return_state else y


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
    Correlations of the cotangent with k and with u, of three transforms each. For complex arrays the product is with
    the adjoint of the Jacobian, as torch has it.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.ssm import fftconv_vjp
    >>> du, dk, dx0 = fftconv_vjp([1.0, 2.0], [3.0, 4.0], [5.0, 6.0])
    >>> np.round(du, 12), np.round(dk, 12), dx0
    (array([17., 10.]), array([11.,  6.]), array([1.]))
    """
    xp, u, k, g, _ = _opened(u, k, cotangent, "cotangent")
    L, M = u.shape[-1], k.shape[-1]
    check_last(g, L, "cotangent")
    if cotangent_state is not None:
        _, _, _, more, _ = _opened(u, k, cotangent_state, "cotangent_state")
        check_last(more, M - 1, "cotangent_state")
        g = xp.concat([g, xp.broadcast_to(more, (*g.shape[:-1], M - 1))], axis=-1)
    backwards, N = xp.flip(g, axis=-1), g.shape[-1]
    with np.errstate(over="ignore", invalid="ignore"):
        du = xp.flip(product(xp, backwards, conjugate(xp, k), N), axis=-1)[..., :L]
        dk = filled(xp, first(xp.flip(product(xp, backwards, conjugate(xp, u), N), axis=-1), M), M)
        du, dk = summed_to(xp, du, u.shape), summed_to(xp, dk, k.shape)
        du, dk = (check_result(xp, x, "cotangent") for x in (du, dk))
    return du, dk, filled(xp, first(g, M - 1), M - 1)


def _opened(u: Any, k: Any, more: Any, name: str = "x0") -> tuple[Any, ...]:
    """Return (xp, u, k, more, norm of u times norm of k) of one dtype, checked; ``more`` may be None as x0."""
    arrays = {"u": u, "k": k} if more is None else {"u": u, "k": k, name: more}
    xp, *opened = open_door(min_ndim=1, **arrays)
    common = xp.result_type(*opened)
    norms = [checked_norm(xp, x, each) for each, x in zip(arrays, opened, strict=True)]
    if opened[1].shape[-1] == 0:
        raise ValueError(f"k must have at least one entry on its last axis, got shape {tuple(opened[1].shape)}")
    if name == "x0" and more is not None:
        check_state(opened[2], opened[1].shape[-1])
    batch_shape(**{each: x.shape[:-1] for each, x in zip(arrays, opened, strict=True)})
    opened = [xp.astype(x, common, copy=False) for x in opened]
    return (xp, *opened, *([None] if more is None else []), norms[0] * norms[1])


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
