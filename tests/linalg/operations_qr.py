"""Rows of the table of operations: pivoted QR, also with bounded exchanges, and bounded coefficients."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from lina.linalg import interpolative, qr_pivoted
from tests.linalg.operations import RANK_6
from tests.operation import Operation, eps, low_rank_error, matrix


def qr_outputs(F: Any) -> dict[str, Any]:
    """Return the factors with the scale of the matrix on the left, where the table looks for it."""
    Q, R, _ = F._factors()
    xp = array_namespace(R)
    size = xp.linalg.diagonal(F.R)
    size = xp.where(size != 0, size, xp.ones_like(size))
    return {"left": Q * size[None, :], "right": R / size[:, None], "error": F.error}


def row_id_outputs(F: Any) -> dict[str, Any]:
    """Return the factors of the transpose, likewise."""
    xp = array_namespace(F.C)
    return {"left": xp.matrix_transpose(F.C), "right": xp.matrix_transpose(F.Z), "error": F.error}


def transposed_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    return low_rank_error((inputs[0].T,), outputs)


def whole_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the distance of the product from the matrix over sqrt(k) eps."""
    (A,), X = inputs, outputs["X"]
    return float(np.linalg.norm(X - A) / (10 * np.sqrt(min(A.shape)) * eps(A) * np.linalg.norm(A)))


ROWS = [
    Operation(
        "linalg.qr_pivoted",
        call=lambda A: qr_pivoted(A, 6, rng=0),
        arrays=matrix(90, 70),
        outputs=qr_outputs,
        error=low_rank_error,
        hostile=RANK_6,
        memory=8.0,
    ),
    Operation(
        "linalg.qr_pivoted (whole)",
        call=lambda A: qr_pivoted(A),
        arrays=matrix(30, 40),
        outputs=lambda F: {"X": F.toarray()},
        error=whole_error,
        memory=8.0,
    ),
    Operation(
        "linalg.qr_pivoted (strong)",
        call=lambda A: qr_pivoted(A, 6, max_coef=1.0, rng=0),
        arrays=matrix(70, 90),
        outputs=qr_outputs,
        error=low_rank_error,
        hostile=RANK_6,
        memory=12.0,
    ),
    Operation(
        "linalg.interpolative (rows, max_coef)",
        call=lambda A: interpolative(A, 6, axis=0, max_coef=1.0, rng=0),
        arrays=matrix(70, 90),
        outputs=row_id_outputs,
        error=transposed_error,
        hostile=RANK_6,
        memory=12.0,
    ),
]
