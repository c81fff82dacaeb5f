"""The benchmark runner: a wrong contender is shown with its error, a missed target says so."""

import json
from pathlib import Path

import numpy as np
import pytest

import benchmarks.__main__
from benchmarks.__main__ import ON_DEVICE, questions
from benchmarks.report import store
from benchmarks.runner import Case, Question, Target, run


def question():
    x = np.arange(1000.0)
    contenders = {"lina": lambda: x.sum(), "loop": lambda: sum(x.tolist()), "wrong": lambda: x.sum() + 7}
    targets = [Target("lina", "loop", 1.0), Target("lina", "loop", 1e9), Target("lina", "wrong", 0.0, error_factor=1)]
    case = Case("a sum", contenders, lambda y: abs(y - x.sum()), targets, flops=1000.0, at_least_rounds=3)
    return Question("How fast is a sum?", lambda quick: [case], note="a note")


def test_a_table_has_times_errors_memory_and_verdicts(tmp_path, capsys):
    answer = run(question())
    (case,) = answer["cases"]
    assert case["rows"]["wrong"]["error"] == 7
    assert case["rows"]["loop"]["memory"] > case["rows"]["lina"]["memory"]
    assert all(row["cpu_1"] > 0 and row["wall_all"] > 0 for row in case["rows"].values())
    assert [verdict.split(":")[0] for verdict in case["targets"]] == ["met", "MISSED", "met"]
    page = store([answer], "demo", tmp_path)
    text = page.read_text()
    assert "MISSED: lina" in text
    assert "| wrong |" in text
    assert "a note" in text
    assert json.loads(page.with_suffix(".json").read_text())["questions"][0]["cases"][0]["name"] == "a sum"
    assert "How fast is a sum?" in capsys.readouterr().out


def test_the_quick_run_judges_no_target():
    assert run(question(), quick=True)["cases"][0]["targets"] == []


def test_the_questions_of_a_room_are_found_by_their_file_names():
    titles = [each.title for each in questions("linalg")]
    assert len(titles) == len(list(Path(benchmarks.__main__.__file__).parent.glob("linalg_*.py"))) > 3
    assert all(title.endswith("?") for title in titles)


@pytest.mark.parametrize("room", ON_DEVICE)
def test_the_tables_of_a_device_run_on_a_stand_in_and_are_called_so(room, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch", reason="NOT TESTED: the tables of a device, because there is no torch")
    command = ["benchmarks", room, "--device", "stand-in", "--quick", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    benchmarks.__main__.main()
    (page,) = tmp_path.glob("*.md")
    assert page.name.startswith(f"stand-in-{room}-quick-")
    assert "of limit" in page.read_text(encoding="utf-8")
    assert "MISSED" not in capsys.readouterr().out
