"""The online memory of LegS: what it must remember, and the steps it is made of."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import legendre as leg

from lina.hippo import legs_project, legs_scan, legs_scan_vjp
from lina.hippo._legs_scan import public
from lina.hippo._legs_scan.steps import scan, scan_vjp
from tests.reference.hippo import legs_projection, legs_states

METHODS = ["logbilinear", "bilinear", "backward", "exact"]
STEPPED = METHODS[:3]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture(params=["body", "kernel"])
def way(request, monkeypatch):
    """Run a test by the array body and by the kernel, whatever the size."""
    monkeypatch.setattr(public, "_WORTH_COMPILING", {"body": 10**12, "kernel": 1}[request.param])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("L", "N"), [(1, 1), (1, 6), (2, 3), (33, 5), (40, 33), (100, 1)])
def test_states_are_those_of_dense_solves(way, L, N, method):
    u = noise(L)
    states = legs_scan(u, N, method=method, return_all=True)
    np.testing.assert_allclose(states, legs_states(u, N, method), atol=1e-12)
    np.testing.assert_allclose(legs_scan(u, N, method=method), states[-1], atol=1e-13)


@pytest.mark.parametrize("channels", [1, 15, 16, 17, 300])
@pytest.mark.parametrize("method", STEPPED)
def test_a_batch_is_its_rows(way, channels, method):
    u, x0 = noise(channels, 35), noise(channels, 9)
    together = legs_scan(u, 9, method=method, x0=x0, k0=4)
    for i in (0, channels // 2, channels - 1):
        np.testing.assert_allclose(together[i], legs_scan(u[i], 9, method=method, x0=x0[i], k0=4), atol=1e-13)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("N", [1, 2, 64])
def test_a_constant_is_remembered_as_itself_from_the_first_sample(way, N, method):
    states = legs_scan(np.full(500, 3.0), N, method=method, return_all=True)
    np.testing.assert_allclose(states, 3 * np.eye(N)[0] * np.ones((500, 1)), atol=2e-13)


@pytest.mark.parametrize("scaling", ["paper", "orthonormal", "lmu"])
def test_polynomials_of_lower_degree_are_reproduced_from_their_cell_means(scaling):
    # the signal is a staircase with the means of the polynomial, whose projection is within 1 / L^2 of it
    coefficients = np.array([0.7, -1.0, 2.0, 0.5])
    n = np.arange(6)
    factor = {"paper": 1 / np.sqrt(2 * n + 1), "orthonormal": np.sqrt(2 / (2 * n + 1)), "lmu": np.ones(6)}[scaling]
    for L in (2000, 20_000):
        edges = np.linspace(-1, 1, L + 1)
        means = np.diff(leg.legval(edges, leg.legint(coefficients))) * L / 2
        error = {
            m: legs_scan(means, 6, method=m, scaling=scaling) / factor - np.append(coefficients, [0, 0])
            for m in METHODS
        }
        assert np.abs(error["exact"]).max() < 20 / L**2
        assert np.abs(error["logbilinear"]).max() < 30 / L**2
        assert np.abs(error["bilinear"]).max() < 150 / L**2


@pytest.mark.parametrize("L", [1, 2, 50, 5000])
@pytest.mark.parametrize("N", [1, 2, 17, 64])
def test_the_exact_memory_is_the_projection_of_the_piecewise_constant_signal(L, N):
    u = noise(3, L)
    expected = legs_projection(u, N)
    np.testing.assert_allclose(legs_project(u, N), expected, atol=1e-12)
    np.testing.assert_allclose(legs_scan(u, N, method="exact"), expected, atol=1e-12)
    if L <= 50:
        every = legs_scan(u, N, method="exact", return_all=True)
        np.testing.assert_allclose(every[:, -1], expected, atol=1e-12)
        np.testing.assert_allclose(every[:, L // 2], legs_projection(u[:, : L // 2 + 1], N), atol=1e-12)


@pytest.mark.parametrize("times", [2, 3, 7])
def test_a_signal_in_slow_motion_has_the_same_memory(times):
    u = noise(2, 300)
    slow = np.repeat(u, times, axis=-1)
    np.testing.assert_allclose(legs_project(slow, 48), legs_project(u, 48), atol=1e-12)
    np.testing.assert_allclose(legs_scan(slow, 48, method="exact"), legs_scan(u, 48, method="exact"), atol=1e-12)


def test_the_memory_of_an_impulse_decays_like_a_power_and_not_like_an_exponential(way):
    N, first = 8, 100
    x0 = noise(N)
    zeros = np.zeros(first * 63)
    every = legs_scan(zeros, N, x0=x0, k0=first, return_all=True)
    sizes = [np.linalg.norm(every[first * m - 1]) for m in (1, 3, 7, 15, 31, 62)]
    slopes = [math.log2(a / b) for a, b in itertools.pairwise(sizes)]
    assert all(0.4 < slope < 4 for slope in slopes)  # factors, not exponents, as the time doubles
    assert slopes[-1] == pytest.approx(1, abs=0.15)  # the slowest mode is 1 / t


@pytest.mark.parametrize("method", ["logbilinear", "backward", "exact"])
def test_a_memory_without_input_never_grows(method):
    x0 = noise(40)
    every = legs_scan(np.zeros(200), 40, method=method, x0=x0, k0=1, return_all=True)
    sizes = np.linalg.norm(np.concatenate([x0[None], every]), axis=1)
    assert np.all(np.diff(sizes) <= 1e-15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cut", [1, 31, 32, 50])
def test_a_scan_in_parts_is_the_scan_of_the_whole(way, cut, method):
    u = noise(2, 64)
    whole = legs_scan(u, 12, method=method, scaling="orthonormal")
    first = legs_scan(u[:, :cut], 12, method=method, scaling="orthonormal")
    second = legs_scan(u[:, cut:], 12, method=method, scaling="orthonormal", x0=first, k0=cut)
    np.testing.assert_allclose(second, whole, atol=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_part_changes_nothing(method):
    x0 = noise(2, 5)
    assert np.array_equal(legs_scan(np.zeros((2, 0)), 5, method=method, x0=x0, k0=9), x0)
    assert np.array_equal(legs_scan(np.zeros((2, 0)), 5, method=method), np.zeros((2, 5)))
    assert legs_scan(np.zeros((2, 0)), 5, method=method, return_all=True).shape == (2, 0, 5)
    assert legs_scan(np.zeros((0, 7)), 5, method=method).shape == (0, 5)


def test_log_time_is_more_accurate_than_time_and_both_than_backward_euler():
    u = np.sin(np.arange(400) / 60)
    exact = legs_project(u, 64)
    errors = [np.linalg.norm(legs_scan(u, 64, method=m) - exact) / np.linalg.norm(exact) for m in STEPPED]
    assert errors[0] < 1e-3
    assert errors[0] < errors[1] < errors[2] < 0.1


@pytest.mark.parametrize("channels", [1, 16])
@pytest.mark.parametrize("signal", ["noise", "slow"])
def test_a_million_steps_in_single_precision_end_near_those_in_double_precision(signal, channels):
    L = 10**6 // channels if channels > 1 and signal == "noise" else 10**6
    u = noise(channels, L) if signal == "noise" else np.sin(np.arange(L) / 3e4) + np.ones((channels, 1))
    u = u.astype(np.float32)
    double = legs_scan(u.astype(np.float64), 64)
    assert np.linalg.norm(legs_scan(u, 64) - double) < 2e-6 * np.linalg.norm(double)


def test_a_step_that_forgets_the_first_sample_is_noticed():
    # the article's step at k = 0 divides by zero, and hippo-code starts from zeros: neither keeps a constant
    states = legs_scan(np.ones(50), 16, return_all=True)
    wrong = legs_scan(np.ones(49), 16, k0=1, return_all=True)
    assert np.abs(states[-1] - wrong[-1]).max() > 0.01


@pytest.mark.parametrize("signal", ["slow", "offset", "line", "impulse", "noise", "late"])
def test_increments_below_the_last_digit_of_a_state_in_single_precision_add_up(signal):
    # 30000 increments of 1e-4 / k beside 1e4 were lost one by one, and the slope was off by a factor of two
    k0, t = 1000 * (signal == "late"), np.arange(30_000.0)
    slow, line = np.sin(t / 1000) + 1, np.maximum(t, k0)
    signals = {"slow": slow, "offset": 1e4 + 1e-4 * t, "line": line, "late": line, "impulse": t == 3}
    u = noise(16, t.size) if signal == "noise" else signals[signal] * np.ones((16, 1))
    u = u.astype(np.float32)
    x0 = legs_scan(np.arange(1000.0) * np.ones((16, 1)), 64).astype(np.float32) if k0 else None
    double = legs_scan(u.astype(np.float64), 64, k0=k0, x0=None if x0 is None else x0.astype(np.float64))
    found = legs_scan(u, 64, k0=k0, x0=x0)
    assert 1e-10 < np.linalg.norm(found - double) / np.linalg.norm(double) < 2e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernel_over_channels_does_what_its_uncompiled_function_does(dtype):
    from lina._numba.legs_scan import _channels_abreast

    rng = np.random.default_rng(0)
    for _ in range(500):
        c, L, N = (int(rng.integers(1, high)) for high in (5, 20, 7))
        method, k0, n = int(rng.integers(3)), int(rng.integers(0, 50)), np.arange(N)
        r, d = np.sqrt(2 * n + 1.0).astype(dtype), (n + 1).astype(dtype)
        u, x = rng.standard_normal((c, L)).astype(dtype), rng.standard_normal((c, N)).astype(dtype)
        one, other = x.copy(), x.copy()
        _channels_abreast(u, one, r, d, k0, method, 0, c)
        _channels_abreast.py_func(u, other, r, d, k0, method, 0, c)
        np.testing.assert_allclose(one, other, atol=1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernel_over_steps_does_what_its_uncompiled_function_does(dtype):
    from lina._numba.legs_scan import _steps_abreast

    rng = np.random.default_rng(0)
    for i in range(500):
        c, L, N = (int(rng.integers(1, high)) for high in (3, 20, 7))
        method, k0, n = int(rng.integers(3)), int(rng.integers(50, 99)), np.arange(N)
        r, d, direction = np.sqrt(2 * n + 1.0), n + 1.0, 1 - 2 * (i % 2)
        u, answers = rng.standard_normal((c, L)).astype(dtype), []
        for run in (_steps_abreast, _steps_abreast.py_func):
            x = noise(c, N, seed=i)
            states, ends = np.zeros((c, L * (i % 3 > 0), N), dtype), np.zeros((c, L * (i % 3 < 2)))
            run(u, x, r, d, k0, direction, method, states, ends, 0, c)
            answers.append((x, states, ends))
        for one, other in zip(*answers, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6 if one.dtype == "float32" else 1e-13)


@settings(max_examples=40)
@given(
    channels=st.integers(1, 40),
    L=st.integers(1, 70),
    N=st.integers(1, 40),
    k0=st.integers(0, 10**6),
    method=st.sampled_from(STEPPED),
    return_all=st.booleans(),
    exponent=st.integers(-300, 300),
    dtype=st.sampled_from(["float64", "complex128"]),
)
def test_the_kernel_agrees_with_doubling(channels, L, N, k0, method, return_all, exponent, dtype):
    from lina._numba.legs_scan import legs_scan as compiled

    u, x = noise(channels, L).astype(dtype) * 2.0**exponent, noise(channels, N, seed=1).astype(dtype) * 2.0**exponent
    if k0 == 0:
        x = np.zeros_like(x)
    body = scan(np, u, x, k0, method, return_all)
    kernel = compiled(u, x, k0, method, return_all)
    assert kernel.shape == body.shape
    assert np.abs(kernel - body).max() <= 1e-11 * np.abs(body).max() + 1e-12 * 2.0**exponent


@pytest.mark.parametrize("return_all", [False, True])
@pytest.mark.parametrize("k0", [0, 1, 40])
@pytest.mark.parametrize("method", STEPPED)
@pytest.mark.parametrize("scaling", ["paper", "lmu"])
def test_the_gradient_is_the_transpose_of_the_scan(way, scaling, method, k0, return_all):
    L, N = 37, 7
    g = noise(2, *((L,) if return_all else ()), N)
    options = {"method": method, "k0": k0, "return_all": return_all, "scaling": scaling}
    du, dx0 = legs_scan_vjp(g, L, **options)
    u = noise(2, L, seed=1)
    x0 = noise(2, N, seed=2) if k0 else None
    product = np.sum(g * legs_scan(u, N, x0=x0, **options))
    assert np.sum(du * u) + (0 if x0 is None else np.sum(dx0 * x0)) == pytest.approx(product, rel=1e-11)
    assert dx0.shape == (2, N)
    assert k0 > 0 or not dx0.any()


def test_the_gradient_agrees_with_finite_differences_to_the_last_sample():
    L, N, g = 12, 5, noise(5)
    du, _ = legs_scan_vjp(g, L)
    numeric = [(g @ legs_scan(e, N) - g @ legs_scan(-e, N)) / 2 for e in np.eye(L)]  # linear: exact
    np.testing.assert_allclose(du, numeric, atol=1e-14)


def test_blocks_of_time_do_not_show_in_the_gradient(monkeypatch):
    from lina.hippo._legs_scan import steps

    g = noise(2, 50, 6)
    whole = scan_vjp(np, g, 50, 0, "logbilinear", True)
    monkeypatch.setattr(steps, "_BLOCK", 7)
    for one, other in zip(whole, scan_vjp(np, g, 50, 0, "logbilinear", True), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    u = noise(2, 50)
    states = scan(np, u, np.zeros((2, 6)), 0, "bilinear", True)
    np.testing.assert_allclose(states[1], legs_states(u[1], 6, "bilinear"), atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.ones(3), 0), {}, ValueError, "N must be at least 1, got 0"),
        ((np.ones(3), 4.0), {}, TypeError, "N must be an int, got float"),
        ((np.ones(3), 4), {"method": "euler"}, ValueError, "method must be one of"),
        ((np.ones(3), 4), {"scaling": "mine"}, ValueError, "scaling must be one of"),
        ((np.ones(3), 4), {"k0": -1}, ValueError, "k0 must be at least 0, got -1"),
        ((np.ones(3), 4), {"k0": 1.5}, TypeError, "k0 must be an int"),
        ((np.ones(3), 4), {"x0": np.ones(4)}, ValueError, "k0 must be at least 1 where x0 is given"),
        ((np.ones(3), 4), {"x0": np.ones(5), "k0": 2}, ValueError, r"x0 must have N = 4 entries .* got shape \(5,\)"),
        (
            (np.ones((2, 3)), 4),
            {"x0": np.ones((3, 4)), "k0": 2},
            ValueError,
            "u and x0 must have batches that broadcast",
        ),
        ((np.ones(3), 4), {"x0": np.full(4, np.nan), "k0": 2}, ValueError, "x0 must be finite, got 4 NaN"),
        ((np.array([1.0, np.inf]), 4), {}, ValueError, "u must be finite, got 1 NaN or infinite of 2"),
        ((3.0, 4), {}, ValueError, "u must have at least 1 dimensions"),
        ((np.array([1e308, -1e308, 1e308]), 40), {"method": "exact"}, OverflowError, "u must be small enough"),
    ],
)
def test_bad_arguments_are_named(arguments, options, error, message):
    with pytest.raises(error, match=message):
        legs_scan(*arguments, **options)


def test_projection_and_gradient_name_bad_arguments():
    with pytest.raises(ValueError, match="u must have at least one sample"):
        legs_project(np.ones((2, 0)), 3)
    with pytest.raises(ValueError, match=r"cotangent must have shape \(..., L, N\) with L = 4"):
        legs_scan_vjp(np.ones((3, 2)), 4, return_all=True)
    with pytest.raises(ValueError, match="method must be one of"):
        legs_scan_vjp(np.ones(3), 4, method="exact")


def test_zeros_before_the_signal_are_a_history_too():
    u = noise(20)
    padded = np.concatenate([np.zeros(30), u])
    np.testing.assert_allclose(legs_scan(u, 6, k0=30), legs_scan(padded, 6), atol=1e-14)
    np.testing.assert_allclose(legs_scan(u, 6, k0=30, method="exact"), legs_projection(padded, 6), atol=1e-13)


@pytest.mark.torch
@pytest.mark.parametrize("method", METHODS)
def test_torch_differentiates_the_array_body(method):
    torch = pytest.importorskip("torch")
    u, g = torch.from_numpy(noise(2, 23)).requires_grad_(), torch.from_numpy(noise(2, 6))
    (du,) = torch.autograd.grad(legs_scan(u, 6, method=method), u, g)
    units = np.stack([legs_states(e, 6, method)[-1] for e in np.eye(23)])
    np.testing.assert_allclose(du.numpy(), g.numpy() @ units.T, atol=1e-12)


@pytest.mark.parametrize("method", ["logbilinear", "bilinear", "backward"])
@pytest.mark.parametrize("N", [1, 5, 64, 200])
def test_samples_that_arrive_one_by_one_or_few_at_a_time(N, method):
    u = np.random.default_rng(0).standard_normal((2, 30))
    whole, x, k = legs_scan(u, N, method=method, return_all=True), None, 0
    for count in (1, 1, 3, 1, 10, 14):
        part = u[:, k : k + count]
        states = legs_scan(part, N, method=method, x0=x, k0=k, return_all=True)
        np.testing.assert_allclose(states, whole[:, k : k + count], atol=1e-11)
        x, k = states[:, -1], k + count


def test_a_count_beyond_double_precision_is_refused():
    with pytest.raises(ValueError, match=r"k0 must be below 2\^53"):
        legs_scan([1.0], 2, k0=2**64)
