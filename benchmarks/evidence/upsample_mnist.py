"""Does a model that was trained at 16 x 16 draw digits at 32 x 32, with upsample guidance and without?

``python -m benchmarks.evidence.upsample_mnist [--seeds 3] [--transformer] [--page] [--quick]`` trains what is missing
in the cache of the user, draws what has not been drawn, and writes benchmarks/results/upsample-DATE.json, .md and .png.
``--transformer`` does so with transformers, one seed of each; ``--page`` only measures what is there.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.evidence.upsample_models import SCHEDULE, Budget, cache_folder, denoiser
from benchmarks.evidence.upsample_page import write
from lina.diffusion import Schedule, convert, nearest_upsample, sample, upsample_guidance
from lina.rope import RotaryScaling

LOW, HIGH, STEPS, BATCH = 16, 32, 20, 64
COUNT = {True: 640, False: 320}  # of the U-Net, of transformers, which are slower and fail by far more than the noise
Model = Callable[..., Tensor]


def guided(model: Model, w: float = 0.2, **options: Any) -> Model:
    """Return the model under guidance to twice the size."""
    return upsample_guidance(model, SCHEDULE, 2, w, prediction="v", **options)


def without_tau(model: Model) -> Model:
    """Return guidance at w = 0 whose call at the low resolution has the time of the high one, as a model of v."""

    def data_of(x: Tensor, t: float) -> Tensor:
        t = at_high.setdefault("t", t)
        return convert(model(x, t), x, *SCHEDULE.alpha_sigma(t), "v", "x0")

    at_high: dict[str, float] = {}
    of_data = upsample_guidance(data_of, SCHEDULE, 2, 0.0, prediction="x0")

    def called(x: Tensor, t: float) -> Tensor:
        at_high.clear()
        return convert(of_data(x, t), x, *SCHEDULE.alpha_sigma(t), "x0", "v")

    return called


def rescaled(model: nn.Module, kind: str) -> Model:
    """Return a transformer with its rotary positions scaled by two along both axes."""
    scaling = RotaryScaling(kind, head_dim=model.scaling.head_dim, original_length=LOW // 2, factor=2.0)
    return lambda x, t: model(x, t, scaling=scaling)


FIRST: dict[str, Callable[[nn.Module], Model]] = {
    "naive": lambda model: model,
    "guided, w = 0.2": guided,
    "guided, w = 0": lambda model: guided(model, 0.0),
}
ABLATIONS: dict[str, Callable[[nn.Module], Model]] = {
    "guided, w = 0.5": lambda model: guided(model, 0.5),
    "guided, w = 0, without tau": without_tau,
    "guided, w = 0, eta = 0.6": lambda model: guided(model, 0.0, eta=0.6),
    "guided, w = 0, dct": lambda model: guided(model, 0.0, resample="dct"),
}
ROTARY: dict[str, Callable[[nn.Module], Model]] = {
    "rotary positions interpolated": lambda model: rescaled(model, "linear"),
    "rotary positions by NTK": lambda model: rescaled(model, "ntk"),
    "rotary positions by YaRN": lambda model: rescaled(model, "yarn"),
}


@torch.no_grad()
def drawn(model: Model, size: int, count: int, seed: int) -> dict[str, Any]:
    """Return images (count, 1, size, size) from -1 to 1 of 20 steps of DDIM, and the CPU time that they took."""
    generator = torch.Generator().manual_seed(1000 + seed)
    noise = torch.randn(count, 1, size, size, generator=generator)
    start = time.process_time()
    parts = [draw(model, each) for each in noise.split(BATCH)]
    return {"images": torch.cat(parts), "CPU, s": time.process_time() - start}


def draw(model: Model, noise: Tensor, steps: int = STEPS, schedule: Schedule = SCHEDULE) -> Tensor:
    """Return the images of some noise."""
    return sample(model, noise, schedule, steps, prediction="v", spacing="t", clip=1.0)


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is stored, made where it is not; images as they are shown, in 256 steps."""
    if not path.exists():
        found = make()
        pixels = ((found["images"].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        np.savez_compressed(path, images=pixels.numpy(), cpu=found["CPU, s"])
        print(f"{path.stem}: {found['CPU, s']:.1f} s of CPU", flush=True)
    stored = np.load(path)
    return {"images": torch.from_numpy(stored["images"]).float() / 127.5 - 1, "CPU, s": float(stored["cpu"])}


@torch.no_grad()
def overhead(model: nn.Module) -> float:
    """Return the CPU time of guided samples in units of naive ones, taken in turns, the least of each."""
    noise = torch.randn(BATCH, 1, HIGH, HIGH)
    times: dict[str, list[float]] = {"naive": [], "guided": []}
    for _ in range(5):
        for name, each in (("naive", model), ("guided", guided(model))):
            start = time.process_time()
            draw(each, noise, 3)
            times[name].append(time.process_time() - start)
    return min(times["guided"]) / min(times["naive"])


def variants(name: str, seed: int) -> dict[str, Callable[[nn.Module], Model]]:
    """Return what is drawn at 32 x 32 with a network; ablations with the first seed."""
    if name != "U-Net":
        both = {variant: FIRST[variant] for variant in ("naive", "guided, w = 0.2")}
        return both | (ROTARY if "rotary" in name else {})
    return FIRST | (ABLATIONS if seed == 0 else {})


def run(name: str, seed: int, budget: Budget, quick: bool, only_kept: bool) -> dict[str, Any]:
    """Return the images of a network under every variant, and the record of its training."""
    count, found = 32 if quick else COUNT[name == "U-Net"], {}
    model, training, folder = denoiser(name, seed, budget, cache_folder(quick))
    low = kept(folder / "low.npz", lambda: drawn(model, LOW, count, seed))
    found["nearest"] = {"images": nearest_upsample(low["images"], 2), "CPU, s": low["CPU, s"]}
    for variant, make in variants(name, seed).items():
        path = folder / f"{variant.replace(', ', '-').replace(' ', '')}.npz"
        if path.exists() or not only_kept:
            found[variant] = kept(path, lambda make=make: drawn(make(model), HIGH, count, seed))
    return {"network": name, "seed": seed, "training": training, "samples": found, "overhead": overhead(model)}


def main() -> None:
    """Train, draw, measure."""
    parser = argparse.ArgumentParser(prog="benchmarks.evidence.upsample_mnist", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--transformer", action="store_true", help="transformers too, one seed of each")
    parser.add_argument("--page", action="store_true", help="measure and write what is there, draw nothing")
    parser.add_argument("--quick", action="store_true", help="a few steps, few images: checks that everything runs")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    budget = Budget(threads=chosen.threads)
    budget = replace(budget, steps=3, batch=2) if chosen.quick else budget
    runs = [("U-Net", seed) for seed in range(1 if chosen.quick else chosen.seeds)]
    if chosen.transformer:
        runs += [("transformer, learned positions", 0), ("transformer, rotary positions", 0)]
    done = []
    for name, seed in runs:
        done.append(run(name, seed, budget, chosen.quick, chosen.page))
        write(done, quick=chosen.quick)


if __name__ == "__main__":
    main()
