"""The chapter on request: a decoder learns to continue short texts, and is then given texts 16 times as long."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from lina._tour.chapter import Chapter, Figure, Part, Row, timed
from lina._tour.extrapolation_text import LONGEST, TRAINED, Size, Text, made_text, source_text
from lina._tour.models import TOLERANCE, relative, undisturbed
from lina.rope import RotaryScaling, suggest
from lina.torch import ExtrapolationTable, RotaryDecoder, evaluate_extrapolation, extrapolated_attention

INTRO = (
    "A language model with rotary positions turns its queries and keys by angles that grow with the position. What it "
    "compares are distances, and it has met none beyond the length that it was trained on: on longer texts it fails. "
    "There are remedies that need no further training, and each is a few numbers in a RotaryScaling. A small model "
    f"learns to continue texts of {TRAINED} bytes, and then reads up to {LONGEST:,}, without a remedy and under seven."
)
ERRORS = (
    "Differences of attention, of its gradients and of logits are relative to the largest; the tolerance was fixed "
    "beforehand. So was the claim that the loss, in nats for a byte, rises under ReRoPE by less than a quarter of what "
    "it rises without a remedy. Neither is a bound for other models; the tour fails where one does not hold."
)

NAMES = {
    "none": "RoPE",
    "linear": "linear",
    "ntk": "NTK",
    "yarn": "YaRN",
    "rerope": "ReRoPE",
    "leaky_rerope": "Leaky ReRoPE",
    "self_extend": "Self-Extend",
    "window": "window",
}
BY_POSITION = ("rerope", "leaky_rerope", "self_extend")
CONTEXTS = tuple(TRAINED << i for i in range(5))
SEGMENT = TRAINED // 2  # bytes that are scored, the last ones of each text
SHARE = 1 / 4  # of the rise without a remedy
READ, CUT = 200, 120  # bytes that are read in three ways, and where they are parted
WRITTEN = 200  # bytes of a continuation
SPOKEN = ("none", "yarn", "rerope")  # which are drawn


@dataclass
class Learned:
    """A decoder and its text, and its tables of losses under every method."""

    model: RotaryDecoder
    text: Text
    tables: dict[str, ExtrapolationTable]


def chapter() -> Chapter:
    """Return the chapter, not yet played; its last part reads with the decoder that the one before has trained."""
    learned: list[Learned] = []
    parts = [
        Part("attention and its definition", heads, compare, heads, draw_maps),
        Part("training and scoring a decoder", made_text, partial(learn, learned), source_text, draw_losses),
        Part("reading byte by byte", made_text, partial(read, learned), lambda: (), draw_continuations),
    ]
    return Chapter("Reading beyond the trained length", INTRO, parts, ERRORS)


def draw_maps(found: Any) -> list[Figure]:
    """Return the figure of the relative positions."""
    from lina._tour import extrapolation_figures

    return [extrapolation_figures.maps_figure(found)]


def draw_losses(found: Any) -> list[Figure]:
    """Return the figure of the losses."""
    from lina._tour import extrapolation_figures

    return [extrapolation_figures.losses_figure(found)]


def draw_continuations(found: Any) -> list[Figure]:
    """Return the figure of what the decoder writes."""
    from lina._tour import extrapolation_figures

    return [extrapolation_figures.continuations_figure(*found)]


def scaling(kind: str, length: int, head_dim: int) -> RotaryScaling:
    """Return what the published rules say for a text of some length."""
    return RotaryScaling(**suggest(kind, TRAINED, length), head_dim=head_dim)


def heads() -> tuple[torch.Tensor, ...]:
    """Return random queries, keys and values (1, 4, READ, 32), and weights of the output."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(1, 4, READ, 32, generator=generator) for _ in range(4))


def compare(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, weights: torch.Tensor) -> tuple[list[Row], Any]:
    """Compare attention and its gradients with the definition, which forms all angles of all pairs of positions."""
    rows, errors = [], {}
    for kind in BY_POSITION:
        each = scaling(kind, q.shape[-2], q.shape[-1])
        found, seconds = timed(with_gradients, extrapolated_attention, (q, k, v), weights, each)
        defined = with_gradients(by_definition, tuple(x.double() for x in (q, k, v)), weights.double(), each)
        errors[kind] = max(relative(*pair) for pair in zip(found, defined, strict=True))
        answer, best = f"{READ} positions", "definition, float64"
        rows.append(Row(f"{NAMES[kind]}, attention", answer, errors[kind], TOLERANCE, "tolerance", best, seconds))
    return rows, errors


def with_gradients(
    attend: Any, inputs: tuple[torch.Tensor, ...], weights: torch.Tensor, scaling: RotaryScaling
) -> list[torch.Tensor]:
    """Return the output of attention and the gradients of its weighted sum by all inputs."""
    inputs = tuple(x.detach().requires_grad_() for x in inputs)
    out = attend(*inputs, scaling)
    return [out.detach(), *torch.autograd.grad((weights * out).sum(), inputs)]


def by_definition(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scaling: RotaryScaling) -> torch.Tensor:
    """Return attention whose logits turn pairs of coordinates, as complex numbers, by each relative position."""
    P = torch.from_numpy(scaling.position_matrix(q.shape[-2]))
    angles = P.nan_to_num()[..., None] * torch.from_numpy(scaling.inv_freq())
    a, b = (torch.complex(*x.chunk(2, -1)) for x in (q, k))
    turned = torch.einsum("...mp,mnp,...np->...mn", a, torch.polar(torch.ones_like(angles), angles), b.conj())
    logits = turned.real / math.sqrt(q.shape[-1])
    return logits.masked_fill(P.isnan(), -torch.inf).softmax(-1) @ v


def learn(learned: list[Learned], text: Text) -> tuple[list[Row], Learned]:
    """Train a decoder on short texts, and score it on long ones under every method."""
    size = text.size
    with undisturbed():
        model = RotaryDecoder(scaling("none", TRAINED, size.head_dim), width=size.width, depth=size.depth)
        fit(model, text.learned, size)
        tables, seconds = timed(score, model.eval(), text)
    found = Learned(model, text, tables)
    learned[:] = [found]
    (rise, error), (plain, plain_error) = (last_rise(tables[kind]) for kind in ("rerope", "none"))
    answer, best = f"{rise:+.2f} ± {error:.2f} nats", f"RoPE: {plain:+.2f} ± {plain_error:.2f} nats"
    return [Row("ReRoPE, 16 times the length", answer, rise, SHARE * plain, "claim", best, seconds)], found


def fit(model: RotaryDecoder, learned: torch.Tensor, size: Size) -> None:
    """Descend the cross entropy of the next byte, in pieces from anywhere."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=size.rate, betas=(0.9, 0.95), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, size.rate, size.steps, pct_start=0.1)
    within = torch.arange(TRAINED + 1)
    for _ in range(size.steps):
        first = torch.randint(len(learned) - TRAINED, (size.batch, 1))
        tokens = learned[first + within].long()
        loss = cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def score(model: RotaryDecoder, text: Text) -> dict[str, ExtrapolationTable]:
    """Return the losses of the same bytes under every method, with ever more text before them."""
    tables = {}
    for kind in NAMES:

        def logits(tokens: torch.Tensor, kind: str = kind) -> torch.Tensor:
            return model(tokens, scaling=scaling(kind, tokens.shape[1], text.size.head_dim))

        tables[kind] = evaluate_extrapolation(logits, text.scored, CONTEXTS, SEGMENT, batch=16)
    return tables


def last_rise(table: ExtrapolationTable) -> tuple[float, float]:
    """Return by how much the loss in the longest context exceeds that in the shortest, and its standard error."""
    means, errors = table.rise()
    return float(means[-1]), float(errors[-1])


def read(learned: list[Learned], *_: Any) -> tuple[list[Row], Any]:
    """Read a text as a whole, in two parts and byte by byte, and let the decoder continue it."""
    found, rows = learned[0], []
    with undisturbed(), torch.no_grad():
        for kind in BY_POSITION:
            error, seconds = timed(read_in_three_ways, found, kind)
            best = "whole, two parts"
            row = Row(f"{NAMES[kind]}, byte by byte", f"{READ} bytes", error, TOLERANCE, "tolerance", best, seconds)
            rows.append(row)
        written = {kind: continuation(found, kind) for kind in SPOKEN}
    return rows, (found, written, max(row.true_error for row in rows))


def read_in_three_ways(found: Learned, kind: str) -> float:
    """Return by how much logits of parts and of single bytes differ from those of the whole."""
    model, tokens = found.model, found.text.scored[:1, :READ]
    each = scaling(kind, READ, found.text.size.head_dim)
    whole = model(tokens, scaling=each)
    caches = model.caches(scaling=each)
    parts = torch.cat([model.prefill(tokens[:, :CUT], caches), model.prefill(tokens[:, CUT:], caches)], 1)
    caches = model.caches(scaling=each)
    single = torch.stack([model.step(token, caches) for token in tokens.T], 1)
    return max(relative(way, whole) for way in (parts, single))


def continuation(found: Learned, kind: str) -> bytes:
    """Return what the decoder writes after one of the long texts."""
    each = scaling(kind, LONGEST + WRITTEN, found.text.size.head_dim)
    tokens = found.text.scored[:1]
    generator = torch.Generator().manual_seed(0)
    return bytes(found.model.generate(tokens, WRITTEN, scaling=each, generator=generator)[0, LONGEST:].tolist())
