"""The tour as one HTML file that needs nothing beside it."""

import base64
import platform
import re
from html import escape
from importlib.metadata import version

import lina
from lina._tour.chapter import Chapter, Figure, Row
from lina._tour.run import errors

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2530; --soft: #5a6270; --paper: #ffffff; --line: #e1e4e8;
  --well: #f4f5f7; --good: #00734f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --soft: #a2abb7; --paper: #16191e; --line: #323842; --well: #1e2229; --good: #57c7a0; }
  img.chart { filter: invert(1) hue-rotate(180deg); mix-blend-mode: screen; border-radius: 0; }
  img.photograph { background: #fff; padding: .6rem; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.0625rem/1.62 -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif; }
main { max-width: 47rem; margin: 0 auto; padding: 4.5rem 1.25rem 4rem; }
h1, h2, h3 { line-height: 1.2; letter-spacing: -.012em; font-weight: 650; text-wrap: balance; }
h1 { font-size: clamp(2.1rem, 6vw, 3rem); margin: 0 0 1rem; }
h2 { font-size: 1.75rem; margin: 4.5rem 0 .8rem; padding-top: 1.6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.3rem; margin: 3.6rem 0 .7rem; }
p { margin: 0 0 .9rem; } .lead { font-size: 1.25rem; line-height: 1.5; color: var(--soft); text-wrap: pretty; }
.verdict { margin: 1.8rem 0 0; padding: .9rem 1.1rem; background: var(--well); border-left: 3px solid var(--good);
  border-radius: 3px; } .verdict b { color: var(--good); }
pre { margin: 1.1rem 0; padding: .8rem 1rem; overflow-x: auto; background: var(--well); border-radius: 6px; }
code { font: .84rem/1.6 ui-monospace, "SF Mono", Consolas, "Liberation Mono", monospace; }
figure { margin: 1.3rem 0 0; } img { display: block; width: 100%; height: auto; border-radius: 6px; }
figcaption { margin-top: 1rem; } figcaption p { display: grid; grid-template-columns: 6.2rem 1fr; margin: 0 0 .6rem; }
figcaption b { font-size: .8rem; line-height: 1.72rem; letter-spacing: .05em; text-transform: uppercase;
  color: var(--soft); font-weight: 600; } figcaption p.certified b { color: var(--good); }
table { width: 100%; border-collapse: collapse; font-size: .9rem; line-height: 1.4; margin-top: 1.2rem; }
th, td { padding: .55rem .9rem .55rem 0; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--line); }
th { font-size: .8rem; font-weight: 600; color: var(--soft); } td:last-child, th:last-child { padding-right: 0; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.certificate { color: var(--good); font-weight: 600; }
.certificate small { display: block; color: var(--soft); font-weight: 400; }
.power { white-space: nowrap; } sup { font-size: .72em; line-height: 0; }
.note, footer { color: var(--soft); font-size: .9rem; } .note { margin-top: 1rem; }
footer { margin-top: 4rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
@media (max-width: 40rem) { main { padding-top: 2.5rem; } body { font-size: 1rem; }
  figcaption p { display: block; } figcaption b { display: block; }
  thead { display: none; } tr { display: block; padding: .8rem 0; border-bottom: 1px solid var(--line); }
  td { display: flex; justify-content: space-between; gap: 1.5rem; border: 0; padding: .1rem 0; text-align: right; }
  td::before { content: attr(data-label); color: var(--soft); font-weight: 400; text-align: left; white-space: nowrap; }
  td:first-child { font-weight: 600; text-align: left; padding-bottom: .3rem; }
  td:first-child::before { content: none; } }
"""

_HEADINGS = ("question", "answer", "true error", "certificate", "optimum or peer", "time")


def page(chapters: list[Chapter], seconds: float) -> str:
    """Return the HTML of the whole tour, which took so many seconds."""
    rows = [row for chapter in chapters for row in chapter.rows]
    held = sum(row.holds for row in rows)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>A tour of lina</title><style>{_STYLE}</style></head><body><main><h1>A tour of lina</h1>"
        '<p class="lead">Numerical linear algebra and optimisation in which every answer says how wrong it can be.</p>'
        "<p>Such a statement is called a <em>certificate</em>: an upper bound of the error, delivered with the answer "
        "and at a small part of its cost. All numbers and pictures here were computed on this machine in "
        f"{seconds:.0f} seconds, from real data.</p>"
        f'<p class="verdict"><b>{held} of {len(rows)} certificates hold.</b> Each was compared with the true error, '
        "which the functions did not know.</p>"
        f"{''.join(_chapter(each) for each in chapters)}{_footer()}</main></body></html>\n"
    )


def _chapter(chapter: Chapter) -> str:
    head = "".join(f"<th{_class(h)}>{h}</th>" for h in _HEADINGS)
    return (
        f"<section><h2>{escape(chapter.title)}</h2><p>{escape(chapter.intro)}</p>"
        f"{''.join(_figure(each) for each in chapter.figures)}<h3>All answers of this chapter</h3>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(_row(each) for each in chapter.rows)}</tbody></table>"
        f'<p class="note">{escape(chapter.errors)} A rigorous certificate holds for every input, rounding included. '
        "Certificates are rounded up.</p></section>"
    )


def _figure(figure: Figure) -> str:
    data = base64.b64encode(figure.png).decode()
    kind = "photograph" if figure.photograph else "chart"
    return (
        f"<h3>{escape(figure.title)}</h3><p>{escape(figure.asked)}</p><pre><code>{escape(figure.code)}</code></pre>"
        f'<figure><img class="{kind}" alt="{escape(figure.alt)}" src="data:image/png;base64,{data}">'
        f"<figcaption><p><b>Seen</b><span>{_text(figure.seen)}</span></p>"
        f'<p class="certified"><b>Certified</b><span>{_text(figure.certified)}</span></p></figcaption></figure>'
    )


def _text(text: str) -> str:
    """Return the text as HTML, with powers of ten as such."""
    return re.sub(
        r"([\d.]+)e([+-])0*(\d+)",
        lambda found: f"<span class=power>{found[1]}·10<sup>{found[2].strip('+')}{found[3]}</sup></span>",
        escape(text),
    ).replace("<sup>-", "<sup>\N{MINUS SIGN}")


def _row(row: Row) -> str:
    true, bound = map(_text, errors(row))
    certificate = f"{bound}<small>{escape(row.kind)}</small>"
    question, answer, best = map(_text, (row.question, row.answer, row.best))
    cells = (question, answer, true, certificate, best, f"{1e3 * row.seconds:.1f} ms")
    return (
        "<tr>"
        + "".join(
            f'<td{_class(heading)} data-label="{heading}"><span>{cell}</span></td>'
            for heading, cell in zip(_HEADINGS, cells, strict=True)
        )
        + "</tr>"
    )


def _class(heading: str) -> str:
    if heading == "certificate":
        return ' class="number certificate"'
    return ' class="number"' if heading in ("true error", "time") else ""


def _footer() -> str:
    machine = f"Python {platform.python_version()}, numpy {version('numpy')}, {platform.system()} {platform.machine()}"
    return (
        f"<footer>lina {escape(lina.__version__)}; {escape(machine)}. Data sets: scikit-learn (the photograph "
        "“flower.jpg”, the digits and the tumours of the UCI repository, the diabetes study of Efron, Hastie, "
        "Johnstone and Tibshirani); matplotlib (the voltage of a nerve cell, “membrane.dat”).</footer>"
    )
