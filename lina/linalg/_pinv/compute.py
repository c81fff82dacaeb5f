"""The decision table of the pseudo-inverse: which guarded path is tried, in which order, on which shape."""

import math
from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, balance, check_finite, divide, epsilon, is_lazy, real_dtype, to_numpy
from lina._core.kernels import kernel
from lina.linalg._orthonormal import gram
from lina.linalg._pinv.cod import cod_pinv
from lina.linalg._pinv.gram import gram_pinv
from lina.linalg._pinv.lu import lu_pinv
from lina.linalg._pinv.outcome import BAND, Cutoff, Outcome
from lina.linalg._pinv.svd import check_result, eigh_pinv, qr_pinv, quotient, svd_pinv

METHODS = ("auto", "svd", "gram", "lu", "cod", "qr")

# Below this many entries a matrix is done before the guards of the fast paths are evaluated.
_WORTH_GUARDING = 4096
# From this many columns on a failed attempt at a low rank costs a small part of the SVD that follows.
_WORTH_SKETCHING = 256
# Batched kernels are compiled on first use (seconds): below this many flops the library's SVD is done earlier.
_WORTH_COMPILING = 10**6


def compute_pinv(xp: Any, A: Any, cutoff: Cutoff, hermitian: bool, method: str) -> Outcome:
    """Return the pseudo-inverse of ``A`` (..., m, n) of a working dtype, with its facts."""
    if A.shape[-2] < A.shape[-1]:
        outcome = compute_pinv(xp, adjoint(xp, A), cutoff, hermitian, method)
        return outcome._replace(X=adjoint(xp, outcome.X))
    if math.prod(A.shape) == 0:
        return empty_pinv(xp, A)
    if A.ndim == 2 and not hermitian and not is_lazy(A) and method != "svd":
        return _matrix(xp, A, cutoff, method)
    check_finite(xp, A, "A")
    if hermitian:
        outcome = eigh_pinv(xp, A, cutoff)
    elif method == "svd" or is_lazy(A):
        outcome = svd_pinv(xp, A, cutoff)
    else:
        outcome = _batch(xp, A, cutoff, method)
    if A.ndim > 2 and isinstance(outcome.method, str):
        return outcome._replace(method=np.full(A.shape[:-2], outcome.method))
    return outcome


def empty_pinv(xp: Any, A: Any) -> Outcome:
    """Return the pseudo-inverse of ``A`` (..., m, n) without entries."""
    X = xp.zeros_like(adjoint(xp, A))
    if A.ndim == 2:
        return Outcome(X, 0, 1.0, math.inf, "svd")
    ones = xp.ones(A.shape[:-2], dtype=real_dtype(xp, A))
    return Outcome(X, xp.astype(0 * ones, xp.int64), ones, ones * math.inf, np.full(A.shape[:-2], "svd"))


def _matrix(xp: Any, A: Any, cutoff: Cutoff, method: str) -> Outcome:
    """One matrix (m, n), m >= n: scale, try, fall back."""
    if method == "auto" and math.prod(A.shape) < _WORTH_GUARDING:
        check_finite(xp, A, "A")
        return svd_pinv(xp, A, cutoff)
    scaled, _, scale = balance(xp, A, "A")
    outcome = _try_paths(xp, scaled, Cutoff(cutoff.rtol, cutoff.atol / scale), method)
    if scale == 1.0:
        return outcome
    with np.errstate(over="ignore"):
        X = divide(outcome.X, scale)
    check_result(xp, X)
    return outcome._replace(X=X)


def _try_paths(xp: Any, A: Any, cutoff: Cutoff, method: str) -> Outcome:
    m, n = A.shape
    wanted = ("lu", "gram", "cod", "qr") if method == "auto" else (method,)
    if "lu" in wanted and m == n:
        full = lu_pinv(xp, A, cutoff)
        if full is not None:
            return full.outcome(n, cutoff)
    sketching = method == "cod" or ("cod" in wanted and n >= _WORTH_SKETCHING)
    if ("gram" in wanted and m > n) or method == "gram" or sketching:
        G = gram(xp, A)
        full = gram_pinv(xp, A, G, cutoff) if "gram" in wanted and (m > n or method == "gram") else None
        if full is not None:
            return full.outcome(n, cutoff)
        low = cod_pinv(xp, A, G, cutoff) if sketching else None
        if low is not None:
            return low
    return qr_pinv(xp, A, cutoff) if "qr" in wanted else svd_pinv(xp, A, cutoff)


def _batch(xp: Any, A: Any, cutoff: Cutoff, method: str) -> Outcome:
    """A stack (..., m, n), m >= n: small matrices together, large ones one after the other."""
    m, n = A.shape[-2:]
    if m * n >= _WORTH_GUARDING:
        return _stack(xp, A, [_matrix(xp, each, cutoff, method) for each in _matrices(xp, A)])
    fast = kernel("pinv_small", xp) if method == "auto" and A.size * n >= _WORTH_COMPILING else None
    supports = kernel("pinv_small_supports", xp)
    if fast is None or (supports is not None and not supports(A.shape, A.dtype)):
        return svd_pinv(xp, A, cutoff)
    X, condition = fast(xp.reshape(A, (-1, m, n)))
    return _finish_small(xp, A, X, condition, cutoff)


def _matrices(xp: Any, A: Any) -> list[Any]:
    flat = xp.reshape(A, (-1, *A.shape[-2:]))
    return [flat[i, ...] for i in range(flat.shape[0])]


def _stack(xp: Any, A: Any, outcomes: list[Outcome]) -> Outcome:
    batch = A.shape[:-2]
    X = xp.reshape(xp.stack([o.X for o in outcomes]), (*batch, A.shape[-1], A.shape[-2]))
    real = real_dtype(xp, A)

    def gather(values: list[Any], dtype: Any) -> Any:
        return xp.reshape(xp.asarray(values, dtype=dtype, device=device(A)), batch)

    rank = gather([int(o.rank) for o in outcomes], xp.int64)
    condition = gather([float(o.condition) for o in outcomes], real)
    gap = gather([float(o.gap) for o in outcomes], real)
    return Outcome(X, rank, condition, gap, np.reshape([o.method for o in outcomes], batch))


def _finish_small(xp: Any, A: Any, X: Any, condition: Any, cutoff: Cutoff) -> Outcome:
    """Send the matrices that the batched kernel cannot be certain of to the SVD, together."""
    m, n = A.shape[-2:]
    flat, batch = xp.reshape(A, (-1, m, n)), A.shape[:-2]
    whole = xp.isfinite(condition)
    bound = xp.where(whole, condition, xp.ones_like(condition))
    # the cutoff over the smallest singular value, which is at least the largest entry over the condition
    margin = cutoff.rtol * bound
    if cutoff.atol > 0:
        entry = xp.max(xp.abs(flat), axis=(-2, -1))
        margin = xp.maximum(margin, cutoff.atol * quotient(xp, bound, entry))
    # Gram-Schmidt twice needs condition * eps << 1
    certain = whole & (BAND * margin <= 1) & (100 * n * epsilon(A) * bound <= 1)
    rank = xp.full(condition.shape, n, dtype=xp.int64)
    gap = quotient(xp, xp.ones_like(margin), margin)
    method = np.full(condition.shape, "mgs2")
    (doubtful,) = xp.nonzero(~certain)
    if doubtful.shape[0]:
        exact = svd_pinv(xp, flat[doubtful, ...], cutoff)
        X[doubtful], rank[doubtful] = exact.X, exact.rank
        condition[doubtful], gap[doubtful] = exact.condition, exact.gap
        method[to_numpy(doubtful)] = "svd"
    rank, condition, gap = (xp.reshape(each, batch) for each in (rank, condition, gap))
    return Outcome(xp.reshape(X, (*batch, n, m)), rank, condition, gap, method.reshape(batch))
