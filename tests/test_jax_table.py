"""docs/jax.rst says of every row of the table of operations whether jax compiles, differentiates and batches it."""

import re
from pathlib import Path

import pytest

from tests.jax_table import ROWS, TRANSFORMS, verdict

PAGE = Path(__file__).parents[1] / "docs" / "jax.rst"
LINES = {
    name: tuple(verdicts)
    for name, *verdicts in re.findall(
        r"^   \* - ``(.+)``\n     - (.+)\n     - (.+)\n     - (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
}


def test_every_row_has_a_line_and_every_line_a_row():
    names = {op.name for op in ROWS}
    assert set(LINES) == names, "docs/jax.rst: python -m tests.jax_table prints its tables"
    assert len(LINES) == len(ROWS)


def test_nothing_is_wrong_on_the_page_and_most_is_possible():
    said = [verdict for line in LINES.values() for verdict in line]
    assert set(said) == {"yes", "refused", "no"}
    assert said.count("yes") > len(said) / 2
    assert said.count("no") < len(said) / 20


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
def test_jax_does_what_the_page_says(op, transform):
    pytest.importorskip("jax", reason="NOT TESTED: what jax transforms, because there is no jax")
    assert op.name in LINES, "docs/jax.rst: python -m tests.jax_table prints its tables"
    assert verdict(op, transform) == LINES[op.name][TRANSFORMS.index(transform)]
