"""How fast are the fewest terms that meet a tolerance?"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.linalg_pinv import orthonormal
from benchmarks.linalg_truncated_svd import SPECTRA
from benchmarks.runner import Case, Question, Target
from lina.linalg import truncated_svd


def cases(quick: bool) -> Iterator[Case]:
    """Yield few, some and many terms, in both precisions."""
    m, n = (800, 700) if quick else (4000, 1000)
    rng = np.random.default_rng(0)
    U, V = orthonormal(rng, m, n), orthonormal(rng, n, n)
    for name, rtol, target in (("1 / i", 0.3, 10), ("exp(-i / 20)", 1e-3, 3), ("1 / sqrt(i)", 0.3, 1)):
        dense = (U * SPECTRA[name](n)) @ V.T
        for dtype in (np.float64, np.float32):
            A = dense.astype(dtype)
            runs: dict[str, Callable[[], Any]] = {
                "lina": partial(ours, A, rtol),
                "numpy's SVD, cut off": partial(cut, np.linalg.svd, A, rtol),
                "scipy's gesvd, cut off": partial(cut, partial(scipy.linalg.svd, lapack_driver="gesvd"), A, rtol),
            }
            title = f"{m} x {n}, {np.dtype(dtype).name}, rtol = {rtol:g}, {name}"
            targets = [Target("lina", "numpy's SVD, cut off", target)]
            yield Case(title, runs, partial(over_tolerance, A, rtol), targets)


def ours(A: np.ndarray, rtol: float) -> Any:
    """Return lina's (U, s, Vt)."""
    F = truncated_svd(A, rtol=rtol, rng=0)
    return F.U, F.s, F.Vt


def cut(svd: Callable[..., Any], A: np.ndarray, rtol: float) -> Any:
    """Return the leading triplets of a whole SVD that meet the tolerance."""
    U, s, Vt = svd(A, full_matrices=False)
    tails = np.sqrt(np.cumsum(s[::-1].astype(float) ** 2)[::-1])
    k = int(np.argmax(np.r_[tails, 0] <= rtol * tails[0]))
    return U[:, :k], s[:k], Vt[:k]


def over_tolerance(A: np.ndarray, rtol: float, factors: Any) -> float:
    """Return the error over the tolerance: above 1 it is not met; far below 1 there are more terms than needed."""
    U, s, Vt = factors
    dense = A.astype(float)
    return float(np.linalg.norm(dense - (U * s) @ Vt) / (rtol * np.linalg.norm(dense)))


QUESTION = Question(
    "How fast are the fewest terms that meet a tolerance?",
    cases,
    error_name="error / tolerance",
    note="The first two decays need 7 and 138 terms of 1000, the last 510. The time of lina's certificate is included, "
    "as is that of an attempt with few terms, which is given up where many are needed.",
)
