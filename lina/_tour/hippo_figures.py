"""The figures of chapter three."""

from typing import Any

import numpy as np

from lina._tour.chapter import Figure, rounded_up
from lina._tour.hippo import CUTS, KEPT, LAGS, NOW, SHOWN, SIZES, STATES, STEP, TAPS, UNIT, WINDOW
from lina._tour.style import BLUE, GREEN, INK, ORANGE, figure, to_png
from lina.hippo import reconstruct

_COLOURS = {"LegS": BLUE, "LegT": ORANGE, "Fourier": GREEN}
_LAG_COLOURS = dict(zip(LAGS, (BLUE, ORANGE, GREEN), strict=True))
_RECORDED = {"color": "#a9afb8", "linewidth": 0.9}


def past_figure(found: dict[str, Any]) -> Figure:
    """Show the recording and what two memories of all of it hold."""
    few, many = (found["curves"]["LegS"][SIZES.index(N)] for N in SHOWN)
    return Figure(
        "Six seconds of a nerve cell",
        "A current makes a cell fire: 12,000 samples of the voltage across its membrane come in, one by one, and none "
        f"is stored. What can be told of all of it at the end from {SHOWN[0]} numbers, and from {SHOWN[1]}?",
        f'x = legs_scan(volts, {SHOWN[1]})\nvalues, error = reconstruct(x, t, "legs", T=6.0, u=volts)',
        _draw_past(found),
        "Two charts of a voltage over time. Above, all six seconds: rest, spikes at even intervals, then uneven ones, "
        "and rest; a smooth curve follows their average, and a second one swings with the spikes, least in the middle. "
        "Below, one second of it, enlarged.",
        f"{SHOWN[0]} numbers hold when the current was on, and that something changed after 3.6 s. {SHOWN[1]} begin to "
        "tell the spikes apart, best near both ends, where polynomials are at their finest. As time goes on, the same "
        "numbers stretch over more of it: the memory has no scale of its own, and the recording at half the speed "
        "would give nearly the same numbers.",
        "Shown the recording once more, the call bounds the error of the memory as it is, steps included: at most "
        f"{rounded_up(few[1], 3)} and {rounded_up(many[1], 3)} of the spread of the voltage. The projection, the best "
        f"that {SHOWN[1]} coefficients can do, leaves out {many[2]:.6f}; with the steps it is {many[0]:.6f}.",
    )


def _draw_past(found: dict[str, Any]) -> bytes:
    u = found["u"]
    middles = (np.arange(len(u)) + 0.5) * STEP
    canvas, axes = figure(6.8, 4.6, nrows=2)
    spans = (slice(0, len(u)), slice(NOW - WINDOW, NOW))
    for axis, span in zip(axes, spans, strict=True):
        axis.plot(middles[span], u[span], label="recorded", **_RECORDED)
        for N, colour in zip(SHOWN, (ORANGE, BLUE), strict=True):
            values = reconstruct(found["kept"]["LegS", N], middles[span], "legs", T=len(u) * STEP)
            axis.plot(middles[span], values, color=colour, linewidth=1.3, label=f"from {N} numbers")
        axis.set_xlim(middles[span][0], middles[span][-1])
    axes[0].set_title("Voltage less its mean (units of the recording)")
    axes[1].set_xlabel("time (s)")
    canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False)
    return to_png(canvas)


def window_figure(found: dict[str, Any]) -> Figure:
    """Show what windows of Legendre polynomials and of a Fourier series hold of the last second."""
    place = SIZES.index(KEPT)
    legt, fourier = found["curves"]["LegT"][place], found["curves"]["Fourier"][place]
    return Figure(
        "The last second only",
        "What is long past may be forgotten. Two memories keep a window that slides along: polynomials (LegT) and a "
        f"Fourier series. What do {KEPT} numbers hold of the second before {NOW * STEP:g} s?",
        f"past = volts[:{NOW}]\n"
        f'x = lti_scan(past, {KEPT}, "legt", theta={WINDOW})\n'
        f'y = lti_scan(past, {KEPT + 1}, "fout", theta={WINDOW})',
        _draw_window(found),
        "Two charts over one second. Above, spikes of a voltage with two curves that follow all but the upper part of "
        "the spikes. Below, the differences: bursts at the spikes, the smaller ones between them.",
        "Every spike is seen, at about half of its height or more. The polynomials are at their best next to the "
        "present and blur toward the other end; the Fourier series is equally sharp throughout and rings around each.",
        "Both are stepped and not projected: what leaves the window is guessed from the numbers themselves. The error "
        f"includes that: LegT at most {rounded_up(legt[1], 3)} of the spread (true: {legt[0]:.4g}, a projection: "
        f"{legt[2]:.4g}), Fourier at most {rounded_up(fourier[1], 3)} ({fourier[0]:.4g} and {fourier[2]:.4g}).",
    )


def _draw_window(found: dict[str, Any]) -> bytes:
    span = slice(NOW - WINDOW, NOW)
    t, u = (np.arange(NOW - WINDOW, NOW) + 0.5), found["u"][span]
    canvas, (above, below) = figure(6.8, 4.6, nrows=2, sharex=True)
    above.plot(t * STEP, u, label="recorded", **{**_RECORDED, "linewidth": 3})
    for name, measure in (("LegT", "legt"), ("Fourier", "fout")):
        values = reconstruct(found["kept"][name, KEPT], t, measure, T=NOW, theta=WINDOW)
        above.plot(t * STEP, values, color=_COLOURS[name], linewidth=1.2, label=name)
        below.plot(t * STEP, values - u, color=_COLOURS[name], linewidth=1)
    above.set_title("Voltage less its mean (units of the recording)")
    below.set_title("Difference from the recording")
    below.set(xlabel="time (s)", xlim=((NOW - WINDOW) * STEP, NOW * STEP))
    canvas.legend(*above.get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False)
    return to_png(canvas)


def sizes_figure(found: dict[str, Any]) -> Figure:
    """Plot the error over the numbers kept, and what of it is the recursion's."""
    curves = found["curves"]
    held = all(np.all(c[:, 0] <= c[:, 1]) for c in curves.values())
    count = sum(len(c) for c in curves.values())
    loosest = max(float(np.max(c[:, 1] / c[:, 0])) for c in curves.values())
    return Figure(
        "How many numbers it takes",
        "How does the error fall with the numbers kept, and how much of it is lost by stepping instead of projecting?",
        "error.value, error.kind    # for each memory and each number of coefficients",
        _draw_sizes(curves),
        "Two charts over the numbers kept, from 16 to 256, both axes logarithmic. Left, the certified errors with dots "
        "of the true ones on them: LegS falls little, LegT and Fourier to about a quarter. Right, the part that the "
        "recursion adds: from a millionth to some thousandths for LegS, and one to four tenths for the windows.",
        "A spike of ten milliseconds among six seconds takes hundreds of numbers; in a window of one second fewer do. "
        "Projecting all of the past needs no guess, and the steps add next to nothing; a window has to guess what "
        "leaves it, and pays for that.",
        "The certificate is a sum over the cells of the recording by Gauss quadrature, and includes the error of the "
        f"steps. {'In' if held else 'Not in'} all {count} cases it is no smaller than the true error, found otherwise, "
        f"by exact integrals and Pythagoras. It exceeds it by at most {rounded_up(loosest - 1, 2)} of itself.",
    )


def _draw_sizes(curves: dict[str, np.ndarray]) -> bytes:
    canvas, (left, right) = figure(6.8, 3.5, ncols=2)
    for name, curve in curves.items():
        true, bound, optimum = curve.T
        left.plot(SIZES, bound, color=_COLOURS[name], label=name)
        left.plot(SIZES, true, "o", color=_COLOURS[name], markersize=5)
        right.plot(SIZES, np.sqrt(true**2 - optimum**2), "o-", color=_COLOURS[name], markersize=4)
    left.set(yscale="log", title="Error: certificate, and true (dots)")
    right.set(yscale="log", title="Part of it that the steps add")
    left.set_yticks([0.2, 0.5, 1], ["0.2", "0.5", "1"])
    for axis in (left, right):
        axis.set(xscale="log", xlabel="numbers kept")
        axis.set_xticks(SIZES, [str(N) for N in SIZES])
        axis.minorticks_off()
    canvas.legend(*left.get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False)
    return to_png(canvas)


def delay_figure(found: dict[str, Any]) -> Figure:
    """Show the outputs of filters that say what was."""
    F = found["F"]
    listed = ", ".join(f"{1000 * lag * STEP:g}" for lag in LAGS)
    return Figure(
        "A memory as a filter",
        "In a network the memory of everything runs at one fixed pace: the past fades, and is seen the more coarsely "
        f"the farther it is. The output is a weighted sum of its {STATES} numbers. With the weights that read the "
        f"voltage of {listed} ms ago, what comes out?",
        f'F = nplr("legs", {STATES}, theta={UNIT})\n'
        f'C = basis("legs", {STATES}, -lag, 0.0, theta={UNIT}, time_map="exponential")\n'
        "layer = DPLRSystem(F.Lambda, F.P, F.B, C @ F.V)",
        _draw_delay(found),
        "Four charts of a voltage over one second, one below the other: the recording, and three outputs in which the "
        "same spikes come later, and are lower and wider the later they come.",
        f"The spikes come back after {listed} ms, blurred the more the older they are. This is the layer that S4 is "
        "made of, with weights that were not learned.",
        f"The matrix of the memory is brought to {len(F.Lambda)} pairs and a term of rank {F.rank}, which makes the "
        f"layer cheap. The two differ by at most {rounded_up(F.error / found['norm'], 2)} of the norm. Its "
        "eigenvectors, the obvious way, lose everything: the matrix put together from those of numpy is off by "
        f"{found['peer']:.0e} times its norm.",
    )


def _draw_delay(found: dict[str, Any]) -> bytes:
    span = slice(NOW - 2 * WINDOW, NOW)
    t = np.arange(NOW - 2 * WINDOW, NOW) * STEP
    canvas, axes = figure(6.8, 5.2, nrows=1 + len(LAGS), sharex=True, sharey=True)
    axes[0].plot(t, found["u"][span], color=INK, linewidth=1)
    axes[0].set_title("recorded (voltage less its mean)")
    for axis, lag in zip(axes[1:], LAGS, strict=True):
        axis.plot(t, found["outputs"][lag][span], color=_LAG_COLOURS[lag], linewidth=1.2)
        axis.set_title(f"said to have been {1000 * lag * STEP:g} ms ago")
    axes[-1].set(xlabel="time (s)", xlim=(t[0], t[-1]))
    return to_png(canvas)


def kernel_figure(found: dict[str, Any]) -> Figure:
    """Plot the kernels, their spectra, and what is left out of them beside its bound."""
    tails = found["tails"]
    worst = max(float(np.max(each[:, 0] / each[:, 1])) for each in tails.values())
    held = "holds for every length" if worst <= 1 else "fails for some lengths"
    last = tails[LAGS[-1]][-1]
    return Figure(
        "The kernel of the filter",
        "The filter can also be run as a convolution, all samples at once. Which kernel is it, which frequencies pass, "
        "and how long must it be?",
        f"K = kernel_dplr(F.Lambda, F.P, F.B, C @ F.V, 1.0, {TAPS})\ny = fftconv(volts, K)    # the outputs above",
        _draw_kernel(found),
        "Three charts. First, three bumps at 25, 100 and 400 ms, each lower and wider than the one before. Second, "
        "their spectra: all are one at low frequencies, ripple, and fall to nothing, earlier for longer lags. Third, "
        "what a kernel of so many taps leaves out, falling by orders of magnitude just below a line, its bound.",
        "The kernel of a lag is a bump at that lag, as wide as the memory is coarse there; its spectrum shows the same "
        "as a low pass. It was not computed tap by tap: a kernel is the inverse transform of a rational function, the "
        "values of which on a circle take four sums over the pairs.",
        f"What {TAPS:,} taps leave out of the longest lag is at most {rounded_up(last[1], 2)} of the kernel (true: "
        f"{last[0]:.1e}). The measure gives this bound: its Gramian is at most the identity, so that the memory itself "
        f"limits what can still come. It {held} drawn.",
    )


def _draw_kernel(found: dict[str, Any]) -> bytes:
    canvas, (first, second, third) = figure(7.2, 3.3, ncols=3)
    milliseconds = 1000 * STEP * np.arange(TAPS)
    hertz = np.fft.rfftfreq(TAPS, STEP)
    for lag, K in found["kernels"].items():
        colour, shown = _LAG_COLOURS[lag], milliseconds <= 600
        first.plot(milliseconds[shown], K[shown] / STEP, color=colour, label=f"{1000 * lag * STEP:g} ms ago")
        second.plot(hertz[1:], np.abs(np.fft.rfft(K))[1:], color=colour)
        true, bound = found["tails"][lag].T
        third.plot(1000 * STEP * np.array(CUTS), bound, color=colour)
        third.plot(1000 * STEP * np.array(CUTS)[::3], true[::3], "o", color=colour, markersize=3.5)
    first.set(xlabel="lag (ms)", title="Kernel (per s)")
    second.set(xlabel="frequency (Hz)", title="Spectrum", xscale="log", xlim=(0.5, 1000), ylim=(0, 1.35))
    third.set(xlabel="length (ms)", title="Left out: bound, true", yscale="log")
    canvas.legend(*first.get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False)
    return to_png(canvas)
