"""Does one linear layer learn to repeat its input 250 steps later?"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.evidence.options import parse
from benchmarks.evidence.report import Target, Task, run_record, store
from benchmarks.evidence.training import Budget, Stopwatch, descend, largest_pole, prepare
from lina.torch import RTF, S4, S4D

LENGTH, LAG = 1000, 250
BUDGET = Budget(epochs=1, batch=8, lr=3e-2, weight_decay=0.0, limit_s=120)
STEPS = 1500
# Cycles per sample up to which the narrow signal reaches: the last 250 samples of it have 25 degrees of freedom.
BAND = 0.05
TASK = Task(
    "delayed copy",
    __doc__,
    f"Sequences of {LENGTH} samples of Gaussian noise, new ones in every step and for the test: white noise, or "
    f"noise of at most {BAND} cycles per sample, variance 1. One layer between two linear maps, nothing that is not "
    f"linear; the error is the mean square from sample {LAG} on, over the variance. RTF with more states than the "
    "lag is exact with one numerator coefficient; a window of Legendre polynomials (S4 with init legt) holds slow "
    "signals only.",
    ("relative error", "largest pole", "wall, s", "CPU, s"),
)


class LinearLayer(nn.Module):
    """One layer of some channels between the scalar input and the scalar output."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.spread = nn.Linear(1, layer.channels, bias=False)
        self.layer = layer
        self.gather = nn.Linear(layer.channels, 1, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        """Return the answer (batch, length) to u (batch, length)."""
        return self.gather(self.layer(self.spread(u[..., None])))[..., 0]


def layers() -> dict[str, tuple[Any, str]]:
    """Return the makers of layers and the signals that they are given.

    Steps of 1 / 250 to 1 / 500 make the window of "legt" as long as the lag, or twice that.
    """
    window = {"dt_min": 1 / (2 * LAG), "dt_max": 1 / LAG}
    return {
        "rtf": (lambda: RTF(1, state=LAG + 6), "white"),
        "s4": (lambda: S4(4, state=128, init="legt", **window), "narrow"),
        "s4d": (lambda: S4D(4, state=128, init="lin", **window), "narrow"),
    }


def noise(signal: str, batch: int, generator: torch.Generator, device: str) -> Tensor:
    """Return noise of variance 1, white or up to the band."""
    u = torch.randn(batch, LENGTH, generator=generator)
    if signal == "narrow":
        spectrum = torch.fft.rfft(u)
        spectrum[:, int(BAND * LENGTH) + 1 :] = 0
        u = torch.fft.irfft(spectrum, n=LENGTH) / (2 * BAND) ** 0.5
    return u.to(device)


def squared_error(model: nn.Module, u: Tensor) -> Tensor:
    """Return the mean square of what is wrong, from the lag on."""
    return (model(u)[:, LAG:] - u[:, :-LAG]).square().mean()


def fit(model: nn.Module, signal: str, budget: Budget, steps: int, seed: int) -> int:
    """Train on new noise in every step, and return the number of steps that fit into the time."""
    generator = torch.Generator().manual_seed(seed)
    optimizer, schedule = prepare(model, budget, steps)
    watch, done = Stopwatch(budget), 0
    while done < steps and not watch.is_late():
        u = noise(signal, budget.batch, generator, budget.device)
        descend(model, squared_error(model, u), optimizer, schedule, budget.clip)
        done += 1
    return done


def run(layer: str, seed: int, budget: Budget, steps: int, quick: bool) -> None:
    """Train and store one model."""
    torch.set_num_threads(budget.threads)
    torch.manual_seed(seed)
    make, signal = layers()[layer]
    model = LinearLayer(make()).to(budget.device)
    watch = Stopwatch(budget)
    done = fit(model, signal, budget, steps, seed)
    found = watch.times()
    test = noise(signal, 32, torch.Generator().manual_seed(10_000 + seed), budget.device)
    with torch.no_grad():
        found["relative error"] = float(squared_error(model, test) / test.var())
    found["largest pole"] = largest_pole(model)
    targets = [] if quick else [Target("relative error", 1e-3, False), Target("CPU, s", 120, False, True)]
    used = {"steps": done, **{key: getattr(budget, key) for key in ("batch", "lr", "clip", "threads", "limit_s")}}
    store(TASK, run_record(f"{layer.upper()}, {signal} noise", seed, found, used, targets), quick=quick)


def main() -> None:
    """Train every layer with every seed."""
    chosen = parse("delayed_copy")
    budget = replace(BUDGET, threads=chosen.threads, device=chosen.device)
    for layer in chosen.layers:
        for seed in chosen.seeds:
            run(layer, seed, budget, 3 if chosen.quick else STEPS, chosen.quick)


if __name__ == "__main__":
    main()
