"""Chapter one: a photograph, some digits and a regression, each through a low-rank factorisation."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lina._tour.chapter import Chapter, Figure, Row
from lina._tour.style import BLUE, GREEN, GREY, ORANGE, figure, picture, to_png
from lina.linalg import interpolative, pinv, truncated_svd

INTRO = (
    "A matrix of low rank is a short description of a long table. Every result below carries an upper bound of its own "
    "error, rounding included; beside it stands the true error, computed only to check the bound."
)


def chapter() -> tuple[Chapter, list[tuple[str, Callable[[Chapter], None]]]]:
    """Return the empty chapter and its parts, each of which adds to it."""
    parts: list[tuple[str, Callable[[Chapter], None]]] = [
        ("compressing a photograph", compress_photograph),
        ("choosing representative digits", choose_digits),
        ("following a regularisation path", regularisation_path),
    ]
    return Chapter("Low rank and pseudo-inverse", INTRO), parts


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what ``call`` returns, and its seconds."""
    start = time.perf_counter()
    out = call()
    return out, time.perf_counter() - start


def photograph() -> np.ndarray:
    """Return a photograph as a grey image (427, 640) in [0, 1]."""
    from sklearn.datasets import load_sample_image

    return np.asarray(load_sample_image("china.jpg") @ np.array([0.299, 0.587, 0.114]) / 255)


def equal_storage(shape: tuple[int, int], budgets: tuple[float, ...]) -> Iterator[tuple[float, int, int]]:
    """Yield (share of the numbers stored, rank of the SVD, rank of the column ID) for each budget."""
    m, n = shape
    for share in budgets:
        numbers = share * m * n
        k = int(numbers / (m + n + 1))
        # k columns, k x (n - k) coefficients, k indices
        ranks = np.arange(1, min(m, n))
        yield share, k, int(ranks[ranks * (m + n - ranks + 1) <= numbers][-1])


def compress_photograph(chapter: Chapter) -> None:
    """Compare truncated SVD and interpolative decomposition at equal storage with the optimum."""
    A = photograph()
    values = np.linalg.svd(A, compute_uv=False)
    norm = float(np.linalg.norm(A))
    shares = (0.02, 0.05, 0.1, 0.2, 0.3)
    curves: dict[str, list[float]] = {"SVD": [], "ID": []}
    shown: dict[tuple[str, float], Any] = {}
    for share, k, columns in equal_storage(A.shape, shares):
        for name, call in (
            ("SVD", lambda k=k: truncated_svd(A, k, rng=0)),
            ("ID", lambda k=columns: interpolative(A, k, rng=0)),
        ):
            F, seconds = timed(call)
            curves[name].append(F.error / norm)
            true = float(np.linalg.norm(A - F.toarray())) / norm
            best = float(np.sqrt(np.sum(values[F.rank :] ** 2))) / norm
            if share in (0.05, 0.2):
                shown[name, share] = F
                question = f"photograph from {share:.0%}, {name}"
                answer = f"rank {F.rank}"
                chapter.rows.append(
                    Row(question, answer, true, F.error / norm, str(F.error_kind), f"{best:.3f} optimum", seconds)
                )
    chapter.figures.append(_photograph_figure(A, shown, norm))
    chapter.figures.append(_storage_figure(A.shape, shares, curves, values / norm))


def _photograph_figure(A: np.ndarray, shown: dict[tuple[str, float], Any], norm: float) -> Figure:
    fig, axes = figure(9.6, 4.5, nrows=2, ncols=3)
    for row, share in enumerate((0.05, 0.2)):
        picture(axes[row, 0], A, "the photograph" if row == 0 else "the columns that ID keeps")
        for column, name in ((1, "SVD"), (2, "ID")):
            F = shown[name, share]
            title = f"{name}, {share:.0%} stored: error ≤ {F.error / norm:.1%}"
            picture(axes[row, column], np.clip(F.toarray(), 0, 1), title)
    for j in shown["ID", 0.2].indices:
        axes[1, 0].axvline(j, color=ORANGE, linewidth=0.6)
    caption = (
        "A photograph of 427 x 640 numbers, rebuilt from 5 % and from 20 % of them. Truncated SVD (middle) is optimal "
        "for its rank; interpolative decomposition (right) keeps columns of the photograph itself, those marked in "
        "orange. The errors printed are certificates, relative to the norm of the photograph."
    )
    alt = "Original photograph and its reconstructions by SVD and by ID at 5 and 20 per cent of the storage"
    return Figure("A photograph from a twentieth of its numbers", caption, alt, to_png(fig, 80))


def _storage_figure(shape: tuple[int, int], shares: Any, curves: Any, values: np.ndarray) -> Figure:
    m, n = shape
    tail = np.sqrt(np.cumsum(values[::-1] ** 2)[::-1])
    ranks = np.arange(1, int(0.32 * m * n / (m + n + 1)))
    fig, axis = figure(7.5, 3.6)
    axis.plot(ranks * (m + n + 1) / (m * n), tail[ranks], color=GREY, label="optimum (Eckart and Young)")
    axis.plot(shares, curves["SVD"], "o", color=BLUE, label="truncated SVD, certificate")
    axis.plot(shares, curves["ID"], "s", color=ORANGE, label="interpolative, certificate")
    axis.set(xlabel="share of the numbers stored", ylabel="error / norm", yscale="log")
    axis.legend()
    cost = max(b / a for a, b in zip(curves["SVD"], curves["ID"], strict=True)) - 1
    caption = (
        "Error against storage. The certificates of the truncated SVD lie on the optimum of Eckart and Young, drawn "
        f"from all singular values. Keeping real columns costs at most {cost:.0%} more error on this photograph."
    )
    alt = "Certified relative error of SVD and ID over storage, with the optimal curve"
    return Figure("Equal storage, two factorisations", caption, alt, to_png(fig))


def choose_digits(chapter: Chapter) -> None:
    """Choose twelve handwritten digits of which the others are combinations."""
    from sklearn.datasets import load_digits

    A = load_digits().data / 16.0
    k = 12
    F, seconds = timed(lambda: interpolative(A, k, axis=0, rng=0))
    norm = float(np.linalg.norm(A))
    values = np.linalg.svd(A, compute_uv=False)
    rng = np.random.default_rng(0)
    random = []
    for _ in range(20):
        Q = np.linalg.qr(A[rng.choice(len(A), k, replace=False)].T)[0]
        random.append(np.linalg.norm(A - (A @ Q) @ Q.T) / norm)
    true = float(np.linalg.norm(A - F.toarray())) / norm
    best = float(np.sqrt(np.sum(values[k:] ** 2))) / norm
    chapter.rows.append(
        Row(
            f"{len(A)} digits from {k}",
            f"coefficients up to {F.max_abs_coef:.2f}",
            true,
            F.error / norm,
            str(F.error_kind),
            f"{best:.3f} optimum, {np.mean(random):.3f} random",
            seconds,
        )
    )
    chapter.figures.append(_digits_figure(A, F, norm))


def _digits_figure(A: np.ndarray, F: Any, norm: float) -> Figure:
    fig, axes = figure(9.6, 3.3, nrows=3, ncols=12)
    others = np.setdiff1d(np.arange(len(A)), F.indices)[:: len(A) // 13][:12]
    rebuilt = F.Z[others] @ F.C
    for column in range(12):
        picture(axes[0, column], 1 - A[F.indices[column]].reshape(8, 8), "chosen" if column == 0 else "")
        picture(axes[1, column], 1 - A[others[column]].reshape(8, 8), "another" if column == 0 else "")
        picture(axes[2, column], np.clip(1 - rebuilt[column], 0, 1).reshape(8, 8), "rebuilt" if column == 0 else "")
    caption = (
        "First row: the 12 digits out of 1,797 that a row interpolative decomposition chooses. Below: other digits, "
        "and the combinations of the chosen ones nearest to them. Over all digits the error is certified to be at most "
        f"{F.error / norm:.1%} of the norm, with no coefficient above {F.max_abs_coef:.2f} in size."
    )
    alt = "Twelve chosen digits, twelve other digits and their reconstructions"
    return Figure("Twelve digits that stand for all", caption, alt, to_png(fig))


def regularisation_path(chapter: Chapter) -> None:
    """Follow ridge regression from one factorisation down to the pseudo-inverse."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    A, y = data.data, data.target - data.target.mean()
    F, seconds = timed(lambda: truncated_svd(A, A.shape[1]))
    eps = np.geomspace(1e-6, 1e2, 200)
    # x(eps) = V diag(s / (s^2 + eps)) U^T y for all eps from one factorisation
    path = F.Vt.T @ ((F.s / (F.s**2 + eps[:, None])) * (F.U.T @ y)).T
    normal = A.T @ (A @ path - y[:, None]) + eps * path
    residual = float(np.max(np.linalg.norm(normal, axis=0)) / np.linalg.norm(A.T @ y))
    (X, info), pinv_seconds = timed(lambda: pinv(A, return_info=True))
    limit = X @ y
    exact = np.linalg.lstsq(A, y, rcond=None)[0]
    distance = float(np.linalg.norm(limit - exact) / np.linalg.norm(exact))
    bound = 20 * np.finfo(float).eps * info.condition**2
    full = float(np.linalg.norm(A - F.toarray()))
    chapter.rows.append(
        Row("200 ridge solutions", f"normal equations to {residual:.0e}", full, F.error,
            str(F.error_kind), "0", seconds)
    )  # fmt: skip
    chapter.rows.append(
        Row("their limit, by pinv", f"rank {info.rank}, gap {info.gap:.0e}", distance, bound,
            "estimate", "numpy lstsq", pinv_seconds)
    )  # fmt: skip
    chapter.figures.append(_path_figure(eps, path, limit, data.feature_names, info, residual))


def _path_figure(eps: np.ndarray, path: Any, limit: Any, names: list[str], info: Any, residual: float) -> Figure:
    fig, axis = figure(7.5, 4.2)
    order = np.argsort(-np.abs(limit))
    for rank, j in enumerate(order):
        strong = rank < 5
        colour = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9")[rank] if strong else "#bbbbbb"
        axis.plot(eps, path[j], color=colour, linewidth=1.8 if strong else 1.0, label=names[j] if strong else None)
        axis.plot(eps[0], limit[j], "o", color=colour, markersize=4)
    axis.set(xscale="log", xlabel="ridge parameter", ylabel="coefficient")
    axis.legend(title="five largest of ten", loc="upper right")
    caption = (
        "Ridge regression on 442 diabetes patients: ten coefficients over 200 ridge parameters, all from one "
        "factorisation. "
        f"Every solution satisfies its normal equations to {residual:.0e}. As the parameter falls, the path ends in "
        f"the pseudo-inverse (dots), whose rank {info.rank} is certain: each singular value is at least a factor "
        f"{info.gap:.0e} away from the cutoff, and the condition is at most {info.condition:.0f}."
    )
    alt = "Coefficients of ridge regression over the ridge parameter, converging to the pseudo-inverse solution"
    return Figure("A regularisation path and its limit", caption, alt, to_png(fig))
