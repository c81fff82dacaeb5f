"""Which scalings of rotary positions read 16 times the trained length, and what do models trained otherwise?

``python -m benchmarks.evidence.extrapolation [--train | --score] [--quick]`` trains what is missing in the cache of
the user, scores it and writes benchmarks/results/extrapolation-DATE.md and .json. What was interrupted goes on where it
stopped.
"""

import argparse
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.evidence.extrapolation_models import (
    TRAINED,
    VARIANTS,
    Budget,
    Variant,
    cache_folder,
    corpus,
    has_finished,
    trained,
)
from benchmarks.evidence.extrapolation_page import write
from lina.rope import RotaryScaling
from lina.torch import ExtrapolationTable, RotaryDecoder, evaluate_extrapolation

CONTEXTS = (256, 512, 1024, 2048, 4096)
SEGMENT, TEXTS, REPEATED = 128, 20, 1024
# What has a bar is trained three times; ablations and the second text once.
SEEDS = {"RoPE": (0, 1, 2), "KeyNorm, log n": (0, 1, 2)}

# The scaling of a method, from that of the variant and the quotient s of the context and the trained length.
Method = Callable[[Variant, float], RotaryScaling]


def _kind(kind: str, **options: Any) -> Method:
    return lambda variant, _: variant.rotary(kind, **options)


def _factor(kind: str, **options: Any) -> Method:
    return lambda variant, s: variant.rotary(kind, factor=s, **options)


def _leaky(variant: Variant, s: float) -> RotaryScaling:
    return variant.rotary("leaky_rerope", window=TRAINED // 4, factor=2 * s if s > 1 else 1.0)


def _self_extend(variant: Variant, s: float) -> RotaryScaling:
    return variant.rotary("self_extend", window=TRAINED // 4, group=int(2 * s) if s > 1 else 1)


_YARN = {"logit_scale": "yarn"}
METHODS: dict[str, Method] = {
    "untouched": lambda variant, _: variant.rotary(),
    "RoPE": _kind("none"),
    "RoPE, log n clipped": _kind("none", logit_scale="log_n_clipped"),
    "PI": _factor("linear"),
    "NTK": _factor("ntk"),
    "NTK-fixed": _factor("ntk_fixed"),
    "NTK-mixed": _factor("ntk_mixed"),
    "NTK by row": _kind("ntk", schedule="row_bucket"),
    "YaRN, ramp of dims": _factor("yarn", **_YARN),
    "YaRN, ramp of dims, by row": _kind("yarn", schedule="row_bucket", **_YARN),
    "YaRN, ramp of turns to 8": _factor("yarn", ramp="turns", beta_fast=8.0, **_YARN),
    "YaRN, ramp of turns to 32": _factor("yarn", ramp="turns", **_YARN),
    "YaRN, ramp of turns to 32, own logit scale": _factor("yarn", ramp="turns"),
    "ReRoPE, w 64": _kind("rerope", window=TRAINED // 4),
    "ReRoPE, w 128": _kind("rerope", window=TRAINED // 2),
    "ReRoPE, w 256": _kind("rerope", window=TRAINED),
    "ReRoPE, w 128, log n clipped": _kind("rerope", window=TRAINED // 2, logit_scale="log_n_clipped"),
    "Leaky ReRoPE, w 64, k 2s": _leaky,
    "Self-Extend, w 64, G 2s": _self_extend,
    "window 256": _kind("window", window=TRAINED),
    "sinks 4, window 252": _kind("sink", window=TRAINED - 4, sinks=4),
    "lambda mask, sinks 4, window 252": _kind("lambda_mask", window=TRAINED - 4, sinks=4),
}
_OTHERS = ("RoPE", "YaRN, ramp of turns to 32, own logit scale")
_BARS = (
    "untouched",
    "PI",
    "YaRN, ramp of dims",
    "ReRoPE, w 128",
    "Leaky ReRoPE, w 64, k 2s",
    "Self-Extend, w 64, G 2s",
)
CHOSEN = {
    "RoPE": tuple(each for each in METHODS if each not in _OTHERS),
    "KeyNorm, log n": ("untouched", "ReRoPE, w 128", "NTK", _OTHERS[1]),
    "KeyNorm": ("untouched", "ReRoPE, w 128"),
    "log n": ("untouched", "ReRoPE, w 128"),
    "KeyNorm, log n, no positions": ("untouched",),
    "trained with ReRoPE": ("untouched", "RoPE", "ReRoPE, w 128"),
    "RoPE, tinyshakespeare": _BARS,
    "KeyNorm, log n, tinyshakespeare": ("untouched", "ReRoPE, w 128"),
}


def methods_of(name: str, seed: int) -> tuple[str, ...]:
    """Return the methods that a model is read with: all of the variant with its first seed, else those of the bars."""
    return CHOSEN[name] if seed == 0 else tuple(each for each in CHOSEN[name] if each in _BARS)


def score(model: RotaryDecoder, variant: Variant, method: Method, texts: Any, contexts: tuple[int, ...]) -> dict:
    """Return the losses of the last bytes of each text in each context, and of the repeated text."""

    def read(tokens: torch.Tensor) -> torch.Tensor:
        return model(tokens, scaling=method(variant, tokens.shape[1] / TRAINED))

    table = evaluate_extrapolation(read, texts, contexts, SEGMENT)
    again = evaluate_extrapolation(read, texts, (TRAINED, min(REPEATED, contexts[-1])), SEGMENT, repeated=True)
    return {"plain": _stored(table), "repeated": _stored(again)}


def _stored(table: ExtrapolationTable) -> dict[str, Any]:
    rounded = {name: getattr(table, name).numpy().round(6).tolist() for name in ("losses", "accuracies")}
    return {"contexts": list(table.contexts), "segment": table.segment, **rounded}


class Scores:
    """Scores that are made once for each state of a model, and kept beside it."""

    def __init__(self, path: Path):
        self.path = path
        self.known: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}

    def of(self, key: str, make: Callable[[], dict]) -> dict:
        """Return what is known under a key, made where it is not."""
        if key not in self.known:
            self.known[key] = make()
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.known), encoding="utf-8")
            part.replace(self.path)
        return self.known[key]


class Experiment:
    """The runs of one setting: all of them, or a few steps of each and two texts where it should be quick."""

    def __init__(self, quick: bool, threads: int):
        self.quick, self.folder = quick, cache_folder(quick)
        self.budget = Budget(threads=threads)
        if quick:
            self.budget = replace(self.budget, steps=3, batch=2)
        self.contexts, self.texts = ((256, 512, 4096), 2) if quick else (CONTEXTS, TEXTS)
        self.corpora: dict[str, Any] = {}

    def runs(self) -> list[tuple[Variant, int]]:
        """Return the variants with their seeds, those with a bar first."""
        seeds = {name: (0,) if self.quick else SEEDS.get(name, (0,)) for name in VARIANTS}
        runs = [(VARIANTS[name], seed) for seed in range(3) for name in VARIANTS if seed in seeds[name]]
        return sorted(runs, key=lambda run: run[0].name not in SEEDS)

    def corpus(self, name: str) -> Any:
        """Return training bytes and held-out texts, read once."""
        if name not in self.corpora:
            training, texts = corpus(name, CONTEXTS[-1])
            self.corpora[name] = training, texts[: self.texts]
        return self.corpora[name]

    def trained(self, variant: Variant, seed: int) -> tuple[RotaryDecoder, dict, Path]:
        """Return a model, the record of its training and where it is stored."""
        return trained(variant, seed, self.budget, self.folder, self.corpus(variant.text)[0])

    def has_finished(self, variant: Variant, seed: int) -> bool:
        """Return whether a model is there already."""
        return has_finished(variant, seed, self.budget, self.folder, self.corpus(variant.text)[0])

    def scored(self, variant: Variant, seed: int, scores: Scores) -> dict[str, Any]:
        """Return the record of a model under all its methods."""
        model, record, path = self.trained(variant, seed)
        texts, state = self.corpus(variant.text)[1], zlib.crc32(path.read_bytes())
        found = {}
        for name in methods_of(variant.name, seed):
            method = METHODS[name]
            scalings = [method(variant, length / TRAINED) for length in self.contexts]
            key = repr((state, len(texts), zlib.crc32(texts.numpy().tobytes()), scalings))
            found[name] = scores.of(key, lambda: score(model, variant, method, texts, self.contexts))  # noqa: B023
            loss = torch.tensor(found[name]["plain"]["losses"]).mean(0)
            print(f"{variant.name}, seed {seed}, {name}: {loss.numpy().round(3)}", flush=True)
        return {"model": variant.name, "text": variant.text, "seed": seed, "training": record, "methods": found}


def main() -> None:
    """Train and score, or one of them; what is not trained is left out where training is not asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.evidence.extrapolation", description=__doc__)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--train", action="store_true", help="train only")
    only.add_argument("--score", action="store_true", help="score only, and only what has been trained")
    parser.add_argument("--quick", action="store_true", help="a few steps on few texts: checks that everything runs")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    experiment = Experiment(chosen.quick, chosen.threads)
    runs = experiment.runs()
    if chosen.score:
        runs = [run for run in runs if experiment.has_finished(*run)]
    else:
        for variant, seed in runs:
            experiment.trained(variant, seed)
    if chosen.train:
        return
    scores = Scores(experiment.folder / "scores.json")
    records = [experiment.scored(variant, seed, scores) for variant, seed in runs]
    write(records, experiment.budget, quick=chosen.quick)


if __name__ == "__main__":
    main()
