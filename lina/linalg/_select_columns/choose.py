"""The rules by name: each returns the indices of at most k columns of a matrix, the most important first."""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import epsilon, to_numpy
from lina._core.random import gaussian
from lina.linalg._pivoted_qr import pivoted_qr
from lina.linalg._select_columns.greedy import greedy
from lina.linalg._select_columns.kmeans import kmeans
from lina.linalg._select_columns.lupp import lu_pivots
from lina.linalg._select_columns.probabilities import largest_entries, probabilities
from lina.linalg._select_columns.rbrp import rbrp
from lina.linalg._truncated_svd.public import truncated_svd

_OVERSAMPLE = 10


def choose_columns(xp: Any, A: Any, k: int, method: str, rng: np.random.Generator) -> Any:
    """Return ``k`` different indices of columns of ``A`` (m, n), k <= min(m, n), whose norm is in safe range.

    A rule returns fewer where no further column adds anything but rounding; then the largest of the others follow,
    so that a column of zeros never comes before another one.
    """
    found = to_numpy(RULES[method](xp, A, k, rng)).astype(np.int64)
    if found.size < k:
        others = np.argsort(-largest_entries(xp, A), kind="stable")
        found = np.concatenate([found, others[~np.isin(others, found)][: k - found.size]])
    return xp.asarray(found, device=device(A))


def _cpqr(xp: Any, A: Any, k: int, _rng: np.random.Generator) -> Any:
    """Pivoted QR of the matrix itself."""
    return _pivots(xp, A, k)


def _sketch(xp: Any, A: Any, k: int, rng: np.random.Generator) -> Any:
    """Pivoted QR of a Gaussian sketch of the rows (Voronin, Martinsson 2017)."""
    return _pivots(xp, _row_sketch(A, k + _OVERSAMPLE, rng), k)


def _sampled_cpqr(xp: Any, A: Any, k: int, rng: np.random.Generator) -> Any:
    """Pivoted QR of a uniform sample of columns (Advani, O'Hagan, arXiv:2105.07076)."""
    sample = np.sort(_uniform(xp, A, 2 * k + _OVERSAMPLE, rng))
    some = xp.take(A, xp.asarray(sample, device=device(A)), axis=1)
    return sample[_pivots(xp, some, min(k, sample.size))]


def _lupp(xp: Any, A: Any, k: int, rng: np.random.Generator) -> Any:
    """LU with partial pivoting of a sketch of the rows (Dong, Martinsson 2023); oversampling would change nothing."""
    return _lu(xp, _row_sketch(A, k, rng))


def _deim(xp: Any, A: Any, k: int, rng: np.random.Generator) -> Any:
    """Discrete empirical interpolation on the right singular vectors, which is LU with partial pivoting."""
    return _lu(xp, _singular_vectors(A, k, rng))


def _qdeim(xp: Any, A: Any, k: int, rng: np.random.Generator) -> Any:
    """Pivoted QR on the right singular vectors (Drmac, Gugercin 2016)."""
    Vt = _singular_vectors(A, k, rng)
    return _pivots(xp, Vt, Vt.shape[0])


def _ranked(rule: str) -> Callable[..., Any]:
    """Return the rule that takes the k columns of largest probability."""

    def choose(xp: Any, A: Any, k: int, _rng: np.random.Generator) -> Any:
        p = probabilities(xp, A, k, rule)
        return np.argsort(-p, kind="stable")[: min(k, np.count_nonzero(p))]

    return choose


def _uniform(xp: Any, A: Any, k: int, rng: np.random.Generator) -> Any:
    """Draw from the columns that are not zero."""
    possible = np.flatnonzero(probabilities(xp, A, k, "uniform"))
    return rng.choice(possible, min(k, possible.size), replace=False)


def _pivots(xp: Any, W: Any, k: int) -> np.ndarray:
    """Return the first ``k`` pivots of QR of ``W``, without those that are rounding."""
    R, pivots = pivoted_qr(xp, W, k)
    return to_numpy(pivots)[_counted(to_numpy(xp.abs(xp.linalg.diagonal(R))), W)]


def _lu(xp: Any, W: Any) -> np.ndarray:
    """Return the pivot columns of LU of the transpose of ``W`` (k, n), without those that are rounding."""
    pivots, sizes = lu_pivots(xp, xp.matrix_transpose(W))
    return pivots[_counted(sizes, W)]


def _singular_vectors(A: Any, k: int, rng: np.random.Generator) -> Any:
    """Return the leading right singular vectors (r, n), r <= k, without those that are rounding."""
    F = truncated_svd(A, k, rng=rng)
    return F.Vt[: max(1, int(np.sum(_counted(to_numpy(F.s), A)))), :]


def _counted(sizes: np.ndarray, W: Any) -> np.ndarray:
    """Return which pivots or singular values of ``W`` are more than rounding."""
    return sizes > max(W.shape) * epsilon(W) * np.max(sizes)


def _row_sketch(A: Any, d: int, rng: np.random.Generator) -> Any:
    """Return ``d`` Gaussian combinations of the rows of ``A``, or ``A`` itself where that is no longer."""
    return A if d >= A.shape[0] else gaussian(rng, (d, A.shape[0]), A) @ A


RULES: dict[str, Callable[..., Any]] = {
    "cpqr": _cpqr,
    "sketch": _sketch,
    "sampled_cpqr": _sampled_cpqr,
    "lupp": _lupp,
    "rbrp": rbrp,
    "greedy": greedy,
    "deim": _deim,
    "qdeim": _qdeim,
    "leverage": _ranked("leverage"),
    "norm": _ranked("norm"),
    "uniform": _uniform,
    "kmeans": kmeans,
}
