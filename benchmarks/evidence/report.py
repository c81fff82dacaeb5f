"""What was trained, with which budget, and what came out: runs as JSON, their means as a dated Markdown page."""

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import machine, machine_line

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Target:
    """What is demanded of a measure: of its mean over the seeds, or of every run where ``every`` is set."""

    measure: str
    bound: float
    at_least: bool = True
    every: bool = False

    def judge(self, values: list[float]) -> str:
        """Return the verdict as a sentence."""
        worst = min(values) if self.at_least else max(values)
        value = worst if self.every else statistics.fmean(values)
        met = value >= self.bound if self.at_least else value <= self.bound
        relation = "at least" if self.at_least else "at most"
        found = f"{'every run' if self.every else 'mean'} {relation} {self.bound:g}, {'worst ' * self.every}{value:.4g}"
        return f"{'met' if met else 'MISSED'}: {self.measure}, {found}"


@dataclass(frozen=True)
class Task:
    """One file of evidence: its name, its question, how the answer was found, and which measures the page shows."""

    name: str
    title: str
    note: str
    measures: tuple[str, ...]


def run_record(setting: str, seed: int, measures: dict[str, Any], budget: Any, targets: Iterable[Target]) -> dict:
    """Return one run as it is stored, that of another device than the CPU in a row of its own.

    ``budget`` is a dataclass or a dictionary.
    """
    used = budget if isinstance(budget, dict) else asdict(budget)
    device = used.get("device", "cpu")
    setting += f", {device}" * (device != "cpu")
    wanted = [asdict(each) for each in targets]
    return {"setting": setting, "seed": seed, "measures": measures, "budget": used, "targets": wanted}


def store(task: Task, run: dict[str, Any], *, quick: bool = False, folder: Path | None = None) -> Path:
    """Add a run to the files of the day, in place of an older one of the same setting and seed."""
    folder = RESULTS if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    where = machine()
    stem = folder / f"evidence{'-quick' if quick else ''}-{where['date']}"
    path, page = stem.with_suffix(".json"), stem.with_suffix(".md")
    document = json.loads(path.read_text("utf-8")) if path.exists() else {"tasks": {}}
    document["machine"] = where
    entry = document["tasks"].setdefault(task.name, {"runs": []})
    others = [each for each in entry["runs"] if (each["setting"], each["seed"]) != (run["setting"], run["seed"])]
    entry |= {"title": task.title, "note": task.note, "measures": list(task.measures), "runs": [*others, run]}
    # JSON knows no infinity: no limit is null
    text = json.dumps(_finite(document), indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    page.write_text(markdown(json.loads(text)), encoding="utf-8")
    shown = ", ".join(f"{key} {run['measures'][key]:.4g}" for key in task.measures if key in run["measures"])
    print(f"{task.name}: {run['setting']}, seed {run['seed']}: {shown}", flush=True)
    return page


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and value in (float("inf"), float("-inf")) else value


def markdown(document: dict[str, Any]) -> str:
    """Return the page: a section for each task, a row for each setting, verdicts and budgets below."""
    where = document["machine"]
    lines = [
        f"# evidence, {where['date']}",
        "",
        machine_line(where),
        "",
        "Means over the seeds, with the least and the largest in brackets. Accuracies are those after the last "
        "epoch, on samples that took no part in training; wall times hold what "
        "else the machine did, CPU times hardly.",
    ]
    for name in sorted(document["tasks"]):
        lines += _section(document["tasks"][name])
    return "\n".join(lines) + "\n"


def _section(task: dict[str, Any]) -> list[str]:
    settings = list(dict.fromkeys(run["setting"] for run in task["runs"]))
    shown = task["measures"]
    lines = ["", f"## {task['title']}", "", task["note"], "", f"| setting | seeds | {' | '.join(shown)} |"]
    lines.append("|---|---:|" + "---:|" * len(shown))
    verdicts, budgets = [], {}
    for setting in settings:
        runs = [run for run in task["runs"] if run["setting"] == setting]
        cells = [_cell([run["measures"][key] for run in runs if key in run["measures"]]) for key in shown]
        seeds = ", ".join(str(run["seed"]) for run in sorted(runs, key=lambda run: run["seed"]))
        lines.append(f"| {setting} | {seeds} | {' | '.join(cells)} |")
        budgets.setdefault(_budget(runs[-1]["budget"]), []).append(setting)
        for target in (Target(**each) for each in runs[-1]["targets"]):
            verdicts.append(f"- {setting}: {target.judge([run['measures'][target.measure] for run in runs])}")
    used = {text: "all rows" if len(budgets) == 1 else "; ".join(names) for text, names in budgets.items() if text}
    lists = [verdicts, [f"- Budget of {names}: {text}." for text, names in used.items()]]
    return [*lines, *(line for each in lists if each for line in ("", *each))]


def _budget(budget: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_number(each)}" for key, each in budget.items() if each is not None)


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    mean = _number(statistics.fmean(values))
    return mean if len(values) == 1 else f"{mean} ({_number(min(values))} to {_number(max(values))})"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
