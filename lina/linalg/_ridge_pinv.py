"""The regularised pseudo-inverse (A^H A + eps I)^-1 A^H, for many eps from one factorisation."""

import math
from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import (
    adjoint,
    balance,
    check_finite,
    check_norm,
    dtype_name,
    epsilon,
    from_numpy,
    is_lazy,
    open_door,
    scalar,
    to_numpy,
)
from lina._core.errors import GradientError
from lina.linalg._pinv.outcome import cutoff_for
from lina.linalg._pinv.svd import check_result, spectrum_facts
from lina.linalg._thin_svd import counted_svd

# Eigenvalues of A^H A + eps I err by eps of the largest: up to this ratio of them that is a hundred eps.
_GRAM_CONDITION = 100.0
# Smaller matrices are done before that can be found out.
_WORTH_GUARDING = 4096


def ridge_pinv(A: Any, eps: Any, *, B: Any = None) -> Any:
    """Compute (A^H A + eps I)^-1 A^H, or its product with ``B``, for one eps or many.

    Singular values s of ``A`` turn into s / (s^2 + eps). Those at or below the default cutoff of `pinv` count as zero
    for every eps, so that the result tends to the pseudo-inverse as eps tends to 0, smoothly and without noise.

    Parameters
    ----------
    A : array_like, shape (..., m, n)
        Integers and booleans are promoted to float64, half precisions to float32.
    eps : float or array_like, shape (E,)
        Finite and not negative; 0 is `pinv` with its default cutoff.
    B : array_like, shape (..., m, p) or (m,), optional
        Return the products with ``B`` instead, never forming the inverses: the solutions of
        min ||A X - B||^2 + eps ||X||^2. A vector stands for one column.

    Returns
    -------
    X : array, shape (..., n, m)
        With ``B`` of shape (..., n, p), or (..., n) for a vector; for a vector ``eps`` with an axis (E, ...) in
        front. In the library and on the device of ``A``.

    Raises
    ------
    TypeError
        If ``A`` or ``B`` is no dense array of numbers, or both are not of one library.
    ValueError
        If ``A`` has fewer than 2 dimensions, shapes do not fit, ``eps`` is negative or no number or vector, or one
        of them holds NaN or infinities. The values of traced (jax) and lazy (dask) ``A`` and ``B`` are not looked at.

    OverflowError
        If the result, or the norm of ``A``, exceeds the range of the dtype.

    Notes
    -----
    The 2-norm of the error, beside that of backward stable methods, is at most c / (c^2 + eps) with the cutoff c =
    max(m, n) eps(dtype) norm(A, 2), because of what counts as zero: at most c / eps and 1 / (2 sqrt(eps)).

    Cost for m >= n: m n^2 + 9 n^3 flops by eigenvalues of A^H A, where these span a factor 100 or less with the
    smallest eps added; otherwise the SVD, 6 m n^2 + 22 n^3 flops for m >= 2 n. Each eps then costs 2 m n k flops,
    with ``B`` 2 n k p, where k = min(m, n). Wide matrices cost the same with m and n exchanged.

    References
    ----------
    Tikhonov, Arsenin, Solutions of ill-posed problems, 1977; Hansen, Rank-deficient and discrete ill-posed problems,
    SIAM 1998, eq. 5.1 (filter factors).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import ridge_pinv
    >>> A = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    >>> ridge_pinv(A, [0.0, 1.0], B=[1.0, 2.0, 3.0])
    array([[1. , 1. ],
           [0.5, 0.8]])
    """
    path = _checked_eps(eps)
    xp, A, B, vector = _opened(A, B)
    if math.prod(A.shape) == 0 or path.size == 0:
        X = _empty(xp, A, B, path)
    elif A.ndim == 2 and not is_lazy(A):
        X = _matrix(xp, A, B, path)
    else:
        check_finite(xp, A, "A")
        U, s, Vt = xp.linalg.svd(A, full_matrices=False)
        X = _filtered(xp, (adjoint(xp, Vt),), _filter(xp, A, s, path), (adjoint(xp, U),), B)
    if B is not None and not is_lazy(X) and not bool(xp.all(xp.isfinite(X))):
        raise OverflowError(f"B must not be so large that the result overflows {dtype_name(X)}")
    X = X[..., 0] if vector else X
    return X if np.ndim(eps) else X[0, ...]


def _opened(A: Any, B: Any) -> tuple[Any, Any, Any, bool]:
    """Return (xp, A, B, whether B was a vector), both of one dtype; B may be None."""
    if B is None:
        return *open_door(min_ndim=2, A=A), None, False
    xp, A, B = open_door(min_ndim=1, A=A, B=B)
    if A.ndim < 2:
        raise ValueError(f"A must have at least 2 dimensions, got shape {tuple(A.shape)}")
    check_finite(xp, B, "B")
    vector = B.ndim == 1
    rows = B.shape[0] if vector else B.shape[-2]
    if rows != A.shape[-2]:
        raise ValueError(f"B must have as many rows as A, {A.shape[-2]}, got shape {tuple(B.shape)}")
    dtype = xp.result_type(A, B)
    return xp, xp.astype(A, dtype, copy=False), xp.astype(B[:, None] if vector else B, dtype, copy=False), vector


def _checked_eps(eps: Any) -> np.ndarray:
    """Return eps as a vector (E,) of float64."""
    if getattr(eps, "requires_grad", False):
        raise GradientError("eps has no gradient: call ridge_pinv with eps.detach()")
    try:
        path = np.asarray(to_numpy(eps))
        if path.dtype.kind not in "biuf":
            raise TypeError
        path = path.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"eps must be a number or a vector of numbers, got {type(eps).__name__}") from None
    if path.ndim > 1:
        raise ValueError(f"eps must be a number or a vector, got shape {path.shape}")
    if not bool(np.all(np.isfinite(path) & (path >= 0))):
        raise ValueError(f"eps must be finite and not negative, got {eps}")
    return np.atleast_1d(path)


def _empty(xp: Any, A: Any, B: Any, path: np.ndarray) -> Any:
    columns = A.shape[-2] if B is None else B.shape[-1]
    shape = (path.shape[0], *A.shape[:-2], A.shape[-1], columns)
    return xp.zeros(shape, dtype=A.dtype, device=device(A))


def _matrix(xp: Any, A: Any, B: Any, path: np.ndarray) -> Any:
    """One matrix (m, n): eigenvalues of the smaller Gram matrix where the digits allow it, otherwise the SVD."""
    scaled, norm_A, scale = balance(xp, A, "A")
    check_norm(A, norm_A, scale, "A")
    cutoff = cutoff_for(A.shape, epsilon(A), None, None)
    if scale == 1.0 and math.prod(A.shape) >= _WORTH_GUARDING and cutoff.rtol <= 1 / _GRAM_CONDITION:
        X = _by_gram(xp, A, B, path)
        if X is not None:
            return X
    U, s, Vt, _ = counted_svd(xp, scaled, cutoff)
    return _filtered(xp, (adjoint(xp, Vt),), _filter(xp, A, s * scale, path), (adjoint(xp, U),), B)


def _by_gram(xp: Any, A: Any, B: Any, path: np.ndarray) -> Any | None:
    """Return V diag(1 / (values + eps)) V^H A^H, or A^H V diag(1 / (values + eps)) V^H for wide matrices."""
    AH = adjoint(xp, A)
    wide = A.shape[0] < A.shape[1]
    values, V = xp.linalg.eigh(A @ AH if wide else AH @ A)
    added = float(path.min())
    least, largest = scalar(values[0]) + added, scalar(values[-1]) + added
    if not 0.0 < largest <= _GRAM_CONDITION * least:
        return None
    weights = 1.0 / (values[None, :] + from_numpy(path, values)[:, None])
    VH = adjoint(xp, V)
    return _filtered(xp, (AH, V), weights, (VH,), B) if wide else _filtered(xp, (V,), weights, (VH, AH), B)


def _filter(xp: Any, A: Any, s: Any, path: np.ndarray) -> Any:
    """Return s / (s^2 + eps) where s counts, otherwise 0: (E, ..., k) of the singular values s (..., k)."""
    keep = spectrum_facts(xp, s, cutoff_for(A.shape, epsilon(A), None, None))[0]
    counted = xp.where(keep, s, xp.ones_like(s))
    with np.errstate(over="ignore"):
        root = xp.reshape(from_numpy(np.sqrt(path), s), (-1, *(1 for _ in s.shape)))
        inverse = 1.0 / (counted + root / counted * root)  # no squares: they, or eps, may be beyond the dtype
    weights = xp.where(keep, inverse, xp.zeros_like(inverse))
    if not is_lazy(weights):
        check_result(xp, weights)
    return weights


def _filtered(xp: Any, left: tuple[Any, ...], weights: Any, right: tuple[Any, ...], B: Any) -> Any:
    """Return left @ diag(weights) @ right @ B for each of the weights (E, ..., k); the last of ``left`` is (n, k)."""
    *outer, last = left
    weights = xp.astype(weights, last.dtype)
    factors = right if B is None else (*right, B)
    with np.errstate(over="ignore", invalid="ignore"):  # the caller looks whether it is finite
        middle = factors[-1]
        for factor in reversed(factors[:-1]):
            middle = factor @ middle
        if last.shape[-2] < middle.shape[-1]:
            X = (last * weights[..., None, :]) @ middle
        else:
            X = last @ (weights[..., :, None] * middle)
        for factor in reversed(outer):
            X = factor @ X
    return X
