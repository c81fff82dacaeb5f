"""The chapter of the tour on images that are larger than those that a network was trained on."""

import importlib.util
import re
from dataclasses import replace

import numpy as np
import pytest

from lina.__main__ import main
from lina._tour import run

pytestmark = pytest.mark.torch

needs_the_extra = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("matplotlib", "rich", "sklearn", "PIL")),
    reason="NOT TESTED: the figures of the chapter on larger images, because the extra of the tour is not installed: "
    'pip install ".[tour]"',
)
TITLE = "Larger than it was trained"


@pytest.fixture
def diffusion():
    pytest.importorskip("torch")
    from lina._tour import diffusion

    return diffusion


@pytest.fixture
def only_this_chapter(played_alone):
    return played_alone("lina._tour.diffusion")


@pytest.fixture
def rings(diffusion):
    """Return a few rings, a training of three steps and a few samples."""
    (images,) = diffusion.made_rings()
    return replace(images, width=8, steps=3, batch=4, drawn=8)


def test_the_chapter_is_among_those_on_request():
    assert "lina._tour.diffusion" in run.MODELS


def test_a_network_learns_rings_and_draws_larger_ones_with_nothing_installed_but_torch(
    diffusion, only_this_chapter, capsys
):
    assert main(["tour", "--numeric", "--models"]) == 0
    printed = capsys.readouterr().out
    (chapter,) = only_this_chapter
    assert chapter.title == TITLE
    assert len(chapter.rows) == 7
    alone, real = map(float, re.search(r"w = 0 .*alone ([\d.]+), real (-?[\d.]+)", printed).groups())
    assert alone > 1
    assert abs(real) < 0.1
    for kind, count in (("tolerance", 5), ("claim", 2)):
        assert sum(row.kind == kind for row in chapter.rows) == count


@needs_the_extra
def test_a_short_training_fills_the_page_with_three_pictures(
    diffusion, rings, only_this_chapter, monkeypatch, tmp_path
):
    images = replace(rings, drawn=12)
    monkeypatch.setattr(diffusion, "digits", lambda: (images,))
    monkeypatch.setattr(diffusion, "SHARE", 1e6)  # three steps learn nothing
    assert main(["tour", "--models", "--out", str(tmp_path)]) == 0
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<img class="chart" alt="[^"]{40,}" src="data:image/png;base64,iVBOR', html)) == 3
    assert f"<h2>{TITLE}</h2>" in html


def test_guidance_that_does_not_help_fails_its_row(diffusion, rings, monkeypatch):
    monkeypatch.setattr(diffusion, "guided", lambda model, w: model)
    learned = [diffusion.Learned(diffusion.fit(rings)[0], rings, [], {}, {})]
    rows, _ = diffusion.draw(learned)
    assert [row.kind for row in rows] == ["claim", "claim"]
    assert not any(row.holds for row in rows)


def test_guidance_with_another_weight_is_no_projection_and_fails_its_row(diffusion, rings, monkeypatch):
    right = diffusion.guided
    monkeypatch.setattr(diffusion, "guided", lambda model, w: right(model, 0.01))
    means, details = diffusion.learn([], rings)[0]
    assert not means.holds
    assert details.holds


def test_a_blind_model_without_guidance_fails_its_rows(diffusion, monkeypatch):
    models = diffusion.fields.models
    monkeypatch.setattr(diffusion.fields, "models", lambda size, scale: models(size, scale)[:1] * 2)
    rows, _ = diffusion.fields.compare(*diffusion.source_of_noise())
    assert not any(row.holds for row in rows)


def test_the_best_prediction_of_noise_beats_the_blind_one_on_fields_with_its_spectrum(diffusion):
    import scipy.fft

    fields, n, t = diffusion.fields, 32, 0.5
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.arange(n), np.arange(n))) / n
    frequency[0, 0] = 0.5 / n
    x0, noise = rng.standard_normal((2, 200, n, n))
    x0 = scipy.fft.idctn(np.sqrt(0.1) / frequency * x0, axes=(1, 2), norm="ortho")
    alpha, sigma = fields.SCHEDULE.alpha_sigma(t)
    off = [np.mean((fields.best_noise(alpha * x0 + sigma * noise, t, k) - noise) ** 2) for k in (0, 16)]
    assert off[0] < 0.9 * off[1]


def test_rings_are_images_of_the_small_size_from_minus_one_to_one(diffusion):
    (first,), (second,) = diffusion.made_rings(), diffusion.made_rings()
    assert first.x.equal(second.x)
    assert first.x.shape[1:] == (1, diffusion.SIDE, diffusion.SIDE)
    assert -1 <= first.x.min() < -0.9
    assert 0.9 < first.x.max() <= 1
