"""The chapter on request: two networks learn digits as sequences of pixels, and then read them pixel by pixel."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from lina._tour.chapter import Chapter, Figure, Part, Row, timed
from lina.torch import SequenceClassifier

INTRO = (
    "A state-space layer is a filter for each of its channels, the parameters of which are learned. It can be run in "
    "three ways: as a convolution over a whole sequence, which is how it is trained; in parts; and sample by sample, "
    "with a state that takes in what comes and never grows. Two networks learn to read handwritten digits from a "
    "stream of 64 pixels, row by row, without being told that there are rows."
)
ERRORS = (
    "Poles are measured by their modulus; differences of logits and of states are relative to the largest of them. A "
    "tolerance is no bound: it was fixed beforehand, and the tour fails where a difference exceeds it."
)

NAMES = {"s4d": "S4D", "rtf": "RTF"}
LAYERS: dict[str, dict[str, Any]] = {"s4d": {"state": 16, "dt_min": 1e-2}, "rtf": {"state": 32}}
STATE_LR = {"s4d": 4e-3, "rtf": 1e-2}
LR = 2e-2
WIDTH, DEPTH, CLASSES = 32, 2, 10
EPOCHS, BATCH = 16, 32
LENGTH = 64
LEAST = 8  # samples in the shortest beginning that is trained on
CUT = 40  # where a sequence is parted
TOLERANCE = math.nextafter(1e-5, 0)  # the float below, which rounded up is 1e-5


@dataclass
class Trained:
    """A network with the taps of its layers before and after every epoch, and the margin of its poles."""

    model: SequenceClassifier
    frames: list[list[np.ndarray]]
    poles: list[np.ndarray]
    margin: float


@dataclass
class Answers:
    """What a network says of the test sequences, as a whole and after every sample."""

    probabilities: np.ndarray
    right: np.ndarray
    whole: float
    difference: float
    state_difference: float
    seconds: float


def chapter() -> Chapter:
    """Return the chapter, not yet played; its last part judges the networks that the others train."""
    trained: dict[str, Trained] = {}
    parts = [
        Part(f"training {name}", made_waves, partial(train, kind, trained), digits, partial(draw_training, kind))
        for kind, name in NAMES.items()
    ]
    parts.append(Part("reading sample by sample", made_waves, partial(stream, trained), digits, draw_stream))
    return Chapter("Layers that learn", INTRO, parts, ERRORS)


def draw_training(kind: str, found: Any) -> list[Figure]:
    """Return the figure of the filters while they are learned."""
    from lina._tour import models_figures

    return [models_figures.training_figure(kind, found)]


def draw_stream(found: Any) -> list[Figure]:
    """Return the figures of the stream and of the poles."""
    from lina._tour import models_figures

    return [models_figures.stream_figure(found), models_figures.poles_figure(found)]


def digits() -> tuple[np.ndarray, ...]:
    """Return 1797 digits as sequences of 64 pixels, (n, 64), and what they are: for training, and for the test."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return split(data.data, data.target)


def made_waves() -> tuple[np.ndarray, ...]:
    """Return waves of three frequencies in noise, in the same form."""
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    phase = rng.uniform(0, 2 * np.pi, (300, 1))
    waves = np.sin(2 * np.pi * (y[:, None] + 1) * np.arange(LENGTH) / 16 + phase)
    return split(waves + 0.3 * rng.standard_normal(waves.shape), y)


def split(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Part samples in random order, a quarter for the test, and scale all by mean and spread of the others."""
    order = np.random.default_rng(0).permutation(len(x))
    test, training = np.split(order, [len(x) // 4])
    x = (x - x[training].mean()) / x[training].std()
    return x[training].astype("float32"), y[training], x[test].astype("float32"), y[test]


def train(
    kind: str, trained: dict[str, Trained], x: np.ndarray, y: np.ndarray, *_: np.ndarray
) -> tuple[list[Row], Trained]:
    """Train a network of two layers on sequences and beginnings of them, and look at its poles."""
    with undisturbed():
        model = SequenceClassifier(1, CLASSES, layer=kind, width=WIDTH, depth=DEPTH, **LAYERS[kind])
        frames = [taps(model)]
        fit(model, kind, torch.from_numpy(x)[..., None], torch.from_numpy(y), lambda: frames.append(taps(model)))
    poles = [poles_of(kind, block.layer) for block in model.blocks]
    margins, seconds = timed(lambda: [block.layer.check_stability("ignore") for block in model.blocks])
    margin = min(float(each.min()) for each in margins)
    largest = max(float(np.abs(each).max()) for each in poles)
    question, answer = f"{NAMES[kind]}, largest pole", f"{sum(map(np.size, poles)):,} poles"
    bound = 1.0 if margin > 0 else 0.0  # without a proof the row fails
    trained[kind] = Trained(model, frames, poles, margin)
    return [Row(question, answer, largest, bound, "rigorous", f"margin: {margin:.4f}", seconds)], trained[kind]


def fit(
    model: SequenceClassifier, kind: str, x: torch.Tensor, y: torch.Tensor, after_epoch: Callable[[], None]
) -> None:
    """Descend the cross entropy: half of each batch are whole sequences, half are beginnings of random lengths."""
    groups = model.parameter_groups(LR, state_lr=STATE_LR[kind], weight_decay=0.01)
    optimizer = torch.optim.AdamW(groups)
    steps = EPOCHS * -(-len(x) // BATCH)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            lengths = torch.randint(LEAST, LENGTH + 1, (len(rows),))
            lengths[: len(rows) // 2] = LENGTH
            loss = cross_entropy(model(x[rows], lengths), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        after_epoch()


def stream(trained: dict[str, Trained], *data: np.ndarray) -> tuple[list[Row], dict[str, Any]]:
    """Give the test sequences to the networks sample by sample, and compare with the other ways to run them."""
    x, y = data[2:]
    rows, answers = [], {}
    for kind, name in NAMES.items():
        with undisturbed(), torch.no_grad():
            found = ask(trained[kind].model, torch.from_numpy(x)[..., None], y)
        answers[kind] = found
        answer, best = f"{100 * found.right[-1]:.1f} % right", f"as a whole: {100 * found.whole:.1f} %"
        question = f"{name}, sample by sample"
        rows.append(Row(question, answer, found.difference, TOLERANCE, "tolerance", best, found.seconds))
        answer = f"{state_numbers(trained[kind].model):,} numbers"
        question, best = f"{name}, state at the end", "from all samples at once"
        rows.append(Row(question, answer, found.state_difference, TOLERANCE, "tolerance", best, found.seconds))
    return rows, {"x": x, "y": y, "answers": answers, "trained": trained}


def ask(model: SequenceClassifier, x: torch.Tensor, y: np.ndarray) -> Answers:
    """Return what a network says sample by sample, and the largest differences from the other ways to run it."""
    (said, state), seconds = timed(step_through, model, x)
    whole = model(x)
    at_once, prefilled = model.prefill(x)
    in_parts = model.prefill(x[:, CUT:], model.prefill(x[:, :CUT])[1])[0]
    right = (said.argmax(-1).numpy() == y).mean(-1)
    difference = max(relative(each, whole) for each in (said[-1], at_once, in_parts))
    states = max(relative(*pair) for pair in zip(state.blocks, prefilled.blocks, strict=True))
    return Answers(
        said.softmax(-1).numpy(), right, float((whole.argmax(-1).numpy() == y).mean()), difference, states, seconds
    )


def step_through(model: SequenceClassifier, x: torch.Tensor) -> tuple[torch.Tensor, Any]:
    """Return the logits (length, batch, classes) after every sample, and the state after the last one."""
    state, logits = model.initial_state(len(x)), []
    for t in range(x.shape[1]):
        each, state = model.step(x[:, t], state)
        logits.append(each)
    return torch.stack(logits), state


def relative(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the largest difference over the largest modulus."""
    return float((x - y).abs().max() / y.abs().max())


def state_numbers(model: SequenceClassifier) -> int:
    """Return how many real numbers a network carries from one sample of a sequence to the next."""
    state = model.initial_state(1)
    return sum(each.numel() * (1 + each.is_complex()) for each in (*state.blocks, state.pooled))


def taps(model: SequenceClassifier) -> list[np.ndarray]:
    """Return the filters (channels, LENGTH) of the layers."""
    with torch.no_grad():
        return [block.layer.kernel(LENGTH).numpy() for block in model.blocks]


def poles_of(kind: str, layer: Any) -> np.ndarray:
    """Return the poles of all channels by numpy, of conjugate pairs the one in the upper half plane."""
    with torch.no_grad():
        if kind == "s4d":
            Lambda, _, _, dt = (each.numpy().astype(complex) for each in layer.continuous())
            poles = np.exp(Lambda * dt[:, None]).ravel()
            return np.where(poles.imag < 0, poles.conj(), poles)
        a = layer.fraction()[0].numpy().astype(float)
    poles = np.concatenate([np.roots([1.0, *row]) for row in a])
    return poles[poles.imag >= 0]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Draw from one seed, on one thread, and leave the generator and the threads of torch as they were.

    A network as small as this is faster on one thread, and many times so on a busy machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
    finally:
        torch.set_num_threads(threads)
