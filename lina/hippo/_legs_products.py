"""Products and solves with the matrix of LegS in O(N)."""

import math
from typing import Any

import numpy as np

from lina._core.array import is_lazy, open_door
from lina._core.checks import real_number
from lina._core.kernels import kernel
from lina.hippo._arrays import check_overflow, constant, open_finite
from lina.hippo._measures import roots
from lina.hippo._prefix import after, before, first_order


def legs_matvec(x: Any) -> Any:
    """Return A x for the matrix A of LegS in the scalings of paper and orthonormal.

    Parameters
    ----------
    x : array, shape (..., N)
        Real or complex.

    Returns
    -------
    array, shape (..., N)

    Raises
    ------
    ValueError
        If ``x`` has no axis, or entries that are not finite.
    OverflowError
        If the product does not fit the dtype.

    Notes
    -----
    One cumulative sum, 4 N flops: (A x)_n = -(n + 1) x_n - r_n sum_(m<n) r_m x_m, r_n = sqrt(2n + 1) (article 10137 of
    the Scientific Spaces blog). Backward stable.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.hippo import legs_matvec, transition
    >>> A, B = transition("legs", 4)
    >>> np.allclose(legs_matvec(np.eye(4)).T, A)
    True
    """
    return _product(x, before)


def legs_rmatvec(x: Any) -> Any:
    """Return A^T x for the matrix A of LegS; as `legs_matvec`."""
    return _product(x, after)


def _product(x: Any, others: Any) -> Any:
    xp, x = open_finite(x=x)
    r, degree = _coefficients(xp, x)
    with np.errstate(over="ignore", invalid="ignore"):
        return check_overflow(xp, -degree * x - r * others(xp, r * x), "x")


def _coefficients(xp: Any, x: Any) -> tuple[Any, Any]:
    N = x.shape[-1]
    return constant(xp, roots(N), x), constant(xp, np.arange(N) + 1.0, x)


def legs_solve(b: Any, h: Any) -> Any:
    """Return x with (I - h A) x = b for the matrix A of LegS in the scalings of paper and orthonormal.

    Parameters
    ----------
    b : array, shape (..., N)
        Real or complex.
    h : float or array, shape (...)
        Step, not negative; an array broadcasts with the batch of ``b``. ``math.inf`` solves -A x = b.

    Returns
    -------
    array, shape (..., N)

    Raises
    ------
    TypeError
        If ``h`` is neither a number nor a real array of the library of ``b``.
    ValueError
        If ``b`` is not finite or has no axis, or a step is negative or NaN.
    OverflowError
        If the solution does not fit the dtype.

    Notes
    -----
    The sums s_n = sum_(m<n) r_m x_m follow s_(n+1) = s_n (1 - h n) / (1 + h (n + 1)) + r_n b_n / (1 + h (n + 1)): a
    loop of 6 N flops with a kernel, elsewhere log2(N) passes by doubling. All factors are below 1 in modulus, so the
    error stays near sqrt(N) eps relative to norm(b).

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> from lina.hippo import legs_solve, transition
    >>> A, B = transition("legs", 4)
    >>> np.allclose(legs_solve(B, math.inf), [1, 0, 0, 0])
    True
    """
    return _solve(b, h, backwards=False)


def legs_rsolve(b: Any, h: Any) -> Any:
    """Return x with (I - h A^T) x = b for the matrix A of LegS; as `legs_solve`."""
    return _solve(b, h, backwards=True)


def _solve(b: Any, h: Any, *, backwards: bool) -> Any:
    xp, b = open_finite(b=b)
    identity, step = _weights(xp, h, b)
    with np.errstate(over="ignore", invalid="ignore"):
        fast = kernel("legs_solve", xp)
        if fast is not None and b.size >= _WORTH_COMPILING:
            return check_overflow(xp, fast(b, identity, step, backwards), "b")
        return check_overflow(xp, solve_body(xp, b, identity, step, backwards), "b")


# A kernel takes seconds to compile on its first call: below this many entries the doubling is done earlier.
_WORTH_COMPILING = 4096


def _weights(xp: Any, h: Any, b: Any) -> tuple[Any, Any]:
    """Return (1, h), or (0, 1) where h is infinite, as arrays (..., 1): the weights of I and -A."""
    if hasattr(h, "shape") and not isinstance(h, np.generic):
        open_door(b=b, h=h)  # of one library, on one device
        xp, step = open_finite_or_infinite(xp, h)
        try:
            np.broadcast_shapes(tuple(step.shape), tuple(b.shape[:-1]))
        except ValueError:
            wanted = f"a shape that broadcasts with the batch {tuple(b.shape[:-1])} of b"
            raise ValueError(f"h must have {wanted}, got {tuple(step.shape)}") from None
        step = xp.astype(step, constant(xp, np.ones(1), b).dtype)[..., None]
        infinite = xp.isinf(step)
        return xp.where(infinite, 0.0, xp.ones_like(step)), xp.where(infinite, xp.ones_like(step), step)
    number = real_number(h, "h", "a number or an array")
    if not number >= 0:
        raise ValueError(f"h must not be negative, got {number}")
    pair = (0.0, 1.0) if math.isinf(number) else (1.0, number)
    return constant(xp, np.array(pair[:1]), b), constant(xp, np.array(pair[1:]), b)


def open_finite_or_infinite(xp: Any, h: Any) -> tuple[Any, Any]:
    """Return the steps, checked as real and not negative."""
    if not xp.isdtype(h.dtype, "real floating"):
        raise TypeError(f"h must be a number or a real array, got dtype {h.dtype}")
    if not is_lazy(h) and not bool(xp.all(h >= 0)):
        raise ValueError("h must not be negative, got an array with negative entries or NaN")
    return xp, h


def solve_body(xp: Any, b: Any, identity: Any, step: Any, backwards: bool) -> Any:
    """Return the solution of (identity I - step A) x = b in array code, of the transpose where ``backwards``."""
    r, degree = _coefficients(xp, b)
    inverse = 1 / (identity + step * degree)
    if backwards:
        b, r, degree, inverse = (xp.flip(v, axis=-1) for v in (b, r, degree, inverse))
    # a sum over entries done is multiplied by 1 - step r_n^2 / d_n, here without its cancellation
    factor = (identity - step * (degree - 1)) * inverse
    total = first_order(xp, factor, r * inverse * b)
    done = xp.concat([xp.zeros_like(total[..., :1]), total[..., :-1]], axis=-1)
    x = (b - step * r * done) * inverse
    return xp.flip(x, axis=-1) if backwards else x
