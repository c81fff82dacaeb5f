"""Files that may be absent, pages and a table of the newest benchmarks, formulas without a script."""

import importlib
import inspect
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst.directives.images import Figure
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import mock
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


class FigureIfPresent(Figure):
    """A figure that leaves nothing behind where its file does not exist."""

    def run(self) -> list[nodes.Node]:
        page = Path(self.state.document.current_source)
        return super().run() if (page.parent / self.arguments[0]).exists() else []


def newest_results() -> dict[str, Path]:
    """Return the newest page of every room in benchmarks/results, ROOM-YYYY-MM-DD.md; quick runs measure nothing."""
    newest = {page.stem[: -len("-YYYY-MM-DD")]: page for page in sorted(RESULTS.glob("*.md"))}
    return {room: page for room, page in newest.items() if not room.endswith("-quick")}


def write_benchmark_pages(app: Sphinx) -> None:
    """Write benchmarks/ROOM.rst of the newest results, and copy the pictures that they name."""
    folder = Path(app.srcdir) / "benchmarks"
    folder.mkdir(exist_ok=True)
    for room, page in newest_results().items():
        head, *sections = sections_of(page)
        parts = [as_rst(head), *(f".. _{room}-{i}:\n\n{as_rst(part)}" for i, part in enumerate(sections))]
        text = "\n\n".join(parts) + "\n"
        for picture in RESULTS.glob(f"{page.stem}*.png"):
            shutil.copy(picture, folder)
        target = folder / f"{room}.rst"
        if not target.exists() or target.read_text("utf-8") != text:  # an unchanged page is not built again
            target.write_text(text, "utf-8")


def sections_of(page: Path) -> list[str]:
    """Return what stands before the first heading of second level, and each section below one."""
    return re.split(r"^(?=## )", page.read_text("utf-8"), flags=re.MULTILINE)


QUESTIONS = ("question", "times as fast as", "met", "missed")


class BenchmarkSummary(SphinxDirective):
    """A table for each room with results: the questions, the ratios to others, how many targets were met and missed."""

    def run(self) -> list[nodes.Node]:
        text = []
        for room, page in newest_results().items():
            self.env.note_dependency(page)
            rows = [QUESTIONS, *(_summary(f"{room}-{i}", section) for i, section in enumerate(sections_of(page)[1:]))]
            columns = [column for column in zip(*rows, strict=True) if any(column[1:])]  # nothing measured, no column
            title = f"{room}\n{len(room) * '-'}\n\n:doc:`All tables <benchmarks/{room}>`, of {page.stem[-10:]}."
            text.append(f"{title}\n\n{_list_table(zip(*columns, strict=True), ':header-rows: 1')}")
        return self.parse_text_to_nodes("\n".join(text), allow_section_headings=True)


def _summary(label: str, section: str) -> tuple[str, str, str, str]:
    title = section.split("\n", 1)[0].lstrip("# ").replace("`", "")
    met, missed = (len(re.findall(rf"^- (?:.*: )?{verdict}:", section, re.MULTILINE)) for verdict in ("met", "MISSED"))
    ratios: dict[str, list[float]] = {}
    for ratio, peer in re.findall(r"^- (?:met|MISSED): .*? ([\d.]+)x ([^,(]*)", section, re.MULTILINE):
        ratios.setdefault(peer.strip(), []).append(float(ratio))
    peers = [f"{_inline(peer)} {_range(values)}" for peer, values in ratios.items()]
    return f":ref:`{title} <{label}>`", "; ".join(peers), str(met or ""), str(missed or "")


def _range(values: list[float]) -> str:
    least, most = (f"{value:#.2g}" if value < 10 else f"{value:.0f}" for value in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"


class PageSummary(SphinxDirective):
    """A table of all functions and classes that the page documents, each with its first sentence."""

    def run(self) -> list[nodes.Node]:
        source = Path(self.env.doc2path(self.env.docname)).read_text("utf-8")
        directive = r"^\.\. (module|currentmodule|autofunction|autoclass):: ([\w.]+)"
        module, rows = "", []
        for kind, name in re.findall(directive, source, re.MULTILINE):
            if kind.endswith("module"):
                module = name
            else:
                rows.append((f"`~{module}.{name}`", self._first_sentence(module, name)))
        return self.parse_text_to_nodes(_list_table(rows, ":class: stacked"))

    def _first_sentence(self, module: str, name: str) -> str:
        with mock(self.config.autodoc_mock_imports):
            text = inspect.getdoc(getattr(importlib.import_module(module), name)) or ""
        return " ".join(text.split("\n\n")[0].split())


def _list_table(rows: Iterable[Iterable[str]], options: str) -> str:
    body = "".join("   * - " + "\n     - ".join(row) + "\n" for row in rows)
    return f".. list-table::\n   {options}\n\n{body}"


def as_rst(markdown: str) -> str:
    """Return headings, tables, paragraphs, lists and code of a Markdown text as reStructuredText."""
    blocks = re.split(r"(^```.*?^```\s*?$)|\n\s*\n", markdown, flags=re.MULTILINE | re.DOTALL)
    return "\n\n".join(_block(block) for block in blocks if block and block.strip())


def _block(block: str) -> str:
    lines = block.strip("\n").splitlines()
    if lines[0].startswith("```"):
        return "::\n\n" + "\n".join(f"   {line}" for line in lines[1:-1])
    if lines[0].startswith("#"):
        title, rest = lines[0].lstrip("# ").replace("`", ""), "\n".join(lines[1:])
        mark = "=-^"[min(lines[0].index(" "), 3) - 1]
        return f"{_inline(title)}\n{2 * len(title) * mark}" + (f"\n\n{_block(rest)}" if rest.strip() else "")
    if lines[0].startswith("|"):
        return _table(lines)
    pictures = "".join(f"\n\n.. image:: {name}" for name in re.findall(r"`(\S+\.png)`", block))
    return "\n".join(re.sub(r"^\\\*(?= )", "-", _inline(line)) for line in lines) + pictures


def _table(lines: list[str]) -> str:
    rows = [re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in lines if not re.fullmatch(r"[-:|\s]+", line)]
    cells = [[r"\ " + _inline(cell.strip().replace(r"\|", "|")) for cell in row] for row in rows]
    return _list_table(cells, ":header-rows: 1\n   :class: figures")


def _inline(text: str) -> str:
    spans = re.split(r"(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)]+\))", text)
    return "".join(_span(span) if i % 2 else re.sub(r"([\\`*_|])", r"\\\1", span) for i, span in enumerate(spans))


def _span(text: str) -> str:
    if text.startswith("`"):
        return rf"\ `{text}`\ "
    if text.startswith("*"):
        return rf"\ {text}\ "
    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"\\ `\1 <\2>`__\\ ", text)


def _formula(self: Any, node: nodes.Element) -> None:
    block = isinstance(node, nodes.math_block)
    try:
        text = tex2mathml(node.astext(), as_block=block)
    except MathError as error:
        logging.getLogger(__name__).warning("%s", error, location=node)
        text = f"<code>{self.encode(node.astext())}</code>"
    self.body.append(f'<div class="formula">{text}</div>' if block else text)
    raise nodes.SkipNode


def link_bare_name(app: Sphinx, env: Any, node: nodes.Element, text: nodes.Element) -> nodes.Element | None:
    """Link a name without its module to the object that has it, a function or class before a method."""
    if node.get("reftype") != "obj":
        return None
    objects = env.get_domain("py").objects
    found = [full for full in objects if full.endswith("." + node["reftarget"])]
    if not found:
        return None
    full = min(found, key=lambda name: (name.count("."), name))
    return make_refnode(app.builder, node["refdoc"], objects[full].docname, objects[full].node_id, text, full)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("figure-if-present", FigureIfPresent)
    app.add_directive("benchmark-summary", BenchmarkSummary)
    app.add_directive("page-summary", PageSummary)
    app.connect("builder-inited", write_benchmark_pages)
    app.connect("missing-reference", link_bare_name)
    app.add_html_math_renderer("mathml", (_formula, None), (_formula, None))
    return {"parallel_read_safe": True}
