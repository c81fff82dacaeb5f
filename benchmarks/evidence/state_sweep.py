"""What does a larger state cost in time and memory, beside attention?"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.evidence.options import parse
from benchmarks.evidence.report import Target, Task, run_record, store
from benchmarks.ssm_torch import peak
from lina.torch import RTF, S4, S4D

STATES = (16, 64, 256, 1024)
SHAPES = ((64, 2048, 4), (256, 4096, 1))
TASK = Task(
    "state sweep",
    __doc__,
    "Forward and backward of one layer, float32, by input and parameters; medians of rounds in which all layers and "
    "states take their turn, CPU time, over that of RTF with state 16. Memory: the peak of torch's tensors and "
    "numpy's arrays beside inputs and parameters. Attention is `scaled_dot_product_attention` of 4 causal heads "
    "between two linear maps, and has no state to choose. Spread: the largest time of a layer over its least, over "
    "the states.",
    ("ms", "ratio to RTF 16", "memory, MB", "spread over states"),
)


class Attention(nn.Module):
    """Causal attention of 4 heads between two linear maps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape of x (batch, length, channels)."""
        batch, length, channels = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, 4, channels // 4).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(x.shape))


def layers(channels: int, states: tuple[int, ...]) -> dict[tuple[str, int], nn.Module]:
    """Return what is compared, by name and state; attention has state 0."""
    found: dict[tuple[str, int], nn.Module] = {}
    for name, make in (("RTF", RTF), ("S4", S4), ("S4D", S4D)):
        found |= {(name, state): make(channels, state=state) for state in states}
    return {**found, ("attention", 0): Attention(channels)}


def pass_of(layer: nn.Module, x: Tensor) -> Callable[[], None]:
    """Return the call that is measured."""

    def forward_and_backward() -> None:
        layer.zero_grad(set_to_none=True)
        x.grad = None
        layer(x).square().mean().backward()

    return forward_and_backward


def timed(calls: dict[tuple[str, int], Callable[[], None]], rounds: int) -> dict[tuple[str, int], float]:
    """Return median CPU seconds; the contenders take turns."""
    times: dict[tuple[str, int], list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            start = time.process_time()
            call()
            times[key].append(time.process_time() - start)
    return {key: statistics.median(each) for key, each in times.items()}


def main() -> None:
    """Measure every layer and state at both shapes."""
    chosen = parse("state_sweep", seeds=1, layers=("all",))
    torch.set_num_threads(chosen.threads)
    states, shapes = (STATES[:2], ((8, 128, 2),)) if chosen.quick else (STATES, SHAPES)
    for channels, length, batch in shapes:
        torch.manual_seed(0)
        x = torch.randn(batch, length, channels, requires_grad=True)
        calls = {key: pass_of(layer, x) for key, layer in layers(channels, states).items()}
        for call in calls.values():  # the first call compiles, and keeps tables for the next
            call()
        memory = {key: peak(call) for key, call in calls.items()}
        seconds = timed(calls, 1 if chosen.quick else 5)
        for (name, state), taken in seconds.items():
            family = [each for (other, _), each in seconds.items() if other == name]
            found = {"ms": 1e3 * taken, "ratio to RTF 16": taken / seconds["RTF", states[0]]}
            found |= {"memory, MB": memory[name, state]}
            found |= {"spread over states": max(family) / min(family)} if state else {}
            flat = name == "RTF" and state == states[-1] and not chosen.quick
            targets = [Target("spread over states", 1.15, False)] if flat else []
            label = f"{name}{f' {state}' * (state > 0)}, {channels} channels, L = {length}, batch {batch}"
            store(TASK, run_record(label, 0, found, {"threads": chosen.threads}, targets), quick=chosen.quick)


if __name__ == "__main__":
    main()
