"""The numpy column of the kernel table where LAPACK has what the array API has not."""

import numpy as np
from scipy.linalg import eigh
from scipy.linalg.lapack import get_lapack_funcs

from lina.linalg._leading_pivots import leading_pivots

# From this size and this part of all steps on, steps in Python are less work than LAPACK's, which end with the matrix.
_WORTH_ENDING_EARLY = 1 << 18
_PART = 8


def triangular_inverse(L: np.ndarray) -> np.ndarray:
    """Return the inverse of a lower triangular matrix (n, n), in n^3 / 3 flops where a general inverse takes 2 n^3."""
    (trtri,) = get_lapack_funcs(("trtri",), (L,))
    # the transpose of a C-ordered lower triangle is a Fortran-ordered upper one: no copy on the way in
    inverse, info = trtri(L.T, lower=0)
    if info != 0:
        return np.full_like(L, np.nan)
    return inverse.T


def inverse(A: np.ndarray) -> np.ndarray:
    """Return the inverse of ``A`` (n, n) in 2 n^3 flops, a quarter less than a solve takes; NaN if singular."""
    getrf, getri, lwork = get_lapack_funcs(("getrf", "getri", "getri_lwork"), (A,))
    # the transpose of a C-ordered matrix is Fortran-ordered, and inverts to the transpose of the inverse
    lu, pivots, info = getrf(A.T)
    if info == 0:
        size, _ = lwork(A.shape[0])
        X, info = getri(lu, pivots, lwork=int(size.real), overwrite_lu=True)
    return X.T if info == 0 else np.full_like(A, np.nan)


def pivoted_qr(A: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first k rows R (k, n) and all pivots (n,) of QR with column pivoting of ``A`` (m, n)."""
    if A.size >= _WORTH_ENDING_EARLY and _PART * k <= min(A.shape):
        return leading_pivots(A, k)
    (geqp3,) = get_lapack_funcs(("geqp3",), (A,))
    work = geqp3(A[:1], lwork=-1)[3]  # without it LAPACK's panels are narrow; it depends on the columns only
    packed, pivots, *_ = geqp3(A, lwork=int(work[0].real))
    return np.triu(packed[:k]), pivots.astype(np.int64) - 1  # LAPACK counts from 1


def take_columns(A: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return A[:, indices]; numpy's take would copy the whole of a Fortran-ordered ``A``."""
    return A[:, indices]


def top_eigh(G: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k largest eigenvalues (ascending) and their vectors (n, k) of a Hermitian matrix (n, n)."""
    n = G.shape[0]
    values, vectors = eigh(G, subset_by_index=(n - k, n - 1), check_finite=False)
    if len(values) < k:  # bisection has lost some of a cluster
        values, vectors = eigh(G, check_finite=False)
    return values[-k:], vectors[:, -k:]
