"""Polynomials from their roots and of matrices: products in the order of Leja keep their digits."""

from typing import Any

import numpy as np

from lina._core.array import divide, from_numpy, to_numpy
from lina.ssm._systems_arrays import (
    check_overflow,
    check_square,
    is_complex,
    open_parts,
    refuse_followed,
    refuse_traced,
)


def leja_order(points: Any) -> Any:
    """Return the permutation that puts points in Leja order: each as far as can be from those before it.

    Parameters
    ----------
    points : array_like, shape (n,)
        Real or complex.

    Returns
    -------
    order : numpy.ndarray of int, shape (n,)
        ``points[order[0]]`` is the largest in modulus, each further one has the largest product of distances to those
        before.

    Raises
    ------
    TypeError
        If ``points`` is no dense array of numbers.
    ValueError
        If ``points`` is not of one dimension, not finite, or traced by jax.

    Notes
    -----
    n^2 distances, whose logarithms add up, so that no product leaves the range. Computed on the host.

    References
    ----------
    Calvetti, Reichel, SIAM J. Matrix Anal. Appl. 24 (2003) 1098 (the coefficients of a polynomial from its roots).

    Examples
    --------
    >>> from lina.ssm import leja_order
    >>> leja_order([0.0, 0.1, 0.6, 1.0])
    array([3, 0, 2, 1])
    """
    _, points = open_parts(points=points)
    if points.ndim != 1:
        raise ValueError(f"points must have 1 dimension, got shape {tuple(points.shape)}")
    refuse_traced("leja_order", points=points)
    return _leja(to_numpy(points))


def _leja(points: np.ndarray) -> np.ndarray:
    points = points.astype(np.complex128)
    largest = float(max(np.max(np.abs(points.real)), np.max(np.abs(points.imag))))
    if largest > 0:  # a power of two: distances neither overflow nor are rounded otherwise
        points = divide(points, 2.0 ** np.floor(np.log2(largest)))
    order = np.empty(len(points), dtype=np.int64)
    order[0] = np.argmax(np.abs(points))
    product = np.zeros(len(points))
    taken = np.zeros(len(points), dtype=bool)
    with np.errstate(divide="ignore"):
        for i in range(1, len(points)):
            taken[order[i - 1]] = True
            product += np.log(np.abs(points - points[order[i - 1]]))
            # of coinciding points any will do, but none twice
            order[i] = np.argmax(np.where(taken, -np.inf, np.maximum(product, -1e300)))
    return order


def poly_from_roots(roots: Any) -> Any:
    """Return (a_1, ..., a_n) with w^n + a_1 w^(n-1) + ... + a_n = the product of w - root, factors in Leja order.

    Parameters
    ----------
    roots : array_like, shape (..., n)
        The poles of 1 / (1 + a_1 z + ... + a_n z^n). Complex ones that come in exact conjugate pairs give real
        coefficients.

    Returns
    -------
    a : array, shape (..., n)
        In the library and dtype of ``roots``, real where all come in pairs.

    Raises
    ------
    TypeError
        If ``roots`` is no dense array of numbers.
    ValueError
        If ``roots`` is not finite, or traced by jax.
    OverflowError
        If a coefficient exceeds the range of the dtype.
    GradientError
        If torch records a gradient.

    Notes
    -----
    Computed in double precision, on the host; n^2 complex products. In the order of Leja the intermediate
    products stay of the size of the result for roots that spread around a circle, where any other order may lose all
    digits: 256 roots 0.95 exp(2 pi i k / 256) keep 13. Clustered roots have an ill-conditioned polynomial in any order.

    References
    ----------
    Calvetti, Reichel, SIAM J. Matrix Anal. Appl. 24 (2003) 1098.

    Examples
    --------
    >>> from lina.ssm import poly_from_roots
    >>> poly_from_roots([0.5, -0.25])
    array([-0.25 , -0.125])
    """
    xp, roots = open_parts(roots=roots)
    refuse_followed("poly_from_roots", roots=roots)
    values = to_numpy(roots)
    out = np.empty(values.shape, dtype=np.complex128)
    with np.errstate(over="ignore", invalid="ignore"):
        for index in np.ndindex(*values.shape[:-1]):
            out[index] = _product(values[index])
    if not is_complex(roots):
        return check_overflow(xp, from_numpy(out.real, like=roots), "roots")
    paired = all(_in_pairs(values[index]) for index in np.ndindex(*values.shape[:-1]))
    like = xp.real(roots) if paired else roots
    return check_overflow(xp, from_numpy(out.real if paired else out, like=like), "roots")


def _in_pairs(roots: np.ndarray) -> bool:
    return bool(np.array_equal(np.sort_complex(roots), np.sort_complex(roots.conj())))


def _product(roots: np.ndarray) -> np.ndarray:
    """Return the coefficients below the leading 1, of a real polynomial exactly real where roots come in pairs."""
    a = np.zeros(len(roots) + 1, dtype=np.complex128)
    a[0] = 1
    for i, root in enumerate(roots[_leja(roots)].astype(np.complex128)):
        a[1 : i + 2] -= root * a[: i + 1]
    return a[1:]


def characteristic_polynomial(A: Any) -> Any:
    """Return (a_1, ..., a_n) of det(w I - A) = w^n + a_1 w^(n-1) + ... + a_n, so that det(I - z A) = 1 + a_1 z + ....

    Parameters
    ----------
    A : array_like, shape (..., n, n)

    Returns
    -------
    a : array, shape (..., n)
        In the library and dtype of ``A``.

    Raises
    ------
    TypeError
        If ``A`` is no dense array of numbers.
    ValueError
        If ``A`` is not square or not finite, or traced by jax.
    OverflowError
        If a coefficient exceeds the range of the dtype.
    GradientError
        If torch records a gradient.

    Notes
    -----
    The product of its eigenvalues in Leja order, in double precision on the host; about 10 n^3 flops. There is no
    certificate: for one see `to_rational`, which measures what the polynomial does to a response.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.ssm import characteristic_polynomial
    >>> np.round(characteristic_polynomial([[0.0, 2.0], [1.0, 0.0]]), 12) + 0
    array([ 0., -2.])
    """
    xp, A = open_parts(A=A)
    check_square(A)
    refuse_followed("characteristic_polynomial", A=A)
    values = to_numpy(A)
    wide = values.astype(np.result_type(values, np.float64))
    scale = float(np.max(np.abs(wide), initial=0.0))
    factor = 2.0 ** np.floor(np.log2(scale)) if scale > 0 else 1.0
    out = np.empty(values.shape[:-1], dtype=np.complex128)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for index in np.ndindex(*values.shape[:-2]):
            out[index] = _product(np.linalg.eigvals(wide[index] / factor))
        out = _rescaled(out, factor)
    like = A[..., 0]
    return check_overflow(xp, from_numpy(out if is_complex(A) else out.real, like=like), "A")


def _rescaled(a: np.ndarray, factor: float) -> np.ndarray:
    """Return a_k factor^k, one power of two at a time: the power may be beyond the range where the product is not."""
    for k in range(a.shape[-1]):
        a[..., k:] = a[..., k:] * factor
    return a
