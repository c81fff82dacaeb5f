"""The evidence of upsample guidance: images as they should be, verdicts by seed, a page with every row."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from benchmarks.evidence import upsample_page  # noqa: E402
from benchmarks.evidence.upsample_mnist import BATCH, SCHEDULE, drawn, guided, kept, variants, without_tau  # noqa: E402
from benchmarks.evidence.upsample_models import DENOISERS, Classifier  # noqa: E402

MEASURES = {"precision": 0.9, "recall": 0.9, "confidence": 0.9}


def rows_of(seed, **kids):
    """Return rows of the U-Net with these KIDs, and Frechet distances of ten times as much."""
    names = {"guided": "guided, w = 0.2"}
    return [
        {"network": "U-Net", "seed": seed, "variant": names.get(name, name), "samples": 640, "KID": value,
         "Frechet distance": 10 * value, **MEASURES}
        for name, value in kids.items()
    ]  # fmt: skip


def test_every_seed_has_to_reach_each_bar():
    good, bad = rows_of(0, nearest=1.0, naive=4.0, guided=0.4), rows_of(1, nearest=1.0, naive=4.0, guided=0.6)
    runs = [{"network": "U-Net", "overhead": each} for each in (1.2, 1.3)]
    verdicts = upsample_page.bars(good, runs)
    assert [each.split(":")[0] for each in verdicts] == ["- met"] * 4
    verdicts = upsample_page.bars(good + bad, runs)
    assert [each.split(":")[0] for each in verdicts] == ["- MISSED", "- met", "- met", "- met"]
    assert "worst 0.6" in verdicts[0]
    assert "worst 1.3" in verdicts[3]


def test_without_tau_both_resolutions_are_seen_at_one_time():
    calls = []

    def model(x, t):
        calls.append((x.shape[-1], t))
        return 0.1 * x

    x = torch.randn(2, 1, 32, 32)
    found = without_tau(model)(x, 0.5)
    assert calls == [(32, 0.5), (16, 0.5)]
    calls.clear()
    assert not torch.allclose(guided(model, 0.0)(x, 0.5), found, rtol=1e-3)
    assert calls[1][1] < 0.5


def test_samples_are_drawn_in_batches_the_same_for_a_seed_and_kept_in_256_steps(tmp_path):
    first, again = (drawn(lambda x, t: 0 * x, 16, BATCH + 3, 5) for _ in range(2))
    assert first["images"].shape == (BATCH + 3, 1, 16, 16)
    assert torch.equal(first["images"], again["images"])
    stored = [kept(tmp_path / "some.npz", lambda: first) for _ in range(2)]
    assert torch.equal(stored[0]["images"], stored[1]["images"])
    assert (stored[0]["images"] - first["images"].clamp(-1, 1)).abs().max() <= 1 / 255 + 1e-6
    assert stored[1]["CPU, s"] == first["CPU, s"]


@pytest.mark.parametrize("name", list(DENOISERS))
@pytest.mark.filterwarnings("ignore:model may fail above")
def test_every_variant_of_a_network_predicts_images_of_32_pixels(name):
    model, x = DENOISERS[name](), torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        for variant, make in variants(name, 0).items():
            assert make(model)(x, 0.5).shape == x.shape, variant
    assert SCHEDULE.logsnr(0.5) == pytest.approx(0, abs=1e-9)


def test_the_page_has_every_row_and_the_picture_ten_samples_of_each(tmp_path, monkeypatch):
    monkeypatch.setattr(upsample_page, "classifier", lambda folder, quick: (Classifier(), 0.5))
    monkeypatch.setattr(upsample_page, "images", lambda part: (torch.rand(200, 1, 32, 32), None))
    monkeypatch.setattr(upsample_page, "REFERENCE", 120)
    where = {"date": "2000-01-01", "processor": "one", "cpus": 1, "system": "", "python": "3", "packages": {}}
    monkeypatch.setattr(upsample_page, "machine", lambda: where)
    samples = {name: {"images": torch.rand(12, 1, 32, 32), "CPU, s": 1.0} for name in ("nearest", "naive")}
    training = {"parameters": 5, "loss": 0.1, "CPU, s": 2.0, "budget": {"steps": 3}}
    run = {"network": "U-Net", "seed": 0, "training": training, "samples": samples, "overhead": 1.2}
    page = upsample_page.write([run], quick=True, folder=tmp_path)
    text = page.read_text("utf-8")
    for row in ("real images (floor)", "real images, nearest", "nearest", "naive"):
        assert f"| {row} | 0 | 12 |" in text
    (path,) = tmp_path.glob("*.png")
    from PIL import Image

    with Image.open(path) as image:
        assert image.size == (340, 68)
