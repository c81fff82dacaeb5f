"""Estimators for scikit-learn: columns and components with the error that they leave; the only room that imports it."""

from lina.sklearn._columns import ColumnSelector, CURDecomposition, InterpolativeDecomposition
from lina.sklearn._truncated_svd import TruncatedSVD

__all__ = ["CURDecomposition", "ColumnSelector", "InterpolativeDecomposition", "TruncatedSVD"]
