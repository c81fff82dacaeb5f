"""Rank far below n: a complete orthogonal decomposition from a sketch, its rank proved by two bounds."""

from typing import Any

import numpy as np

from lina._core.array import adjoint, epsilon, scalar
from lina._core.random import gaussian
from lina.linalg._norms import norm2_lower
from lina.linalg._orthonormal import cholesky_qr, gram
from lina.linalg._pinv.gram import gram_pinv
from lina.linalg._pinv.outcome import Cutoff, Outcome, ratio
from lina.linalg._residual import residual_norm

_FIRST_SKETCH = 64


def cod_pinv(xp: Any, A: Any, G: Any, cutoff: Cutoff) -> Outcome | None:
    """Return the pseudo-inverse of ``A`` (m, n) of rank k <= 0.45 n, ``G`` = A^H A; None unless the rank is certain.

    With A = Q B of rank k, X = pinv(B) Q^H. Cost about m n^2 + 8 m n k flops.
    """
    found = range_factors(xp, A, G)
    if found is None:
        return None
    Q, B = found
    inner = gram_pinv(xp, adjoint(xp, B), gram(xp, adjoint(xp, B)), Cutoff(0.0, 0.0))
    if inner is None:
        return None
    clear = low_rank_gap(xp, A, Q, B, inner.low, inner.high, cutoff)
    if clear is None:
        return None
    X = adjoint(xp, inner.X) @ adjoint(xp, Q)
    return Outcome(X, B.shape[0], inner.high / inner.low, clear[0], "cod")


def range_factors(xp: Any, A: Any, G: Any) -> tuple[Any, Any] | None:
    """Return Q (m, k), orthonormal, and B = Q^H A with A about Q B, ``G`` = A^H A; None where k exceeds 0.45 n."""
    W = _row_space(xp, G)
    factored = None if W is None else cholesky_qr(xp, A @ W)
    if factored is None or not factored.deviation < 0.5:
        return None
    return factored.Q, adjoint(xp, factored.Q) @ A


def low_rank_gap(
    xp: Any, A: Any, Q: Any, B: Any, low: float, high: float, cutoff: Cutoff
) -> tuple[float, float] | None:
    """Return how far the cutoff is from all singular values and norm(A - Q B), or None if k is not certainly the rank.

    All singular values of B lie in [low, high]. Singular value k is at least that of B, and singular value k + 1 at
    most norm(A - Q B); where both keep clear of the cutoff by a factor 2 the rank is k. What Q leaves over must be
    rounding.
    """
    rest = residual_norm(xp, A, Q, B)
    top = norm2_lower(xp, B)
    smallest, largest = cutoff.at(top), cutoff.at(high + rest)
    if not (2 * rest <= smallest and low >= 2 * largest):
        return None
    # pinv(Q B) stands for pinv(A): what lies beyond must be rounding, or it errs by its share of singular value k
    if rest > max(A.shape) * epsilon(A) * top:
        return None
    return min(ratio(low, largest), ratio(smallest, rest)), rest


def _row_space(xp: Any, G: Any) -> Any | None:
    """Return W (n, k) such that A W spans the range of A nearly orthonormally, or None where k exceeds 0.45 n.

    A sketch grows until it has more columns than the rank. Eigenvalues under the noise of the Gram matrix do not
    count; should that cut away too much, the bounds of the caller notice.
    """
    n, rng = G.shape[0], np.random.default_rng(0)
    if n < 2:
        return None
    noise = 10 * n * epsilon(G)
    omega = gaussian(rng, (n, min(_FIRST_SKETCH, n // 2)), G)
    image = G @ omega
    while True:
        values, vectors = xp.linalg.eigh(adjoint(xp, omega) @ image)
        largest = scalar(values[-1])
        k = int(xp.sum(xp.astype(values > noise * largest, xp.int64))) if largest > 0 else 0
        if 0 < k <= 0.9 * omega.shape[1]:
            return omega @ (vectors[:, -k:] / xp.astype(xp.sqrt(values[-k:]), G.dtype))
        more = min(2 * omega.shape[1], n // 2 - omega.shape[1])
        if more <= 0:
            return None
        fresh = gaussian(rng, (n, more), G)
        omega, image = xp.concat([omega, fresh], axis=1), xp.concat([image, G @ fresh], axis=1)
