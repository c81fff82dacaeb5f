"""The command line: every verb, with and without the optional packages."""

import importlib.util
import re
import subprocess
import sys

import pytest

from lina.__main__ import main

OPTIONAL = ("matplotlib", "rich", "sklearn", "PIL")

BLOCKED = f"""
import sys, importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name in {OPTIONAL} else real(name, *a)
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {OPTIONAL}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
from lina.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_info_prints_versions_devices_threads_and_the_cache(capsys):
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    for word in ("lina", "numpy", "numba", "BLAS", "GPU", "threads", "kernel cache"):
        assert re.search(rf"^{word}\s+\S", printed, re.MULTILINE), word


def test_warmup_compiles_every_kernel_for_every_dtype(capsys):
    assert main(["warmup"]) == 0
    assert len(re.findall(r"^pinv_small\s+\S+\s+\d+\.\d\d s$", capsys.readouterr().out, re.MULTILINE)) == 4


def test_the_numeric_tour_needs_no_optional_package():
    done = subprocess.run([sys.executable, "-c", BLOCKED, "tour", "--numeric"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(re.findall("at most", done.stdout)) == 3


def test_the_tour_says_in_one_line_what_it_needs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, "tour", "--out", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "the tour needs matplotlib, rich, scikit-learn, pillow: pip install" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["travel"], ["info", "--fast"]])
def test_an_unknown_verb_or_option_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: lina" in capsys.readouterr().err


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in OPTIONAL),
    reason="NOT TESTED: the tour, because its extra is not installed",
)
def test_the_page_is_whole_in_itself_and_every_certificate_holds(tmp_path, monkeypatch):
    from lina._tour import run

    seen = []
    monkeypatch.setattr(run, "_table", lambda chapter: seen.append(chapter) or chapter.title)
    assert main(["tour", "--out", str(tmp_path)]) == 0
    html = (tmp_path / "index.html").read_text()
    assert not re.search(r"<script|<link|(src|href)=\"(?!data:)", html)
    figures = [figure for chapter in seen for figure in chapter.figures]
    assert html.count("<img ") == len(figures) >= 4
    assert all(figure.alt and figure.caption for figure in figures)
    rows = [row for chapter in seen for row in chapter.rows]
    assert len(rows) >= 7
    assert all(row.true_error <= row.certificate * (1 + 1e-9) for row in rows)
