"""The figures of chapter two."""

from fractions import Fraction
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lina._tour.chapter import Figure, rounded_up
from lina._tour.simplex import CELL, HALF, JUDGED, SUFFICES, TIMES, WIDTH, components
from lina._tour.style import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, SKY, figure, picture, to_png
from lina.simplex import entmax, softmax, sparsemax

_PERCENT = FuncFormatter(lambda share, _: f"{100 * share:g} %")
_MAPS = {"softmax": GREY, "entmax": ORANGE, "sparsemax": BLUE}
_SHOWN = (0, 2, 8, 16, 32, 64)
_METHODS = {
    "frank_wolfe": ("Frank-Wolfe", ORANGE),
    "pairwise": ("pairwise Frank-Wolfe", PURPLE),
    "mirror": ("mirror", SKY),
    "accelerated_mirror": ("accelerated mirror", GREEN),
    "newton": ("Newton", BLUE),
    "expectation maximisation": ("expectation maximisation", GREY),
    "mixture_proportions": ("mixture_proportions", INK),
}
# Rounding decides what a gap below this is.
_FLOOR = 1e-11


def doubt_figure(found: dict[str, Any]) -> Figure:
    """Show the digits of which softmax is least certain, and what each map says of them."""
    left = np.count_nonzero(found["maps"]["sparsemax"][_doubtful(found)], axis=1)
    largest, bound = (max(pair) for pair in zip(*found["largest"].values(), strict=True))
    count = len(found["labels"])
    return Figure(
        "Four doubtful digits",
        "A classifier ends in ten scores, one for each digit. Softmax turns them into probabilities and never rules "
        "anything out. Which digits do its relatives with exact zeros rule out, where softmax is least certain?",
        f"softmax(x)    # x: {count} x 10 scores\n"
        "p, tau, kept = sparsemax(x, return_threshold=True)\n"
        "p, tau, kept = entmax(x, 1.5, return_threshold=True)",
        _draw_doubt(found),
        "Four blurred handwritten digits, each beside bars of the probability of the ten classes under softmax, "
        "entmax and sparsemax: softmax has bars everywhere, sparsemax in few classes.",
        "These are the four images, of digits the classifier never saw, whose likeliest class is least likely. The "
        "three maps agree on the order of the classes. Softmax spreads a rest over all ten; entmax cuts most of it "
        f"off, and sparsemax leaves {left.min()} to {left.max()} candidates.",
        f"All {count} distributions of both maps were compared with arithmetic of fifty digits. The threshold τ bounds "
        "the error: all exact entries move one way with it, so that together they are off by what the sum lacks to "
        f"one. At most {rounded_up(bound, 2)} for any distribution; the largest true error is {largest:.1e}.",
    )


def _doubtful(found: dict[str, Any]) -> list[int]:
    return np.argsort(np.max(found["maps"]["softmax"], axis=1))[:4].tolist()  # type: ignore[no-any-return]


def _draw_doubt(found: dict[str, Any]) -> bytes:
    canvas, axes = figure(6.8, 4.2, nrows=2, ncols=4, width_ratios=[1, 2.1, 1, 2.1])
    for index, image, bars in zip(_doubtful(found), axes[:, ::2].flat, axes[:, 1::2].flat, strict=True):
        picture(image, found["images"][index].reshape(8, 8), f"a {found['labels'][index]}", cmap="gray_r")
        for shift, (name, colour) in enumerate(_MAPS.items(), start=-1):
            bars.bar(np.arange(10) + 0.28 * shift, found["maps"][name][index], 0.28, color=colour, label=name)
        bars.set(xticks=range(10), ylim=(0, 0.6), yticks=[0, 0.2, 0.4, 0.6], xlim=(-0.6, 9.6))
        bars.grid(axis="x", visible=False)
        bars.tick_params(axis="x", length=0)
        bars.yaxis.set_major_formatter(_PERCENT)
    for bars in axes[-1, 1::2]:
        bars.set_xlabel("class")
    for bars in axes[0, 1::2]:
        bars.set_title("probability")
    handles, labels = axes[0, 1].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False)
    return to_png(canvas)


def kept_figure(found: dict[str, Any]) -> Figure:
    """Plot the probability over the lead of a score, and how many classes are left for each image."""
    maps, labels = found["maps"], found["labels"]
    p = maps["sparsemax"]
    alone = np.count_nonzero(p, axis=1) == 1
    right = np.mean(np.argmax(p, axis=1) == labels)
    right_alone = np.mean(np.argmax(p[alone], axis=1) == labels[alone])
    named = {name: np.mean(q[np.arange(len(q)), labels] > 0) for name, q in maps.items()}
    return Figure(
        "How much is ruled out",
        "How far must a score lead before the other classes get nothing, and how often does that happen?",
        "np.count_nonzero(p, axis=1)    # classes that are left for each image",
        _draw_kept(found),
        "Two charts. Left, the probability of one of two classes over the lead of its score: softmax is a flat S that "
        "never ends, entmax a smooth S between leads of minus two and two, sparsemax a straight line between minus one "
        "and one. Right, the number of images over the classes that are left: one for most under entmax and sparsemax.",
        f"Sparsemax leaves one class for {100 * np.mean(alone):.1f} % of the images, and where it does, this class is "
        f"right for {100 * right_alone:.1f} % of them, against {100 * right:.1f} % over all. The true class is among "
        f"those left for {100 * named['sparsemax']:.1f} % of the images under sparsemax, and for "
        f"{100 * named['entmax']:.1f} % under entmax.",
        "A zero of these maps is no rounding: it stands where a score lies below the threshold, and the threshold is "
        "certified as above.",
    )


def _draw_kept(found: dict[str, Any]) -> bytes:
    canvas, (left, right) = figure(6.8, 3.3, ncols=2, width_ratios=[1, 1.15])
    lead = np.linspace(-4, 4, 401)
    pairs = np.stack([lead, 0 * lead], axis=-1)
    for name, call in (("softmax", softmax), ("entmax", entmax), ("sparsemax", sparsemax)):
        left.plot(lead, call(pairs)[:, 0], color=_MAPS[name])
    left.set(xlabel="lead of the score", title="Probability, of two classes")
    left.yaxis.set_major_formatter(_PERCENT)
    places = np.arange(1, 11)
    for shift, (name, colour) in enumerate(_MAPS.items(), start=-1):
        kept = np.bincount(np.count_nonzero(found["maps"][name], axis=1), minlength=11)[1:]
        right.bar(places + 0.28 * shift, kept, 0.28, color=colour, label=name)
    right.set(xlabel="classes left", xticks=places, title="Images")
    right.grid(axis="x", visible=False)
    canvas.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False)
    return to_png(canvas)


def mixture_figure(found: dict[str, Any]) -> Figure:
    """Show the data, the mixture and its parts, and the slope that proves it best."""
    own, means = found["own"], found["means"]
    groups = found["groups"]
    centres, shares = _hills(means, own.x)
    listed = ", ".join(f"{centre:.1f}" for centre in centres)
    return Figure(
        "What 569 tumours are mixed from",
        "The mean radius of the cell nuclei was measured in 569 breast tumours. Which mixture of normal densities of "
        f"width {WIDTH:g}, with centres from a grid of {len(means)}, makes these numbers likeliest?",
        f"best = mixture_proportions(L)    # L: 569 x {len(means)} densities\nbest.x, best.gap",
        _draw_mixture(found),
        "Above, a histogram of the radius of nuclei, benign and malignant stacked, with the density of the mixture "
        "over it and stems for the shares of its parts. Below, a curve over the centres that touches zero exactly "
        "where the stems are and is negative elsewhere.",
        f"Of {len(means)} centres {len(own.support)} get a share, in {len(centres)} places: near {listed}. The "
        f"likeliest mixture is sparse although nothing asks it to be. {100 * np.sum(shares[centres < 16]):.0f} % of it "
        f"lies below 16, while {100 * float(np.mean(~groups)):.0f} % of the tumours are benign: the diagnosis "
        "was not used, and the parts are not the diagnosis.",
        "The lower chart is the proof. Moving share to a centre would gain as much as the curve says, so a mixture is "
        "the best if the curve is nowhere above zero. Its maximum is the gap: no mixture on this grid is likelier by "
        f"more than {rounded_up(own.gap, 2)} per tumour in the logarithm.",
    )


def _hills(means: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (centres, shares) of runs of neighbours in the support: a centre between two points of the grid."""
    inside = x > 0
    runs = np.cumsum(inside & ~np.concatenate([[False], inside[:-1]])) - 1
    shares = np.bincount(runs[inside], weights=x[inside])
    return np.bincount(runs[inside], weights=(x * means)[inside]) / shares, shares


def _draw_mixture(found: dict[str, Any]) -> bytes:
    z, own, means, groups = found["z"], found["own"], found["means"], found["groups"]
    canvas, (upper, lower) = figure(6.5, 5.2, nrows=2, sharex=True, height_ratios=[2.1, 1])
    bins = np.arange(6.0, 29.5, 0.5)
    weights = [np.full(np.sum(chosen), 1 / (0.5 * len(z))) for chosen in (~groups, groups)]
    parts, label = [z[~groups], z[groups]], ["measured, benign", "measured, malignant"]
    upper.hist(parts, bins, weights=weights, stacked=True, color=["#d3d8de", "#a9afb8"], label=label)
    t = np.linspace(6, 29, 500)
    upper.plot(t, components(t, means) @ own.x, color=BLUE, label="mixture")
    for centre, share in zip(*_hills(means, own.x), strict=True):
        upper.plot(t, share * components(t, np.array([centre]))[:, 0], color=SKY, linewidth=1)
    upper.plot([], [], color=SKY, linewidth=1, label="its parts")
    upper.legend(frameon=False)
    upper.set_title("Density, per unit of radius")
    gradient = found["F"](own.x)[1]
    lower.axhline(0, color=GREY, linewidth=1)
    lower.plot(means, own.x @ gradient - gradient, color=ORANGE)
    lower.plot(means[own.support], np.zeros(len(own.support)), "o", color=BLUE, markersize=5, clip_on=False)
    lower.text(11.7, 0.004, "dots: centres with a share", color=BLUE, size=9.5, va="bottom")
    lower.set(xlabel="mean radius of nuclei, in units of the data set", ylim=(-0.05, 0.02), xlim=(6, 29))
    lower.set_title("Gain by moving share there (log-likelihood per tumour and unit of share)")
    return to_png(canvas)


def gap_figure(found: dict[str, Any]) -> Figure:
    """Plot the gap of several methods over time, and one of them beside the true error."""
    traces, lowest = found["traces"], found["lowest"]
    steps = sum(len(each) for each in traces.values())
    # values are rounded to a few units in their last place
    slack = min(float(np.min(each[:, 1] - (each[:, 2] - lowest))) for each in traces.values())
    general = found["general"]
    holds = "it is never below the true error" if slack >= -1e-14 else "it fails"
    final = {name: each[-1, 1] for name, each in traces.items()}
    return Figure(
        "One gap for all methods",
        "Several methods can find this mixture. How far is each from the optimum, and does it know?",
        'r = minimize(F, n=92, method="accelerated_mirror", convex=True,\n'
        f"             rtol={SUFFICES:g}, history=True)\n"
        "r.value, r.gap, r.history    # F(p) returns value and gradient",
        _draw_gap(traces, lowest),
        "Two charts with logarithmic axes. Left, the gap over seconds for seven methods: Frank-Wolfe falls slowly, "
        "mirror descent and pairwise steps faster, Newton and mixture_proportions plunge. Right, the gap of the "
        "accelerated mirror method above its true error over the steps.",
        "Methods of first order need many cheap steps, those with second derivatives a few dear ones; the function "
        f"made for this problem takes {1e3 * traces['mixture_proportions'][-1, 0]:.0f} ms. Expectation maximisation, "
        f"the usual choice, stands at a gap of {final['expectation maximisation']:.0e} when the time is up; its own "
        "small steps would not tell.",
        f"The gap is the slope toward the best corner of the simplex, so it means the same for every method. In all "
        f"{steps:,} steps drawn here {holds}, which scipy's optimum reveals. Asked for a ten-thousandth of the "
        f"value, accelerated mirror stops at a gap of {rounded_up(general.gap, 2)}; its true error is "
        f"{general.value - lowest:.1e}.",
    )


def _draw_gap(traces: dict[str, np.ndarray], lowest: float) -> bytes:
    canvas, (left, right) = figure(6.8, 4.5, ncols=2, width_ratios=[1.45, 1])
    for name, (label, colour) in _METHODS.items():
        seconds, gap, _ = traces[name][1:].T
        ends = len(gap) < 20
        shape = {"marker": "o", "markersize": 4} if ends else {}
        best = np.minimum.accumulate(gap)
        left.plot(seconds, np.maximum(best, _FLOOR), color=colour, label=label, linewidth=1.5, **shape)
    left.set(xscale="log", yscale="log", xlabel="seconds", title="Smallest gap so far", ylim=(_FLOOR, 30))
    left.yaxis.set_major_locator(FixedLocator([1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1]))
    left.yaxis.set_minor_locator(NullLocator())
    handles, labels = left.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9.5)
    _, gap, value = traces["accelerated_mirror"].T
    right.plot(np.arange(1, len(gap) + 1), gap, color=GREEN, linewidth=1.5)
    right.plot(np.arange(1, len(gap) + 1), np.maximum(value - lowest, _FLOOR), color=INK, linewidth=1.2)
    right.set(xscale="log", yscale="log", xlabel="steps", title="Accelerated mirror")
    right.text(0.95, 0.93, "gap", color=GREEN, weight="bold", ha="right", transform=right.transAxes)
    right.text(0.95, 0.86, "true error", color=INK, weight="bold", ha="right", transform=right.transAxes)
    return to_png(canvas)


def frames_figure(found: dict[str, Any]) -> Figure:
    """Show the digit while it dissolves."""
    flow = found["flow"]
    falls = "falls in each" if np.all(np.diff(flow.energy) < 0) else "does not fall in each"
    return Figure(
        "A digit dissolves",
        "A handwritten 3 is taken as a density on the plane. Each grain of it jitters, and a spring pulls it to the "
        "middle: the process of Ornstein and Uhlenbeck, by which models that generate images turn them into noise. "
        "How does the density change?",
        "energy = Entropy() + Potential(lambda x: np.sum(x**2, axis=-1) / 2)\n"
        f"flow = grid_flow(energy, digit, times, domain=(({-HALF:g}, {HALF:g}), ({-HALF:g}, {HALF:g})))",
        _draw_frames(found),
        "Six frames of a density on the plane: a handwritten 3 of coarse pixels, the same blurred, a loop that fills, "
        "and at the end a round cloud around the origin.",
        "The pixels blur within a thirtieth of the unit of time, the bends of the 3 by a quarter; at time one nothing "
        "is left but a cloud. The scale of blue is that of each frame: from the first to "
        f"the last the peak falls from {flow.density[0].max():.2f} to {flow.density[JUDGED].max():.2f}.",
        f"The flow is computed so that the mass stays (it changes by {flow.mass_error:.0e} of itself) and no share "
        f"becomes negative (after the start the smallest density is {flow.density[1:].min():.0e}); the energy {falls} "
        f"of {flow.steps} steps. Its balance of energy closes to {100 * flow.relative_defect:.2f} %: a measure of "
        "the steps in time, not a bound.",
    )


def _draw_frames(found: dict[str, Any]) -> bytes:
    flow = found["flow"]
    canvas, axes = figure(6.8, 4.9, nrows=2, ncols=3, sharex=True, sharey=True)
    for axis, i in zip(axes.flat, _SHOWN, strict=True):
        axis.imshow(flow.density[i].T, origin="lower", extent=(-HALF, HALF, -HALF, HALF), cmap="Blues", vmin=0)
        axis.set_title(f"t = {Fraction(TIMES[i])}")
        axis.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
        axis.grid(visible=False)
    canvas.supxlabel("place (standard deviations of the final cloud)", size=10.5, color=INK)
    return to_png(canvas, colours=192)


def decay_figure(found: dict[str, Any]) -> Figure:
    """Plot what is left to the normal density with its bound, and the variances beside the exact ones."""
    left, bounds, off = found["left"], found["bounds"], np.abs(found["variances"] - found["exact"])
    failures = int(np.sum(left > bounds))
    held = f"in all {len(left)} frames" if failures == 0 else f"in all but {failures} frames"
    return Figure(
        "How much of the digit is left",
        "When is the digit forgotten? What is left of it is its relative entropy to the normal density: the "
        "information, in natural units, by which one grain tells the two apart.",
        "flow.dissipation / (2 * c)    # bounds what is left, without the goal being computed",
        _draw_decay(found),
        "Two charts over time. Left, on a logarithmic axis, the relative entropy falls from one to a "
        "ten-thousandth below its certificate. Right, the variances along both axes go to one along the exact curves.",
        f"At time {TIMES[JUDGED]:g} an amount of {left[JUDGED]:.2g} is left of {left[0]:.2g}, and {left[-1]:.1e} at "
        f"time {TIMES[-1]:g}. The variance along each axis is known exactly at any time, "
        f"and the computed one never differs by more than {np.max(off):.1e}, an error of the cells of length {CELL:g} "
        "and of the steps.",
        "The energy is convex along this flow, so its rate of fall bounds what it can still lose: the gap once more, "
        f"for densities on the plane. At time {TIMES[JUDGED]:g} at most {rounded_up(bounds[JUDGED], 3)} (true: "
        f"{left[JUDGED]:.3g}); the bound holds {held}. The constant c is that of the grid, with its finite cells.",
    )


def _draw_decay(found: dict[str, Any]) -> bytes:
    canvas, (entropy, spread) = figure(6.8, 3.4, ncols=2)
    entropy.plot(TIMES[1:], found["bounds"][1:], color=BLUE)
    entropy.plot(TIMES, found["left"], color=ORANGE)
    entropy.set(yscale="log", xlabel="time", title="Information left (nats)", ylim=(5e-5, 20), xlim=(0, 2))
    entropy.text(0.5, 0.35, "certificate", color=BLUE, weight="bold")
    entropy.text(0.62, 0.0025, "true", color=ORANGE, weight="bold", ha="right")
    for axis, (name, colour) in enumerate((("across", GREEN), ("upright", PURPLE))):
        spread.plot(TIMES, found["exact"][:, axis], color=PALE, linewidth=5)
        spread.plot(TIMES[::6], found["variances"][::6, axis], "o", color=colour, markersize=4, label=name)
    spread.plot([], [], color=PALE, linewidth=5, label="exact")
    spread.set(xlabel="time", title="Variance", xlim=(-0.05, 2.05))
    spread.legend(frameon=False, loc="lower right")
    return to_png(canvas)
