"""The whole SVD, cut off: for small matrices, many terms, and as the reference."""

from lina._core.array import epsilon, is_lazy, to_numpy
from lina._core.certificates import Status
from lina.linalg._truncated_svd.problem import Factors, Goal, Matrix, final_rank


def dense_svd(matrix: Matrix, goal: Goal) -> Factors:
    """Return the leading terms of the library's own SVD, 14 m n^2 + 8 n^3 flops for m >= n."""
    xp = matrix.xp
    matrix.passes += 1
    U, s, Vt = xp.linalg.svd(matrix.A, full_matrices=False)
    if is_lazy(s):
        k, status, following = goal.rank, Status.CONVERGED, None
    else:
        values = to_numpy(s).tolist()
        k, status = final_rank(values, 0.0, goal)
        rounding = 4 * len(values) ** 0.5 * epsilon(s) * values[0]
        following = values[k] + rounding if k < len(values) and values[k] > rounding else None
    return Factors(U[:, :k], s[:k], Vt[:k, :], status, following)
