"""Extended models of transformers are what they were inside the window, and beyond it what the scaling says."""

import copy
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")
transformers = pytest.importorskip("transformers", reason="NOT TESTED: extend, because there is no transformers")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from lina.rope import RotaryScaling  # noqa: E402
from lina.torch import extend  # noqa: E402
from lina.torch.attention import cache as cache_module  # noqa: E402
from lina.torch.huggingface import interface  # noqa: E402
from tests.reference.extrapolated_attention import attention_by_definition  # noqa: E402
from tests.torch.huggingface_cases import (  # noqa: E402
    FAMILIES,
    KINDS,
    SHAPE,
    TRAINED,
    TRAINED_WITH,
    extended,
    in_parts,
    model_of,
    tokens,
)

pytestmark = pytest.mark.torch
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def llama():
    return model_of()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_inside_the_window_a_model_is_what_it_was_and_afterwards_to_the_bit(family, implementation):
    model = model_of(family)
    model.set_attn_implementation(implementation)
    ids = tokens(2, 20)
    layout = FAMILIES[family].get("layout", "half")
    before, config, modules = model(ids).logits, model.config, list(model.named_modules())
    text = str(config)
    with extended(model, window=20, layout=layout):
        torch.testing.assert_close(model(ids).logits, before, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(in_parts(model, ids, [7]), before, rtol=1e-5, atol=1e-5)
    assert torch.equal(model(ids).logits, before)
    assert model.config is config
    assert str(config) == text
    assert config._attn_implementation == implementation
    assert list(model.named_modules()) == modules
    assert not any(module._forward_pre_hooks or hasattr(module, interface.STATE) for module in model.modules())


LINEAR = {"rope_type": "linear", "factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": TRAINED}


# With a part of each head that does not rotate, transformers leaves that out of YaRN's factor.
@pytest.mark.parametrize(
    ("family", "rope"), [("Llama", LINEAR), ("Llama", YARN), ("Qwen3", YARN), ("Phi", LINEAR)], ids=str
)
def test_frequencies_that_transformers_has_return_its_numbers_beyond_the_trained_length(family, rope):
    model, ids, plain = model_of(family), tokens(1, 100), model_of(family).config
    share = plain.rope_parameters.get("partial_rotary_factor", 1.0)
    rope = rope | {"rope_theta": plain.rope_parameters["rope_theta"], "partial_rotary_factor": share}
    peer = model_of(family, rope_parameters=rope)
    scaling = RotaryScaling.from_hf(peer.config)
    with extend(model, scaling):
        torch.testing.assert_close(model(ids).logits, peer(ids).logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(in_parts(model, ids, [60]), peer(ids).logits, rtol=1e-4, atol=1e-4)
    assert (model(ids).logits - peer(ids).logits).abs().max() > 0.1


@pytest.mark.parametrize("name", TRAINED_WITH)
def test_models_that_were_trained_with_scaled_frequencies_keep_them_in_the_window(name):
    model, ids, length = model_of(rope_parameters=TRAINED_WITH[name]), tokens(2, 30), None
    if name == "longrope":
        length = 60  # beyond the length that its short list is for, as all that follows
    before = model(ids).logits
    for kind in ("rerope", "leaky_rerope"):
        scaling = RotaryScaling.from_hf(model.config, **KINDS[kind] | {"window": TRAINED})
        assert scaling.original_length == TRAINED
        with extend(model, scaling, length=length):
            torch.testing.assert_close(model(ids).logits, before, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(in_parts(model, ids, [7]), before, rtol=1e-4, atol=1e-4)
    assert torch.equal(model(ids).logits, before)


@pytest.mark.parametrize("name", TRAINED_WITH)
@pytest.mark.parametrize("kind", ["rerope", "leaky_rerope", "self_extend", "sink", "lambda_mask"])
def test_kinds_of_positions_turn_by_the_frequencies_of_training(name, kind, monkeypatch):
    def by_definition(q, k, v, scaling, *, scale, length):
        return attention_by_definition(q, k, v, scaling, scale=scale, length=length)[0]

    model, ids = model_of(rope_parameters=TRAINED_WITH[name]), tokens(1, 70)
    scaling = RotaryScaling.from_hf(model.config, **KINDS[kind])
    plain = replace(scaling, trained=None)
    own = RotaryScaling.from_hf(model.config)
    assert np.array_equal(scaling.inv_freq(70), own.inv_freq(70))
    assert np.array_equal(scaling.query_scale([3, 60]), own.query_scale([3, 60]))
    assert not np.allclose(scaling.inv_freq(70), plain.inv_freq(70))
    with extend(model, scaling, length=100):
        fast, parts = model(ids).logits, in_parts(model, ids, [40, 7])
        monkeypatch.setattr(interface, "extrapolated_attention", by_definition)
        torch.testing.assert_close(fast, model(ids).logits, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(parts, fast, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "factor"), [("llama3", 8.0), ("linear", 8.0), ("yarn", 8.0)])
def test_models_that_were_trained_with_scaled_frequencies_take_them_with_another_factor(name, factor):
    rope, ids = TRAINED_WITH[name], tokens(1, 100)
    model, peer = model_of(rope_parameters=rope), model_of(rope_parameters=rope | {"factor": factor})
    with extend(model, RotaryScaling.from_hf(model.config, factor=factor)):
        torch.testing.assert_close(model(ids).logits, peer(ids).logits, rtol=1e-4, atol=1e-4)


def test_a_model_whose_base_grows_with_the_length_is_one_of_plain_frequencies():
    dynamic = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    model, plain, ids = model_of(rope_parameters=dynamic), model_of(), tokens(1, 60)
    with extended(model), extended(plain):
        assert torch.equal(model(ids).logits, plain(ids).logits)


@every_kind
def test_beyond_the_window_attention_is_that_of_the_definition(kind, llama, monkeypatch):
    def by_definition(q, k, v, scaling, *, scale, length):
        return attention_by_definition(q, k, v, scaling, scale=scale, length=length)[0]

    ids = tokens(1, 70)
    with extended(llama, kind):
        fast = llama(ids).logits
        monkeypatch.setattr(interface, "extrapolated_attention", by_definition)
        torch.testing.assert_close(fast, llama(ids).logits, rtol=1e-9, atol=1e-9)


@every_kind
@pytest.mark.parametrize("sizes", [[], [50], [20, 7, 1, 13]])
def test_a_prefill_its_parts_and_single_tokens_return_the_same_logits(kind, sizes, llama):
    ids = tokens(2, 70)
    with extended(llama, kind):
        torch.testing.assert_close(in_parts(llama, ids, sizes), llama(ids).logits, rtol=1e-9, atol=1e-9)


@every_kind
@pytest.mark.parametrize("sizes", [[70], [41, 3]])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_returns_what_each_text_alone_does(kind, sizes, side, llama):
    lengths = [70, 33, 50, 50]
    ids, mask = tokens(4, 70), torch.zeros(4, 70, dtype=torch.long)
    rows = [slice(70 - n, 70) if side == "left" else slice(0, n) for n in lengths]
    for b, row in enumerate(rows):
        mask[b, row] = 1
    with extended(llama, kind):
        logits = in_parts(llama, ids, sizes, attention_mask=mask)
        for b, row in enumerate(rows):
            alone = llama(ids[b : b + 1, row]).logits[0]
            torch.testing.assert_close(logits[b, row], alone, rtol=1e-9, atol=1e-9)


def test_texts_with_padding_on_both_sides_and_between_count_their_tokens_alone(llama):
    ids, mask = tokens(3, 60), torch.zeros(3, 60, dtype=torch.bool)
    mask[0, 5:50], mask[1, :20], mask[1, 31:], mask[2] = True, True, True, False
    positions = (mask.long().cumsum(-1) - 1).clamp(min=0)
    with extended(llama):
        logits = llama(ids, attention_mask=mask, position_ids=positions).logits
        assert torch.isfinite(logits).all()
        for b in range(2):
            alone = llama(ids[b : b + 1, mask[b]]).logits[0]
            torch.testing.assert_close(logits[b, mask[b]], alone, rtol=1e-9, atol=1e-9)
        with pytest.raises(ValueError, match="position_ids must count the tokens of each sequence"):
            llama(ids, attention_mask=mask)  # which counts the gap as well


@pytest.mark.parametrize("kind", ["rerope", "self_extend", "yarn by rows"])
def test_generate_continues_a_padded_batch_as_each_text_alone(kind, llama):
    ids, mask = tokens(3, 40), torch.ones(3, 40, dtype=torch.long)
    mask[1, :17], mask[2, :3] = 0, 0
    options = {"max_new_tokens": 30, "do_sample": False}
    with extended(llama, kind):
        found = llama.generate(ids, attention_mask=mask, **options)
        for b in range(3):
            text = ids[b : b + 1, mask[b] == 1]
            alone = llama.generate(text, attention_mask=torch.ones_like(text), **options)
            assert torch.equal(found[b, 40:], alone[0, text.shape[1] :])
            slow = llama.generate(text, attention_mask=torch.ones_like(text), use_cache=False, **options)
            assert torch.equal(alone, slow)


def test_tokens_that_are_guessed_and_rejected_leave_no_trace(llama):
    ids = tokens(1, 45)
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 30, "do_sample": False}
    with extended(llama, "leaky_rerope"):
        assert torch.equal(llama.generate(ids, prompt_lookup_num_tokens=4, **options), llama.generate(ids, **options))


def test_a_compiled_model_returns_the_same():
    model, ids = model_of(), tokens(1, 60)
    with extended(model):
        compiled = torch.compile(model, backend="eager")
        torch.testing.assert_close(in_parts(compiled, ids, [55]), model(ids).logits, rtol=1e-9, atol=1e-9)


def test_a_search_among_beams_finds_what_it_finds_without_a_cache(llama):
    ids = tokens(2, 45)
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 25, "num_beams": 4, "do_sample": False}
    with extended(llama, "leaky_rerope"):
        assert torch.equal(llama.generate(ids, **options), llama.generate(ids, use_cache=False, **options))


def test_a_cache_that_is_cropped_repeated_or_copied_goes_on_rightly(llama):
    ids, other = tokens(1, 60), tokens(1, 60, seed=1)
    with extended(llama, "self_extend"):
        cache = transformers.DynamicCache()
        for part in (ids[:, :40], *ids[:, 40:50].split(1, 1)):
            llama(part, cache=cache)
        cache.crop(-8)
        fork = copy.deepcopy(cache)
        cache.batch_repeat_interleave(2)
        for seen, rows in ((cache, torch.cat([ids, other])), (fork, other)):
            for t in range(42, 60):
                logits = llama(rows[:, t : t + 1], cache=seen).logits
            whole = torch.cat([ids[:, :42].expand(len(rows), -1), rows[:, 42:]], 1)
            torch.testing.assert_close(logits[:, 0], llama(whole).logits[:, -1], rtol=1e-9, atol=1e-9)


def test_another_scaling_reads_the_same_cache():
    model = model_of(num_hidden_layers=1)  # whose keys follow from the tokens alone
    ids, cache = tokens(1, 60), transformers.DynamicCache()
    with extended(model, "leaky_rerope"):
        in_parts_of(cache, model, ids[:, :52])
    with extended(model, "leaky_rerope", factor=8.0):
        found = in_parts_of(cache, model, ids[:, 52:])
        torch.testing.assert_close(found, model(ids).logits[:, -1:], rtol=1e-9, atol=1e-9)


def in_parts_of(cache, model, ids):
    """Return the logits of the last of single tokens."""
    return [model(token, cache=cache).logits for token in ids.split(1, 1)][-1]


@pytest.mark.parametrize("kind", ["rerope", "leaky_rerope", "self_extend", "sink", "yarn"])
def test_a_decoding_step_rotates_few_keys_and_not_the_cache(kind, llama, monkeypatch):
    ids, cache, rotated = tokens(2, 60), transformers.DynamicCache(), []
    plain = cache_module.rotate

    def counted(x, *arguments, **options):
        rotated.append(x.shape[-2])
        return plain(x, *arguments, **options)

    with extended(llama, kind):
        llama(ids[:, :50], cache=cache)
        llama(ids[:, 50:51], cache=cache)
        monkeypatch.setattr(cache_module, "rotate", counted)
        monkeypatch.setattr(interface, "extrapolated_attention", None)
        in_parts_of(cache, llama, ids[:, 51:])
    assert 0 < sum(rotated) <= 9 * 2 * 2  # steps, layers, near and far


class Largest(TorchDispatchMode):
    """The number of entries of the largest tensor that any operation returned."""

    entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(x, torch.Tensor):
                self.entries = max(self.entries, x.numel())
        return out


@pytest.mark.parametrize("padding", [0, 100])
def test_no_mask_of_all_pairs_is_built(padding, llama):
    n = 1024
    mask = torch.ones(1, n, dtype=torch.long)
    mask[:, :padding] = 0
    with extended(llama), Largest() as largest:
        llama(tokens(1, n), attention_mask=mask)
    assert 0 < largest.entries <= 4 * n * SHAPE["hidden_size"] < n * n


@pytest.mark.parametrize("family", ["Llama", "Qwen3"])
def test_half_precision_stays_as_near_as_it_is_to_itself(family):
    exact, model, ids = model_of(family), model_of(family, torch.bfloat16), tokens(2, 30)
    exact.load_state_dict(model.state_dict())
    reference = exact(ids).logits
    own = (model(ids).logits - reference).norm() / reference.norm()
    with extended(model, window=30):
        whole, steps = model(ids).logits, in_parts(model, ids, [11])
    assert whole.dtype == torch.bfloat16
    for logits in (whole, steps):
        assert (logits - reference).norm() / reference.norm() <= 1.5 * own


def test_autocast_and_single_precision_weights_go_together():
    model, ids = model_of(dtype=torch.float32), tokens(2, 60)
    with extended(model):
        exact = model(ids).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            steps = in_parts(model, ids, [40])
        assert (steps - exact).norm() < 0.1 * exact.norm()


def test_gradients_are_those_of_the_model():
    model, ids = model_of(), tokens(2, 24)

    def gradients():
        with torch.enable_grad():
            model.zero_grad()
            model(ids, labels=ids, use_cache=False).loss.backward()
            model(ids[:, :1], use_cache=True)  # one query whose gradient is recorded
        return [weight.grad.clone() for weight in model.parameters()]

    expected = gradients()
    with extended(model, window=24):
        for found, wanted in zip(gradients(), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
