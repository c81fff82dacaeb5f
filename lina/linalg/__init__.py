"""Pseudo-inverse and low-rank approximation, each answer with its certificate."""

from lina._core.store import load as load
from lina._core.store import save as save
from lina.linalg._cr_matmul.public import cr_matmul as cr_matmul
from lina.linalg._cr_matmul.result import CR as CR
from lina.linalg._cur.completion import cur_completion as cur_completion
from lina.linalg._cur.public import cur as cur
from lina.linalg._cur.result import CUR as CUR
from lina.linalg._cur.result import CURCompletion as CURCompletion
from lina.linalg._generalized_low_rank import GeneralizedLowRank as GeneralizedLowRank
from lina.linalg._generalized_low_rank import generalized_low_rank as generalized_low_rank
from lina.linalg._interpolative import Interpolative as Interpolative
from lina.linalg._interpolative import interpolative as interpolative
from lina.linalg._least_squares import LeastSquaresInfo as LeastSquaresInfo
from lina.linalg._least_squares import solve_left as solve_left
from lina.linalg._least_squares import solve_right as solve_right
from lina.linalg._leverage_scores import leverage_scores as leverage_scores
from lina.linalg._low_rank_eigh import LowRankEigh as LowRankEigh
from lina.linalg._nystrom.public import nystrom as nystrom
from lina.linalg._pinv.public import PinvInfo as PinvInfo
from lina.linalg._pinv.public import pinv as pinv
from lina.linalg._pinv_factor import PinvFactor as PinvFactor
from lina.linalg._pinv_factor import pinv_factor as pinv_factor
from lina.linalg._qr_pivoted import PivotedQR as PivotedQR
from lina.linalg._qr_pivoted import qr_pivoted as qr_pivoted
from lina.linalg._ridge_pinv import ridge_pinv as ridge_pinv
from lina.linalg._rpcholesky import RPCholesky as RPCholesky
from lina.linalg._rpcholesky import rpcholesky as rpcholesky
from lina.linalg._select_columns.public import ColumnSelection as ColumnSelection
from lina.linalg._select_columns.public import select_columns as select_columns
from lina.linalg._sketch import Sketch as Sketch
from lina.linalg._sketch import sketch as sketch
from lina.linalg._streaming_svd.certify import Scree as Scree
from lina.linalg._streaming_svd.stream import StreamingSVD as StreamingSVD
from lina.linalg._svd_update import svd_append as svd_append
from lina.linalg._svd_update import svd_delete as svd_delete
from lina.linalg._svd_update import svd_update as svd_update
from lina.linalg._truncated_svd.public import truncated_svd as truncated_svd
from lina.linalg._truncated_svd.result import TruncatedSVD as TruncatedSVD
from lina.linalg._truncated_svd.row_blocks import RowBlocks as RowBlocks
from lina.linalg._two_sided_projection import TwoSidedProjection as TwoSidedProjection
from lina.linalg._two_sided_projection import two_sided_projection as two_sided_projection

__all__ = [
    "CR",
    "CUR",
    "CURCompletion",
    "ColumnSelection",
    "GeneralizedLowRank",
    "Interpolative",
    "LeastSquaresInfo",
    "LowRankEigh",
    "PinvFactor",
    "PinvInfo",
    "PivotedQR",
    "RPCholesky",
    "RowBlocks",
    "Scree",
    "Sketch",
    "StreamingSVD",
    "TruncatedSVD",
    "TwoSidedProjection",
    "cr_matmul",
    "cur",
    "cur_completion",
    "generalized_low_rank",
    "interpolative",
    "leverage_scores",
    "load",
    "nystrom",
    "pinv",
    "pinv_factor",
    "qr_pivoted",
    "ridge_pinv",
    "rpcholesky",
    "save",
    "select_columns",
    "sketch",
    "solve_left",
    "solve_right",
    "svd_append",
    "svd_delete",
    "svd_update",
    "truncated_svd",
    "two_sided_projection",
]
