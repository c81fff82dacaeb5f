"""The figures of the chapter on layers."""

from typing import Any

import numpy as np

from lina._tour.chapter import Figure, rounded_up
from lina._tour.models import DEPTH, EPOCHS, LAYERS, LENGTH, LR, NAMES, STATE_LR, TOLERANCE, WIDTH, Answers, Trained
from lina._tour.style import BLUE, GREEN, GREY, INK, ORANGE, PALE, figure, picture, to_png

SHOWN = (0, 2, 4, EPOCHS)
DRAWN = 3  # filters of the first layer
SIDE = 8  # pixels of a digit in a row
MOMENTS = (16, 32, 48, 64)
_FINE = 512  # points of a transform
_COLOURS = {"s4d": BLUE, "rtf": ORANGE}


def training_figure(kind: str, found: Trained) -> Figure:
    """Show filters of the first layer and the spectrum of all of them while they are learned."""
    about = {"s4d": _about_s4d, "rtf": _about_rtf}[kind](found)
    name = NAMES[kind]
    return Figure(
        *about[:2],
        f"options = dict({', '.join(f'{key}={value}' for key, value in LAYERS[kind].items())})\n"
        f'model = SequenceClassifier(1, 10, layer="{kind}", width={WIDTH}, depth={DEPTH}, **options)\n'
        f"groups = model.parameter_groups({LR}, state_lr={STATE_LR[kind]}, weight_decay=0.01)    # for AdamW\n"
        f"K = model.blocks[0].layer.kernel({LENGTH})    # drawn after some epochs",
        _draw_training(found),
        about[2],
        about[3],
        f"The largest pole of all layers of {name} has the modulus {np.max(np.abs(np.concatenate(found.poles))):.4f}, "
        "and it is proven that none is 1 or more: what the layers remember fades, so the network may be run for as "
        "long as one likes.",
    )


def _about_s4d(found: Trained) -> tuple[str, str, str, str]:
    first, last = found.frames[0][0], found.frames[-1][0]
    alike = np.sum(first * last, 1) / (np.linalg.norm(first, axis=1) * np.linalg.norm(last, axis=1))
    return (
        "A layer learns its filters",
        f"Each filter of an S4D layer is a sum of damped waves, {LAYERS['s4d']['state'] // 2} here, the frequencies, "
        f"decays and weights of which are learned: {WIDTH} filters in a layer, and {DEPTH} layers. Three quarters of "
        f"1,797 digits are shown {EPOCHS} times, half of them cut off somewhere. What becomes of the filters?",
        "Four pairs of charts: before training, after two, four and sixteen epochs. Above, three filters of 64 taps "
        "that swing and fade, and grow from frame to frame. Below, the spectra of all filters as pale lines, with a "
        "dark line for their strength as a whole, which falls towards high frequencies and rises from frame to frame.",
        f"They grow by a factor of {np.linalg.norm(last) / np.linalg.norm(first):.1f} and change in shape: the "
        f"correlation of a filter with its beginning is {np.median(alike):.2f}, in the median. So much of it was drawn "
        "at random, and has been put to use.",
    )


def _about_rtf(found: Trained) -> tuple[str, str, str, str]:
    places = [hump(spectra(found.frames[epoch][0])) for epoch in SHOWN[-2:]]
    (early, _), (late, share) = places
    found_rows = share > 1.5 and all(abs(SIDE * place - 1) < 0.3 for place, _ in places)
    return (
        "Filters from nothing",
        f"An RTF layer is a fraction of two polynomials of degree {LAYERS['rtf']['state']} for each filter. All their "
        "coefficients begin at zero, so that nothing has been put in. What is learned from the same digits?",
        "Four pairs of charts as before. Before training all lines are zero; after two epochs there is a bump at low "
        "frequencies, then peaks, one of them next to a dotted line at one cycle in eight pixels.",
        "First come the low frequencies, which say how much ink there is. Between one cycle in 16 pixels and one in 5 "
        f"the filters are strongest at one in {1 / early:.1f} after {SHOWN[-2]} epochs, and at one in {1 / late:.1f} "
        f"at the end, {share:.1f} times as strong as halfway to it. "
        + ("So the network, which was not told, has found the rows: " if found_rows else "The dotted line: ")
        + f"what is one below the other is {SIDE} pixels apart in the stream.",
    )


def spectra(K: np.ndarray) -> np.ndarray:
    """Return the moduli of the transforms of filters, finely sampled from 0 to half a cycle per sample."""
    return np.abs(np.fft.rfft(K, _FINE))


def strength(moduli: np.ndarray) -> np.ndarray:
    """Return the root of the mean square of the spectra over the filters."""
    return np.sqrt(np.mean(moduli**2, axis=0))


def hump(moduli: np.ndarray) -> tuple[float, float]:
    """Return where filters are strongest from 1/16 to 3/16, around the rows, and the ratio to halfway there."""
    rms = strength(moduli)
    least, most = _FINE // (2 * SIDE), 3 * _FINE // (2 * SIDE)
    place = least + int(np.argmax(rms[least : most + 1]))
    return place / _FINE, float(rms[place] / rms[place // 2])


def _draw_training(found: Trained) -> bytes:
    canvas, axes = figure(7.2, 4.2, nrows=2, ncols=len(SHOWN), sharex="row", sharey="row")
    strongest = np.argsort(-np.linalg.norm(found.frames[-1][0], axis=1))[:DRAWN]
    cycles = np.arange(_FINE // 2 + 1) / _FINE
    for (above, below), epoch in zip(axes.T, SHOWN, strict=True):
        K = found.frames[epoch][0]
        for i, colour in zip(strongest, (BLUE, ORANGE, GREEN), strict=True):
            above.plot(K[i], color=colour, linewidth=1.1)
        moduli = spectra(K)
        below.axvline(1 / SIDE, color=GREY, linewidth=1, linestyle=":")
        below.plot(cycles, moduli.T, color=GREY, linewidth=0.5, alpha=0.35)
        below.plot(cycles, strength(moduli), color=INK, linewidth=1.4)
        above.set_title("before training" if epoch == 0 else f"{epoch} epoch{'s' * (epoch > 1)}")
        above.set(xlabel="tap (pixels)", xticks=[0, 32, 64])
        below.set(xlabel="cycles per pixel", xticks=[0, 1 / SIDE, 0.5], xticklabels=["0", "1/8", "1/2"], xlim=(0, 0.5))
    axes[0, 0].set_ylabel("three filters")
    axes[1, 0].set_ylabel("spectra of all")
    axes[1, 0].set_ylim(bottom=0)
    return to_png(canvas)


def stream_figure(found: dict[str, Any]) -> Figure:
    """Show one digit as it comes in, what the networks say of it, and how many they have right by then."""
    answers: dict[str, Answers] = found["answers"]
    s4d, rtf = (answers[kind] for kind in NAMES)
    chosen = undecided(found)
    told = ", ".join(f"{100 * s4d.right[k - 1]:.0f} and {100 * rtf.right[k - 1]:.0f} % after {k}" for k in MOMENTS[:-1])
    worst = max(max(each.difference, each.state_difference) for each in answers.values())
    return Figure(
        "Pixel by pixel",
        f"The trained networks are given {len(found['y'])} digits that they have not seen, one pixel at a time, as a "
        "sensor would. Each step takes the same time, and no pixel is kept. How early can one tell the digit?",
        f"state = model.initial_state(len(pixels))\nfor t in range({LENGTH}):\n"
        "    logits, state = model.step(pixels[:, t], state)",
        _draw_stream(found, chosen),
        f"Four images of a handwritten {found['y'][chosen]}, of which two, four, six and all eight rows are there. "
        "Below each, bars with what two networks think of the ten digits: several at first, one at the end. Below "
        "all, two curves of the share that is right, from a tenth at the first pixel to nearly all at the last ones.",
        f"S4D and RTF know {told} pixels, and {100 * s4d.right[-1]:.1f} and {100 * rtf.right[-1]:.1f} % at the end. "
        f"The digit drawn, a {found['y'][chosen]}, is the first that both have wrong at half and right at the end.",
        "What the steps say is what the convolution says of the whole image, and what it says of two parts, and the "
        f"states agree as well: to {rounded_up(worst, 2)} of the largest number, where {TOLERANCE:g} was asked. So a "
        "network that was trained in parallel may be run on a stream.",
    )


def undecided(found: dict[str, Any]) -> int:
    """Return the first digit of which both networks are wrong at half and right at the end, if any."""
    said = [each.probabilities.argmax(-1) == found["y"] for each in found["answers"].values()]
    changed = np.all([~each[LENGTH // 2 - 1] & each[-1] for each in said], axis=0)
    return int(np.argmax(changed))


def _draw_stream(found: dict[str, Any], chosen: int) -> bytes:
    canvas, axes = figure(7.2, 6.0, nrows=3, ncols=len(MOMENTS), height_ratios=[1.1, 0.8, 1.3])
    image = found["x"][chosen]
    for (digit, bars), seen in zip(axes[:2].T, MOMENTS, strict=True):
        pixels = np.where(np.arange(LENGTH) < seen, image, np.nan).reshape(SIDE, SIDE)
        picture(digit, np.ones((SIDE, SIDE, 3)) * 0.93)
        picture(digit, pixels, f"{seen} pixels", cmap="Greys", vmin=image.min(), vmax=image.max())
        for shift, (kind, answer) in zip((-0.2, 0.2), found["answers"].items(), strict=True):
            bars.bar(np.arange(10) + shift, answer.probabilities[seen - 1, chosen], 0.4, color=_COLOURS[kind])
        bars.set(ylim=(0, 1), yticks=[0, 0.5, 1], xticks=range(10))
        bars.tick_params(labelsize=8.5, labelleft=seen == MOMENTS[0])
    axes[1, 0].set_ylabel("probability")
    for axis in axes[2]:
        axis.remove()
    share = canvas.add_subplot(axes[2, 0].get_gridspec()[2, :])
    for kind, answer in found["answers"].items():
        share.plot(np.arange(1, LENGTH + 1), answer.right, color=_COLOURS[kind], label=NAMES[kind])
    share.set(xlabel="pixels seen", ylabel="share right", xlim=(0, LENGTH), ylim=(0, 1), xticks=range(0, LENGTH + 1, 8))
    share.legend(frameon=False, loc="lower right")
    return to_png(canvas)


def poles_figure(found: dict[str, Any]) -> Figure:
    """Show the poles of all filters in the upper half of the unit circle."""
    s4d, rtf = (found["trained"][kind] for kind in NAMES)
    return Figure(
        "For how long may it run?",
        "A filter that is run as a recurrence has poles. One of them outside of the unit circle, and the state would "
        "grow without end once the network is left on; on sequences of 64 pixels nobody would notice. Where has "
        "training put them?",
        "margins = [block.layer.check_stability() for block in model.blocks]",
        _draw_poles(found),
        "Two half discs. Left, the poles of S4D lie close to the circle, the denser the nearer to one, and thin out "
        "along it. Right, those of RTF fill a ring inside the circle at some distance, all around.",
        "S4D begins with slowly fading waves and keeps them: its poles are close to the circle, at low frequencies. "
        f"Those of RTF began at zero and have moved out: half of them are beyond {np.median(np.abs(_all(rtf))):.2f}.",
        f"None can leave. The margins, 1 less the largest modulus, are {s4d.margin:.4f} and {rtf.margin:.4f}, and "
        "their signs are proven, rounding included. S4D keeps its decays positive by an exponential, RTF its "
        "denominators by a sum of coefficients below 1. An RTF without this constraint may put poles outside; then its "
        "steps are refused.",
    )


def _all(trained: Trained) -> np.ndarray:
    return np.concatenate(trained.poles)


def _draw_poles(found: dict[str, Any]) -> bytes:
    canvas, axes = figure(7.2, 2.75, ncols=2, sharey=True)
    angle = np.linspace(0, np.pi, 200)
    for axis, (kind, name) in zip(axes, NAMES.items(), strict=True):
        axis.fill_between(np.cos(angle), np.sin(angle), color=PALE, alpha=0.5, linewidth=0)
        axis.plot(np.cos(angle), np.sin(angle), color=INK, linewidth=1)
        for poles, colour, layer in zip(found["trained"][kind].poles, (BLUE, ORANGE), ("first", "second"), strict=True):
            axis.plot(poles.real, poles.imag, ".", color=colour, markersize=3, alpha=0.7, label=f"{layer} layer")
        axis.set(aspect="equal", title=name, xlabel="real part", xlim=(-1.05, 1.05), ylim=(-0.03, 1.05))
    axes[0].set_ylabel("imaginary part")
    canvas.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, markerscale=2.5, frameon=False
    )
    return to_png(canvas)
