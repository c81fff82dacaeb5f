"""What blocks, models and classifiers of sequences refuse, and what they say."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.torch.layers.block import ResidualBlock  # noqa: E402
from lina.torch.layers.s4d import S4D  # noqa: E402
from lina.torch.layers.sequence import ClassifierState, SequenceClassifier, SequenceModel  # noqa: E402
from tests.torch.sequence_cases import SIZES, block_of, draw, made  # noqa: E402

pytestmark = pytest.mark.torch


def test_a_classifier_refuses_to_run_an_unstable_recurrence():
    model = SequenceClassifier(3, 5, layer="rtf", constraint=None, **SIZES)
    with torch.no_grad():
        for name, parameter in model.blocks[1].layer.named_parameters():
            if name != "D":
                parameter.fill_(-1.0)
    with pytest.raises(ValueError, match="unstable"):
        model.initial_state(2)


MODEL, CLASSIFIER, BLOCK = made(SequenceModel), made(SequenceClassifier), block_of(S4D(4, 8))
STATE, SO_FAR = MODEL.initial_state(2), CLASSIFIER.initial_state(2)
OTHER = made(SequenceModel, state=10).initial_state(2)
SINGLE = made(SequenceModel, dtype=torch.float32).initial_state(2)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ResidualBlock(torch.nn.Linear(3, 3)), TypeError, "layer must be a module with channels.* got Linear"),
        (lambda: ResidualBlock(S4D), TypeError, "layer must be a module with channels"),
        (lambda: ResidualBlock(S4D(3), dropout=1.0), ValueError, r"dropout must be in \[0, 1\), got 1.0"),
        (lambda: ResidualBlock(S4D(3), dropout=-0.1), ValueError, r"dropout must be in \[0, 1\), got -0.1"),
        (lambda: ResidualBlock(S4D(3), dropout=float("nan")), ValueError, "dropout must be finite, got nan"),
        (lambda: ResidualBlock(S4D(3), dropout="0.1"), TypeError, "dropout must be a number, got str"),
        (lambda: SequenceModel(0, 5), ValueError, "in_features must be at least 1, got 0"),
        (lambda: SequenceModel(3, 5.0), TypeError, "out_features must be an int, got float"),
        (lambda: SequenceModel(3, 5, width=0), ValueError, "width must be at least 1"),
        (lambda: SequenceModel(3, 5, depth=0), ValueError, "depth must be at least 1"),
        (lambda: SequenceModel(3, 5, state=0), ValueError, "state must be at least 1"),
        (lambda: SequenceModel(3, 5, layer="s5"), ValueError, "layer must be one of 's4', 's4d', 'rtf' or a .*'s5'"),
        (lambda: SequenceModel(3, 5, layer=None), TypeError, "layer must be one of .* got None"),
        (lambda: SequenceModel(3, 5, layer=S4D, dt_min=0.1), TypeError, "dt_min must not be given with a function"),
        (lambda: SequenceModel(3, 5, layer=lambda _: S4D(5)), ValueError, "layers of width = 64 channels, got 5"),
        (lambda: SequenceModel(3, 5, layer=lambda n: None), TypeError, "layer must be a module .* got NoneType"),
        (lambda: SequenceModel(3, 5, skip=True), TypeError, "skip"),
        (lambda: SequenceClassifier(0, 5), ValueError, "in_channels must be at least 1"),
        (lambda: SequenceClassifier(3, 0), ValueError, "classes must be at least 1"),
        (
            lambda: SequenceClassifier(3, 5, pooling="max"),
            ValueError,
            "pooling must be one of 'mean', 'last', got 'max'",
        ),
        (lambda: SequenceClassifier(3, 5, dropout=1), ValueError, r"dropout must be in \[0, 1\)"),
        (
            lambda: BLOCK(draw(2, 5, 3)),
            ValueError,
            r"x must have shape \(batch, length, channels\) with 4 .*\(2, 5, 3\)",
        ),
        (lambda: BLOCK(draw(2, 5, 4) / 0), ValueError, "x must be finite"),
        (lambda: BLOCK.step(draw(2, 3), None), ValueError, "x_t must have shape"),
        (lambda: BLOCK.step(draw(2, 4), None), TypeError, "state must be a tensor"),
        (lambda: BLOCK.prefill(draw(2, 4)), ValueError, "x must have shape"),
        (lambda: MODEL(draw(2, 5, 4)), ValueError, r"x must have shape .*in_features\) with 3 .* got \(2, 5, 4\)"),
        (lambda: MODEL(draw(5, 3)), ValueError, r"x must have shape .* got \(5, 3\)"),
        (lambda: MODEL(draw(2, 0, 3)), ValueError, "x must have at least one sample"),
        (lambda: MODEL(draw(2, 5, 3) / 0), ValueError, "x must be finite"),
        (lambda: MODEL(torch.zeros(2, 5, 3, dtype=torch.int64)), TypeError, "x must be of a real .*int64"),
        (lambda: MODEL(np.zeros((2, 5, 3))), TypeError, "x must be a torch tensor .* got ndarray"),
        (lambda: MODEL(draw(2, 5, 3).float()), TypeError, "dtype of the parameters, torch.float64, got torch.float32"),
        (lambda: MODEL.step(draw(2, 3) / 0, STATE), ValueError, "x_t must be finite"),
        (lambda: MODEL.step(draw(2, 3), STATE[:1]), TypeError, "state must be a tuple .* 2 blocks, got tuple of 1"),
        (lambda: MODEL.step(draw(2, 3), STATE[0]), TypeError, "state must be a tuple .* got Tensor"),
        (lambda: MODEL.step(draw(2, 3), None), TypeError, "state must be a tuple .* got NoneType"),
        (lambda: MODEL.step(draw(3, 3), STATE), ValueError, r"state must have shape \(3, 6, 4\).* got \(2, 6, 4\)"),
        (lambda: MODEL.step(draw(2, 3), OTHER), ValueError, r"state must have shape \(2, 6, 4\).* got \(2, 6, 5\)"),
        (lambda: MODEL.prefill(draw(2, 5, 3), SINGLE), ValueError, "dtype torch.complex128 .* torch.complex64"),
        (lambda: MODEL.prefill(draw(2, 5, 3), (STATE[0], 0.0)), TypeError, "state must be a tensor .* got float"),
        (lambda: MODEL.initial_state(-1), ValueError, "batch must be at least 0"),
        (lambda: CLASSIFIER(draw(2, 5, 2)), ValueError, r"x must have shape .*in_channels\) with 3"),
        (
            lambda: CLASSIFIER(draw(2, 5, 3), [5]),
            ValueError,
            r"lengths must have shape \(batch,\) = \(2,\), got \(1,\)",
        ),
        (lambda: CLASSIFIER(draw(2, 5, 3), 5), ValueError, r"lengths must have shape .* got \(\)"),
        (lambda: CLASSIFIER(draw(2, 5, 3), [5, 0]), ValueError, "lengths must be in 1..length = 1..5, got 0"),
        (lambda: CLASSIFIER(draw(2, 5, 3), [6, 5]), ValueError, "lengths must be in 1..length = 1..5, got 6"),
        (lambda: CLASSIFIER(draw(2, 5, 3), [5.0, 2.0]), TypeError, "lengths must be integers, got dtype torch.float32"),
        (lambda: CLASSIFIER(draw(2, 5, 3), [True, True]), TypeError, "lengths must be integers, got dtype torch.bool"),
        (
            lambda: CLASSIFIER(draw(2, 5, 3), "ab"),
            TypeError,
            "lengths must be a tensor or a list of integers, got 'ab'",
        ),
        (lambda: CLASSIFIER.step(draw(2, 3), STATE), TypeError, "state must be a ClassifierState, got tuple"),
        (lambda: CLASSIFIER.step(draw(3, 3), SO_FAR), ValueError, r"state must have shape \(3, 6\)"),
        (
            lambda: CLASSIFIER.step(draw(2, 3), SO_FAR._replace(blocks=STATE[:1])),
            TypeError,
            "state.blocks must be a tup",
        ),
        (lambda: CLASSIFIER.step(draw(2, 3), SO_FAR._replace(blocks=OTHER)), ValueError, "state must have shape"),
        (lambda: CLASSIFIER.step(draw(2, 3), SO_FAR._replace(seen=-1)), ValueError, "state.seen must be at least 0"),
        (lambda: CLASSIFIER.prefill(draw(2, 5, 3), ClassifierState(STATE, None, 0)), TypeError, "got NoneType"),
    ],
)
def test_what_does_not_fit_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
