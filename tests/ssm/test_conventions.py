"""One test per line of docs/conventions.rst on state-space systems, under the label of the line."""

import numpy as np
import pytest
import scipy.signal

from lina.ssm import (
    DenseSystem,
    DiagonalSystem,
    DPLRSystem,
    RationalSystem,
    characteristic_polynomial,
    discretize,
    fftconv_vjp,
    freqresp,
    generating_function,
    kernel_dense,
    kernel_diag,
    kernel_diag_vjp,
    kernel_dplr,
    kernel_dplr_truncated,
    kernel_rational,
    kernel_rational_truncated,
    kernel_rational_vjp,
    linear_scan,
    poly_from_roots,
    recover_b,
    recover_c,
    stability_margin,
    stable_polynomial,
    step,
    step_down,
    step_up,
    to_dense,
    truncated_b,
    truncated_c,
)
from tests.ssm.systems import FORMS, dense, diagonal, discrete, dplr, draws, rational

A = np.array([[0.5, 0.2, 0.0], [-0.2, 0.5, 0.1], [0.0, 0.3, -0.4]])
B, C = np.array([1.0, -2.0, 0.5]), np.array([0.3, 1.0, 2.0])


def taps(system, count):
    """Return the impulse response by the recurrence."""
    return linear_scan(system, np.eye(1, count)[0])[0]


def powers(A, B, C, count):
    """Return C A^l B."""
    return np.array([C @ np.linalg.matrix_power(A, k) @ B for k in range(count)])


def whole(x):
    """Return the pairs of which one each is given."""
    return np.concatenate([x, x.conj()])


def test_c71_the_first_tap_is_c_b():
    np.testing.assert_allclose(taps(DenseSystem(A, B, C, dt=1.0), 6), powers(A, B, C, 6))
    y, x = step(DenseSystem(A, B, C, dt=1.0), 2.0, np.zeros(3))
    np.testing.assert_allclose((y, *x), (2 * (C @ B), *(2 * B)))


def test_c72_the_output_row_is_not_conjugated():
    complex_row = C + 1j * C[::-1]
    np.testing.assert_allclose(taps(DenseSystem(A, B, complex_row, dt=1.0), 3), powers(A, B, complex_row, 3))
    one = DiagonalSystem([0.5j], [1.0], [1j], dt=1.0)
    np.testing.assert_allclose(taps(one, 2), [2 * 1j.real, 2 * (1j * 0.5j).real])


def test_c73_one_of_each_pair_is_given():
    s, t = diagonal().discretize(0.1), dplr().discretize(0.1)
    expected = powers(np.diag(whole(s.Lambda)), whole(s.B), whole(s.C), 8)
    np.testing.assert_allclose(taps(s, 8), expected.real, rtol=1e-9)
    assert np.abs(expected.imag).max() < 1e-12
    matrix = np.diag(whole(t.Lambda)) - np.outer(whole(t.P[0]), whole(t.Q[0]).conj())
    np.testing.assert_allclose(taps(t, 8), powers(matrix, whole(t.B), whole(t.C), 8).real, rtol=1e-9)


def test_c74_a_real_mode_has_half_weight():
    halved = DiagonalSystem([0.5, 0.3j], [1.0, 1.0], [0.5 * 3.0, 2.0], dt=1.0)
    expected = 3.0 * 0.5 ** np.arange(5) + 2 * (2.0 * (0.3j) ** np.arange(5)).real
    np.testing.assert_allclose(taps(halved, 5), expected)
    root = np.sqrt(0.5)
    single = DPLRSystem([0.5], [root * 0.3], [root * 2.0], [root * 3.0], [root * 0.4], dt=1.0)
    np.testing.assert_allclose(taps(single, 5), 6.0 * (0.5 - 0.3 * 0.4) ** np.arange(5))
    assert to_dense(single).system.A.shape == (1, 1)
    np.testing.assert_allclose(stability_margin(single), 1 - (0.5 - 0.3 * 0.4))
    assert to_dense(halved).system.A.shape == (3, 3)


def test_c75_the_low_rank_is_subtracted():
    Lambda, P, Q = draws(3), draws(6, 1).reshape(2, 3), draws(6, 2).reshape(2, 3)
    system = DPLRSystem(Lambda / 9, P / 9, draws(3, 3), draws(3, 4), Q, dt=1.0)
    matrix = np.diag(whole(Lambda / 9)) - sum(
        np.outer(whole(p / 9), whole(q).conj()) for p, q in zip(P, Q, strict=True)
    )
    np.testing.assert_allclose(taps(system, 6), powers(matrix, whole(system.B), whole(system.C), 6).real, rtol=1e-9)
    alone = DPLRSystem(Lambda, P[0], draws(3), draws(3))
    np.testing.assert_array_equal(alone.Q, alone.P)
    assert alone.P.shape == (1, 3)


@pytest.mark.parametrize("make", [dense, diagonal, dplr])
def test_c76_the_step_enters_in_discretize(make):
    system = make()
    small = system.discretize(1e-7)
    np.testing.assert_allclose(small.B / 1e-7, system.B, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(small.C, system.C)
    one = DenseSystem([[-1.0]], [3.0], [1.0])
    np.testing.assert_allclose(taps(one.discretize(0.5), 60).sum(), 3.0, rtol=1e-10)  # the answer to a constant stays
    np.testing.assert_allclose(taps(one.discretize(0.25), 120).sum(), 3.0, rtol=1e-10)


def test_c77_one_step_for_each_system():
    steps = np.array([0.1, 0.2, 0.05])
    for system in (diagonal(), dplr()):
        together = system.discretize(steps, "bilinear")
        assert together.batch == (3,)
        np.testing.assert_array_equal(together.dt, steps)
        for i, dt in enumerate(steps):
            each = system.discretize(float(dt), "bilinear")
            assert each.dt == dt
            np.testing.assert_allclose(together.Lambda[i], each.Lambda)
            np.testing.assert_allclose(together.B[i], each.B)
        G = generating_function(system, 8, dt=steps)
        np.testing.assert_allclose(G[1], generating_function(system, 8, dt=0.2), rtol=1e-12)
    np.testing.assert_allclose(discretize(np.stack([A] * 3), np.stack([B] * 3), steps)[0][2], discretize(A, B, 0.05)[0])


def test_c78_the_methods_that_are_taken_unless_told():
    for system, method, other in (
        (dense(), "zoh", "bilinear"),
        (diagonal(), "zoh", "bilinear"),
        (dplr(), "bilinear", "euler"),
    ):
        np.testing.assert_array_equal(system.discretize(0.1).B, system.discretize(0.1, method).B)
        assert not np.allclose(system.discretize(0.1).B, system.discretize(0.1, other).B, rtol=1e-4)
        if method == "zoh":
            assert not np.allclose(
                generating_function(system, 8, dt=0.1), generating_function(system.discretize(0.1), 8), rtol=1e-4
            )
        of_bilinear = generating_function(system.discretize(0.1, "bilinear"), 8)
        np.testing.assert_allclose(generating_function(system, 8, dt=0.1), of_bilinear, rtol=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [9, 10])
def test_c79_z_is_the_delay_and_roots_of_unity_are_those_of_rfft(form, count):
    system = discrete(form)
    K = taps(system, count)
    z = np.array([0.3 - 0.4j, 2.0])
    np.testing.assert_allclose(generating_function(system, z, count), K @ z ** np.arange(count)[:, None], rtol=1e-8)
    np.testing.assert_allclose(generating_function(system, count, count), np.fft.rfft(K), rtol=1e-8, atol=1e-9)


def test_c80_denominators_come_without_their_one():
    a, b = np.array([-0.5, 0.06]), np.array([2.0, 1.0])
    z = 0.7
    value = (b[0] + b[1] * z) / (1 + a[0] * z + a[1] * z**2)
    np.testing.assert_allclose(generating_function(RationalSystem(a, b), [z]), [value])
    np.testing.assert_allclose(poly_from_roots([0.2, 0.3]), a)  # its poles
    np.testing.assert_allclose(characteristic_polynomial([[0.2, 9.0], [0.0, 0.3]]), a)
    assert stability_margin(a) == pytest.approx(0.7)
    assert stability_margin([-2.0]) < 0 < stability_margin([-0.5])


def test_c81_the_latest_comes_first_in_a_rational_state():
    system = rational(4)
    u = np.random.default_rng(0).standard_normal(20)
    w = scipy.signal.lfilter([1.0], np.r_[1.0, system.a], u)
    y, x = linear_scan(system, u)
    np.testing.assert_allclose(x, w[:-5:-1], rtol=1e-12)
    np.testing.assert_allclose(y[-1], system.b @ x, rtol=1e-12)
    np.testing.assert_array_equal(to_dense(system).system.C, system.b)
    np.testing.assert_array_equal(to_dense(system).system.A[0], -system.a)


def test_c82_truncated_parameters_belong_to_one_length():
    a, b = rational(4).a, rational(4).b
    K = taps(RationalSystem(a, b), 30)
    np.testing.assert_allclose(taps(RationalSystem(a, truncated_b(a, b, 10)), 20), K[:20] - K[10:], atol=1e-12)
    np.testing.assert_allclose(recover_b(a, truncated_b(a, b, 10), 10).system.b, b, rtol=1e-9)
    s = DenseSystem(A, B, C, dt=1.0)
    K = taps(s, 30)
    short = DenseSystem(A, B, truncated_c(s, 10), dt=1.0)
    np.testing.assert_allclose(taps(short, 20), K[:20] - K[10:], atol=1e-12)
    np.testing.assert_allclose(recover_c(short, 10).system.C, C, rtol=1e-9)
    np.testing.assert_allclose(np.fft.irfft(generating_function(short, 10), 10), K[:10], atol=1e-12)


def test_c83_reflection_coefficients():
    k = np.array([0.5, -0.3, 0.2])
    a = step_up(k)
    assert a[-1] == 0.2
    np.testing.assert_allclose(step_up(k[:2]), [0.5 - 0.3 * 0.5, -0.3])
    np.testing.assert_allclose(step_down(a), k)
    for rho in np.random.default_rng(0).standard_normal((20, 5)):
        assert np.abs(np.roots(np.r_[1, stable_polynomial(rho)])).max() < 1
    assert np.abs(step_down([0.1, 0.2, 1.5])).max() > 1
    assert np.abs(np.roots([1, 0.1, 0.2, 1.5])).max() > 1


def test_c84_a_positive_margin_is_stable():
    assert stability_margin(RationalSystem([-0.5], [1.0])) == 0.5
    assert stability_margin(DiagonalSystem([0.8j], [1.0], [1.0], dt=1.0)) == pytest.approx(0.2)
    assert stability_margin(DiagonalSystem([-0.5 + 3j, -0.2 + 1j], [1.0, 1.0], [1.0, 1.0])) == pytest.approx(0.2)
    assert stability_margin(DenseSystem([[0.1]], [1.0], [1.0])) == pytest.approx(-0.1)


def test_c85_frequencies_are_in_radians_per_unit_of_time():
    w, dt = np.array([0.3, 2.0]), 0.1
    np.testing.assert_allclose(freqresp(DenseSystem([[-1.0]], [1.0], [1.0]), w), 1 / (1j * w + 1))
    s = DenseSystem(A, B, C, dt=dt)
    K = powers(A, B, C, 200)
    found = freqresp(s, w)
    np.testing.assert_allclose(found, np.exp(-1j * dt * np.outer(w, np.arange(200))) @ K, rtol=1e-10)
    advance = np.exp(1j * dt * w)
    late = np.array([C @ np.linalg.solve(a * np.eye(3) - A, B) for a in advance])  # of an output that lags by a step
    np.testing.assert_allclose(found, advance * late, rtol=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_c86_output_first_then_the_state_to_go_on_from(form):
    system = discrete(form)
    u = np.random.default_rng(0).standard_normal(12)
    y, x, states = linear_scan(system, u, return_states=True)
    first, middle = linear_scan(system, u[:7])
    second, last = linear_scan(system, u[7:11], middle)
    final, end = step(system, u[11], last)
    np.testing.assert_allclose(np.r_[first, second, final], y, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(end, x, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(states[-1], x, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(states[6], middle, rtol=1e-9, atol=1e-12)


def test_c87_kernels_are_first_taps_and_truncated_ones_belong_to_a_length():
    s, t, r = diagonal(), dplr(), rational(4)
    kernels = {
        "dense": (lambda L: kernel_dense(A, B, C, None, L), DenseSystem(A, B, C, dt=1.0)),
        "diagonal": (lambda L: kernel_diag(s.Lambda, s.B, s.C, 0.1, L), s.discretize(0.1)),
        "low rank": (lambda L: kernel_dplr(t.Lambda, t.P, t.B, t.C, 0.1, L), t.discretize(0.1)),
        "rational": (lambda L: kernel_rational(r.a, r.b, L), r),
    }
    for make, system in kernels.values():
        K = make(20)
        np.testing.assert_allclose(K, taps(system, 20), atol=1e-9 * np.abs(K).max())
        np.testing.assert_allclose(make(7), K[:7], atol=1e-9 * np.abs(K).max())
    row = truncated_c(t.discretize(0.1), 20)
    K = kernels["low rank"][0](40)
    np.testing.assert_allclose(kernel_dplr_truncated(t.Lambda, t.P, t.B, row, 0.1, 20), K[:20], atol=1e-9 * K.max())
    assert not np.allclose(kernel_dplr_truncated(t.Lambda, t.P, t.B, row, 0.1, 40), K, atol=1e-3 * K.max())
    numerator = truncated_b(r.a, r.b, 9)
    np.testing.assert_allclose(kernel_rational_truncated(r.a, numerator, 9), kernel_rational(r.a, r.b, 9), atol=1e-10)
    assert not np.allclose(kernel_rational_truncated(r.a, numerator, 18), kernel_rational(r.a, r.b, 18), atol=1e-3)


def test_c88_gradients_of_complex_arguments():
    s, g, h = diagonal(), np.cos(np.arange(9.0)), 1e-6 * draws(6, 5)
    d_C = kernel_diag_vjp(g, s.Lambda, s.B, s.C, 0.1)[2]
    change = g @ (kernel_diag(s.Lambda, s.B, s.C + h, 0.1, 9) - kernel_diag(s.Lambda, s.B, s.C, 0.1, 9))
    assert np.sum(d_C.conj() * h).real == pytest.approx(change, rel=1e-6)
    assert abs(np.sum(d_C * h).real - change) > 0.01 * abs(change)
    a, b, weights = 0.1 * draws(3, 1), draws(3, 2), draws(9, 3)
    by_b = kernel_rational_vjp(weights, a, b)[1]
    np.testing.assert_allclose(
        by_b.conj() @ draws(3, 4), weights.conj() @ kernel_rational(a, draws(3, 4), 9), rtol=1e-9
    )
    u, k = draws(9, 6), draws(4, 7)
    by_u = fftconv_vjp(weights, u, k)[0]
    np.testing.assert_allclose(by_u.conj() @ u, weights.conj() @ np.convolve(u, k)[:9], rtol=1e-9)
