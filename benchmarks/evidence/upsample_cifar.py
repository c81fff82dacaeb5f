"""Does a model of small photographs at 16 x 16 draw them at 32 x 32, does an early end of guidance hurt, and alignment?

``python -m benchmarks.evidence.upsample_cifar [--device cuda] [--quick]`` reads cifar10_jpeg.npz from the folder that
LINA_DATA names, trains by the clock, nine minutes in all on one H200, and writes
benchmarks/results/upsample-cifar-DATE.json, .md and .png.
"""

import argparse
import copy
import io
import os
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.datasets import load
from benchmarks.evidence.upsample_cifar_page import BLOCKS, Judge, write
from benchmarks.evidence.upsample_mnist import HIGH, LOW, SCHEDULE, STEPS, Model, draw, guided
from benchmarks.evidence.upsample_models import Budget, Classifier, train
from lina.diffusion import Schedule, align_snr, avg_pool, nearest_upsample
from lina.torch import UNet

STRENGTHS, ENDS, OPERATORS = (0.0, 0.1, 0.2, 0.3, 0.5), (1.0, 0.8, 0.6), ("box", "dct")
REFERENCE, DRAWN_AT_ONCE = 5000, 1000
SCHEDULES = {"cosine": SCHEDULE, "cosine, aligned": align_snr(SCHEDULE, LOW, HIGH)}


@dataclass(frozen=True)
class Plan:
    """How long each part may take, in seconds, and how large it is; ``whole`` bounds all of them."""

    whole: float = 540.0
    denoiser: float = 150.0
    samples: float = 100.0
    each_schedule: float = 75.0
    epochs: int = 12
    images: int | None = None
    count: int = REFERENCE
    width: int = 96
    batch: int = 1024


QUICK = Plan(120, 8, 5, 3, 1, 400, 40, 16, 16)


def photographs(part: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Return images (n, 3, 32, 32) from -1 to 1 with their classes, in random order: the files lie class by class."""
    from PIL import Image

    stored = load("cifar10_jpeg")
    chosen = np.flatnonzero(stored["is_test"] == (part == "test"))
    chosen = np.random.default_rng(0).permutation(chosen)[:count]
    files, offsets = stored["jpeg"], stored["offsets"]
    pixels = [np.asarray(Image.open(io.BytesIO(files[offsets[i] : offsets[i + 1]].tobytes()))) for i in chosen]
    x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(), torch.from_numpy(stored["label"][chosen].astype(np.int64))


class HalfPrecision(nn.Module):
    """A network whose products are in bfloat16, its parameters and its results not; convolutions have channels last."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, t: Any) -> Tensor:
        """Return the prediction for images x at times t in single precision."""
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.model(x.contiguous(memory_format=torch.channels_last), t).float()


def network(plan: Plan, schedule: Schedule, device: str) -> nn.Module:
    """Return a new U-Net without attention, of 11 million parameters at the full width."""
    torch.manual_seed(0)
    return HalfPrecision(UNet(3, width=plan.width, levels=(1, 2, 2), blocks=2, schedule=schedule)).to(device)


class PhotoClassifier(Classifier):
    """Three pairs of convolutions and 128 features, for photographs of 32 x 32."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        layers: list[nn.Module] = []
        before = 3
        for wide in (64, 128, 256):
            for _ in range(2):
                layers += [nn.Conv2d(before, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU()]
                before = wide
            layers.append(nn.MaxPool2d(2))
        pooled = nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU()
        self.body, self.head = nn.Sequential(*layers, *pooled), nn.Linear(128, 10)


def trained_classifier(x: Tensor, y: Tensor, plan: Plan) -> PhotoClassifier:
    """Return a classifier of real images at 32 x 32, trained with mirrored ones."""
    torch.manual_seed(0)
    model = PhotoClassifier().to(x.device)
    batch = 512 if len(x) > 5000 else 50
    steps = plan.epochs * (len(x) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, max(2, steps))
    for _ in range(plan.epochs):
        for rows in torch.randperm(len(x), device=x.device)[: len(x) // batch * batch].split(batch):
            mirrored = torch.rand(batch, 1, 1, 1, device=x.device) < 0.5
            images = torch.where(mirrored, x[rows].flip(-1), x[rows])
            with torch.autocast(x.device.type, torch.bfloat16):
                loss = nn.functional.cross_entropy(model(images).float(), y[rows], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
    return model.eval()


def wait(device: str) -> float:
    """Return the time, once the device has finished."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def steps_within(seconds: float, model: nn.Module, x: Tensor, budget: Budget) -> int:
    """Return how many steps of training take so long, from ten steps of a copy."""
    trial, device = copy.deepcopy(model), x.device.type
    train(trial, x, replace(budget, steps=3), 0)  # chooses algorithms and allocates
    start = wait(device)
    train(trial, x, replace(budget, steps=10), 0)
    return max(5, int(seconds * 10 / (wait(device) - start)))


@torch.no_grad()
def drawn(model: Model, noise: Tensor, schedule: Schedule = SCHEDULE) -> tuple[Tensor, float]:
    """Return images of some noise, and the seconds that they took."""
    start = wait(noise.device.type)
    found = torch.cat([draw(model, each, STEPS, schedule) for each in noise.split(DRAWN_AT_ONCE)])
    return found, wait(noise.device.type) - start


def variants() -> list[tuple[str, dict[str, Any]]]:
    """Return names and options of guidance, those that matter most first."""
    found = []
    for resample in OPERATORS:
        for eta in ENDS:
            for w in STRENGTHS:
                name = f"guided, w = {w:g}, eta = {eta:g}, {resample}"
                found.append((name, {"w": w, "eta": eta, "resample": resample}))
    return found


def noises(count: int, device: str) -> dict[int, Tensor]:
    """Return the noise of both sizes, the same for all variants and devices."""
    generator = torch.Generator().manual_seed(1000)
    return {size: torch.randn(count, 3, size, size, generator=generator).to(device) for size in (LOW, HIGH)}


def affordable(model: Model, plan: Plan, device: str) -> int:
    """Return how many samples of each variant the plan has time for: a multiple of what is judged in blocks."""
    noise = noises(min(plan.count, DRAWN_AT_ONCE), device)[HIGH]
    drawn(model, noise[:BLOCKS])
    each = drawn(guided(model), noise)[1] / len(noise)
    fits = int(plan.samples / (each * (len(variants()) + 1)))
    return max(4 * BLOCKS, min(plan.count, fits) // BLOCKS * BLOCKS)


def guidance(judge: Judge, x: Tensor, plan: Plan, budget: Budget) -> dict[str, Any]:
    """Train at 16 x 16, draw every variant at 32 x 32, and return the record of the training."""
    device, low = x.device.type, avg_pool(x, HIGH // LOW)
    model = network(plan, SCHEDULE, device)
    steps = steps_within(plan.denoiser, model, low, budget)
    mean, record = train(model, low, replace(budget, steps=steps, warmup=min(0.05, 500 / steps)), 0)
    count = affordable(mean, plan, device)
    judge.floor(count)
    noise = noises(count, device)
    images, seconds = drawn(mean, noise[LOW])
    judge.add("nearest", nearest_upsample(images, 2), seconds)
    judge.add("naive", *drawn(mean, noise[HIGH]))
    for name, options in variants():
        judge.add(name, *drawn(guided(mean, **options), noise[HIGH]), options)
    return {"network": "at 16 x 16", **record}


def alignment(judge: Judge, x: Tensor, plan: Plan, budget: Budget, seconds: float) -> list[dict[str, Any]]:
    """Train at 32 x 32 with and without alignment, as many steps, and return the records."""
    device, records, steps = x.device.type, [], None
    noise = noises(judge.count, device)[HIGH]
    for name, schedule in SCHEDULES.items():
        model = network(plan, schedule, device)
        steps = steps or steps_within(seconds, model, x, budget)
        used = replace(budget, steps=steps, decay=min(budget.decay, 1 - 10 / (steps + 10)))
        mean, record = train(model, x, used, 0, schedule)
        judge.add(f"trained at 32 x 32, {name}", *drawn(mean, noise, schedule))
        records.append({"network": f"at 32 x 32, {name}", **record})
    return records


def main() -> None:
    """Train, draw, measure."""
    parser = argparse.ArgumentParser(prog="benchmarks.evidence.upsample_cifar", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="a few steps, few images: checks that everything runs")
    chosen = parser.parse_args()
    plan, start = QUICK if chosen.quick else Plan(), time.perf_counter()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs a CUDA device that torch finds, and there is none")
    if chosen.device == "cpu" and not chosen.quick:
        parser.error("--device must be cuda without --quick: the networks take hours on a CPU, got cpu")
    threads = torch.get_num_threads() if chosen.quick else os.cpu_count() or 1
    torch.backends.cudnn.benchmark = True  # shapes are few and stay
    budget = Budget(batch=plan.batch, lr=1e-3, decay=0.999, threads=threads)
    x, y = (each.to(chosen.device) for each in photographs("train", plan.images))
    network_of_features = trained_classifier(x, y, plan)
    real, classes = (each.to(chosen.device) for each in photographs("test", plan.images))
    judge = Judge(network_of_features, real, classes, min(REFERENCE, len(real) // 2))
    records = [guidance(judge, x, plan, budget)]
    write(judge, records, device=chosen.device, quick=chosen.quick)
    left = plan.whole - (time.perf_counter() - start)
    seconds = min(plan.each_schedule, 0.4 * left)  # the rest draws, measures and writes
    if seconds > 0:
        records += alignment(judge, x, plan, budget, seconds)
    write(judge, records, device=chosen.device, quick=chosen.quick)
    print(f"{time.perf_counter() - start:.0f} s in all", flush=True)


if __name__ == "__main__":
    main()
