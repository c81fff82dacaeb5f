"""Stability: reflection coefficients, the certified sign, poles next to the circle."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina.ssm import (
    DenseSystem,
    DiagonalSystem,
    RationalSystem,
    UnstableSystemWarning,
    poly_from_roots,
    recover_b,
    stability_margin,
    stable_polynomial,
    step_down,
    step_up,
)
from lina.ssm._stability.schur_cohn import _in_fixed_point, _in_floating_point, schur_cohn_sign
from lina.ssm._stability.winding import winds_around_nothing
from tests.reference.ssm_systems import largest_root
from tests.ssm.systems import dense, diagonal, dplr

coefficients = st.lists(st.floats(-0.95, 0.95), min_size=1, max_size=12)


@given(coefficients)
def test_step_down_is_the_inverse_of_step_up(k):
    k = np.array(k)
    growth = np.prod((1 + np.abs(k)) / (1 - np.abs(k)))
    np.testing.assert_allclose(step_down(step_up(k)), k, atol=1e-14 * growth)


@pytest.mark.parametrize("d", [1, 2, 3, 8])
def test_the_sign_agrees_with_the_roots_in_60_digits(d):
    rng = np.random.default_rng(d)
    for _ in range(40):
        a = step_up(rng.uniform(-1.02, 1.02, d) + (1j * rng.uniform(-0.3, 0.3, d) if d % 2 else 0))
        assert (schur_cohn_sign(a) > 0) == (largest_root(a) < 1)


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-12, 1e-15])
def test_poles_next_to_the_circle_are_told_apart(distance):
    for radius in (1 - distance, 1 + distance):
        a = np.array([-2 * radius * np.cos(1.0) - 0.5, radius**2 + radius * np.cos(1.0), -0.5 * radius**2])
        exact = 1 - largest_root(a)
        margin = float(stability_margin(a))
        assert np.sign(margin) == np.sign(exact)
        assert abs(margin - exact) < 1e-14


def test_a_pole_on_the_circle_has_margin_zero():
    assert stability_margin([-1.0]) == 0
    assert stability_margin([0.0, 1.0]) == 0
    assert stability_margin([-1.5, 0.5]) == 0  # 1 and 1/2
    assert stability_margin([0.0, 0.0]) == 1


def test_fixed_point_agrees_with_floating_point_and_goes_on_where_it_ends():
    rng = np.random.default_rng(0)
    for _ in range(200):
        a = step_up(rng.uniform(-1.1, 1.1, 6))
        quick = _in_floating_point(a)
        assert quick in (None, _in_fixed_point(a, 128))
    hard = poly_from_roots(np.full(12, 0.999))
    assert _in_floating_point(hard) is None
    assert schur_cohn_sign(hard) == (1 if largest_root(hard) < 1 else -1)


def test_every_real_vector_gives_a_stable_polynomial():
    rng = np.random.default_rng(0)
    for scale in (0.1, 1.0, 3.0):
        a = stable_polynomial(scale * rng.standard_normal((20, 6)))
        assert np.all(stability_margin(a) > 0)
    z = stable_polynomial(rng.standard_normal(5) + 1j * rng.standard_normal(5))
    assert stability_margin(z) > 0
    np.testing.assert_array_equal(stable_polynomial(np.zeros(4)), np.zeros(4))
    np.testing.assert_allclose(stable_polynomial(np.arctanh([0.3, -0.5])), step_up([0.3, -0.5]), rtol=1e-14)


def test_the_winding_number_never_calls_an_unstable_polynomial_stable():
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(600):
        d = rng.integers(1, 14)
        k = rng.uniform(-1.05, 1.05, d) + (0 if rng.random() < 0.5 else 1j * rng.uniform(-0.3, 0.3, d))
        quick = winds_around_nothing(np.r_[1, step_up(k)])
        found += quick
        assert not quick or np.all(np.abs(k) < 1)
    assert found > 100


def test_a_kernel_that_looks_harmless_is_flagged():
    a, b_tilde = np.array([-1.02]), np.array([1.0])  # its circular kernel of 1024 taps is bounded by 2
    with pytest.warns(UnstableSystemWarning, match="largest pole has modulus 1.02"):
        recover_b(a, b_tilde, 1024)
    with pytest.raises(ValueError, match="a must have all poles inside the unit circle"):
        recover_b(a, b_tilde, 1024, unstable="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recover_b(a, b_tilde, 1024, unstable="ignore")


def test_systems_have_margins():
    assert stability_margin(RationalSystem([-0.5], [1.0])) == 0.5
    s = dense(5)
    np.testing.assert_allclose(stability_margin(s), -np.max(np.linalg.eigvals(s.A).real))
    np.testing.assert_allclose(
        stability_margin(s.discretize(0.1)), 1 - np.max(np.abs(np.linalg.eigvals(s.discretize(0.1).A)))
    )
    assert stability_margin(dplr(4)) > 0
    np.testing.assert_allclose(stability_margin(diagonal(4)), -np.max(diagonal(4).Lambda.real))
    assert stability_margin(DiagonalSystem([0.5j], [1.0], [1.0], dt=1.0)) == 0.5
    assert stability_margin(DenseSystem(np.zeros((2, 3, 3)), np.ones(3), np.ones(3), dt=1.0)).shape == (2,)


def test_batches_keep_their_shape_and_dtype():
    a = np.random.default_rng(0).uniform(-0.2, 0.2, (2, 3, 4)).astype("float32")
    assert stability_margin(a).shape == (2, 3)
    assert stability_margin(a).dtype == np.float32
    np.testing.assert_allclose(step_down(step_up(a)), a, atol=1e-6)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="a must have no reflection coefficient of modulus 1"):
        step_down([0.5, 1.0])
    with pytest.raises(ValueError, match="a must be finite"):
        stability_margin([np.nan])
    with pytest.raises(OverflowError, match="k must be small enough"):
        step_up([1e200, 1e200, 1e200])
    with pytest.raises(ValueError, match="unstable must be one of"):
        recover_b([0.1], [1.0], 4, unstable="maybe")


@pytest.mark.torch
def test_gradients_pass_or_are_refused():
    torch = pytest.importorskip("torch")
    rho = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(stable_polynomial, rho)
    assert torch.autograd.gradcheck(step_down, rho)
    with pytest.raises(RuntimeError, match="no gradient with respect to a"):
        stability_margin(rho)
