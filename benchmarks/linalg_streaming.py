"""What does one pass over arriving rows cost, and how near does it come to the optimum?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.linalg_pinv import orthonormal
from benchmarks.linalg_truncated_svd import SPECTRA, excess
from benchmarks.runner import Case, Question, Target
from lina.linalg import StreamingSVD, truncated_svd

BLOCK = 1000


def cases(quick: bool) -> Iterator[Case]:
    """Yield the three decays, with rows that arrive in blocks of 1000."""
    m, n, k = (2000, 400, 10) if quick else (20000, 1000, 20)
    rng = np.random.default_rng(0)
    U, V = orthonormal(rng, m, n), orthonormal(rng, n, n)
    targets = [Target("lina, StreamingSVD", "sklearn, IncrementalPCA + A @ V", 5)]
    for name, spectrum in SPECTRA.items():
        values = spectrum(n)
        A = (U * values) @ V.T
        best = float(np.sqrt(np.sum(values[k:] ** 2)))
        yield Case(f"{m} x {n}, k = {k}, {name}", contenders(A, k), excess(A, best), targets)


def contenders(A: np.ndarray, k: int) -> dict[str, Callable[[], Any]]:
    """Return lina's stream and its peers; every one returns (U, s, Vt)."""

    def streaming(**options: Any) -> Callable[[], Any]:
        def call() -> Any:
            stream = StreamingSVD(A.shape, k, rng=0, **options)
            for start in range(0, A.shape[0], BLOCK):
                stream.append(A[start : start + BLOCK])
            F = stream.finalize()
            return F.U, F.s, F.Vt

        return call

    def whole() -> Any:
        F = truncated_svd(A, k, rng=0)
        return F.U, F.s, F.Vt

    found = {
        "lina, StreamingSVD": streaming(),
        "lina, StreamingSVD, keep_tests": streaming(keep_tests=True),
        "lina, StreamingSVD, r = 2 k + 3": streaming(range_size=2 * k + 3),
        "lina, truncated_svd (whole)": whole,
    }
    try:
        from sklearn.decomposition import IncrementalPCA
        from sklearn.utils.extmath import randomized_svd
    except ImportError:
        return found

    def incremental() -> Any:
        pca = IncrementalPCA(k)
        for start in range(0, A.shape[0], BLOCK):
            pca.partial_fit(A[start : start + BLOCK])
        V = pca.components_.T
        return (A @ V) / pca.singular_values_, pca.singular_values_, V.T  # a second pass gives the left factor

    found["sklearn, IncrementalPCA + A @ V"] = incremental
    found["sklearn, randomized_svd (whole)"] = lambda: randomized_svd(A, k, random_state=0)
    return found


QUESTION = Question(
    "What does one pass over arriving rows cost, and how near does it come to the optimum?",
    cases,
    error_name="error / optimum - 1",
    note="Rows arrive in blocks of 1000. The stream keeps r (m + n) + s^2 + q n numbers, r = 4 k + 3, and forms no "
    "product with a row twice; IncrementalPCA keeps the k leading right vectors only, subtracts the means, needs a "
    "second pass for the left ones and follows no other change than new rows. lina's times include its certificate.",
)
