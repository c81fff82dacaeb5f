"""The networks of `upsample_mnist`: the denoisers at 16 x 16, and the classifier whose features judge at 32 x 32."""

import math
import os
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.datasets import load
from lina.diffusion import Schedule, avg_pool, cosine
from lina.torch import EMA, DiffusionLoss, UNet, UViT

SCHEDULE = cosine()
DENOISERS: dict[str, Callable[[], nn.Module]] = {
    "U-Net": lambda: UNet(1, width=32, levels=(1, 2, 2), schedule=SCHEDULE),
    "transformer, learned positions": lambda: UViT(1, 16, width=96, positions="learned", schedule=SCHEDULE),
    "transformer, rotary positions": lambda: UViT(1, 16, width=96, positions="rotary", schedule=SCHEDULE),
}


@dataclass(frozen=True)
class Budget:
    """What a denoiser may use: AdamW, warm-up, half a cosine to zero, the mean of the parameters at the end."""

    steps: int = 1750
    batch: int = 48
    lr: float = 2e-3
    warmup: float = 0.05
    decay: float = 0.995
    clip: float = 1.0
    threads: int = 1


def images(part: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Return images (n, 1, 32, 32) from -1 to 1 with their classes: 28 x 28 pixels and a margin of two."""
    stored = load("mnist")
    pixels = np.pad(stored[f"x_{part}"][:count], ((0, 0), (2, 2), (2, 2)))
    x = torch.from_numpy(pixels / np.float32(127.5) - 1).float()[:, None]
    return x, torch.tensor(stored[f"y_{part}"][:count].astype(np.int64))


def cache_folder(quick: bool) -> Path:
    """Return the folder of trained networks and samples."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "lina" / ("upsample-quick" if quick else "upsample")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def denoiser(name: str, seed: int, budget: Budget, folder: Path) -> tuple[nn.Module, dict[str, Any], Path]:
    """Return a network of DENOISERS, trained unless the cache has it, the record of its training and its folder."""
    key = zlib.crc32(repr((name, seed, budget)).encode())
    path = folder / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}-{key:08x}" / "model.pt"
    path.parent.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    model = DENOISERS[name]().to(memory_format=torch.channels_last)
    if path.exists():
        stored = torch.load(path, weights_only=True)
        model.load_state_dict(stored["model"])
        return model.eval(), stored["record"], path.parent
    low = avg_pool(images("train")[0], 2)
    found, record = train(model, low, budget, seed)
    torch.save({"model": found.state_dict(), "record": record}, path)
    return found, record, path.parent


def train(
    model: nn.Module, x: Tensor, budget: Budget, seed: int, schedule: Schedule = SCHEDULE
) -> tuple[nn.Module, dict[str, Any]]:
    """Return the mean model of a training with v-prediction where the images x are, and its record."""
    torch.set_num_threads(budget.threads)
    generator = torch.Generator(x.device).manual_seed(seed)
    loss, ema, start = DiffusionLoss(schedule, "v"), EMA(model, budget.decay), time.process_time()
    optimizer = torch.optim.AdamW(model.parameters(), budget.lr)
    rising = max(1, int(budget.warmup * budget.steps))
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: _share(k, rising, budget.steps))
    recent = []
    for step in range(budget.steps):
        rows = torch.randint(x.shape[0], (budget.batch,), generator=generator, device=x.device)
        value = loss(model, x[rows], generator=generator)
        if not math.isfinite(float(value.detach())):
            raise FloatingPointError(f"the loss must be finite, got {float(value.detach())} in step {step}")
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), budget.clip)
        optimizer.step()
        rate.step()
        ema.update(model)
        recent = [*recent[-99:], float(value.detach())]
        if step % 100 == 0:
            print(f"step {step}: {sum(recent) / len(recent):.4f}", flush=True)
    record = {
        "loss": sum(recent) / len(recent),
        "CPU, s": time.process_time() - start,
        "parameters": sum(each.numel() for each in model.parameters()),
        "budget": asdict(budget),
    }
    return ema.model, record


def _share(step: int, rising: int, steps: int) -> float:
    """Return the share of the rate: linear to its height, then half a cosine to zero."""
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


class Classifier(nn.Module):
    """Two convolutions and 64 features, for images of 32 x 32."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1)),
            *(nn.ReLU(), nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(512, 64), nn.ReLU()),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes."""
        return self.head(self.body(x))

    @torch.no_grad()
    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the 64 features and the probabilities of the classes."""
        parts = [self.body(each) for each in x.split(500)]
        h = torch.cat(parts)
        return h, self.head(h).softmax(-1)


def classifier(folder: Path, quick: bool) -> tuple[Classifier, float]:
    """Return the classifier and its accuracy on the test images, from the cache if it is there."""
    path = folder / "classifier.pt"
    torch.manual_seed(0)
    model = Classifier()
    if path.exists():
        stored = torch.load(path, weights_only=True)
        model.load_state_dict(stored["model"])
        return model.eval(), stored["accuracy"]
    x, y = images("train", 600 if quick else None)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for _ in range(2):
        for rows in _shuffled(len(y), 100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    x, y = images("test")
    accuracy = float((model.features(x)[1].argmax(-1) == y).float().mean())
    torch.save({"model": model.state_dict(), "accuracy": accuracy}, path)
    return model.eval(), accuracy


def _shuffled(count: int, batch: int) -> Iterator[Tensor]:
    yield from torch.randperm(count, generator=torch.Generator().manual_seed(0)).split(batch)
