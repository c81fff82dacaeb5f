"""Chapter one: a photograph, some digits, a stream and a regression, each through a low-rank factorisation."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lina._tour.chapter import Chapter, Figure, Part, Row, timed
from lina._tour.least_squares import normal_equations_bound, refined_solution
from lina.linalg import StreamingSVD, cur, interpolative, pinv, ridge_pinv, truncated_svd

INTRO = (
    "A matrix of low rank is a long table with a short description. Finding the description is half of the work; the "
    "other half is knowing how much it leaves out. In each picture below the function that computed the answer also "
    "stated how wrong it can be, without being shown the truth. The truth was computed afterwards, to check it."
)
ERRORS = (
    "Errors are relative: to the norm of the data for factorisations, to the norm of the solution for regressions, "
    "where the row shows the solution whose certificate is the tightest."
)

SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
SHOWN = (0.05, 0.2)
CHOSEN = 10
TERMS = (4, 10, 16, 24, 32, 40)
STREAMED = 12
BATCH = 20


def chapter() -> Chapter:
    """Return the chapter, not yet played."""
    parts = [
        Part("compressing a photograph", made_photograph, compress, photograph, draw_photograph),
        Part("choosing representative digits", made_digits, choose, digits, draw_digits),
        Part("reading a photograph line by line", made_photograph, watch, scan, draw_stream),
        Part("following a regularisation path", made_regression, follow, diabetes, draw_path),
        Part("inverting thousands of small matrices", made_stack, invert_stack),
    ]
    return Chapter("Low rank and pseudo-inverse", INTRO, parts, ERRORS)


def draw_photograph(found: Any) -> list[Figure]:
    """Return the figures of the photograph."""
    from lina._tour import linalg_figures

    return [linalg_figures.photograph_figure(found), linalg_figures.storage_figure(found)]


def draw_digits(found: Any) -> list[Figure]:
    """Return the figures of the digits."""
    from lina._tour import linalg_figures

    return [linalg_figures.digits_figure(found), linalg_figures.choice_figure(found)]


def draw_stream(found: Any) -> list[Figure]:
    """Return the figure of the stream."""
    from lina._tour import linalg_figures

    return [linalg_figures.stream_figure(found)]


def draw_path(found: Any) -> list[Figure]:
    """Return the figure of the regularisation path."""
    from lina._tour import linalg_figures

    return [linalg_figures.path_figure(found)]


def photograph() -> tuple[np.ndarray]:
    """Return a colour photograph as a matrix (3 x 427, 640) in [0, 1], whose columns are columns of pixels."""
    from sklearn.datasets import load_sample_image

    pixels = load_sample_image("flower.jpg") / 255.0
    return (np.ascontiguousarray(pixels.transpose(2, 0, 1).reshape(-1, pixels.shape[1])),)


def made_photograph() -> tuple[np.ndarray]:
    """Return a matrix (300, 200) with singular values that fall like those of a picture."""
    x, y = np.linspace(0, 1, 300)[:, None], np.linspace(0, 1, 200)
    return (0.5 + 0.5 * np.cos(40 * x * y + 9 * y) * np.sqrt(np.abs(x - y)),)


def ranks_of_equal_storage(shape: tuple[int, int], share: float) -> tuple[int, int, int]:
    """Return the largest ranks of an SVD, a column ID and a CUR that store ``share`` of all numbers."""
    m, n = shape
    columns = np.arange(1, min(m, n))
    # k columns, k x (n - k) coefficients (those of the columns themselves are known), k indices
    fits = columns * m + columns * (n - columns) + columns <= share * m * n
    # k rows and k columns, where they meet only once, the core, 2 k indices
    return int(share * m * n / (m + n + 1)), int(columns[fits][-1]), int(share * m * n / (m + n + 2))


def compress(A: np.ndarray) -> tuple[list[Row], dict[str, Any]]:
    """Compare truncated SVD, interpolative decomposition and CUR at equal storage with the optimum."""
    norm = float(np.linalg.norm(A))
    values = np.linalg.svd(A, compute_uv=False) / norm
    methods: dict[str, Callable[..., Any]] = {"SVD": truncated_svd, "ID": interpolative, "CUR": cur}
    rows, shown, curves = [], {}, []
    for share in SHARES:
        for (name, call), rank in zip(methods.items(), ranks_of_equal_storage(A.shape, share), strict=True):
            F, seconds = timed(call, A, rank, rng=0)
            true = float(np.linalg.norm(A - F.toarray())) / norm
            bound = (F.error + getattr(F, "core_error", 0.0)) / norm  # of CUR, what its core rounds in a product
            curves.append((name, share, true, bound))
            if share in SHOWN:
                shown[name, share] = F
                optimum = float(np.linalg.norm(values[rank:]))
                question, best = f"photo at {100 * share:.0f} %, {name}", f"optimum: {optimum:.4f}"
                rows.append(Row(question, f"rank {rank}", true, bound, str(F.error_kind), best, seconds))
    return rows, {"A": A, "norm": norm, "values": values, "curves": curves, "shown": shown}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return handwritten digits (1797, 64) with grey values in [0, 1], and which digit each is."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.data / 16.0, data.target


def made_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return bumps (300, 64), one a row."""
    x, t = np.linspace(0, 1, 300)[:, None], np.linspace(0, 1, 64)
    return np.exp(-60 * (x - t) ** 2) + 0.3 * np.cos(9 * x * t), np.zeros(300, dtype=int)


def choose(A: np.ndarray, labels: np.ndarray) -> tuple[list[Row], dict[str, Any]]:
    """Choose the rows of which the others are combinations, and compare with the optimum and with chance."""
    norm = float(np.linalg.norm(A))
    values = np.linalg.svd(A, compute_uv=False) / norm
    draws = np.random.default_rng(0)
    results, curves = {}, []
    for k in TERMS:
        F, seconds = timed(interpolative, A, k, axis=0, rng=0)
        results[k] = F, seconds
        random = np.array([random_choice(A, norm, draws.choice(len(A), k, replace=False)) for _ in range(20)])
        curves.append((k, F.error / norm, float(np.linalg.norm(values[k:])), F.max_abs_coef, random))
    F, seconds = results[CHOSEN]
    _, bound, optimum, _, random = curves[TERMS.index(CHOSEN)]
    true = float(np.linalg.norm(A - F.toarray())) / norm
    best = f"optimum: {optimum:.4f}, random: {np.mean(random[:, 0]):.4f}"
    question, answer = f"{len(A)} digits from {CHOSEN}", f"entries to {F.max_abs_coef:.2f}"
    rows = [Row(question, answer, true, bound, str(F.error_kind), best, seconds)]
    return rows, {"A": A, "labels": labels, "norm": norm, "F": F, "true": true, "curves": curves}


def random_choice(A: np.ndarray, norm: float, indices: np.ndarray) -> tuple[float, float]:
    """Return (relative error, largest coefficient) of the best combinations of given rows."""
    Z = np.linalg.lstsq(A[indices].T, A.T, rcond=None)[0]
    return float(np.linalg.norm(A - Z.T @ A[indices])) / norm, float(np.max(np.abs(Z)))


def scan() -> tuple[np.ndarray]:
    """Return the photograph as a scanner reads it, a matrix (427, 640 x 3) whose rows are lines."""
    from sklearn.datasets import load_sample_image

    pixels = load_sample_image("flower.jpg") / 255.0
    return (pixels.reshape(len(pixels), -1),)


def watch(A: np.ndarray) -> tuple[list[Row], dict[str, Any]]:
    """Take the lines in batches, forget each, and ask for the result after every batch."""
    running, curves, spent = StreamingSVD(A.shape, STREAMED, rng=0), [], 0.0
    for start in range(0, len(A), BATCH):
        seen = A[: start + BATCH]
        spent += timed(running.append, seen[start:])[1]
        F, seconds = timed(running.finalize)
        norm = float(np.linalg.norm(seen))
        optimum = float(np.linalg.norm(np.linalg.svd(seen, compute_uv=False)[STREAMED:])) / norm
        true = float(np.linalg.norm(seen - F.toarray()[: len(seen)])) / norm
        curves.append((len(seen), true, F.error / norm, optimum))
    _, true, bound, optimum = curves[-1]
    question, best = f"{len(A)} lines, each seen once", f"optimum: {optimum:.4f}"
    rows = [Row(question, f"rank {F.rank}", true, bound, str(F.error_kind), best, spent + seconds)]
    kept = running.range_size * sum(A.shape) + running.core_size**2 + running.probes * A.shape[1]
    return rows, {"F": F, "curves": curves, "failure": F.failure_probability, "kept": kept / A.size}


def diabetes() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return ten measurements of 442 patients (442, 10), the progress of their illness (442,), and the names."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    return data.data, data.target - data.target.mean(), list(data.feature_names)


def made_regression() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return cosines (80, 8), and a curve to be written in them."""
    t = np.linspace(0, 3, 80)
    return np.cos(np.outer(t, np.arange(1, 9))) / 9, np.sin(2 * t), [f"cos {j} t" for j in range(1, 9)]


def follow(A: np.ndarray, y: np.ndarray, names: list[str]) -> tuple[list[Row], dict[str, Any]]:
    """Compute ridge solutions from one factorisation, and their limit by the pseudo-inverse."""
    eps, B = np.geomspace(1e-6, 1e2, 200), y[:, None]
    (F, path), seconds = timed(ridge_path, A, y, eps)
    # no singular value of A is farther from one of F than the error of F (Weyl)
    bounds = normal_equations_bound(A, B, path[..., None], eps, float(F.s[-1]) - F.error) / np.linalg.norm(path, axis=1)
    exact = refined_solution(A, B, eps)
    errors = relative_error(path[..., None], exact)
    tightest = int(np.argmax(errors / bounds))
    solved = np.linalg.solve(A.T @ A + eps[:, None, None] * np.eye(A.shape[1]), A.T @ B)
    peer = f"numpy solve: {relative_error(solved, exact)[tightest]:.0e}"
    (X, info), pinv_seconds = timed(pinv, A, return_info=True)
    limit, exact = X @ y, refined_solution(A, B, np.zeros(()))
    error = float(relative_error(limit[:, None], exact))
    bound = float(limit_bound(A, B, limit[:, None], info)) / float(np.linalg.norm(limit))
    lstsq = f"numpy lstsq: {relative_error(np.linalg.lstsq(A, B, rcond=None)[0], exact):.0e}"
    tight = float(errors[tightest]), float(bounds[tightest])
    rows = [
        Row(f"{len(eps)} ridge solutions", "ridge_pinv", *tight, "rigorous", peer, seconds),
        Row("their limit by pinv", f"rank {info.rank}", error, bound, "rigorous", lstsq, pinv_seconds),
    ]
    at_zero = ridge_pinv(A, 0.0, B=y)
    differences = [float(np.linalg.norm(x - limit) / np.linalg.norm(limit)) for x in (path[0], at_zero)]
    found = {"eps": eps, "path": path, "names": names, "errors": errors, "bounds": bounds, "limit": limit, "info": info}
    return rows, found | {"limit_bound": bound, "differences": differences}


def ridge_path(A: np.ndarray, y: np.ndarray, eps: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return (F, path): the singular values in a factorisation, and the ridge solutions (len(eps), n)."""
    return truncated_svd(A, A.shape[1]), ridge_pinv(A, eps, B=y)


def relative_error(X: np.ndarray, exact: np.ndarray) -> Any:
    """Return norm(X - exact) / norm(X) of matrices (..., n, p)."""
    return np.linalg.norm(np.asarray(X - exact, dtype=float), axis=(-2, -1)) / np.linalg.norm(X, axis=(-2, -1))


def limit_bound(A: np.ndarray, B: np.ndarray, X: np.ndarray, info: Any) -> Any:
    """Bound the error of least squares solutions from the facts that ``pinv`` gives about its rank decision."""
    n = A.shape[-1]
    # the largest singular value is at least the Frobenius norm over sqrt(n), and the smallest that over the condition
    smallest = np.linalg.norm(A, axis=(-2, -1)) / (np.sqrt(n) * np.asarray(info.condition))
    bound = normal_equations_bound(A, B, X, np.zeros(()), smallest)
    return np.where(np.asarray(info.rank) == n, bound, np.inf)


def made_stack() -> tuple[np.ndarray]:
    """Return a stack of matrices (4000, 8, 4)."""
    return (np.cos(np.arange(4000 * 32, dtype=float) ** 2).reshape(4000, 8, 4),)


def invert_stack(A: np.ndarray) -> tuple[list[Row], None]:
    """Invert a stack of matrices by the compiled kernel: a pseudo-inverse solves A^T A X = A^T."""
    pinv(A[:1])  # compiles the kernel
    (X, info), seconds = timed(pinv, A, return_info=True)
    eye = np.eye(A.shape[1])
    bounds = limit_bound(A, eye, X, info) / np.linalg.norm(X, axis=(1, 2))
    errors = relative_error(X, refined_solution(A, eye, np.zeros(())))
    tightest = int(np.argmax(errors / bounds))
    tight = float(errors[tightest]), float(bounds[tightest])
    peer = f"numpy: {1e3 * timed(np.linalg.pinv, A)[1]:.0f} ms"
    question, answer = f"{len(A)} pseudo-inverses, 8 x 4", f"rank {int(np.min(info.rank))}"
    return [Row(question, answer, *tight, "rigorous", peer, seconds)], None
