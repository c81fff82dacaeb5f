"""Do idempotent generative networks draw digits, and are they idempotent?

``python -m benchmarks.evidence.idempotent_digits [--seeds 3] [--model NAME] [--quick]`` trains every model for the same
time and writes benchmarks/results/idempotent-DATE.json and .md, one row a model, nothing left out.
"""

import argparse
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmarks.evidence.idempotent_models import MODELS, Budget, Trainer, Turns, perceptron
from benchmarks.evidence.idempotent_page import store
from lina.diffusion.metrics import frechet_distance, kid, precision_recall
from lina.torch import idempotence_report

TRAINING, COMPONENTS, CLASSES = 1200, 20, 10
APPLICATIONS = 20
BASELINES = ("real (floor)", "Gaussian of full covariance")


@cache
def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images and classes for training and for the test, shuffled, pixels from -1 to 1."""
    pixels, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(classes.size)
    x = torch.tensor(pixels[order] / 8 - 1, dtype=torch.float32)
    y = torch.tensor(classes[order])
    return x[:TRAINING], y[:TRAINING], x[TRAINING:], y[TRAINING:]


class Judge:
    """What measures samples: principal components, and a classifier with its last hidden layer as features."""

    def __init__(self) -> None:
        x, y, test, classes = data()
        torch.manual_seed(0)
        self.body, self.head = perceptron(64, 128, 32, last=nn.Tanh()), nn.Linear(32, CLASSES)
        self._train(x, y)
        self.mean = x.mean(0)
        self.components = torch.linalg.svd(x - self.mean, full_matrices=False).Vh[:COMPONENTS].T
        self.test = test
        with torch.no_grad():
            self.accuracy = float((self.classes(test) == classes).float().mean())
            self.frequencies = self._frequencies(test)

    def _train(self, x: Tensor, y: Tensor) -> None:
        optimizer = torch.optim.AdamW([*self.body.parameters(), *self.head.parameters()], lr=3e-3, weight_decay=0.05)
        for _ in range(600):
            rows = torch.randint(len(x), (128,))
            noisy = x[rows] + 0.1 * torch.randn(128, 64)
            optimizer.zero_grad()
            nn.functional.cross_entropy(self.head(self.body(noisy)), y[rows]).backward()
            optimizer.step()

    def classes(self, x: Tensor) -> Tensor:
        """Return the classes that the classifier sees."""
        return self.head(self.body(x)).argmax(1)

    def _frequencies(self, x: Tensor) -> Tensor:
        return torch.bincount(self.classes(x), minlength=CLASSES) / len(x)

    @torch.no_grad()
    def quality(self, samples: Tensor) -> dict[str, float]:
        """Return how far as many samples as there are in the test lie from these."""
        features, reference = self.body(samples).double().numpy(), self.body(self.test).double().numpy()
        projected = ((each - self.mean) @ self.components for each in (self.test, samples))
        precision, recall = precision_recall(reference, features)
        return {
            "FD, PCA": frechet_distance(*(each.double().numpy() for each in projected)),
            "FD, classifier": frechet_distance(reference, features),
            "KID x 1000": 1000 * kid(reference, features),
            "precision": precision,
            "recall": recall,
            "classes off": float((self._frequencies(samples) - self.frequencies).abs().sum() / 2),
            "diversity": float(torch.pdist(samples).mean() / torch.pdist(self.test).mean()),
        }


def baseline(judge: Judge, name: str, seed: int) -> dict[str, Any]:
    """Return the quality of training images, or of draws from their normal distribution."""
    x, n = data()[0], len(judge.test)
    generator = torch.Generator().manual_seed(seed)
    if name == BASELINES[0]:
        return judge.quality(x[torch.randperm(len(x), generator=generator)[:n]])
    factor = torch.linalg.cholesky(torch.cov(x.T) + 1e-6 * torch.eye(64))
    return judge.quality(x.mean(0) + torch.randn(n, 64, generator=generator) @ factor.T)


def judged(judge: Judge, trainer: Trainer, seed: int) -> dict[str, Any]:
    """Return the quality of the samples of a model, and how idempotent it is where it is meant to be."""
    torch.manual_seed(seed)
    with torch.no_grad():
        samples = trainer.sample(len(judge.test))
        found = judge.quality(samples)
        if trainer.idempotent:
            z = trainer.noise(len(judge.test))
            report = idempotence_report(trainer.ema.model, judge.test, z, applications=APPLICATIONS)
            names = ("idempotence", "drift", "reconstruction", "projection", "noise")
            found |= {each: getattr(report, each) for each in names} | {"collapsed": float(report.collapsed)}
            again = judge.quality(trainer.ema.model(samples))
            found |= {"FD, classifier, of G(G(z))": again["FD, classifier"]}
    return found


def main() -> None:
    """Train every model with every seed."""
    parser = argparse.ArgumentParser(prog="benchmarks.evidence.idempotent_digits")
    parser.add_argument("--model", choices=[*BASELINES, *MODELS], help="one of them, all unless given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="half a second each: checks that everything runs")
    chosen = parser.parse_args()
    budget = Budget(cpu_s=0.5) if chosen.quick else Budget()
    torch.set_num_threads(1)
    judge = Judge()
    names = [*BASELINES, *MODELS] if chosen.model is None else [chosen.model]
    for seed in range(1 if chosen.quick else chosen.seeds):
        for name in (each for each in names if each in BASELINES):
            store(name, seed, baseline(judge, name, seed), budget, judge.accuracy, quick=chosen.quick)
        turns = Turns([each for each in names if each in MODELS], data()[0], seed, budget)
        for name, (trainer, taken) in turns.train().items():
            found = judged(judge, trainer, seed) | taken
            store(name, seed, found, budget, judge.accuracy, quick=chosen.quick)


if __name__ == "__main__":
    main()
