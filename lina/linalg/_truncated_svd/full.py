"""The whole SVD, cut off: for small matrices, many terms, and as the reference."""

from lina._core.array import epsilon, is_lazy, to_numpy
from lina._core.certificates import Status
from lina.linalg._truncated_svd.problem import Factors, Matrix, Request, final_rank


def full_svd(matrix: Matrix, request: Request) -> Factors:
    """Return the leading terms of the whole SVD."""
    U, s, Vt = matrix.svd()
    goal = request.goal(matrix) if not is_lazy(s) else None
    if goal is None:
        k, status, following = int(request.k or 0), Status.CONVERGED, None
    else:
        values = to_numpy(s).tolist()
        k, status = final_rank(values, 0.0, goal)
        rounding = 4 * len(values) ** 0.5 * epsilon(s) * values[0]
        following = values[k] + rounding if k < len(values) and values[k] > rounding else None
    return Factors(U[:, :k], s[:k], Vt[:k, :], status, following)
