"""Decoding from unrotated keys: single queries, parts and the whole agree; what the cache does and refuses."""

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina._core.errors import GradientError  # noqa: E402
from lina.torch import RotaryCache, decode_attention, extrapolated_attention  # noqa: E402
from lina.torch.attention import cache as cache_module  # noqa: E402
from lina.torch.attention import flash  # noqa: E402
from tests.reference.extrapolated_attention import attention_by_definition  # noqa: E402
from tests.torch.attention_cases import EVERY, POSITION, TRAINED, scaling, tensors, tolerances  # noqa: E402

pytestmark = pytest.mark.torch
every = pytest.mark.parametrize("name", EVERY)


def decoded(q, k, v, cache, sizes):
    """Return the rows of parts of these sizes, one after the other, then of single tokens."""
    outs, done = [], 0
    for size in [*sizes, *[1] * (q.shape[2] - sum(sizes))]:
        rows = slice(done, done + size)
        cache.append(k[:, :, rows], v[:, :, rows])
        outs.append(decode_attention(q[:, :, rows], cache))
        done += size
    return torch.cat(outs, 2)


@every
@pytest.mark.parametrize("start", [0, 5, 10**6])
@pytest.mark.parametrize("sizes", [[], [20, 7, 13], [3, 1, 30]])
def test_whole_parts_and_single_tokens_agree(name, start, sizes):
    n = 50
    q, k, v = tensors(torch, n, n)
    some, length = scaling(name), start + n
    cache = RotaryCache(some, start=start, length=length)
    whole = extrapolated_attention(q, k, v, some, start=start, length=length)
    torch.testing.assert_close(decoded(q, k, v, cache, sizes), whole, **tolerances(some, start + n - 1, length))
    assert torch.equal(cache.keys, k)
    assert torch.equal(cache.values, v)
    assert len(cache) == n


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_agrees_up_to_its_roundings(name, dtype):
    q, k, v = tensors(torch, 50, 50, dtype)
    exact, _ = attention_by_definition(q, k, v, scaling(name), length=50)
    found = decoded(q, k, v, RotaryCache(scaling(name), length=50), [20])
    assert found.dtype == dtype
    assert float((found - exact).norm() / exact.norm()) < 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize("name", ["dynamic", "longrope", "yarn local_static"])
def test_without_a_length_a_token_has_the_frequencies_of_the_present_one(name):
    q, k, v = tensors(torch, 40, 40)
    found = decoded(q, k, v, RotaryCache(scaling(name)), [])
    for n in (1, TRAINED, TRAINED + 1, 40):
        wanted = extrapolated_attention(q[:, :, n - 1 : n], k[:, :, :n], v[:, :, :n], scaling(name))
        torch.testing.assert_close(found[:, :, n - 1 : n], wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["none", "rerope", "leaky_rerope", "self_extend", "sink", "lambda_mask"])
def test_a_key_is_rotated_at_most_twice(name, monkeypatch):
    rotated = []
    monkeypatch.setattr(cache_module, "rotate", lambda x, *rest: rotated.append(x.shape[2]) or x)
    q, k, v = tensors(torch, 300, 300)
    decoded(q, k, v, RotaryCache(scaling(name)), [])
    assert 300 <= sum(rotated) <= 600


def test_buckets_rotate_all_keys_together_twice_at_most(monkeypatch):
    rotated = []
    monkeypatch.setattr(cache_module, "rotate", lambda x, *rest: rotated.append(x.shape[2]) or x)
    q, k, v = tensors(torch, 500, 500)
    decoded(q, k, v, RotaryCache(scaling("yarn row_bucket")), [])
    assert sum(rotated) < 2 * 500 + 2 * TRAINED


@every
def test_cropping_and_reordering_leave_what_a_new_cache_would_hold(name):
    q, k, v = tensors(torch, 45, 45)
    some = scaling(name)
    cache = RotaryCache(some, length=45)
    decoded(q, k, v, cache, [])
    cache.crop(30)
    cache.reorder(torch.tensor([1, 1, 0]))
    index = [1, 1, 0]
    assert torch.equal(cache.keys, k[index, :, :30])
    cache.append(k[index, :, 30:31], v[index, :, 30:31])
    found = decode_attention(q[index, :, 30:31], cache)
    wanted = extrapolated_attention(q[index, :, 30:31], k[index, :, :31], v[index, :, :31], some, length=45)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["none", "yarn row_bucket", "dynamic", *POSITION])
def test_tokens_that_were_rejected_leave_no_trace(name):
    """Also where the keys that a window rotated have lost the ones that an earlier row sees."""
    sequence, rejected = tensors(torch, 70, 70), tensors(torch, 300, 300, seed=1)
    cache = RotaryCache(scaling(name))

    def decode(tokens, rows):
        q, k, v = (x[:, :, rows] for x in tokens)
        return decoded(q, k, v, cache, [])

    for kept, more in ((5, 1), (15, 2), (17, 30), (40, 300), (42, 300), (60, 9)):
        decode(sequence, slice(len(cache), kept))
        decode(rejected, slice(0, more))
        cache.crop(kept)
        q, k, v = (x[:, :, : kept + 1] for x in sequence)
        found = decode(sequence, slice(kept, kept + 1))
        wanted = extrapolated_attention(q[:, :, -1:], k, v, scaling(name))
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["none", "rerope", "leaky_rerope", "sink"])
def test_a_crop_copies_nothing_and_keeps_what_is_rotated(name, monkeypatch):
    q, k, v = tensors(torch, 300, 300)
    cache = RotaryCache(scaling(name))
    cache.append(k, v)
    decode_attention(q[:, :, -1:], cache)
    place, rotated = cache.keys.data_ptr(), []
    monkeypatch.setattr(cache_module, "rotate", lambda x, *rest: rotated.append(x.shape[2]) or x)
    cache.crop(299)
    cache.append(k[:, :, -1:], v[:, :, -1:])
    decode_attention(q[:, :, -1:], cache)
    assert cache.keys.data_ptr() == place
    assert 1 <= sum(rotated) <= 8 + 2  # the window, of which a key more than was rotated may be asked for


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["none", "rerope", "window", "lambda_mask"])
def test_keys_of_nan_are_seen_by_single_queries(name, dtype):
    q, k, v = tensors(torch, 41, 41, dtype)
    for at in (slice(0, 41), slice(40, 41), slice(33, 37)):
        bad = k.clone()
        bad[:, :, at] = torch.nan
        cache = RotaryCache(scaling(name))
        cache.append(bad, v)
        assert bool(decode_attention(q[:, :, -1:], cache).isnan().all())


def test_autocast_does_not_lower_the_precision_of_a_single_query():
    q, k, v = tensors(torch, 40, 40)
    cache = RotaryCache(scaling("rerope"))
    cache.append(k, v)
    flash.operators.cache_clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = decode_attention(q[:, :, -1:], cache)
        flash.operators.cache_clear()
        assert flash.operators("cpu", torch.float32) == (flash._cpu, flash._cpu_backward)
    assert torch.equal(found, decode_attention(q[:, :, -1:], cache))


@pytest.mark.parametrize("scale", [0, -0.25])
def test_a_scale_of_zero_or_below_is_that_of_the_definition(scale):
    q, k, v = tensors(torch, 40, 40)
    cache = RotaryCache(scaling("rerope"))
    cache.append(k, v)
    exact, _ = attention_by_definition(q[:, :, -1:], k, v, scaling("rerope"), scale=scale)
    found = decode_attention(q[:, :, -1:], cache, scale=scale)
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)


def test_a_cache_that_is_cropped_to_nothing_begins_again():
    q, k, v = tensors(torch, 20, 20)
    cache = RotaryCache(scaling("rerope"))
    decoded(q, k, v, cache, [])
    cache.crop(0)
    assert len(cache) == 0
    wanted = extrapolated_attention(q, k, v, scaling("rerope"))
    torch.testing.assert_close(decoded(q, k, v, cache, [7]), wanted, rtol=1e-6, atol=1e-6)


def test_the_cache_keeps_a_copy_without_gradients():
    q, k, v = tensors(torch, 3, 3)
    cache = RotaryCache(scaling("none"))
    given = k.clone().requires_grad_()
    cache.append(given, v)
    with torch.no_grad():
        given.zero_()
    assert torch.equal(cache.keys, k)
    assert not cache.keys.requires_grad
    with pytest.raises(GradientError, match="decode_attention has no gradient"):
        decode_attention(q.requires_grad_(), cache)


@pytest.mark.parametrize("name", ["none", "rerope", "yarn row_bucket", "lambda_mask"])
def test_the_default_device_is_that_of_the_tensors(name):
    q, k, v = tensors(torch, 40, 40)
    wanted = extrapolated_attention(q, k, v, scaling(name))
    with torch.device("meta"):
        flash.operators.cache_clear()
        found = extrapolated_attention(q, k, v, scaling(name))
        single = decoded(q, k, v, RotaryCache(scaling(name)), [])
        padded = extrapolated_attention(q, k, v, scaling(name), lengths=[40, 40])
    assert flash.operators("cpu", torch.float32) == (flash._cpu, flash._cpu_backward)
    assert torch.equal(found, wanted)
    assert torch.equal(padded, wanted)
    torch.testing.assert_close(single, wanted, rtol=1e-6, atol=1e-6)


def test_a_cache_that_was_filled_in_inference_mode_goes_on_outside():
    q, k, v = tensors(torch, 40, 40)
    cache = RotaryCache(scaling("rerope"))
    with torch.inference_mode():
        decoded(q[:, :, :30], k[:, :, :30], v[:, :, :30], cache, [20])
    cache.append(k[:, :, 30:], v[:, :, 30:])
    wanted = extrapolated_attention(q[:, :, -1:], k, v, scaling("rerope"))
    torch.testing.assert_close(decode_attention(q[:, :, -1:], cache), wanted, rtol=1e-6, atol=1e-6)


def test_no_new_keys_change_nothing():
    _, k, v = tensors(torch, 3, 3)
    cache = RotaryCache(scaling("none"))
    cache.append(k[:, :, :0], v[:, :, :0])
    assert len(cache) == 0
    cache.append(k, v)
    cache.append(k[:, :, :0], v[:, :, :0])
    assert len(cache) == 3


q3, k3, v3 = tensors(torch, 3, 3)


def filled():
    cache = RotaryCache(scaling("none"))
    cache.append(k3, v3)
    return cache


BAD = {
    "cache must be a RotaryCache, got tuple": lambda: decode_attention(q3, (k3, v3)),
    "cache must hold at least one position": lambda: decode_attention(q3, RotaryCache(scaling("none"))),
    "scaling must be a lina.rope.RotaryScaling, got NoneType": lambda: RotaryCache(None),
    "k must have 2 sequences and 2 heads, as the cache has": lambda: filled().append(k3[:1], v3[:1]),
    "k must have the dtype and device of the cache, torch.float32": lambda: filled().append(k3.double(), v3.double()),
    "k must have the head_dim of scaling, 16": lambda: filled().append(k3[..., :8], v3[..., :8]),
    "v must have the shape of k": lambda: filled().append(k3, v3[:, :, :1]),
    "length must be at most that of the cache, 3, got 4": lambda: filled().crop(4),
    "length must be an int, got float": lambda: filled().crop(2.5),
    "length must be an int, got str": lambda: filled().crop("a"),
    "length must be an int, got bool": lambda: filled().crop(True),
    "index must be a tensor of integers of shape .new batch,.": lambda: filled().reorder(torch.tensor([0.5])),
    "q must have at most as many positions as k": lambda: decode_attention(torch.cat([q3, q3], 2), filled()),
    "start must be at least 0": lambda: RotaryCache(scaling("none"), start=-1),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments_are_named(message):
    with pytest.raises((TypeError, ValueError), match=message):
        BAD[message]()
