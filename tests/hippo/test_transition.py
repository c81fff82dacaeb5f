"""The matrices of the measures: published formulas, the equations that they stand for, contractivity."""

import math

import numpy as np
import pytest
from scipy.linalg import expm

from lina.hippo import nplr, transition
from tests.reference.hippo import legs_matrices, legt_matrices, lmu_matrices, memory

MEASURES = ["legs", "legt", "lagt", "glagt", "fout", "foud", "fourier_legs"]
SIZES = [1, 2, 3, 8, 9, 64]


@pytest.mark.parametrize("N", SIZES)
def test_legs_and_legt_are_the_published_matrices(N):
    for measure, formula in (("legs", legs_matrices), ("legt", legt_matrices)):
        for ours, theirs in zip(transition(measure, N), formula(N), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-16 * 4)


@pytest.mark.parametrize("N", SIZES)
def test_the_lmu_is_published_with_integers_and_differs_from_legt_by_alternating_signs_and_roots(N):
    A, B = transition("legt", N, scaling="lmu", theta=2.0)
    published_A, published_B = lmu_matrices(N)
    np.testing.assert_array_equal(A, published_A / 2)
    np.testing.assert_array_equal(B, published_B / 2)
    D = np.diag((-1.0) ** np.arange(N) * np.sqrt(2 * np.arange(N) + 1))
    paper_A, paper_B = transition("legt", N, theta=2.0)
    np.testing.assert_allclose(D @ paper_A @ np.linalg.inv(D), A, rtol=1e-13)
    np.testing.assert_allclose(D @ paper_B, B, rtol=1e-13)


def test_legs_in_the_scaling_of_the_lmu_has_integers():
    A, B = transition("legs", 4, scaling="lmu")
    assert A.tolist() == [[-1, 0, 0, 0], [-3, -2, 0, 0], [-5, -5, -3, 0], [-7, -7, -7, -4]]
    assert B.tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize("measure", MEASURES)
def test_the_orthonormal_scaling_multiplies_the_input_alone(measure):
    factor = 1 if measure in ("lagt", "glagt") else math.sqrt(2)
    (A, B), (C, D) = transition(measure, 9), transition(measure, 9, scaling="orthonormal")
    np.testing.assert_array_equal(A, C)
    np.testing.assert_allclose(D, factor * B, rtol=1e-15)


@pytest.mark.parametrize("N", [1, 5, 64, 65])
@pytest.mark.parametrize(("measure", "scaling", "value"), [("legs", "paper", 1), ("legs", "orthonormal", math.sqrt(2))])
def test_a_constant_is_the_first_basis_vector(measure, scaling, value, N):
    A, B = transition(measure, N, scaling=scaling)
    np.testing.assert_allclose(np.linalg.solve(-A, B), value * np.eye(N)[0], atol=1e-14)


def test_a_constant_is_the_first_basis_vector_of_fourier_legs():
    A, B = transition("fourier_legs", 65)
    np.testing.assert_allclose(np.linalg.solve(-A, B), np.eye(65)[0], atol=1e-13)


def signal(t):
    return np.exp(-((t - 1.3) ** 2)) * np.cos(1.7 * t + 0.4)


def residual(measure, N, theta=1.5, T=2.3, **options):
    """Return x' - (A x + B u) (times T for the measures of the whole past), from the integrals that define x."""
    A, B = transition(measure, N, theta=1.0 if measure in ("legs", "fourier_legs") else theta, **options)
    h = 1e-4
    near = [memory(signal, measure, N, T + i * h, theta, **options) for i in (-2, -1, 1, 2)]
    slope = (near[0] - 8 * near[1] + 8 * near[2] - near[3]) / (12 * h)
    scale = T if measure in ("legs", "fourier_legs") else 1.0
    return scale * slope - A @ memory(signal, measure, N, T, theta, **options) - B * signal(T)


@pytest.mark.parametrize("N", [1, 4, 7])
@pytest.mark.parametrize(
    ("measure", "options"),
    [("legs", {}), ("lagt", {}), ("foud", {}), ("glagt", {"alpha": 0.5, "beta": 0.7}), ("glagt", {"beta": 1.0})],
)
def test_the_projection_follows_the_equation(measure, options, N):
    assert np.abs(residual(measure, N, **options)).max() < 1e-8


@pytest.mark.parametrize("N", [4, 8, 13])
def test_the_window_of_legt_errs_by_what_its_oldest_value_is_missing(N):
    theta, T = 1.5, 2.3
    x = memory(signal, "legt", N, T, theta)
    signs = (-1.0) ** np.arange(N) * np.sqrt(2 * np.arange(N) + 1)
    missing = signs @ x - signal(T - theta)
    np.testing.assert_allclose(residual("legt", N), signs * missing / theta, atol=1e-8)


def test_the_fourier_window_errs_by_what_the_mean_at_the_jump_is_missing():
    theta, T, N = 1.5, 2.3, 9
    x = memory(signal, "fout", N, T, theta)
    b = np.array([1.0] + [math.sqrt(2), 0.0] * 4)
    missing = 2 * b @ x - signal(T) - signal(T - theta)
    np.testing.assert_allclose(residual("fout", N), b * missing / theta, atol=1e-8)


def test_low_modes_of_fourier_legs_converge():
    errors = [np.abs(residual("fourier_legs", N)[:5]).max() for N in (17, 65, 257)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


@pytest.mark.parametrize("N", SIZES)
@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_is_contractive(measure, N):
    A, _ = transition(measure, N)
    assert np.linalg.eigvalsh((A + A.T) / 2).max() <= 1e-12 * np.linalg.norm(A)
    for t in (0.01, 0.3, 2.0):
        assert np.linalg.norm(expm(t * A), 2) <= 1 + 1e-12


def test_the_scaling_of_the_lmu_is_not_contractive():
    A, _ = transition("legt", 64, scaling="lmu")
    assert np.linalg.eigvalsh((A + A.T) / 2).max() == pytest.approx(523, abs=1)


@pytest.mark.parametrize("N", [1, 5, 17, 65])
def test_fourier_legs_is_skew_but_for_rank_one_and_all_its_real_parts_are_minus_one(N):
    A, B = transition("fourier_legs", N)
    S = A + np.eye(N) / 2 + np.outer(B, B) / 2
    np.testing.assert_allclose(S, -S.T, atol=1e-13)
    np.testing.assert_allclose(np.linalg.eigvals(A).real, -1, atol=1e-12 * N)


def test_fourier_legs_is_the_matrix_of_the_article_in_exponentials():
    m = 4
    n = np.arange(-m, m + 1)
    apart = np.where(n[:, None] == n, np.inf, n[:, None] - n)
    complex_A = -n[:, None] / apart + np.diag(1j * np.pi * n - 1)
    U = np.zeros((2 * m + 1, 2 * m + 1), dtype=complex)
    U[0, m] = 1
    for k in range(1, m + 1):
        U[2 * k - 1, [m + k, m - k]] = 1 / math.sqrt(2)
        U[2 * k, [m + k, m - k]] = 1j / math.sqrt(2), -1j / math.sqrt(2)
    A, B = transition("fourier_legs", 2 * m + 1)
    np.testing.assert_allclose(U @ complex_A @ U.conj().T, A, atol=1e-13)
    np.testing.assert_allclose(U @ np.ones(2 * m + 1), B, atol=1e-15)


@pytest.mark.parametrize("measure", ["fout", "foud", "fourier_legs"])
def test_an_even_fourier_memory_is_the_odd_one_with_a_coefficient_that_stays_zero(measure):
    (A, B), (C, D) = transition(measure, 8), transition(measure, 7)
    np.testing.assert_array_equal(A[:7, :7], C)
    np.testing.assert_array_equal(B, np.append(D, 0.0))
    assert not A[7, :7].any()
    assert not A[:7, 7].any()
    assert A[7, 7] <= 0


@pytest.mark.parametrize("measure", MEASURES)
def test_theta_is_a_unit_of_time(measure):
    for one, other in zip(transition(measure, 6), transition(measure, 6, theta=4.0), strict=True):
        np.testing.assert_array_equal(one / 4, other)


def test_the_laguerre_measures_meet():
    A, B = transition("glagt", 5, alpha=0.0, beta=1.0)
    np.testing.assert_allclose(A, -np.tril(np.ones((5, 5))), rtol=1e-14)
    np.testing.assert_allclose(B, np.ones(5), rtol=1e-14)
    A, _ = transition("glagt", 5, alpha=0.0, beta=1e-12)
    np.testing.assert_allclose(A, transition("lagt", 5)[0], atol=1e-11)


def test_library_and_dtype_are_those_asked_for():
    strict = pytest.importorskip("array_api_strict")
    A, B = transition("legs", 4, xp=strict, dtype=strict.float32)
    assert type(A) is type(strict.asarray(0.0))
    assert A.dtype == B.dtype == strict.float32


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("legz", 4), {}, ValueError, "measure must be one of"),
        (("legs", 0), {}, ValueError, "N must be at least 1, got 0"),
        (("legs", -3), {}, ValueError, "N must be at least 1"),
        (("legs", 2.0), {}, TypeError, "N must be an int, got float"),
        (("legs", True), {}, TypeError, "N must be an int, got bool"),
        (("legs", 4), {"scaling": "own"}, ValueError, "scaling must be one of"),
        (("fout", 4), {"scaling": "lmu"}, ValueError, "scaling must be 'paper' or 'orthonormal'"),
        (("legt", 4), {"theta": 0}, ValueError, "theta must be finite and positive, got 0"),
        (("legt", 4), {"theta": float("nan")}, ValueError, "theta must be finite and positive"),
        (("legt", 4), {"theta": "long"}, TypeError, "theta must be a number"),
        (("glagt", 4), {"alpha": 1.0}, ValueError, r"alpha must be in \(-1, 1\), got 1.0"),
        (("glagt", 4), {"beta": 0.0}, ValueError, "beta must be finite and positive"),
    ],
)
def test_bad_arguments_are_named(arguments, options, error, message):
    with pytest.raises(error, match=message):
        transition(*arguments, **options)


def test_a_dtype_that_cannot_hold_halves_is_refused():
    with pytest.raises(ValueError, match="dtype must be one of"):
        transition("lagt", 3, dtype=np.int32)
    assert transition("lagt", 3, dtype=np.float32)[0].dtype == np.float32


def test_a_time_that_is_too_short_or_no_number_is_refused():
    with pytest.raises(OverflowError, match="theta"):
        transition("legs", 2, theta=1e-310)
    with pytest.raises(TypeError, match="theta must be a number, got str"):
        transition("legs", 2, theta="1")


@pytest.mark.parametrize("make", [transition, nplr])
def test_the_name_of_a_library_is_no_namespace(make):
    with pytest.raises(TypeError, match="xp must be a namespace of arrays such as numpy or torch itself, got 'torch'"):
        make("legs", 4, xp="torch")
