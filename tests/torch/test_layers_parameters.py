"""Parameters of the state-space layers: what they may be, the modes and margins that they make, how fast they move."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.ssm import stability_margin  # noqa: E402
from lina.torch import RTF, S4, S4D, parameter_groups  # noqa: E402
from tests.torch.layer_cases import every, signal, step_by_step, trained  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")]


def test_real_modes_of_odd_and_of_measured_sizes_stay_real():
    for layer in (S4D(3, 5), S4(3, 5), S4(3, 6, init="fout")):
        real = 2 * layer.state_size - layer.state
        assert real >= 1
        opened = layer.double()
        optimiser = torch.optim.SGD(opened.parameters(), lr=0.05)
        for _ in range(3):
            optimiser.zero_grad()
            opened(signal(1, 20, 3)).pow(2).sum().backward()
            torch.nn.utils.clip_grad_norm_(opened.parameters(), 1.0)
            optimiser.step()
        with torch.no_grad():
            Lambda, B, _, _ = opened.continuous()
        assert float(Lambda[:, :real].imag.abs().max()) == 0
        assert float(B[:, :real].imag.abs().max()) == 0


def test_no_parameter_makes_a_mode_grow():
    for layer in (S4D(3, 6), S4(3, 6, init="legt"), S4D(3, 6, method="bilinear")):
        with torch.no_grad():
            for p in layer.parameters():
                p.mul_(3).add_(5 * torch.randn_like(p))
            assert torch.isfinite(layer(signal(1, 200, 3, dtype=torch.float32))).all()
        assert float(layer.check_stability().min()) > 0


def test_extreme_parameters_give_no_nan():
    for layer in (S4D(2, 4), S4(2, 4)):
        with torch.no_grad():
            layer.log_dt.fill_(400.0)
            layer.log_decay.fill_(-400.0)
        layer(signal(1, 30, 2, dtype=torch.float32)).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_reflection_coefficients_of_high_degree_keep_their_digits_in_single_precision():
    torch.manual_seed(0)
    layer = RTF(1, 64, constraint="reflection")
    with torch.no_grad():
        layer.rho.fill_(0.3)
        layer.b.normal_()
    x = signal(1, 300, 1, dtype=torch.float32)
    with torch.no_grad():
        whole, (parts, _) = layer(x), layer.prefill(x)
        stepped, _ = step_by_step(layer, x, layer.initial_state(1))
        exact = copy.deepcopy(layer).double()(x.double())
    for found in (whole, parts, stepped):
        assert float((found - exact).abs().max()) <= 1e-5 * float(exact.abs().max())


def test_margins_next_to_zero_keep_their_sign():
    layers = S4D(1, 2), S4D(1, 2, method="bilinear"), S4(1, 16)
    with torch.no_grad():
        for layer in layers[:2]:
            layer.log_dt.fill_(-20)
            layer.log_decay.fill_(-20)
        layers[2].P.normal_().mul_(1e8)
    assert all(float(layer.check_stability().min()) > 0 for layer in layers)


def test_stability_is_that_of_both_directions():
    layer = RTF(4, 3, constraint=None, bidirectional=True)
    with torch.no_grad():
        layer.reverse.a[2, 0] = -1.5
    with pytest.raises(ValueError, match=r"channel 2 has modulus 1\.5, and those of 1 of 4 channels"):
        layer.check_stability()


def test_parameters_that_are_not_finite_are_named():
    layer = S4D(2, 4)
    with torch.no_grad():
        layer.log_decay[0, 0] = float("nan")
    for call in (lambda: layer.initial_state(1), layer.check_stability):
        with pytest.raises(ValueError, match="log_decay of the S4D layer must be finite"):
            call()


def test_a_state_dict_does_not_load_where_it_means_another_denominator():
    states = {
        constraint: RTF(2, 3, constraint=constraint).state_dict() for constraint in (None, "montel", "reflection")
    }
    for constraint in states:
        for other, state in states.items():
            layer = RTF(2, 3, constraint=constraint)
            if other == constraint:
                layer.load_state_dict(state)
            else:
                with pytest.raises(RuntimeError, match="Missing key"):
                    layer.load_state_dict(state)


def test_a_denominator_with_a_pole_outside_is_refused_before_the_first_step():
    layer = RTF(2, 1, constraint=None)
    with torch.no_grad():
        layer.a[1] = -1.06
        layer.b.fill_(1.0)
    with pytest.raises(ValueError, match=r"channel 1 has modulus 1\.06"):
        layer.initial_state(1)
    with pytest.raises(ValueError, match="unstable"):
        layer.prefill(signal(1, 4, 2, dtype=torch.float32))
    with pytest.warns(UserWarning, match="channel 1"):
        margins = layer.check_stability("warn")
    np.testing.assert_allclose(margins.numpy(), [1.0, -0.06], atol=1e-6)
    assert layer.check_stability("ignore").shape == (2,)
    # over a whole sequence the taps are the true ones, which grow in sight
    assert layer.kernel(200)[1, -1].item() == pytest.approx(1.06**199, rel=1e-4)


@every
def test_margins_are_those_of_the_system(name):
    layer = trained(name, state=6)
    np.testing.assert_allclose(
        layer.check_stability().numpy(), np.broadcast_to(stability_margin(layer.system()), 4), rtol=1e-7, atol=1e-12
    )


@pytest.mark.parametrize("state", [4, 32])
def test_constraints_of_denominators_hold_for_any_parameters(state):
    for scale in (0.1, 10.0):
        montel = RTF(3, state).double()
        with torch.no_grad():
            montel.w.normal_(std=scale)
            a = montel.fraction()[0]
        assert float(a.abs().sum(-1).max()) < 1
        assert float(montel.check_stability().min()) > 0
    free = RTF(3, state, constraint="reflection").double()
    with torch.no_grad():
        free.rho.normal_(std=0.5)
    assert float(free.check_stability().min()) > 0


def test_shared_denominators_and_numerators_belong_to_neighbours():
    layer = RTF(6, 3, denominators=2, numerators=3)
    assert layer.w.shape == (2, 3)
    assert layer.b.shape == (3, 3)
    with torch.no_grad():
        layer.w.normal_(), layer.b.normal_()
    a, b = layer.fraction()
    assert torch.equal(a[0], a[2])
    assert not torch.equal(a[2], a[3])
    assert torch.equal(b[0], b[1])
    assert not torch.equal(b[1], b[2])


def test_parameter_groups_slow_the_poles_down():
    layer = S4(2, 4)
    slow, rest = layer.parameter_groups(1e-2, weight_decay=0.1)
    assert (slow["lr"], slow["weight_decay"], rest["lr"], rest["weight_decay"]) == (1e-3, 0.0, 1e-2, 0.1)
    assert {id(p) for p in rest["params"]} == {id(layer.C), id(layer.D)}
    assert len(slow["params"]) + len(rest["params"]) == len(list(layer.parameters()))
    both = RTF(2, 4, bidirectional=True)
    slow, rest = parameter_groups(torch.nn.Sequential(both, torch.nn.Linear(2, 2)), 1e-4, state_lr=1e-5)
    assert {id(p) for p in slow["params"]} == {id(both.w), id(both.reverse.w)}
    assert slow["lr"] == 1e-5
    with pytest.raises(ValueError, match="lr must not be negative, got -1"):
        layer.parameter_groups(-1)
