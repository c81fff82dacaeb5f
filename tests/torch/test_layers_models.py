"""Blocks, models and classifiers of sequences: their definition, three ways to run, copies and precisions."""

import copy
import io
import pickle

import numpy as np
import pytest

from tests.reference import sequence_models as reference

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.torch.layers.rtf import RTF  # noqa: E402
from lina.torch.layers.s4 import S4  # noqa: E402
from lina.torch.layers.s4d import S4D  # noqa: E402
from lina.torch.layers.sequence import SequenceClassifier, SequenceModel  # noqa: E402
from tests.torch.sequence_cases import SIZES, block_of, draw, made  # noqa: E402

pytestmark = pytest.mark.torch

LAYERS = ("s4d", "s4", "rtf")
each_layer = pytest.mark.parametrize("layer", LAYERS)
each_pooling = pytest.mark.parametrize("pooling", ["mean", "last"])
each_precision = pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])


def stepped(model, x, state):
    out = []
    for t in range(x.shape[1]):
        y, state = model.step(x[:, t], state)
        out.append(y)
    return torch.stack(out, 1), state


def numbers(model):
    return {name: value.numpy() for name, value in model.state_dict().items()}


def test_a_model_is_its_definition_sample_by_sample():
    model, x = made(SequenceModel), draw(2, 30, 3)
    p = numbers(model)
    for row, found in zip(x.numpy(), model(x).detach().numpy(), strict=True):
        wanted = [reference.linear(p, "decoder", h) for h in reference.features(p, row, 2)]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@each_pooling
def test_a_classifier_is_its_definition_sample_by_sample(pooling):
    model, x = made(SequenceClassifier, pooling=pooling), draw(2, 30, 3)
    p = numbers(model)
    for row, found in zip(x.numpy(), model(x).detach().numpy(), strict=True):
        h = reference.features(p, row, 2)
        wanted = reference.linear(p, "decoder", h.mean(0) if pooling == "mean" else h[-1])
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_a_block_is_its_definition_sample_by_sample():
    block, x = block_of(S4D(4, 6)), draw(1, 20, 4)
    p, z, wanted = {f"block.{name}": value for name, value in numbers(block).items()}, 0.0, []
    for sample in x[0].numpy():
        y, z = reference.block_step(p, "block", sample, z)
        wanted.append(y)
    np.testing.assert_allclose(block(x)[0].detach().numpy(), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", [S4, S4D, RTF])
def test_a_block_runs_in_three_ways_around_any_layer(make):
    block, x = block_of(make(4, 7)), draw(3, 40, 4)
    one, state = block.prefill(x[:, :15])
    two, last = block.prefill(x[:, 15:], state)
    single, end = stepped(block, x, block.initial_state(3))
    for found in (torch.cat([one, two], 1), single):
        torch.testing.assert_close(found, block(x), rtol=0, atol=1e-10)
    torch.testing.assert_close(end, last, rtol=0, atol=1e-10)


@each_layer
@each_precision
def test_a_model_runs_in_three_ways(layer, dtype, atol):
    model, x = made(SequenceModel, layer=layer, dtype=dtype), draw(3, 200, 3, dtype=dtype)
    whole = model(x)
    assert whole.shape == (3, 200, 5)
    one, state = model.prefill(x[:, :90])
    two, _ = model.prefill(x[:, 90:], state)
    single, _ = stepped(model, x, model.initial_state(3))
    for found in (torch.cat([one, two], 1), single):
        torch.testing.assert_close(found, whole, rtol=0, atol=atol * float(whole.detach().abs().max()))


@each_layer
@each_pooling
@each_precision
def test_logits_after_every_sample_are_those_of_the_sequence_so_far(layer, pooling, dtype, atol):
    model = made(SequenceClassifier, layer=layer, pooling=pooling, dtype=dtype)
    x = draw(3, 200, 3, dtype=dtype)
    single, end = stepped(model, x, model.initial_state(3))
    for L in (1, 2, 77, 200):
        torch.testing.assert_close(single[:, L - 1], model(x[:, :L]), rtol=0, atol=atol)
    first, state = model.prefill(x[:, :77])
    torch.testing.assert_close(first, model(x[:, :77]), rtol=0, atol=atol)
    last, state = model.prefill(x[:, 77:], state)
    torch.testing.assert_close(last, model(x), rtol=0, atol=atol)
    assert (state.seen, end.seen) == (200, 200)


def test_three_thousand_single_steps_keep_single_precision():
    model, x = made(SequenceClassifier, dtype=torch.float32), draw(2, 3000, 3, dtype=torch.float32)
    with torch.no_grad():
        single, _ = stepped(model, x, model.initial_state(2))
        torch.testing.assert_close(single[:, -1], model(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [SequenceModel, SequenceClassifier])
@each_layer
def test_gradients_are_the_same_in_every_way(kind, layer):
    model, x = made(kind, layer=layer), draw(2, 12, 3).requires_grad_()
    weights, wanted = [x, *model.parameters()], None
    for run in (model, lambda x: model.prefill(x)[0], lambda x: stepped(model, x, model.initial_state(2))[0]):
        y = run(x)
        if kind is SequenceClassifier and y.ndim == 3:
            y = y[:, -1]
        found = torch.autograd.grad(y.sin().sum(), weights)
        wanted = wanted or found
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
    assert all(bool(g.abs().max() > 0) for g in wanted)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_gradients_by_a_state_are_those_of_differences():
    model, x_t = made(SequenceModel, width=2, depth=1, state=2), draw(1, 3)
    _, (state,) = model.prefill(draw(1, 4, 3))
    state = state.detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: model.step(x_t, (z,))[0], (state,))


@each_layer
def test_no_output_sees_what_comes_later(layer):
    model, x = made(SequenceModel, layer=layer), draw(2, 40, 3)
    other = torch.cat([x[:, :25], draw(2, 15, 3, seed=1)], 1)
    difference = (model(x) - model(other)).detach().abs()
    assert float(difference[:, :25].max()) < 1e-12
    assert float(difference[:, 25:].max()) > 1e-3


@each_layer
@each_pooling
def test_lengths_give_the_logits_of_the_sequences_alone(layer, pooling):
    model, x = made(SequenceClassifier, layer=layer, pooling=pooling), draw(4, 60, 3)
    lengths = [60, 1, 33, 59]
    found = model(x, lengths=lengths)
    for row, n in enumerate(lengths):
        torch.testing.assert_close(found[row], model(x[row : row + 1, :n])[0], rtol=0, atol=1e-10)
    for same in (torch.tensor(lengths), torch.tensor(lengths, dtype=torch.int16), np.array(lengths)):
        assert torch.equal(model(x, lengths=same), found)


@each_pooling
def test_what_is_behind_a_sequence_changes_no_bit_and_has_no_gradient(pooling):
    model, x, lengths = made(SequenceClassifier, pooling=pooling), draw(2, 50, 3), torch.tensor([20, 50])
    other = x.clone()
    other[0, 20:] = 1e12
    assert torch.equal(model(x, lengths), model(other, lengths))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x, lengths).square().sum(), x)
    assert not gradient[0, 20:].any()
    assert gradient[0, :20].any()


def test_means_over_lengths_that_half_precision_cannot_hold_are_right():
    model = made(SequenceClassifier, width=2, depth=1, dtype=torch.float16)
    x, lengths = draw(2, 66_000, 3, dtype=torch.float16), [66_000, 65_700]
    with torch.no_grad():
        exact = copy.deepcopy(model).double()(x.double(), lengths)
        torch.testing.assert_close(model(x, lengths).double(), exact, rtol=0, atol=0.01)
        torch.testing.assert_close(model(x).double()[0], exact[0], rtol=0, atol=0.01)
        torch.testing.assert_close(model.prefill(x)[0].double()[0], exact[0], rtol=0, atol=0.01)


@each_layer
def test_bidirectional_layers_see_the_whole_sequence_and_have_no_steps(layer):
    model, x = made(SequenceModel, layer=layer, bidirectional=True), draw(2, 20, 3)
    assert model.bidirectional
    other = torch.cat([x[:, :19], draw(2, 1, 3, seed=1)], 1)
    assert float((model(x) - model(other)).detach().abs()[:, 0].max()) > 1e-6
    for call in (lambda: model.initial_state(2), lambda: model.prefill(x)):
        with pytest.raises(ValueError, match="must not be bidirectional"):
            call()
    classifier = made(SequenceClassifier, layer=layer, bidirectional=True)
    assert classifier(x).shape == (2, 5)
    with pytest.raises(ValueError, match="lengths must be None where a layer is bidirectional"):
        classifier(x, lengths=[20, 3])


def test_dropout_is_for_training_only():
    model, x = made(SequenceModel, dropout=0.5), draw(2, 20, 3)
    torch.manual_seed(0)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    assert torch.equal(model(x), made(SequenceModel)(x))


def test_dropout_is_in_both_places_and_keeps_the_mean():
    block = block_of(S4D(4, 4), dropout=0.5)
    block.layer.forward = lambda u: torch.full_like(u, 50.0)  # there gelu is the identity
    with torch.no_grad():  # the gates are open, and the first half is what came in
        block.mix.weight.copy_(torch.cat([torch.eye(4), torch.zeros(4, 4)]))
        block.mix.bias.copy_(torch.tensor([0.0] * 4 + [40.0] * 4))
    torch.manual_seed(0)
    added = (block(torch.zeros(100, 100, 4, dtype=torch.float64))).detach()
    assert abs(float((added == 0).double().mean()) - 0.75) < 0.01
    assert abs(float(added.mean()) / 50 - 1) < 0.05


def test_a_layer_may_be_a_function_of_the_channels():
    x = draw(2, 20, 3)
    for layer in (S4D, lambda channels: RTF(channels, 3), lambda channels: S4(channels, 4, init="fout")):
        model = made(SequenceClassifier, layer=layer, state=None)
        logits, _ = model.prefill(x)
        torch.testing.assert_close(logits, model(x), rtol=0, atol=1e-10)
    assert [block.layer.channels for block in model.blocks] == [6, 6]
    assert model.blocks[0].layer is not model.blocks[1].layer


def test_options_reach_the_layers():
    model = made(SequenceModel, layer="s4d", method="bilinear", init="inv")
    assert {block.layer.method for block in model.blocks} == {"bilinear"}
    assert SequenceModel(1, 1, layer="rtf", width=4, state=5, denominators=1).blocks[0].layer.state == 5


@each_layer
def test_every_parameter_is_in_one_group_and_those_of_poles_learn_slowly(layer):
    for module in (
        made(SequenceModel, layer=layer),
        made(SequenceClassifier, layer=layer),
        made(SequenceModel).blocks[0],
    ):
        groups = module.parameter_groups(1e-2, weight_decay=0.05)
        listed = [id(p) for group in groups for p in group["params"]]
        assert sorted(listed) == sorted(id(p) for p in module.parameters())
        assert [(g["lr"], g["weight_decay"]) for g in groups] == [(1e-3, 0.0), (1e-2, 0.05)]
        slow = {id(p) for p in groups[0]["params"]}
        names = {name.rpartition(".")[2] for name, p in module.named_parameters() if id(p) in slow}
        assert names <= {"log_decay", "frequency", "B", "P", "log_dt", "w"}
        assert names
        torch.optim.AdamW(groups)


def test_the_names_of_what_is_saved_stay():
    model = SequenceClassifier(3, 5, width=6, depth=1, state=8)
    layer = ["D", "log_dt", "log_decay", "frequency", "B", "C"]
    assert list(model.state_dict()) == [
        "encoder.weight",
        "encoder.bias",
        "blocks.0.norm.weight",
        "blocks.0.norm.bias",
        *(f"blocks.0.layer.{name}" for name in layer),
        "blocks.0.mix.weight",
        "blocks.0.mix.bias",
        "norm.weight",
        "norm.bias",
        "decoder.weight",
        "decoder.bias",
    ]
    assert list(SequenceModel(3, 5, width=6, depth=1, state=8).state_dict()) == list(model.state_dict())


@each_layer
@pytest.mark.parametrize("kind", [SequenceModel, SequenceClassifier])
def test_copies_and_what_is_loaded_do_the_same(kind, layer):
    model, x = made(kind, layer=layer), draw(2, 10, 3)
    with torch.no_grad():
        model.step(x[:, 0], model.initial_state(2))
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    other = kind(3, 5, layer=layer, **SIZES).double()
    other.load_state_dict(model.state_dict())
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False), other):
        assert torch.equal(same(x), model(x))


@each_layer
@pytest.mark.parametrize("kind", [SequenceModel, SequenceClassifier])
def test_lower_precisions_are_near_double_precision_in_every_way(kind, layer):
    model, x = made(kind, layer=layer), draw(2, 30, 3)
    exact = model(x).detach()
    for dtype in (torch.bfloat16, torch.float16):
        low = copy.deepcopy(model).to(dtype)
        found, state = low.prefill(x.to(dtype))
        latest, _ = low.step(x[:, 0].to(dtype), state)
        assert low(x.to(dtype)).dtype == found.dtype == latest.dtype == dtype
        for y in (low(x.to(dtype)), found):
            torch.testing.assert_close(y.double(), exact, rtol=0, atol=0.05 * float(exact.abs().max()))
    single = copy.deepcopy(model).float()
    with torch.autocast("cpu", torch.bfloat16):
        y, state = single.prefill(x.float())
        single.step(x[:, 0].float(), state)
        torch.testing.assert_close(y.double(), exact, rtol=0, atol=0.05 * float(exact.abs().max()))
        single(x.float()).float().sum().backward()
        torch.testing.assert_close(single(x.bfloat16()), single(x.float()))
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in single.parameters())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Dynamo detected a call to a .*lru_cache")
@each_layer
def test_models_compile_in_one_graph(layer):
    torch.compiler.reset()
    x, lengths = draw(2, 20, 3), torch.tensor([20, 7])
    for model, more in ((made(SequenceModel, layer=layer), ()), (made(SequenceClassifier, layer=layer), (lengths,))):
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        found, wanted = compiled(x, *more), model(x, *more)
        torch.testing.assert_close(found, wanted)
        parameters = list(model.parameters())
        torch.testing.assert_close(
            torch.autograd.grad(found.sin().sum(), parameters), torch.autograd.grad(wanted.sin().sum(), parameters)
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Dynamo detected a call to a .*lru_cache")
def test_single_steps_of_rational_layers_compile_once_for_all_samples():
    torch.compiler.reset()
    model, x = made(SequenceClassifier, layer="rtf"), draw(2, 12, 3)
    step, state = torch.compile(model.step, fullgraph=True, backend="aot_eager"), model.initial_state(2)
    with torch.no_grad():
        for t in range(12):  # above the number of times that torch compiles a function again
            logits, state = step(x[:, t], state)
        torch.testing.assert_close(logits, model(x), rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_gradients_of_every_sequence_come_by_vmap():
    model, x = made(SequenceClassifier), draw(3, 10, 3)
    parameters = dict(model.named_parameters())

    def loss(p, row):
        return torch.func.functional_call(model, p, (row[None],)).sin().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for row in range(3):
        wanted = torch.func.grad(loss)(parameters, x[row])
        torch.testing.assert_close({k: v[row] for k, v in found.items()}, wanted, rtol=1e-9, atol=1e-12)


def test_a_classifier_learns_to_tell_slow_from_fast():
    torch.manual_seed(0)
    draws = torch.Generator().manual_seed(1)

    def batch(size):
        fast = torch.randint(0, 2, (size,), generator=draws)
        phase = 6.3 * torch.rand(size, 1, generator=draws)
        x = torch.sin(torch.arange(64.0) * (0.3 + 0.15 * fast[:, None]) + phase)
        return (x + 0.5 * torch.randn(x.shape, generator=draws))[..., None], fast

    model = SequenceClassifier(1, 2, width=16, depth=1, state=16, dropout=0.1)
    optimiser = torch.optim.AdamW(model.parameter_groups(1e-2, weight_decay=0.01))
    for _ in range(60):
        x, y = batch(32)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    x, y = batch(400)
    assert float((model.eval()(x).argmax(1) == y).float().mean()) > 0.9


@pytest.mark.parametrize("kind", [SequenceModel, SequenceClassifier])
def test_what_is_given_stays_as_it_was(kind):
    model, x = made(kind), draw(2, 10, 3)
    with torch.no_grad():
        _, state = model.prefill(x)
        kept, before = x.clone(), copy.deepcopy(state)
        model.step(x[:, 0], state)
        model.prefill(x, state)
    assert torch.equal(x, kept)
    for now, then in zip(*(s if kind is SequenceModel else s.blocks for s in (state, before)), strict=True):
        assert torch.equal(now, then)


def test_no_sequence_is_a_batch_too():
    assert made(SequenceModel)(torch.zeros(0, 5, 3, dtype=torch.float64)).shape == (0, 5, 5)
    assert made(SequenceClassifier)(torch.zeros(0, 5, 3, dtype=torch.float64)).shape == (0, 5)
