"""What does it cost to apply, regularise or update a pseudo-inverse instead of forming it anew?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.linalg_pinv import orthonormal
from benchmarks.runner import Case, Question, Target
from lina.linalg import pinv_factor, ridge_pinv, solve_left, svd_append, svd_update, truncated_svd

Contenders = dict[str, Callable[[], Any]]


def cases(quick: bool) -> Iterator[Case]:
    """Yield least-squares problems, a ridge path, and changes of a factor and of a truncated SVD."""
    shrink = 10 if quick else 1
    fast = [Target("lina", "numpy", 2.5, error_factor=5), Target("lina", "scipy gelsy", 4, error_factor=5)]
    yield least_squares(20000 // shrink, 200 // shrink, 10, fast)
    yield least_squares(20000 // shrink, 200 // shrink, 1e5, fast)
    yield least_squares(20000 // shrink, 200 // shrink, 1e11, [Target("lina", "numpy", 1 / 1.25, error_factor=5)])
    yield least_squares(200 // shrink, 20000 // shrink, 1e3, fast)
    yield least_squares(1500 // shrink, 1500 // shrink, 1e3, [Target("lina", "numpy", 2.5, error_factor=5)])
    yield deficient(3000 // shrink, 1000 // shrink, 300 // shrink, 0.0, [Target("lina", "numpy", 1.0, error_factor=5)])
    yield deficient(3000 // shrink, 1000 // shrink, 300 // shrink, 0.3, [Target("lina", "numpy", 0.5, error_factor=5)])
    yield ridge_path(20000 // shrink, 200 // shrink, 10)
    yield ridge_path(20000 // shrink, 200 // shrink, 1e4)
    yield from changed_factors(20000 // shrink, 200 // shrink, 200 // shrink, 3)
    yield from changed_factors(3000 // shrink, 1000 // shrink, 50 // shrink, 50)
    yield from changed_svd(3000 // shrink, 1500 // shrink, 50 // shrink)


def least_squares(m: int, n: int, condition: float, targets: list[Target]) -> Case:
    """Return a problem whose solution is known from its factors, with a residual as large as the right-hand side."""
    k = min(m, n)
    name = f"least squares, {m} x {n}, condition {condition:g}"
    return problem(name, m, n, np.geomspace(1, 1 / condition, k), k, targets)


def deficient(m: int, n: int, rank: int, noise: float, targets: list[Target]) -> Case:
    """Return a problem of low rank, with the other singular values at a share of the cutoff."""
    values = np.r_[np.geomspace(1, 0.1, rank), np.full(n - rank, noise * max(m, n) * 2.0**-52)]
    name = f"least squares, {m} x {n}, rank {rank}" + (f", noise at {noise:g} cutoff (falls back)" if noise else "")
    return problem(name, m, n, values, rank, targets)


def problem(name: str, m: int, n: int, values: np.ndarray, rank: int, targets: list[Target]) -> Case:
    """Return least squares with these singular values, of which the first ``rank`` count."""
    rng = np.random.default_rng(0)
    k = min(m, n)
    U, V = orthonormal(rng, m, k), orthonormal(rng, n, k)
    A = (U * values) @ V.T
    x = V[:, :rank] @ rng.standard_normal(rank)
    b = A @ x
    if m > n:
        rest = rng.standard_normal(m)
        rest -= U @ (U.T @ rest)
        b += rest * np.linalg.norm(b) / np.linalg.norm(rest)
    contenders: Contenders = {
        "lina": lambda: solve_left(A, b),
        "numpy": lambda: np.linalg.lstsq(A, b)[0],
        "scipy gelsy": lambda: scipy.linalg.lstsq(A, b, cond=max(m, n) * 2.0**-52, lapack_driver="gelsy")[0],
    }
    return Case(name, contenders, relative(x), targets, flops=1.0 * max(m, n) * k * k)


def relative(exact: np.ndarray) -> Callable[[Any], float]:
    """Return the relative error in the Frobenius norm."""
    return lambda X: float(np.linalg.norm(np.asarray(X) - exact) / np.linalg.norm(exact))


def ridge_path(m: int, n: int, condition: float) -> Case:
    """Return 100 ridge problems with one matrix, solved from one factorisation or one by one."""
    rng = np.random.default_rng(0)
    U, V = orthonormal(rng, m, n), orthonormal(rng, n, n)
    s = np.geomspace(1, 1 / condition, n)
    A, b, path = (U * s) @ V.T, rng.standard_normal(m), np.geomspace(1e-8, 1, 100)
    exact = np.stack([V @ (s / (s**2 + eps) * (U.T @ b)) for eps in path])

    def one_by_one() -> Any:
        G, right = A.T @ A, A.T @ b
        return np.stack([np.linalg.solve(G + eps * np.eye(n), right) for eps in path])

    def by_svd() -> Any:
        left, values, right = np.linalg.svd(A, full_matrices=False)
        return np.stack([right.T @ (values / (values**2 + eps) * (left.T @ b)) for eps in path])

    contenders = {"lina": lambda: ridge_pinv(A, path, B=b), "numpy, one Gram matrix": one_by_one, "numpy svd": by_svd}
    targets = [Target("lina", "numpy svd", 2.5, error_factor=20)]
    if condition <= 10:
        targets.append(Target("lina", "numpy, one Gram matrix", 1.5, error_factor=20))
    return Case(f"100 ridge problems, {m} x {n}, condition {condition:g}", contenders, relative(exact), targets)


def changed_factors(m: int, n: int, k: int, ratio: float) -> Iterator[Case]:
    """Yield changes of a factored pseudo-inverse of rank k; the error is that of Penrose's first identity."""
    rng = np.random.default_rng(0)
    A = (orthonormal(rng, m, k) * np.geomspace(1, 0.01, k)) @ orthonormal(rng, n, k).T
    F = pinv_factor(A)
    c, d, rows = rng.standard_normal((m, 1)) / m, rng.standard_normal((n, 1)), rng.standard_normal((10, n)) / n
    changes: list[tuple[str, Callable[[], Any], np.ndarray]] = [
        ("an update of rank 1", lambda: F.update(c, d), A + c @ d.T),
        ("10 rows more", lambda: F.append_rows(rows), np.concatenate([A, rows])),
        ("10 rows less", lambda: F.delete_rows(range(10)), A[10:]),
    ]
    for what, change, B in changes:
        anew = np.ascontiguousarray(B)
        contenders: Contenders = {
            "lina update": change,
            "lina anew": lambda B=anew: pinv_factor(B),  # type: ignore[misc]
            "numpy pinv": lambda B=anew: np.linalg.pinv(B, rtol=max(m, n) * 2.0**-52),  # type: ignore[misc]
        }
        targets = [Target("lina update", "numpy pinv", ratio, error_factor=20)]
        yield Case(f"{what} of {m} x {n}, rank {k}", contenders, penrose(anew), targets)


def penrose(A: np.ndarray) -> Callable[[Any], float]:
    """Return norm(A X A - A) / norm(A) for a pseudo-inverse X, factored or not."""
    return lambda X: float(np.linalg.norm(A @ (X @ A) - A) / np.linalg.norm(A))


def changed_svd(m: int, n: int, k: int) -> Iterator[Case]:
    """Yield changes of a truncated SVD; the error is the distance from the changed matrix over the optimum, less 1."""
    rng = np.random.default_rng(0)
    A = (orthonormal(rng, m, n) * np.exp(-np.arange(n) / (k / 4))) @ orthonormal(rng, n, n).T
    F = truncated_svd(A, k, rng=0)
    C, D, rows = 0.1 * orthonormal(rng, m, 5), orthonormal(rng, n, 5), 0.1 * orthonormal(rng, n, 10).T
    changes: list[tuple[str, Callable[[], Any], np.ndarray]] = [
        ("an update of rank 5", lambda: svd_update(F, C, D), A + C @ D.T),
        ("10 rows more", lambda: svd_append(F, rows), np.concatenate([A, rows])),
    ]
    for what, change, B in changes:

        def whole(B: np.ndarray = B) -> Any:
            U, s, Vt = np.linalg.svd(B, full_matrices=False)
            return (U[:, :k] * s[:k]), Vt[:k]

        best = float(np.linalg.norm(np.linalg.svd(B, compute_uv=False)[k:]))

        def excess(F: Any, B: np.ndarray = B, best: float = best) -> float:
            left, right = F if isinstance(F, tuple) else (F.U * F.s, F.Vt)
            return float(np.linalg.norm(B - left @ right)) / best - 1

        contenders: Contenders = {
            "lina update": change,
            "lina anew": lambda B=B: truncated_svd(B, k, rng=0),  # type: ignore[misc]
            "numpy svd": whole,
        }
        yield Case(f"{what} of {m} x {n}, {k} triplets", contenders, excess, [Target("lina update", "numpy svd", 100)])


QUESTION = Question(
    "What does it cost to apply, regularise or update a pseudo-inverse instead of forming it anew?",
    cases,
    note="Least squares: the error of the known solution. An update of a truncated SVD cannot bring back what the "
    "one left out; an update of full rank costs the SVD of a k x k core, so that it pays for tall matrices only.",
)
