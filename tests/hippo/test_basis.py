"""Memories read back: the functions, their orthogonality, the time maps, and the certificate."""

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.polynomial import legendre as leg
from scipy.linalg import expm

from lina._core.errors import GradientError
from lina.hippo import basis, legs_project, legs_scan, reconstruct, transition
from tests.reference.hippo import memory


def signal(t):
    return np.exp(-((t - 1.3) ** 2)) * np.cos(1.7 * t + 0.4)


def on_interval(low, high, cells=40):
    nodes, weights = leg.leggauss(60)
    at = (np.arange(cells)[:, None] + (nodes + 1) / 2).ravel() / cells
    return low + (high - low) * at, np.tile(weights / 2, cells) / cells


@pytest.mark.parametrize("measure", ["legs", "legt", "fout", "fourier_legs"])
@pytest.mark.parametrize(("scaling", "size"), [("paper", 1.0), ("orthonormal", 0.5)])
def test_functions_are_orthonormal_for_their_measure(measure, scaling, size):
    T, theta = 3.0, 1.2
    t, weights = on_interval(0 if "legs" in measure else T - theta, T)
    g = basis(measure, 9, t, T, theta=theta, scaling=scaling)
    np.testing.assert_allclose((g * weights[:, None]).T @ g, size * np.eye(9), atol=1e-12)


@pytest.mark.parametrize(("measure", "alpha", "beta"), [("lagt", 0, 1), ("glagt", 0.5, 0.7), ("glagt", 0, 0.3)])
def test_laguerre_functions_are_orthonormal_for_their_weight(measure, alpha, beta):
    root, weights = on_interval(0, 15, 100)  # ages are squares, so that y^alpha is smooth
    age, weights = root**2, weights * 15 * 2 * root
    g = basis(measure, 7, -2 * age, 0.0, theta=2.0, alpha=alpha, beta=beta)
    mass = beta ** (1 - alpha) / math.gamma(1 - alpha) * age**-alpha * np.exp(-beta * age) if measure == "glagt" else 1
    np.testing.assert_allclose((g * (weights * mass)[:, None]).T @ g, np.eye(7), atol=1e-9)


def test_laguerre_functions_far_away_do_not_vanish_by_underflow():
    mpmath = pytest.importorskip("mpmath")
    N, y = 500, 1600.0  # exp(-y / 2) is below the smallest double, the function is not
    value = basis("lagt", N, np.array([-y]), 0.0)[0, N - 1]
    with mpmath.workdps(400):
        expected = float(mpmath.laguerre(N - 1, 0, y) * mpmath.exp(-y / 2))
    assert value == pytest.approx(expected, rel=1e-9)
    assert abs(value) > 1e-3


@pytest.mark.parametrize("measure", ["legs", "legt", "lagt", "glagt", "fout", "foud", "fourier_legs"])
def test_the_memory_of_a_function_is_read_back_as_that_function(measure):
    T, theta, N = 2.3, 1.5, {"legs": 24, "legt": 24, "lagt": 80, "glagt": 80}.get(measure, 201)
    options = {"alpha": 0.0, "beta": 1.0} if measure == "glagt" else {}
    wave = signal if measure not in ("foud",) else (lambda t: np.cos(2 * math.pi * t / theta + 0.3))
    x = memory(wave, measure, N, T, theta, **options)
    t = np.linspace(T - 0.9 * theta, T - 0.1 * theta, 20)  # away from the jumps of Fourier series
    tolerance = {"legs": 1e-9, "legt": 1e-9, "foud": 0.01}.get(measure, 0.02)
    np.testing.assert_allclose(reconstruct(x, t, measure, T, theta=theta, **options), wave(t), atol=tolerance)


@pytest.mark.parametrize("scaling", ["paper", "orthonormal", "lmu"])
@pytest.mark.parametrize("measure", ["legs", "legt"])
def test_every_scaling_reads_its_own_coefficients(measure, scaling):
    A, B = transition(measure, 5)
    C, D = transition(measure, 5, scaling=scaling)
    t = np.linspace(0, 1, 7)
    factors = D / B
    x = np.random.default_rng(0).standard_normal(5)
    same = reconstruct(x * factors, t, measure, scaling=scaling)
    np.testing.assert_allclose(same, reconstruct(x, t, measure), atol=1e-13)
    np.testing.assert_allclose(np.diag(factors) @ A @ np.diag(1 / factors), C, atol=1e-12)


def test_the_lmu_counts_time_backwards():
    values = basis("legt", 4, np.array([0.0, 0.3, 1.0]), scaling="lmu")
    delay = 1 - np.array([0.0, 0.3, 1.0])
    expected = np.stack([leg.legval(2 * delay - 1, [0] * n + [1]) for n in range(4)], axis=-1)
    np.testing.assert_allclose(values, expected, atol=1e-14)


@pytest.mark.parametrize("measure", ["legs", "fourier_legs"])
def test_the_time_invariant_system_remembers_an_exponentially_warped_past(measure):
    # the kernel expm(y A) B is what multiplies u at age y: the basis times the density of the measure
    N, theta = (6, 0.7) if measure == "legs" else (201, 0.7)
    A, B = transition(measure, N, theta=theta)
    for age in (0.05, 0.4, 1.5):
        kernel = expm(age * A) @ B
        g = basis(measure, N, np.array([-age]), 0.0, theta=theta, time_map="exponential")[0]
        density = np.exp(-age / theta) / theta
        tolerance = 1e-12 if measure == "legs" else 0.1
        np.testing.assert_allclose(kernel[:5], density * g[:5], atol=tolerance)


def test_a_callable_maps_time_as_it_likes():
    t = np.linspace(2.0, 3.0, 9)
    np.testing.assert_allclose(
        basis("legt", 5, t, 3.0, time_map=lambda t: 2 * (t - 2.0) - 1), basis("legt", 5, t, 3.0, theta=1.0), atol=1e-14
    )
    values = basis("legs", 3, t, scaling="lmu", time_map=lambda t: np.cos(t))
    np.testing.assert_allclose(values[:, 1], np.cos(t))


def test_a_delay_is_read_from_the_oldest_end_of_the_window():
    x = memory(signal, "legt", 20, 2.3, 1.5)
    signs = (-1.0) ** np.arange(20) * np.sqrt(2 * np.arange(20) + 1)
    assert signs @ x == pytest.approx(signal(2.3 - 1.5), abs=1e-8)
    assert reconstruct(x, 0.8, "legt", 2.3, theta=1.5) == pytest.approx(signal(0.8), abs=1e-8)


@pytest.mark.parametrize("measure", ["legs", "legt", "fout", "fourier_legs"])
@pytest.mark.parametrize(("N", "L"), [(1, 1), (4, 3), (7, 500), (65, 40)])
def test_the_certificate_is_the_distance_from_the_staircase(measure, N, L):
    u = np.random.default_rng(0).standard_normal((2, L))
    x = np.random.default_rng(1).standard_normal((2, N)) / np.arange(1, N + 1)
    _, error = reconstruct(x, [0.5], measure, u=u)
    t, weights = on_interval(0, 1, cells=L * (8 if L < 50 else 1))
    difference = x @ basis(measure, N, t).T - u[:, np.minimum((t * L).astype(int), L - 1)]
    expected = np.sqrt(np.sum(weights * difference**2, axis=1))
    np.testing.assert_allclose(error.value, expected, rtol=1e-9)
    assert np.all(error.value >= expected * (1 - 1e-12))
    assert error.kind == "rigorous"


def test_the_certificate_has_digits_where_a_difference_of_squares_has_none():
    u = np.ones(50)
    u[::2] += 1e-10
    _, error = reconstruct(legs_project(u, 3), [0.5], "legs", u=u)
    assert error.value == pytest.approx(5e-11, rel=0.01)


def test_the_certificate_sees_the_error_of_the_scan():
    u = np.sin(np.arange(4000) / 400)
    errors = [reconstruct(legs_scan(u, 16, method=m), [0.5], "legs", u=u)[1].value for m in ("exact", "backward")]
    assert errors[0] < 0.5 * errors[1]


def test_a_single_time_gives_a_single_value_and_lists_are_times():
    x = np.array([[1.0, 0.5], [2.0, 0.0]])
    assert reconstruct(x, 1.0, "legs", scaling="lmu").tolist() == [1.5, 2.0]
    assert reconstruct(x, [0, 1], "legs", scaling="lmu").tolist() == [[0.5, 1.5], [2.0, 2.0]]
    z = reconstruct(x * 1j, [0, 1], "legs", scaling="lmu")
    assert z.tolist() == [[0.5j, 1.5j], [2j, 2j]]


@pytest.mark.parametrize("name", ["array_api_strict", "torch"])
def test_times_may_be_numpys_or_of_the_library_of_the_memory(name):
    library = pytest.importorskip(name)
    x = library.asarray([[1.0, 0.5], [2.0, 0.0]], dtype=library.float32)
    for t in (np.array([0.0, 1.0]), [0.0, 1.0], library.asarray([0.0, 1.0])):
        values = reconstruct(x, t, "legs", scaling="lmu")
        assert type(values) is type(x)
        assert values.dtype == library.float32
        assert float(values[0, 1]) == 1.5


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("legs", 4, [1.1]), {}, "t must be times that are remembered, in .* got 1 others of 1"),
        (("legs", 4, [-0.1, 1.1, 0.5]), {}, "got 2 others of 3"),
        (("legs", 4, [math.nan]), {}, "t must be finite, got 1 NaN or infinite of 1 entries"),
        (("legs", 4, [0.5], 1.0), {"time_map": lambda t: t * math.nan}, "t must be times that are remembered"),
        (("legt", 4, [0.4], 2.0), {"theta": 1.5}, "t must be times that are remembered"),
        (("lagt", 4, [1.1]), {}, "t must be times that are remembered"),
        (("legs", 4, [0.0], 0.0), {}, "T must be positive for the time map 'scaled', got 0.0"),
        (("legs", 4, [0.0], math.inf), {}, "T must be finite"),
        (("legs", 4, [0.0]), {"time_map": "log"}, "time_map must be one of 'scaled', 'window', 'exponential'"),
        (("foud", 4, [0.0]), {"time_map": "scaled"}, "time_map must be None for the measure 'foud'"),
        (("legs", 0, [0.0]), {}, "N must be at least 1"),
    ],
)
def test_bad_arguments_of_the_basis_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        basis(*arguments, **options)


@pytest.mark.parametrize(
    ("x", "t", "measure", "options", "error", "message"),
    [
        (np.ones(3), [0.5], "lagt", {"u": np.ones(5)}, ValueError, "u must be left out"),
        (np.ones(3), [0.5], "legs", {"u": np.ones(5), "time_map": "exponential"}, ValueError, "u must be left out"),
        (np.ones(3), [0.5], "legs", {"u": np.ones((2, 5))}, ValueError, r"u must have the batch \(\) of x"),
        (np.ones(3), [0.5], "legs", {"u": np.ones(0)}, ValueError, "u must have at least one sample"),
        (np.ones(3), [[0.5]], "legs", {}, ValueError, "t must be one time or have one axis"),
        (np.ones(3), [0.5j], "legs", {}, TypeError, "t must be real"),
        (np.ones(3), [math.nan], "legs", {}, ValueError, "t must be finite"),
        (np.array([1.0, math.nan]), [0.5], "legs", {}, ValueError, "x must be finite"),
        (3.0, [0.5], "legs", {}, ValueError, "x must have at least 1 dimensions"),
    ],
)
def test_bad_arguments_of_reconstruct_are_named(x, t, measure, options, error, message):
    with pytest.raises(error, match=message):
        reconstruct(x, t, measure, **options)


def test_the_bound_of_a_memory_holds_to_the_last_digit():
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = rng.integers(-1, 2, rng.integers(1, 200)).astype(float)
        bound = reconstruct(x, 0.5, "legs", u=np.zeros(1))[1].value
        size = int(x @ x)
        assert Fraction(bound) ** 2 >= size
        assert bound <= (1 + 1e-12) * math.sqrt(size)


@pytest.mark.parametrize("name", ["theta", "T"])
def test_a_gradient_by_a_time_is_refused_and_not_lost(name):
    torch = pytest.importorskip("torch", reason="NOT TESTED: gradients by times, because there is no torch")
    number = torch.tensor(2.0, requires_grad=True)
    with pytest.raises(GradientError, match=f"no gradient with respect to {name}"):
        reconstruct(torch.ones(3), 1.5, "legs", **({"T": 2.0} | {name: number}))
    with torch.no_grad():
        reconstruct(torch.ones(3), 1.5, "legs", **({"T": 2.0} | {name: number}))


def test_a_time_outside_is_told_the_interval():
    with pytest.raises(ValueError, match=r"in \[T - theta, T\] = \[18, T\] with T = 20, got 1 others of 1"):
        reconstruct(np.ones(3), [17.9], "legt", T=20.0, theta=2.0)
    with pytest.raises(ValueError, match=r"in \[0, T\] with T = 1, got 1 others of 2"):
        reconstruct(np.ones(3), [0.5, 1.5], "legs")


@pytest.mark.parametrize("size", [1e-310, 1e-170, 1.0, 1e170, 1e300])
def test_the_bound_of_signals_of_any_size(size):
    u = np.sin(np.arange(100.0))
    once = reconstruct(legs_project(u, 4), [0.5], "legs", u=u)[1].value
    bound = reconstruct(legs_project(size * u, 4), [0.5], "legs", u=size * u)[1].value
    assert bound == pytest.approx(size * once, rel=1e-9)


@pytest.mark.torch
def test_the_certificate_of_a_memory_that_is_learned_is_a_number():
    torch = pytest.importorskip("torch")
    u = torch.arange(5.0, dtype=torch.float64)
    x = legs_project(u, 3).requires_grad_()
    values, error = reconstruct(x, [0.5], "legs", u=u)
    assert values.requires_grad  # a warning of torch would be an error
    assert error.value == pytest.approx(reconstruct(x.detach().numpy(), [0.5], "legs", u=u.numpy())[1].value)
