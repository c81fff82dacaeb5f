"""Do the layers learn MNIST as sequences of 784 pixels, in their order and in a random one?"""

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks.datasets import load
from benchmarks.evidence.options import parse
from benchmarks.evidence.report import Target, Task, run_record, store
from benchmarks.evidence.training import Budget, Sequences, train
from lina.torch import SequenceClassifier

# A GPU trains on all images; on a CPU few epochs on a sixth of them show that it learns, and no target is claimed.
MODELS = {
    "cuda": {"width": 128, "depth": 4, "state": 64, "dropout": 0.1},
    "cpu": {"width": 32, "depth": 2, "state": 32, "dropout": 0.0},
}
BUDGETS = {
    "cuda": Budget(epochs=20, batch=50, lr=4e-3, limit_s=600, device="cuda"),
    "cpu": Budget(epochs=6, batch=32, lr=1e-2, limit_s=600, evaluate_every=3),
}
IMAGES = {"cuda": 60_000, "cpu": 10_000}
TARGETS = {"sequential": 0.99, "permuted": 0.975}
TASK = Task(
    "sequential MNIST",
    __doc__,
    "Pixels row by row, or all images in one random order of their pixels. On a GPU 60,000 images, 4 layers of "
    "width 128 and at most 10 minutes; on a CPU the first 10,000 images and 2 layers of width 32, which are far "
    "from what the models can do, so that no target is set there. The test is all 10,000 images.",
    ("accuracy", "largest pole", "wall, s", "CPU, s"),
)


def sequences(part: str, permuted: bool, count: int) -> Sequences:
    """Return the first images as (n, 784, 1) from -1 to 1 with their classes."""
    stored = load("mnist")
    columns = np.random.default_rng(0).permutation(784) if permuted else slice(None)
    pixels = stored[f"x_{part}"][:count].reshape(-1, 784)[:, columns]
    x = torch.tensor(pixels / np.float32(127.5) - 1, dtype=torch.float32)[..., None]
    return Sequences(x, torch.tensor(stored[f"y_{part}"][:count].astype(np.int64)))


def main() -> None:
    """Train the layers in both orders."""
    chosen = parse("sequential_mnist", seeds=1)
    device = chosen.device
    budget = replace(BUDGETS[device], threads=chosen.threads)
    budget = replace(budget, epochs=1) if chosen.quick else budget
    images, tests = (64, 64) if chosen.quick else (IMAGES[device], 10_000)
    for order, bound in TARGETS.items():
        training, test = (
            sequences(*each) for each in (("train", order == "permuted", images), ("test", order == "permuted", tests))
        )
        for layer in chosen.layers:
            for seed in chosen.seeds:
                make = partial(SequenceClassifier, 1, 10, layer=layer, **MODELS[device])
                _, found = train(make, training, test, budget, seed)
                targets = [Target("accuracy", bound)] if device == "cuda" and not chosen.quick else []
                record = run_record(f"{layer.upper()}, {order}, {device}", seed, found, budget, targets)
                store(TASK, record, quick=chosen.quick)


if __name__ == "__main__":
    main()
