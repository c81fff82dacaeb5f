"""Layers in single precision: whole sequences, parts and steps agree however slowly modes decay."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.torch import RTF, S4, S4D  # noqa: E402

pytestmark = pytest.mark.torch

# (layer, log_decay or None for what it begins with, length)
SLOW = {
    "S4D as it begins": (lambda: S4D(2, 64), None, 4096),
    "S4D of decays of 0.05": (lambda: S4D(2, 64), -3.0, 4096),
    "S4D of decays of 0.001": (lambda: S4D(2, 64), -7.0, 4096),
    "S4D that hardly decays": (lambda: S4D(2, 64), -7.0, 16384),
    "S4D of odd size": (lambda: S4D(2, 63, init="legs"), -5.0, 4096),
    "S4D bilinear": (lambda: S4D(2, 64, method="bilinear"), -7.0, 4096),
    "S4 fout": (lambda: S4(2, 64, init="fout"), None, 16384),
    "S4 fout in long steps": (lambda: S4(2, 64, init="fout", dt_min=0.1), None, 4096),
    "S4 legt in long steps": (lambda: S4(2, 64, init="legt", dt_min=0.1), None, 4096),
    "S4 legs in long steps": (lambda: S4(2, 64, dt_min=0.1), -3.0, 4096),
}


def three_ways(layer, x):
    """Return the outputs of the whole sequence, of steps, and of three parts, the last one step by step."""
    with torch.no_grad():
        third, state, outputs = x.shape[1] // 3, layer.initial_state(len(x)), []
        for t in range(x.shape[1]):
            y, state = layer.step(x[:, t], state)
            outputs.append(y)
        parts, state = layer.prefill(x[:, :third])
        more, _ = layer.prefill(x[:, third:], state)
        return layer(x), torch.stack(outputs, 1), torch.cat([parts, more], 1)


def samples(length, channels=2):
    return torch.randn(1, length, channels, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("seed", [0, 1])
def test_three_ways_agree_to_five_digits_and_with_double_precision(name, seed):
    make, log_decay, length = SLOW[name]
    torch.manual_seed(seed)
    layer, x = make(), samples(length)
    if log_decay is not None:
        torch.nn.init.constant_(layer.log_decay, log_decay)
    whole, stepped, parts = three_ways(layer, x)
    with torch.no_grad():
        exact = copy.deepcopy(layer).double()(x.double())
    within = 1e-5 * float(exact.abs().max())
    for found in (whole, stepped, parts):
        assert found.dtype == torch.float32
        assert float((found - exact).abs().max()) <= within
        assert float((found - whole).abs().max()) <= within


@pytest.mark.parametrize("make", [lambda: S4D(2, 8), lambda: S4D(2, 7, method="bilinear"), lambda: S4(2, 8)])
def test_states_and_gradients_are_in_the_precision_of_the_layer(make):
    layer, x = make(), samples(20)
    y, state = layer.prefill(x)
    y_t, after = layer.step(x[:, 0], state)
    assert y.dtype == y_t.dtype == layer.kernel(5).dtype == torch.float32
    assert state.dtype == after.dtype == layer.state_dtype == torch.complex64
    y_t.sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in layer.parameters())


@pytest.mark.parametrize("make", [lambda: S4D(2, 8), lambda: S4D(2, 8, method="bilinear"), lambda: S4(2, 8)])
def test_the_system_of_a_layer_in_single_precision_is_that_in_double(make):
    layer = make()
    for name, value in vars(copy.deepcopy(layer).double().system()).items():
        if isinstance(value, torch.Tensor):
            found = getattr(layer.system(), name)
            assert found.dtype == value.dtype == torch.complex128
            torch.testing.assert_close(found, value, rtol=1e-6, atol=1e-7 * float(value.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("state", [1, 3, 64, 150])
def test_montel_is_below_one_whatever_the_parameters_are(dtype, state):
    for size in (1e-30, 1.0, 1e4, 1e9, 3e38):
        layer = RTF(4, state).to(dtype)
        with torch.no_grad():
            layer.w.uniform_(-1, 1, generator=torch.Generator().manual_seed(0)).mul_(size)
            layer.w[0] = -size
            a = layer.fraction()[0]
            assert a.dtype == dtype
            assert float(a.double().abs().sum(-1).max()) < 1 - 2.0**-25
            assert torch.isfinite(a).all()
            assert float(layer.check_stability().min()) > 0
            layer.step(torch.ones(1, 4, dtype=dtype), layer.initial_state(1))


def test_montel_divides_by_one_and_the_sum():
    layer = RTF(1, 3).double()
    with torch.no_grad():
        layer.w.copy_(torch.tensor([[1.0, -2.0, 4.0]]))
        torch.testing.assert_close(layer.fraction()[0], layer.w / 8, rtol=2e-7, atol=0)
