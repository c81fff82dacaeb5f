"""lina.linalg.pinv: checks, and the choice among the guarded paths."""

from typing import Any, NamedTuple

import numpy as np

from lina._core.array import epsilon, is_lazy, open_door, to_numpy
from lina._core.checks import check_option
from lina._core.kernels import kernel
from lina.linalg._pinv.compute import METHODS, compute_pinv
from lina.linalg._pinv.outcome import PATHS, cutoff_for


class PinvInfo(NamedTuple):
    """The facts behind a pseudo-inverse; for a batch each field is an array of the batch's shape.

    Attributes
    ----------
    rank : int
        Number of singular values above the cutoff.
    condition : float
        Upper bound of the largest over the smallest counted singular value; exact where the SVD ran, at most
        about n times too large on the other paths; 1 where the rank is 0.
    method : str
        The path taken: "gram", "cholqr2", "lu", "cod", "qr", "mgs2", "svd" or "eigh".
    gap : float
        How far the rank decision is from turning: every singular value is at least this factor away from the
        cutoff. 1 is a decision on the edge.
    """

    rank: Any
    condition: Any
    method: Any
    gap: Any


def pinv(
    A: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    hermitian: bool = False,
    method: str = "auto",
    return_info: bool = False,
) -> Any:
    """Compute the Moore-Penrose pseudo-inverse, by the fastest path whose rank decision is certain.

    Singular values at or below ``max(atol, rtol * largest)`` count as zero. Fast paths carry bounds of all
    singular values and are taken only when these keep clear of the cutoff; otherwise the SVD runs. So the rank is
    the one that the SVD finds.

    Parameters
    ----------
    A : array_like, shape (..., m, n)
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    rtol : float, optional
        Relative cutoff. Default ``max(m, n) * eps`` of the working dtype, or 0 if a positive ``atol`` is
        given.
    atol : float, optional
        Absolute cutoff, default 0.
    hermitian : bool
        Take ``A`` as Hermitian, reading its lower half, and use its eigenvalues.
    method : {"auto", "svd", "gram", "lu", "cod", "qr"}
        The path to try: normal equations or Cholesky QR, LU (square matrices), complete orthogonal decomposition
        (rank below 0.45 n), Householder QR. A path that cannot be certain of the rank hands over to the SVD.
    return_info : bool
        Also return a `PinvInfo`.

    Returns
    -------
    X : array, shape (..., n, m)
        In the library and on the device of ``A``.
    info : PinvInfo
        Only with ``return_info=True``.

    Raises
    ------
    TypeError
        If ``A`` is no dense array of numbers.
    ValueError
        If ``A`` has fewer than 2 dimensions, holds NaN or infinities, or a tolerance is negative. The values of
        arrays that jax traces are not looked at, those of dask when they are computed.

    OverflowError
        If the pseudo-inverse, or the 2-norm of ``A``, exceeds the range of the dtype.

    Notes
    -----
    Cost for m >= n: "gram" 3 m n^2 flops up to a condition of 10, where its error condition^2 eps is harmless,
    and 6 m n^2 beyond ("cholqr2", error about 10 times the SVD's); "lu" 2 n^3; "cod" m n^2 + 8 m n k; the SVD
    about 14 m n^2 + 8 n^3. Memory: two arrays of the size of ``A`` beside the result.

    For torch tensors the result is differentiable with the rank-preserving derivative of Golub and Pereyra,
    SIAM J. Numer. Anal. 10 (1973) 413, eq. 4.12. For arrays that jax traces the SVD is used.

    A matrix of dask, in blocks of whole rows (or columns), is read once for the triangle R of its QR, whose SVD gives
    the facts, and once more for X = R^+ (A R^+)^H; X and the facts are lazy, ``method`` is "qr".

    References
    ----------
    Penrose, Proc. Camb. Phil. Soc. 51 (1955) 406; Yamamoto et al., ETNA 44 (2015) 306 (Cholesky QR twice).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import pinv
    >>> A = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    >>> X, info = pinv(A, return_info=True)
    >>> np.allclose(A @ X @ A, A)
    True
    >>> info.rank
    2
    """
    xp, A = open_door(min_ndim=2, A=A)
    method = check_option(method, METHODS, "method")
    if hermitian and A.shape[-1] != A.shape[-2]:
        raise ValueError(f"A must be square for hermitian=True, got shape {tuple(A.shape)}")
    cutoff = cutoff_for(A.shape, epsilon(A), rtol, atol)
    op = kernel("pinv", xp)
    run = op or kernel("pinv_in_blocks", xp) or compute_pinv
    X, rank, condition, gap, taken = run(xp, A, cutoff, hermitian, method)
    if not return_info:
        return X
    if op is not None:
        taken = np.asarray(PATHS)[to_numpy(taken)]
    if A.ndim == 2 and not is_lazy(A):
        return X, PinvInfo(int(rank), float(condition), str(taken), float(gap))
    return X, PinvInfo(rank, condition, taken, gap)
