"""Configurations of transformers, there and back; with transformers installed, its own functions to the bit."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from lina.rope import RotaryScaling

SHORT, LONG = np.linspace(1, 1.3, 32).tolist(), np.linspace(1, 40, 32).tolist()
PARAMETERS = {
    "default": {},
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 16.0, "original_max_position_embeddings": 2048},
    "yarn with options": {
        "rope_type": "yarn",
        "factor": 3.7,
        "original_max_position_embeddings": 2048,
        "beta_fast": 24.0,
        "beta_slow": 2.0,
        "truncate": False,
        "attention_factor": 1.19,
    },
    "yarn of deepseek": {
        "rope_type": "yarn",
        "factor": 40.0,
        "original_max_position_embeddings": 4096,
        "mscale": 1.0,
        "mscale_all_dim": 0.707,
    },
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "longrope": {"factor": 32.0, "short_factor": SHORT, "long_factor": LONG, "original_max_position_embeddings": 4096},
}
CASES = [
    {"name": name, "base": base, "heads": heads}
    for name in PARAMETERS
    for base, heads in ((1e4, 32), (5e5, 32), (1e6, 16))
]


def parameters(case):
    given = dict(PARAMETERS[case["name"]])
    rope = {"rope_type": given.pop("rope_type", case["name"]), "rope_theta": case["base"], **given}
    if "short_factor" in rope and case["heads"] == 16:
        rope |= {name: np.repeat(rope[name], 2).tolist() for name in ("short_factor", "long_factor")}
    return rope


def config(case, longest=32768):
    return {
        "rope_parameters": parameters(case),
        "hidden_size": 2048,
        "num_attention_heads": case["heads"],
        "max_position_embeddings": longest,
    }


def in_ulps(a, b):
    """Return the largest distance of two float32 arrays in units of the last place of the second."""
    return float(np.max(np.abs(a.astype(float) - b.astype(float)) / np.spacing(b.astype("float32"))))


def rounding(made):
    """Return what float32 steps may cost, in units of the last place: the formulas in double precision are exact here.

    A power, a quotient and a product round to 2, a divisor from a list is rounded first, and a ramp is off by 1/2 of
    the last place of 1, of which a frequency that is s times smaller sees s times as much.
    """
    return {"longrope": 3, "yarn": 2 + (made.factor or 1) / 2, "llama3": 2 + (made.factor or 1) / 2}.get(made.kind, 2)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_configuration_comes_back_as_it_was(case):
    made = RotaryScaling.from_hf(config(case))
    rope, inv_freq, attention = made.to_hf()
    for name, value in parameters(case).items():
        if name in rope or name not in ("mscale", "mscale_all_dim"):
            assert rope[name] == value, name
    assert inv_freq.dtype == np.float32
    again = RotaryScaling.from_hf({**config(case), "rope_parameters": rope})
    assert again.inv_freq().tolist() == made.inv_freq().tolist()
    assert again.to_hf().attention_factor == attention


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("length", [None, 40000])
def test_the_recipe_in_single_precision_differs_by_its_rounding(case, length):
    made = RotaryScaling.from_hf(config(case))
    assert in_ulps(made.inv_freq(length), made.to_hf(length).inv_freq) <= rounding(made)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("length", [None, 1000, 40000])
def test_transformers_has_the_same_bits(case, length):
    torch = pytest.importorskip("torch")
    utils = pytest.importorskip("transformers.modeling_rope_utils")
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    given = LlamaConfig(**config(case), head_dim=2048 // case["heads"])
    kind = parameters(case)["rope_type"]
    default = LlamaRotaryEmbedding.compute_default_rope_parameters
    function = default if kind == "default" else utils.ROPE_INIT_FUNCTIONS[kind]
    expected, attention = function(given, device="cpu", seq_len=length)
    made = RotaryScaling.from_hf(given)
    _, inv_freq, factor = made.to_hf(length, xp=torch)
    assert inv_freq.dtype == torch.float32
    assert torch.equal(inv_freq, expected)
    assert factor == attention
    assert in_ulps(made.inv_freq(length), expected.numpy()) <= rounding(made)


@pytest.mark.parametrize(("kind", "options"), [
    ("ntk", {}),
    ("ntk_fixed", {"logit_scale": "yarn"}),
    ("ntk_mixed", {"logit_scale": 1.3}),
    ("yarn", {"ramp": "turns", "logit_scale": "yarn"}),
])  # fmt: skip
def test_kinds_that_transformers_has_not_are_written_in_its_own_types(kind, options):
    made = RotaryScaling(kind, head_dim=64, original_length=256, factor=8, **options)
    rope, inv_freq, attention = made.to_hf()
    whole = {"rope_parameters": rope, "head_dim": 64, "max_position_embeddings": 2048}
    back = RotaryScaling.from_hf(whole)
    assert back.kind == ("none" if kind == "ntk" else "longrope")
    np.testing.assert_allclose(back.inv_freq(2048), made.inv_freq(), rtol=1e-14)
    np.testing.assert_allclose(back.query_scale([7]), made.query_scale([7]), rtol=1e-14)
    assert attention**2 == pytest.approx(made.query_scale(7))
    assert in_ulps(made.inv_freq(), inv_freq) <= 3


def test_the_attention_factor_of_yarn_is_squared_on_the_logits():
    made = RotaryScaling.from_hf(config({"name": "yarn", "base": 1e4, "heads": 32}))
    assert made.logit_scale == "yarn"
    assert made.to_hf().attention_factor == 0.1 * math.log(16) + 1
    np.testing.assert_allclose(made.query_scale([0]), (0.1 * math.log(16) + 1) ** 2)


def test_another_kind_takes_what_belongs_to_the_model_alone():
    llama3 = config({"name": "llama3", "base": 5e5, "heads": 16})
    made = RotaryScaling.from_hf(llama3, kind="self_extend", group=4, window=1024, layout="interleaved")
    trained = RotaryScaling.from_hf(llama3, layout="interleaved")
    wanted = {"head_dim": 128, "base": 5e5, "layout": "interleaved"}
    assert made == RotaryScaling("self_extend", group=4, window=1024, original_length=32768, trained=trained, **wanted)
    assert made.inv_freq().tolist() == trained.inv_freq().tolist()
    assert eval(repr(made)) == made
    ntk = RotaryScaling.from_hf(llama3, kind="ntk", factor=4.0, layout="interleaved")
    assert ntk == RotaryScaling("ntk", factor=4.0, original_length=8192, **wanted)
    assert RotaryScaling.from_hf(llama3, factor=4.0).inv_freq()[-1] == 2 * RotaryScaling.from_hf(llama3).inv_freq()[-1]
    short = RotaryScaling.from_hf(llama3, kind="rerope", original_length=4096)
    assert (short.window, short.trained) == (2048, RotaryScaling.from_hf(llama3))
    with pytest.raises(ValueError, match="rotary_dim must be that of trained, 128, got 64"):
        RotaryScaling.from_hf(llama3, kind="rerope", rotary_dim=64)
    plain = RotaryScaling.from_hf(llama3 | {"rope_parameters": None}, kind="rerope", rotary_dim=64)
    assert (plain.trained, plain.rotary_dim) == (None, 64)
    with pytest.raises(TypeError, match="options must be parameters of RotaryScaling, got groups, windows"):
        RotaryScaling.from_hf(llama3, kind="rerope", windows=3, groups=4)
    with pytest.raises(ValueError, match="group must be given for kind 'self_extend'"):
        RotaryScaling.from_hf(llama3, kind="self_extend")


def test_older_configurations_and_parts_of_heads_are_read():
    old = SimpleNamespace(
        rope_scaling={"type": "su", "short_factor": SHORT[:8], "long_factor": LONG[:8]},
        rope_theta=5e4,
        partial_rotary_factor=0.5,
        hidden_size=256,
        num_attention_heads=8,
        max_position_embeddings=4096,
        original_max_position_embeddings=1024,
    )
    made = RotaryScaling.from_hf(old, layout="interleaved")
    assert (made.kind, made.base, made.rotary_dim, made.head_dim) == ("longrope", 5e4, 16, 32)
    assert (made.factor, made.original_length, made.layout) == (4.0, 1024, "interleaved")
    assert made.to_hf().rope_parameters["partial_rotary_factor"] == 0.5


def test_each_part_of_a_head_survives_the_rounding_of_its_share():
    for head_dim in range(2, 130, 2):
        for rotary_dim in range(2, head_dim + 1, 2):
            made = RotaryScaling("none", head_dim=head_dim, rotary_dim=rotary_dim, original_length=8)
            share = made.to_hf().rope_parameters.get("partial_rotary_factor", 1.0)
            assert int(head_dim * share) == rotary_dim


def test_layers_of_different_types_are_told_apart():
    nested = {
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
        "head_dim": 64,
        "max_position_embeddings": 1024,
    }
    full = RotaryScaling.from_hf(nested, layer_type="full_attention")
    assert (full.kind, full.base) == ("linear", 1e6)
    with pytest.raises(ValueError, match="layer_type must be one of 'full_attention', 'sliding_attention', got None"):
        RotaryScaling.from_hf(nested)
    flat = {
        "rope_parameters": nested["rope_parameters"]["full_attention"],
        "head_dim": 64,
        "max_position_embeddings": 64,
    }
    with pytest.raises(ValueError, match=r"layer_type must be None where all layers .* got 'full_attention'"):
        RotaryScaling.from_hf(flat, layer_type="full_attention")


def test_one_factor_for_short_and_long_texts_is_a_logit_scale():
    lists = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "original_max_position_embeddings": 16}
    rope = {"rope_type": "longrope", "rope_theta": 1e4, **lists}

    def scaling(**scales):
        config = {"rope_parameters": rope | scales, "head_dim": 8, "max_position_embeddings": 64}
        return RotaryScaling.from_hf(config)

    assert scaling(short_mscale=1.5, long_mscale=1.5).logit_scale == 2.25
    with pytest.raises(ValueError, match=r"the same short_mscale and long_mscale.* got 1.5 and 1.25"):
        scaling(short_mscale=1.5, long_mscale=1.25)


def test_what_cannot_be_converted_is_refused():
    def scaling(kind="yarn", **options):
        return RotaryScaling(kind, head_dim=8, original_length=64, **options)

    with pytest.raises(ValueError, match=r"config must have a rope_type of default, .*, got 'proportional'"):
        RotaryScaling.from_hf({"rope_parameters": {"rope_type": "proportional"}})
    with pytest.raises(ValueError, match="config must have max_position_embeddings, got a dict without it"):
        RotaryScaling.from_hf({"head_dim": 8})
    shape = {"head_dim": 8, "max_position_embeddings": 64}
    for wrong in ("linear", ["linear"]):
        with pytest.raises(TypeError, match=f"config must have a dict of rope parameters, got {type(wrong).__name__}"):
            RotaryScaling.from_hf({**shape, "rope_scaling": wrong})
    with pytest.raises(TypeError, match="partial_rotary_factor must be a number, got str"):
        RotaryScaling.from_hf({**shape, "partial_rotary_factor": "a"})
    with pytest.raises(ValueError, match="num_attention_heads must be at least 1, got 0"):
        RotaryScaling.from_hf({"hidden_size": 8, "num_attention_heads": 0, "max_position_embeddings": 64})
    lists = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    with pytest.raises(ValueError, match="original_max_position_embeddings must be at least 2, got 1"):
        RotaryScaling.from_hf({**shape, "original_max_position_embeddings": 1, "rope_parameters": lists})
    with pytest.raises(TypeError, match="factor must be a number, got str"):
        RotaryScaling.from_hf({**shape, "rope_parameters": {"rope_type": "yarn", "factor": "a"}})
    with pytest.raises(TypeError, match="attention_factor must be a number, got str"):
        RotaryScaling.from_hf({**shape, "rope_parameters": {"rope_type": "yarn", "attention_factor": "a"}})
    with pytest.raises(ValueError, match="kind must be one of frequencies for transformers, got 'rerope'"):
        scaling("rerope").to_hf()
    with pytest.raises(ValueError, match="schedule must be 'static' or 'local_static', got 'row_bucket'"):
        scaling(schedule="row_bucket").to_hf()
    with pytest.raises(ValueError, match="logit_scale must be None, 'yarn' or a number for transformers, got 'log_n'"):
        scaling(factor=2, logit_scale="log_n").to_hf()
    with pytest.raises(ValueError, match="logit_scale must be None for kind 'linear' in transformers, got 'yarn'"):
        scaling("linear", factor=2, logit_scale="yarn").to_hf()


def test_the_local_schedule_is_written_for_one_length():
    local = RotaryScaling("yarn", head_dim=8, original_length=64, schedule="local_static", logit_scale="yarn")
    rope, _, attention = local.to_hf(256)
    assert (rope["factor"], attention) == (4.0, 0.1 * math.log(4) + 1)
