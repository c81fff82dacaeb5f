"""The step that chooses columns: QR with column pivoting, cut off after k steps, without its Q."""

from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, epsilon, real_dtype, to_numpy
from lina._core.kernels import kernel


def pivoted_qr(xp: Any, A: Any, k: int) -> tuple[Any, Any]:
    """Return (R, pivots) of ``A`` (m, n): R (k, n) in pivoted order, pivots (k,); k <= min(m, n).

    Each step takes the column with the largest remainder (Golub 1965). Cost 4 m n k flops.
    """
    fast = kernel("pivoted_qr", xp)
    if fast is not None:
        R, pivots = fast(A, k)
        return R, pivots[:k]
    return _gram_schmidt(xp, A, k)


def numerical_rank(xp: Any, R: Any, size: int) -> int:
    """Return the number of pivots of ``R`` (k, n) above rounding in a matrix with ``size`` rows or columns, at least 1.

    What the pivots hide below themselves is not seen: this ends a factorisation, and bounds no singular value.
    """
    pivots = np.abs(to_numpy(xp.linalg.diagonal(R)))
    return max(1, int(np.sum(pivots > size * epsilon(R) * pivots[0])))


def _gram_schmidt(xp: Any, A: Any, k: int) -> tuple[Any, Any]:
    """Modified Gram-Schmidt on the remainder, each direction freed of the earlier ones a second time."""
    n = A.shape[1]
    rest = A
    Q: list[Any] = []
    rows: list[Any] = []
    pivots: list[int] = []
    free = xp.ones((n,), dtype=real_dtype(xp, A), device=device(A))
    for _ in range(k):
        p = int(xp.argmax(free * (xp.sum(xp.abs(rest) ** 2, axis=0) + epsilon(A) ** 4)))
        q = rest[:, p]
        for old in Q:
            q = q - old * xp.vecdot(old, q)
        length = xp.linalg.vector_norm(q)
        q = q / xp.where(length > 0, length, xp.ones_like(length))
        row = adjoint(xp, q[:, None]) @ rest
        rest = rest - q[:, None] @ row
        Q.append(q)
        rows.append(adjoint(xp, q[:, None]) @ A)
        pivots.append(p)
        free = xp.where(xp.arange(n, device=device(A)) == p, xp.zeros_like(free), free)
    order = np.concatenate([pivots, np.setdiff1d(np.arange(n), pivots)])
    R = xp.take(xp.concat(rows, axis=0), xp.asarray(order, device=device(A)), axis=1)
    return R, xp.asarray(np.asarray(pivots), device=device(A))
