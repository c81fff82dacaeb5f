"""Do S4, S4D and RTF learn images of digits as sequences of 64 pixels, in their order and in a random one?"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from benchmarks.evidence.options import parse
from benchmarks.evidence.report import Target, Task, run_record, store
from benchmarks.evidence.training import Budget, Sequences, train
from lina.torch import SequenceClassifier

TRAINING = 1347
MODEL = {"width": 64, "depth": 3, "dropout": 0.1}
STATE = {"s4": 16, "s4d": 16, "rtf": 32}
BUDGET = Budget(epochs=24, batch=50, lr=1e-2, limit_s=180, evaluate_every=6)
TARGETS = {"permuted": 0.94, "sequential": 0.97}
TASK = Task(
    "digits",
    __doc__,
    "The 1797 digits of scikit-learn, 8 x 8 pixels row by row, 1347 for training and 450 for the test, one split "
    "for all runs; permuted: all images in one random order of their pixels. Models: 3 layers of width 64, mean "
    "pooling, state 16 (RTF: 32). The largest pole is the largest modulus over all layers and channels: states "
    "decay where it is below 1. RTF has the constraint montel, unless the row says another.",
    ("accuracy", "largest pole", "wall, s", "CPU, s"),
)


def sequences(permuted: bool) -> tuple[Sequences, Sequences]:
    """Return training and test samples, pixels from -1 to 1."""
    pixels, classes = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    rows = rng.permutation(classes.size)
    columns = rng.permutation(pixels.shape[1]) if permuted else slice(None)
    x = torch.tensor(pixels[:, columns] / 8 - 1, dtype=torch.float32)[..., None]
    y = torch.tensor(classes)
    first, last = torch.tensor(rows[:TRAINING]), torch.tensor(rows[TRAINING:])
    return Sequences(x[first], y[first]), Sequences(x[last], y[last])


def run(layer: str, order: str, seed: int, budget: Budget, options: dict[str, Any], quick: bool) -> None:
    """Train and store one model."""
    training, test = sequences(order == "permuted")
    if quick:
        training, test = (Sequences(each.x[:100], each.y[:100]) for each in (training, test))
    _, found = train(
        partial(SequenceClassifier, 1, 10, layer=layer, state=STATE[layer], **MODEL, **options),
        training,
        test,
        budget,
        seed,
    )
    kind = "" if "constraint" not in options else f", {options['constraint'] or 'no constraint'}"
    targets = [] if kind or quick else [Target("accuracy", TARGETS[order]), Target("CPU, s", 180, False, True)]
    store(TASK, run_record(f"{layer.upper()}{kind}, {order}", seed, found, budget, targets), quick=quick)


def main() -> None:
    """Train every layer in both orders with every seed, or RTF with the other constraints."""
    chosen = parse("digits", flags={"constraints": "RTF with another constraint and with none"})
    budget = replace(BUDGET, threads=chosen.threads, device=chosen.device, epochs=2 if chosen.quick else BUDGET.epochs)
    if chosen.constraints:
        for constraint in ("reflection", None):
            for seed in chosen.seeds:
                run("rtf", "sequential", seed, budget, {"constraint": constraint}, chosen.quick)
        return
    for seed in chosen.seeds:
        for order in TARGETS:
            for layer in chosen.layers:
                run(layer, order, seed, budget, {}, chosen.quick)


if __name__ == "__main__":
    main()
