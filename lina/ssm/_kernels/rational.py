"""The impulse response of a rational system, and its adjoint."""

from typing import Any

import numpy as np

from lina._core.array import conjugate, kernel_of_tensors, on_cluster, open_door
from lina._core.checks import check_rank
from lina.ssm._fourier import check_entries, check_result, first, product
from lina.ssm._kernels.cotangents import check_cotangent, summed_to
from lina.ssm._series import divide, filled
from lina.ssm._systems_arrays import batch_shape, check_last, widened_array


def kernel_rational(a: Any, b: Any, L: int) -> Any:
    """Return the first L taps of the impulse response of (b_1 + ... + b_d z^(d-1)) / (1 + a_1 z + ... + a_d z^d).

    These are the taps of the system itself: ``kernel_rational(a, b, l)`` is the beginning of ``kernel_rational(a, b,
    L)``, and a recurrence with the same ``a`` and ``b`` has them too. Parameters that were trained by an FFT of one
    length have their taps from `kernel_rational_truncated`, and their true numerator from `recover_b`.

    Parameters
    ----------
    a, b : array_like, shape (..., d)
        Denominator without its leading 1, and numerator. Leading axes broadcast.
    L : int
        Number of taps, at least 1; below d too.

    Returns
    -------
    K : array, shape (..., L)
        In the library and dtype of ``a`` and ``b``.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library, or ``L`` is no int.
    ValueError
        If shapes do not fit, entries are not finite, or ``L`` is below 1.
    OverflowError
        If an unstable system has a tap beyond the range of the dtype. One that grows less shows its growth: nothing is
        hidden, and there is no warning.

    Notes
    -----
    Long division, 2 d L flops a row with a kernel, or (max(64, d) + d) L as triangular systems. Beyond d = 256, and in
    libraries without either, blocks of 2 d taps by transforms, each with the remainder of those before: about 5
    transforms of length L; up to d = 256 tap by tap where 1 / a grows too fast for blocks. In double precision where
    the library has it. The error relative to the largest tap is that of the recurrence, eps times the sum of
    abs(1 / a): in long division about 1e-14 for a pair of poles of modulus 0.9999. Blocks lose a digit more, and up to
    three where 1 / a is found by doubling, without a kernel: for 300 poles within 1e-9 of the circle long division errs
    by 1e-13, blocks by 1e-12 with a kernel and 2e-10 without. Dividing at roots of unity
    instead would add up the taps l, l + L, l + 2 L, ...: with a pole at 0.99 they are off by 8 % for L = 256.

    References
    ----------
    Hanrot, Zimmermann, Newton iteration revisited (2004), for blocks of series; Parnichkun et al., State-free inference
    of state-space models: the transfer function approach, ICML 2024, for the parameters.

    Examples
    --------
    >>> from lina.ssm import kernel_rational
    >>> kernel_rational([-0.5], [1.0], 4)
    array([1.   , 0.5  , 0.25 , 0.125])
    >>> kernel_rational([-1.0, -1.0], [1.0, 0.0], 7)
    array([ 1.,  1.,  2.,  3.,  5.,  8., 13.])
    """
    own = kernel_of_tensors("kernel_rational", a, b) or on_cluster("kernel_rational", a, b)
    return (own or rational_taps)(a, b, L)


def rational_taps(a: Any, b: Any, L: int) -> Any:
    """Do what `kernel_rational` does, by array code for any library."""
    xp, a, b = open_fraction(a=a, b=b)
    L = check_rank(L, 2**62, "L", "2^62")
    with np.errstate(over="ignore", invalid="ignore"):
        K = xp.astype(divide(xp, widened_array(xp, b), widened_array(xp, a), L), b.dtype, copy=False)
        return check_result(xp, K, "a or b")


def kernel_rational_vjp(cotangent: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Return the products of a cotangent with the Jacobians of `kernel_rational` by a and by b.

    Parameters
    ----------
    cotangent : array, shape (..., L)
        The gradient by the taps, of the batch that ``a`` and ``b`` broadcast to.
    a, b : array_like, shape (..., d)
        As in `kernel_rational`.

    Returns
    -------
    da, db : array, shape (..., d)
        Of the shapes of ``a`` and ``b``: summed over axes along which these were broadcast.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `kernel_rational` does, and where ``cotangent`` does not fit.

    Notes
    -----
    With w = the quotient of the reversed cotangent, reversed: db_k = w_k, da_k = -sum over l of w_l K_{l-k}. Two
    divisions and one correlation; memory of the taps. For complex parameters these are of their conjugates, and the
    product is with the adjoint of the Jacobian, as torch has it.

    Examples
    --------
    >>> from lina.ssm import kernel_rational_vjp
    >>> kernel_rational_vjp([0.0, 1.0], [-0.5], [1.0])
    (array([-1.]), array([0.5]))
    """
    xp, g, a, b = open_cotangent(cotangent, a=a, b=b)
    L, d = g.shape[-1], a.shape[-1]
    a_bar, b_bar = (conjugate(xp, widened_array(xp, x)) for x in (a, b))
    with np.errstate(over="ignore", invalid="ignore"):
        w = divide(xp, xp.flip(widened_array(xp, g), axis=-1), a_bar, L)
        K = divide(xp, b_bar, a_bar, L)
        da = first(-xp.flip(product(xp, w, K, L), axis=-1)[..., 1:], d)
        db = first(xp.flip(w, axis=-1), d)
        da, db = (filled(xp, x, d) for x in (da, db))
        return returned(xp, da, a), returned(xp, db, b)


def open_fraction(**arrays: Any) -> tuple[Any, ...]:
    """Return (xp, array, ...) of one dtype, checked: the first two are denominator and numerator."""
    xp, *opened = open_door(min_ndim=1, **arrays)
    common = xp.result_type(*opened)
    for name, x in zip(arrays, opened, strict=True):
        check_entries(xp, x, name)
        if x.shape[-1] == 0:
            raise ValueError(f"{name} must have at least one entry on its last axis, got shape {tuple(x.shape)}")
    check_last(opened[1], opened[0].shape[-1], list(arrays)[1])
    batch_shape(**{name: x.shape[:-1] for name, x in list(zip(arrays, opened, strict=True))[:2]})
    return (xp, *(xp.astype(x, common, copy=False) for x in opened))


def open_cotangent(cotangent: Any, **fraction: Any) -> tuple[Any, Any, Any, Any]:
    """Return (xp, cotangent, denominator, numerator) of one dtype, checked."""
    xp, a, b, g = open_fraction(**fraction, cotangent=cotangent)
    check_cotangent(g, tuple(np.broadcast_shapes(a.shape[:-1], b.shape[:-1])))
    return xp, g, a, b


def returned(xp: Any, gradient: Any, like: Any) -> Any:
    """Return a gradient in the shape and dtype of what it is by."""
    summed = summed_to(xp, gradient, like.shape)
    return check_result(xp, xp.astype(summed, like.dtype, copy=False), "cotangent")
