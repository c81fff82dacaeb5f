"""The kernel of a rational system by division at the roots of unity of one length, and its adjoint."""

from typing import Any

import numpy as np

from lina._core.array import is_lazy, kernel_of_tensors, on_cluster, to_numpy
from lina._core.checks import check_option, check_rank
from lina.ssm._fourier import check_result, forward, inverse
from lina.ssm._kernels.divide_on_circle import divide_on_circle, has_zero, may_wind, safely_squared
from lina.ssm._kernels.rational import open_cotangent, open_fraction, returned
from lina.ssm._series import filled
from lina.ssm._stability.flag import flag_denominators
from lina.ssm._stability.margin import ACTIONS
from lina.ssm._systems_arrays import is_complex, widened_array

# Single precision divides in double where the denominator comes closer to 0, relative to the sum of its coefficients.
_NEAR = 2.0**-10


def kernel_rational_truncated(a: Any, b_tilde: Any, L: int, *, unstable: str = "warn") -> Any:
    """Return the L taps of b~(z) / a(z) at the L-th roots of unity: for a numerator that belongs to that length.

    Parameters
    ----------
    a, b_tilde : array_like, shape (..., d)
        Denominator without its leading 1, and the numerator that belongs to ``L``, as training at one length learns it.
        Leading axes broadcast.
    L : int
        Number of taps, at least 1, odd or even; below d too. For another one the same numerator gives another system:
        see `recover_b` and `kernel_rational`.
    unstable : {"warn", "raise", "ignore"}
        What to do about a pole outside of the unit circle, of which these taps show nothing.

    Returns
    -------
    K : array, shape (..., L)
        In the library and dtype of ``a`` and ``b_tilde``.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library, or ``L`` is no int.
    ValueError
        If shapes do not fit, entries are not finite, ``L`` is below 1, the denominator vanishes at a root of unity of
        the length, or the system is unstable and ``unstable`` is "raise".
    OverflowError
        If a tap exceeds the range of the dtype.

    Warns
    -----
    UnstableSystemWarning
        If the system is unstable.

    Notes
    -----
    Three transforms of length L. The error is about eps times max over min of abs(a(z)) at the roots of unity; single
    precision is left for double where the minimum is below 2^-10 of the sum of the coefficients. Stability is read from
    the winding of the same samples of the denominator around 0, in the pass that divides; rows in doubt, because the
    argument turns by a quarter from one sample to the next, by their reflection coefficients where they are many, 2 d^2
    flops each; and rows that are still in doubt, or unstable, as in `recover_b`, in the time that it takes. For L < 3 d
    the denominator is sampled apart, which may take longer than the kernel. The first row that is proven unstable is
    told.

    References
    ----------
    Parnichkun et al., State-free inference of state-space models: the transfer function approach, ICML 2024.

    Examples
    --------
    >>> from lina.ssm import kernel_rational_truncated, truncated_b
    >>> kernel_rational_truncated([-0.5], truncated_b([-0.5], [1.0], 3), 3)
    array([1.  , 0.5 , 0.25])
    """
    name = "kernel_rational_truncated"
    own = kernel_of_tensors(name, a, b_tilde) or on_cluster(name, a, b_tilde)
    return (own or truncated_rational_taps)(a, b_tilde, L, unstable)


def truncated_rational_taps(a: Any, b_tilde: Any, L: int, unstable: str) -> Any:
    """Do what `kernel_rational_truncated` does, by array code for any library."""
    xp, a, b = open_fraction(a=a, b_tilde=b_tilde)
    L = check_rank(L, 2**62, "L", "2^62")
    check_option(unstable, ACTIONS, "unstable")
    whole = _whole(xp, a)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        A = _at_roots_of_unity(xp, whole, L)
        ratio, near = _ratio(xp, whole, _at_roots_of_unity(xp, b, L), A, L, unstable)
        if near:
            A = _at_roots_of_unity(xp, widened_array(xp, whole), L)
            ratio = _at_roots_of_unity(xp, widened_array(xp, b), L) / A
        K = inverse(xp, ratio, L, real=not is_complex(b))
        return _checked(xp, xp.astype(K, a.dtype, copy=False), A, "b_tilde")


def _ratio(xp: Any, whole: Any, B: Any, A: Any, L: int, unstable: str) -> tuple[Any, bool]:
    """Return B / A, and whether A comes too near to 0 for single precision; flag rows that are unstable."""
    if is_lazy(A) or 0 in A.shape:
        return B / A, False
    sizes = xp.sum(xp.abs(whole), axis=-1)
    if not safely_squared(xp, whole, sizes):
        _flag_rows(whole, sizes > 0, unstable)
        return B / A, False
    single, surely = whole.dtype in (xp.float32, xp.complex64), sizes < 2 - 2 * _NEAR
    look = not bool(xp.all(surely)) and (single or unstable != "ignore")  # the other coefficients are below 1 together
    least = _NEAR * sizes if single else 0 * sizes
    ratio, near, winds = divide_on_circle(xp, B, A, least, real=not is_complex(whole), look=look)
    if not look:
        return ratio, False
    if unstable != "ignore":
        _flag_rows(whole, to_numpy(may_wind(xp, whole, L, winds)) & ~to_numpy(surely), unstable)
    return ratio, single and bool(near.any())


def _flag_rows(whole: Any, rows: Any, unstable: str) -> None:
    if unstable != "ignore":
        flag_denominators(to_numpy(whole), unstable, to_numpy(rows))


def kernel_rational_truncated_vjp(cotangent: Any, a: Any, b_tilde: Any) -> tuple[Any, Any]:
    """Return the products of a cotangent with the Jacobians of `kernel_rational_truncated` by a and by b~.

    Parameters
    ----------
    cotangent : array, shape (..., L)
        The gradient by the taps, of the batch that ``a`` and ``b_tilde`` broadcast to.
    a, b_tilde : array_like, shape (..., d)
        As in `kernel_rational_truncated`; nothing is said about stability.

    Returns
    -------
    da, db : array, shape (..., d)
        Of the shapes of ``a`` and ``b_tilde``: summed over axes along which these were broadcast.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `kernel_rational_truncated` does, and where ``cotangent`` does not fit.

    Notes
    -----
    With W = G / conj(A) for the transforms of cotangent and denominator: db is the inverse of W, da that of
    -W conj(B / A), from index 1 on. Five transforms. For complex parameters the product is with the adjoint of the
    Jacobian, as torch has it.

    Examples
    --------
    >>> from lina.ssm import kernel_rational_truncated_vjp
    >>> da, db = kernel_rational_truncated_vjp([0.0, 1.0], [-0.5], [0.75])
    >>> da.round(12), db.round(12)
    (array([-1.66666667]), array([0.66666667]))
    """
    xp, g, a, b = open_cotangent(cotangent, a=a, b_tilde=b_tilde)
    L, d, real = g.shape[-1], a.shape[-1], not is_complex(b)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        A = _at_roots_of_unity(xp, _whole(xp, a), L)
        W = forward(xp, g, L) / xp.conj(A)
        K = _at_roots_of_unity(xp, b, L) / A
        db = _unfolded(xp, inverse(xp, W, L, real=real), d)
        da = -_unfolded(xp, inverse(xp, W * xp.conj(K), L, real=real), d + 1)[..., 1:]
        _checked(xp, db, A, "cotangent")
        return returned(xp, da, a), returned(xp, db, b)


def _whole(xp: Any, a: Any) -> Any:
    return xp.concat([xp.ones_like(a[..., :1]), a], axis=-1)


def _at_roots_of_unity(xp: Any, c: Any, L: int) -> Any:
    """Return the transform of length L of coefficients (..., d): those L apart fall on each other."""
    d = c.shape[-1]
    if d > L:
        padded = filled(xp, c, -(-d // L) * L)
        c = xp.sum(xp.reshape(padded, (*c.shape[:-1], padded.shape[-1] // L, L)), axis=-2)
    return forward(xp, c, L)


def _unfolded(xp: Any, x: Any, count: int) -> Any:
    """Return the first entries of the periodic continuation: the transpose of folding."""
    repeats = -(-count // x.shape[-1])
    return (xp.concat([x] * repeats, axis=-1) if repeats > 1 else x)[..., :count]


def _checked(xp: Any, K: Any, A: Any, name: str) -> Any:
    """Return a result that is finite; otherwise the denominator is 0 somewhere, or the result too large."""
    try:
        return check_result(xp, K, name)
    except OverflowError:
        if not has_zero(xp, A):
            raise
    raise ValueError("a must not vanish at a root of unity of the length, found it does: no taps are determined")
