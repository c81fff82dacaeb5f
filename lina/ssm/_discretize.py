"""From continuous time to steps, for dense, diagonal and diagonal plus low rank state matrices."""

import math
from typing import Any

import numpy as np

from lina._core.array import check_finite, conjugate, is_lazy, open_door, where_is
from lina._core.checks import check_option, real_number
from lina.ssm._discretize_expm import expm
from lina.ssm._systems_arrays import batch_shape, check_overflow, check_square, check_step, coupling, namespace, solve

METHODS = ("zoh", "bilinear", "euler", "backward", "gbt")
_ALPHAS = {"bilinear": 0.5, "euler": 0.0, "backward": 1.0}


def discretize(A: Any, B: Any, dt: Any, method: str = "zoh", alpha: float | None = None) -> tuple[Any, Any]:
    """Return (Ad, Bd) with which x_{k+1} = Ad x_k + Bd u_k follows x' = A x + B u in steps of ``dt``.

    Parameters
    ----------
    A : array_like, shape (..., n, n)
        Diagonal and diagonal plus low rank systems keep their form in ``system.discretize(dt, method)``.
    B : array_like, shape (..., n) or (..., n, m)
        A vector has one axis less than ``A``.
    dt : float or array_like, shape (...)
        The step, positive; an array holds one for each matrix of the batch.
    method : {"zoh", "bilinear", "euler", "backward", "gbt"}
        "zoh" is exact for an input that is constant over each step, also for singular ``A``. The others are the
        generalised bilinear transform with alpha 1/2 (trapezoidal rule, keeps stability), 0 (forward), 1 (backward),
        and what ``alpha`` says.
    alpha : float, optional
        With "gbt" only: the weight of the end of the step, in 0..1.

    Returns
    -------
    Ad : array, shape (..., n, n)
    Bd : array, of the shape of ``B``
        In the library, on the device and in the wider dtype of ``A`` and ``B``.

    Raises
    ------
    TypeError
        If ``A`` or ``B`` is no dense array of numbers, or both are not of one library.
    ValueError
        If shapes do not fit, entries are not finite, ``dt`` is not positive, ``method`` is unknown, ``alpha`` is
        missing, superfluous or out of range, or 1 / (alpha dt) is an eigenvalue of ``A``.
    OverflowError
        If the result exceeds the range of the dtype.

    Notes
    -----
    "zoh" takes one exponential of ((A, B), (0, 0)) dt, of about 30 n^3 flops, where each column of B is first brought
    to the size of 1, so that its own size costs no digits. The others take one solve, 3 n^3: (I - alpha dt A) Ad =
    I + (1 - alpha) dt A, and Bd = dt (I - alpha dt A)^-1 B. ``Bd`` contains the step: it is what drives the state.
    There is no certificate: the error is a few eps times the condition of the exponential or of the solve.

    References
    ----------
    Van Loan, IEEE Trans. Autom. Control 23 (1978) 395; Zhang, Chen, Chen, J. Franklin Inst. 346 (2009) 1 (gbt);
    Al-Mohy, Higham, SIAM J. Matrix Anal. Appl. 31 (2009) 970 (the exponential).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.ssm import discretize
    >>> Ad, Bd = discretize([[0.0, 1.0], [0.0, 0.0]], [0.0, 1.0], 0.5)
    >>> Ad, Bd
    (array([[1. , 0.5],
           [0. , 1. ]]), array([0.125, 0.5  ]))
    """
    alpha = check_method(method, alpha)
    xp, A, B = open_door(min_ndim=1, A=A, B=B)
    n = check_square(A)
    vector = B.ndim == A.ndim - 1
    if B.ndim not in (A.ndim - 1, A.ndim) or B.shape[-1 if vector else -2] != n:
        raise ValueError(
            f"B must have shape (..., {n}) or (..., {n}, m), got {tuple(B.shape)} beside A {tuple(A.shape)}"
        )
    if n == 0:
        raise ValueError(f"A must have at least one state, got shape {tuple(A.shape)}")
    batch_shape(A=A.shape[:-2], B=B.shape[: -1 if vector else -2])
    check_finite(xp, A, "A")
    check_finite(xp, B, "B")
    common = xp.result_type(A, B)
    A, B = (xp.astype(x, common, copy=False) for x in (A, B))
    dt = check_step(xp, dt, A)[..., None, None]
    columns = B[..., None] if vector else B
    with np.errstate(over="ignore", invalid="ignore"):  # what overflowed is found at the end
        Ad, Bd = _hold(xp, A, columns, dt) if alpha is None else _transform(xp, A, columns, dt, alpha)
    return check_overflow(xp, Ad, "A"), check_overflow(xp, Bd[..., 0] if vector else Bd, "B")


def discretize_vector(A: Any, B: Any, dt: Any, method: str = "zoh", alpha: float | None = None) -> tuple[Any, Any]:
    """Return what `discretize` does of a vector B (..., n), whatever leading axes it has: they broadcast with A's.

    Vectors beside one matrix and one step are its columns: they take one exponential or solve together.
    """
    check_method(method, alpha)
    xp, n = namespace(A), B.shape[-1]
    dt = check_step(xp, dt, A)
    if A.ndim == 2 and B.ndim > 1 and dt.ndim == 0:
        columns = xp.matrix_transpose(xp.reshape(B, (math.prod(B.shape[:-1]), n)))
        Ad, Bd = discretize(A, columns, dt, method, alpha)
        return Ad, xp.reshape(xp.matrix_transpose(Bd), B.shape)
    axes = max(A.ndim - 2, B.ndim - 1)
    A = xp.reshape(A, (*(1,) * (axes + 2 - A.ndim), *A.shape))
    return discretize(A, xp.reshape(B, (*(1,) * (axes + 1 - B.ndim), *B.shape)), dt, method, alpha)


def check_method(method: str, alpha: float | None) -> float | None:
    """Return the weight of the end of the step, None for "zoh"."""
    check_option(method, METHODS, "method")
    if method != "gbt":
        if alpha is not None:
            raise ValueError(f"alpha must be None with method {method!r}, got {alpha}")
        return _ALPHAS.get(method)
    if alpha is None:
        raise ValueError("alpha must be given with method 'gbt', got None")
    value = real_number(alpha, "alpha")
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"alpha must be in 0..1, got {value}")
    return value


def _hold(xp: Any, A: Any, B: Any, dt: Any) -> tuple[Any, Any]:
    n, m = A.shape[-1], B.shape[-1]
    A, B = A * dt, B * dt
    batch = (B[..., :1, :1] + A[..., :1, :1]).shape[:-2]
    A, B = xp.broadcast_to(A, (*batch, n, n)), xp.broadcast_to(B, (*batch, n, m))
    largest = xp.max(xp.abs(B), axis=-2, keepdims=True) if m else xp.zeros_like(xp.real(A[..., :1, :1]))
    if not is_lazy(largest) and not bool(xp.all(xp.isfinite(largest))):
        raise OverflowError("B must be small enough for B dt to be finite, found entries that overflow")
    some = largest > 0
    exponent = xp.where(some, xp.floor(xp.log2(xp.where(some, largest, xp.ones_like(largest)))), xp.zeros_like(largest))
    half = 2 ** xp.floor(exponent / 2)  # in two steps: a power of two or its reciprocal may be beyond the dtype
    rest = 2 ** (exponent - xp.floor(exponent / 2))
    below = xp.zeros((*batch, m, n + m), dtype=A.dtype, device=where_is(A))
    joint = xp.concat([xp.concat([A, B / half / rest], axis=-1), below], axis=-2)
    check_overflow(xp, joint, "A")
    E = expm(xp, joint)
    return E[..., :n, :n], E[..., :n, n:] * half * rest


def _transform(xp: Any, A: Any, B: Any, dt: Any, alpha: float) -> tuple[Any, Any]:
    A, B = A * dt, B * dt
    identity = xp.eye(A.shape[-1], dtype=A.dtype, device=where_is(A))
    if alpha == 0:
        return identity + A, B
    batch = (B[..., :1, :1] + A[..., :1, :1]).shape[:-2]
    right = [xp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (identity + (1 - alpha) * A, B)]
    left = check_overflow(xp, xp.broadcast_to(identity - alpha * A, right[0].shape), "A")
    wanted = f"A must not have the eigenvalue 1 / (alpha dt), alpha = {alpha}, found it has"
    X = solve(xp, left, xp.concat(right, axis=-1), wanted)
    n = A.shape[-1]
    return X[..., :n], X[..., n:]


def discretize_diagonal(Lambda: Any, B: Any, dt: Any, method: str, alpha: float | None) -> tuple[Any, Any]:
    """Return (Lambda, B) of the discrete system, of complex arrays (..., n)."""
    weight = check_method(method, alpha)
    xp = namespace(Lambda)
    dt = xp.astype(check_step(xp, dt, Lambda)[..., None], Lambda.dtype)
    w = check_overflow(xp, Lambda * dt, "Lambda")
    if weight is None:
        with np.errstate(over="ignore", invalid="ignore"):
            grown = _complex_expm1(xp, w)
            zero = w == 0
            mean = xp.where(zero, xp.ones_like(w), grown / xp.where(zero, xp.ones_like(w), w))
            return check_overflow(xp, xp.exp(w), "Lambda"), check_overflow(xp, mean * dt * B, "B")
    resolvent = _reciprocal(xp, 1 - weight * w)
    return (1 + (1 - weight) * w) * resolvent, check_overflow(xp, dt * B * resolvent, "B")


def _complex_expm1(xp: Any, w: Any) -> Any:
    """Return exp(w) - 1 for complex w without cancellation: few libraries have it."""
    x, y = xp.real(w), xp.imag(w)
    real = xp.expm1(x) * xp.cos(y) - 2 * xp.sin(y / 2) ** 2
    return real + 1j * (xp.exp(x) * xp.sin(y))


def _reciprocal(xp: Any, x: Any) -> Any:
    if not is_lazy(x) and bool(xp.any(x == 0)):
        raise ValueError("Lambda must not have the value 1 / (alpha dt), found it has")
    return 1 / x


def discretize_dplr(
    Lambda: Any, P: Any, Q: Any, B: Any, dt: Any, method: str, alpha: float | None
) -> tuple[Any, Any, Any, Any]:
    """Return (Lambda, P, Q, B) of the discrete system; complex arrays, P and Q (..., r, n).

    With D = (I - alpha dt Lambda)^-1 and S = I + alpha dt Q^* D P, the resolvent is D - alpha dt D P S^-1 Q^* D
    (Woodbury), so that Ad = (I + (1 - alpha) dt Lambda) D - dt D P S^-1 Q^* D.
    """
    weight = check_method(method, alpha)
    if weight is None:
        raise ValueError(
            "method must be one of 'bilinear', 'euler', 'backward', 'gbt' for diagonal plus low rank, got 'zoh', whose "
            "exponential has no such form: take to_dense(system).system.discretize(dt, 'zoh')"
        )
    xp = namespace(Lambda)
    dt = xp.astype(check_step(xp, dt, Lambda)[..., None], Lambda.dtype)
    w = check_overflow(xp, Lambda * dt, "Lambda")
    D = _reciprocal(xp, 1 - weight * w)
    left, right = D[..., None, :] * P, conjugate(xp, D)[..., None, :] * Q
    rows = dt[..., None]
    identity = xp.eye(P.shape[-2], dtype=xp.real(dt).dtype, device=where_is(D))
    S = identity + weight * xp.real(rows) * coupling(xp, Q, left)
    solved = xp.astype(_apply_inverse(xp, xp.matrix_transpose(S), left), Lambda.dtype)
    driven = xp.astype(coupling(xp, right, B[..., None, :]), Lambda.dtype)  # Q^* D B, shape (..., r, 1)
    Bd = dt * (D * B - weight * dt * xp.sum(driven * solved, axis=-2))
    return (1 + (1 - weight) * w) * D, rows * solved, right, check_overflow(xp, Bd, "B")


def _apply_inverse(xp: Any, S: Any, rows: Any) -> Any:
    """Return S^-1 rows for a real S (..., r, r) and complex rows (..., r, n)."""
    if S.shape[-1] == 1:
        return rows / xp.astype(S, rows.dtype)
    batch = (S[..., :1, :1] + xp.real(rows[..., :1, :1])).shape[:-2]
    S = xp.broadcast_to(xp.astype(S, rows.dtype), (*batch, *S.shape[-2:]))
    wanted = "Lambda, P and Q must not have an eigenvalue of A at 1 / (alpha dt), nor overflow with dt, found they do"
    return solve(xp, S, xp.broadcast_to(rows, (*batch, *rows.shape[-2:])), wanted)
