"""Rows of the table of operations: CUR decompositions and column-row products."""

from typing import Any

import numpy as np

from lina.linalg import cr_matmul, cur, cur_completion
from tests.linalg.operations import RANK_6
from tests.operation import Operation, eps, low_rank_error, matrix


def _outputs(F: Any) -> dict[str, Any]:
    return {"left": F.left, "right": F.right, "error": F.error}


def _completion_outputs(F: Any) -> dict[str, Any]:
    return {"left": F.left, "right": F.right, "error": F.seen_error}


def _complete_what_is_there(A: Any) -> Any:
    """Return the completion of a matrix all of whose rows and columns were seen."""
    m, n = A.shape if getattr(A, "ndim", 0) == 2 else (40, 30)
    return cur_completion(A, A, range(m), range(n), rtol=0.1)


def _square_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the true distance from A @ A over the certificate."""
    (A,) = inputs
    true = np.linalg.norm(A @ A - outputs["left"] @ outputs["right"])
    return float(true / (outputs["error"] + 4 * eps(A) * np.linalg.norm(A) ** 2))


def _square(**options: Any) -> dict[str, Any]:
    """Return what the rows of A @ A have in common."""
    return {
        "call": lambda A: cr_matmul(A, A, 20, rng=0, **options),
        "arrays": matrix(60, 60),
        "outputs": _outputs,
        "error": _square_error,
        "degree": 2,
        "argument": "X",
        "hostile": dict.fromkeys(("one entry", "one row", "one column"), ("ValueError",)),
    }


ROWS = [
    Operation(
        "linalg.cur",
        call=lambda A: cur(A, 6, rng=0),
        arrays=matrix(90, 70),
        outputs=_outputs,
        error=low_rank_error,
        hostile=RANK_6,
    ),
    Operation(
        "linalg.cur (intersection)",
        call=lambda A: cur(A, (9, 6), core="intersection", rng=0),
        arrays=matrix(70, 90),
        outputs=_outputs,
        error=low_rank_error,
        hostile=RANK_6,
    ),
    Operation(
        "linalg.cur_completion",
        call=_complete_what_is_there,
        arrays=matrix(40, 30),
        outputs=_completion_outputs,
        error=low_rank_error,
        argument="C",
    ),
    Operation("linalg.cr_matmul", **_square()),
    Operation("linalg.cr_matmul (sample)", **_square(select="sample", replace=False, weights="full")),
    Operation("linalg.cr_matmul (greedy)", **_square(select="greedy", tuple_size=2)),
    Operation("linalg.cr_matmul (omp)", **_square(select="omp")),
]
