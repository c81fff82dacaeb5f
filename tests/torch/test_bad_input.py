"""Nonsense in any argument of a network, of attention and its cache, and of `extend` ends in an error that names it."""

import inspect

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.diffusion import cosine  # noqa: E402
from lina.rope import RotaryScaling  # noqa: E402
from lina.torch import (  # noqa: E402
    EMA,
    RTF,
    S4,
    S4D,
    CouplingFlow,
    DiffusionLoss,
    IdempotentLinearizer,
    KeyNormAttention,
    LegSMemory,
    ResidualBlock,
    RotaryAttention,
    RotaryCache,
    RotaryDecoder,
    SequenceClassifier,
    SequenceModel,
    UNet,
    UViT,
    decode_attention,
    extrapolated_attention,
    merge_attention,
)
from tests.nonsense import named_errors  # noqa: E402

SCALING = RotaryScaling("rerope", head_dim=4, original_length=16, window=8)
X = torch.zeros(1, 2, 5, 4)


def filled():
    cache = RotaryCache(SCALING)
    cache.append(X, X)
    return cache


CALLS = {
    "extrapolated_attention": (extrapolated_attention, {"q": X, "k": X, "v": X, "scaling": SCALING}),
    "decode_attention": (decode_attention, {"q": X[:, :, :1], "cache": filled()}),
    "merge_attention": (merge_attention, {"outs": [X, X], "lses": [X[..., 0], X[..., 0]]}),
    "RotaryCache": (RotaryCache, {"scaling": SCALING}),
    "append": (lambda k, v: filled().append(k, v), {"k": X, "v": X}),
    "crop": (lambda length: filled().crop(length), {"length": 2}),
    "reorder": (lambda index: filled().reorder(index), {"index": torch.tensor([0])}),
    "RotaryAttention": (RotaryAttention, {"width": 8, "heads": 2, "head_dim": 4}),
    "KeyNormAttention": (KeyNormAttention, {"width": 8, "heads": 2, "head_dim": 4}),
    "RotaryDecoder": (RotaryDecoder, {"scaling": SCALING, "width": 8, "depth": 1, "vocabulary": 5}),
    "CouplingFlow": (CouplingFlow, {"features": 4}),
    "DiffusionLoss": (DiffusionLoss, {"schedule": cosine()}),
    "EMA": (EMA, {"model": torch.nn.Linear(2, 2)}),
    "IdempotentLinearizer": (IdempotentLinearizer, {"g": CouplingFlow(4), "features": 4, "rank": 2}),
    "LegSMemory": (LegSMemory, {}),
    "RTF": (RTF, {"channels": 2}),
    "ResidualBlock": (ResidualBlock, {"layer": S4D(4)}),
    "S4": (S4, {"channels": 2, "state": 4}),
    "S4D": (S4D, {"channels": 2}),
    "SequenceClassifier": (SequenceClassifier, {"in_channels": 1, "classes": 3, "width": 4, "depth": 1}),
    "SequenceModel": (SequenceModel, {"in_features": 1, "out_features": 3, "width": 4, "depth": 1}),
    "UNet": (UNet, {"channels": 1, "width": 8, "levels": (1, 2)}),
    "UViT": (UViT, {"channels": 1, "size": 8, "width": 16, "depth": 2}),
}
# Anything is true or false; options go to a layer.
LOOSE = {"rotary", "key_norm", "return_lse", "bidirectional", "return_all", "normalize", "options"}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_nonsense_ends_in_an_error_that_names_an_argument(name):
    function, good = CALLS[name]
    function(**good)
    for argument in inspect.signature(function).parameters.keys() - LOOSE:
        raw = named_errors(lambda value, a=argument: function(**{**good, a: value}), [argument])
        assert not raw, argument


@pytest.mark.parametrize("argument", ["tokens", "count", "scaling"])
def test_nonsense_in_the_calls_of_a_decoder_is_named(argument):
    model = RotaryDecoder(SCALING, width=8, depth=1, vocabulary=5)
    good = {"tokens": torch.zeros(1, 3, dtype=torch.int64), "count": 1}
    assert not named_errors(lambda value: model.generate(**{**good, argument: value}), [argument])


@pytest.mark.parametrize("argument", ["model", "scaling", "length"])
def test_nonsense_in_extend_is_named(argument):
    pytest.importorskip("transformers", reason="NOT TESTED: extend, because there is no transformers")
    from lina.torch import extend
    from tests.torch.huggingface_cases import model_of, scaling_of

    model = model_of("Llama")
    good = {"model": model, "scaling": scaling_of(model)}

    def call(value):
        extend(**{**good, argument: value}).undo()

    assert not named_errors(call, [argument])
