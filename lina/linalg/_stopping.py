"""The checks that every low-rank function begins with: a matrix, and something that says where to stop."""

from typing import Any

from lina._core.array import is_lazy
from lina._core.checks import check_rank, check_tolerance


def check_matrix(A: Any, name: str = "A", *, lazy: bool = False) -> None:
    """Raise ValueError unless ``A`` is a nonempty matrix, with values that can be looked at unless ``lazy``."""
    if A.ndim != 2 or min(A.shape) == 0:
        raise ValueError(f"{name} must be a nonempty matrix (m, n), got shape {tuple(A.shape)}")
    if not lazy and is_lazy(A):
        raise ValueError(f"{name} must have values that can be looked at, got a traced or lazy array")


def check_stopping(limit: int, k: Any, rtol: Any, atol: Any) -> tuple[int, bool]:
    """Return the largest rank allowed (``k`` or ``limit``), and whether a tolerance was given as well."""
    if k is None and rtol is None and atol is None:
        raise ValueError("one of k, rtol and atol must be given, got none")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None:
            check_tolerance(value, name)
    return (limit if k is None else check_rank(k, limit)), not (rtol is None and atol is None)
