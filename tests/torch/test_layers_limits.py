"""What state-space layers refuse: what another layer has saved, recurrences that explode, parameters that diverged."""

import copy
import io

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from torch.nn.utils import prune  # noqa: E402

from lina.torch import (  # noqa: E402
    RTF,
    S4,
    S4D,
    ResidualBlock,
    SequenceClassifier,
    SequenceModel,
    parameter_groups,
    to_diagonal_layer,
    to_rational_layer,
)

pytestmark = pytest.mark.torch


def ones(*shape, dtype=torch.float32):
    return torch.ones(*shape, dtype=dtype)


def through_a_file(saved):
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


ODD = {
    "S4D": lambda: S4D(2, 7),
    "S4": lambda: S4(2, 7),
    "S4 fout": lambda: S4(2, 8, init="fout"),
    "both ways": lambda: S4D(2, 7, bidirectional=True),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("assign", [True, False])
def test_a_layer_of_odd_size_that_was_made_without_memory_is_loaded_whole(name, assign):
    layer = ODD[name]()
    with torch.device("meta"):
        other = ODD[name]()
    if not assign:
        other = other.to_empty(device="cpu")
        assert not list(other.buffers())  # what is no parameter would be left as the memory was
    other.load_state_dict(layer.state_dict(), assign=assign)
    torch.testing.assert_close(other(ones(1, 9, 2)), layer(ones(1, 9, 2)), rtol=0, atol=0)


OTHERS = {
    "even for odd": (lambda: S4D(2, 8), lambda: S4D(2, 7), r"'state': 7.* got one of a layer with .*'state': 8"),
    "odd for even": (lambda: S4(2, 7), lambda: S4(2, 8), r"'state': 8.* got one of a layer with .*'state': 7"),
    "zoh for bilinear": (lambda: S4D(2, 8), lambda: S4D(2, 8, method="bilinear"), "'bilinear'.* got .*'zoh'"),
    "the way back": (
        lambda: S4D(2, 8, bidirectional=True),
        lambda: S4D(2, 7, bidirectional=True),
        "state dict of reverse must be of a layer with",
    ),
    "in a model": (
        lambda: SequenceModel(1, 1, width=2, depth=1, state=8),
        lambda: SequenceModel(1, 1, width=2, depth=1, state=8, method="bilinear"),
        r"state dict of blocks\.0\.layer must be of a layer with .*'bilinear'",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("strict", [True, False])
def test_a_state_dict_of_another_meaning_is_refused_and_changes_nothing(name, strict):
    old, new, words = OTHERS[name]
    saved, other = through_a_file(old().state_dict()), new()
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(RuntimeError, match=words):
        other.load_state_dict(saved, strict=strict)
    for key in before:
        if "layer." in key or (name == "the way back" and key.startswith("reverse.")):
            assert torch.equal(other.state_dict()[key], before[key])


@pytest.mark.parametrize("name", ODD)
def test_what_was_saved_is_loaded_by_tensors_alone_and_where_its_meaning_was_not_saved(name):
    layer = ODD[name]()
    for saved in (through_a_file(layer.state_dict()), dict(layer.state_dict()), copy.deepcopy(layer.state_dict())):
        assert all(isinstance(value, torch.Tensor) for value in saved.values())
        other = ODD[name]()
        other.load_state_dict(saved)
        assert torch.equal(other(ones(1, 9, 2)), layer(ones(1, 9, 2)))


def unstable(layer):
    with torch.no_grad():
        layer.a.fill_(-3.0)
        layer.b.fill_(1.0)
    return layer


@pytest.mark.parametrize("grad", [True, False])
def test_a_recurrence_that_became_unstable_is_refused_by_what_takes_a_state(grad):
    layer = RTF(1, 1, constraint=None)
    with torch.set_grad_enabled(grad):
        state = layer.initial_state(1)
        _, state = layer.step(ones(1, 1), state)
        unstable(layer)
        for call in (lambda: layer.step(ones(1, 1), state), lambda: layer.prefill(ones(1, 3, 1), state)):
            with pytest.raises(ValueError, match=r"channel 0 has modulus 3.* train it with constraint='montel'"):
                call()
            with pytest.raises(ValueError, match="channel 0 has modulus 3"):  # the second time too
                call()


@pytest.mark.parametrize("grad", [True, False])
def test_stability_is_looked_at_where_parameters_change_and_not_in_every_step(grad, monkeypatch):
    layer, looks = RTF(1, 2, constraint=None), []
    check = RTF._check_recurrent
    monkeypatch.setattr(RTF, "_check_recurrent", lambda self: (looks.append(1), check(self)))
    state = layer.initial_state(1)
    looks.clear()
    with torch.set_grad_enabled(grad):
        for change in (0.1, 0.2):
            layer.a.data.fill_(change)
            for _ in range(5):
                _, state = layer.step(ones(1, 1), state)
                layer.prefill(ones(1, 2, 1), state)
    assert len(looks) == 2


MAKERS = {
    "S4": (lambda: S4(2, 4), "frequency"),
    "S4D": (lambda: S4D(2, 4), "log_dt"),
    "montel": (lambda: RTF(2, 4), "w"),
    "reflection": (lambda: RTF(2, 4, constraint="reflection"), "rho"),
    "no constraint": (lambda: RTF(2, 4, constraint=None), "b"),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("grad", [True, False])
def test_a_parameter_that_is_nan_is_named_by_every_mode(name, grad):
    make, parameter = MAKERS[name]
    layer = make()
    state = layer.initial_state(1)
    with torch.set_grad_enabled(grad):
        layer.step(ones(1, 2), state)
        getattr(layer, parameter).data[0] = float("nan")
        calls = [
            lambda: layer(ones(1, 5, 2)),
            lambda: layer.step(ones(1, 2), state),
            lambda: layer.prefill(ones(1, 5, 2)),
            lambda: layer.prefill(ones(1, 5, 2), state),
            lambda: layer.initial_state(1),
        ]
        for call in calls:
            with pytest.raises(ValueError, match=f"{parameter} of the {type(layer).__name__} layer must be finite"):
                call()


def test_a_parameter_of_the_way_back_is_named():
    layer = S4D(2, 4, bidirectional=True)
    layer.reverse.log_decay.data[0] = float("nan")
    with pytest.raises(ValueError, match="log_decay of the S4D layer must be finite"):
        layer(ones(1, 5, 2))


def test_what_to_do_about_an_unstable_layer_is_what_its_constraint_leaves():
    layer = RTF(1, 64, constraint="reflection")
    torch.nn.init.constant_(layer.rho, 30.0)
    with pytest.raises(ValueError, match=r"rounding moves poles .* multiply rho by a number below 1") as found:
        layer.initial_state(1)
    assert "a_m" not in str(found.value)


PRUNED = {
    "pruned": lambda layer: prune.l1_unstructured(layer, "B", 0.1),
    "parametrised": lambda layer: torch.nn.utils.parametrizations.weight_norm(layer, "B"),
    "normalised": lambda layer: torch.nn.utils.weight_norm(layer, "B"),
}


@pytest.mark.parametrize("name", PRUNED)
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_what_a_parameter_is_made_of_belongs_to_its_group(name):
    layer = S4D(2, 8)
    PRUNED[name](layer)
    slow, rest = layer.parameter_groups(1e-2)
    assert {id(p) for p in rest["params"]} == {id(layer.C), id(layer.D)}
    assert {id(p) for p in slow["params"] + rest["params"]} == {id(p) for p in layer.parameters()}


def test_a_parameter_that_is_lost_is_named():
    layer = S4D(2, 8)
    del layer.B
    with pytest.raises(
        ValueError, match=r"B of the S4D layer must be a parameter, or made of parameters by .* NoneType"
    ):
        layer.parameter_groups(1e-2)


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.tensor])
def test_rates_may_be_numbers_of_numpy_and_tensors(kind):
    layer = S4D(2, 4)
    slow, rest = parameter_groups(layer, kind(1e-2), weight_decay=np.float32(0.5))
    assert float(slow["lr"]) == pytest.approx(1e-3)
    assert float(rest["lr"]) == pytest.approx(1e-2)
    assert rest["weight_decay"] == 0.5
    torch.optim.AdamW([slow, rest])
    assert S4D(2, 4, dt_min=np.float32(0.01), dt_max=np.float64(0.01)).log_dt[0].item() == pytest.approx(np.log(0.01))


@pytest.mark.parametrize("make", [lambda: S4D(2, 4), lambda: S4(2, 4), lambda: RTF(2, 4)])
def test_samples_of_more_precision_than_the_layer_has_are_refused(make):
    layer, x = make(), ones(1, 5, 2, dtype=torch.float64)
    words = "must have no more precision than the layer, torch.float32, got torch.float64"
    for call in (lambda: layer(x), lambda: layer.prefill(x), lambda: layer.step(x[:, 0], layer.initial_state(1))):
        with pytest.raises(TypeError, match=words):
            call()


def test_no_sequence_may_have_no_lengths():
    model = SequenceClassifier(1, 3, width=2, depth=1, state=2)
    for lengths in ([], torch.tensor([], dtype=torch.int64)):
        assert model(torch.zeros(0, 5, 1), lengths=lengths).shape == (0, 3)
    with pytest.raises(ValueError, match=r"lengths must have shape \(batch,\) = \(2,\), got \(0,\)"):
        model(torch.zeros(2, 5, 1), lengths=[])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: parameter_groups(S4D(2, 2), "a"), TypeError, "lr must be a number, got str"),
        (lambda: parameter_groups(S4D(2, 2), None), TypeError, "lr must be a number, got NoneType"),
        (lambda: parameter_groups(S4D(2, 2), True), TypeError, "lr must be a number, got bool"),
        (lambda: parameter_groups(S4D(2, 2), ones(2)), TypeError, "lr must be a number, got Tensor"),
        (lambda: parameter_groups(S4D(2, 2), -ones(1)), ValueError, "lr must not be negative"),
        (lambda: parameter_groups(S4D(2, 2), float("nan")), ValueError, "lr must not be negative, got nan"),
        (lambda: parameter_groups(S4D(2, 2), 1e-3, state_lr="a"), TypeError, "state_lr must be a number, got str"),
        (lambda: parameter_groups(S4D(2, 2), 1e-3, weight_decay=1j), TypeError, "weight_decay must be a number"),
        (lambda: S4D(2, 2, dt_min="0.1"), TypeError, "dt_min must be a number, got str"),
        (lambda: S4(2, 2, dt_max=True), TypeError, "dt_max must be a number, got bool"),
    ],
)
def test_what_is_no_rate_or_step_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("frozen", [(), ("C",), ("D",), ("log_decay", "frequency", "B", "log_dt", "P")])
def test_a_converted_layer_is_frozen_where_the_one_it_is_made_of_is(frozen):
    layer = S4(2, 4, dt_min=0.3, dt_max=1.0, bidirectional=True)
    for half in (layer, layer.reverse):
        for name in frozen:
            getattr(half, name).requires_grad_(False)
    diagonal, rational = to_diagonal_layer(layer).layer, to_rational_layer(layer).layer
    for half in (diagonal, diagonal.reverse):
        assert {n for n, p in half.named_parameters(recurse=False) if not p.requires_grad} == set(frozen) - {"P"}
    wanted = {"C": "b", "D": "D", "log_dt": "a"}
    for half in (rational, rational.reverse):
        found = {n for n, p in half.named_parameters(recurse=False) if not p.requires_grad}
        assert found == {wanted[name] for name in frozen if name in wanted}


@pytest.mark.parametrize("make", [lambda: ResidualBlock(S4D(2, 4)), lambda: SequenceModel(2, 2, width=2, depth=1)])
def test_blocks_and_models_take_samples_of_their_own_precision(make):
    module = make()
    for dtype in (torch.float64, torch.bfloat16):
        x = ones(1, 5, 2, dtype=dtype)
        for call in (lambda x=x: module(x), lambda x=x: module.step(x[:, 0], module.initial_state(1))):
            with pytest.raises(TypeError, match=f"must have the dtype of the parameters, torch.float32, got {dtype}"):
                call()
    with torch.autocast("cpu", torch.bfloat16):
        module(ones(1, 5, 2, dtype=torch.bfloat16))


@pytest.mark.parametrize("make", [lambda: S4D(2, 4), lambda: S4(2, 4, init="legt"), lambda: RTF(2, 4)])
def test_steps_of_many_states_come_by_vmap(make):
    layer, x_t = make(), ones(1, 2)
    states = torch.stack([layer.initial_state(1) + k for k in range(3)])
    for run in (lambda s: layer.step(x_t, s)[0], lambda s: layer.step(x_t, s)[1]):
        torch.testing.assert_close(torch.func.vmap(run)(states), torch.stack([run(s) for s in states]))
    samples = torch.randn(3, 1, 2, generator=torch.Generator().manual_seed(0))
    run = lambda u: layer.step(u, states[1])[0]  # noqa: E731
    torch.testing.assert_close(torch.func.vmap(run)(samples), torch.stack([run(u) for u in samples]))
