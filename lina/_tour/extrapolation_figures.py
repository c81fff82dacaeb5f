"""The figures of the chapter on reading beyond the trained length."""

from typing import Any

import numpy as np

from lina._tour.chapter import Figure, rounded_up
from lina._tour.extrapolation import (
    BY_POSITION,
    CONTEXTS,
    CUT,
    NAMES,
    READ,
    SEGMENT,
    SHARE,
    WRITTEN,
    Learned,
    last_rise,
)
from lina._tour.extrapolation_text import LONGEST, TRAINED
from lina._tour.models import TOLERANCE
from lina._tour.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, figure, to_png
from lina.rope import RotaryScaling, suggest
from lina.torch import ExtrapolationTable

DRAWN, FEW = 24, 12  # positions of the drawn matrices, and how many of them are trained
_MAPS = ("none", *BY_POSITION)
_STYLES: dict[str, dict[str, Any]] = {
    "none": {"color": INK},
    "linear": {"color": GREY, "linestyle": "--"},
    "ntk": {"color": PURPLE},
    "yarn": {"color": ORANGE},
    "rerope": {"color": BLUE},
    "leaky_rerope": {"color": SKY},
    "self_extend": {"color": SKY, "linestyle": ":"},
    "window": {"color": GREEN, "linestyle": "--"},
}
_COLUMNS, _LINES = 78, 7  # characters in a line of a continuation, and how many lines are drawn


def maps_figure(errors: dict[str, float]) -> Figure:
    """Show the relative positions under the methods that act on them."""
    return Figure(
        "Positions that were never trained",
        f"Here {DRAWN} positions are read by a model that was trained on {FEW}. Each row is a position that looks "
        "back, each column one that it sees, and the colour is the distance that attention is told. What is it told "
        "of places that are too far away?",
        f'scaling = RotaryScaling(**suggest("rerope", {FEW}, {DRAWN}), head_dim=32)\n'
        f"P = scaling.position_matrix({DRAWN})    # drawn here\n"
        "out = extrapolated_attention(q, k, v, scaling)    # which never forms it",
        _draw_maps(),
        "Four triangles below the diagonal, the darker the larger the distance. The first has an orange corner of "
        "distances that were not trained. In the second all distances from 6 on are 6; in the third and fourth "
        "they grow on slowly, smoothly and in steps. None of these three has any orange.",
        "RoPE tells the distance as it is, and half of the longest rows is new to the model (orange). ReRoPE leaves "
        "near places as they are and gives all others one distance; Leaky ReRoPE lets it grow on slowly, Self-Extend "
        "in steps. All keys are seen, and no distance is new.",
        "A function that formed all angles of all pairs, in double precision, is what defines this attention. lina "
        "computes a few plain causal attentions and merges them; output and gradients differ from the definition by "
        f"{rounded_up(max(errors.values()), 2)} of the largest number at most, where {TOLERANCE:g} was asked.",
    )


def _draw_maps() -> bytes:
    canvas, axes = figure(7.2, 2.35, ncols=len(_MAPS), sharey=True)
    for axis, kind in zip(axes, _MAPS, strict=True):
        P = RotaryScaling(**suggest(kind, FEW, DRAWN), head_dim=32).position_matrix(DRAWN)
        axis.imshow(P, cmap="Blues", vmin=-2, vmax=FEW + 2)
        new = np.where(P >= FEW, 1.0, np.nan)
        axis.imshow(new, cmap="Oranges", vmin=0, vmax=1.7)
        for i, j in ((DRAWN - 2, 2), (DRAWN - 2, 8), (FEW + 3, 2), (DRAWN - 2, DRAWN - 5)):
            axis.text(j, i, f"{P[i, j]:.2g}", ha="center", va="center", fontsize=8)
        axis.set(title=NAMES[kind], xticks=[0, FEW, DRAWN - 1], yticks=[0, FEW, DRAWN - 1], xlabel="seen")
        axis.grid(visible=False)
    axes[0].set_ylabel("looks back")
    return to_png(canvas)


def losses_figure(found: Learned) -> Figure:
    """Show the losses of the same bytes with ever more text before them."""
    text, size, tables = found.text, found.text.size, found.tables
    (rise, error), (plain, plain_error) = (last_rise(tables[kind]) for kind in ("rerope", "none"))
    means = {kind: float(table.mean[-1]) for kind, table in tables.items()}
    order = ", ".join(f"{NAMES[kind]} {means[kind]:.2f}" for kind in sorted(means, key=means.__getitem__))
    return Figure(
        "The same bytes, after ever more text",
        f"A decoder of {sum(each.numel() for each in found.model.parameters()):,} parameters has learned {text.name}, "
        f"in {size.steps} steps of {size.batch} pieces of {TRAINED} bytes. Of {len(text.scored)} texts that it has not "
        f"seen the last {SEGMENT} bytes are scored, always the same ones, after a part of what comes before them or "
        f"all of it, up to {LONGEST // TRAINED} times what it was trained on. Nothing is trained again.",
        f'scaling = RotaryScaling("none", head_dim={size.head_dim}, original_length={TRAINED})\n'
        f"model = RotaryDecoder(scaling, width={size.width}, depth={size.depth})    # and is trained\n"
        "def logits(tokens):\n"
        f'    rules = suggest("rerope", {TRAINED}, tokens.shape[1])\n'
        f"    return model(tokens, scaling=RotaryScaling(**rules, head_dim={size.head_dim}))\n"
        f"table = evaluate_extrapolation(logits, texts, {CONTEXTS}, segment={SEGMENT})",
        _draw_losses(found),
        f"Curves of the loss against the length of the context, {TRAINED} to {LONGEST} bytes. From a common point at "
        "the left, those of RoPE, linear and NTK rise steeply, that of YaRN less; ReRoPE, Leaky ReRoPE, Self-Extend "
        "and the window stay close to the horizontal.",
        f"In nats for a byte, after {LONGEST:,} bytes: {order}. After {TRAINED} bytes it was "
        f"{float(tables['none'].mean[0]):.2f}. {_what_it_does_not_show(tables)}",
        f"The loss rises by {rise:+.2f} ± {error:.2f} under ReRoPE and by {plain:+.2f} ± {plain_error:.2f} without a "
        f"remedy (standard errors, paired by texts), which is {_share(rise, plain)}; less than {SHARE:g} was claimed "
        "before. That is a measurement of this model, and no promise for another one.",
    )


def _share(rise: float, plain: float) -> str:
    return "no more than nothing" if rise <= 0 else f"a share of {rise / plain:.2f}"


def _what_it_does_not_show(tables: dict[str, ExtrapolationTable]) -> str:
    """Say whether anything beyond a window has helped, by more than two standard errors."""
    best = min((tables[kind] for kind in BY_POSITION), key=lambda table: float(table.mean[-1]))
    excess, error = (float(each[-1]) for each in tables["window"].rise(best))
    if excess <= 2 * error:
        return (
            "A window, which sees no more than the trained length, is as good as any: a model as small as this gains "
            "nothing from text farther away. So the plot shows which remedies do no harm; that they make use of a long "
            "text it does not show."
        )
    return "A window, which sees no more than the trained length, is worse than the best: text farther away has helped."


def _draw_losses(found: Learned) -> bytes:
    canvas, axis = figure(7.2, 3.9)
    for kind, table in found.tables.items():
        table.plot(axis, label=NAMES[kind], markersize=4, capsize=2, elinewidth=1, **_STYLES[kind])
    axis.set(
        xticks=CONTEXTS,
        xticklabels=[f"{c:,}" for c in CONTEXTS],
        xlabel=f"context, bytes (trained: {TRAINED})",
    )
    axis.set_ylabel(f"loss of the last {SEGMENT} bytes, nats")
    axis.legend(frameon=False, fontsize=9.5, ncols=2, loc="upper left")
    return to_png(canvas)


def continuations_figure(found: Learned, written: dict[str, bytes], worst: float) -> Figure:
    """Show what the decoder writes after a long text."""
    losses = ", ".join(f"{float(found.tables[kind].mean[-1]):.2f} under {NAMES[kind]}" for kind in written)
    short = float(found.tables["none"].mean[0])
    return Figure(
        "What it writes",
        f"The decoder is given {LONGEST:,} bytes of a text that it has not seen and draws {WRITTEN} more, one by one, "
        "with the same random numbers under each method. It has a cache, and takes one new byte at a time.",
        "caches = model.caches(scaling=scaling)    # of keys that are not rotated\n"
        "model.prefill(tokens, caches)\n"
        "logits = model.step(token, caches)",
        _draw_continuations(found, written),
        "Four blocks of text in a typewriter face: the end of what was given, and continuations under RoPE, a jumble "
        "of letters and signs, under YaRN, somewhat better, and under ReRoPE, words and lines like those of the text.",
        "Nobody would take any of it for the work of a person: the model has learned for less than a minute. In "
        f"numbers, its loss after {LONGEST:,} bytes is {losses}; after {TRAINED} it was {short:.2f}.",
        f"Read as a whole, in parts of {CUT} and {READ - CUT} bytes, and byte by byte, a text has the same logits "
        f"under each of the three methods by position: to {rounded_up(worst, 2)} of the largest, where {TOLERANCE:g} "
        "was asked. What is measured on whole texts holds for a model that writes.",
    )


def _draw_continuations(found: Learned, written: dict[str, bytes]) -> bytes:
    before = bytes(found.text.scored[0, -2 * _COLUMNS :].tolist())
    blocks = [("given", lines(before)[-_LINES:])]
    blocks += [(NAMES[kind], lines(text)[:_LINES]) for kind, text in written.items()]
    canvas, axes = figure(7.2, 5.2, nrows=len(blocks))
    for axis, (name, shown) in zip(axes, blocks, strict=True):
        axis.set_axis_off()
        axis.set_title(name, color=GREY)
        axis.text(0, 1, "\n".join(shown), family="monospace", fontsize=9, va="top", parse_math=False)
    return to_png(canvas)


def lines(text: bytes) -> list[str]:
    """Return lines of a bounded length in which every byte that is no printed character is a dot."""
    shown = "".join(chr(c) if 32 <= c < 127 or c == 10 else "\N{MIDDLE DOT}" for c in text)
    return [line[i : i + _COLUMNS] for line in shown.split("\n") for i in range(0, max(len(line), 1), _COLUMNS)]
