"""Rows of the table of operations: the pseudo-inverse applied, regularised and updated."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from lina._core.array import adjoint
from lina.linalg import (
    pinv_factor,
    ridge_pinv,
    solve_left,
    solve_right,
    svd_append,
    svd_delete,
    svd_update,
    truncated_svd,
)
from tests.operation import Operation, eps, low_rank_error, matrix, penrose_error


def first_rows(A: Any) -> Any:
    """Return three rows of an array of any library, of a list, or of a sparse matrix."""
    if isinstance(A, (list, tuple)):
        return A[:3]
    return A[:3].toarray() if hasattr(A, "toarray") else A[:3, ...]


def projector_error(side: str) -> Any:
    """Return the judge of A+ A ("left") or A A+ ("right"): the distance from numpy's over condition^2 eps."""

    def error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
        (A,) = inputs
        exact = np.linalg.pinv(A.astype(np.result_type(A.dtype, np.float64)), rcond=max(A.shape) * eps(A))
        expected = exact @ A if side == "left" else A @ exact
        return float(np.linalg.norm(outputs["X"] - expected) / (50**2 * eps(A) * np.linalg.norm(expected)))

    return error


def changed_penrose_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return `penrose_error` for the matrix with its first three rows below it and its first row gone."""
    (A,) = inputs
    return penrose_error((np.concatenate([A, A[:3]])[1:],), outputs)


def doubled_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the true error over the certificate for the matrix with its leading term doubled."""
    (A,) = inputs
    U, s, Vt = np.linalg.svd(A.astype(np.result_type(A.dtype, np.float64)), full_matrices=False)
    return low_rank_error(((A + s[0] * np.outer(U[:, 0], Vt[0])).astype(A.dtype),), outputs)


def changed_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the true error over the certificate for the same changed matrix."""
    (A,) = inputs
    return low_rank_error((np.concatenate([A, A[:3]])[1:],), outputs)


def svd_outputs(F: Any) -> dict[str, Any]:
    """Return the factors and the certificate of a truncated SVD."""
    return {"left": F.U * F.s, "right": F.Vt, "error": F.error}


def leading_doubled(A: Any) -> Any:
    """Return the truncated SVD of A with its leading term added once more."""
    F = truncated_svd(A, 6, rng=0)
    return svd_update(F, F.U[:, :1] * F.s[:1], adjoint(array_namespace(F.Vt), F.Vt[:1, :]))


# six terms asked of a matrix that has one; sparse matrices have a truncated SVD
RANK_6: dict[str, tuple[str, ...]] = {
    "one entry": ("ValueError",),
    "one row": ("ValueError",),
    "one column": ("ValueError",),
    "sparse": (),
}

ROWS = [
    Operation(
        "linalg.pinv_factor",
        call=lambda A: pinv_factor(A, rtol=1e-5).toarray(),
        arrays=matrix(90, 60),
        outputs=lambda X: {"X": X},
        error=penrose_error,
        degree=-1,
    ),
    Operation(
        "linalg.pinv_factor (changed)",
        call=lambda A: pinv_factor(A, rtol=1e-5).append_rows(first_rows(A)).delete_rows(0).toarray(),
        arrays=matrix(90, 40),
        outputs=lambda X: {"X": X},
        error=changed_penrose_error,
        degree=-1,
    ),
    Operation(
        "linalg.ridge_pinv",
        call=lambda A: ridge_pinv(A, 0.0),
        arrays=matrix(90, 60),
        outputs=lambda X: {"X": X},
        error=penrose_error,
        backends=("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax", "dask"),
        degree=-1,
    ),
    Operation(
        "linalg.solve_left",
        call=lambda A: solve_left(A, A, rtol=1e-5),
        arrays=matrix(50, 120),
        outputs=lambda X: {"X": X},
        error=projector_error("left"),
        backends=("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax", "dask"),
        degree=0,
    ),
    Operation(
        "linalg.solve_right",
        call=lambda A: solve_right(A, A, rtol=1e-5),
        arrays=matrix(120, 50),
        outputs=lambda X: {"X": X},
        error=projector_error("right"),
        degree=0,
    ),
    Operation(
        "linalg.svd_update",
        call=leading_doubled,
        arrays=matrix(90, 70),
        outputs=svd_outputs,
        error=doubled_error,
        hostile=RANK_6,
        memory=8.0,
    ),
    Operation(
        "linalg.svd_append",
        call=lambda A: svd_delete(svd_append(truncated_svd(A, 6, rng=0), first_rows(A)), 0),
        arrays=matrix(90, 70),
        outputs=svd_outputs,
        error=changed_error,
        hostile=RANK_6,
        memory=8.0,
    ),
    Operation(
        "linalg.svd_delete",
        call=lambda A: svd_delete(svd_append(truncated_svd(A, 6, rng=0), first_rows(A), k=9), [0], k=6),
        arrays=matrix(90, 70),
        outputs=svd_outputs,
        error=changed_error,
        hostile=RANK_6,
        memory=8.0,
    ),
]
