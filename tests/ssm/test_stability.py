"""Stability: reflection coefficients, the certified sign, poles next to the circle."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina.hippo import nplr
from lina.ssm import (
    DenseSystem,
    DiagonalSystem,
    DPLRSystem,
    RationalSystem,
    UnstableSystemWarning,
    kernel_diag,
    kernel_dplr,
    kernel_rational_truncated,
    poly_from_roots,
    recover_b,
    recover_c,
    stability_margin,
    stable_polynomial,
    step_down,
    step_up,
)
from lina.ssm._stability.pole_discs import sign_from_poles
from lina.ssm._stability.schur_cohn import _in_fixed_point, _in_floating_point, eigenvalues, schur_cohn_sign
from lina.ssm._stability.winding import roots_inside, roots_of_power_sums
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


@pytest.mark.parametrize(
    ("a", "margin"),
    [
        ([-1.0, -1.0], (1 - 5**0.5) / 2),
        ([-2.5, 1.0], -1.0),
        ([-2.5, 1.0000001], -0.99999993),
        ([-1.5, -0.5, 0.5], (1 - 5**0.5) / 2),  # the first one, times a pole at 1/2
        (poly_from_roots([2.0, 2.0, 0.5, 0.5]), -1.0),  # its own mirror image
        (poly_from_roots([2.0] * 5 + [0.5] * 5), -1.0),
        ([-1.0, -1.0j], 1 - largest_root(np.array([-1.0, -1.0j]))),
    ],
)
def test_poles_whose_product_has_modulus_1_are_outside_unless_all_are_on_the_circle(a, margin):
    found = float(stability_margin(a))
    assert found < 0
    assert abs(found - margin) < 1e-6 * (1 if len(a) < 10 else 1e5)


@pytest.mark.parametrize("a", [[-2.0, 1.0], [0.0, 1.0j], [1.0j], [-1.0, 1.0], [0.0, 0.0, 0.0, -1.0]])
def test_poles_that_are_all_on_the_circle_have_margin_zero(a):
    assert stability_margin(a) == 0
    assert _in_fixed_point(np.array(a), 128) in (0, None)


def test_fixed_point_alone_tells_poles_outside_from_those_on_the_circle_where_their_product_is_1():
    for a in ([-1.0, -1.0], [-2.5, 1.0], poly_from_roots([2.0, 2.0, 0.5, 0.5])):
        assert _in_fixed_point(np.array(a), 128) == -1


def test_discs_about_poles_agree_with_fixed_point_at_poles_next_to_the_circle():
    rng = np.random.default_rng(5)
    told = {1: 0, -1: 0, None: 0}
    for _ in range(300):
        a = step_up(rng.uniform(-0.95, 0.95, 16) + (1j * rng.uniform(-0.3, 0.3, 16) if rng.random() < 0.5 else 0))
        moduli = np.abs(eigenvalues(a))
        a = a / np.max(moduli) ** np.arange(1, 17) * (1 + rng.choice([-1e-13, 0, 1e-13]))
        sign = sign_from_poles(a, eigenvalues(a))
        told[sign] += 1
        assert sign in (None, _in_fixed_point(a, 512))
    assert min(told[1], told[-1]) > 60
    assert told[None] < 60


def test_no_disc_proves_anything_from_poles_that_are_wrong():
    a = poly_from_roots(np.array([0.5, -0.3, 0.9, 1.01]))
    assert sign_from_poles(a, np.array([0.5, -0.3, 0.9, 0.95])) != 1
    assert sign_from_poles(a, np.array([0.5, 0.5, 0.9, 0.9])) != 1
    stable = poly_from_roots(np.array([0.5, -0.3, 0.9, 0.99]))
    assert sign_from_poles(stable, np.array([0.5, -0.3, 0.9, 1.01])) != -1
    assert sign_from_poles(stable, np.array([0.5, -0.3, 0.9, np.inf])) is None


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
        quick = roots_inside(np.r_[1, step_up(k)])[0] == 0
        found += quick
        assert not quick or np.all(np.abs(k) < 1)
    assert found > 100


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9])
def test_the_winding_number_passes_single_roots_and_pairs_next_to_the_circle(distance, complex_):
    rng = np.random.default_rng(2)
    for pair in (False, True):
        for outside in (False, True):
            angles = (np.arange(24 if complex_ else 12) + rng.uniform(0.2, 0.8, 24 if complex_ else 12)) * np.pi / 12
            angles = np.append(angles, angles[:2] + 1e-2) if pair else angles
            poles = np.exp(1j * angles) * (1 - distance)
            if outside:
                poles[0] *= (1 + distance) / (1 - distance)
            a = poly_from_roots(poles if complex_ else np.append(poles, poles.conj()))
            a = np.poly1d([1, *(a if complex_ else a.real)]) * np.poly1d([1, 0, -((1 - distance) ** 2)])
            count, seen = roots_inside(a.coeffs)
            assert (count is None and min(np.abs(seen)) < 1) if outside else count == 0


def test_roots_deep_inside_are_counted():
    poles = np.array([1.2, -1.3, 0.5, 0.2, -0.1])
    assert roots_inside(np.append(1, poly_from_roots(poles))) == (2, [])
    assert roots_inside(np.append(1, poly_from_roots(poles * np.exp(0.3j)))) == (2, [])


def test_coefficients_in_single_precision_and_next_to_the_end_of_the_range_are_looked_at_in_double():
    k = np.random.default_rng(4).uniform(-0.25, 0.25, 200)
    single = step_up(k).astype("float32")
    assert roots_inside(np.append(np.float32(1), single)) == roots_inside(np.append(1.0, single)) == (0, [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert roots_inside(np.array([1.0, 1e308, -1e308, 1e308]))[0] != 0


def test_two_thousand_poles_next_to_the_circle_are_flagged_without_their_eigenvalues(monkeypatch):
    for place in ("schur_cohn", "flag"):
        monkeypatch.setattr(f"lina.ssm._stability.{place}.eigenvalues", None)  # is not called
    a = step_up(np.random.default_rng(0).uniform(-0.6, 0.6, (8, 256)))
    with pytest.warns(UnstableSystemWarning, match=r"a pole of it has modulus 1 \+ \d.*e-1\d"):
        kernel_rational_truncated(a, np.ones((8, 256)), 4096)
    stable = step_up(np.random.default_rng(0).uniform(-0.2, 0.2, 1024))
    kernel_rational_truncated(stable, np.ones(1024), 4096, unstable="raise")


ON_THE_CIRCLE = {
    "all": (lambda d: np.ones(d), "geometric mean of its poles has modulus 1,"),
    "z^d = 1": (lambda d: -np.eye(1, d, d - 1)[0], "geometric mean of its poles has modulus 1,"),
    "all and one outside": (lambda d: np.convolve(np.ones(d), [1, -1.25])[1:], "geometric mean of its poles"),
    "all but one": (lambda d: np.convolve(np.ones(d), [1, -0.5])[1:], None),
    "one far outside": (lambda d: np.concatenate([[-1.25], np.zeros(d - 2), [0.01]]), "a pole of it has modulus 1.25,"),
}


@pytest.mark.parametrize("name", ON_THE_CIRCLE)
@pytest.mark.parametrize("d", [300, 1024])
def test_poles_on_the_circle_are_flagged_soon_or_not_at_all(d, name, monkeypatch):
    # eigenvalues and large integers took 6 s for d = 512 and a minute for 1024
    for slow in ("eigenvalues", "schur_cohn_sign", "sign_from_poles"):
        monkeypatch.setattr(f"lina.ssm._stability.flag.{slow}", None)  # is not called
    make, told = ON_THE_CIRCLE[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kernel_rational_truncated(make(d), np.eye(1, d)[0], 2 * d + 1)
    assert len(caught) == (told is not None)
    assert told is None or told in str(caught[0].message)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_roots_that_are_counted_are_found_by_their_power_sums(count):
    rng = np.random.default_rng(count)
    inside = rng.uniform(0.1, 0.9, count) * np.exp(1j * np.arange(count))
    outside = rng.uniform(1.2, 2, 40) * np.exp(1j * rng.uniform(0, 7, 40))
    whole = np.poly(np.concatenate([1 / inside, 1 / outside]))  # 1 + a_1 z + ... has the roots themselves
    assert roots_inside(whole) == (count, [])
    found = roots_of_power_sums(whole, count)
    assert max(np.min(np.abs(np.array(found) - root)) for root in inside) < 1e-6
    assert roots_of_power_sums(whole, 9) == roots_of_power_sums(whole, None) == []


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


@pytest.mark.parametrize("count", [0, 4])
def test_there_is_a_margin_for_each_system_whatever_the_batch_is_of(count):
    B, one = np.ones((count, 2)), np.ones(2)
    systems = [
        DenseSystem(0.5 * np.eye(2), B, one, dt=1.0),
        DiagonalSystem(0.5j * one, B, one, dt=1.0),
        DPLRSystem(0.5j * one, 0.1 * one, B, one, dt=1.0),
        RationalSystem(0.1 * one, B),
    ]
    for system in systems:
        margins = stability_margin(system)
        assert margins.shape == system.batch == (count,)
        assert not count or margins[0] == pytest.approx(stability_margin(replace_batch(system)))


def replace_batch(system):
    """Return one of systems that differ in B or b only, all of which are ones."""
    name = "b" if isinstance(system, RationalSystem) else "B"
    return replace(system, **{name: np.ones(2)})


def test_batches_keep_their_shape_and_dtype():
    a = np.random.default_rng(0).uniform(-0.2, 0.2, (2, 3, 4)).astype("float32")
    assert stability_margin(a).shape == (2, 3)
    assert stability_margin(a).dtype == np.float32
    np.testing.assert_allclose(step_down(step_up(a)), a, atol=1e-6)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="a must have no reflection coefficient of modulus 1"):
        step_down([0.5, 1.0])
    with pytest.raises(ValueError, match=r"found one in row \(1, 0\) \(2 of 4 systems\).* a_m r\^m"):
        step_down([[[0.5, 0.2], [0.1, 0.2]], [[0.5, 1.0], [0.1, -1.0]]])
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


MANY = np.full((2, 3, 1), -0.5)
MANY[1, 2] = -1.5
SLOW = np.full((2, 3, 1), -1.0 + 1j)
SLOW[1, 2] = 0.1
LOUD = {
    "recover_b": lambda how: recover_b(MANY, [1.0], 8, unstable=how),
    "recover_c": lambda how: recover_c(DiagonalSystem(-MANY, [1.0], [1.0], dt=1.0), 8, unstable=how),
    "kernel_rational_truncated": lambda how: kernel_rational_truncated(MANY, [1.0], 8, unstable=how),
    "kernel_diag": lambda how: kernel_diag(SLOW, [1.0], [1.0], 0.1, 8, unstable=how),
    "kernel_diag of many inputs": lambda how: kernel_diag(SLOW[1], [1.0], [[1.0]], [[0.2], [0.1]], 8, unstable=how),
    "kernel_dplr": lambda how: kernel_dplr(SLOW, 0.01 * np.ones((2, 3, 1)), [1.0], [1.0], 0.1, 8, unstable=how),
}


@pytest.mark.parametrize("name", LOUD)
def test_an_unstable_system_of_a_batch_is_named(name):
    place = r"system \(0, 2\) of the batch" if "many" in name else r"system \(1, 2\) of the batch"
    with pytest.warns(UnstableSystemWarning, match=place):
        LOUD[name]("warn")
    with pytest.raises(ValueError, match=place):
        LOUD[name]("raise")


def test_what_is_no_system_is_told_how_to_become_one():
    with pytest.raises(TypeError, match=r"a must be an array of denominators or a system, as DPLRSystem\(.* got NPLR"):
        stability_margin(nplr("legs", 4))
