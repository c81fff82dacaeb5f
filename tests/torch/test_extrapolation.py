"""The table of extrapolation: one segment, growing contexts, pairs of texts, and errors that name what is wrong."""

import math
from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.torch import ExtrapolationTable, evaluate_extrapolation  # noqa: E402

VOCABULARY = 7


def texts(n=5, length=64, seed=0):
    return torch.randint(VOCABULARY, (n, length), generator=torch.Generator().manual_seed(seed))


class Output:
    """What models of transformers return."""

    def __init__(self, logits):
        self.logits = logits


def uniform(tokens):
    return torch.zeros(*tokens.shape, VOCABULARY)


class Recorder:
    """Predicts what followed the last occurrence of the token; keeps what it was given."""

    def __init__(self, sure=5.0):
        self.sure, self.seen = sure, []

    def __call__(self, tokens):
        self.seen.append(tokens.clone())
        logits = torch.zeros(*tokens.shape, VOCABULARY)
        for b, t in np.ndindex(*tokens.shape):
            before = [s for s in range(t) if tokens[b, s] == tokens[b, t]]
            if before:
                logits[b, t, tokens[b, before[-1] + 1]] = self.sure
        return logits


def defined(model, text, context, segment, tiled_from=None):
    """Return loss and accuracy of one text, token by token."""
    seen = text[-context:]
    if tiled_from is not None:
        seen = torch.cat([text[-tiled_from:]] * (context // tiled_from + 1))[-context:]
    logits = model(seen[None])[0].double()
    losses, right = [], []
    for t in range(context - segment, context):
        p = torch.softmax(logits[t - 1], 0)
        losses.append(-math.log(p[seen[t]]))
        right.append(int(logits[t - 1].argmax()) == int(seen[t]))
    return np.mean(losses), np.mean(right)


@pytest.mark.parametrize("repeated", [False, True])
def test_each_entry_is_the_mean_over_the_last_tokens_by_its_definition(repeated):
    data = texts()
    table = evaluate_extrapolation(Recorder(), data, (16, 24, 64), 10, repeated=repeated, batch=2)
    for (i, text), (j, context) in product(enumerate(data), enumerate((16, 24, 64))):
        loss, right = defined(Recorder(), text, context, 10, 16 if repeated else None)
        assert float(table.losses[i, j]) == pytest.approx(loss, abs=1e-6)
        assert float(table.accuracies[i, j]) == pytest.approx(right, abs=1e-12)


def test_a_uniform_model_has_the_loss_ln_v_in_every_context():
    table = evaluate_extrapolation(uniform, texts(), (16, 64), 8)
    np.testing.assert_allclose(table.losses, math.log(VOCABULARY), atol=1e-6)
    np.testing.assert_allclose(table.rise()[0], 0, atol=1e-12)


@pytest.mark.parametrize("repeated", [False, True])
def test_every_context_ends_with_the_same_tokens(repeated):
    model, data = Recorder(), texts()
    evaluate_extrapolation(model, data, (16, 24, 64), 10, repeated=repeated, batch=5)
    assert [each.shape for each in model.seen] == [(5, 16), (5, 24), (5, 64)]
    for each in model.seen:
        assert torch.equal(each[:, -16:], data[:, -16:])
    if repeated:
        assert torch.equal(model.seen[2][:, :16], data[:, -16:])
        assert torch.equal(model.seen[1][:, :8], data[:, -8:])


def looks_back(distance):
    """Return a model that predicts the token that came ``distance`` before, nothing where there is none."""

    def model(tokens):
        logits = torch.zeros(*tokens.shape, VOCABULARY)
        earlier = torch.nn.functional.one_hot(tokens[:, : tokens.shape[1] + 1 - distance], VOCABULARY)
        logits[:, distance - 1 :] = 5.0 * earlier
        return logits

    return model


def test_a_model_that_looks_back_far_enough_gains_from_repetition_and_another_does_not():
    far = evaluate_extrapolation(looks_back(16), texts(20), (16, 32), 10, repeated=True)
    assert far.accuracies[:, 1].min() == 1
    assert far.rise()[0][1] < -1.5
    near = evaluate_extrapolation(looks_back(3), texts(20), (16, 32), 10, repeated=True)
    np.testing.assert_allclose(near.rise()[0], 0, atol=1e-12)


def test_the_batch_does_not_change_the_table():
    one, all_ = (evaluate_extrapolation(Recorder(), texts(), (16, 64), 8, batch=batch) for batch in (1, 100))
    assert torch.equal(one.losses, all_.losses)


def test_texts_of_different_lengths_are_cut_at_their_beginning():
    data = texts()
    ragged = [torch.cat([torch.zeros(i, dtype=torch.int64), text]) for i, text in enumerate(data)]
    a, b = (evaluate_extrapolation(Recorder(), each, (16, 64), 8) for each in (data, ragged))
    assert torch.equal(a.losses, b.losses)
    assert torch.equal(a.losses, evaluate_extrapolation(Recorder(), data.to(torch.uint8), (16, 64), 8).losses)


def test_a_half_precision_model_is_scored_in_single_precision():
    def half(tokens):
        return Recorder(sure=3.0)(tokens).to(torch.bfloat16)

    a = evaluate_extrapolation(half, texts(), (16, 64), 8)
    b = evaluate_extrapolation(Recorder(sure=3.0), texts(), (16, 64), 8)
    np.testing.assert_allclose(a.losses, b.losses, atol=1e-6)


def test_logits_of_the_last_rows_alone_are_enough():
    a = evaluate_extrapolation(Recorder(), texts(), (16, 64), 8)
    b = evaluate_extrapolation(lambda tokens: Recorder()(tokens)[:, -9:], texts(), (16, 64), 8)
    assert torch.equal(a.losses, b.losses)
    assert torch.equal(a.accuracies, b.accuracies)


def test_what_is_never_a_target_may_be_impossible():
    def masked(tokens):
        return torch.nn.functional.pad(Recorder()(tokens), (0, 3), value=-math.inf)

    a, b = (evaluate_extrapolation(model, texts(), (16, 64), 8) for model in (Recorder(), masked))
    assert torch.equal(a.losses, b.losses)


def table(losses, contexts=(4, 8), segment=2, repeated=False):
    losses = torch.tensor(losses, dtype=torch.float64)
    return ExtrapolationTable(contexts, segment, repeated, losses, torch.full_like(losses, 0.5))


def test_means_and_errors_are_those_of_texts_and_differences_are_paired():
    a, b = table([[1.0, 2.0], [3.0, 4.5]]), table([[1.0, 1.0], [3.0, 3.5]])
    np.testing.assert_allclose(a.mean, [2.0, 3.25])
    np.testing.assert_allclose(a.standard_error, [1.0, 1.25])
    np.testing.assert_allclose(a.rise()[0], [0, 1.25])
    np.testing.assert_allclose(a.rise()[1], [0, 0.25])
    np.testing.assert_allclose(a.rise(b)[0], [0, 1.0])
    np.testing.assert_allclose(a.rise(b)[1], [0, 0.0])
    np.testing.assert_allclose(a.accuracy, [0.5, 0.5])


def test_one_text_has_no_standard_error():
    assert torch.isnan(table([[1.0, 2.0]]).standard_error).all()
    assert "nan" in str(table([[1.0, 2.0]]))


def test_it_prints_a_row_for_each_context():
    lines = str(table([[1.0, 2.0], [3.0, 4.5]])).splitlines()
    assert lines[0] == "last 2 tokens of 2 texts, nats"
    assert lines[1].split() == ["context", "loss", "s.e.", "rise", "s.e.", "accuracy"]
    assert lines[3].split() == ["8", "3.2500", "1.2500", "+1.2500", "0.2500", "50.00%"]
    assert len(lines) == 4


def test_it_plots_its_means_on_axes_of_ones_own():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    ax = figure.subplots()
    assert table([[1.0, 2.0], [3.0, 4.5]]).plot(ax, label="RoPE") is ax
    np.testing.assert_allclose(ax.containers[0].lines[0].get_xydata(), [[4, 2.0], [8, 3.25]])
    assert ax.get_legend_handles_labels()[1] == ["RoPE"]


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (3, TypeError, "other must be an ExtrapolationTable, got int"),
        (table([[1.0, 2.0]]), ValueError, "other must be of the same 2 texts, got 1"),
        (table([[1.0, 2.0]] * 2, contexts=(4, 9)), ValueError, r"other must have the contexts \(4, 8\), got \(4, 9\)"),
        (table([[1.0, 2.0]] * 2, segment=3), ValueError, "other must have the segment 2, got 3"),
        (table([[1.0, 2.0]] * 2, repeated=True), ValueError, "other must have the repeated False, got True"),
    ],
)
def test_tables_of_other_texts_are_not_compared(other, error, message):
    with pytest.raises(error, match=message):
        table([[1.0, 2.0], [3.0, 4.5]]).rise(other)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"texts": texts(length=63)}, ValueError, r"texts\[0\] must be 1-d with at least 64 tokens, .* got \(63,\)"),
        ({"texts": [texts()[0], texts()[0, 1:]]}, ValueError, r"texts\[1\] must be 1-d with at least 64 tokens"),
        ({"texts": texts().float()}, TypeError, r"texts\[0\] must be a tensor of integers, got torch.float32"),
        ({"texts": ["abc"]}, TypeError, r"texts\[0\] must be a tensor of integers, got str"),
        ({"texts": b"abc"}, ValueError, "texts must be a tensor"),
        ({"texts": []}, ValueError, "texts must be a tensor .* at least one"),
        ({"texts": texts() + 1}, ValueError, "texts must hold tokens from 0 to 6, as the logits have, got 1 to 7"),
        ({"contexts": (16, 16)}, ValueError, r"contexts must ascend, got \(16, 16\)"),
        ({"contexts": ()}, ValueError, "contexts must be a sequence of at least one int"),
        ({"contexts": 16}, ValueError, "contexts must be a sequence of at least one int, got 16"),
        ({"contexts": (16, 32.0)}, TypeError, r"contexts\[1\] must be"),
        ({"segment": 16}, ValueError, "segment must be smaller than the smallest context, 16, got 16"),
        ({"segment": 0}, ValueError, "segment must be"),
        ({"batch": 0}, ValueError, "batch must be"),
        ({"model": lambda t: uniform(t)[:, -1]}, ValueError, r"logits \(4, 16, vocabulary\) .* got shape \(4, 7\)"),
        ({"model": lambda t: uniform(t)[:, 1:]}, ValueError, r"got shape \(4, 15, 7\)"),
        ({"model": object()}, TypeError, "model must be callable .* got object"),
        ({"model": lambda t: t}, TypeError, "model must return a real floating-point tensor .* got torch.int64"),
        ({"model": lambda t: None}, TypeError, "got NoneType"),
        ({"model": lambda t: uniform(t) / 0}, ValueError, "model must return finite logits"),
        ({"model": lambda t: uniform(t) + math.inf}, ValueError, "model must return finite logits"),
        ({"model": lambda t: uniform(t) - math.inf}, ValueError, "model must return finite logits .* of its tokens"),
        ({"model": lambda t: uniform(t)[:, -10:]}, ValueError, r"or \(4, 9, vocabulary\) .* got shape \(4, 10, 7\)"),
        ({"model": lambda t: Output(uniform(t))}, TypeError, "got Output, whose attribute logits is wanted"),
    ],
)
def test_a_wrong_call_is_refused_by_the_name_of_the_argument(change, error, message):
    given = {"model": uniform, "texts": texts(), "contexts": (16, 64), "segment": 8} | change
    with pytest.raises(error, match=message):
        evaluate_extrapolation(**given)


@pytest.mark.parametrize("batch", [np.int64(3), 2**70])
def test_any_whole_number_is_a_batch(batch):
    found = evaluate_extrapolation(uniform, texts(), (16, 64), 8, batch=batch)
    assert torch.equal(found.losses, evaluate_extrapolation(uniform, texts(), (16, 64), 8).losses)
