"""The evidence of extrapolation: trainings go on where they stopped, texts are held out, bars say what was found."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.evidence import extrapolation, extrapolation_models  # noqa: E402
from benchmarks.evidence.extrapolation_models import VARIANTS, Budget, corpus, has_finished, trained  # noqa: E402
from benchmarks.evidence.extrapolation_page import Found, bars, claims  # noqa: E402

TINY = {"width": 64, "depth": 1}
VARIANT = replace(VARIANTS["KeyNorm, log n"], model={"key_norm": True, **TINY})
BUDGET = Budget(steps=6, batch=2, warmup=2)


@pytest.fixture
def training():
    return torch.randint(256, (5000,), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def parameters(model):
    return torch.cat([each.detach().flatten() for each in model.parameters()])


def test_an_interrupted_training_ends_with_the_same_model(tmp_path, training, monkeypatch):
    whole, record, _ = trained(VARIANT, 3, BUDGET, tmp_path / "whole", training)
    descend = extrapolation_models._Run._descend

    def interrupted(run):
        if run.step == 4:
            run.store()
            raise KeyboardInterrupt
        return descend(run)

    with monkeypatch.context() as patched:
        patched.setattr(extrapolation_models._Run, "_descend", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(VARIANT, 3, BUDGET, tmp_path, training)
    assert not has_finished(VARIANT, 3, BUDGET, tmp_path, training)
    continued, again, _ = trained(VARIANT, 3, BUDGET, tmp_path, training)
    assert torch.equal(parameters(whole), parameters(continued))
    assert record["training loss"] == again["training loss"]


def test_a_stored_model_is_read_and_that_of_another_training_is_not(tmp_path, training, monkeypatch):
    first, _, _ = trained(VARIANT, 0, BUDGET, tmp_path, training)
    assert has_finished(VARIANT, 0, BUDGET, tmp_path, training)
    assert not has_finished(VARIANT, 0, replace(BUDGET, lr=0.01), tmp_path, training)
    with monkeypatch.context() as patched:
        patched.setattr(extrapolation_models._Run, "_descend", lambda run: pytest.fail("trained again"))
        assert torch.equal(parameters(first), parameters(trained(VARIANT, 0, BUDGET, tmp_path, training)[0]))
    other, _, _ = trained(VARIANT, 0, replace(BUDGET, lr=0.01), tmp_path, training)
    assert not torch.equal(parameters(first), parameters(other))


def test_no_held_out_text_is_in_the_training_bytes():
    data, texts = corpus("python", 4096)
    assert texts.shape[0] >= 20
    assert texts.shape[1] == 4096
    whole = data.numpy().tobytes()
    assert len(whole) > 5e6
    assert not any(text.numpy().tobytes() in whole for text in texts)


@pytest.mark.parametrize("name", extrapolation.METHODS)
def test_a_method_changes_nothing_in_the_trained_length_unless_its_window_is_shorter(name):
    variant = VARIANTS["RoPE"]
    scaling = extrapolation.METHODS[name](variant, 1.0)
    P, wanted = scaling.position_matrix(256), variant.rotary().position_matrix(256)
    short = name.startswith("ReRoPE") and "256" not in name
    near = np.tril(np.ones((256, 256), bool))
    if short or name.startswith(("sinks", "lambda")):
        near &= np.subtract.outer(range(256), range(256)) < scaling.window
    np.testing.assert_array_equal(P[near], wanted[near])
    np.testing.assert_allclose(scaling.inv_freq(256), variant.rotary().inv_freq(), rtol=1e-12)
    np.testing.assert_allclose(scaling.query_scale(np.arange(256)), 1)


def records(losses):
    """Return one record of RoPE whose methods have the same loss in every context but the first, which has 1."""
    contexts = [256, 512, 4096]
    methods = {
        name: {"plain": {"contexts": contexts, "losses": [[1.0, loss, loss + 0.01 * text] for text in (0, 2)]}}
        for name, loss in losses.items()
    }
    return [{"model": "RoPE", "text": "python", "seed": 0, "methods": methods}]


def test_bars_are_means_over_texts_and_missed_where_one_seed_misses():
    found = records({"untouched": 2.0, "PI": 3.0, "YaRN, ramp of dims": 1.5, "ReRoPE, w 128": 1.05})
    values = {name: (target.judge(each), each) for name, target, each in bars(Found(found))}
    assert values["rise of RoPE at 4096"] == ("met: rise of RoPE at 4096, every run at least 0.5, worst 1.01", [1.01])
    assert values["rise of PI at 512"][1] == [2.0]
    assert values["RoPE above YaRN at 4096"][1] == pytest.approx([0.5])
    assert "rise of Leaky ReRoPE, w 64, k 2s at 4096" not in values
    worse = records({"untouched": 1.2, "PI": 3.0, "YaRN, ramp of dims": 1.5, "ReRoPE, w 128": 1.05})
    worse[0]["seed"] = 1
    values = {name: (target.judge(each), each) for name, target, each in bars(Found(found + worse))}
    assert values["rise of RoPE at 4096"][0].startswith("MISSED")
    assert values["RoPE above YaRN at 4096"][0].startswith("MISSED")


def test_a_claim_counts_as_reproduced_beyond_two_standard_errors_only():
    lines = claims(Found(records({"untouched": 2.0, "NTK": 1.6, "NTK-mixed": 1.5, "window 256": 1.3})))
    verdicts = {line.partition(": ")[2].partition(" (")[0]: line.partition(": ")[0] for line in lines}
    assert verdicts["NTK-mixed is better than NTK"] == "- reproduced"
    assert verdicts["a window alone fails"] == "- not reproduced"
