"""Nonsense in any argument of any function of the room ends in an error that names an argument, or in a result."""

import inspect
from dataclasses import fields

import numpy as np
import pytest

from lina import rope
from lina.rope import RotaryScaling
from tests.nonsense import named_errors

HEAD = {"head_dim": 8, "original_length": 64}
GOOD = {
    "average_bases": {"probabilities": [[0.5, 0.5], [0.75, 0.25]]},
    "bucket_of": {"positions": [0, 300], "original_length": 256},
    "complementary_bases": {"candidates": [1e4, 2e4], "count": 2, "head_dim": 8, "length": 16},
    "grid_positions": {},
    "hybrid_layers": {"num_layers": 4, "train_length": 64},
    "inverse_leaky_rerope": {"train_length": 64, "test_length": 128, "head_dim": 8},
    "log_n_scale": {"positions": [1, 2], "original_length": 64},
    "normalise_keys": {"k": [[3.0, 4.0]]},
    "random_positions": {"length": 4, "max_length": 64},
    "rotate": {"x": np.ones((2, 8)), "positions": [0, 1], "inv_freq": np.ones(4)},
    "rotate_axial": {
        "x": np.ones((6, 16)),
        "positions": np.zeros((6, 2)),
        "scalings": [RotaryScaling("none", **HEAD)] * 2,
    },
    "suggest": {"method": "rerope", "train_length": 64, "test_length": 128},
    "turns": {"inv_freq": np.ones(4), "length": 64},
}
FLAGS = {"clipped", "scale_base"}  # anything is true or false, but for arrays, whose error is that of numpy


def functions():
    return sorted(name for name in rope.__all__ if inspect.isfunction(getattr(rope, name)))


def test_every_function_of_the_room_is_tried():
    assert functions() == sorted(GOOD)


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"grid_positions"}))
def test_nonsense_ends_in_an_error_that_names_an_argument(name):
    function = getattr(rope, name)
    parameters = {key: p for key, p in inspect.signature(function).parameters.items() if p.kind is not p.VAR_KEYWORD}
    for argument in parameters.keys() - FLAGS:
        raw = named_errors(lambda value, a=argument: function(**{**GOOD[name], a: value}), parameters)
        assert not raw, argument


def test_nonsense_in_the_shape_of_a_grid_is_named():
    assert not named_errors(lambda value: rope.grid_positions(2, value), ["shape"])
    with pytest.raises(ValueError, match="product of shape must be at most"):
        rope.grid_positions(2**30, 2**17)


def test_more_positions_than_any_memory_holds_are_refused_before_they_are_drawn():
    with pytest.raises(ValueError, match="length times batch must be at most"):
        rope.random_positions(4, 64, batch=2**47)


@pytest.mark.parametrize("field", [each.name for each in fields(RotaryScaling)])
@pytest.mark.parametrize("kind", ["yarn", "longrope", "rerope", "self_extend"])
def test_nonsense_in_a_scaling_is_named(kind, field):
    lists = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "factor": 2.0} if kind == "longrope" else {}
    given = {"kind": kind, **HEAD, **lists, **({"factor": 2.0} if kind == "yarn" else {})}
    assert not named_errors(lambda value: RotaryScaling(**{**given, field: value}), given.keys() | {field})


@pytest.mark.parametrize(
    "entry", ["hidden_size", "head_dim", "max_position_embeddings", "rope_parameters", "rope_theta"]
)
def test_nonsense_in_a_configuration_is_named(entry):
    config = {"hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 64}
    names = [*config, "config", "base", "original_length", "head_dim", entry]
    assert not named_errors(lambda value: RotaryScaling.from_hf({**config, entry: value}), names)


@pytest.mark.parametrize("option", ["kind", "layer_type", "layout", "window", "trained"])
def test_nonsense_in_the_options_beside_a_configuration_is_named(option):
    config = {"hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 64}
    given = {"kind": "rerope"}
    assert not named_errors(lambda value: RotaryScaling.from_hf(config, **{**given, option: value}), [option])
