"""What `extrapolation` found, as JSON and as a dated page: tables, bars that are met or missed, claims that are not."""

import json
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence.report import RESULTS, Target
from benchmarks.report import machine, machine_line

_NOTE = (
    "Decoders of bytes, 5 layers of width 192 with 3 heads of 64 channels, trained at length 256. Loss in nats of the "
    "same last 128 bytes of held-out texts with growing context; repeated: the last 256 bytes over and over, 1024 of "
    "them. Means over texts and seeds; rise: in the largest context over the untouched model at 256, paired by texts, "
    "with the standard error over texts of the mean over seeds. Methods with a factor have that of the context, s = "
    "context / 256, and are off at 256. Python: sources of the standard library without its tests; a file is held out "
    "if the CRC-32 of its path, modulo 256, is below 32, and its text is the 4096 bytes in the middle. Tinyshakespeare:"
    " the last tenth is held out, in pieces of 4096 bytes. What has a bar was trained with three seeds, all else once."
)


class Found:
    """The losses of one model variant by method and seed."""

    def __init__(self, records: list[dict[str, Any]]):
        self.records = {(each["model"], each["seed"]): each for each in records}

    def seeds(self, model: str, method: str) -> list[int]:
        """Return the seeds that a method was scored with."""
        return sorted(s for name, s in self.records if name == model and method in self.records[name, s]["methods"])

    def losses(self, model: str, method: str, context: int, seed: int) -> np.ndarray:
        """Return the losses of the texts."""
        table = self.records[model, seed]["methods"][method]["plain"]
        return np.array(table["losses"])[:, table["contexts"].index(context)]

    def excess(self, model: str, first: tuple[str, int], second: tuple[str, int]) -> dict[int, np.ndarray]:
        """Return, for each seed that has both, by how much one (method, context) exceeds another, text by text."""
        seeds = [s for s in self.seeds(model, first[0]) if s in self.seeds(model, second[0])]
        return {s: self.losses(model, *first, s) - self.losses(model, *second, s) for s in seeds}

    def rises(self, model: str, method: str, context: int) -> dict[int, np.ndarray]:
        """Return the excess over the untouched model in its trained length."""
        return self.excess(model, (method, context), ("untouched", 256))


def bars(found: Found) -> list[tuple[str, Target, list[float]]]:
    """Return what has to hold with every seed: a sentence, the target and the means over the texts."""
    yarn, rerope = "YaRN, ramp of dims", "ReRoPE, w 128"
    others = (rerope, "Leaky ReRoPE, w 64, k 2s", "Self-Extend, w 64, G 2s")

    def means(excess: dict[int, np.ndarray]) -> list[float]:
        return [float(each.mean()) for _, each in sorted(excess.items())]

    def gap(worse: str, better: str) -> list[float]:
        return means(found.excess("RoPE", (worse, 4096), (better, 4096)))

    rope = found.rises("RoPE", "untouched", 4096)
    keyed = found.rises("KeyNorm, log n", "untouched", 4096)
    shares = [float(keyed[s].mean() / rope[s].mean()) for s in sorted(keyed) if s in rope]
    rows: list[tuple[str, float, bool, list[float]]] = [
        ("rise of RoPE at 4096", 0.5, True, means(rope)),
        ("rise of PI at 512", 0.3, True, means(found.rises("RoPE", "PI", 512))),
        *((f"rise of {each} at 4096", 0.1, False, means(found.rises("RoPE", each, 4096))) for each in others),
        ("YaRN above ReRoPE at 4096", 0.1, True, gap(yarn, rerope)),
        ("RoPE above YaRN at 4096", 0.1, True, gap("untouched", yarn)),
        ("PI above RoPE at 4096", 0.1, True, gap("PI", "untouched")),
        ("rise of KeyNorm with log n over that of RoPE, at 4096", 0.5, False, shares),
    ]
    return [(name, Target(name, bound, up, every=True), values) for name, bound, up, values in rows if values]


# Claims of the sources that nothing is demanded of: which (method, context) should have the larger loss, by how much.
_CLAIMS = (
    ("a window alone fails", ("window 256", 4096), ("untouched", 256), 0.3),
    ("sinks mend what a window breaks", ("window 256", 4096), ("sinks 4, window 252", 4096), 0.0),
    ("more context lowers the loss of ReRoPE", ("ReRoPE, w 128", 256), ("ReRoPE, w 128", 4096), 0.0),
    ("NTK-mixed is better than NTK", ("NTK", 4096), ("NTK-mixed", 4096), 0.0),
    ("NTK-mixed is better than NTK-fixed", ("NTK-fixed", 4096), ("NTK-mixed", 4096), 0.0),
    ("ReRoPE collapses with a window as long as in training", ("ReRoPE, w 256", 4096), ("untouched", 256), 0.5),
    ("log n lowers the loss of ReRoPE", ("ReRoPE, w 128", 4096), ("ReRoPE, w 128, log n clipped", 4096), 0.0),
    ("log n lowers the loss of RoPE", ("untouched", 4096), ("RoPE, log n clipped", 4096), 0.0),
)


def claims(found: Found) -> list[str]:
    """Return what became of the claims without a bar, as sentences."""
    lines = []
    for sentence, worse, better, bound in _CLAIMS:
        excess = found.excess("RoPE", worse, better)
        if not excess:
            continue
        mean, error = _mean_and_error(list(excess.values()))
        verdict = "reproduced" if mean - 2 * error > bound else "not reproduced"
        difference = f"{worse[0]} at {worse[1]} exceeds {better[0]} at {better[1]} by {mean:+.3f} ± {error:.3f}"
        lines.append(f"- {verdict}: {sentence} ({difference}; more than {bound:g} by two standard errors counts)")
    return lines


def _mean_and_error(values: list[np.ndarray]) -> tuple[float, float]:
    """Return mean and standard error over the texts of what the seeds have in the mean."""
    each = np.mean(values, 0)
    return float(each.mean()), float(each.std(ddof=1) / len(each) ** 0.5)


def write(records: list[dict[str, Any]], budget: Any, *, quick: bool, folder: Path = RESULTS) -> Path:
    """Write the files of the day and return the page."""
    where, found = machine(), Found(records)
    verdicts = [f"- {target.judge(values)}" for _, target, values in bars(found)]
    document = {
        "machine": where,
        "budget": asdict(budget),
        "bars": verdicts,
        "claims without a bar": claims(found),
        "runs": records,
    }
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"extrapolation{'-quick' if quick else ''}-{where['date']}"
    stem.with_suffix(".json").write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")
    page = stem.with_suffix(".md")
    page.write_text(markdown(document), encoding="utf-8")
    print(f"\n{page}")
    return page


def markdown(document: dict[str, Any]) -> str:
    """Return the page."""
    where, found = document["machine"], Found(document["runs"])
    budget = ", ".join(f"{name} {value}" for name, value in document["budget"].items())
    lines = [
        f"# extrapolation, {where['date']}",
        "",
        machine_line(where),
        "",
        _NOTE,
    ]
    for text in dict.fromkeys(each["text"] for each in document["runs"]):
        lines += [
            "",
            f"## Text: {text}",
            "",
            *_table([each for each in document["runs"] if each["text"] == text], found),
        ]
    lines += ["", "## What has to hold, with every seed", "", *document["bars"]]
    lines += ["", "## What others found and nothing is demanded of here", "", *document["claims without a bar"]]
    lines += [
        "",
        "## Training",
        "",
        "| model | seed | training loss | CPU, s | parameters |",
        "|---|---:|---:|---:|---:|",
    ]
    for run in document["runs"]:
        loss, cpu, size = run["training"].values()
        lines.append(f"| {run['model']} | {run['seed']} | {loss:.3f} | {cpu:.0f} | {size} |")
    return "\n".join([*lines, "", f"Budget: {budget}."]) + "\n"


def _table(runs: list[dict[str, Any]], found: Found) -> list[str]:
    """Return a row for each model and method."""
    contexts = runs[0]["methods"]["untouched"]["plain"]["contexts"]
    titles = ["model", "method", "seeds", *map(str, contexts), "rise", "repeated", "accuracy, repeated"]
    lines = ["| " + " | ".join(titles) + " |", "|---|---|" + "---:|" * (len(titles) - 2)]
    for model in dict.fromkeys(run["model"] for run in runs):
        methods = dict.fromkeys(name for run in runs if run["model"] == model for name in run["methods"])
        for method in methods:
            seeds = found.seeds(model, method)
            losses = [statistics.fmean(found.losses(model, method, c, s).mean() for s in seeds) for c in contexts]
            mean, error = _mean_and_error(list(found.rises(model, method, contexts[-1]).values()))
            again = [found.records[model, s]["methods"][method]["repeated"] for s in seeds]
            loss, accuracy = (
                np.mean([np.mean(each[key], 0)[-1] for each in again]) for key in ("losses", "accuracies")
            )
            cells = [model, method, ", ".join(map(str, seeds)), *(f"{each:.3f}" for each in losses)]
            lines.append(
                "| " + " | ".join([*cells, f"{mean:+.3f} ± {error:.3f}", f"{loss:.3f}", f"{accuracy:.1%}"]) + " |"
            )
    return lines
