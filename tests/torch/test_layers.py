"""The state-space layers: three modes that agree, any length, gradients, precision, copies, bad input."""

import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.torch import RTF, S4, S4D  # noqa: E402
from tests.reference.state_space_layer import outputs_by_recurrence  # noqa: E402
from tests.torch.layer_cases import MAKERS, every, signal, some, step_by_step, trained  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")]

AGREE = {torch.float64: 1e-10, torch.float32: 1e-5}


@every
@pytest.mark.parametrize("state", [1, 2, 7, 8])
@pytest.mark.parametrize("dtype", AGREE)
def test_convolution_steps_and_chunks_agree(name, state, dtype):
    layer, x = trained(name, state=state, dtype=dtype), signal(2, 101, 4, dtype=dtype)
    with torch.no_grad():
        whole = layer(x)
        stepped, after_steps = step_by_step(layer, x, layer.initial_state(2))
        first, between = layer.prefill(x[:, :38])
        second, after_chunks = layer.prefill(x[:, 38:], between)
    within = AGREE[dtype] * float(whole.abs().max())
    for found in (stepped, torch.cat([first, second], 1)):
        assert float((found - whole).abs().max()) <= within
    size = float(after_steps.abs().max())
    assert float((after_chunks - after_steps).abs().max()) <= AGREE[dtype] * size


@every
@pytest.mark.parametrize("L", [1, 2, 3, 40, 63])
def test_outputs_are_those_of_the_dense_recurrence_at_any_length(name, L):
    layer, x = trained(name, state=5), signal(2, L, 4)
    expected = outputs_by_recurrence(layer.system(), layer.D.detach().numpy(), x.numpy())
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=0, atol=1e-11 * np.abs(expected).max())


@every
def test_a_longer_kernel_begins_with_a_shorter_one(name):
    layer = trained(name)
    with torch.no_grad():
        long, short = layer.kernel(100), layer.kernel(33)
    torch.testing.assert_close(long[:, :33], short, rtol=0, atol=1e-10 * float(long.abs().max()))


@pytest.mark.parametrize("name", MAKERS)
def test_gradients_of_the_three_modes_agree(name):
    layer, x = trained(name, channels=2, state=4), signal(1, 12, 2)
    weights = signal(1, 12, 2, seed=3)
    modes = {
        "whole": lambda: layer(x),
        "steps": lambda: step_by_step(layer, x, layer.initial_state(1))[0],
        "chunks": lambda: torch.cat(
            [layer.prefill(x[:, :5])[0], layer.prefill(x[:, 5:], layer.prefill(x[:, :5])[1])[0]], 1
        ),
    }
    found = {
        mode: torch.autograd.grad((run() * weights).sum(), list(layer.parameters())) for mode, run in modes.items()
    }
    for mode in ("steps", "chunks"):
        for expected, gradient in zip(found["whole"], found[mode], strict=True):
            scale = max(float(expected.abs().max()), 1e-3)
            assert float((gradient - expected).abs().max()) <= 1e-8 * scale, mode


@some
def test_gradcheck_through_a_layer(name):
    layer = trained(name, channels=2, state=3)
    names, values = zip(*layer.named_parameters(), strict=True)
    run = lambda x, *p: torch.func.functional_call(layer, dict(zip(names, p, strict=True)), (x,))  # noqa: E731
    inputs = [signal(1, 6, 2).requires_grad_(), *(v.detach().clone().requires_grad_() for v in values)]
    assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize("optimiser", ["SGD", "AdamW"])
def test_a_step_after_training_by_an_optimiser_that_leaves_no_trace_is_that_of_the_new_parameters(optimiser):
    layer, x = S4D(2, 4), signal(1, 2, dtype=torch.float32)
    fused = getattr(torch.optim, optimiser)(layer.parameters(), lr=0.1, fused=True)
    with torch.no_grad():
        layer.step(x, layer.initial_state(1))
    layer(signal(1, 20, 2, dtype=torch.float32)).pow(2).sum().backward()
    fused.step()
    with torch.no_grad():
        state = torch.zeros(1, 2, layer.state_size, dtype=torch.complex64)
        torch.testing.assert_close(layer.step(x, state)[0], layer(x[:, None])[:, 0])


@some
def test_a_step_follows_values_however_they_are_changed(name):
    layer, x = trained(name), signal(1, 4)
    changed = next(n for n in layer._names if n in ("C", "b"))

    def agree():
        with torch.no_grad():
            state = layer.initial_state(1)
            torch.testing.assert_close(layer.step(x, state)[0], layer(x[:, None])[:, 0], rtol=0, atol=1e-9)

    agree()
    getattr(layer, changed).data.mul_(3)
    agree()
    torch.nn.utils.parametrizations.weight_norm(layer, changed)
    agree()
    with torch.no_grad():
        getattr(layer.parametrizations, changed).original0.mul_(3)
    agree()
    listed = {id(p) for group in layer.parameter_groups(1e-2) for p in group["params"]}
    assert listed == {id(p) for p in layer.parameters()}


@some
def test_a_layer_made_in_inference_mode_steps(name):
    with torch.inference_mode():
        layer = MAKERS[name](2, 4)
        layer.step(torch.zeros(1, 2), layer.initial_state(1))


@some
def test_autocast_leaves_prefill_as_it_is(name):
    layer, x = trained(name, dtype=torch.float32), signal(1, 40, 4, dtype=torch.float32)
    expected = layer.prefill(x)
    with torch.autocast("cpu", torch.bfloat16):
        for found, y in zip(layer.prefill(x), expected, strict=True):
            torch.testing.assert_close(found, y, rtol=0, atol=1e-6 * y.abs().max().item())


def test_modes_that_decay_within_a_step_have_gradients():
    layer = S4D(1, 2)
    with torch.no_grad():
        layer.log_dt.fill_(np.log(95))
        layer.log_decay.zero_()
    layer.prefill(torch.ones(1, 3, 1))[0].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_the_gradient_by_a_pole_that_is_zero_is_that_of_the_steps():
    layer = S4D(1, 2, method="bilinear").double()
    with torch.no_grad():
        layer.log_dt.zero_()
        layer.log_decay.fill_(np.log(2))
        layer.frequency.zero_()
    x, state = torch.ones(1, 1, 1, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.complex128)
    found = [
        torch.autograd.grad(after.real.sum(), layer.log_decay)[0]
        for _, after in (layer.prefill(x, state), layer.step(x[:, 0], state))
    ]
    torch.testing.assert_close(*found)


@every
def test_bidirectional_layers_see_both_ways_and_refuse_steps(name):
    torch.manual_seed(0)
    one = MAKERS[name](4, 4)
    both = {"S4D": S4D, "S4": S4, "RTF": RTF}[type(one).__name__](4, 4, bidirectional=True).double()
    with torch.no_grad():
        for p in both.parameters():
            p.add_(0.1 * torch.randn_like(p))
    x = signal(1, 30, 4)
    forth = copy.deepcopy(both)
    forth.reverse = None
    expected = forth(x) + both.reverse(x.flip(1)).flip(1)
    torch.testing.assert_close(both(x), expected)
    later = x.clone()
    later[:, 20] += 1
    assert (both(later) - both(x))[:, 10].abs().max().item() > 1e-6
    for call in (lambda: both.initial_state(1), lambda: both.prefill(x), lambda: both.step(x[:, 0], None)):
        with pytest.raises(ValueError, match="bidirectional"):
            call()


@some
def test_a_step_follows_the_parameters(name):
    layer, x = trained(name), signal(1, 4)
    with torch.no_grad():
        state = layer.initial_state(1)
        before, _ = layer.step(x, state)
        next(p for n, p in layer.named_parameters() if n == ("b" if name.startswith("RTF") else "C")).mul_(2)
        after, _ = layer.step(x, state)
        other = copy.deepcopy(layer)
        assert torch.equal(other.step(x, state)[0], after)
        layer.load_state_dict(trained(name, seed=7).state_dict())
        loaded, _ = layer.step(x, state)
        assert torch.equal(loaded, trained(name, seed=7).step(x, state)[0])
    assert not torch.equal(before, after)
    assert not torch.equal(after, loaded)


@some
def test_state_dict_pickle_and_copy_keep_the_layer(name):
    layer, x = trained(name), signal(1, 20, 4)
    with torch.no_grad():
        layer.step(x[:, 0], layer.initial_state(1))
    for twin in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert torch.equal(twin(x), layer(x))
    assert set(layer.state_dict()) == {n for n, _ in layer.named_parameters()}
    fresh = MAKERS[name](4, 8).double()
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(x), layer(x))


@some
def test_half_precision_is_computed_in_single(name):
    layer = trained(name, dtype=torch.float32)
    x = signal(2, 50, 4, dtype=torch.float32).bfloat16()
    expected = layer(x.float())
    assert layer(x).dtype == torch.bfloat16
    torch.testing.assert_close(layer(x).float(), expected, rtol=1e-2, atol=1e-2)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(x).float(), expected, rtol=1e-2, atol=1e-2)
        stepped, _ = step_by_step(layer, x.float(), layer.initial_state(2))
    torch.testing.assert_close(stepped, expected, rtol=1e-5, atol=1e-4)
    half = copy.deepcopy(layer).bfloat16()
    assert torch.isfinite(half(x)).all()
    assert half.dtype == torch.float32


@some
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Dynamo detected a call to a .*lru_cache")
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex:UserWarning")
def test_layers_compile_without_a_graph_break(name):
    torch.compiler.reset()
    layer, x = trained(name, channels=2, state=4), signal(2, 20, 2)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layer(x))
    expected = torch.autograd.grad(layer(x).pow(2).sum(), list(layer.parameters()))
    found = torch.autograd.grad(compiled(x).pow(2).sum(), list(layer.parameters()))
    for g, e in zip(found, expected, strict=True):
        torch.testing.assert_close(g, e)


@some
def test_strided_expanded_and_empty_batches(name):
    layer = trained(name)
    x = signal(2, 60, 8)[:, ::2, ::2]
    torch.testing.assert_close(layer(x), layer(x.contiguous()))
    torch.testing.assert_close(layer(x[:1].expand(3, -1, -1)), layer(x[:1]).expand(3, -1, -1))
    assert layer(x[:0]).shape == (0, 30, 4)
    y, state = layer.prefill(x[:0])
    assert y.shape == (0, 30, 4)
    assert state.shape[0] == 0


@some
def test_bad_input_is_named(name):
    layer = trained(name, dtype=torch.float32)
    x, state = torch.zeros(2, 5, 4), layer.initial_state(2)
    refused = [
        (
            lambda: layer(torch.zeros(2, 5, 3)),
            ValueError,
            r"x must have shape \(batch, length, channels\) with 4 channels",
        ),
        (lambda: layer(torch.zeros(5, 4)), ValueError, r"got \(5, 4\)"),
        (lambda: layer(torch.zeros(2, 0, 4)), ValueError, "at least one sample"),
        (lambda: layer(np.zeros((2, 5, 4))), TypeError, "x must be a torch tensor"),
        (lambda: layer(torch.zeros(2, 5, 4, dtype=torch.int64)), TypeError, "floating-point"),
        (lambda: layer(x.fill_(float("nan"))), ValueError, "x must be finite"),
        (lambda: layer.step(torch.zeros(2, 3), state), ValueError, r"x_t must have shape \(batch, channels\)"),
        (lambda: layer.step(torch.zeros(3, 4), state), ValueError, "state must have shape"),
        (lambda: layer.step(torch.zeros(2, 4), state[..., :1]), ValueError, "as its initial_state returns it"),
        (lambda: layer.step(torch.zeros(2, 4), None), TypeError, "state must be a tensor"),
        (lambda: layer.step(torch.zeros(2, 4), state.to(torch.complex128)), ValueError, "dtype"),
        (lambda: layer.initial_state(-1), ValueError, "batch must be at least 0, got -1"),
        (lambda: layer.check_stability("panic"), ValueError, "action must be one of"),
        (lambda: layer.kernel(0), ValueError, "L must be"),
    ]
    for call, error, text in refused:
        with pytest.raises(error, match=text):
            call()


def test_bad_arguments_are_named():
    refused = [
        (lambda: S4D(0), ValueError, "channels must be at least 1, got 0"),
        (lambda: S4D(2, 2.5), TypeError, "state must be an int, got float"),
        (lambda: S4D(2, 4, init="best"), ValueError, "init must be one of 'lin', 'inv', 'legs', got 'best'"),
        (lambda: S4D(2, 4, method="euler"), ValueError, "method must be one of"),
        (lambda: S4(2, 4, init="lagt"), ValueError, "init must be one of 'legs', 'legt'"),
        (lambda: S4(2, 4, dt_min=0.1, dt_max=0.01), ValueError, "dt_min and dt_max must be finite"),
        (lambda: RTF(4, 4, constraint="l1"), ValueError, "constraint must be one of 'montel', 'reflection'"),
        (lambda: RTF(4, 4, denominators=3), ValueError, "denominators must divide channels = 4, got 3"),
    ]
    for call, error, text in refused:
        with pytest.raises(error, match=text):
            call()
