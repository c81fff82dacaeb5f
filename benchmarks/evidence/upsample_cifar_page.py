"""What `upsample_cifar` found, as JSON, as a dated page with the verdict on its prediction, and as a picture."""

import json
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.evidence.report import RESULTS
from benchmarks.evidence.upsample_models import Classifier
from benchmarks.evidence.upsample_page import measured, picture
from benchmarks.report import machine, machine_line
from lina.diffusion import avg_pool, nearest_upsample
from lina.diffusion.metrics import kid

BLOCKS = 10  # of samples, between which a difference of KIDs has its standard error
ERRORS = 4.0  # of these: Student's t of nine degrees passes 4 with 0.16 %, one of twenty with 3 % at most
_SHOWN = 10  # samples of the picture
_COLUMNS = ("KID", "Frechet distance", "precision", "recall", "confidence", "seconds")
_NOTE = (
    "Denoisers of CIFAR-10 copied as JPEG files: no figure of this page may be set beside a published FID. U-Nets "
    "without attention in bfloat16, v-prediction, one seed, trained by the clock; 20 steps of DDIM, x0 clipped to "
    "[-1, 1], the same noise for all rows. KID (cubic kernel, without bias, all pairs), Frechet distance, precision "
    "and recall (3 neighbours) of 128 features of a small classifier of the real training images at 32 x 32, against "
    "test images in random order; the floor is as many others of them. A Frechet distance depends on the "
    "number of samples, so compare it within a table. Confidence: mean probability of the likeliest class. Seconds: of "
    "all samples of a row."
)
_PREDICTION = (
    "On digits, which have one scale, guidance that ends early (eta < 1) hurts: what follows draws strokes of half the "
    "width. Photographs have structure at all scales, with spectra about f^-2, so that at the end the model finds at "
    "32 x 32 what it has learned at 16 x 16. Predicted, and open to failure: for no w and no pair of operators does "
    f"eta < 1 raise the KID by more than {ERRORS:g} standard errors, those of its difference from eta = 1 over "
    f"{BLOCKS} blocks of samples of the same noise; without cause one of twenty does so in 3 % of runs at most."
)


class Judge:
    """Measures of images against the first ``reference`` of the real ones, kept by the name of what drew them."""

    def __init__(self, network: Classifier, real: Tensor, classes: Tensor, reference: int) -> None:
        self.network, self.rest = network, real[reference:]
        features, probabilities = network.features(real)
        self.accuracy = float((probabilities.argmax(-1) == classes).float().mean())
        self.reference = features[:reference].cpu()
        self.rows: list[dict[str, Any]] = []
        self.shown: dict[str, dict[str, Tensor]] = {}
        self.count = 0

    def floor(self, count: int) -> None:
        """Measure as many other real images, as they are and at half of the resolution."""
        self.count = count
        self.add("real images (floor)", self.rest[:count])
        self.add("real images, nearest", nearest_upsample(avg_pool(self.rest[:count], 2), 2))

    def add(self, name: str, images: Tensor, seconds: float | None = None, options: dict | None = None) -> None:
        """Measure images in 256 steps, as they are shown."""
        images = ((images.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
        values = measured(_OnCpu(self.network), images, self.reference)
        features = self.network.features(images)[0].cpu()
        blocks = [kid(each, self.reference) for each in features.chunk(BLOCKS)]
        extra = {} if seconds is None else {"seconds": seconds}
        row = {"variant": name, "samples": len(images), "KID of blocks": blocks, **values, **extra}
        self.rows.append({**row, "options": options} if options else row)
        self.shown[name] = {"images": images[:_SHOWN].cpu()}
        print(f"{name}: KID {values['KID']:.4g}, Frechet distance {values['Frechet distance']:.4g}", flush=True)


class _OnCpu:
    """A network whose features come to the CPU, where they are compared."""

    def __init__(self, network: Classifier) -> None:
        self.network = network

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features, probabilities = self.network.features(x)
        return features.cpu(), probabilities.cpu()


def comparisons(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each w, operator and eta < 1, by how much the KID differs from that of eta = 1, and the error."""
    of = {tuple(row["options"].values()): row for row in rows if "options" in row}
    found = []
    for (w, eta, resample), row in of.items():
        whole = of.get((w, 1.0, resample))
        if eta == 1.0 or whole is None:
            continue
        differences = [a - b for a, b in zip(row["KID of blocks"], whole["KID of blocks"], strict=True)]
        error = statistics.stdev(differences) / len(differences) ** 0.5
        mean = statistics.fmean(differences)
        case = {"w": w, "eta": eta, "resample": resample}
        found.append({**case, "difference": mean, "error": error, "hurts": mean > ERRORS * error})
    return found


def verdict(found: list[dict[str, Any]]) -> str:
    """Return whether the prediction held, as a sentence."""
    hurts = [each for each in found if each["hurts"]]
    helps = sum(each["difference"] < -ERRORS * each["error"] for each in found)
    if not found:
        return "NOT JUDGED: no variant with eta < 1 was drawn."
    also = f"it lowers the KID by more than {ERRORS:g} standard errors in {helps} of {len(found)}"
    if not hurts:
        return f"HELD: eta < 1 hurts in none of {len(found)} comparisons; {also}."
    return f"FAILED: eta < 1 hurts in {len(hurts)} of {len(found)} comparisons; {also}."


def write(judge: Judge, training: list[dict[str, Any]], *, device: str, quick: bool, folder: Path = RESULTS) -> Path:
    """Write the files of the day and return the page."""
    where = machine()
    name = torch.cuda.get_device_name() if device == "cuda" else "the CPU"
    found = comparisons(judge.rows)
    document = {
        "machine": where,
        "device": name,
        "quick": quick,
        "classifier accuracy": judge.accuracy,
        "reference": len(judge.reference),
        "prediction": "NOT JUDGED: a dry run." if quick else verdict(found),
        "comparisons": found,
        "training": training,
        "rows": judge.rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"upsample-cifar{'-quick' if quick else ''}-{where['date']}"
    stem.with_suffix(".json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    page = stem.with_suffix(".md")
    page.write_text(markdown(document, stem.name), encoding="utf-8")
    picture(judge.shown, stem.with_suffix(".png"))
    print(page, document["prediction"], sep="\n", flush=True)
    return page


def markdown(document: dict[str, Any], stem: str) -> str:
    """Return the page."""
    where = document["machine"]
    lines = [f"# upsample, photographs, {where['date']}", "", f"On {document['device']}. {machine_line(where)}", ""]
    if document["quick"]:
        lines += ["A dry run of a few steps: no figure below means anything.", ""]
    told = f"{document['reference']} test images; accuracy of the classifier {document['classifier accuracy']:.3f}."
    lines += [f"{_NOTE} Reference: {told}", "", "## Samples at 32 x 32", ""]
    lines += [f"| | number | {' | '.join(_COLUMNS)} |", "|---|---:|" + "---:|" * len(_COLUMNS)]
    for row in document["rows"]:
        cells = " | ".join(f"{row[key]:.4g}" if key in row else "" for key in _COLUMNS)
        lines.append(f"| {row['variant']} | {row['samples']} | {cells} |")
    lines += ["", f"Ten samples of each row, in its order: `{stem}.png`.", ""]
    lines += ["## Does guidance that ends early hurt?", "", _PREDICTION, "", document["prediction"], ""]
    lines += [
        "| w | operators | eta | KID, less that of eta = 1 | standard error | hurts |",
        "|---:|---|---:|---:|---:|---|",
    ]
    for each in document["comparisons"]:
        numbers = f"{each['eta']:g} | {each['difference']:.3g} | {each['error']:.2g}"
        lines.append(f"| {each['w']:g} | {each['resample']} | {numbers} | {'yes' if each['hurts'] else 'no'} |")
    lines += ["", "## Training", "", "| network | parameters | steps | loss | budget |", "|---|---:|---:|---:|---|"]
    for each in document["training"]:
        budget = ", ".join(f"{key} {value:g}" for key, value in each["budget"].items() if key != "steps")
        numbers = f"{each['parameters']} | {each['budget']['steps']} | {each['loss']:.4f}"
        lines.append(f"| {each['network']} | {numbers} | {budget} |")
    both = "Losses of different sizes or schedules are no measure of each other; both schedules have as many steps."
    if len(document["training"]) == 1:
        both = "NOT RUN: training at 32 x 32 with and without alignment, for which no time was left."
    return "\n".join([*lines, "", both]) + "\n"
