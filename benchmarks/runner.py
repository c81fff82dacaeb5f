"""The harness: contenders interleaved in one process, medians, errors beside times, at one thread and at all."""

import statistics
import time
import tracemalloc
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from threadpoolctl import threadpool_limits

import lina
from benchmarks.limits import gemm_rate


@dataclass(frozen=True)
class Target:
    """``ratio`` demanded of time(peer) / time(contender), that of memory, and the error allowed beside the peer's."""

    contender: str
    peer: str
    ratio: float
    error_factor: float | None = None
    memory_ratio: float | None = None


def peak_of_arrays(call: Callable[[], Any]) -> float:
    """Return the peak of what Python and numpy allocate in one call, in MB; torch's tensors are not seen."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@dataclass
class Case:
    """One row of contenders on one input; ``error`` judges what a contender returned, untimed, ``peak`` its memory."""

    name: str
    contenders: dict[str, Callable[[], Any]]
    error: Callable[[Any], float]
    targets: list[Target] = field(default_factory=list)
    flops: float | None = None
    at_least_rounds: int = 3
    peak: Callable[[Callable[[], Any]], float] = peak_of_arrays


@dataclass
class Question:
    """``cases(quick)`` yields the cases one by one, so that only one input is in memory."""

    title: str
    cases: Callable[[bool], Any]
    error_name: str = "error"
    note: str | Callable[[], str] = ""


@contextmanager
def one_thread(on: bool) -> Any:
    """Hold BLAS, torch and lina to one thread."""
    if not on:
        yield
        return
    before = lina.get_threads()
    torch = _torch()
    torch_before = torch.get_num_threads() if torch else 0
    lina.set_threads(1)
    if torch:
        torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        lina.set_threads(before)
        if torch:
            torch.set_num_threads(torch_before)


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch


def run(question: Question, *, quick: bool = False, all_threads: bool = True) -> dict[str, Any]:
    """Return the tables of a question, and print them as they come."""
    print(f"\n{question.title}", flush=True)
    note = question.note if isinstance(question.note, str) else question.note()
    cases = [_run_case(case, quick, all_threads) for case in question.cases(quick)]
    return {"title": question.title, "error_name": question.error_name, "note": note, "cases": cases}


def _run_case(case: Case, quick: bool, all_threads: bool) -> dict[str, Any]:
    rows = {name: {"error": case.error(call()), "memory": case.peak(call)} for name, call in case.contenders.items()}
    modes = (("cpu_1", True, time.process_time), ("wall_all", False, time.perf_counter))
    for key, single, clock in modes[: 2 if all_threads else 1]:
        with one_thread(single):
            for name, seconds in _interleave(case, clock, quick).items():
                rows[name][key] = seconds
    if case.flops is not None:
        with one_thread(True):
            limit = case.flops / gemm_rate()
        for row in rows.values():
            row["share_of_limit"] = limit / row["cpu_1"]
    verdicts = [] if quick else [_judge(target, rows) for target in case.targets]
    print_case(case.name, rows, verdicts)
    return {"name": case.name, "rows": rows, "targets": verdicts}


def _interleave(case: Case, clock: Callable[[], float], quick: bool) -> dict[str, float]:
    """Return the median seconds of each contender; short ones are called often enough to be measured."""
    repeats = {}
    for name, call in case.contenders.items():
        start = clock()
        call()
        repeats[name] = 1 if quick else max(1, min(50, int(0.02 / max(clock() - start, 1e-6))))
    times: dict[str, list[float]] = {name: [] for name in case.contenders}
    for _ in range(1 if quick else case.at_least_rounds):
        for name, call in case.contenders.items():
            start = clock()
            for _ in range(repeats[name]):
                call()
            times[name].append((clock() - start) / repeats[name])
    return {name: statistics.median(each) for name, each in times.items()}


def _judge(target: Target, rows: dict[str, dict[str, float]]) -> str:
    ours, peer = rows[target.contender], rows.get(target.peer)
    if peer is None:
        return f"{target.peer}: not installed"
    ratio = peer["cpu_1"] / ours["cpu_1"]
    met = ratio >= target.ratio
    text = f"{target.contender} {ratio:.2f}x {target.peer} (wanted {target.ratio:g}x)"
    if target.error_factor is not None:
        factor = ours["error"] / max(peer["error"], 1e-16)
        met = met and factor <= target.error_factor
        text += f", error {factor:.2g} of its (allowed {target.error_factor:g})"
    if target.memory_ratio is not None:
        factor = peer["memory"] / max(ours["memory"], 1e-3)
        met = met and factor >= target.memory_ratio
        text += f", {factor:.3g}x less memory (wanted {target.memory_ratio:g}x)"
    return f"{'met' if met else 'MISSED'}: {text}"


def print_case(name: str, rows: dict[str, dict[str, float]], verdicts: list[str]) -> None:
    """Print one table."""
    print(f"\n  {name}")
    print(f"  {'':<34}{'1 thread':>10}{'ratio':>8}{'all':>10}{'error':>10}{'MB':>8}{'of limit':>10}")
    ours = next(iter(rows.values()))["cpu_1"]
    for contender, r in rows.items():
        share = f"{r['share_of_limit']:.0%}" if "share_of_limit" in r else ""
        numbers = f"{r['cpu_1'] * 1e3:>8.1f}ms{r['cpu_1'] / ours:>8.2f}{r.get('wall_all', 0) * 1e3:>8.1f}ms"
        print(f"  {contender:<34}{numbers}{r['error']:>10.1e}{r['memory']:>8.0f}{share:>10}")
    for line in verdicts:
        print(f"  {line}", flush=True)
