"""Rows of the table of operations: the functions that the rest of the room is built on."""

from typing import Any

from lina.linalg import interpolative, pinv, truncated_svd
from tests.operation import Operation, low_rank_error, matrix, penrose_error, stack


def _svd_outputs(F: Any) -> dict[str, Any]:
    return {"left": F.U * F.s, "right": F.Vt, "error": F.error}


def _id_outputs(F: Any) -> dict[str, Any]:
    return {"left": F.C, "right": F.Z, "error": F.error}


# six terms asked of a matrix that has one
RANK_6 = dict.fromkeys(("one entry", "one row", "one column"), ("ValueError",))

ROWS = [
    Operation(
        "linalg.pinv",
        call=lambda A: pinv(A, rtol=1e-5),
        arrays=matrix(90, 60),
        outputs=lambda X: {"X": X},
        error=penrose_error,
        backends=("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax", "dask"),
        degree=-1,
    ),
    Operation(
        "linalg.pinv (batch)",
        call=lambda A: pinv(A, rtol=1e-5),
        arrays=stack(2000, 32, 4),  # above the size from which on the kernel runs
        outputs=lambda X: {"X": X},
        error=penrose_error,
        degree=-1,
    ),
    Operation(
        "linalg.truncated_svd",
        call=lambda A: truncated_svd(A, 6, rng=0),
        arrays=matrix(90, 70),
        outputs=_svd_outputs,
        error=low_rank_error,
        hostile={**RANK_6, "sparse": ()},
        backends=("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax", "dask"),
        memory=8.0,
    ),
    Operation(
        "linalg.truncated_svd (krylov)",
        call=lambda A: truncated_svd(A, 6, method="krylov", rng=0),
        arrays=matrix(70, 90),
        outputs=_svd_outputs,
        error=low_rank_error,
        hostile={**RANK_6, "sparse": ()},
        backends=("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax", "dask"),
        memory=12.0,
    ),
    Operation(
        "linalg.interpolative",
        call=lambda A: interpolative(A, 6, rng=0),
        arrays=matrix(90, 70),
        outputs=_id_outputs,
        error=low_rank_error,
        hostile=RANK_6,
        backends=("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax", "dask"),
    ),
]
