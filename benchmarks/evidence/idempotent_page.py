"""What came out of the generators of digits: runs as JSON, their means as a dated Markdown page."""

import json
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.report import machine, machine_line

RESULTS = Path(__file__).parents[1] / "results"
QUALITY = ("FD, classifier", "FD, PCA", "KID x 1000", "precision", "recall", "classes off", "diversity")
IDEMPOTENCE = ("idempotence", "drift", "reconstruction", "projection", "FD, classifier, of G(G(z))")
COST = ("steps", "CPU, s", "wall, s", "parameters")
NOTE = """\
The 1797 digits of scikit-learn, 8 x 8 pixels from -1 to 1: 1200 for training, 597 for the test, one shuffled split.
Each model has as many parameters, within 10 %, and the same CPU time of one thread; the models of a seed take turns of
a quarter of a second, so that what else the machine does slows all of them alike. Judged are the means of the
parameters after the last step, by 597 samples against the 597 images of the test. IGN: weights 20 of reconstruction and
of idempotence, L1, and the tightness of its row. Adam's rate is 1e-3, of IGN 3e-4 unless the row says another: the
better of both for LSGAN, WGAN-GP and the IGN with tightness 10 and clamp, in trials of half the time with twice the
batch and another seed, judged by the same test. In such trials the linearizer had ten settings, four of them with seed
0. No row was left out of the tables, and no run.

FD: squared Frechet distance, of the last hidden layer of a classifier ({accuracy:.1%} of the test right) and of 20
principal components. KID: of the same layer. Precision and recall: 3 neighbours, same layer. Classes off: half the sum
of the differences of the frequencies of the classes, 0 at best and 0.9 for one class only. Diversity: mean distance of
pairs, over that of real ones.
"""
SECOND = """\
Idempotence norm(G(y) - y) / norm(y) of y = G(z), drift the same after 20 applications, reconstruction norm(G(x) - x) /
norm(x) of the test, projection the same of x with noise of norm {noise:.2f} norm(x). A constant map has idempotence 0:
it counts only beside diversity and recall. The samples of the linearizer are its images of draws that are normal after
g.
"""


def store(name: str, seed: int, found: dict[str, Any], budget: Any, accuracy: float, *, quick: bool = False) -> Path:
    """Add a run to the files of the day, in place of an older one of the same model and seed."""
    where = machine()
    stem = RESULTS / f"idempotent{'-quick' if quick else ''}-{where['date']}"
    path, page = stem.with_suffix(".json"), stem.with_suffix(".md")
    document = json.loads(path.read_text("utf-8")) if path.exists() else {"runs": []}
    others = [each for each in document["runs"] if (each["model"], each["seed"]) != (name, seed)]
    run = {"model": name, "seed": seed, "measures": found}
    document = {"machine": where, "budget": asdict(budget), "accuracy": accuracy, "runs": [*others, run]}
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    page.write_text(markdown(document), encoding="utf-8")
    print(f"{name}, seed {seed}: " + ", ".join(f"{k} {_number(v)}" for k, v in found.items()), flush=True)
    return page


def markdown(document: dict[str, Any]) -> str:
    """Return the page: how good samples are, what is idempotent, the cost, and what follows from the numbers."""
    where, runs = document["machine"], document["runs"]
    budget = ", ".join(f"{key} {value}" for key, value in document["budget"].items())
    noise = [run["measures"]["noise"] for run in runs if "noise" in run["measures"]]
    return "\n".join(
        [
            f"# idempotent, {where['date']}",
            "",
            machine_line(where),
            "",
            f"Means over the seeds, with the least and the largest in brackets. Budget of a run: {budget}.",
            "",
            "## Do idempotent generative networks draw digits?",
            "",
            NOTE.format(accuracy=document["accuracy"]),
            *_table(runs, QUALITY),
            "",
            "## And are they idempotent?",
            "",
            SECOND.format(noise=fmean(noise) if noise else float("nan")),
            *_table(runs, IDEMPOTENCE),
            "",
            "## What did it take?",
            "",
            *_table(runs, COST),
            "",
            "## What follows",
            "",
            *findings(runs),
            "",
        ]
    )


def findings(runs: list[dict[str, Any]]) -> list[str]:
    """Return the sentences that the means decide: the best recipe of all and of IGN, and what has collapsed."""
    models = [name for name in _models(runs) if any("steps" in run["measures"] for run in runs if run["model"] == name)]
    means = {name: fmean(_values(runs, name, "FD, classifier")) for name in models}
    lines = [f"- Least FD of the classifier over all models: {_least(means)}."] if means else []
    networks = {name: value for name, value in means.items() if name.startswith("IGN")}
    if networks:
        lines.append(f"- Of the IGNs: {_least(networks)}.")
    few = [
        f"{name} ({len(v)} of {len(_values(runs, name, 'steps'))})" for name in models if (v := _collapsed(runs, name))
    ]
    lines.append(f"- Runs with less than half the diversity of data: {', '.join(few) if few else 'none'}.")
    strict = [name for name in models if _values(runs, name, "drift") and max(_values(runs, name, "drift")) < 1e-3]
    lines.append(
        f"- Idempotent to 0.1 % after 20 applications in every run: {', '.join(strict) if strict else 'none'}."
    )
    return lines


def _least(means: dict[str, float]) -> str:
    order = sorted(means, key=means.__getitem__)
    return ", then ".join(f"{name} ({_number(means[name])})" for name in order[:3])


def _collapsed(runs: list[dict[str, Any]], name: str) -> list[float]:
    return [value for value in _values(runs, name, "diversity") if value < 0.5]


def _models(runs: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(run["model"] for run in runs))


def _values(runs: list[dict[str, Any]], name: str, measure: str) -> list[float]:
    return [run["measures"][measure] for run in runs if run["model"] == name and measure in run["measures"]]


def _table(runs: list[dict[str, Any]], measures: tuple[str, ...]) -> list[str]:
    lines = [f"| model | seeds | {' | '.join(measures)} |", "|---|---:|" + "---:|" * len(measures)]
    for name in _models(runs):
        found = [_values(runs, name, measure) for measure in measures]
        if any(found):
            seeds = ", ".join(str(run["seed"]) for run in runs if run["model"] == name)
            lines.append(f"| {name} | {seeds} | {' | '.join(map(_cell, found))} |")
    return lines


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    mean = _number(fmean(values))
    return mean if min(values) == max(values) else f"{mean} ({_number(min(values))} to {_number(max(values))})"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
