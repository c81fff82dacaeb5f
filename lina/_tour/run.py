"""Play the chapters: progress, a table in the terminal, a page of pictures."""

import platform
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import lina
from lina._tour.chapter import Chapter

_NEEDED = {"matplotlib": "matplotlib", "rich": "rich", "sklearn": "scikit-learn", "PIL": "pillow"}


def run_tour(out: Path) -> int:
    """Write ``out``/index.html, and return the exit status."""
    missing = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if missing:
        wanted = 'pip install ".[tour]" in a checkout, or pip install "lina-array[tour]"'
        print(f"the tour needs {', '.join(missing)}: {wanted}", file=sys.stderr)
        return 1
    from rich.console import Console

    from lina._tour.page import page

    console = Console()
    start = time.perf_counter()
    chapters = _play(console)
    out.mkdir(parents=True, exist_ok=True)
    target = out / "index.html"
    machine = f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}"
    target.write_text(page(chapters, machine), encoding="utf-8")
    for each in chapters:
        console.print(_table(each))
    console.print(f"{time.perf_counter() - start:.0f} s; the pictures are in {target.resolve()}", soft_wrap=True)
    return 0


def _play(console: Any) -> list[Chapter]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from lina._tour import linalg

    chapters = []
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for chapter, parts in (linalg.chapter(),):
            task = progress.add_task(chapter.title, total=len(parts))
            for name, part in parts:
                progress.update(task, description=name)
                part(chapter)
                progress.advance(task)
            progress.update(task, description=chapter.title)
            chapters.append(chapter)
    return chapters


def _table(chapter: Chapter) -> Any:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(title=chapter.title, title_justify="left", box=SIMPLE)
    for heading in ("question", "answer", "true error", "certificate", "best or peer"):
        table.add_column(heading, justify="right" if heading in ("true error", "certificate") else "left")
    for r in chapter.rows:
        table.add_row(r.question, r.answer, f"{r.true_error:.3g}", f"{r.certificate:.3g}", r.best)
    return table


def run_numeric() -> int:
    """Check every function of the tour on made data, with nothing installed but the dependencies of lina itself."""
    t = np.linspace(0, 1, 300)
    A = 1.0 / (1.0 + t[:, None] + t[None, :200])  # a Cauchy matrix: singular values fall exponentially
    norm = float(np.linalg.norm(A))
    F = lina.linalg.truncated_svd(A, rtol=1e-6, rng=0)
    G = lina.linalg.interpolative(A, rtol=1e-6, rng=0)
    stack = np.cos(np.arange(4000 * 32, dtype=float) ** 2).reshape(4000, 8, 4)
    X, info = lina.linalg.pinv(stack, return_info=True)
    identity = float(np.max(np.linalg.norm(stack @ X @ stack - stack, axis=(1, 2))))
    rows = [
        ("truncated_svd", F.rank, float(np.linalg.norm(A - F.toarray())) / norm, F.error / norm),
        ("interpolative", G.rank, float(np.linalg.norm(A - G.toarray())) / norm, G.error / norm),
        ("pinv, 4000 matrices", int(np.min(info.rank)), identity, 1e-11),
    ]
    for name, rank, true, bound in rows:
        print(f"{name:<20} rank {rank:<3} true error {true:9.2e}  at most {bound:9.2e}")
    return 0 if all(true <= bound for *_, true, bound in rows) else 1
