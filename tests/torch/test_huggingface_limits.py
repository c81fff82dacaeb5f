"""Extended models of transformers: the way back, copies, training, and everything that is refused."""

import copy
import sys
import warnings

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")
transformers = pytest.importorskip("transformers", reason="NOT TESTED: extend, because there is no transformers")

import lina.torch.huggingface  # noqa: E402
from lina._core.errors import LinaWarning  # noqa: E402
from lina.rope import RotaryScaling  # noqa: E402
from lina.torch import extend  # noqa: E402
from tests.torch.huggingface_cases import LLAMA3, LONGROPE, TRAINED, YARN, extended, model_of, scaling_of, tokens  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def llama():
    return model_of()


def test_models_that_share_a_configuration_and_copies_go_their_own_way():
    config = model_of().config
    one, other = (transformers.LlamaForCausalLM(config).double().eval() for _ in range(2))
    ids = tokens(1, 60)
    before = other(ids).logits
    with extended(one):
        assert torch.equal(other(ids).logits, before)
        twin = copy.deepcopy(one)
        expected = one(ids).logits
    assert torch.equal(twin(ids).logits, expected)
    assert (one(ids).logits - expected).abs().max() > 0.1


def test_undo_can_be_called_without_a_block_and_twice():
    model, ids = model_of(), tokens(1, 60)
    before = model(ids).logits
    extension = extended(model)
    assert (model(ids).logits - before).abs().max() > 0.1
    extension.undo()
    extension.undo()
    assert torch.equal(model(ids).logits, before)


def test_a_failed_extension_leaves_the_model_alone():
    model = model_of("Cohere")
    modules, config = list(model.named_modules()), model.config
    with pytest.raises(ValueError, match="layout of scaling must be that of model, 'interleaved', got 'half'"):
        extended(model)
    assert list(model.named_modules()) == modules
    assert model.config is config
    assert config._attn_implementation == "sdpa"


def test_training_mode_is_warned_of_once():
    model = model_of("GPTNeoX", hidden_dropout=0.5).train()
    model.lm_head.eval()
    with pytest.warns(LinaWarning, match="model is in training mode"):
        extended(model)
    assert model.gpt_neox.emb_dropout.training
    assert not model.lm_head.training
    model = model_of()
    with extended(model), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.train()
        model(tokens(1, 40))
        model(tokens(1, 40))
    assert sum(issubclass(each.category, LinaWarning) for each in caught) == 1


def test_models_that_cannot_be_extended_are_refused():
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=9))
    llama = model_of()
    scaling = scaling_of(llama)
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module of transformers, got str"):
        extend("llama", scaling)
    with pytest.raises(TypeError, match=r"scaling must be a lina.rope.RotaryScaling, got str"):
        extend(llama, "rerope")
    with pytest.raises(ValueError, match=r"one module rotary_emb for all layers, .*got GPT2LMHeadModel with 0"):
        extend(gpt2, scaling)
    with pytest.raises(ValueError, match="call its attention through AttentionInterface, got FalconModel"):
        extend(model_of("Falcon"), scaling)
    with extend(llama, scaling), pytest.raises(ValueError, match="model must not be extended already"):
        extend(llama, scaling)
    with pytest.raises(ValueError, match="full attention in all layers, got sliding_window = 16"):
        extend(model_of("Mistral", sliding_window=16), scaling)
    mixed = model_of("Qwen2", use_sliding_window=True, sliding_window=16, max_window_layers=1)
    with pytest.raises(ValueError, match="full attention in all layers, got sliding_window = 16"):
        extend(mixed, scaling)
    own = model_of(rope_parameters=LLAMA3)
    with pytest.raises(ValueError, match=r"must be what model does to its frequencies, .*'llama3', .*None"):
        extend(own, scaling)
    with pytest.raises(ValueError, match=r"must be what model does to its frequencies, None, got RotaryScaling\('lla"):
        extend(llama, scaling_of(own))
    with pytest.raises(ValueError, match=r"kind of scaling must be 'llama3', which model .* 'linear'"):
        extend(own, RotaryScaling.from_hf(own.config, kind="linear", factor=2.0))
    partial = model_of("Phi", rope_parameters={"partial_rotary_factor": 0.5, **YARN})
    with pytest.raises(
        ValueError, match=r"must rotate whole heads .* an attention factor .*rotary_dim = 8 of head_dim = 16"
    ):
        extend(partial, scaling_of(partial))
    short_only = model_of(
        "Phimoe", torch.float32, rope_parameters={**LONGROPE, "short_mscale": 1.2, "long_mscale": 1.2}
    )
    with pytest.raises(ValueError, match="in all layers, got layer 0: queries that differ"):
        extend(short_only, scaling_of(short_only), length=64)
    images = model_of(rope_parameters={"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]})
    with pytest.raises(ValueError, match="one position for each token, got mrope_section"):
        extend(images, scaling)
    weights = model_of(attn_implementation="eager", output_attentions=True)
    with pytest.raises(ValueError, match="output_attentions of model must be False, got True"):
        extend(weights, scaling)
    without = model_of("SmolLM3", no_rope_layers=[1, 0])
    with pytest.raises(ValueError, match="in all layers, got layer 1: queries that differ"):
        extend(without, scaling_of(without))
    with torch.device("meta"), pytest.raises(ValueError, match="got some on the device 'meta'"):
        extend(model_of(), scaling)


def test_attention_that_is_not_causal_is_refused_before_and_meanwhile():
    model, ids = model_of(), tokens(1, 10)
    attention = model.model.layers[1].self_attn
    with extended(model):
        attention.is_causal = False
        with pytest.raises(ValueError, match="attention must be causal in an extended model, got LlamaAttention"):
            model(ids)
    with pytest.raises(ValueError, match="attention must be causal in an extended model, got LlamaAttention"):
        extended(model)
    attention.is_causal = True
    extended(model).undo()


def test_what_was_undone_begins_no_block_and_a_copy_is_extended_for_good():
    model = model_of()
    extension = extended(model)
    twin = copy.deepcopy(model)
    extension.undo()
    with pytest.raises(RuntimeError, match="extension was undone already"), extension:
        pass
    with pytest.raises(ValueError, match=r"extended already, .* a copy made meanwhile stays extended"):
        extended(twin)


@pytest.mark.parametrize(("given", "message"), [
    ({"head_dim": 32}, "head_dim of scaling must be that of model, 16, got 32"),
    ({"base": 5e5}, r"base of scaling must be that of model, 10000.0, got 500000.0"),
    ({"rotary_dim": 8}, "rotary_dim of scaling must be that of model, 16, got 8"),
    ({"layout": "interleaved"}, "layout of scaling must be that of model, 'half', got 'interleaved'"),
    ({"original_length": 64}, "original_length of scaling must be at most that of model, 32, got 64"),
    ({"kind": "dynamic", "factor": 2.0}, "length must be given where frequencies follow it"),
])  # fmt: skip
def test_a_scaling_for_another_model_is_refused(given, message, llama):
    options = {"head_dim": 16, "original_length": TRAINED, "kind": "rerope"} | given
    with pytest.raises(ValueError, match=message):
        extend(llama, RotaryScaling(**options))


def test_a_window_beyond_the_trained_length_is_refused(llama):
    with pytest.raises(ValueError, match="window must be at most original_length = 32, got 33"):
        scaling_of(llama, window=33)


def test_caches_of_rotated_keys_and_of_other_kinds_are_refused(llama):
    ids, filled = tokens(1, 10), transformers.DynamicCache()
    llama(ids, cache=filled)
    static = transformers.StaticCache(config=llama.config, max_cache_len=50)
    sliding = transformers.DynamicCache(config=model_of("Mistral", sliding_window=8).config)
    with extended(llama):
        with pytest.raises(ValueError, match="cache must be empty or filled by an extended model"):
            llama(ids, cache=filled)
        with pytest.raises(TypeError, match=r"cache must be a DynamicCache of plain layers, .*got 50 places for 10"):
            llama(ids, cache=static)
        with pytest.raises(TypeError, match=r"cache must be a DynamicCache of plain layers, .*got 12 places for 10"):
            llama.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, cache_implementation="static")
        with pytest.raises(TypeError, match=r"cache must be a DynamicCache of plain layers, .*SlidingWindow"):
            llama(ids, cache=sliding)


def test_calls_that_ask_for_other_attention_are_refused(llama):
    ids, packed = tokens(1, 10), torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]])
    cache = transformers.DynamicCache()
    with extended(llama):
        for options in ({"use_cache": True}, {"use_cache": False}):
            with pytest.raises(ValueError, match="packed sequences"):
                llama(ids, position_ids=packed, **options)
        with pytest.raises(ValueError, match="position_ids must count the tokens"):
            llama(ids, position_ids=torch.arange(10)[None] * 2)
        mask, between = torch.ones(1, 11), transformers.DynamicCache()
        mask[:, 8:10] = 0
        llama(ids, attention_mask=mask[:, :10], cache=between)
        with pytest.raises(ValueError, match=r"pass position_ids = attention_mask.cumsum\(-1\) - 1"):
            llama(ids[:, :1], attention_mask=mask, cache=between)
        with pytest.raises(ValueError, match="output_attentions must be False"):
            llama(ids, output_attentions=True)
        with pytest.raises(ValueError, match=r"attention_mask must be None or of shape .*got \(1, 1, 10, 10\)"):
            llama(ids, attention_mask=torch.ones(1, 1, 10, 10, dtype=torch.bool))
        llama(ids, cache=cache)
        with pytest.raises(TypeError, match="got 12 places for 10 positions"):
            llama(ids, attention_mask=torch.ones(1, 12), use_cache=False)
        with pytest.raises(ValueError, match=r"\(1, 11\), those in the cache included, got \(1, 1\)"):
            llama(ids[:, :1], attention_mask=torch.ones(1, 1), cache=cache)


def test_another_attention_is_not_put_in_place_meanwhile(llama):
    ids = tokens(1, 10)
    with extended(llama):
        llama.set_attn_implementation("sdpa")
        with pytest.raises(RuntimeError, match="attn_implementation must stay 'lina_extended' until undo"):
            llama(ids)
    other = model_of()
    other.set_attn_implementation("lina_extended")
    with pytest.raises(RuntimeError, match=r"is set by lina.torch.extend\(model, scaling\) alone"):
        other(ids)


def test_dropout_of_attention_is_refused():
    model = model_of(attention_dropout=0.1)
    ids = tokens(1, 10)
    with extended(model):
        model(ids)
        model.train()
        with (
            pytest.warns(LinaWarning),
            pytest.raises(ValueError, match=r"attention_dropout must be 0 in an extended model, got 0.1"),
        ):
            model(ids)


def test_a_missing_transformers_is_named(llama, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    for name in ("interface", "probe"):
        monkeypatch.delattr(lina.torch.huggingface, name, raising=False)
        monkeypatch.delitem(sys.modules, f"lina.torch.huggingface.{name}", raising=False)
    with pytest.raises(ImportError, match=r"extend needs transformers, version 5.24 or later"):
        extended(llama)
