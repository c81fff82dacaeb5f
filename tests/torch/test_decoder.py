"""Rotary decoders: whole sequences, parts and tokens agree under every scaling, and attention is what it says."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.rope import RotaryScaling  # noqa: E402
from lina.torch import KeyNormAttention, RotaryAttention, RotaryDecoder  # noqa: E402
from tests.reference.attention_layers import attention_layer  # noqa: E402
from tests.torch.attention_cases import FREQUENCY, HEAD, POSITION, SCHEDULED, TRAINED, scaling  # noqa: E402

LENGTH = 3 * TRAINED + 5


def decoder(seed=0, given="none", **options):
    torch.manual_seed(seed)
    model = RotaryDecoder(scaling(given), width=4 * HEAD, depth=2, vocabulary=11, **options)
    return model.double().requires_grad_(False)


def tokens(*shape, seed=1):
    return torch.randint(11, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("key_norm", [False, True])
@pytest.mark.parametrize("name", FREQUENCY + SCHEDULED + POSITION)
def test_whole_parts_and_tokens_agree_under_every_scaling(name, key_norm):
    model, x = decoder(key_norm=key_norm, key_heads=2), tokens(2, LENGTH)
    whole = model(x, scaling=scaling(name), length=LENGTH)
    caches = model.caches(scaling=scaling(name), length=LENGTH)
    parts = [model.prefill(x[:, :7], caches), model.prefill(x[:, 7:40], caches)]
    steps = [model.step(x[:, t], caches)[:, None] for t in range(40, LENGTH)]
    torch.testing.assert_close(torch.cat(parts + steps, 1), whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["none", "linear", "rerope", "leaky_rerope", "self_extend", "none log_n", "window"])
@pytest.mark.parametrize(("key_norm", "key_heads"), [(False, 4), (False, 2), (True, 4), (True, 1)])
def test_a_layer_is_the_definition_of_its_attention(name, key_norm, key_heads):
    torch.manual_seed(3)
    make = KeyNormAttention if key_norm else RotaryAttention
    layer = make(24, 4, HEAD, key_heads=key_heads).double().requires_grad_(False)
    x = torch.randn(2, LENGTH, 24, dtype=torch.float64)
    weights = [each.weight.numpy() for each in (layer.query, layer.key, layer.value, layer.out)]
    wanted = attention_layer(x.numpy(), *weights, scaling(name), key_norm=key_norm)
    np.testing.assert_allclose(layer(x, scaling(name)).numpy(), wanted, atol=1e-10)


def test_without_positions_only_the_set_of_keys_before_a_token_counts():
    layer = KeyNormAttention(24, 4, HEAD, rotary=False).double().requires_grad_(False)
    x = torch.randn(1, 30, 24, dtype=torch.float64)
    shuffled = torch.cat([x[:, torch.randperm(29)], x[:, 29:]], 1)
    given = scaling("none log_n")
    torch.testing.assert_close(layer(shuffled, given)[:, -1], layer(x, given)[:, -1], rtol=0, atol=1e-12)
    rotary = KeyNormAttention(24, 4, HEAD).double().requires_grad_(False)
    rotary.load_state_dict(layer.state_dict())
    assert (rotary(shuffled, given)[:, -1] - rotary(x, given)[:, -1]).abs().max() > 1e-3


def test_a_longer_key_changes_no_logit_of_key_norm():
    layer = KeyNormAttention(24, 4, HEAD).double().requires_grad_(False)
    x = torch.randn(1, 20, 24, dtype=torch.float64)
    before = layer(x, scaling("none"))
    layer.key.weight.mul_(100)
    torch.testing.assert_close(layer(x, scaling("none")), before)


def test_a_key_of_zeros_has_the_logit_zero_and_the_gradient_zero():
    layer = KeyNormAttention(8, 1, HEAD)
    x = torch.randn(1, 5, 8)
    x[:, 2] = 0
    x.requires_grad_()
    layer(x, scaling("none")).sum().backward()
    assert float(x.grad.abs().max()) < 100
    zero = torch.zeros(1, 1, 2, HEAD, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer.keys_of(zero).sum(), zero)
    assert not gradient.any()
    for dtype in (torch.bfloat16, torch.float64):
        assert layer.keys_of(zero.to(dtype)).dtype == dtype
    assert layer.keys_of(torch.zeros(1, 1, 1, HEAD)).abs().max() == 0


def test_no_output_depends_on_a_later_token():
    model, x = decoder(), tokens(1, 40)
    changed = x.clone()
    changed[:, 30:] = (changed[:, 30:] + 1) % 11
    a, b = model(x, scaling=scaling("rerope")), model(changed, scaling=scaling("rerope"))
    torch.testing.assert_close(a[:, :30], b[:, :30], rtol=0, atol=1e-12)
    assert (a[:, 30] - b[:, 30]).abs().max() > 1e-3


def test_a_scaling_is_that_of_training_unless_a_call_has_another():
    model, x = decoder(given="rerope"), tokens(1, 60)
    torch.testing.assert_close(model(x), model(x, scaling=scaling("rerope")), rtol=0, atol=0)
    assert (model(x) - model(x, scaling=scaling("none"))).abs().max() > 1e-3


def test_the_number_of_parameters_is_that_of_its_formula():
    model = RotaryDecoder(RotaryScaling("none", head_dim=64, original_length=256))
    matrices = sum(each.numel() for each in model.parameters() if each.ndim == 2)
    assert matrices == 12 * 5 * 192**2 + 2 * 256 * 192


@pytest.mark.parametrize("key_norm", [False, True])
def test_every_parameter_learns(key_norm):
    torch.manual_seed(0)
    model = RotaryDecoder(scaling("none log_n"), width=2 * HEAD, depth=2, vocabulary=11, key_norm=key_norm)
    x = tokens(4, 33)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(each.grad is not None and each.grad.abs().max() > 0 for each in model.parameters())
    assert losses[-1] < 0.5 * losses[0]
    assert losses[0] < 2 * math.log(11)


@pytest.mark.parametrize("name", ["none", "rerope", "yarn local_static", "dynamic"])
def test_generation_takes_the_likeliest_token_of_the_whole_sequence_each_time(name):
    model, x = decoder(), tokens(2, 20)
    out = model.generate(x, 30, scaling=scaling(name))
    assert out.shape == (2, 50)
    torch.testing.assert_close(out[:, :20], x)
    wanted = model(out, scaling=scaling(name), length=50).argmax(-1)[:, 19:-1]
    torch.testing.assert_close(out[:, 20:], wanted)


def test_generation_draws_with_a_generator_and_repeats_itself():
    model, x = decoder(), tokens(2, 20)
    draws = [model.generate(x, 15, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(model.generate(x, 0), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 40}, "width must be a multiple of head_dim = 16, got 40"),
        ({"depth": 0}, "depth must be"),
        ({"key_heads": 3}, "key_heads must divide heads = 4, got 3"),
        ({"vocabulary": 0}, "vocabulary must be"),
        ({"scaling": scaling("rerope"), "rotary": False}, "of kind 'none' for a layer with rotary=False, got 'rerope'"),
    ],
)
def test_a_model_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RotaryDecoder(**({"scaling": scaling("none"), "width": 4 * HEAD} | options))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m(torch.zeros(1, 3)), TypeError, "tokens must be a tensor of int64 or int32, got torch.float32"),
        (lambda m: m(tokens(3)), ValueError, r"tokens must have shape \(batch, length\)"),
        (lambda m: m(tokens(1, 0)), ValueError, "length at least 1"),
        (lambda m: m(tokens(1, 3) + 9), ValueError, "tokens must be from 0 to 10, got"),
        (lambda m: m(tokens(1, 3), scaling="rerope"), TypeError, "scaling must be a lina.rope.RotaryScaling, got str"),
        (
            lambda m: m(tokens(1, 3), scaling=RotaryScaling("none", head_dim=8, original_length=9)),
            ValueError,
            "scaling must have head_dim = 16, got 8",
        ),
        (lambda m: m.prefill(tokens(1, 3), ()), ValueError, "caches must be those of model.caches"),
        (lambda m: m.step(tokens(1, 3), m.caches()), ValueError, r"token must have shape \(batch,\)"),
        (lambda m: m.generate([1, 2], 3), TypeError, "tokens must be a tensor of int64 or int32, got list"),
        (lambda m: m.generate(tokens(1, 3), -1), ValueError, "count must be"),
        (lambda m: m.blocks[0].attention(torch.zeros(1, 3, 5), m.scaling), ValueError, "x must have shape"),
        (lambda m: RotaryAttention(8, 2, 5), ValueError, "head_dim must be even, got 5"),
    ],
)
def test_a_wrong_call_is_refused_by_the_name_of_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call(decoder())
