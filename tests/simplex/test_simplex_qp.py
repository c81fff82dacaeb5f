"""Quadratics over the simplex: exact answers, agreement of the methods, true gaps, batches, bad input."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lina._core.certificates import Status
from lina.simplex import SimplexResult, Step, simplex_qp
from tests.backends import BACKENDS, selected
from tests.reference.minimize import exact_gap, exact_qp, numeric_maximum_clique

METHODS = ("auto", "pairwise", "active", "ipm")


every_method = pytest.mark.parametrize("method", METHODS)


def psd(rng, n, rank=None):
    F = rng.standard_normal((n, rank or n))
    return F @ F.T


def covariance(n, seed=0):
    """A sample covariance of returns with common factors: the minimum variance uses part of the assets."""
    rng = np.random.default_rng(seed)
    loadings = rng.normal(0, 1, (n, 10))
    loadings[:, 0] += 2
    days = int(1.2 * n)
    returns = rng.standard_normal((days, 10)) @ loadings.T + rng.standard_normal((days, n)) * rng.uniform(0.5, 2, n)
    return np.cov(0.01 * returns.T)


def gaussian_kernel(n, seed=0):
    """A kernel matrix whose eigenvalues fall to rounding, and the mean of the kernel over more points."""
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((n, 2)), rng.standard_normal((4 * n, 2))

    def k(A, B):
        return np.exp(-np.sum((A[:, None] - B) ** 2, axis=2) / 2)

    return k(X, X), -np.mean(k(X, Y), axis=1)


def assert_is_minimal(result, Q, c, radius=1.0, rtol=1e-6):
    """Check the point, and recompute its gap from scratch with rationals."""
    x = np.asarray(result.x, dtype=np.float64)
    assert np.all(x >= 0)
    assert np.sum(x) == pytest.approx(radius, rel=1e-12)
    g = Q @ x + c
    value = 0.5 * x @ (g + c)
    gap = float(exact_gap(x, g, radius)) if len(x) < 300 else float(x @ (g - g.min()))
    assert result.value == pytest.approx(value, rel=1e-9, abs=1e-300)
    assert gap <= result.gap * (1 + 1e-6) + 1e-13 * abs(value)
    assert result.gap <= rtol * abs(value)
    assert result.status is Status.CONVERGED
    assert result.certified
    assert result.lower_bound == result.value - result.gap
    np.testing.assert_array_equal(result.support, np.flatnonzero(x))
    assert result.multiplier == pytest.approx(g.min(), rel=1e-9)


@every_method
@settings(max_examples=30)
@given(
    n=st.integers(1, 5), seed=st.integers(0, 2**32 - 1), whole=st.booleans(), radius=st.sampled_from([0.5, 1.0, 3.0])
)
def test_the_gap_bounds_the_distance_to_the_exact_minimum(method, n, seed, whole, radius):
    rng = np.random.default_rng(seed)
    Q, c = psd(rng, n, int(rng.integers(1, n + 1))), rng.standard_normal(n)
    if whole:  # ties, and faces whose minimiser is not unique
        F = rng.integers(-1, 2, (n, n)).astype(float)
        Q, c = F @ F.T, rng.integers(-1, 2, n).astype(float)
    result = simplex_qp(Q, c, radius=radius, method=method)
    least = exact_qp(Q, c, radius)
    assert result.value - float(least) <= result.gap + 1e-15 * (1 + abs(float(least)))
    assert result.gap <= max(1e-6 * abs(result.value), 1e-13 * radius * np.max(np.abs(Q)) * radius + 1e-14)
    assert result.certified


@every_method
def test_every_method_finds_the_minimum_variance(method):
    Q = covariance(300)
    result = simplex_qp(Q, convex=True, method=method)
    assert_is_minimal(result, Q, np.zeros(300))
    best = simplex_qp(Q, convex=True)
    np.testing.assert_allclose(result.x, best.x, atol=1e-3)


def test_the_minimum_variance_is_found_to_rounding_with_exact_zeros():
    Q = covariance(500)
    result = simplex_qp(Q, convex=True)
    assert_is_minimal(result, Q, np.zeros(500), rtol=1e-10)
    assert 50 < len(result.support) < 250
    g = Q @ result.x
    assert np.ptp(g[result.support]) < 1e-10 * np.max(g)


@every_method
def test_an_ill_conditioned_kernel_is_no_obstacle(method):
    Q, c = gaussian_kernel(200)
    options = {"max_iterations": 10**7} if method == "pairwise" else {}
    rtol = 1e-4 if method == "pairwise" else 1e-6
    if method == "active":  # its faces are singular: it says that it got nowhere
        assert simplex_qp(Q, c, method=method, rtol=1e-9).status is not Status.CONVERGED
        return
    assert_is_minimal(simplex_qp(Q, c, method=method, rtol=rtol, **options), Q, c, rtol=rtol)


def test_the_answer_to_a_kernel_has_exact_zeros():
    Q, c = gaussian_kernel(200)
    assert len(simplex_qp(Q, c).support) < 150


def test_distances_are_convex_along_the_simplex_though_not_elsewhere():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    distances = np.linalg.norm(X[:, None] - X, axis=2)
    for method in ("auto", "active", "ipm"):
        result = simplex_qp(-distances, np.mean(distances, axis=1) * 2, method=method)
        assert_is_minimal(result, -distances, np.mean(distances, axis=1) * 2)


def test_two_assets_have_the_closed_form():
    a, b, r = 0.04, 0.09, 0.01
    result = simplex_qp(np.array([[a, r], [r, b]]), rtol=1e-12)
    w = (b - r) / (a + b - 2 * r)
    np.testing.assert_allclose(result.x, [w, 1 - w], rtol=1e-12)


def test_a_diagonal_is_filled_like_water():
    d, c = np.array([1.0, 2.0, 4.0, 8.0]), np.array([0.0, 0.1, 0.5, 3.0])
    result = simplex_qp(np.diag(d), c)
    level = (1 + np.sum(c[:3] / d[:3])) / np.sum(1 / d[:3])
    np.testing.assert_allclose(result.x, np.maximum((level - c) / d, 0), rtol=1e-12)
    assert result.x[3] == 0
    assert result.multiplier == pytest.approx(level)


@pytest.mark.parametrize("method", ["auto", "active"])
def test_diagonals_of_any_spread_are_solved_and_certified(method):
    for spread in ([1e10, 1e-6], [1e10, 1e-6, 1e-6], [1e10, 1.0, 1e-6], [1e-12, 1e12, 1e3]):
        d = np.array(spread)
        for result in (simplex_qp(np.diag(d), method=method), simplex_qp(factor=np.diag(np.sqrt(d)), method=method)):
            assert result.status is Status.CONVERGED
            np.testing.assert_allclose(result.x, 1 / d / np.sum(1 / d), rtol=1e-9)


def test_the_gap_of_graded_matrices_bounds_the_exact_error_and_is_small():
    rng = np.random.default_rng(7)
    for _ in range(300):
        d = 10.0 ** rng.uniform(-12, 12, int(rng.integers(1, 6)))
        result = simplex_qp(np.diag(d), rtol=0.0)
        x = [Fraction(float(v)) for v in result.x]
        value = sum(Fraction(float(a)) * v * v for a, v in zip(d, x, strict=True)) / sum(x) ** 2 / 2
        least = 1 / sum(1 / Fraction(float(a)) for a in d) / 2
        assert value - least <= result.gap
        assert result.lower_bound <= least
        assert result.gap <= 1e-13 * result.value


def test_the_identity_gives_equal_weights_and_a_linear_function_a_vertex():
    np.testing.assert_allclose(simplex_qp(np.eye(7)).x, 1 / 7, rtol=1e-14)
    result = simplex_qp(np.zeros((4, 4)), [1.0, 0.0, 0.0, 2.0])
    assert result.x[0] == result.x[3] == 0
    assert result.gap <= 1e-14
    assert simplex_qp(np.zeros((3, 3))).gap <= 1e-14


def test_one_coordinate_has_one_answer():
    result = simplex_qp([[2.0]], [1.0], radius=3.0)
    assert result.x == [3.0]
    assert result.value == 12.0
    assert result.gap < 1e-13


@pytest.mark.parametrize("n", [4, 6, 8])
def test_what_is_not_convex_gets_a_stationary_point_and_no_certificate(n):
    """Motzkin and Straus: the maximum of x.A x over the simplex is 1 - 1 / (size of the largest clique)."""
    rng = np.random.default_rng(n)
    A = np.triu(rng.random((n, n)) < 0.6, 1)
    A = (A | A.T).astype(float)
    for declared in (None, False):
        result = simplex_qp(-2 * A, convex=declared, x0=np.full(n, 1 / n), method="pairwise")
        assert not result.certified
        assert result.lower_bound is None
        assert result.gap <= 1e-6
        clique = numeric_maximum_clique(A)
        assert result.value >= -(1 - 1 / clique) - 1e-9


def test_a_direction_of_negative_curvature_is_found_without_a_declaration():
    Q = psd(np.random.default_rng(0), 30)
    assert simplex_qp(Q).certified
    values, vectors = np.linalg.eigh(Q)
    bent = Q - (values[0] + 0.5) * np.outer(vectors[:, 0], vectors[:, 0])
    assert not simplex_qp((bent + bent.T) / 2).certified


def test_a_matrix_that_is_semidefinite_to_rounding_is_convex():
    for seed in range(20):
        F = np.random.default_rng(seed).standard_normal((40, 3))
        assert simplex_qp(F @ F.T, F[:, 0]).certified


@pytest.mark.parametrize("k", [3, 60, 200])
@pytest.mark.parametrize("method", ["auto", "pairwise", "ipm"])
def test_a_factor_and_a_diagonal_are_the_matrix(k, method):
    rng = np.random.default_rng(0)
    F, d, c = rng.standard_normal((160, k)) / math.sqrt(k), rng.uniform(0.5, 2, 160), rng.standard_normal(160)
    Q = F @ F.T + np.diag(d)
    result = simplex_qp(c=c, factor=F, diagonal=d, method=method)
    assert_is_minimal(result, Q, c)
    np.testing.assert_allclose(result.x, simplex_qp(Q, c).x, atol=1e-4)


def test_a_factor_without_a_diagonal_is_singular_and_solved():
    rng = np.random.default_rng(0)
    F, c = rng.standard_normal((300, 4)), rng.standard_normal(300)
    assert_is_minimal(simplex_qp(c=c, factor=F), F @ F.T, c)


@pytest.mark.parametrize("n", [3, 20, 160])
def test_a_batch_is_its_problems(n):
    rng = np.random.default_rng(n)
    F, c = rng.standard_normal((2, 4, n, n + 3)), rng.standard_normal((2, 4, n))
    Q = F @ np.swapaxes(F, -1, -2)
    result = simplex_qp(Q, c)
    assert result.x.shape == (2, 4, n)
    assert result.certified
    assert result.status is Status.CONVERGED
    for i in np.ndindex(2, 4):
        one = simplex_qp(Q[i], c[i])
        np.testing.assert_allclose(result.x[i], one.x, atol=1e-6)
        assert result.value[i] == pytest.approx(one.value, rel=1e-9)
        assert float(exact_gap(result.x[i], Q[i] @ result.x[i] + c[i])) <= result.gap[i] * (1 + 1e-6) + 1e-14
        assert result.relative_gap[i] <= 1e-6
    assert "status=converged" in repr(result)


def test_a_batch_shares_what_has_no_batch_of_its_own():
    rng = np.random.default_rng(0)
    Q, c = psd(rng, 30), rng.standard_normal((50, 30))
    result = simplex_qp(Q, c)
    np.testing.assert_allclose(result.x[7], simplex_qp(Q, c[7]).x, atol=1e-6)
    assert simplex_qp(np.stack([Q, 2 * Q])).x.shape == (2, 30)


def test_a_batch_with_one_bent_problem_has_no_certificate():
    Q = np.stack([np.eye(20), np.eye(20) - 0.5 * (np.eye(20, k=1) + np.eye(20, k=-1)) * 3])
    result = simplex_qp(np.repeat(Q, 20, axis=0))
    assert not result.certified
    assert result.lower_bound is None


def test_a_batch_of_kernels_falls_back_to_the_barrier():
    problems = [gaussian_kernel(80, seed) for seed in range(2)]
    result = simplex_qp(np.stack([Q for Q, _ in problems]), np.stack([c for _, c in problems]))
    assert np.all(result.relative_gap <= 1e-6)
    assert result.status is Status.CONVERGED


def test_single_precision_is_certified_in_double_at_the_rounded_point():
    Q32 = covariance(200).astype(np.float32)
    result = simplex_qp(Q32)
    assert result.x.dtype == result.reduced_costs.dtype == np.float32
    assert result.certified_in == "float64"
    Q = Q32.astype(np.float64)
    Q = (Q + Q.T) / 2
    x = result.x.astype(np.float64)
    g = Q @ x
    assert result.value == pytest.approx(0.5 * x @ g, rel=1e-12)
    assert float(exact_gap(x, g)) <= result.gap
    assert result.value - simplex_qp(Q, rtol=1e-13).value <= result.gap


def test_a_tolerance_below_rounding_says_so():
    result = simplex_qp(covariance(50), rtol=0.0)
    assert result.status is Status.ROUNDING
    assert result.relative_gap < 1e-11


def test_a_minimum_of_zero_is_reached_to_rounding():
    result = simplex_qp(factor=np.array([[1.0, 1.0], [-1.0, 1.0], [0.0, -1.0]]))
    assert result.value <= result.gap < 1e-13
    assert result.status in (Status.ROUNDING, Status.CONVERGED)
    assert simplex_qp(np.ones((2, 2)) - np.eye(2) * 0, [-0.5, -0.5], scale=1.0).status is Status.CONVERGED


def test_units_do_not_matter():
    Q, c = psd(np.random.default_rng(0), 40), np.random.default_rng(1).standard_normal(40)
    plain = simplex_qp(Q, c)
    for scale in (2.0**-500, 2.0**500):
        result = simplex_qp(Q * scale, c * scale)
        np.testing.assert_allclose(result.x, plain.x, rtol=1e-9, atol=1e-12)
        assert result.relative_gap <= 1e-6


def test_an_earlier_result_is_a_warm_start():
    Q, c = covariance(400), np.zeros(400)
    first = simplex_qp(Q, c, method="pairwise", convex=True)
    again = simplex_qp(Q, c, method="pairwise", convex=True, x0=first)
    assert again.iterations <= 1
    near = simplex_qp(1.01 * Q, c, method="pairwise", convex=True, x0=first)
    assert near.iterations < first.iterations / 2


def test_a_limit_of_iterations_is_kept_and_the_gap_still_true():
    Q = covariance(400)
    result = simplex_qp(Q, method="pairwise", convex=True, max_iterations=10)
    assert result.status is Status.MAX_ITERATIONS
    assert result.iterations <= 10
    assert result.gap >= result.value - simplex_qp(Q, convex=True).value > 0


def test_the_callback_sees_every_stage_and_stops_it():
    seen = []
    Q, c = gaussian_kernel(200)
    result = simplex_qp(Q, c, convex=True, callback=seen.append, history=True)
    assert all(isinstance(step, Step) for step in seen)
    assert {"pairwise", "interior point"} <= {step.kind for step in result.history}
    assert [step.iteration for step in result.history] == sorted(step.iteration for step in result.history)
    stopped = simplex_qp(Q, c, convex=True, callback=lambda step: step.kind == "interior point")
    assert stopped.status is Status.STOPPED
    assert isinstance(stopped, SimplexResult)


@pytest.mark.parametrize("backend", selected())
def test_arrays_stay_in_their_library(backend):
    move, back = BACKENDS[backend].move, BACKENDS[backend].back
    Q, c = psd(np.random.default_rng(0), 12), np.random.default_rng(1).standard_normal(12)
    if backend == "dask":
        with pytest.raises(TypeError, match="Q must hold its values"):
            simplex_qp(move(Q), move(c))
        return
    result = simplex_qp(move(Q), move(c))
    assert type(result.x) is type(move(c))
    np.testing.assert_allclose(back(result.x), simplex_qp(Q, c).x, rtol=1e-9)
    np.testing.assert_array_equal(back(result.support), simplex_qp(Q, c).support)


EYE = np.eye(3)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: simplex_qp(), ValueError, "one of Q and factor"),
        (lambda: simplex_qp(EYE, factor=EYE), ValueError, "one of Q and factor"),
        (lambda: simplex_qp(EYE, diagonal=np.ones(3)), ValueError, "diagonal must be None"),
        (lambda: simplex_qp(np.ones((2, 3))), ValueError, "Q must have shape"),
        (lambda: simplex_qp(np.array([[1.0, 2.0], [0.0, 1.0]])), ValueError, "Q must be symmetric"),
        (lambda: simplex_qp(EYE, np.ones(2)), ValueError, "c must have shape"),
        (lambda: simplex_qp(np.zeros((2, 3, 3)), np.zeros((4, 3))), ValueError, "c must have the batch"),
        (lambda: simplex_qp(np.full((3, 3), np.nan)), ValueError, "Q must be finite"),
        (lambda: simplex_qp(np.full((99, 99), np.inf)), ValueError, "Q must be finite"),
        (lambda: simplex_qp(EYE, [1.0, np.inf, 0.0]), ValueError, "c must be finite"),
        (lambda: simplex_qp(EYE * 1e308), OverflowError, "Q must have entries below"),
        (lambda: simplex_qp(factor=EYE * 1e200), OverflowError, "factor must have squares below"),
        (lambda: simplex_qp(factor=EYE, diagonal=-np.ones(3)), ValueError, "diagonal must be non-negative"),
        (lambda: simplex_qp(factor=EYE, c=np.ones(2)), ValueError, "c must have shape"),
        (lambda: simplex_qp(EYE + 0j), TypeError, "Q must be real"),
        (lambda: simplex_qp(EYE, radius=0.0), ValueError, "radius must be finite and positive"),
        (lambda: simplex_qp(EYE, method="fw"), ValueError, "method must be one of"),
        (lambda: simplex_qp(EYE, x0=np.ones(3)), ValueError, "x0 must sum to radius"),
        (lambda: simplex_qp(EYE, x0=np.ones(2) / 2), ValueError, "x0 must have shape"),
        (lambda: simplex_qp(EYE, upper=0.3), ValueError, "upper must sum to at least radius = 1"),
        (lambda: simplex_qp(EYE, upper=[1.0, 1.0]), ValueError, r"upper must be a number or have shape \(3,\)"),
        (lambda: simplex_qp(EYE, upper=-1.0), ValueError, "upper must be non-negative"),
        (lambda: simplex_qp(EYE, upper=1j), TypeError, "upper must be real"),
        (lambda: simplex_qp(EYE, upper="all"), TypeError, "upper must be an array"),
        (lambda: simplex_qp(EYE, upper=0.5, method="ipm"), ValueError, "upper must be None for method='ipm'"),
        (lambda: simplex_qp(np.zeros((2, 3, 3)), upper=0.5), ValueError, "upper must be None for a batch"),
        (lambda: simplex_qp(EYE, upper=0.5, x0=[1.0, 0.0, 0.0]), ValueError, "x0 must not exceed upper"),
        (lambda: simplex_qp(EYE, rtol=-1.0), ValueError, "rtol must be finite"),
        (lambda: simplex_qp(EYE, max_iterations=0), ValueError, "max_iterations must be in"),
        (lambda: simplex_qp(np.zeros((2, 3, 3)), history=True), ValueError, "callback and history"),
    ],
)
def test_bad_input_gets_an_error_that_names_it(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_threads_do_not_change_a_batch(threads):
    rng = np.random.default_rng(0)
    F, c = rng.standard_normal((200, 12, 14)), rng.standard_normal((200, 12))
    answers = []
    for count in (1, 2, 5):
        threads(count)
        answers.append(simplex_qp(F @ np.swapaxes(F, 1, 2), c).x)
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


def test_a_batch_without_problems_is_refused_by_name():
    with pytest.raises(ValueError, match=r"Q must hold at least one problem, got shape \(0, 3, 3\)"):
        simplex_qp(np.zeros((0, 3, 3)))
    with pytest.raises(ValueError, match=r"c must hold at least one problem, got shape \(0, 3\)"):
        simplex_qp(np.eye(3), np.zeros((0, 3)))


@pytest.mark.parametrize(
    "problem",
    [
        {"Q": [[2.0]], "c": [-1.0]},
        {"Q": [[2.0]], "c": [-1.0], "upper": 1.0},
        {"factor": [[1.0]], "diagonal": [1.0], "c": [-1.0]},
        {"Q": np.full((4, 1, 1), 2.0), "c": np.full((4, 1), -1.0)},
    ],
)
def test_a_single_entry_is_exact_also_where_the_value_is_zero(problem):
    result = simplex_qp(**problem)
    assert result.status is Status.CONVERGED
    assert np.all(np.asarray(result.value) == 0)
    assert np.all(np.asarray(result.gap) == 0)
    assert np.all(np.asarray(result.relative_gap) == 0)
