"""One test per line of docs/conventions.rst on memories of sequences, under the label of the line."""

import numpy as np
import pytest

from lina.hippo import basis, legs_project, legs_scan, lti_scan, nplr, reconstruct, transition
from lina.ssm import discretize

STABLE = ("legs", "legt", "lagt", "glagt", "fout", "foud", "fourier_legs")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def mean_of(values):
    """Return the mean over [0, 1] of values at the midpoints of equal cells."""
    return np.mean(values, axis=0)


def test_c58_columns_step_by_the_matrix_and_rows_by_its_transpose():
    u = noise(3, 20)
    for measure in STABLE:
        A, B = transition(measure, 5)
        assert np.all(np.linalg.eigvals(A).real <= 1e-12)
        Ad, Bd = discretize(A, B, 0.1)
        x = np.zeros((3, 5))
        for k in range(20):
            x = x @ Ad.T + u[:, k : k + 1] * Bd
        np.testing.assert_allclose(lti_scan(u, 5, measure, dt=0.1), x, atol=1e-13)
    assert not np.allclose(transition("legs", 5)[0], transition("legs", 5)[0].T)


@pytest.mark.parametrize("measure", ["legs", "legt"])
def test_c59_the_scalings(measure):
    t = (np.arange(20_000) + 0.5) / 20_000
    g = {scaling: basis(measure, 6, t, scaling=scaling) for scaling in ("paper", "orthonormal", "lmu")}
    np.testing.assert_allclose(mean_of(g["paper"][:, :, None] * g["paper"][:, None, :]), np.eye(6), atol=1e-6)
    np.testing.assert_allclose(g["paper"], np.sqrt(2) * g["orthonormal"], rtol=1e-12)
    np.testing.assert_allclose(np.abs(g["lmu"][-1]), 1, atol=2e-3)
    u = noise(400)
    of = {s: legs_scan(u, 6, scaling=s) if measure == "legs" else lti_scan(u, 6, theta=100.0, scaling=s) for s in g}
    np.testing.assert_allclose(of["orthonormal"], np.sqrt(2) * of["paper"], rtol=1e-9)
    for scaling in g:
        np.testing.assert_allclose(g[scaling] @ of[scaling], g["paper"] @ of["paper"], atol=1e-9)
    np.testing.assert_array_equal(legs_project(np.ones(50), 3), [1, 0, 0])


def test_c60_theta_is_the_length_of_the_window():
    for measure in STABLE:
        for of_three, of_one in zip(transition(measure, 6, theta=3.0), transition(measure, 6), strict=True):
            np.testing.assert_allclose(of_three, of_one / 3, rtol=1e-14)
    u = np.zeros(400)
    u[:100] = 1
    for measure in ("legt", "fout"):  # a signal that ended theta ago is forgotten, one that ended theta / 2 ago is not
        x = lti_scan(u, 33, measure, theta=100.0, return_all=True)
        assert abs(x[149, 0]) > 0.4
        assert abs(x[249, 0]) < 0.02


def test_c61_the_present_is_at_the_right_end_of_the_functions():
    np.testing.assert_allclose(basis("legs", 4, 1.0, scaling="lmu"), [1, 1, 1, 1])
    np.testing.assert_allclose(basis("legt", 4, 1.0), np.sqrt([1, 3, 5, 7]))
    np.testing.assert_allclose(basis("legt", 4, 0.0), np.sqrt([1, 3, 5, 7]) * [1, -1, 1, -1])
    np.testing.assert_allclose(basis("legt", 4, 1.0, scaling="lmu"), [1, -1, 1, -1])
    rising = np.arange(300.0)
    assert legs_scan(rising, 3)[1] > 0
    assert lti_scan(rising, 3, "legt", theta=100.0)[1] > 0
    assert lti_scan(rising, 3, "legt", theta=100.0, scaling="lmu")[1] < 0


def test_c62_a_sample_holds_until_the_next():
    u = noise(7)
    fine = (np.arange(70_000) + 0.5) / 10_000
    held = u[np.floor(fine).astype(int)]
    expected = mean_of(held[:, None] * basis("legs", 5, fine, 7.0))
    np.testing.assert_allclose(legs_project(u, 5), expected, atol=1e-6)
    dt = 0.25
    A, B = transition("legt", 5, theta=2.0)
    whole = np.block([[A, B[:, None]], [np.zeros((1, 6))]])
    x = np.zeros(5)
    for value in u:
        Ad, Bd = discretize(whole[:5, :5], B, dt / 50)
        for _ in range(50):
            x = Ad @ x + Bd * value
    np.testing.assert_allclose(lti_scan(u, 5, "legt", theta=2.0, dt=dt), x, atol=1e-12)


def test_c63_state_k_has_seen_sample_k():
    u = noise(2, 9)
    for scan in (lambda u, **o: legs_scan(u, 4, **o), lambda u, **o: lti_scan(u, 4, theta=5.0, **o)):
        states = scan(u, return_all=True)
        assert states.shape == (2, 9, 4)
        for k in range(9):
            np.testing.assert_allclose(states[:, k], scan(u[:, : k + 1]), atol=1e-13)
            assert np.any(states[:, k] != scan(u[:, :k]))


def test_c64_a_scan_in_parts():
    u = noise(50)
    legs = legs_scan(u[20:], 6, x0=legs_scan(u[:20], 6), k0=20)
    np.testing.assert_allclose(legs, legs_scan(u, 6), atol=1e-13)
    assert not np.allclose(legs_scan(u[20:], 6, x0=legs_scan(u[:20], 6), k0=21), legs_scan(u, 6), atol=1e-6)
    window = lti_scan(u[20:], 6, theta=30.0, x0=lti_scan(u[:20], 6, theta=30.0))
    np.testing.assert_allclose(window, lti_scan(u, 6, theta=30.0), atol=1e-13)


def test_c65_legs_has_no_unit_of_time():
    u = np.cumsum(noise(200))
    slow = np.repeat(u, 3)
    np.testing.assert_allclose(legs_scan(slow, 8, method="exact"), legs_scan(u, 8, method="exact"), rtol=1e-11)
    x, y = legs_scan(u, 8), legs_scan(slow, 8)
    assert np.linalg.norm(x - y) < 0.05 * np.linalg.norm(x)
    assert np.linalg.norm(lti_scan(slow, 8, theta=100.0) - lti_scan(u, 8, theta=100.0)) > 0.1 * np.linalg.norm(x)


@pytest.mark.parametrize("measure", ["fout", "fourier_legs"])
def test_c66_the_order_of_the_fourier_coefficients(measure):
    t = np.linspace(0, 1, 11)
    c, s = np.cos, np.sin
    r, w = np.sqrt(2), 2 * np.pi * t
    expected = np.stack([np.ones(11), r * c(w), r * s(w), r * c(2 * w), r * s(2 * w), np.zeros(11)], axis=-1)
    np.testing.assert_allclose(basis(measure, 6, t), expected, atol=1e-12)
    assert lti_scan(noise(100), 6, measure, theta=50.0)[-1] == 0
    A, B = transition(measure, 6)
    assert not A[:-1, -1].any()
    assert B[-1] == 0


@pytest.mark.parametrize("measure", ["legs", "legt", "lagt", "fout", "fourier_legs"])
def test_c67_normal_plus_low_rank(measure):
    A, B = transition(measure, 7)
    F = nplr(measure, 7, half=False)
    np.testing.assert_allclose(F.V.conj().T @ F.V, np.eye(7), atol=1e-13)
    np.testing.assert_allclose(F.V @ (np.diag(F.Lambda) - F.P.T @ F.P.conj()) @ F.V.conj().T, A, atol=1e-12)
    np.testing.assert_allclose(F.V @ F.B, B, atol=1e-12)
    C, z = noise(7), F.V.conj().T @ noise(7, seed=1)
    np.testing.assert_allclose(C @ F.V @ z, C @ noise(7, seed=1), atol=1e-12)
    assert F.P.shape == (2 if measure == "legt" else 1, 7)


@pytest.mark.parametrize("measure", ["legs", "legt", "lagt", "fout", "fourier_legs"])
def test_c68_half_of_the_pairs(measure):
    _, B = transition(measure, 7)
    F, whole = nplr(measure, 7), nplr(measure, 7, half=False)
    frequency = F.Lambda.imag
    assert np.all(np.diff(frequency) >= 0)
    assert frequency[0] == 0
    assert frequency[1] > 0
    np.testing.assert_allclose(2 * (F.V @ F.B).real, B, atol=1e-12)
    real = F.V[:, 0] * np.sqrt(2)
    assert np.linalg.norm(real) == pytest.approx(1)
    np.testing.assert_allclose(np.abs(F.B[0]), np.abs(real.conj() @ B) / np.sqrt(2), atol=1e-12)
    np.testing.assert_allclose(whole.Lambda[3:], F.Lambda, atol=1e-12)
    x = noise(7, seed=2)
    np.testing.assert_allclose(2 * (F.V @ (F.V.conj().T @ x)).real, x, atol=1e-12)


def test_c69_legs_at_a_fixed_pace_remembers_an_exponentially_warped_past():
    u = np.sin(np.arange(4000) / 60)
    x = lti_scan(u, 120, "legs", theta=200.0)
    age = np.array([20.0, 100.0, 300.0])
    read = reconstruct(x, 4000 - age, "legs", T=4000.0, theta=200.0, time_map="exponential")
    np.testing.assert_allclose(read, np.sin((4000 - age - 0.5) / 60), atol=0.01)
    s = 2 * np.exp(-age / 200) - 1
    np.testing.assert_allclose(
        basis("legs", 5, 4000 - age, 4000.0, theta=200.0, time_map="exponential"), basis("legs", 5, (s + 1) / 2)
    )


def test_c70_the_error_is_the_root_mean_square_over_what_is_remembered():
    u = np.cumsum(noise(300))
    fine = (np.arange(300 * 50) + 0.5) / 50
    for x in (legs_scan(u, 9), np.zeros(9)):  # that of the memory as it is, whatever it is
        values, error = reconstruct(x, fine, "legs", T=300.0, u=u)
        assert error.value == pytest.approx(np.sqrt(np.mean((values - np.repeat(u, 50)) ** 2)), rel=1e-3)
    values, error = reconstruct(lti_scan(u, 9, theta=100.0), fine[10_000:], "legt", T=300.0, theta=100.0, u=u[200:])
    assert error.value == pytest.approx(np.sqrt(np.mean((values - np.repeat(u[200:], 50)) ** 2)), rel=1e-3)
    assert reconstruct(1e3 * legs_scan(u, 9), 0.5, "legs", u=1e3 * u)[1].value == pytest.approx(
        1e3 * reconstruct(legs_scan(u, 9), 0.5, "legs", u=u)[1].value
    )
