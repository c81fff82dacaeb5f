"""The tables as JSON and as a dated Markdown page, with the machine they were measured on."""

import datetime
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.limits import copy_bandwidth, gemm_rate

_PACKAGES = ("numpy", "scipy", "numba", "torch", "scikit-learn", "fbpca")


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "gemm float64, 1 thread, GF/s": round(gemm_rate() / 1e9, 1),
        "gemm float32, 1 thread, GF/s": round(gemm_rate("float32") / 1e9, 1),
        "copy, 1 thread, GB/s": round(copy_bandwidth() / 1e9, 1),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def store(answers: list[dict[str, Any]], room: str, folder: Path, *, quick: bool = False) -> Path:
    """Write ROOM-DATE.json and .md, with -quick- before the date of a dry run, and return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    where = machine()
    stem = folder / f"{room}{'-quick' if quick else ''}-{where['date']}"
    document = {"machine": where, "questions": answers}
    stem.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    page = stem.with_suffix(".md")
    page.write_text(markdown(room, where, answers), encoding="utf-8")
    print(f"\n{page}")
    return page


def machine_line(where: dict[str, Any]) -> str:
    """Return what a page says of the machine and of the packages."""
    packages = ", ".join(f"{name} {number}" for name, number in where["packages"].items())
    return f"{where['processor']}, {where['cpus']} CPUs, {where['system']}, Python {where['python']}, {packages}."


def markdown(room: str, where: dict[str, Any], answers: list[dict[str, Any]]) -> str:
    """Return the page: one section per question, one table per case."""
    lines = [
        f"# {room}, {where['date']}",
        "",
        machine_line(where),
        "",
        f"Limits of this run at one thread: product {where['gemm float64, 1 thread, GF/s']} GF/s in float64, "
        f"{where['gemm float32, 1 thread, GF/s']} in float32; copy {where['copy, 1 thread, GB/s']} GB/s.",
        "",
        "Medians of interleaved runs in one process. Ratio: CPU time at one thread over lina's (the first row).",
        "Memory: peak that Python and numpy allocate in a call (torch's tensors where the note says so).",
        "Of limit: the time that the flops of the minimal algorithm take at the rate of a square matrix product, over",
        "the time taken.",
    ]
    for answer in answers:
        lines += ["", f"## {answer['title']}"]
        if answer["note"]:
            lines += ["", answer["note"]]
        for case in answer["cases"]:
            lines += ["", f"### {case['name']}", "", *_table(case, answer["error_name"])]
            lines += ["", *(f"- {verdict}" for verdict in case["targets"])] if case["targets"] else []
    return "\n".join(lines) + "\n"


def _optional(seconds: float | None) -> str:
    return "not run" if seconds is None else f"{seconds * 1e3:.2f}"


def _table(case: dict[str, Any], error_name: str) -> list[str]:
    ours = next(iter(case["rows"].values()))["cpu_1"]
    lines = [
        f"| | 1 thread, ms | ratio | all threads, ms | {error_name} | memory, MB | of limit |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, r in case["rows"].items():
        share = f"{r['share_of_limit']:.0%}" if "share_of_limit" in r else ""
        cells = (
            f"{r['cpu_1'] * 1e3:.2f}",
            f"{r['cpu_1'] / ours:.2f}",
            _optional(r.get("wall_all")),
            f"{r['error']:.1e}",
        )
        lines.append(f"| {name} | {' | '.join(cells)} | {r['memory']:.0f} | {share} |")
    return lines
