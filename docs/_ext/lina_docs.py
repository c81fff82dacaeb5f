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
    """The newest page of every room in benchmarks/results, which are called ROOM-YYYY-MM-DD.md."""

    def run(self) -> list[nodes.Node]:
        newest = {page.stem[: -len("-YYYY-MM-DD")]: page for page in sorted(RESULTS.glob("*.md"))}
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
        return f".. rubric:: {_inline(lines[0].lstrip('# '))}" + (f"\n\n{_block(rest)}" if rest.strip() else "")
    if lines[0].startswith("|"):
        return _table(lines)
    return "\n".join(_inline(line) for line in lines)


def _table(lines: list[str]) -> str:
    rows = [[_inline(cell.strip()) for cell in line.strip().strip("|").split("|")] for line in lines]
    rows = [row for row in rows if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]
    body = "".join("   * - " + "\n     - ".join(row) + "\n" for row in rows)
    return f".. list-table::\n   :header-rows: 1\n\n{body}"


def _inline(text: str) -> str:
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", text)
    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"`\1 <\2>`__", text)


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
