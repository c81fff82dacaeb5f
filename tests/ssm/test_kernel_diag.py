"""Convolution kernels of diagonal systems: against 40 digits, unstable and degenerate poles, adjoints."""

import warnings

import numpy as np
import pytest

from lina.ssm import DiagonalSystem, UnstableSystemWarning, kernel_diag, kernel_diag_vjp, linear_scan
from tests.reference.ssm_kernels import derivative, diag_taps
from tests.ssm.systems import draws

METHODS = ["zoh", "bilinear"]


def stable(n=3, seed=0):
    rng = np.random.default_rng(seed)
    return -rng.uniform(0, 1, n) + 1j * rng.uniform(0, 9, n), draws(n, seed + 1), draws(n, seed + 2)


def relative(K, exact):
    return np.max(np.abs(K - exact)) / np.max(np.abs(exact))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dt", [1e-6, 1e-2, 1.0, 30.0])
@pytest.mark.parametrize("L", [1, 2, 17, 100])
def test_taps_are_those_in_40_digits(L, dt, method):
    parts = stable(4, L)
    exact = np.array(diag_taps(*parts, dt, L, method), dtype=float)
    assert relative(kernel_diag(*parts, dt, L, method), exact) < 1e-14 * (10 + L * 9 * min(dt, 1))


@pytest.mark.parametrize("method", METHODS)
def test_taps_are_the_impulse_response_of_the_discrete_system(method):
    parts = stable(5)
    y = linear_scan(DiagonalSystem(*parts).discretize(0.1, method), np.eye(1, 60)[0])[0]
    np.testing.assert_allclose(kernel_diag(*parts, 0.1, 60, method), y, atol=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_poles_at_the_origin_of_both_planes_have_their_taps(method):
    # an integrator, and a pole at -2 / dt whose bilinear image is 0 and has no logarithm
    parts = np.array([0.0, -2.0 + 0j]), np.array([1.0, 1.0 + 0j]), np.array([0.5, 1.0 + 1j])
    exact = np.array(diag_taps(*parts, 1.0, 5, method), dtype=float)
    np.testing.assert_allclose(kernel_diag(*parts, 1.0, 5, method), exact, atol=1e-15)
    g = np.arange(1.0, 6)
    for i, gradient in enumerate(kernel_diag_vjp(g, *parts, 1.0, method)[:3]):
        change = [
            g @ derivative(lambda *a: diag_taps(*a, 5, method), [*parts, 1.0], i, e).real
            for e in (np.array([0, 1.0]), np.array([0, 1j]))
        ]
        np.testing.assert_allclose(gradient[1], change[0] + 1j * change[1], rtol=1e-11)


def test_single_precision_errs_by_rounding_only():
    parts = [np.stack([stable(32, s)[i] for s in range(8)]).astype("complex64") for i in range(3)]
    for method in METHODS:
        K = kernel_diag(*parts, np.float32(0.01), 5000, method)
        exact = kernel_diag(*(x.astype(complex) for x in parts), float(np.float32(0.01)), 5000, method)
        assert K.dtype == np.float32
        assert np.max(np.max(np.abs(K - exact), axis=-1) / np.max(np.abs(exact), axis=-1)) < 3e-7


@pytest.mark.parametrize("method", METHODS)
def test_a_step_in_double_precision_is_not_rounded_to_that_of_the_systems(method):
    Lambda, B, C = stable(32)
    parts = [x.astype("complex64") for x in (0.02 * Lambda.real + 20j * Lambda.imag, B, C)]
    exact = kernel_diag(*(x.astype(complex) for x in parts), 1e-2, 5000, method)
    assert relative(kernel_diag(*parts, 1e-2, 5000, method), exact) < 3e-7
    assert relative(kernel_diag(*parts, np.float32(1e-2), 5000, method), exact) > 1e-6
    assert [x.dtype for x in kernel_diag_vjp(np.ones(9, "float32"), *parts, 1e-2, method)][3] == np.float32


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-300, 1e-19, 1e-17, 1e-9])
def test_poles_next_to_the_origin_have_the_taps_of_an_integrator(scale):
    for phase in (-1.0, 1j, -0.6 + 0.8j):
        K = kernel_diag([scale * phase], [1.0], [1.0], 0.1, 3)
        np.testing.assert_allclose(K, np.full(3, 0.2), rtol=3 * scale + 1e-15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dt", [1e-7, 0.3, 2.0])
def test_the_adjoint_is_that_of_a_recurrence_in_40_digits(method, dt):
    arguments, g = [*stable(3, 5), dt], np.random.default_rng(0).standard_normal(7)
    for i, gradient in enumerate(kernel_diag_vjp(g, *arguments, method)):
        direction = draws(3, i) if i < 3 else dt
        change = g @ derivative(lambda *a: diag_taps(*a, 7, method), arguments, i, direction).real
        assert gradient.shape == np.shape(arguments[i])
        found = np.sum(gradient.conj() * direction).real
        np.testing.assert_allclose(found, change, rtol=1e-10, atol=1e-12 * np.max(np.abs(gradient)))


def test_a_batch_broadcasts_and_its_adjoint_sums_over_what_was_shared():
    Lambda, B, _ = stable(4)
    C, dt = np.stack([draws(4, s) for s in range(3)]), np.array([0.1, 0.2, 0.3])
    K = kernel_diag(Lambda, B, C, dt, 20)
    np.testing.assert_allclose(K[2], kernel_diag(Lambda, B, C[2], 0.3, 20), atol=1e-13)
    g = np.random.default_rng(0).standard_normal((3, 20))
    shared = kernel_diag_vjp(g, Lambda, B, C, dt)
    assert [d.shape for d in shared] == [(4,), (4,), (3, 4), (3,)]
    each = [kernel_diag_vjp(g[i], Lambda, B, C[i], dt[i]) for i in range(3)]
    np.testing.assert_allclose(shared[0], sum(d[0] for d in each), rtol=1e-11)
    np.testing.assert_allclose(shared[3], [d[3] for d in each], rtol=1e-9)
    assert kernel_diag(Lambda, B, C[:0], 0.1, 20).shape == (0, 20)


@pytest.mark.parametrize("method", METHODS)
def test_an_unstable_system_is_told_and_its_growing_taps_are_right(method):
    Lambda, B, C = stable(3)
    Lambda = Lambda + 2
    exact = np.array(diag_taps(Lambda, B, C, 0.1, 50, method), dtype=float)
    with pytest.warns(UnstableSystemWarning, match="largest pole"):
        K = kernel_diag(Lambda, B, C, 0.1, 50, method)
    assert relative(K, exact) < 1e-13
    with pytest.raises(ValueError, match="no unstable system"):
        kernel_diag(Lambda, B, C, 0.1, 50, method, unstable="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel_diag(Lambda, B, C, 0.1, 50, method, unstable="ignore")
        kernel_diag(1j * Lambda.imag, B, C, 0.1, 50, method)  # on the circle


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"dt": 0.0}, ValueError, "dt must be positive, got 0"),
        ({"L": 0}, ValueError, "L must be in 1"),
        ({"Lambda": [np.nan]}, ValueError, "Lambda must be finite"),
        ({"B": [1.0, 2.0]}, ValueError, "B must have n = 1 entries"),
        ({"method": "foh"}, ValueError, "method must be one of 'zoh', 'bilinear', got 'foh'"),
        ({"Lambda": [20.0], "method": "bilinear"}, ValueError, "Lambda must not have the value 2 / dt"),
        ({"Lambda": [-1e308], "dt": 1e10}, OverflowError, "Lambda must be small enough"),
        ({"B": [1e308], "C": [1e308]}, OverflowError, "B and C must be small enough"),
    ],
)
def test_bad_input_is_named(changes, error, text):
    arguments = {"Lambda": [-1.0], "B": [1.0], "C": [1.0], "dt": 0.1, "L": 5, "method": "zoh", **changes}
    with pytest.raises(error, match=text):
        kernel_diag(*arguments.values())
