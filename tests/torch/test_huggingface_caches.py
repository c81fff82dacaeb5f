"""Calls of extended models share nothing but weights, leave nothing behind, and know whose keys a cache holds."""

import copy
import gc
import pickle
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")
transformers = pytest.importorskip("transformers", reason="NOT TESTED: extend, because there is no transformers")

from tests.torch.huggingface_cases import extended, in_parts, model_of, tokens  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def hasty_threads():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(scope="module")
def llama():
    return model_of()


@pytest.mark.parametrize("kind", ["rerope", "yarn"])
def test_threads_that_share_an_extended_model_read_their_own_caches(kind, llama, hasty_threads):
    def steps(ids):
        with torch.no_grad():
            return in_parts(llama, ids, [40])

    texts = [tokens(1, 70, seed) for seed in range(4)]
    with extended(llama, kind), ThreadPoolExecutor(4) as pool:
        alone = [steps(ids) for ids in texts]
        for found, wanted in zip(pool.map(steps, texts), alone, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_models_are_extended_in_threads_at_once(hasty_threads):
    def often(model):
        for _ in range(8):
            extended(model).undo()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(often, [model_of() for _ in range(4)]))


def test_a_call_leaves_neither_its_cache_nor_its_graph_in_the_model():
    model, ids, cache = model_of(), tokens(1, 60), transformers.DynamicCache()
    with extended(model):
        size = len(pickle.dumps(model))
        with torch.enable_grad():
            model(ids).logits.sum().backward()
        copy.deepcopy(model)
        for part in ids.split([59, 1], 1):
            model(part, cache=cache)
        kept = weakref.ref(cache.layers[0].keys)
        del cache
        gc.collect()
        assert kept() is None
        model.zero_grad()
        assert len(pickle.dumps(model)) == size


@pytest.mark.parametrize("n", [20, 50])
def test_a_cache_that_was_reset_and_filled_by_the_model_as_it_was_is_refused(n, llama):
    ids, cache = tokens(2, 60), transformers.DynamicCache()
    with extended(llama):
        in_parts_of(cache, llama, ids[:, :30])
    cache.reset()
    llama(ids[:, :n], cache=cache)
    with extended(llama), pytest.raises(ValueError, match="filled by an extended model, got one that others filled"):
        llama(ids[:, n : n + 1], cache=cache)


def test_tokens_that_the_model_as_it_was_appended_are_refused(llama):
    ids, cache = tokens(1, 60), transformers.DynamicCache()
    with extended(llama):
        llama(ids[:, :30], cache=cache)
    llama(ids[:, 30:31], cache=cache)
    with extended(llama), pytest.raises(ValueError, match="got one that others filled"):
        llama(ids[:, 31:32], cache=cache)


def test_a_cache_that_was_reset_begins_anew(llama):
    ids, cache = tokens(1, 60), transformers.DynamicCache()
    with extended(llama):
        in_parts_of(cache, llama, ids)
        cache.reset()
        other = tokens(1, 60, seed=1)
        torch.testing.assert_close(in_parts_of(cache, llama, other), llama(other).logits[:, -1:], rtol=1e-9, atol=1e-9)


def test_a_cache_rebuilt_from_keys_and_values_is_refused_and_a_copy_is_not(llama):
    ids, cache = tokens(1, 60), transformers.DynamicCache()
    with extended(llama):
        llama(ids[:, :59], cache=cache)
        rebuilt = transformers.DynamicCache([(layer.keys, layer.values) for layer in cache.layers])
        with pytest.raises(ValueError, match=r"built anew from keys and values looks the same, copy.deepcopy"):
            llama(ids[:, 59:], cache=rebuilt)
        found = llama(ids[:, 59:], cache=copy.deepcopy(cache)).logits
        torch.testing.assert_close(found, llama(ids).logits[:, -1:], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"position_ids": torch.arange(10, 20)[None] * 2},
        {"output_attentions": True},
        {"attention_mask": torch.ones(1, 1, 10, 20, dtype=torch.bool)},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_refused_call_leaves_its_cache_as_it_was(wrong, llama):
    ids, cache = tokens(1, 30), transformers.DynamicCache()
    with extended(llama):
        llama(ids[:, :10], cache=cache)
        with pytest.raises(ValueError, match=next(iter(wrong))):
            llama(ids[:, 10:20], cache=cache, **wrong)
        assert [layer.keys.shape[-2] for layer in cache.layers] == [10, 10]
        found = llama(ids[:, 10:], cache=cache).logits
        torch.testing.assert_close(found, llama(ids).logits[:, 10:], rtol=1e-9, atol=1e-9)


def in_parts_of(cache, model, ids):
    """Return the logits of the last of single tokens."""
    return [model(token, cache=cache).logits for token in ids.split(1, 1)][-1]
