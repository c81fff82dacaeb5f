"""Conversions: the same response in another form, conditions that warn, true parameters from truncated ones."""

import warnings
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from lina._core.errors import AccuracyWarning, GradientError
from lina.hippo import transition
from lina.ssm import (
    DenseSystem,
    DiagonalSystem,
    DPLRSystem,
    characteristic_polynomial,
    freqresp,
    generating_function,
    kernel_rational,
    kernel_rational_truncated,
    leja_order,
    poly_from_roots,
    recover_b,
    recover_c,
    stable_polynomial,
    to_dense,
    to_diagonal,
    to_rational,
    truncated_b,
    truncated_c,
)
from tests.reference.ssm_systems import full_matrices, polynomial, rational_taps, taps
from tests.ssm.systems import dense, diagonal, discrete, dplr, rational

Z = np.array([0.5, 0.3j, -0.9, 0.95 + 0.1j])


def test_pairs_become_real_blocks_with_the_same_taps():
    for system in (dplr(5), dplr(4, 2), diagonal(6)):
        found = to_dense(system).system
        assert found.A.dtype == np.float64
        full = full_matrices(system.Lambda, getattr(system, "P", None), system.B, system.C)
        np.testing.assert_allclose(taps(found.A, found.B, found.C, 5), taps(*full, 5).real, rtol=1e-12)


def test_an_unpaired_real_mode_has_half_weight():
    found = to_dense(DiagonalSystem([-1.0], [1.0], [0.5])).system
    np.testing.assert_allclose(freqresp(found, [2.0]), [1 / (1 + 2j)], rtol=1e-15)


def test_the_companion_form_has_the_taps_of_the_fraction():
    system = rational(6)
    found = to_dense(system)
    assert found.condition == 1
    s = found.system
    np.testing.assert_allclose(taps(s.A, s.B, s.C, 30), rational_taps(system.a, system.b, 30), atol=1e-13)


@pytest.mark.parametrize("form", ["dense", "diagonal", "dplr", "rank 2", "rational"])
def test_every_form_has_a_fraction_and_a_diagonal(form):
    system = discrete(form, 3)
    for convert in (to_rational, to_diagonal, to_dense):
        found = convert(system)
        exact = generating_function(system, Z)
        np.testing.assert_allclose(generating_function(found.system, Z), exact, atol=1e-8 * np.max(np.abs(exact)))
        assert found.error < 1e-8
        assert found.error_kind == "estimate"


def test_the_error_is_that_of_the_response():
    rng = np.random.default_rng(0)
    Lambda = 0.9 * np.sqrt(rng.uniform(size=30)) * np.exp(1j * rng.uniform(0, np.pi, 30))
    system = DiagonalSystem(Lambda, rng.standard_normal(30), rng.standard_normal(30), dt=1.0)
    found = to_rational(system)
    z = np.exp(1j * rng.uniform(0, 6, 500))
    exact = generating_function(system, z)
    true = np.max(np.abs(generating_function(found.system, z) - exact)) / np.max(np.abs(exact))
    assert true < 10 * found.error
    assert found.error < 1e-6
    assert found.error < 100 * 2.0**-52 * found.condition


@pytest.mark.parametrize("n", [12, 16])
def test_clustered_poles_are_hopeless_and_say_so(n):
    system = DiagonalSystem(-0.5 + 1j * np.pi * np.arange(n), np.ones(n), np.ones(n)).discretize(0.01)
    with pytest.warns(AccuracyWarning, match="keep the DiagonalSystem"):
        found = to_rational(system)
    assert found.condition > 1e16
    assert found.error > 1e-3


def test_legs_has_no_diagonal_form_and_says_so():
    A, B = transition("legs", 40)
    with pytest.warns(AccuracyWarning, match="keep the DenseSystem"):
        assert to_diagonal(DenseSystem(A, B, np.ones(40))).condition > 1e12
    A, B = transition("legs", 6)
    assert to_diagonal(DenseSystem(A, B, np.ones(6))).error < 1e-9


def test_batches_convert_together():
    one, two = dense(4).discretize(0.1), dense(4, 1).discretize(0.1)
    stack = DenseSystem(np.stack([one.A, two.A]), np.stack([one.B, two.B]), np.stack([one.C, two.C]), dt=0.1)
    found = to_rational(stack).system
    assert found.a.shape == (2, 4)
    np.testing.assert_allclose(found.b[1], to_rational(two).system.b)


@pytest.mark.parametrize("n", [64, 256])
def test_leja_order_keeps_the_digits_that_other_orders_lose(n):
    roots = 0.95 * np.exp(2j * np.pi * np.arange(n) / n)
    a = poly_from_roots(roots)
    exact = np.zeros(n)
    exact[-1] = -(0.95**n)
    assert np.max(np.abs(a - exact)) < 1e-12
    with np.errstate(all="ignore"):
        naive = np.poly(roots)[1:]
    assert not np.max(np.abs(naive - exact)) < 1e-3 or n < 100


def test_products_of_roots_agree_with_200_digits():
    rng = np.random.default_rng(0)
    roots = np.sqrt(rng.uniform(size=40)) * np.exp(2j * np.pi * rng.uniform(size=40))
    roots = np.r_[roots, roots.conj()]
    found, exact = poly_from_roots(roots), polynomial(roots)
    assert found.dtype == np.float64
    z = np.exp(1j * np.linspace(0, 6, 100))
    values = np.polyval(np.r_[exact[::-1], 1], z)
    assert np.max(np.abs(np.polyval(np.r_[found[::-1], 1], z) / values - 1)) < 1e-7
    order = leja_order(roots)
    assert sorted(order) == list(range(80))
    assert sorted(leja_order(np.zeros(5))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e100])
def test_the_characteristic_polynomial_is_the_determinant(scale):
    A = np.random.default_rng(0).standard_normal((3, 3))
    found = characteristic_polynomial(A * scale)
    exact = [-np.trace(A), (np.trace(A) ** 2 - np.trace(A @ A)) / 2, -np.linalg.det(A)]
    np.testing.assert_allclose(found / scale, exact * scale ** np.arange(3.0), rtol=1e-12)


@pytest.mark.parametrize("L", [1, 2, 3, 5, 6, 7, 8, 13, 64, 1025])
def test_b_comes_back_from_any_length(L):
    system = rational(7)
    tilde = truncated_b(system.a, system.b, L)
    K = rational_taps(system.a, system.b, L + 20)
    np.testing.assert_allclose(tilde, np.convolve(np.r_[1, system.a], K[:20] - K[L : L + 20])[:7], atol=1e-13)
    found = recover_b(system.a, tilde, L)
    np.testing.assert_allclose(found.system.b, system.b, atol=1e-13 * found.condition)
    if L >= 7:
        kernel = np.fft.irfft(
            np.fft.rfft(tilde, L) / (np.fft.rfft(system.a, L) * np.exp(-2j * np.pi * np.arange(L // 2 + 1) / L) + 1), L
        )
        np.testing.assert_allclose(kernel, K[:L], atol=1e-13 * found.condition)


def test_a_length_of_d_folds_the_last_coefficient():
    a, b = np.array([0.1, -0.2, 0.3]), np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(recover_b(a, truncated_b(a, b, 3), 3).system.b, b, rtol=1e-13)


@pytest.mark.parametrize("d", [64, 256])
def test_large_numerators_come_back(d):
    rng = np.random.default_rng(0)
    a, b = stable_polynomial(rng.uniform(-0.05, 0.05, (3, d))), rng.standard_normal((3, d))
    for L in (4 * d, 4 * d + 1):
        np.testing.assert_allclose(recover_b(a, truncated_b(a, b, L), L).system.b, b, atol=1e-11)


@pytest.mark.parametrize("form", ["dense", "diagonal", "dplr", "rank 2"])
@pytest.mark.parametrize("L", [1, 2, 17, 64])
def test_c_comes_back_from_any_length(form, L):
    system = discrete(form)
    tilde = truncated_c(system, L)
    from dataclasses import replace

    found = recover_c(replace(system, C=tilde), L)
    assert type(found.system) is type(system)
    np.testing.assert_allclose(found.system.C, system.C, atol=1e-13 * found.condition)
    exact = generating_function(system, L, L)
    circular = generating_function(replace(system, C=tilde), L)
    np.testing.assert_allclose(circular, exact, atol=1e-12 * np.max(np.abs(exact)))


def test_what_cannot_be_recovered_says_so():
    with pytest.raises(ValueError, match="C is not determined"):
        recover_c(DiagonalSystem([1.0], [1.0], [1.0], dt=1.0), 4, unstable="ignore")
    with pytest.raises(ValueError, match="b is not determined"):
        recover_b([-1.0], [1.0], 4)
    with pytest.warns(AccuracyWarning, match="relative error"):
        recover_b(np.float32([-0.9999999]), np.float32([1.0]), 8)
    with pytest.raises(TypeError, match="see recover_b"):
        recover_c(rational(), 4)
    with pytest.raises(ValueError, match="system must be discrete"):
        truncated_c(dense(), 4)
    with pytest.raises(ValueError, match="system must be discrete"):
        to_rational(dense())
    with pytest.raises(ValueError, match="system must be real"):
        to_diagonal(DenseSystem([[1j]], [1.0], [1.0]))


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
@pytest.mark.parametrize("L", [3, 20, 200, 784])
def test_the_error_of_a_recovered_numerator_is_that_of_the_first_taps_however_they_grow(L, dtype):
    roots = np.array([1.07 * np.exp(0.5j), 0.9 * np.exp(1j)])
    a = np.poly(np.concatenate([roots, roots.conj()])).real[1:].astype(dtype)
    b_tilde = np.array([1.0, 2.0, 3.0, 4.0], dtype=dtype)
    K = kernel_rational_truncated(a.astype(np.result_type(a, float)), b_tilde, L, unstable="ignore")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = recover_b(a, b_tilde, L, unstable="ignore")
    growing = kernel_rational(a.astype(K.dtype), found.system.b.astype(K.dtype), L)
    off = np.abs(growing - K).max() / np.abs(K).max()
    assert off <= 1.01 * found.error
    hopeless = found.error > 1e-3
    assert hopeless == (L == 784 or (L == 200 and dtype == "float32"))
    assert [w.category for w in caught] == [AccuracyWarning] * hopeless


@pytest.mark.parametrize("length", [2, 8])
def test_nothing_is_recovered_of_an_empty_batch(length):
    assert recover_b(np.ones((0, 3)), np.ones((0, 3)), length).system.b.shape == (0, 3)
    assert recover_b(np.ones(3), np.ones((0, 3)), length).system.b.shape == (0, 3)
    one = np.ones(2)
    for system in (
        DenseSystem(np.zeros((0, 2, 2)), one, one, dt=1.0),
        DiagonalSystem(np.zeros((0, 2)), one, one, dt=1.0),
        DPLRSystem(np.zeros((0, 2)), one[None], one, one, dt=1.0),
    ):
        assert recover_c(system, length).system.C.shape == truncated_c(system, length).shape == (0, 2)


def test_there_is_a_truncated_row_for_each_system_of_a_batch():
    B, one = np.ones((3, 2)), np.ones(2)
    for system in (DenseSystem(0.5 * np.eye(2), B, one, dt=1.0), DiagonalSystem(0.5j * one, B, one, dt=1.0)):
        rows = truncated_c(system, 5)
        assert rows.shape == (3, 2)
        np.testing.assert_allclose(recover_c(replace(system, C=rows), 5).system.C, np.ones((3, 2)), rtol=1e-13)


def test_stable_systems_are_recovered_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recover_b([-0.5], [1.0], 8)
        recover_c(discrete("dplr"), 512)


def test_the_error_of_a_recovered_row_includes_what_the_difference_loses():
    a = 1 - 1e-6
    exact = 1 / (Fraction(1) - Fraction(a) ** 2)
    for system in (DenseSystem([[a]], [1.0], [1.0], dt=1.0), DiagonalSystem([a], [0.5], [1.0], dt=1.0)):
        found = recover_c(system, 2)
        missed = abs(Fraction(float(np.real(found.system.C[0]))) / exact - 1)
        assert missed <= found.error <= 1e-9


def test_truncation_and_recovery_of_slow_modes_lose_nothing():
    rng = np.random.default_rng(0)
    C = rng.standard_normal(16) + 1j * rng.standard_normal(16)
    system = DiagonalSystem(-0.5 + 1j * np.pi * np.arange(16), np.ones(16), C).discretize(1e-7)
    found = recover_c(replace(system, C=truncated_c(system, 16)), 16)
    assert np.abs(found.system.C - C).max() <= 10 * found.error * np.abs(C).max() <= 1e-11


@pytest.mark.parametrize(
    "system", [DenseSystem([[1.1]], [1.0], [1.0], dt=1.0), DiagonalSystem([1.1], [1.0], [1.0], dt=1.0)]
)
def test_a_power_that_overflows_is_an_error(system):
    with pytest.raises(OverflowError, match=r"A\^L"):
        truncated_c(system, 10**5)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["A", "B", "C", "dt"])
def test_what_is_done_on_the_host_refuses_the_gradient_of_every_part(name):
    torch = pytest.importorskip("torch")
    parts = {"A": 0.5 * torch.eye(2), "B": torch.ones(2), "C": torch.ones(2), "dt": torch.tensor(1.0)}
    parts[name].requires_grad_()
    system = DenseSystem(**parts)
    for call in (to_rational, to_diagonal, lambda s: recover_c(s, 4)):
        with pytest.raises(GradientError, match=rf"to {name}: .* {name}\.detach\(\)"):
            call(system)
        with torch.no_grad():
            assert call(system).error < 1e-6


def test_the_error_sees_the_flanks_of_slow_modes():
    rng = np.random.default_rng(5)
    for _ in range(60):
        n = int(rng.integers(2, 6))
        r = 1 - 10 ** rng.uniform(-6, -1, n)
        Lambda = r * np.exp(1j * rng.uniform(0.05, 3.1, n))
        C = rng.standard_normal(n) + 1j * rng.standard_normal(n)
        converted = to_rational(DiagonalSystem(Lambda, np.ones(n), C, dt=1.0))
        assert relative_difference(Lambda, C, r, converted.system) <= 2 * converted.error


def relative_difference(Lambda, C, r, fraction):
    """Return the largest difference of the responses over the largest value, next to the poles, in 40 digits."""
    angles = np.concatenate([np.angle(Lambda) + k * (1 - r) for k in (-2, -1, -0.5, -0.2, 0, 0.2, 0.5, 1, 2)])
    difference = largest = 0
    with mpmath.workdps(40):
        a = [mpmath.mpf(float(x)) for x in (1, *fraction.a)]
        b = [mpmath.mpf(float(x)) for x in fraction.b]
        poles, weights = ([mpmath.mpc(complex(x)) for x in (*v, *v.conj())] for v in (Lambda, C))
        for angle in angles:
            z = mpmath.expj(-mpmath.mpf(float(angle)))
            exact = sum(w / (1 - pole * z) for w, pole in zip(weights, poles, strict=True))
            numerator, denominator = (sum(c * z**k for k, c in enumerate(v)) for v in (b, a))
            difference = max(difference, abs(numerator / denominator - exact))
            largest = max(largest, abs(exact))
    return float(difference / largest)
