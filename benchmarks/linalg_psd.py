"""How near the optimum is a kernel matrix of low rank, in what time, from how many entries?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.runner import Case, Question, Target
from lina.linalg import nystrom, rpcholesky

Factors = tuple[np.ndarray, np.ndarray]


def cases(quick: bool) -> Iterator[Case]:
    """Yield handwritten digits and an unbalanced sample of them, whose kernel is read as a matrix and by entries."""
    X = digits()[:: 8 if quick else 1]
    k = 20 if quick else 100
    rng = np.random.default_rng(0)
    few = len(X) // 20
    copies = X[:1] + 0.02 * rng.standard_normal((len(X) - few, X.shape[1]))
    for name, points in (("digits", X), ("digits, 95 % of one kind", np.concatenate([X[:few], copies]))):
        yield from of_points(name, points, k)


def of_points(name: str, X: np.ndarray, k: int) -> Iterator[Case]:
    """Yield the two cases of the Gaussian kernel of these points."""
    squares = np.sum(X**2, axis=1)
    gamma = float(1 / (4 * np.median(squares)))

    def entries(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        distances = squares[rows, None] + squares[columns] - 2 * X[rows] @ X[columns].T
        return np.exp(-gamma * np.maximum(distances, 0.0))

    n = len(X)
    A = entries(np.arange(n), np.arange(n))
    A = (A + A.T) / 2
    best = float(np.sum(np.maximum(np.linalg.eigvalsh(A)[:-k], 0.0)))
    targets = [
        Target("nystrom", "numpy eigh", 3, error_factor=1.01),
        Target("nystrom, sketch", "scipy eigh, k largest", 5),
    ]
    yield Case(f"{name}: matrix, n = {n}, k = {k}", of_matrix(A, k), over_optimum(A, best), targets, 2.0 * n * n * k)
    columns = rpcholesky(entries, k, diag=np.diagonal(A), rng=0).entries // n
    contenders = of_entries(X, entries, k, columns, gamma)
    targets = [Target("rpcholesky", f"sklearn Nystroem, {columns} columns", 0.5, error_factor=1.1)]
    yield Case(f"{name}: entries, n = {n}, k = {k}", contenders, over_optimum(A, best), targets)


def digits() -> np.ndarray:
    """Return handwritten digits (1797, 64), or noise of their shape where scikit-learn is not installed."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        return np.random.default_rng(0).random((1797, 64))
    return load_digits().data / 16


def of_matrix(A: np.ndarray, k: int) -> dict[str, Callable[[], Factors]]:
    """Return what reads a whole matrix; every one returns (left, right)."""

    def ours(**options: Any) -> Callable[[], Factors]:
        def call() -> Factors:
            F = nystrom(A, k, rng=0, **options)
            return F.U * F.lam, F.U.T

        return call

    def largest() -> Factors:
        n = len(A)
        values, U = scipy.linalg.eigh(A, subset_by_index=(n - k, n - 1), check_finite=False)
        return U * values, U.T

    def full() -> Factors:
        values, U = np.linalg.eigh(A)
        return U[:, -k:] * values[-k:], U[:, -k:].T

    def pivoted() -> Factors:
        F = rpcholesky(A, k, rng=0).F
        return F, F.T

    return {
        "nystrom": ours(),
        "nystrom, sketch": ours(method="sketch"),
        "rpcholesky": pivoted,
        "numpy eigh": full,
        "scipy eigh, k largest": largest,
    }


def of_entries(
    X: np.ndarray, entries: Callable[..., np.ndarray], k: int, columns: int, gamma: float
) -> dict[str, Callable[[], Factors]]:
    """Return what computes some entries only; the peer is given as many as rpcholesky reads, and then k columns."""
    ones = np.ones(len(X))

    def ours(**options: Any) -> Callable[[], Factors]:
        def call() -> Factors:
            F = rpcholesky(entries, k, diag=ones, rng=0, **options).F
            return F, F.T

        return call

    found = {"rpcholesky": ours(), "rpcholesky, one by one": ours(block_size=1)}
    try:
        from sklearn.kernel_approximation import Nystroem
    except ImportError:
        return found

    def uniform(count: int) -> Callable[[], Factors]:
        def call() -> Factors:
            F = Nystroem(gamma=gamma, n_components=count, random_state=0).fit_transform(X)
            return F, F.T

        return call

    return {
        **found,
        f"sklearn Nystroem, {columns} columns": uniform(columns),
        f"sklearn Nystroem, {k} columns": uniform(k),
    }


def over_optimum(A: np.ndarray, best: float) -> Callable[[Factors], float]:
    """Return the nuclear norm of the error over that of the best rank k."""

    def error(factors: Factors) -> float:
        left, right = factors
        return float(np.sum(np.abs(np.linalg.eigvalsh(A - left @ right))) / best)

    return error


QUESTION = Question(
    "How near the optimum is a kernel matrix of low rank, in what time, from how many entries?",
    cases,
    error_name="nuclear norm of the error / optimum of rank k",
    note="The time of lina's certificate is included; no other contender has one. By entries, the peer is given as "
    "many columns as rpcholesky reads in all, those of rejected proposals included: it then has a larger rank. Where "
    "all digits are equally frequent, columns drawn uniformly are as good; where one of them is most of the data, "
    "they are not.",
)
