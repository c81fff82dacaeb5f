"""The two least-squares problems whose solutions are A+ M and M A+, without forming A+."""

import math
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import adjoint, balance, divide, dtype_name, epsilon, is_lazy, open_door, scalar, to_numpy
from lina._core.kernels import kernel
from lina.linalg._pinv.outcome import PATHS, cutoff_for
from lina.linalg._pinv.solve import compute_solution


class LeastSquaresInfo(NamedTuple):
    """The facts behind a least-squares solution; for a batch each field is an array of the batch's shape.

    Attributes
    ----------
    rank : int
        Number of singular values of A above the cutoff.
    condition : float
        Upper bound of the largest over the smallest counted singular value; 1 where the rank is 0.
    method : str
        The path taken: "gram", "cholqr2", "cod", "qr" or "svd".
    gap : float
        How far the rank decision is from turning: every singular value is at least this factor away from the
        cutoff. 1 is a decision on the edge.
    residual : float
        norm(A X - M, "fro"), with ``solve_right`` norm(X A - M, "fro").
    optimality : float
        Frobenius norm of the gradient of the squared residual, 2 A^H (A X - M) or 2 (X A - M) A^H, over
        2 norm(A) (norm(A) norm(X) + norm(M)): a few eps at a minimum; singular values below the cutoff that are
        not rounding show in it.
    """

    rank: Any
    condition: Any
    method: Any
    gap: Any
    residual: Any
    optimality: Any


def solve_left(
    A: Any, M: Any, *, rtol: float | None = None, atol: float | None = None, return_info: bool = False
) -> Any:
    """Minimise norm(A X - M, "fro") over X, taking the X of least norm: X = A+ M, without forming A+.

    Parameters
    ----------
    A : array_like, shape (..., m, n)
        Integers and booleans are promoted to float64, half precisions to float32.
    M : array_like, shape (..., m, p) or (m,)
        Right-hand sides; a vector stands for one column. Leading axes are broadcast against those of ``A``.
    rtol, atol : float, optional
        Singular values of ``A`` at or below ``max(atol, rtol * largest)`` count as zero; defaults as in `pinv`.
    return_info : bool
        Also return a `LeastSquaresInfo`, for 6 m n p flops.

    Returns
    -------
    X : array, shape (..., n, p), or (..., n) for a vector
        In the library and on the device of ``A``, in the wider dtype of ``A`` and ``M``.
    info : LeastSquaresInfo
        Only with ``return_info=True``.

    Raises
    ------
    TypeError
        If ``A`` or ``M`` is no dense array of numbers, or both are not of one library.
    ValueError
        If ``A`` has fewer than 2 dimensions, the numbers of rows differ, ``A`` or ``M`` holds NaN or infinities, or
        a tolerance is negative. The values of traced (jax) and lazy (dask) arrays are not looked at.

    OverflowError
        If the solution, or the 2-norm of ``A``, exceeds the range of the dtype.

    Notes
    -----
    The rank is the one that the SVD finds. Where full rank is certain, corrected seminormal equations in matrix
    products reach the accuracy of a backward stable method: m n^2 + 8 m n p flops for m >= n up to a condition of
    about 1e6 / sqrt(n) (float64, "gram"), 3 m n^2 more up to about 1e7 ("cholqr2"); Householder QR, 2 m n^2 with
    LAPACK and 4 m n^2 elsewhere, up to a tenth of the cutoff ("qr"). A rank k <= 0.45 n costs about m n^2 + 6 m n k
    where it is certain ("cod", from 256 columns on). Otherwise the SVD, of the triangle where m >= 2 n. Wide matrices
    cost the same with m and n exchanged. Batches, traced and lazy arrays take the SVD.

    For torch tensors the result is differentiable at constant rank, by solving again (Golub, Pereyra, SIAM J. Numer.
    Anal. 10 (1973) 413, eq. 4.12).

    References
    ----------
    Penrose, Proc. Camb. Phil. Soc. 52 (1956) 17; Bjorck, Linear Algebra Appl. 88/89 (1987) 31 (corrected seminormal
    equations); Yamamoto et al., ETNA 44 (2015) 306 (Cholesky QR twice).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import solve_left
    >>> A = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> x, info = solve_left(A, [1.0, 2.0, 2.0], return_info=True)
    >>> np.round(x, 12)
    array([1.16666667, 0.5       ])
    >>> info.rank, round(info.residual, 6)
    (2, 0.408248)
    """
    xp, A, M = _opened(A, M, axis=-2)
    vector = M.ndim == 1
    X, info = _solve(xp, A, M[:, None] if vector else M, rtol, atol, return_info)
    X = X[..., 0] if vector else X
    return (X, info) if return_info else X


def solve_right(
    A: Any, M: Any, *, rtol: float | None = None, atol: float | None = None, return_info: bool = False
) -> Any:
    """Minimise norm(X A - M, "fro") over X, taking the X of least norm: X = M A+, without forming A+.

    Parameters
    ----------
    A : array_like, shape (..., m, n)
        Integers and booleans are promoted to float64, half precisions to float32.
    M : array_like, shape (..., q, n) or (n,)
        A vector stands for one row. Leading axes are broadcast against those of ``A``.
    rtol, atol : float, optional
        Singular values of ``A`` at or below ``max(atol, rtol * largest)`` count as zero; defaults as in `pinv`.
    return_info : bool
        Also return a `LeastSquaresInfo`.

    Returns
    -------
    X : array, shape (..., q, m), or (..., m) for a vector
        In the library and on the device of ``A``, in the wider dtype of ``A`` and ``M``.
    info : LeastSquaresInfo
        Only with ``return_info=True``.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `solve_left`, with columns for rows.

    Notes
    -----
    This is `solve_left` of the adjoints, ``(A^H)+ M^H = (M A+)^H``: paths, cost and accuracy are the same.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import solve_right
    >>> A = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    >>> solve_right(A, [[3.0, 4.0, 5.0]])
    array([[3., 2.]])
    """
    xp, A, M = _opened(A, M, axis=-1)
    vector = M.ndim == 1
    X, info = _solve(xp, adjoint(xp, A), adjoint(xp, M[None, :] if vector else M), rtol, atol, return_info)
    X = adjoint(xp, X)
    X = X[..., 0, :] if vector else X
    return (X, info) if return_info else X


def _opened(A: Any, M: Any, axis: int) -> tuple[Any, Any, Any]:
    """Return (xp, A, M) checked; ``axis`` -2 where the numbers of rows must agree, -1 for columns."""
    xp, A, M = open_door(min_ndim=1, A=A, M=M)
    if A.ndim < 2:
        raise ValueError(f"A must have at least 2 dimensions, got shape {tuple(A.shape)}")
    if M.shape[axis if M.ndim > 1 else 0] != A.shape[axis]:
        what = "rows" if axis == -2 else "columns"
        raise ValueError(f"A and M must have as many {what}, got shapes {tuple(A.shape)} and {tuple(M.shape)}")
    return xp, A, M


def _solve(xp: Any, A: Any, M: Any, rtol: Any, atol: Any, return_info: bool) -> tuple[Any, LeastSquaresInfo | None]:
    """Return A+ M of ``A`` (..., m, n) and ``M`` (..., m, p), with the facts if wanted."""
    cutoff = cutoff_for(A.shape, epsilon(A), rtol, atol)
    if dtype_name(A) != dtype_name(M):
        dtype = xp.result_type(A, M)
        A, M = xp.astype(A, dtype), xp.astype(M, dtype)
    A, M, batch = _one_batch(xp, A, M)
    op = kernel("solve_left", xp)
    run = compute_solution if op is None else op
    X, rank, condition, gap, method = run(xp, A, M, cutoff)
    info = None
    if return_info:
        if op is not None:
            method = np.asarray(PATHS)[to_numpy(method)]
        residual, optimality = _residual_facts(xp, A, M, X)
        if A.ndim == 2 and not is_lazy(X):
            rank, condition, method, gap = int(rank), float(condition), str(method), float(gap)
            residual, optimality = scalar(residual), scalar(optimality)
        info = LeastSquaresInfo(rank, condition, method, gap, residual, optimality)
    if batch:
        X = xp.moveaxis(xp.reshape(X, (X.shape[0], *batch)), 0, -2)
    return X, info


def _one_batch(xp: Any, A: Any, M: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Return A and M with the same leading axes, and the shape (..., p) of those of M where A has none."""
    if A.ndim == 2:
        if M.ndim == 2:
            return A, M, ()
        columns = xp.moveaxis(M, -2, 0)
        return A, xp.reshape(columns, (columns.shape[0], math.prod(columns.shape[1:]))), tuple(columns.shape[1:])
    try:
        # tuples of ints: with a torch.Size it gives what torch.compile cannot follow
        batch = np.broadcast_shapes(tuple(A.shape[:-2]), tuple(M.shape[:-2]))
    except ValueError:
        raise ValueError(f"A and M must fit together, got shapes {tuple(A.shape)} and {tuple(M.shape)}") from None
    return xp.broadcast_to(A, (*batch, *A.shape[-2:])), xp.broadcast_to(M, (*batch, *M.shape[-2:])), ()


def _residual_facts(xp: Any, A: Any, M: Any, X: Any) -> tuple[Any, Any]:
    """Return norm(A X - M, "fro"), and the norm of the gradient relative to that of its terms."""
    scale = scale_M = 1.0
    if A.ndim == 2:
        A, _, scale = balance(xp, A, "A")
        M, _, scale_M = balance(xp, M, "M")
        X = X if scale == scale_M else divide(X, scale_M / scale)

    def norm(Y: Any) -> Any:
        return xp.linalg.vector_norm(Y, axis=(-2, -1))

    R = A @ X - M
    size = norm(A) * (norm(A) * norm(X) + norm(M))
    gradient = norm(adjoint(xp, A) @ R)
    optimality = xp.where(size > 0, gradient / xp.where(size > 0, size, xp.ones_like(size)), 0 * gradient)
    return norm(R) * scale_M, optimality
