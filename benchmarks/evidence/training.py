"""How are the models trained? AdamW, warm-up and cosine, gradient clipping, one seed for everything that is drawn."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lina.ssm import stability_margin
from lina.torch import parameter_groups
from lina.torch.layers.layer import StateSpaceLayer

# Batches whose samples are sorted by length together, so that little is padded and the order stays random.
_POOL = 8


@dataclass(frozen=True)
class Budget:
    """What a run may use; ``limit_s`` seconds end it after the epoch in which they pass.

    They are seconds of CPU time of each thread, which other work on the machine hardly moves, or of wall time on a GPU.
    """

    epochs: int
    batch: int
    lr: float = 4e-3
    state_lr: float | None = None
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip: float = 1.0
    threads: int = 1
    limit_s: float = math.inf
    evaluate_every: int = 1
    device: str = "cpu"


@dataclass(frozen=True)
class Sequences:
    """Samples x (n, L, C) with classes y (n,); of sample i only the first lengths[i] steps count."""

    x: Tensor
    y: Tensor
    lengths: Tensor | None = None

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return samples, classes and lengths of some rows, cut at the longest."""
        if self.lengths is None:
            return self.x[rows], self.y[rows], None
        lengths = self.lengths[rows]
        return self.x[rows, : int(lengths.max())], self.y[rows], lengths

    def to(self, device: str) -> "Sequences":
        """Return the same on a device."""
        moved = None if self.lengths is None else self.lengths.to(device)
        return Sequences(self.x.to(device), self.y.to(device), moved)


class Stopwatch:
    """Wall and CPU time since it was made, and what of them counts for the limit of a budget."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.start = budget, (time.perf_counter(), time.process_time())

    def times(self) -> dict[str, float]:
        """Return the times as they are stored."""
        return {"wall, s": time.perf_counter() - self.start[0], "CPU, s": time.process_time() - self.start[1]}

    def is_late(self) -> bool:
        """Return whether the limit has passed."""
        times = self.times()
        used = times["CPU, s"] / self.budget.threads if self.budget.device == "cpu" else times["wall, s"]
        return used > self.budget.limit_s


def train(
    make_model: Callable[[], nn.Module],
    training: Sequences,
    test: Sequences,
    budget: Budget,
    seed: int,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """Return the trained model and the record of its training; evaluations count in the times."""
    torch.set_num_threads(budget.threads)
    torch.manual_seed(seed)
    model = make_model().to(budget.device)
    training, test = training.to(budget.device), test.to(budget.device)
    generator = torch.Generator().manual_seed(seed)
    steps = budget.epochs * math.ceil(training.y.shape[0] / budget.batch)
    optimizer, schedule = prepare(model, budget, steps)
    watch, accuracies = Stopwatch(budget), {}
    for epoch in range(1, budget.epochs + 1):
        model.train()
        for rows in _shuffled(training, budget.batch, generator):
            x, y, lengths = training.batch(rows)
            x = x if augment is None else augment(x, generator)
            descend(model, nn.functional.cross_entropy(model(x, lengths), y), optimizer, schedule, budget.clip)
        late = watch.is_late()
        if late or epoch == budget.epochs or epoch % budget.evaluate_every == 0:
            accuracies[epoch] = accuracy(model, test, budget.batch)
        if late:
            break
    return model, {
        "accuracy": accuracies[epoch],
        **watch.times(),
        "largest pole": largest_pole(model),
        "epochs run": epoch,
        "accuracy by epoch": accuracies,
    }


def prepare(model: nn.Module, budget: Budget, steps: int) -> tuple[Any, Any]:
    """Return the optimizer, and the schedule of its rate: linear to its height, then half a cosine to zero."""
    groups = parameter_groups(model, budget.lr, state_lr=budget.state_lr, weight_decay=budget.weight_decay)
    optimizer = torch.optim.AdamW(groups)
    rising = max(1, int(budget.warmup * steps))

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def descend(model: nn.Module, loss: Tensor, optimizer: Any, schedule: Any, clip: float) -> None:
    """Take one step; a loss that is not finite ends the run, as nothing after it would mean anything."""
    if not math.isfinite(float(loss.detach())):
        raise FloatingPointError(
            f"the loss must be finite, got {float(loss.detach())}: largest pole {largest_pole(model)}"
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    schedule.step()


def _shuffled(data: Sequences, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the rows of batches in random order, of similar lengths where there are lengths."""
    order = torch.randperm(data.y.shape[0], generator=generator)
    if data.lengths is None:
        yield from order.to(data.y.device).split(batch)
        return
    lengths = data.lengths.cpu()
    batches = [rows for pool in order.split(_POOL * batch) for rows in pool[torch.argsort(lengths[pool])].split(batch)]
    for i in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[i].to(data.y.device)


@torch.no_grad()
def accuracy(model: nn.Module, data: Sequences, batch: int = 256) -> float:
    """Return the share of samples whose class is found."""
    model.eval()
    order = torch.arange(data.y.shape[0]) if data.lengths is None else torch.argsort(data.lengths.cpu())
    right = 0
    for rows in order.to(data.y.device).split(batch):
        x, y, lengths = data.batch(rows)
        right += int((model(x, lengths).argmax(-1) == y).sum())
    return right / data.y.shape[0]


def largest_pole(model: nn.Module) -> float:
    """Return the largest modulus of a pole of the discrete systems in a model: the states decay where it is below 1."""
    layers = [each for each in model.modules() if isinstance(each, StateSpaceLayer)]
    return max((float(1 - torch.as_tensor(stability_margin(each.system())).min()) for each in layers), default=0.0)
