"""Are spoken digits recognised from raw sound, also while they are being spoken?"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.datasets import load
from benchmarks.evidence.options import parse
from benchmarks.evidence.report import Target, Task, run_record, store
from benchmarks.evidence.training import Budget, Sequences, train
from lina.torch import SequenceClassifier

# Samples that one step of the model reads: 2 ms of sound, without overlap, so that a stream can be read as it comes.
FRAME = 16
LONGEST = 8192
SHARES = (0.25, 0.5, 0.75, 1.0)
MODEL = {"width": 64, "depth": 4, "state": 64, "dropout": 0.1}
BUDGET = Budget(epochs=16, batch=32, lr=8e-3, limit_s=1500, evaluate_every=4)
TASK = Task(
    "spoken digits",
    __doc__,
    "Free Spoken Digit Dataset, 3000 recordings at 8 kHz by six speakers; takes 0 to 4 are the test (300), the "
    f"others train (2700), all cut at {LONGEST} samples. The samples x in [-1, 1] are compressed to sign(x) log(1 + "
    f"255 |x|) / log 256; a step of the model reads {FRAME} of them, not transformed, by the linear map it begins "
    "with, so that it is a convolution of that stride. In training the sign of a recording is drawn. Streaming: the "
    "trained model hears the test recordings in parts, by prefill from the state after the part before, and answers "
    "after every part.",
    ("accuracy", *(f"accuracy, {share:.0%} heard" for share in SHARES), "largest pole", "wall, s", "CPU, s"),
)


def recordings(test: bool) -> Sequences:
    """Return frames (n, steps, FRAME), the digits, and the numbers of frames; the rest is silence."""
    stored = load("fsdd")
    rows = np.flatnonzero((stored["take"] < 5) == test)
    offsets = stored["offsets"]
    frames = np.zeros((rows.size, LONGEST), dtype=np.float32)
    lengths = np.minimum(offsets[rows + 1] - offsets[rows], LONGEST)
    for frame, row, length in zip(frames, rows, lengths, strict=True):
        x = stored["audio"][offsets[row] : offsets[row] + length] / 2**15
        frame[:length] = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
    classes = torch.tensor(stored["digit"][rows].astype(np.int64))
    x = torch.from_numpy(frames).reshape(rows.size, -1, FRAME)
    return Sequences(x, classes, torch.tensor(-(-lengths // FRAME)))


def either_sign(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return recordings with signs that are drawn: a microphone has no preferred one."""
    signs = torch.randint(0, 2, (x.shape[0], 1, 1), generator=generator) * 2 - 1
    return x * signs.to(x)


@torch.no_grad()
def while_spoken(model: Any, test: Sequences) -> dict[str, float]:
    """Return the accuracies after shares of every recording, heard one part after the other."""
    model.eval()
    silence, right = model.initial_state(1), dict.fromkeys(SHARES, 0)
    for x, y, length in zip(test.x, test.y, test.lengths.tolist(), strict=True):
        state, heard = silence, 0
        for share in SHARES:
            until = max(heard + 1, round(share * length))
            logits, state = model.prefill(x[None, heard:until], state)
            right[share] += int(logits.argmax(-1) == y)
            heard = until
    return {f"accuracy, {share:.0%} heard": count / test.y.shape[0] for share, count in right.items()}


def main() -> None:
    """Train the layers, and let the trained models hear the test recordings as a stream."""
    chosen = parse("spoken_digits", seeds=1)
    budget = replace(BUDGET, threads=chosen.threads, device=chosen.device, epochs=1 if chosen.quick else BUDGET.epochs)
    training, test = recordings(False), recordings(True)
    if chosen.quick:
        training, test = (Sequences(each.x[:64], each.y[:64], each.lengths[:64]) for each in (training, test))
    for layer in chosen.layers:
        for seed in chosen.seeds:
            make = partial(SequenceClassifier, FRAME, 10, layer=layer, **MODEL)
            model, found = train(make, training, test, budget, seed, either_sign)
            found |= while_spoken(model, test.to(budget.device))
            targets = [] if chosen.quick else [Target("accuracy", 0.9), Target("CPU, s", 1500, False, True)]
            record = run_record(layer.upper(), seed, found, budget, targets)
            store(TASK, record, quick=chosen.quick)


if __name__ == "__main__":
    main()
