"""Rows of the table of operations: the truncated SVD that reads its matrix once."""

from lina.linalg import truncated_svd
from tests.linalg.operations import RANK_6, _svd_outputs
from tests.operation import Operation, low_rank_error, matrix

ROWS = [
    Operation(
        "linalg.truncated_svd (single pass)",
        call=lambda A: truncated_svd(A, 6, method="single_pass", rng=0),
        arrays=matrix(90, 70),
        outputs=_svd_outputs,
        error=low_rank_error,
        hostile={**RANK_6, "sparse": ()},
        memory=8.0,
    ),
]
