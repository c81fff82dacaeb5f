"""The chapter of the tour that trains networks."""

import importlib.util
import re
import subprocess
import sys

import numpy as np
import pytest

from lina.__main__ import main

DRAWS = ("matplotlib", "rich", "sklearn", "PIL")

needs_the_extra = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in DRAWS),
    reason='NOT TESTED: the chapter on networks, because the extra of the tour is not installed: pip install ".[tour]"',
)

WITHOUT_TORCH = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'torch':
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Block())
from lina.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def models():
    pytest.importorskip("torch")
    from lina._tour import models

    return models


@pytest.fixture
def only_the_networks(played_alone):
    return played_alone("lina._tour.models")


@needs_the_extra
@pytest.mark.parametrize("how", [["--numeric"], []])
def test_without_torch_the_tour_of_networks_says_in_one_sentence_what_it_needs(tmp_path, how):
    command = [sys.executable, "-c", WITHOUT_TORCH, "tour", "--models", "--out", str(tmp_path / "page"), *how]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert 'need torch: pip install "lina-array[torch]"' in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "page").exists()


@pytest.mark.torch
def test_networks_learn_waves_with_nothing_installed_but_torch(models, only_the_networks, capsys):
    assert main(["tour", "--numeric", "--models"]) == 0
    printed = capsys.readouterr().out
    assert [chapter.title for chapter in only_the_networks] == ["Layers that learn"]
    shares = re.findall(r"sample by sample\s+([\d.]+) % right .*as a whole: ([\d.]+) %", printed)
    assert len(shares) == 2
    assert all(float(each) > 95 and each == whole for each, whole in shares)


@pytest.mark.torch
@needs_the_extra
def test_networks_learn_digits_and_every_certificate_of_their_chapter_holds(models, only_the_networks, tmp_path):
    assert main(["tour", "--models", "--out", str(tmp_path)]) == 0
    (chapter,) = only_the_networks
    assert len(chapter.rows) == 6
    assert all(row.holds for row in chapter.rows)
    shares = [float(row.answer.split()[0]) for row in chapter.rows if "right" in row.answer]
    assert len(shares) == 2
    assert min(shares) > 93
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<img class="chart" alt="[^"]{40,}" src="data:image/png;base64,iVBOR', html)) == 4
    assert "Layers that learn" in html


@pytest.mark.torch
def test_a_pole_outside_of_the_circle_fails_its_row(models, monkeypatch):
    monkeypatch.setitem(models.LAYERS, "rtf", {"state": 4, "constraint": None})
    monkeypatch.setattr(models, "fit", lambda model, *_: model.blocks[1].layer.a.data.fill_(1.1))
    ((row,), trained) = models.train("rtf", {}, *models.made_waves())
    assert not row.holds
    assert row.true_error > 1
    assert trained.margin < 0


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["s4d", "rtf"])
def test_the_tour_finds_the_poles_by_other_means_than_the_layers(models, kind):
    import torch

    from lina.torch import RTF, S4D

    layer = {"s4d": S4D, "rtf": RTF}[kind](3, 8).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.from_numpy(np.random.default_rng(parameter.numel()).normal(0, 0.5, parameter.shape)))
    poles = models.poles_of(kind, layer)
    assert np.all(poles.imag >= 0)
    assert np.abs(poles).max() == pytest.approx(1 - float(layer.check_stability().min()), abs=1e-9)


@pytest.mark.torch
def test_training_moves_neither_the_generator_nor_the_threads_of_torch(models):
    import torch

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    with models.undisturbed():
        torch.rand(5)
    assert torch.equal(torch.rand(4), expected)
    assert torch.get_num_threads() == threads
