"""Two directives and a renderer: files that may be absent, the newest benchmark, formulas without a script."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst.directives.images import Figure
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
NONE_YET = "No results have been committed yet."


class FigureIfPresent(Figure):
    """A figure that leaves nothing behind where its file does not exist."""

    def run(self) -> list[nodes.Node]:
        page = Path(self.state.document.current_source)
        return super().run() if (page.parent / self.arguments[0]).exists() else []


class NewestBenchmark(SphinxDirective):
    """The newest page of every room in benchmarks/results: ROOM-YYYY-MM-DD.md; quick runs measure nothing."""

    def run(self) -> list[nodes.Node]:
        newest = {page.stem[: -len("-YYYY-MM-DD")]: page for page in sorted(RESULTS.glob("*.md"))}
        newest = {room: page for room, page in newest.items() if not room.endswith("-quick")}
        if not newest:
            return self.parse_text_to_nodes(NONE_YET)
        for page in newest.values():
            self.env.note_dependency(page)
        return self.parse_text_to_nodes("\n\n".join(as_rst(page.read_text("utf-8")) for page in newest.values()))


def as_rst(markdown: str) -> str:
    """Return headings, tables, paragraphs, lists and code of a Markdown text as reStructuredText."""
    blocks = re.split(r"(^```.*?^```\s*?$)|\n\s*\n", markdown, flags=re.MULTILINE | re.DOTALL)
    return "\n\n".join(_block(block) for block in blocks if block and block.strip())


def _block(block: str) -> str:
    lines = block.strip("\n").splitlines()
    if lines[0].startswith("```"):
        return "::\n\n" + "\n".join(f"   {line}" for line in lines[1:-1])
    if lines[0].startswith("#"):
        rest = "\n".join(lines[1:])
        return f".. rubric:: {_inline(lines[0].lstrip('# ').replace('`', ''))}" + (
            f"\n\n{_block(rest)}" if rest.strip() else ""
        )
    if lines[0].startswith("|"):
        return _table(lines)
    return "\n".join(re.sub(r"^\\\*(?= )", "-", _inline(line)) for line in lines)


def _table(lines: list[str]) -> str:
    rows = [re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in lines if not re.fullmatch(r"[-:|\s]+", line)]
    cells = [[r"\ " + _inline(cell.strip().replace(r"\|", "|")) for cell in row] for row in rows]
    body = "".join("   * - " + "\n     - ".join(row) + "\n" for row in cells)
    return f".. list-table::\n   :header-rows: 1\n   :class: figures\n\n{body}"


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


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("figure-if-present", FigureIfPresent)
    app.add_directive("newest-benchmark", NewestBenchmark)
    app.add_html_math_renderer("mathml", (_formula, None), (_formula, None))
    return {"parallel_read_safe": True}
