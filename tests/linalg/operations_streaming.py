"""Rows of the table of operations: the streaming SVD."""

from typing import Any

from lina._core.array import open_door
from lina.linalg import StreamingSVD
from tests.linalg.operations import RANK_6
from tests.operation import Operation, low_rank_error, matrix


def _streamed(A: Any) -> Any:
    """Return the result of a stream of the shape, library and dtype of ``A`` that saw ``A`` whole."""
    _, like = open_door(min_ndim=2, delta=A)
    return StreamingSVD(like.shape, 6, like=like, rng=0).update(A).finalize()


def _appended(A: Any) -> Any:
    """Return the result of a stream that saw the rows of ``A`` in two blocks, and forgot a half of the first."""
    _, like = open_door(min_ndim=2, rows=A)
    half = (like.shape[0] + 1) // 2
    stream = StreamingSVD(like.shape, 6, like=like, rng=0)
    stream.append(like[:half, :]).scale(0.5).update_rows(0, like[:half, :] / 2)
    return stream.append(like[half:, :]).finalize()


def _outputs(F: Any) -> dict[str, Any]:
    return {"left": F.U * F.s, "right": F.Vt, "error": F.error}


ROWS = [
    Operation(
        "linalg.StreamingSVD",
        call=_streamed,
        arrays=matrix(90, 70),
        outputs=_outputs,
        error=low_rank_error,
        argument="delta",
        hostile=RANK_6,
    ),
    Operation(
        "linalg.StreamingSVD (rows)",
        call=_appended,
        arrays=matrix(70, 90),
        outputs=_outputs,
        error=low_rank_error,
        argument="rows",
        hostile=RANK_6,
    ),
]
