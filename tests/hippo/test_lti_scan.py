"""Memories of time-invariant measures by products over chunks, against the loop over steps."""

import math

import numpy as np
import pytest

from lina.hippo import legs_scan, lti_scan, reconstruct, transition
from lina.ssm import discretize
from tests.reference.hippo import memory

MEASURES = ["legt", "fout", "foud", "lagt", "glagt", "legs", "fourier_legs"]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def loop(u, N, measure, x0, theta, dt=1.0, method="zoh", **options):
    """Return all states after the samples (c, L) one step at a time."""
    Ad, Bd = discretize(*transition(measure, N, theta=theta, **options), dt, method)
    x, states = x0, []
    for k in range(u.shape[-1]):
        x = x @ Ad.T + u[:, k : k + 1] * Bd
        states.append(x)
    return np.stack(states, axis=1)


@pytest.mark.parametrize("method", ["zoh", "bilinear"])
@pytest.mark.parametrize(("N", "L"), [(1, 1), (5, 31), (5, 32), (33, 33), (8, 200), (40, 300)])
@pytest.mark.parametrize("measure", MEASURES)
def test_all_states_are_those_of_the_loop_over_steps(measure, N, L, method):
    u, x0 = noise(3, L), noise(3, N, seed=1)
    expected = loop(u, N, measure, x0, 50.0, 0.7, method)
    options = {"theta": 50.0, "dt": 0.7, "x0": x0, "method": method}
    np.testing.assert_allclose(lti_scan(u, N, measure, return_all=True, **options), expected, atol=1e-11)
    np.testing.assert_allclose(lti_scan(u, N, measure, **options), expected[:, -1], atol=1e-11)


@pytest.mark.parametrize("return_all", [False, True])
def test_a_scan_in_parts_is_the_scan_of_the_whole(return_all):
    u = noise(2, 150)
    whole = lti_scan(u, 12, theta=40, return_all=True, scaling="lmu")
    first = lti_scan(u[:, :70], 12, theta=40, scaling="lmu")
    second = lti_scan(u[:, 70:], 12, theta=40, x0=first, return_all=return_all, scaling="lmu")
    np.testing.assert_allclose(second, whole[:, 70:] if return_all else whole[:, -1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("measure", ["legt", "lagt", "foud"])
def test_the_memory_of_a_smooth_signal_is_its_projection(measure):
    dt, theta, T, N = 1e-3, 1.5, 30.0, 11

    def signal(t):
        return np.sin(1.3 * t) + 0.4 * np.cos(2.1 * t + 1) if measure == "legt" else np.exp(-((t - 29.0) ** 2))

    middles = (np.arange(round(T / dt)) + 0.5) * dt
    x = lti_scan(signal(middles), N, measure, theta=theta, dt=dt)
    np.testing.assert_allclose(x, memory(signal, measure, N, T, theta), atol=2e-5)


def test_a_sliding_window_forgets_what_left_it():
    u = np.zeros(400)
    u[:100] = noise(100)
    states = lti_scan(u, 24, "legt", theta=50, return_all=True)
    sizes = np.linalg.norm(states, axis=1)
    assert sizes[160] < 0.05 * sizes[:100].max()
    assert sizes[250] < 1e-4 * sizes[:100].max()


def test_a_constant_is_the_first_coefficient_and_its_window_is_theta():
    for measure in ("legt", "fout"):
        states = lti_scan(np.ones(120), 15, measure, theta=50, return_all=True)
        assert states[119, 0] == pytest.approx(1, abs=0.01)
        assert states[24, 0] == pytest.approx(0.5, abs=0.02)


def test_a_recent_signal_is_read_back_from_the_window():
    u = np.sin(np.arange(1000) / 30)
    t = np.arange(800, 1000) + 0.5
    for measure, N, tolerance in (("legt", 20, 1e-3), ("legs", 60, 0.02)):
        x = lti_scan(u, N, measure, theta=200)
        time_map = "exponential" if measure == "legs" else None
        values = reconstruct(x, t[20:], measure, T=1000, theta=200, time_map=time_map)
        np.testing.assert_allclose(values, u[820:], atol=tolerance)


def test_the_time_invariant_legs_is_the_scan_of_legs_in_logarithmic_time():
    # e-fold in time is one unit of theta: a signal constant since ever is the same memory for both
    for N in (3, 20):
        x = lti_scan(np.ones(4000), N, "legs", theta=100)
        np.testing.assert_allclose(x, legs_scan(np.ones(50), N), atol=1e-12)


@pytest.mark.parametrize("return_all", [False, True])
def test_nothing_in_is_the_memory_before(return_all):
    x0 = noise(2, 6)
    x = lti_scan(np.zeros((2, 0)), 6, theta=9.0, x0=x0, return_all=return_all)
    assert x.shape == ((2, 0, 6) if return_all else (2, 6))
    assert return_all or np.array_equal(x, x0)
    assert lti_scan(np.zeros((0, 5)), 6, theta=9.0, return_all=return_all).shape == (
        (0, 5, 6) if return_all else (0, 6)
    )


def test_complex_signals_are_two_real_ones():
    u = noise(2, 77) + 1j * noise(2, 77, seed=1)
    x = lti_scan(u, 9, theta=20.0, return_all=True)
    np.testing.assert_allclose(x.real, lti_scan(u.real, 9, theta=20.0, return_all=True), atol=1e-13)
    np.testing.assert_allclose(x.imag, lti_scan(u.imag, 9, theta=20.0, return_all=True), atol=1e-13)


def test_one_dimension_and_many_are_a_batch():
    u = noise(2, 3, 40)
    x = lti_scan(u, 7, theta=20.0, return_all=True)
    assert x.shape == (2, 3, 40, 7)
    np.testing.assert_allclose(lti_scan(u[1, 2], 7, theta=20.0), x[1, 2, -1], atol=1e-13)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dt": 0.0}, ValueError, "dt must be finite and positive, got 0.0"),
        ({"dt": -1}, ValueError, "dt must be finite and positive"),
        ({"theta": math.nan}, ValueError, "theta must be finite and positive"),
        ({"measure": "window"}, ValueError, "measure must be one of"),
        ({"method": "guess"}, ValueError, "method must be one of"),
        ({"scaling": "lmu", "measure": "lagt"}, ValueError, "scaling must be"),
        ({"x0": np.ones(3)}, ValueError, "x0 must have N = 4 entries"),
        ({"N": 0}, ValueError, "N must be at least 1"),
        ({"u": np.array([1.0, np.nan])}, ValueError, "u must be finite"),
        (
            {"u": np.repeat([-1.7e308, 1.7e308], 50), "theta": 99, "scaling": "lmu"},
            OverflowError,
            "u must be small enough",
        ),
    ],
)
def test_bad_arguments_are_named(options, error, message):
    arguments = {"u": np.ones(5), "N": 4, "measure": "legt", **options}
    with pytest.raises(error, match=message):
        lti_scan(arguments.pop("u"), arguments.pop("N"), arguments.pop("measure"), **arguments)


@pytest.mark.parametrize("measure", ["legt", "lagt", "legs"])
def test_single_precision_lasts_over_windows_of_many_chunks(measure):
    u = np.ones(10**5, dtype="float32")
    options = {"theta": 3e4}
    x, exact = lti_scan(u, 32, measure, **options), lti_scan(u.astype(float), 32, measure, **options)
    assert np.abs(x - exact).max() <= 2e-6 * np.abs(exact).max()
    every = lti_scan(u[:40000], 32, measure, return_all=True, **options)
    assert np.abs(every - lti_scan(u[:40000].astype(float), 32, measure, return_all=True, **options)).max() <= 4e-6


@pytest.mark.parametrize("measure", MEASURES)
def test_the_weight_of_gbt_is_not_taken_for_that_of_a_measure(measure):
    with pytest.raises(ValueError, match="method must be one of 'zoh', 'bilinear', 'euler', 'backward', got 'gbt'"):
        lti_scan(np.ones(5), 4, measure, theta=9.0, method="gbt", alpha=0.5)


@pytest.mark.torch
@pytest.mark.parametrize("by_name", [False, True])
def test_autocast_rounds_no_product_to_half_precision(by_name):
    torch = pytest.importorskip("torch")
    u = torch.sin(torch.arange(200.0) / 9)
    t = torch.linspace(150, 200, 20)

    def run():
        x = lti_scan(u=u, N=8, measure="legt", theta=50.0) if by_name else lti_scan(u, 8, "legt", theta=50.0)
        options = {"measure": "legt", "T": 200.0, "theta": 50.0}
        return x, reconstruct(x=x, t=t, **options) if by_name else reconstruct(x, t, **options)

    expected = run()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
