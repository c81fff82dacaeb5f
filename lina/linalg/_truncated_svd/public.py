"""lina.linalg.truncated_svd: checks, the choice of the algorithm, and the certificate."""

from typing import Any

import numpy as np

from lina._core.array import (
    adjoint,
    balance,
    check_norm,
    check_option,
    check_rank,
    epsilon,
    frobenius,
    is_lazy,
    open_door,
    scalar,
)
from lina._core.certificates import Certificate, CertificateKind, Status
from lina._core.random import gaussian, generator
from lina.linalg._residual import projection_error
from lina.linalg._stopping import check_matrix, check_stopping
from lina.linalg._truncated_svd.dense import dense_svd
from lina.linalg._truncated_svd.gram import gram_svd
from lina.linalg._truncated_svd.krylov import krylov_svd
from lina.linalg._truncated_svd.problem import Factors, Goal, Matrix
from lina.linalg._truncated_svd.result import TruncatedSVD

METHODS = ("auto", "gram", "krylov", "svd")

# Probes of the bound of the 2-norm, each of which errs with probability 1/10.
_PROBES = 10


def truncated_svd(
    A: Any,
    k: int | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    norm: str = "fro",
    method: str = "auto",
    center: bool = False,
    max_passes: int | None = None,
    rng: int | np.random.Generator | None = None,
) -> TruncatedSVD:
    """Compute the leading singular triplets, as many as asked for or as a tolerance needs, with the error left over.

    Parameters
    ----------
    A : array_like, shape (m, n)
        Dense. Integers and booleans are promoted to float64, half precisions to float32.
    k : int, optional
        Number of triplets, in 1..min(m, n). With a tolerance: at most so many.
    rtol, atol : float, optional
        Stop at the least rank whose error is at most ``max(rtol * norm(A), atol)``, both in the norm ``norm``.
        At least one of ``k``, ``rtol``, ``atol`` is needed.
    norm : {"fro", "2"}
        The norm of the tolerance and of ``error``.
    method : {"auto", "gram", "krylov", "svd"}
        Eigenvectors of the smaller Gram matrix; randomised block Krylov; the whole SVD, cut off. "gram" hands over
        to "svd" where the triplets wanted lie below 1e-5 (float64) of the largest.
    center : bool
        Subtract the mean of each column first (principal component analysis); a copy of ``A`` is made.
    max_passes : int, optional
        "krylov" is used and reads ``A`` at most so often, at least 2 times; the certificate and the norm of ``A``
        (``rtol`` with ``norm="2"``) are not included. By default it stops when a further pass would not lower the
        error by as much as 1 %, after 7 passes or more.
    rng : int, numpy.random.Generator or None
        Start of the Krylov blocks and of the 2-norm probes.

    Returns
    -------
    TruncatedSVD
        ``U`` (m, k), ``s`` (k,), ``Vt`` (k, n), ``error``, ``error_kind``, ``failure_probability``, ``passes``,
        ``status``. It acts as a matrix: ``F @ x``, ``F.T @ y``, ``F.toarray()``, ``F.truncate(k)``.

    Raises
    ------
    TypeError
        If ``A`` is no dense array of numbers, ``k`` no int, or ``rng`` none of the above.
    ValueError
        If ``A`` is not a finite nonempty matrix, ``k`` is out of range, a tolerance is negative, or nothing says
        where to stop. Values of traced (jax) and lazy (dask) arrays are not looked at: these need ``k``, and the
        whole SVD is used.

    OverflowError
        If the Frobenius norm of ``A`` exceeds half the range of the dtype.

    Notes
    -----
    The error in the Frobenius norm is rigorous: norm(A)^2 - norm(s)^2 while that difference keeps its digits, the
    residual itself below. In the 2-norm it is the next singular value where the algorithm knows it ("svd",
    "gram"), otherwise a bound that fails with probability 1e-10: for a Gaussian x, norm(E^H E x) is at least
    norm(E, 2)^2 abs(g) with g normal, and ten independent g are all below 0.1257 in size with that probability.
    It exceeds the error by a factor of 3 to 10 as a rule.

    Cost for m >= n: "gram" m n^2 + 9 n^3; "krylov" 14 m n (k + 10) flops as a rule, and 8 (k + 10) (m + n)
    numbers of memory; "svd" 14 m n^2 + 8 n^3.

    References
    ----------
    Halko, Martinsson, Tropp, SIAM Rev. 53 (2011) 217; Musco, Musco, NeurIPS 2015 (block Krylov); Tropp, Webber,
    arXiv:2306.12418.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import truncated_svd
    >>> A = np.outer([1.0, 2.0, 3.0], [1.0, 0.0, 1.0, 0.0])
    >>> F = truncated_svd(A, rtol=1e-10)
    >>> F.rank, str(F.error_kind)
    (1, 'rigorous')
    >>> np.allclose(F.toarray(), A)
    True
    """
    xp, A = open_door(min_ndim=2, A=A)
    goal = _checked(A, k, rtol, atol, norm, max_passes)
    check_option(method, METHODS, "method")
    if max_passes is not None and method not in ("auto", "krylov"):
        raise ValueError(f"method must be 'auto' or 'krylov' with max_passes, got {method!r}")
    draws = generator(rng)
    mean = xp.mean(A, axis=0) if center else None
    scaled, norm_A, scale = balance(xp, A if mean is None else A - mean[None, :], "A")
    check_norm(A, norm_A, scale, "A")
    tall = scaled if A.shape[0] >= A.shape[1] else xp.matrix_transpose(scaled)
    goal, passes = _absolute(Matrix(xp, tall), goal, rtol, atol, norm_A, scale, draws)
    matrix = Matrix(xp, tall)
    factors, method = _run(matrix, goal, norm_A, method, draws)
    found = _certify(matrix, factors, goal, norm_A, draws)
    status = factors.status
    missed = goal.target is not None and norm == "fro" and found.value > goal.target * (1 + 1e-6)
    if missed and status is Status.CONVERGED:
        status = Status.ROUNDING
    U, Vt = factors.U, factors.Vt
    if A.shape[0] < A.shape[1]:
        U, Vt = xp.matrix_transpose(Vt), xp.matrix_transpose(U)
    rest = (
        found.kind,
        found.failure_probability,
        norm_A * scale,
        matrix.passes + passes,
        status,
        method,
        mean,
    )
    return TruncatedSVD(U, factors.s * scale, Vt, found.value * scale, *rest)


def _checked(A: Any, k: Any, rtol: Any, atol: Any, norm: Any, max_passes: Any) -> Goal:
    """Return the goal without its target, which needs the norm of A."""
    check_matrix(A, lazy=True)
    rank, _ = check_stopping(min(A.shape), k, rtol, atol)
    if k is None and is_lazy(A):
        raise ValueError("k must be given for a traced or lazy A, whose values cannot decide the rank")
    check_option(norm, ("fro", "2"), "norm")
    if max_passes is not None and check_rank(max_passes, 2**31, "max_passes") < 2:
        raise ValueError(f"max_passes must be at least 2, got {max_passes}")
    return Goal(rank, None, norm, max_passes)


def _absolute(
    matrix: Matrix, goal: Goal, rtol: Any, atol: Any, norm_A: Any, scale: float, rng: np.random.Generator
) -> tuple[Goal, int]:
    """Return the goal with its target, and the passes that measuring norm(A, 2) took."""
    if (rtol is None and atol is None) or is_lazy(matrix.A):
        return goal, 0
    size = norm_A
    if goal.norm == "2" and rtol is not None and norm_A > 0:
        size = krylov_svd(matrix, Goal(1, None, "2", None), norm_A, rng).s[0]
    target = max(scalar(size) * float(rtol or 0.0), float(atol or 0.0) / scale)
    return goal._replace(target=target), matrix.passes


def _run(matrix: Matrix, goal: Goal, norm_A: float, method: str, rng: np.random.Generator) -> tuple[Factors, str]:
    chosen = _choose(matrix, goal) if method == "auto" else method
    if is_lazy(matrix.A):
        chosen = "svd"
    if goal.max_passes is not None and method in ("auto", "krylov"):
        chosen = "krylov"
    if chosen == "krylov" and norm_A > 0:
        factors = krylov_svd(matrix, goal, norm_A, rng)
        if factors.status is not Status.ROUNDING or goal.max_passes is not None:
            return factors, "krylov"
        chosen = "svd"  # products with A^H A cannot see what the tolerance asks for
    if chosen == "gram" and norm_A > 0:
        found = gram_svd(matrix, goal)
        if found is not None:
            return found, "gram"
    return dense_svd(matrix, goal), "svd"


def _choose(matrix: Matrix, goal: Goal) -> str:
    """Krylov moves the matrix 7 times at half the speed of GEMM; the Gram matrix costs n columns at full speed."""
    n = matrix.shape[1]
    if n <= 64:
        return "svd"
    if goal.target is None:
        if goal.rank > n // 3:
            return "svd"
        return "gram" if n <= 14 * (goal.rank + 10) else "krylov"
    return "gram" if n <= 3000 else "krylov"


def _certify(matrix: Matrix, factors: Factors, goal: Goal, norm_A: Any, rng: np.random.Generator) -> Certificate:
    """Return the error of the factors in the norm of the goal."""
    xp, A = matrix.xp, matrix.A
    if goal.norm == "2" and factors.following is not None:
        return Certificate(factors.following, CertificateKind.RIGOROUS)
    left = factors.U * xp.astype(factors.s, A.dtype)
    if goal.norm == "fro" or is_lazy(A):
        value = projection_error(xp, A, norm_A, frobenius(xp, factors.s), left, factors.Vt)
        return Certificate(value, CertificateKind.RIGOROUS)
    matrix.passes += 2
    x = gaussian(rng, (A.shape[1], _PROBES), A)
    y = A @ x - left @ (factors.Vt @ x)
    z = adjoint(xp, A) @ y - adjoint(xp, factors.Vt) @ (adjoint(xp, left) @ y)
    largest = scalar(xp.max(xp.sqrt(xp.sum(xp.abs(z) ** 2, axis=0))))
    # P(|g| < 0.1257) = 0.1 for a standard normal number
    value = (largest / 0.1257) ** 0.5 + 4 * epsilon(A) * norm_A
    return Certificate(value, CertificateKind.PROBABILISTIC, 0.1**_PROBES)
