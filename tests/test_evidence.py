"""Evidence on real data: runs keep their budgets, missed targets say so, and training is what it says."""

import importlib
import json
import math

import numpy as np
import pytest

from benchmarks.evidence import report
from benchmarks.evidence.report import Target, Task, run_record, store

TASK = Task("demo", "Does it learn?", "A note.", ("accuracy", "wall, s"))


def record(setting, seed, accuracy, *targets):
    return run_record(
        setting, seed, {"accuracy": accuracy, "wall, s": 2.0}, {"epochs": 3, "limit_s": math.inf}, targets
    )


def test_a_page_has_means_over_seeds_ranges_verdicts_and_budgets(tmp_path, capsys):
    wanted = [Target("accuracy", 0.9), Target("wall, s", 1.0, at_least=False, every=True)]
    for seed, accuracy in ((1, 0.96), (0, 0.88)):
        page = store(TASK, record("S4", seed, accuracy, *wanted), folder=tmp_path)
    text = page.read_text()
    assert "| S4 | 0, 1 | 0.92 (0.88 to 0.96) | 2 (2 to 2) |" in text
    assert "- S4: met: accuracy, mean at least 0.9, 0.92" in text
    assert "- S4: MISSED: wall, s, every run at most 1, worst 2" in text
    assert "- Budget of all rows: epochs 3." in text
    assert "demo: S4, seed 0: accuracy 0.88" in capsys.readouterr().out
    runs = json.loads(page.with_suffix(".json").read_text())["tasks"]["demo"]["runs"]
    assert [(run["seed"], run["measures"]["accuracy"]) for run in runs] == [(1, 0.96), (0, 0.88)]


def test_a_run_takes_the_place_of_an_older_one_of_its_setting_and_seed(tmp_path):
    store(TASK, record("S4", 0, 0.1), folder=tmp_path)
    store(TASK, record("S4D", 0, 0.2), folder=tmp_path)
    text = store(TASK, record("S4", 0, 0.3), folder=tmp_path).read_text()
    assert "| S4 | 0 | 0.3 | 2 |" in text
    assert "| S4D | 0 | 0.2 | 2 |" in text
    assert "0.1 |" not in text


def test_a_quick_run_is_stored_apart(tmp_path):
    assert "evidence-quick-" in store(TASK, record("S4", 0, 0.1), quick=True, folder=tmp_path).name


@pytest.mark.parametrize(
    ("at_least", "every", "verdict"),
    [(True, False, "met"), (True, True, "MISSED"), (False, False, "MISSED"), (False, True, "MISSED")],
)
def test_a_target_is_of_the_mean_or_of_every_run(at_least, every, verdict):
    target = Target("accuracy", 0.9, at_least=at_least, every=every)
    assert target.judge([0.85, 0.99]).startswith(verdict)


@pytest.fixture
def learnable():
    """Return the training module, and sequences whose class is the sign of their mean."""
    pytest.importorskip("torch")
    import torch

    from benchmarks.evidence import training

    x = torch.randn(120, 12, 1, generator=torch.Generator().manual_seed(0))
    x = x + torch.where(torch.arange(120) % 2 == 0, 1.0, -1.0)[:, None, None]
    return training, training.Sequences(x, (torch.arange(120) % 2 == 0).long())


def small_model():
    from lina.torch import SequenceClassifier

    return SequenceClassifier(1, 2, width=8, depth=1, state=8)


@pytest.mark.torch
def test_a_model_learns_the_same_from_the_same_seed(learnable):
    training, data = learnable
    budget = training.Budget(epochs=8, batch=16, lr=1e-2)
    model, found = training.train(small_model, data, data, budget, seed=1)
    assert found["accuracy"] > 0.95
    assert found["accuracy"] == training.accuracy(model, data)
    assert list(found["accuracy by epoch"]) == list(range(1, 9))
    assert 0 < found["largest pole"] < 1
    assert training.train(small_model, data, data, budget, seed=1)[1]["accuracy by epoch"] == found["accuracy by epoch"]


@pytest.mark.torch
def test_the_time_limit_ends_training_after_the_epoch(learnable):
    training, data = learnable
    found = training.train(small_model, data, data, training.Budget(epochs=50, batch=16, limit_s=0.0), seed=0)[1]
    assert found["epochs run"] == 1
    assert list(found["accuracy by epoch"]) == [1]


@pytest.mark.torch
def test_every_sample_is_in_one_batch_cut_at_the_longest(learnable):
    import torch

    training, data = learnable
    lengths = torch.randint(1, 13, (120,), generator=torch.Generator().manual_seed(2))
    ragged = training.Sequences(data.x, data.y, lengths)
    batches = list(training._shuffled(ragged, 16, torch.Generator().manual_seed(0)))
    assert sorted(torch.cat(batches).tolist()) == list(range(120))
    for rows in batches:
        x, _, counted = ragged.batch(rows)
        assert x.shape[1] == counted.max() == lengths[rows].max()
    spread = max(int(lengths[rows].max() - lengths[rows].min()) for rows in batches)
    assert spread < 11


@pytest.mark.torch
def test_the_rate_rises_to_its_height_and_falls_to_zero(learnable):
    training, _ = learnable
    optimizer, schedule = training.prepare(small_model(), training.Budget(epochs=1, batch=1, lr=1e-2), steps=100)
    rates = []
    for _ in range(100):
        rates.append(tuple(group["lr"] for group in optimizer.param_groups))
        optimizer.step()
        schedule.step()
    poles, rest = zip(*rates, strict=True)
    assert max(poles) == pytest.approx(1e-3)
    assert max(rest) == pytest.approx(1e-2)
    assert rest[0] == pytest.approx(1e-3)
    assert list(rest[:10]) == sorted(rest[:10])
    assert list(rest[10:]) == sorted(rest[10:], reverse=True)
    assert rest[-1] < 1e-5


@pytest.mark.torch
def test_a_loss_that_is_not_finite_ends_the_run_and_tells_the_poles(learnable):
    import torch

    training, _ = learnable
    model = small_model()
    loss = torch.tensor(math.nan, requires_grad=True)
    with pytest.raises(FloatingPointError, match=r"loss must be finite, got nan: largest pole 0\.9"):
        training.descend(model, loss, *training.prepare(model, training.Budget(epochs=1, batch=1), 1), 1.0)


@pytest.mark.parametrize("late", [0.0, 0.25])
def test_a_ramp_is_interpolated_at_the_centres_of_half_steps(late):
    pytest.importorskip("sklearn")
    from benchmarks.evidence.rate_change import interpolated

    finer = interpolated(np.arange(6.0)[None], late)[0]
    centres = (np.arange(12) + 0.5) / 2 - 0.5 + late
    assert np.allclose(finer[1:-1], centres[1:-1])
    assert interpolated(np.full((2, 5), 3.0), late).tolist() == np.full((2, 10), 3.0).tolist()


@pytest.fixture
def small_data(tmp_path, monkeypatch):
    """Put noise in the place of the data, of their layout, with every class in it."""
    rng, classes = np.random.default_rng(0), np.arange(20, dtype=np.uint8) % 10
    images = rng.integers(0, 256, (20, 28, 28)).astype(np.uint8)
    np.savez(tmp_path / "mnist.npz", x_train=images, y_train=classes, x_test=images, y_test=classes)
    np.savez(
        tmp_path / "fsdd.npz",
        audio=rng.integers(-9999, 9999, 20 * 300).astype(np.int16),
        offsets=300 * np.arange(21),
        digit=classes,
        speaker=np.repeat("george", 20),
        take=np.repeat([0, 5], 10).astype(np.uint8),
    )
    monkeypatch.setenv("LINA_DATA", str(tmp_path))


@pytest.mark.torch
@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("digits", 6),
        ("delayed_copy", 3),
        ("rate_change", 6),
        ("spoken_digits", 3),
        ("sequential_mnist", 6),
        ("state_sweep", 7),
    ],
)
def test_every_task_runs_from_its_command_line(task, settings, small_data, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr("sys.argv", [task, "--quick"])
    module = importlib.import_module(f"benchmarks.evidence.{task}")
    module.main()
    (path,) = (tmp_path / "results").glob("evidence-quick-*.json")
    (stored,) = json.loads(path.read_text())["tasks"].values()
    assert stored["title"] == module.TASK.title
    assert len({run["setting"] for run in stored["runs"]}) == settings
    for run in stored["runs"]:
        shown = [run["measures"][key] for key in module.TASK.measures if key in run["measures"]]
        assert len(shown) >= 3
        assert all(math.isfinite(value) for value in shown)
