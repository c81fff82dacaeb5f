"""Pseudo-inverse and low-rank approximation, each answer with its certificate."""

from lina.linalg._interpolative import Interpolative as Interpolative
from lina.linalg._interpolative import interpolative as interpolative
from lina.linalg._pinv.public import PinvInfo as PinvInfo
from lina.linalg._pinv.public import pinv as pinv
from lina.linalg._truncated_svd.public import truncated_svd as truncated_svd
from lina.linalg._truncated_svd.result import TruncatedSVD as TruncatedSVD

__all__ = ["Interpolative", "PinvInfo", "TruncatedSVD", "interpolative", "pinv", "truncated_svd"]
