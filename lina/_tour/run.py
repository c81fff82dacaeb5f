"""Play the chapters: progress, a table in the terminal, a page of pictures."""

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from lina._tour.chapter import Chapter, Part, Row, rounded_up
from lina._tour.progress import follow

# A new chapter is a new row: a module with ``chapter() -> Chapter``.
CHAPTERS = ("lina._tour.linalg", "lina._tour.simplex", "lina._tour.hippo")
# Those that are played on request.
MODELS = ("lina._tour.models", "lina._tour.extrapolation", "lina._tour.diffusion")

_NEEDED = ("matplotlib", "rich", "sklearn", "PIL")
_MISSING = (
    'the tour needs matplotlib, rich, scikit-learn and pillow: pip install "lina-array[tour]" '
    '(or pip install ".[tour]" from a checkout)'
)
_NO_TORCH = (
    'the chapters of --models train networks and need torch: pip install "lina-array[torch]" '
    '(or pip install ".[tour,torch]" from a checkout)'
)


def run_tour(out: Path, *, models: bool = False) -> int:
    """Write ``out``/index.html, with the chapters of networks or without, and return the exit status."""
    if not _is_there(_NEEDED, _MISSING) or (models and not _is_there(("torch",), _NO_TORCH)):
        return 1
    try:
        out.mkdir(parents=True, exist_ok=True)
        target = out / "index.html"
        target.touch()
    except OSError as error:
        print(f"the tour cannot write to {out}: {error.strerror}", file=sys.stderr)
        return 1
    start = time.perf_counter()
    chapters = _play(numeric=False, models=models)
    from lina._tour.page import page

    target.write_text(page(chapters, time.perf_counter() - start), encoding="utf-8")
    _print_tables(chapters)
    print(f"{time.perf_counter() - start:.0f} s. The page with the pictures: {target.resolve()}")
    return _verdict(chapters)


def run_numeric(*, models: bool = False) -> int:
    """Play the chapters on made data, with nothing installed but the dependencies of lina, and torch for networks."""
    if models and not _is_there(("torch",), _NO_TORCH):
        return 1
    chapters = _play(numeric=True, models=models)
    for row in (row for chapter in chapters for row in chapter.rows):
        print(
            f"{row.question:<28} {row.answer:<16} true error {row.true_error:8.2e}, "
            f"at most {float(rounded_up(row.certificate, 3)):8.2e} ({row.kind}); {row.best}"
        )
    return _verdict(chapters)


def _is_there(modules: tuple[str, ...], otherwise: str) -> bool:
    """Return whether all can be imported, and say what to do where one cannot."""
    try:
        for module in modules:
            import_module(module)
    except ImportError:
        print(otherwise, file=sys.stderr)
        return False
    return True


def _play(numeric: bool, models: bool) -> list[Chapter]:
    names = (*CHAPTERS, *MODELS) if models else CHAPTERS
    chapters = [import_module(name).chapter() for name in names]
    for chapter in chapters:
        print(f"{chapter.title}, on made data" if numeric else chapter.title)
        steps = [(part.name, _step(chapter, part, numeric)) for part in chapter.parts if numeric or part.real]
        if not numeric:
            steps.insert(0, ("preparing matplotlib", _prepare))
        follow(steps, live=not numeric)
    return chapters


def _prepare() -> None:
    """Import the drawing library, which builds a cache of fonts when it is new."""
    import_module("lina._tour.style")


def _step(chapter: Chapter, part: Part, numeric: bool) -> Callable[[], None]:
    def call() -> None:
        load = part.made if numeric or part.real is None else part.real
        rows, found = part.compute(*load())
        chapter.rows.extend(rows)
        if not numeric and part.draw is not None:
            from lina._tour.style import look

            with look():
                chapter.figures.extend(part.draw(found))

    return call


def _print_tables(chapters: list[Chapter]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    for chapter in chapters:
        table = Table(box=SIMPLE, show_edge=False, collapse_padding=True)
        for heading in ("question", "answer", "true error", "certificate", "best or peer"):
            justify = "right" if heading in ("true error", "certificate") else "left"
            table.add_column(heading, justify=justify, no_wrap=heading == "question")
        for row in chapter.rows:
            table.add_row(row.question, row.answer, *errors(row), row.best)
        Console().print("", table, "")


def errors(row: Row) -> tuple[str, str]:
    """Return the true error to the nearest, and the certificate rounded up."""
    return f"{row.true_error:.4g}", rounded_up(row.certificate)


def _verdict(chapters: list[Chapter]) -> int:
    failed = [row for chapter in chapters for row in chapter.rows if not row.holds]
    for row in failed:
        print(f"{row.question}: the true error exceeds the certificate", file=sys.stderr)
    return 1 if failed else 0
