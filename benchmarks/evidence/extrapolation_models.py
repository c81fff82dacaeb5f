"""The texts and the trained decoders of `extrapolation`: stored as they go, so that an interruption costs little."""

import hashlib
import math
import os
import sysconfig
import time
import zlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.datasets import load
from lina.rope import RotaryScaling
from lina.torch import RotaryDecoder

TRAINED = 256
HEAD_DIM = 64
# Text of a file of which this share of 256 holds out; by the name, so that it does not depend on what else is there.
_HELD_OUT = 32
_LEFT_OUT = ("test", "tests", "site-packages", "idlelib", "lib2to3", "__pycache__", "ensurepip")


@dataclass(frozen=True)
class Budget:
    """Of one training: Muon for the matrices of the blocks, AdamW for all else, half of the steps to cool down."""

    steps: int = 600
    batch: int = 12
    lr: float = 0.02
    adam_lr: float = 3e-3
    weight_decay: float = 0.01
    warmup: int = 30
    clip: float = 1.0
    threads: int = 1


@dataclass(frozen=True)
class Variant:
    """One kind of model, and the text that it reads."""

    name: str
    text: str = "python"
    model: dict[str, Any] = field(default_factory=dict)
    scaling: dict[str, Any] = field(default_factory=dict)

    def rotary(self, kind: str | None = None, **options: Any) -> RotaryScaling:
        """Return the scaling of training, or another one with its logit scale unless that is among the options."""
        kept = {key: self.scaling[key] for key in ("logit_scale",) if key in self.scaling}
        given = self.scaling if kind is None else {**kept, "kind": kind, **options}
        return RotaryScaling(**({"kind": "none", "head_dim": HEAD_DIM, "original_length": TRAINED} | given))


_LOG_N = {"logit_scale": "log_n"}
VARIANTS = {
    each.name: each
    for each in (
        Variant("RoPE"),
        Variant("KeyNorm, log n", model={"key_norm": True}, scaling=_LOG_N),
        Variant("KeyNorm", model={"key_norm": True}),
        Variant("log n", scaling=_LOG_N),
        Variant("KeyNorm, log n, no positions", model={"key_norm": True, "rotary": False}, scaling=_LOG_N),
        Variant("trained with ReRoPE", scaling={"kind": "rerope", "window": TRAINED // 4}),
        Variant("RoPE, tinyshakespeare", text="tinyshakespeare"),
        Variant("KeyNorm, log n, tinyshakespeare", "tinyshakespeare", {"key_norm": True}, _LOG_N),
    )
}


def corpus(name: str, length: int) -> tuple[Tensor, Tensor]:
    """Return the bytes to train on (n,), and held-out texts (texts, length): one from the middle of each file.

    Of "python", the standard library of this interpreter, the CRC-32 of a file's name decides where it belongs; of
    "tinyshakespeare" the last tenth is held out.
    """
    if name == "tinyshakespeare":
        data = load(name)
        split = len(data) * 9 // 10
        held = [data[i : i + length] for i in range(split, len(data) - length + 1, length)]
        return _bytes(data[:split]), torch.stack([_bytes(each) for each in held])
    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(p.relative_to(root) for p in root.rglob("*.py") if not set(p.relative_to(root).parts) & {*_LEFT_OUT})
    training, held = [], []
    for file in files:
        data = (root / file).read_bytes()
        if zlib.crc32(file.as_posix().encode()) % 256 >= _HELD_OUT:
            training.append(data)
        elif len(data) >= length:
            start = (len(data) - length) // 2
            held.append(data[start : start + length])
    return _bytes(b"\n".join(training)), torch.stack([_bytes(each) for each in held])


def _bytes(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def cache_folder(quick: bool) -> Path:
    """Return where the models are kept."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "lina" / f"extrapolation{'-quick' if quick else ''}"


def trained(
    variant: Variant, seed: int, budget: Budget, folder: Path, training: Tensor
) -> tuple[RotaryDecoder, dict[str, Any], Path]:
    """Return the model, the record of its training and its file, from which an interrupted training is continued."""
    torch.set_num_threads(budget.threads)
    torch.manual_seed(seed)
    model = RotaryDecoder(variant.rotary(), **variant.model)
    path = _path(variant, seed, folder)
    run = _Run(model, budget, training, seed, path, _identity(variant, seed, budget, training))
    run.resume()
    run.finish(f"{variant.name}, seed {seed}")
    return model.eval(), {"training loss": run.loss, "CPU, s": run.cpu, "parameters": _size(model)}, path


def has_finished(variant: Variant, seed: int, budget: Budget, folder: Path, training: Tensor) -> bool:
    """Return whether this training has taken all its steps."""
    path = _path(variant, seed, folder)
    if not path.exists():
        return False
    stored = torch.load(path, weights_only=True)
    return stored["step"] == budget.steps and stored["identity"] == _identity(variant, seed, budget, training)


def _identity(variant: Variant, seed: int, budget: Budget, training: Tensor) -> str:
    """Return what tells trainings apart; the number of threads changes their rounding only."""
    budgeted = asdict(replace(budget, threads=1))
    settings = (sorted(variant.model.items()), sorted(variant.scaling.items()), sorted(budgeted.items()))
    return repr((settings, seed, _digest(training)))


def _path(variant: Variant, seed: int, folder: Path) -> Path:
    return folder / f"{variant.name.replace(', ', '-').replace(' ', '_')}-{seed}.pt"


def _digest(training: Tensor) -> str:
    return hashlib.sha256(training.numpy().tobytes()).hexdigest()


def _size(model: RotaryDecoder) -> int:
    return sum(each.numel() for each in model.parameters())


class _Run:
    """A training and its state on disk."""

    def __init__(self, model: RotaryDecoder, budget: Budget, training: Tensor, seed: int, path: Path, identity: str):
        self.model, self.budget, self.training, self.seed = model, budget, training, seed
        self.path, self.identity = path, identity
        matrices = [each for each in model.blocks.parameters() if each.ndim == 2]
        others = [each for each in model.parameters() if not any(each is matrix for matrix in matrices)]
        self.optimizers = (
            torch.optim.Muon(matrices, lr=budget.lr, weight_decay=budget.weight_decay),
            torch.optim.AdamW(others, lr=budget.adam_lr, betas=(0.9, 0.95), weight_decay=budget.weight_decay),
        )
        self.rates = (budget.lr, budget.adam_lr)
        self.step, self.loss, self.cpu = 0, math.nan, 0.0

    def resume(self) -> None:
        """Take over what is stored, if it belongs to the same training."""
        if not self.path.exists():
            return
        stored = torch.load(self.path, weights_only=True)
        if stored["identity"] != self.identity:
            return
        self.model.load_state_dict(stored["model"])
        for optimizer, state in zip(self.optimizers, stored["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.loss, self.cpu = stored["step"], stored["loss"], stored["cpu"]

    def store(self) -> None:
        """Write beside the file and move: what an interruption cut short is never read."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        keys = ("identity", "step", "loss", "cpu")
        states = {"model": self.model.state_dict(), "optimizers": [each.state_dict() for each in self.optimizers]}
        torch.save({key: getattr(self, key) for key in keys} | states, part)
        part.replace(self.path)

    def finish(self, title: str) -> None:
        """Take the steps that are left; a line and a copy on disk every minute."""
        self.model.train()
        since = time.monotonic()
        while self.step < self.budget.steps:
            started = time.process_time()
            loss = self._descend()
            self.step += 1
            self.cpu += time.process_time() - started
            self.loss = loss if math.isnan(self.loss) else 0.95 * self.loss + 0.05 * loss
            if time.monotonic() - since > 60 or self.step == self.budget.steps:
                self.store()
                since = time.monotonic()
                print(f"{title}: step {self.step}, loss {self.loss:.3f}, CPU {self.cpu:.0f} s", flush=True)

    def _descend(self) -> float:
        budget = self.budget
        # of the step alone, so that a training that was interrupted sees what it would have seen
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.step)
        starts = torch.randint(len(self.training) - TRAINED, (budget.batch, 1), generator=generator)
        rows = self.training[starts + torch.arange(TRAINED + 1)].long()
        logits = self.model(rows[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        if not math.isfinite(float(loss.detach())):
            raise FloatingPointError(f"the loss must be finite, got {float(loss.detach())} in step {self.step}")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), budget.clip)
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * self._share()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def _share(self) -> float:
        """Return the share of the rate: it rises, stays, and falls over the second half."""
        left = 2 * (self.budget.steps - self.step) / self.budget.steps
        return min((self.step + 1) / self.budget.warmup, left, 1.0)
