"""Every kind of input on its way in: which it is, its checks, scale and mean, and the orientation for the algorithm."""

import sys
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import balance, check_norm, is_lazy, open_door
from lina.linalg._stopping import check_matrix
from lina.linalg._truncated_svd.blocks import Blocks
from lina.linalg._truncated_svd.dense import Dense
from lina.linalg._truncated_svd.operator import Operator, is_operator, to_dense
from lina.linalg._truncated_svd.problem import Matrix
from lina.linalg._truncated_svd.row_blocks import RowBlocks
from lina.linalg._truncated_svd.sparse import Sparse

_SMALL = 64  # sides up to here are not worth an iteration


class Entrance(NamedTuple):
    """The matrix for the algorithm, transposed if ``flipped``, whether values are hidden, and readings are numbered."""

    matrix: Matrix
    flipped: bool = False
    lazy: bool = False
    one_shot: bool = False


def enter(A: Any, center: bool, method: str, rng: np.random.Generator) -> Entrance:
    """Return the matrix that ``A`` stands for, the longer side first except for blocks and the single pass."""
    if isinstance(A, RowBlocks) or hasattr(A, "__next__"):
        source = A if isinstance(A, RowBlocks) else RowBlocks(A)
        return Entrance(Blocks(source, center), one_shot=source.one_shot)
    if _is_sparse(A):
        check_matrix(A)
        flip = _wide(A, method)
        return Entrance(Sparse(A, center, flip), flip)
    if is_operator(A) and not hasattr(A, "__array_namespace__"):
        return _enter_operator(A, center, method, rng)
    if isinstance(A, (list, tuple)) and any(getattr(each, "ndim", 0) == 2 for each in A):
        raise ValueError("A must be one matrix, got a sequence of matrices (for blocks of its rows say RowBlocks(A))")
    return _enter_dense(A, center, method)


def _is_sparse(A: Any) -> bool:
    module = sys.modules.get("scipy.sparse")
    return module is not None and bool(module.issparse(A))


def _wide(A: Any, method: str) -> bool:
    return bool(A.shape[0] < A.shape[1]) and method != "single_pass"


def _enter_dense(A: Any, center: bool, method: str) -> Entrance:
    xp, A = open_door(min_ndim=2, A=A)
    check_matrix(A, lazy=True)
    mean = xp.sum(A, axis=0) / A.shape[0] if center else None
    scaled, norm, scale = balance(xp, A if mean is None else A - mean[None, :], "A")
    check_norm(A, norm, scale, "A")
    flip = _wide(A, method)
    matrix = Dense(xp, xp.matrix_transpose(scaled) if flip else scaled, norm, scale)
    if mean is not None:
        matrix.subtracted(mean)
    return Entrance(matrix, flip, is_lazy(A))


def _enter_operator(A: Any, center: bool, method: str, rng: np.random.Generator) -> Entrance:
    if method == "single_pass":
        raise ValueError("method must not be 'single_pass' for an operator, whose two products read it twice")
    shape = getattr(A, "shape", None)
    if method in ("gram", "svd") or (shape is not None and min(shape, default=0) <= _SMALL):
        found = _enter_dense(to_dense(A), center, method)
        found.matrix.overhead += 1
        return found
    flip = _wide(A, method)
    return Entrance(Operator(A, center, flip, rng), flip)
