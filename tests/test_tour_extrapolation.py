"""The chapter of the tour on reading beyond the trained length."""

import importlib.util
import re

import pytest

from lina.__main__ import main
from lina._tour import run

pytestmark = pytest.mark.torch

needs_the_extra = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("matplotlib", "rich", "sklearn", "PIL")),
    reason="NOT TESTED: the figures of the chapter on long texts, because the extra of the tour is not installed: "
    'pip install ".[tour]"',
)
TITLE = "Reading beyond the trained length"


@pytest.fixture
def extrapolation():
    pytest.importorskip("torch")
    from lina._tour import extrapolation

    return extrapolation


@pytest.fixture
def text_module():
    pytest.importorskip("torch")
    from lina._tour import extrapolation_text

    return extrapolation_text


@pytest.fixture
def only_this_chapter(played_alone):
    return played_alone("lina._tour.extrapolation")


@pytest.fixture
def without_sources(text_module, monkeypatch):
    """Let no folder have any source, as in an installation of compiled files."""
    monkeypatch.setattr(text_module, "_folders", lambda: iter([("nothing", [])]))


def test_the_chapter_is_among_those_on_request():
    assert "lina._tour.extrapolation" in run.MODELS


def test_a_decoder_learns_made_up_words_with_nothing_installed_but_torch(extrapolation, only_this_chapter, capsys):
    assert main(["tour", "--numeric", "--models"]) == 0
    printed = capsys.readouterr().out
    assert [chapter.title for chapter in only_this_chapter] == [TITLE]
    rise, plain = re.search(r"ReRoPE, 16 times.*?([+-][\d.]+) ± .*RoPE: ([+-][\d.]+) ±", printed).groups()
    assert float(plain) > 1
    assert float(rise) < extrapolation.SHARE * float(plain)
    assert len(re.findall(r"byte by byte\s+200 bytes", printed)) == 3
    assert len(re.findall(r"attention\s+200 positions", printed)) == 3


@needs_the_extra
def test_where_no_sources_are_installed_the_page_says_that_its_text_is_made_up(
    without_sources, only_this_chapter, tmp_path
):
    assert main(["tour", "--models", "--out", str(tmp_path)]) == 0
    (chapter,) = only_this_chapter
    assert len(chapter.rows) == 7
    assert all(row.holds for row in chapter.rows)
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "has learned made-up words" in html
    assert len(re.findall(r'<img class="chart" alt="[^"]{40,}" src="data:image/png;base64,iVBOR', html)) == 3
    assert f"<h2>{TITLE}</h2>" in html


def test_every_installation_has_some_text(text_module):
    (text,) = text_module.source_text()
    assert text.name in ("Python's standard library", "the source of numpy", "made-up words")
    assert (text.name == "made-up words") == (text.size == text_module.SMALL)
    assert len(text.scored) >= 8
    assert text.scored.shape[1] == text_module.LONGEST
    assert 0 <= text.scored.min() <= text.scored.max() < 256
    assert len(text.learned) > 50 * text.scored.shape[1]


def test_text_to_score_comes_from_other_files_than_text_to_learn(text_module, monkeypatch, tmp_path):
    monkeypatch.setattr(text_module, "LARGE", text_module.Size(8, 8, 1, 1, 1, 1e-3))
    monkeypatch.setattr(text_module, "SCORED", 4)
    files = [tmp_path / f"{i:02d}.py" for i in range(32)]
    for i, file in enumerate(files):
        file.write_bytes(bytes([i]) * (1500 + i))
    monkeypatch.setattr(text_module, "_folders", lambda: iter([("nothing", []), ("files", files)]))
    (text,) = text_module.source_text()
    held_out = {0, 6, 12, 18}  # of the sixth files, 24 and 30 are not needed and not learned either
    assert text.name == "files"
    assert text.scored.shape == (4, text_module.LONGEST)
    assert set(text.scored.unique().tolist()) == held_out
    assert set(text.learned.tolist()) == set(range(32)) - held_out - {24, 30}


def test_files_that_are_too_short_are_not_scored(text_module, without_sources, monkeypatch, tmp_path):
    files = [tmp_path / f"{i}.py" for i in range(200)]
    for file in files:
        file.write_bytes(b"x" * (text_module.LONGEST - 1))
    monkeypatch.setattr(text_module, "_folders", lambda: iter([("files", files)]))
    (text,) = text_module.source_text()
    assert text.name == "made-up words"


def test_made_up_words_are_the_same_each_time_and_come_in_both_sizes(text_module):
    (first,), (second,) = text_module.made_text(), text_module.made_text()
    assert first.learned.equal(second.learned)
    assert first.scored.equal(second.scored)
    assert first.scored.shape == (8, text_module.LONGEST)


def test_a_remedy_that_does_not_help_fails_its_row(extrapolation, text_module, monkeypatch):
    import torch

    from lina.torch import ExtrapolationTable

    def table(*means):
        losses = torch.tensor([means, means]).double()
        return ExtrapolationTable(extrapolation.CONTEXTS, extrapolation.SEGMENT, False, losses, losses)

    tables = {kind: table(1.0, 1.0, 1.0, 1.0, 2.0) for kind in extrapolation.NAMES}
    monkeypatch.setattr(extrapolation, "fit", lambda *_: None)
    monkeypatch.setattr(extrapolation, "score", lambda *_: tables)
    (row,) = extrapolation.learn([], *text_module.made_text())[0]
    assert not row.holds
    tables["rerope"] = table(1.0, 1.0, 1.0, 1.0, 1.24)
    (row,) = extrapolation.learn([], *text_module.made_text())[0]
    assert row.holds
    assert row.true_error == pytest.approx(0.24)
    assert row.certificate == pytest.approx(0.25)


def test_attention_by_plain_distances_does_not_agree_with_the_definition_of_another_kind(extrapolation):
    *qkv, weights = (x[:, :1] for x in extrapolation.heads())
    plain, rerope = (extrapolation.scaling(kind, 200, 32) for kind in ("none", "rerope"))
    qkv, weights = tuple(x.double() for x in qkv), weights.double()
    found = extrapolation.with_gradients(extrapolation.extrapolated_attention, qkv, weights, plain)
    for scaling, agrees in ((plain, True), (rerope, False)):
        defined = extrapolation.with_gradients(extrapolation.by_definition, qkv, weights, scaling)
        differences = [extrapolation.relative(*pair) for pair in zip(found, defined, strict=True)]
        assert (max(differences) < extrapolation.TOLERANCE) == agrees


@pytest.mark.parametrize("which", ["parts", "single"])
def test_reading_that_differs_in_one_way_is_found(extrapolation, text_module, monkeypatch, which):
    import torch

    (text,) = text_module.made_text()
    model = extrapolation.RotaryDecoder(extrapolation.scaling("none", 64, 16), width=16, depth=1)
    learned = extrapolation.Learned(model, text, {})
    with torch.no_grad():
        assert extrapolation.read_in_three_ways(learned, "rerope") < extrapolation.TOLERANCE
        name = {"parts": "prefill", "single": "step"}[which]
        right = getattr(model, name)
        monkeypatch.setattr(model, name, lambda tokens, caches: right(tokens, caches) * 1.001)
        assert extrapolation.read_in_three_ways(learned, "rerope") > extrapolation.TOLERANCE


@needs_the_extra
def test_lines_of_a_continuation_are_short_and_keep_every_byte(extrapolation):
    from lina._tour import extrapolation_figures

    text = bytes(range(256)) + b"\n\n" + b"x" * 200
    found = extrapolation_figures.lines(text)
    assert max(map(len, found)) <= 78
    assert "".join(found).count("\N{MIDDLE DOT}") == 256 - 95 - 1
    assert "".join(found).count("x") == 201
    assert "" in found


@needs_the_extra
def test_the_page_says_that_far_text_helped_only_where_a_window_is_clearly_worse(extrapolation):
    import torch

    from lina._tour import extrapolation_figures
    from lina.torch import ExtrapolationTable

    def table(last):
        losses = torch.ones(4, 5).double()
        losses[:, -1] = torch.tensor(last)
        return ExtrapolationTable(extrapolation.CONTEXTS, extrapolation.SEGMENT, False, losses, losses)

    tables = {kind: table([1.0, 1.1, 1.2, 1.3]) for kind in extrapolation.BY_POSITION}
    for window, helped in (([1.0, 1.1, 1.2, 1.3], False), ([0.9, 1.3, 1.0, 1.5], False), ([1.1, 1.3, 1.3, 1.5], True)):
        said = extrapolation_figures._what_it_does_not_show(tables | {"window": table(window)})
        assert ("has helped" in said) == helped
        assert ("as good as any" in said) != helped
