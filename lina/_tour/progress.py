"""Progress of a chapter: a live display in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable


def follow(steps: list[tuple[str, Callable[[], None]]], *, live: bool) -> None:
    """Call the steps in order, and show which one runs and for how long."""
    if live and sys.stdout.isatty():
        _follow_live(steps)
        return
    for name, call in steps:
        start = time.perf_counter()
        call()
        print(f"  {name:<40}{time.perf_counter() - start:6.1f} s", flush=True)


def _follow_live(steps: list[tuple[str, Callable[[], None]]]) -> None:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description:<40}"), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns) as progress:
        tasks = [progress.add_task(name, total=None, start=False) for name, _ in steps]
        for task, (_, call) in zip(tasks, steps, strict=True):
            progress.start_task(task)
            call()
            progress.update(task, total=1, completed=1)
