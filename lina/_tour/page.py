"""The tour as one HTML file that needs nothing beside it."""

import base64
from html import escape

import lina
from lina._tour.chapter import Chapter, Figure, Row

_STYLE = """
:root { color-scheme: light dark;
  --ink: #1d2430; --soft: #5b6472; --paper: #fdfdfb; --line: #dfe2e6; --accent: #0072B2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #a3abb6; --paper: #15181d; --line: #333a44; --accent: #6cb6e6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 3rem 1.2rem 5rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 1.05rem/1.6 Georgia, "Times New Roman", serif; }
h1 { font-size: 2.4rem; line-height: 1.15; margin: 0 0 .4rem; } h2 { margin: 3.2rem 0 .4rem; font-size: 1.6rem; }
h3 { margin: 2.4rem 0 .6rem; font-size: 1.15rem; } .lead { font-size: 1.2rem; max-width: 42rem; }
figure { margin: 0; } img { width: 100%; height: auto; display: block; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; padding: .4rem; } figcaption, footer { color: var(--soft); font-size: .95rem; margin-top: .6rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font: .88rem/1.4 system-ui, sans-serif; }
th, td { text-align: left; padding: .45rem .7rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font-size: .9em; } b.kind { color: var(--accent); font-weight: 600; }
"""

_HEADINGS = ("question", "answer", "true error", "certificate", "kind", "best possible or peer", "seconds")


def page(chapters: list[Chapter], machine: str) -> str:
    """Return the HTML of the whole tour."""
    body = "".join(_chapter(each) for each in chapters)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>A tour of lina</title><style>{_STYLE}</style></head><body>"
        "<h1>A tour of lina</h1>"
        '<p class="lead">Numerical linear algebra where every answer comes with its certificate. '
        "All numbers and pictures on this page were computed just now, on this machine.</p>"
        f"{body}<footer><p>lina {escape(lina.__version__)}. {escape(machine)}</p></footer></body></html>"
    )


def _chapter(chapter: Chapter) -> str:
    figures = "".join(_figure(each) for each in chapter.figures)
    rows = "".join(_row(each) for each in chapter.rows)
    numbers = {"true error", "certificate", "seconds"}
    head = "".join(f"<th{' class=number' if h in numbers else ''}>{h}</th>" for h in _HEADINGS)
    return (
        f"<section><h2>{escape(chapter.title)}</h2><p>{escape(chapter.intro)}</p>{figures}"
        '<h3>Every answer with its certificate</h3><div class="scroll">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        "<p>Errors are relative to the norm of the data. A <b class=kind>rigorous</b> certificate is an upper bound "
        "for every input, rounding included.</p></section>"
    )


def _figure(figure: Figure) -> str:
    data = base64.b64encode(figure.png).decode()
    return (
        f'<h3>{escape(figure.title)}</h3><figure><img alt="{escape(figure.alt)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
    )


def _row(row: Row) -> str:
    cells = (
        f"<td>{escape(row.question)}</td><td>{escape(row.answer)}</td>"
        f'<td class="number">{row.true_error:.3g}</td><td class="number">{row.certificate:.3g}</td>'
        f"<td><b class=kind>{escape(row.kind)}</b></td><td>{escape(row.best)}</td>"
    )
    return f'<tr>{cells}<td class="number">{row.seconds:.3f}</td></tr>'
