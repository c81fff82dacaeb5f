"""What `upsample_mnist` found, as JSON, as a dated page with what has to hold, and as a picture."""

import json
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.evidence.report import RESULTS, Target
from benchmarks.evidence.upsample_models import cache_folder, classifier, images
from benchmarks.report import machine, machine_line
from lina.diffusion import avg_pool, nearest_upsample
from lina.diffusion.metrics import frechet_distance, kid, precision_recall

REFERENCE = 4000
_NOTE = (
    "Denoisers of MNIST at 16 x 16 (28 x 28 pixels, a margin of two, means of 2 x 2), trained with the cosine schedule "
    "and v-prediction; samples of 20 steps of DDIM, x0 clipped to [-1, 1], the same noise for all variants of a seed. "
    "KID (cubic kernel, without bias, all pairs), Frechet distance and share of samples near real ones (precision, "
    "recall; 3 neighbours) of the 64 features of a small classifier of the real training images, against "
    f"{REFERENCE} test images at 32 x 32 in random order. The floor is as many other test images. A Frechet distance "
    "depends on the number of samples, so compare it within a table. Confidence: mean probability of the likeliest "
    "class. CPU: all samples of a row; overhead: guided against naive samples in turns, the least of five each. Means "
    "over the seeds, least and largest in brackets."
)
_COLUMNS = ("KID", "Frechet distance", "precision", "recall", "confidence", "CPU, s")


def measured(network: Any, x: Tensor, reference: Tensor) -> dict[str, float]:
    """Return the distances of images (n, channels, 32, 32) to reference features."""
    features, probabilities = network.features(x)
    precision, recall = precision_recall(reference[: len(x)], features)
    return {
        "KID": kid(features, reference),
        "Frechet distance": frechet_distance(features, reference),
        "precision": precision,
        "recall": recall,
        "confidence": float(probabilities.max(-1).values.mean()),
    }


def records(runs: list[dict[str, Any]], quick: bool) -> tuple[list[dict[str, Any]], float]:
    """Return one record for each network, seed and variant, and the accuracy of the classifier."""
    network, accuracy = classifier(cache_folder(quick), quick)
    real = images("test")[0]
    real = real[torch.randperm(len(real), generator=torch.Generator().manual_seed(0))]  # their first half is the easier
    reference, rest = network.features(real[:REFERENCE])[0], real[REFERENCE:]
    found = []
    for run in runs:
        count = len(next(iter(run["samples"].values()))["images"])
        first = run["seed"] * count
        floor = rest[first : first + count]
        blurred = nearest_upsample(avg_pool(floor, 2), 2)
        sets = {"real images (floor)": {"images": floor}, "real images, nearest": {"images": blurred}} | run["samples"]
        for variant, each in sets.items():
            values = measured(network, each["images"], reference)
            if "CPU, s" in each:
                values["CPU, s"] = each["CPU, s"]
            found.append(
                {"network": run["network"], "seed": run["seed"], "variant": variant, "samples": count, **values}
            )
    return found, accuracy


def bars(rows: list[dict[str, Any]], runs: list[dict[str, Any]]) -> list[str]:
    """Return what has to hold with every seed, as sentences."""
    by_seed: dict[int, dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["network"] == "U-Net":
            by_seed.setdefault(row["seed"], {})[row["variant"]] = row
    guided, lines = "guided, w = 0.2", []

    def ratios(measure: str, other: str) -> list[float]:
        return [
            each[guided][measure] / each[other][measure] for each in by_seed.values() if {guided, other} <= set(each)
        ]

    overheads = [run["overhead"] for run in runs if run["network"] == "U-Net"]
    for name, bound, values in (
        ("KID of guidance with w = 0.2 over that of nearest samples", 0.5, ratios("KID", "nearest")),
        ("KID of guidance with w = 0.2 over that of naive samples", 0.2, ratios("KID", "naive")),
        ("Frechet distance over that of nearest samples", 1.0, ratios("Frechet distance", "nearest")),
        ("time over that of naive samples", 1.35, overheads),
    ):
        if values:
            shown = ", ".join(f"{each:.3g}" for each in values)
            lines.append(f"- {Target(name, bound, at_least=False, every=True).judge(values)} (by seed: {shown})")
    return lines


def write(runs: list[dict[str, Any]], *, quick: bool, folder: Path = RESULTS) -> Path:
    """Write the files of the day and return the page."""
    rows, accuracy = records(runs, quick)
    where = machine()
    document = {
        "machine": where,
        "classifier accuracy": accuracy,
        "bars": bars(rows, runs),
        "training": [{key: run[key] for key in ("network", "seed", "training", "overhead")} for run in runs],
        "rows": rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"upsample{'-quick' if quick else ''}-{where['date']}"
    stem.with_suffix(".json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    page = stem.with_suffix(".md")
    page.write_text(markdown(document), encoding="utf-8")
    for name in dict.fromkeys(run["network"] for run in runs):
        first = next(run for run in runs if run["network"] == name)
        picture(first["samples"], stem.with_name(f"{stem.name}-{name.replace(', ', '-').replace(' ', '-')}.png"))
    print(page, *document["bars"], sep="\n", flush=True)
    return page


def markdown(document: dict[str, Any]) -> str:
    """Return the page."""
    where = document["machine"]
    lines = [
        f"# upsample, {where['date']}",
        "",
        machine_line(where),
        "",
        f"{_NOTE} Accuracy of the classifier: {document['classifier accuracy']:.3f}.",
    ]
    for name in dict.fromkeys(row["network"] for row in document["rows"]):
        lines += ["", f"## {name}", "", *_table([row for row in document["rows"] if row["network"] == name])]
        stem = f"upsample-{where['date']}-{name.replace(', ', '-').replace(' ', '-')}.png"
        lines += ["", f"Ten samples of each row that was drawn, in its order: `{stem}`."]
    lines += ["", "## What has to hold, with every seed", "", *document["bars"], "", "## Training", ""]
    lines += ["| network | seed | parameters | loss | CPU, s | overhead |", "|---|---:|---:|---:|---:|---:|"]
    for run in document["training"]:
        told = run["training"]
        numbers = f"{told['parameters']} | {told['loss']:.4f} | {told['CPU, s']:.0f} | {run['overhead']:.3f}"
        lines.append(f"| {run['network']} | {run['seed']} | {numbers} |")
    budget = document["training"][0]["training"]["budget"]
    return "\n".join([*lines, "", f"Budget: {', '.join(f'{key} {each}' for key, each in budget.items())}."]) + "\n"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Return a line for each variant."""
    lines = [
        f"| samples at 32 x 32 | seeds | number | {' | '.join(_COLUMNS)} |",
        "|---|---:|---:|" + "---:|" * len(_COLUMNS),
    ]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == variant]
        cells = [_cell([row[key] for row in own if key in row]) for key in _COLUMNS]
        seeds = ", ".join(str(row["seed"]) for row in own)
        lines.append(f"| {variant} | {seeds} | {own[0]['samples']} | {' | '.join(cells)} |")
    return lines


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.3g}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3g} to {max(values):.3g})"


def picture(samples: dict[str, dict[str, Any]], path: Path) -> None:
    """Write ten samples of each variant, a row each, with a white line between them."""
    from PIL import Image

    rows = []
    for each in samples.values():
        framed = [torch.nn.functional.pad(image, (1, 1, 1, 1), value=1.0) for image in each["images"][:10]]
        rows.append(torch.cat(framed, dim=2))
    grid = ((torch.cat(rows, dim=1).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    Image.fromarray(grid.permute(1, 2, 0).squeeze(-1).numpy()).save(path, optimize=True)
