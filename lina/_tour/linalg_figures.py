"""The figures of chapter one."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, NullFormatter

from lina._tour.chapter import Figure, percent_up, rounded_up
from lina._tour.linalg import BATCH, CHOSEN, SHARES, SHOWN, STREAMED, compress, photograph
from lina._tour.style import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, SKY, figure, look, picture, to_png

_PERCENT = FuncFormatter(lambda share, _: f"{100 * share:g} %")
_MEASUREMENTS = {
    "bmi": "body mass index",
    "bp": "blood pressure",
    "s1": "total cholesterol",
    "s2": "LDL cholesterol",
    "s3": "HDL cholesterol",
    "s4": "cholesterol / HDL",
    "s5": "log triglycerides",
    "s6": "blood sugar",
}


def readme_picture(path: str | Path) -> None:
    """Write the comparison of the photographs, wide and below 150 kB: the picture of the README.

    Run ``python -c "from lina._tour.linalg_figures import readme_picture as r; r('docs/_static/tour.png')"``.
    """
    _, found = compress(*photograph())
    with look():
        Path(path).write_bytes(_draw_photographs(found, ncols=3, width=9.6, dpi=96, colours=128))


def photograph_figure(found: dict[str, Any]) -> Figure:
    """Show the photograph, its chosen columns and its reconstructions."""
    errors = {(name, share): (true, bound) for name, share, true, bound in found["curves"]}
    (svd, svd_bound), (columns, columns_bound) = errors["SVD", 0.05], errors["ID", 0.05]
    return Figure(
        "A photograph from a twentieth of its numbers",
        "How much of a picture survives when only 5 % or 20 % of its numbers are kept? Two answers. The truncated "
        "singular value decomposition (SVD) keeps abstract patterns and is the best of its rank. The interpolative "
        "decomposition (ID) keeps whole columns of the photograph itself, and writes all others as mixtures of them.",
        f"F = truncated_svd(A, {found['shown']['SVD', 0.05].rank})    # A: 1281 x 640, three colours stacked\n"
        f"G = interpolative(A, {found['shown']['ID', 0.05].rank})    # G.indices: the columns kept\n"
        "F.error, G.error            # what each leaves out, at most",
        _draw_photographs(found, ncols=2, width=6.5, dpi=170, colours=0),
        "A photograph of an orange dahlia before dark leaves; the same with all but the chosen columns faded; and four "
        "reconstructions, by SVD and by ID, blurred in blocks at 5 per cent of the numbers and sharp at 20 per cent.",
        "At 5 % the flower is there and its petals are smeared; at 20 % the SVD can hardly be told from the original. "
        "ID spends its columns on the flower, and pays with streaks in the leaves, where few were chosen.",
        f"At 5 %, SVD states an error of at most {rounded_up(svd_bound)} of the photograph's norm and ID of at most "
        f"{rounded_up(columns_bound)}. Measured afterwards: {svd:.4g} and {columns:.4g}.",
        photograph=True,
    )


def _draw_photographs(found: dict[str, Any], ncols: int, width: float, dpi: int, colours: int) -> bytes:
    A, kept = found["A"], found["shown"]["ID", SHOWN[-1]].indices
    faded = 0.1 * A + 0.82
    faded[:, kept] = A[:, kept]
    first = [(A, "the photograph\n"), (faded, f"the {len(kept)} columns that ID keeps\nfor 20 %")]
    pairs = []
    for share in SHOWN:
        for name, label in (("SVD", "truncated SVD"), ("ID", "interpolative")):
            F = found["shown"][name, share]
            title = f"{label}, {100 * share:.0f} % of the numbers\nerror ≤ {percent_up(F.error / found['norm'])}"
            pairs.append((F.toarray(), title))
    panels = [*first, *pairs] if ncols == 2 else [first[0], *pairs[:2], first[1], *pairs[2:]]
    canvas, axes = figure(width, width * 0.8 * 6 / ncols**2 + 0.3, nrows=6 // ncols, ncols=ncols)
    for axis, (matrix, title) in zip(axes.flat, panels, strict=True):
        pixels = np.clip(matrix, 0, 1).reshape(3, -1, matrix.shape[1]).transpose(1, 2, 0)
        picture(axis, pixels, title)
    return to_png(canvas, dpi, colours)


def storage_figure(found: dict[str, Any]) -> Figure:
    """Plot the error over the share of the numbers stored."""
    svd, columns, both = (np.array([e[1:] for e in found["curves"] if e[0] == name]) for name in ("SVD", "ID", "CUR"))
    price, price_of_both = columns[:, 2] / svd[:, 2], both[:, 2] / svd[:, 2]
    excess = max(float(np.max(points[:, 2] / points[:, 1] - 1)) for points in (svd, columns, both))
    return Figure(
        "The price of keeping real columns",
        "How does the error fall as more is stored, and how far is each method from the best possible?",
        "F = truncated_svd(A, rtol=0.05)    # or ask for the error, and get the rank\n"
        "H = cur(A, 20)                     # H.rows, H.cols: both kinds kept",
        _draw_storage(found, svd, columns, both),
        "Error over storage on a logarithmic axis: the points of the truncated SVD lie on the curve of the optimum, "
        "those of the interpolative decomposition above it and those of CUR above these; every certificate is a ring "
        "around its true error.",
        "The truncated SVD sits on the optimum, drawn from all singular values. At equal storage ID leaves "
        f"{price.min():.1f} to {price.max():.1f} times as much, and CUR, which keeps rows of pixels as well as "
        f"columns, {price_of_both.min():.1f} to {price_of_both.max():.1f} times; in return their parts are pixels of "
        "the photograph.",
        f"All {len(found['curves'])} certificates lie above the true errors, and none by more than "
        f"{rounded_up(excess, 1)} of its value.",
    )


def _draw_storage(found: dict[str, Any], svd: np.ndarray, columns: np.ndarray, both: np.ndarray) -> bytes:
    m, n = found["A"].shape
    canvas, axis = figure(6.5, 4.1)
    ranks = np.arange(3, int((SHARES[-1] + 0.02) * m * n / (m + n + 1)))
    stored = ranks * (m + n + 1) / (m * n)
    optimum = np.sqrt(np.cumsum(found["values"][::-1] ** 2)[::-1])[ranks]
    axis.plot(stored, optimum, color=GREY, zorder=1)
    drawn = ((svd, "truncated SVD", BLUE), (columns, "interpolative", ORANGE), (both, "CUR", GREEN))
    for points, label, colour in drawn:
        axis.plot(points[:, 0], points[:, 2], "o", color=colour, markerfacecolor="none", markersize=11)
        axis.plot(points[:, 0], points[:, 1], "o", color=colour, markersize=4.5)
        place, shift = (points[-1], (-14, 9)) if label == "CUR" else (points[2], (9, 9))
        axis.annotate(label, place[:2], shift, textcoords="offset points", color=colour, weight="bold")
    pointer = {"arrowstyle": "-", "color": GREY, "linewidth": 0.8}
    text, place = "optimum of any factorisation\n(Eckart and Young)", (0.126, np.interp(0.126, stored, optimum))
    axis.annotate(text, place, (-158, -58), textcoords="offset points", color=GREY, arrowprops=pointer)
    axis.set(xlabel="numbers stored, share of those of the photograph", ylabel="error, share of the norm")
    axis.set(yscale="log", yticks=[0.03, 0.05, 0.1, 0.2, 0.4], ylim=(0.028, 0.46), xlim=(0, SHARES[-1] + 0.02))
    axis.xaxis.set_major_formatter(_PERCENT)
    axis.yaxis.set_major_formatter(_PERCENT)
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_title("Rings: certificate. Dots: true error.")
    return to_png(canvas)


def digits_figure(found: dict[str, Any]) -> Figure:
    """Show the chosen digits, and how others are written in them."""
    labels, F = found["labels"], found["F"]
    absent = ", ".join(str(digit) for digit in range(10) if digit not in labels[F.indices])
    return Figure(
        f"Ten digits that speak for {len(labels):,}",
        "Which few of many handwritten digits describe all the rest? A row interpolative decomposition chooses them, "
        "and says how every other digit is mixed from them.",
        f"F = interpolative(A, {CHOSEN}, axis=0)    # A: {len(labels)} images of 8 x 8\n"
        "F.indices, F.Z                      # which, and how much of each",
        _draw_digits(found),
        "A table: ten chosen digits as column heads; five other digits at the left, their coefficients in the ten as "
        "coloured cells, and the images rebuilt from these at the right, blurred but mostly legible.",
        "A row reads as a recipe: orange is added, purple is taken away. The first 0, 2, 3, 6 and 9 of the data set "
        f"are shown, as they come. Digits never chosen ({absent or 'none'}) are mixed from others altogether.",
        f"Over all {len(labels):,} digits the error is at most {rounded_up(F.error / found['norm'])} of the norm "
        f"(true: {found['true']:.4g}), and no coefficient exceeds {rounded_up(F.max_abs_coef, 3)} in size.",
    )


def _draw_digits(found: dict[str, Any]) -> bytes:
    A, labels, F = found["A"], found["labels"], found["F"]
    chosen = set(F.indices.tolist())
    others = [next(i for i in np.flatnonzero(labels == digit).tolist() if i not in chosen) for digit in (0, 2, 3, 6, 9)]
    ratios = {"width_ratios": [1.25, *[1] * CHOSEN, 1.25], "height_ratios": [1.25, *[1] * len(others)]}
    canvas, axes = figure(6.8, 3.8, nrows=1 + len(others), ncols=CHOSEN + 2, gridspec_kw=ratios)
    for axis in axes.flat:
        axis.set_axis_off()
    for column, index in enumerate(F.indices.tolist()):
        _draw_digit(axes[0, column + 1], F.C[column])
        axes[0, column + 1].set_title(str(labels[index]), loc="center", size=9, color=GREY, pad=3)
    for row, other in enumerate(others, start=1):
        _draw_digit(axes[row, 0], A[other])
        _draw_digit(axes[row, -1], F.Z[other] @ F.C)
        for axis, value in zip(axes[row, 1:-1], F.Z[other].tolist(), strict=True):
            axis.imshow([[value]], cmap="PuOr_r", vmin=-1.1, vmax=1.1)
            axis.text(0, 0, f"{value:.2f}".replace("-", "\N{MINUS SIGN}"), ha="center", va="center", size=8.5)
    for column, text in ((0, "digit"), (-1, "rebuilt")):
        axes[0, column].text(0.5, 0.1, text, ha="center", transform=axes[0, column].transAxes)
    return to_png(canvas)


def _draw_digit(axis: Any, pixels: np.ndarray) -> None:
    picture(axis, pixels.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)


def choice_figure(found: dict[str, Any]) -> Figure:
    """Plot error and largest coefficient over the number of digits, beside chance and the optimum."""
    k, bound, optimum, largest, random = (np.array(each) for each in zip(*found["curves"], strict=True))
    error_by_chance, largest_by_chance = random[-1].mean(axis=0)
    return Figure(
        "What a good choice buys",
        "Is this choice better than picking digits at random? As many rows were drawn by chance, twenty times; the "
        "band is their range, the dashed line their mean.",
        "F.error, F.max_abs_coef",
        _draw_choice(k, bound, optimum, largest, random),
        "Two charts over the number of digits chosen. The error of the interpolative decomposition runs along the mean "
        "of random choices, above the optimum. Its largest coefficient stays near one; that of random choices grows.",
        "Not in total error: digits are so alike that chance does as well, and only the SVD, whose patterns are no "
        f"digits, does better. What it buys is stability: at {k[-1]} digits the largest coefficient is "
        f"{largest[-1]:.1f}, against {largest_by_chance:.1f} by chance, so a fault in a chosen image is hardly "
        "magnified.",
        f"At {k[-1]} digits the error is at most {rounded_up(bound[-1])} of the norm; chance reaches "
        f"{error_by_chance:.4g} on average, the optimum is {optimum[-1]:.4g}.",
    )


def _draw_choice(k: Any, bound: Any, optimum: Any, largest: Any, random: Any) -> bytes:
    canvas, (left, right) = figure(6.5, 3.6, ncols=2)
    for axis, chance, found in ((left, random[:, :, 0], bound), (right, random[:, :, 1], largest)):
        axis.fill_between(k, chance.min(axis=1), chance.max(axis=1), color=PALE)
        axis.plot(k, chance.mean(axis=1), "--", color=GREY)
        axis.plot(k, found, "o-", color=ORANGE, markersize=5)
        axis.set(xlabel="digits chosen", xticks=[0, 10, 20, 30, 40], xlim=(0, 42))
    left.plot(k, optimum, color=INK, linewidth=1.2)
    left.set(title="Error, share of the norm", ylim=(0, 0.62))
    left.yaxis.set_major_formatter(_PERCENT)
    left.text(4, 0.17, "optimum")
    left.text(13, 0.42, "interpolative (certificate)", color=ORANGE, weight="bold", size=9.5)
    right.set(title="Largest coefficient", yscale="log", ylim=(0.55, 20), yticks=[1, 2, 5, 10])
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    right.yaxis.set_minor_formatter(NullFormatter())
    right.text(22, 0.78, "interpolative", color=ORANGE, weight="bold", ha="center", size=9.5)
    right.text(20, 3.0, "20 random choices", color=GREY, ha="center", size=9.5)
    return to_png(canvas)


def stream_figure(found: dict[str, Any]) -> Figure:
    """Plot the error of the streaming SVD while the lines pass, and what it has kept at the end."""
    count, true, bound, optimum = (np.array(each) for each in zip(*found["curves"], strict=True))
    return Figure(
        "A photograph that is never there as a whole",
        f"Can a matrix be compressed that is seen once, line by line, and forgotten? The {count[-1]} lines of the "
        f"photograph come by in batches of {BATCH}. What is kept are sketches with {100 * found['kept']:.0f} % of its "
        f"numbers, and an answer of rank {STREAMED} can be had at any time.",
        f"stream = StreamingSVD(A.shape, {STREAMED})    # A: 427 lines of 640 x 3 numbers\n"
        "stream.append(lines)                    # for every batch\n"
        "F = stream.finalize()                   # at any time",
        _draw_stream(found["F"].toarray(), count, true, bound, optimum),
        "The photograph rebuilt from the stream, its petals smeared; beside it the error over the lines seen: the true "
        "error runs a little above the optimum, and the certificate above both.",
        f"At the end the stream leaves {true[-1] / optimum[-1]:.2f} times what the best matrix of rank {STREAMED} "
        "leaves, which takes the whole photograph to find.",
        "The bound comes from random probes that ran along and saw the same lines. It fails with a probability of "
        f"{found['failure']:.0e}: an error of at most {rounded_up(bound[-1])} of the norm (true: {true[-1]:.4g}).",
        photograph=True,
    )


def _draw_stream(rebuilt: np.ndarray, count: Any, true: Any, bound: Any, optimum: Any) -> bytes:
    canvas, (left, right) = figure(6.8, 2.9, ncols=2, width_ratios=[1.15, 1])
    picture(left, np.clip(rebuilt.reshape(len(rebuilt), -1, 3), 0, 1), f"rank {STREAMED}, from the stream")
    labels = (("certificate", bound, BLUE, 9, (-8, 0)), ("true error", true, ORANGE, -1, (0, 7)))
    for text, values, colour, i, shift in (*labels, ("optimum", optimum, INK, -1, (0, -16))):
        right.plot(count, values, color=colour)
        style = {"color": colour, "weight": "bold", "ha": "right"}
        right.annotate(text, (count[i], values[i]), shift, textcoords="offset points", **style)
    right.set(xlabel="lines seen", ylim=(0, 1.15 * float(np.max(bound))), title="Error, share of the norm")
    right.yaxis.set_major_formatter(_PERCENT)
    return to_png(canvas, colours=0)


def path_figure(found: dict[str, Any]) -> Figure:
    """Plot ridge coefficients over the ridge parameter, and the certificates of the solutions."""
    info, (at_edge, at_zero) = found["info"], found["differences"]
    return Figure(
        "A path of regressions, and where it ends",
        "Ten measurements of 442 diabetes patients predict how far the disease advances in a year. How do the "
        "coefficients change with the ridge parameter, and what are they without one?",
        "path = ridge_pinv(A, eps, B=y)         # 200 solutions from one factorisation\n"
        "X, info = pinv(A, return_info=True)    # the limit: X @ y",
        _draw_path(found),
        "Ten curves of coefficients over the ridge parameter, from zero at the right to the pseudo-inverse solution at "
        "the left, marked by dots; below, the certified relative error of each solution above its true error.",
        "A strong ridge holds everything at zero. As it weakens, body mass index and triglycerides come first; total "
        "and LDL cholesterol, nearly the same measurement, grow last and with opposite signs. The dots are "
        f"pinv(A) @ y: at ε = 1e-6 the path differs from it by {at_edge:.0e} of its size, at ε = 0 by {at_zero:.0e}.",
        "Each of the 200 solutions is certified by the residual of its normal equations over their smallest "
        f"eigenvalue: relative errors of at most {rounded_up(float(np.max(found['bounds'])), 2)}. The limit is "
        f"certified to {rounded_up(found['limit_bound'], 2)}: pinv found rank {info.rank}, a condition of at most "
        f"{rounded_up(info.condition, 3)}, and every singular value at least a factor {info.gap:.0e} away from the "
        "cutoff.",
    )


def _draw_path(found: dict[str, Any]) -> bytes:
    eps, path, limit = found["eps"], found["path"], found["limit"]
    canvas, (upper, lower) = figure(6.5, 6.0, nrows=2, sharex=True, gridspec_kw={"height_ratios": [2.6, 1]})
    strongest = np.argsort(-np.abs(limit))[:5].tolist()
    colours = dict(zip(strongest, (BLUE, ORANGE, GREEN, PURPLE, SKY), strict=True))
    for j, (name, height) in enumerate(zip(found["names"], _spread(limit, 92.0), strict=True)):
        colour, width, ink = (colours[j], 1.8, INK) if j in colours else ("#a9afb8", 1.0, GREY)
        upper.plot(eps, path[:, j], color=colour, linewidth=width)
        upper.plot(eps[0], limit[j], "o", color=colour, markersize=5, clip_on=False)
        pointer = {"arrowstyle": "-", "color": colour, "linewidth": 0.7}
        text, place = _MEASUREMENTS.get(name, name), {"ha": "right", "va": "center", "annotation_clip": False}
        upper.annotate(
            text, (eps[0], limit[j]), (eps[0] / 2.2, height), color=ink, size=9.5, arrowprops=pointer, **place
        )
    upper.set(xscale="log", xlim=(eps[0], eps[-1]), yticks=[-800, -400, 0, 400, 800])
    upper.set_title("Coefficient (points of disease progress per scaled measurement)")
    lower.plot(eps, found["bounds"], color=BLUE)
    lower.plot(eps, found["errors"], ".", color=INK, markersize=3)
    lower.set(yscale="log", xlabel="ridge parameter ε (dimensionless)", ylim=(1e-17, 1e-7), yticks=[1e-16, 1e-12, 1e-8])
    lower.set_title("Relative error of each solution")
    for text, values, colour in (("certificate", found["bounds"], BLUE), ("true", found["errors"], INK)):
        lower.annotate(text, (eps[60], values[60]), (0, 7), textcoords="offset points", color=colour, weight="bold")
    for axis in (upper, lower):
        axis.yaxis.tick_right()
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
    return to_png(canvas)


def _spread(values: np.ndarray, distance: float) -> np.ndarray:
    """Return heights near ``values`` that are at least ``distance`` apart, so that labels do not overlap."""
    heights = np.array(values, dtype=float)
    order = np.argsort(heights).tolist()
    for _ in range(200):
        for a, b in pairwise(order):
            short = max(distance - (heights[b] - heights[a]), 0.0)
            heights[a] -= short / 2
            heights[b] += short / 2
    return heights
