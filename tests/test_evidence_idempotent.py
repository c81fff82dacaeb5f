"""The evidence of idempotent networks: equal sizes and times, a page with every run and a verdict on what collapsed."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from benchmarks.evidence import idempotent_page  # noqa: E402
from benchmarks.evidence.idempotent_digits import Judge, data, judged  # noqa: E402
from benchmarks.evidence.idempotent_models import MODELS, Budget, Turns  # noqa: E402

BUDGET = Budget(cpu_s=0.1, batch=8)


def test_models_are_of_one_size_and_take_the_same_time():
    names = [*MODELS]
    found = Turns(names, data()[0], 0, BUDGET).train()
    sizes = [taken["parameters"] for _, taken in found.values()]
    assert max(sizes) <= 1.1 * min(sizes)
    for name, (_, taken) in found.items():
        assert taken["steps"] >= 1, name
        assert taken["CPU, s"] >= BUDGET.cpu_s, name


def test_turns_do_not_touch_the_random_numbers_of_others():
    def first(names):
        turns = Turns(names, data()[0], 0, BUDGET)
        turns._take_turn(names[-1])
        return turns.trainers[names[-1]].data[:1], turns.random[names[-1]].shape

    assert first(["LSGAN"])[1] == first(["WGAN-GP", "LSGAN"])[1]
    alone, together = (Turns(names, data()[0], 3, BUDGET) for names in (["LSGAN"], ["WGAN-GP", "LSGAN"]))
    together._take_turn("WGAN-GP")
    assert torch.equal(alone.random["LSGAN"], together.random["LSGAN"])
    weights = [next(turns.trainers["LSGAN"].network.parameters()) for turns in (alone, together)]
    assert torch.equal(*weights)


def test_training_images_reach_the_floor_and_one_image_does_not():
    judge = Judge()
    x = data()[0]
    real, one = judge.quality(x[:597]), judge.quality(x[:1].expand(597, -1) + 1e-3 * torch.randn(597, 64))
    assert judge.accuracy > 0.95
    assert real["FD, classifier"] < 1 < 10 < one["FD, classifier"]
    assert real["recall"] > 0.7 > one["recall"]
    assert one["diversity"] < 0.1


def test_the_page_has_every_run_and_says_what_collapsed(tmp_path, monkeypatch):
    monkeypatch.setattr(idempotent_page, "RESULTS", tmp_path)
    judge = Judge()
    trainers = Turns(["IdempotentLinearizer", "IGN, tightness 10"], data()[0], 0, BUDGET).train()
    for name, (trainer, taken) in trainers.items():
        page = idempotent_page.store(name, 0, judged(judge, trainer, 0) | taken, BUDGET, judge.accuracy)
        page = idempotent_page.store(name, 1, judged(judge, trainer, 0) | taken, BUDGET, judge.accuracy)
    text = page.read_text("utf-8")
    assert len(json.loads(page.with_suffix(".json").read_text("utf-8"))["runs"]) == 4
    assert "| IGN, tightness 10 | 0, 1 |" in text
    assert "half the diversity of data: IGN, tightness 10 (2 of 2)" in text  # after a few steps it has learned nothing
    assert "in every run: IdempotentLinearizer." in text
