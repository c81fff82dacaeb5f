"""Contenders in turns on a device, each beside the limit that binds it, as tables on a dated page."""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu.place import Place, limits
from benchmarks.report import machine, machine_line
from benchmarks.runner import Question, Target

_ROUNDS, _AT_LEAST, _SLOW = 5, 0.02, 1.0  # rounds; seconds of a measurement; seconds from which one call is enough
_HEAD = "| | ms | ratio | error | of limit |\n|---|---:|---:|---:|---:|"


@dataclass(frozen=True)
class Share:
    """``share`` demanded of the limit that binds the case."""

    contender: str
    share: float


@dataclass
class DeviceCase:
    """Contenders on one input. ``work`` maps names of `limits` to the bytes or flops that the answer takes."""

    name: str
    contenders: dict[str, Callable[[], Any]]
    error: Callable[[str, Any], float]
    targets: list[Target | Share] = field(default_factory=list)
    work: dict[str, float] = field(default_factory=dict)


def run(question: Question, place: Place, *, quick: bool) -> dict[str, Any]:
    """Return the tables of a question, and print them as they come."""
    print(f"\n{question.title}", flush=True)
    cases = [run_case(case, place, quick) for case in question.cases((place, quick))]
    return {"title": question.title, "note": question.note, "error_name": question.error_name, "cases": cases}


def run_case(case: DeviceCase, place: Place, quick: bool) -> dict[str, Any]:
    """Return errors, median times and shares of the limit."""
    rows = {name: {"error": case.error(name, call())} for name, call in case.contenders.items()}
    for name, seconds in _interleave(case, place, quick).items():
        rows[name]["seconds"] = seconds
    bound = _bound(case, limits(place, quick=quick))
    if bound is not None:
        for row in rows.values():
            row["share_of_limit"] = bound[1] / row["seconds"]
    verdicts = [] if quick or place.torch_device == "cpu" else [_judge(target, rows) for target in case.targets]
    found = {"name": case.name, "limit": bound, "rows": rows, "targets": verdicts}
    print("\n".join(_section(found)), flush=True)
    return found


def _interleave(case: DeviceCase, place: Place, quick: bool) -> dict[str, float]:
    times = {name: [place.seconds(call)] for name, call in case.contenders.items()}
    repeats = {name: max(1, min(100, int(_AT_LEAST / max(first, 1e-6)))) for name, (first,) in times.items()}
    for _ in range(0 if quick else _ROUNDS):
        for name, call in case.contenders.items():
            if times[name][0] < _SLOW:
                times[name].append(place.seconds(call, repeats[name]))
    return {name: statistics.median(each[1:] or each) for name, each in times.items()}


def _bound(case: DeviceCase, rates: dict[str, float]) -> tuple[str, float] | None:
    """Return the limit that takes the longest and its seconds."""
    times = {name: amount / rates[name] for name, amount in case.work.items()}
    return max(times.items(), key=lambda each: each[1]) if times else None


def _judge(target: Target | Share, rows: dict[str, dict[str, float]]) -> str:
    ours = rows[target.contender]
    if isinstance(target, Share):
        share = ours["share_of_limit"]
        verdict = "met" if share >= target.share else "MISSED"
        return f"{verdict}: {target.contender} at {share:.0%} of the limit (wanted {target.share:.0%})"
    peer = rows.get(target.peer)
    if peer is None:
        return f"NOT JUDGED: {target.contender} beside {target.peer}, which is not installed"
    ratio = peer["seconds"] / ours["seconds"]
    met, text = ratio >= target.ratio, f"{target.contender} {ratio:.2f}x {target.peer} (wanted {target.ratio:.3g}x)"
    if target.error_factor is not None:
        factor = ours["error"] / max(peer["error"], 1e-16)
        met = met and factor <= target.error_factor
        text += f", error {factor:.2g} of its (allowed {target.error_factor:g})"
    return f"{'met' if met else 'MISSED'}: {text}"


def _section(case: dict[str, Any]) -> list[str]:
    ours = next(iter(case["rows"].values()))["seconds"]
    lines = ["", f"### {case['name']}", "", *_HEAD.splitlines()]
    for name, row in case["rows"].items():
        share = f"{row['share_of_limit']:.0%}" if "share_of_limit" in row else ""
        lines.append(
            f"| {name} | {row['seconds'] * 1e3:.4g} | {row['seconds'] / ours:.2f} | {row['error']:.1e} | {share} |"
        )
    if case["limit"] is not None:
        lines += ["", f"Limit: {case['limit'][0]}, {case['limit'][1] * 1e3:.4g} ms."]
    return lines + (["", *(f"- {each}" for each in case["targets"])] if case["targets"] else [])


def store(answer: dict[str, Any], room: str, place: Place, folder: Path, *, quick: bool) -> Path:
    """Write gpu-ROOM-DATE.json and .md, or stand-in-..., with -quick- before the date of a dry run; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    where, rates = machine(), limits(place, quick=quick)
    document = {"machine": where, "device": place.name, "limits": rates, "question": answer}
    device = "gpu" if place.torch_device == "cuda" else "stand-in"
    stem = folder / f"{device}-{room}{'-quick' if quick else ''}-{where['date']}"
    stem.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    page = stem.with_suffix(".md")
    page.write_text(markdown(document, room), encoding="utf-8")
    print(f"\n{page}")
    return page


def markdown(document: dict[str, Any], room: str) -> str:
    """Return the page."""
    where, answer = document["machine"], document["question"]
    rates = ", ".join(
        f"{name} {rate / 1e12:.3g} {'TB/s' if name == 'copy' else 'Tflop/s'}"
        for name, rate in document["limits"].items()
    )
    lines = [
        f"# {room} on a device, {where['date']}",
        "",
        f"{document['device']}. {machine_line(where)}",
        "",
        f"Limits of this run: {rates}.",
        "",
        "Medians of runs in turns, timed by events on the stream. Ratio: over the time of the first row. Of limit: the",
        "time that the bytes or flops of the answer take at the rate of the limit that binds, over the time taken.",
        f"Error: {answer['error_name']}.",
        "",
        f"## {answer['title']}",
        "",
        answer["note"],
    ]
    for case in answer["cases"]:
        lines += _section(case)
    return "\n".join(lines) + "\n"
