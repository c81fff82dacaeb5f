"""Minimisation of smooth functions: gaps that bound the truth, every method, honest precision, honest failures."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina._core.certificates import Status
from lina.simplex import Step, frank_wolfe_gap, minimize, simplex_qp
from tests.reference.minimize import Long, exact_gap, long_minimum
from tests.simplex.minimize_cases import METHODS, every_method, fast_methods, least_squares


class Problem:
    """A random convex function in a dtype, and the same function with its derivatives in extended precision."""

    def __init__(self, kind, n, rng, dtype):
        self.kind, self.n, self.dtype = kind, n, dtype
        m = int(rng.integers(1, 2 * n + 2))
        self.A = rng.standard_normal((m, n)).astype(dtype)
        self.b = rng.standard_normal(m).astype(dtype)
        self.c = rng.standard_normal(n).astype(dtype)
        self.t = dtype(rng.choice([0.1, 1.0]))
        if kind == "likelihood":
            self.A = (rng.random((m, n)) + 0.05).astype(dtype)

    def __call__(self, x):
        value, gradient, _ = self.derivatives(x, self.dtype, second=False)
        return value, gradient

    def long(self, x):
        return self.derivatives(np.asarray(x, dtype=Long), Long)

    def derivatives(self, x, dtype, second=True):
        A, b, c, t = (np.asarray(v, dtype=dtype) for v in (self.A, self.b, self.c, self.t))
        n, H = self.n, None
        if self.kind == "quadratic":
            y = A @ x
            return y @ y / 2 + c @ x, A.T @ y + c, A.T @ A if second else H
        if self.kind == "least squares":
            r = A @ x - b
            return r @ r / 2, A.T @ r, A.T @ A if second else H
        if self.kind == "likelihood":
            y = A @ x
            H = A.T @ (A / (y * y)[:, None]) if second else H
            return -np.sum(np.log(y)), -(A.T @ (1 / y)), H
        tiny = np.finfo(self.dtype).tiny
        logs = np.log(np.maximum(x, dtype(tiny)))
        H = np.diag(t / np.maximum(x, dtype(tiny))) if second else H
        assert n == len(c)
        return t * (x @ logs) + c @ x, t * (logs + 1) + c, H


KINDS = ("quadratic", "least squares", "likelihood", "entropic")


@pytest.mark.parametrize("block", range(10))
def test_the_gap_bounds_the_true_error_of_a_thousand_random_problems(block):
    """Each is stopped at some tolerance or number of steps; the minimum comes from Newton in extended precision."""
    rng = np.random.default_rng(block)
    for trial in range(100):
        n = int(rng.integers(1, 5))
        problem = Problem(KINDS[trial % 4], n, rng, (np.float64, np.float32)[trial % 2 if block % 2 else 0])
        start = rng.dirichlet(np.ones(n)).astype(problem.dtype)
        result = minimize(
            problem,
            start / start.sum(),
            convex=True,
            method=str(rng.choice(METHODS)),
            rtol=float(rng.choice([1e-2, 1e-6, 1e-12])),
            max_iterations=int(rng.choice([1, 3, 30, 300])),
        )
        x = np.asarray(result.x, dtype=Long)
        x = x / np.sum(x)
        error = problem.long(x)[0] - long_minimum(problem.long, n)
        assert result.certified
        assert result.certified_in == np.dtype(problem.dtype).name
        unseen = n * np.finfo(problem.dtype).eps ** 2  # where value and gradient are 0 to the last digit
        assert error <= result.gap + unseen, (problem.kind, problem.dtype, trial)
        assert result.lower_bound == result.value - result.gap
        gradient = problem(result.x)[1]
        recomputed = exact_gap(result.x, gradient) + abs(
            (Fraction(float(np.sum(result.x.astype(Long)))) - 1) * Fraction(float(gradient.min())) * 2
        )
        allowance = 4 * float(np.finfo(problem.dtype).eps) * float(np.max(np.abs(gradient)))
        assert result.gap == pytest.approx(float(recomputed) + allowance, rel=1e-3, abs=1.5 * allowance)


@fast_methods
def test_every_method_reaches_the_answer_of_the_quadratic_program(method):
    A, b, f = least_squares()
    result = minimize(f, n=40, method=method, convex=True)
    assert result.status is Status.CONVERGED
    expected = simplex_qp(A.T @ A, -A.T @ b, rtol=1e-12)
    assert result.value - b @ b / 2 == pytest.approx(expected.value, abs=1e-6 * result.value)
    np.testing.assert_allclose(result.x, expected.x, atol=1e-3)


def test_frank_wolfe_descends_slowly_and_says_how_far_it_is():
    _, _, f = least_squares()
    result = minimize(f, n=40, method="frank_wolfe", convex=True, max_iterations=300)
    assert result.status is Status.MAX_ITERATIONS
    assert 1e-5 < result.relative_gap < 1e-1


@fast_methods
def test_the_log_likelihood_is_minimised_inside_of_its_domain(method):
    rng = np.random.default_rng(0)
    L = rng.random((100, 25)) * (rng.random((100, 25)) < 0.3)
    L[:, 0] = 1e-3

    def f(x):
        assert np.all(x >= 0)
        y = L @ x
        return -np.sum(np.log(y)), -L.T @ (1 / y)

    result = minimize(f, n=25, method=method, convex=True)
    assert result.relative_gap <= 1e-6
    assert result.status is Status.CONVERGED


@fast_methods
def test_an_entropic_function_has_its_closed_form(method):
    c = np.random.default_rng(0).standard_normal(20)
    result = minimize(
        lambda x: (x @ np.log(np.maximum(x, 1e-300)) + c @ x, np.log(np.maximum(x, 1e-300)) + 1 + c),
        n=20,
        method=method,
        convex=True,
        rtol=1e-9,
    )
    np.testing.assert_allclose(result.x, np.exp(-c) / np.sum(np.exp(-c)), atol=1e-4)
    assert result.value == pytest.approx(-np.log(np.sum(np.exp(-c))), rel=1e-8)


@fast_methods
def test_a_linear_function_ends_in_a_vertex_also_with_ties(method):
    c = np.array([1.0, 0.0, 2.0, 0.0])
    result = minimize(lambda x: (c @ x, c), [0.1, 0.2, 0.3, 0.4], method=method, convex=True, rtol=1e-4)
    assert result.gap <= 1e-3 * 1e-4
    assert result.x[1] + result.x[3] == pytest.approx(1, abs=1e-6)


@every_method
def test_the_centre_is_the_least_square_and_a_start_that_is_optimal_ends_at_once(method):
    result = minimize(lambda x: (x @ x, 2 * x), n=5, method=method, convex=True)
    assert result.iterations == 0
    np.testing.assert_allclose(result.x, 0.2)
    assert result.status is Status.CONVERGED


@every_method
def test_no_method_is_stuck_in_a_vertex(method):
    target = np.array([0.5, 0.3, 0.2])
    result = minimize(
        lambda x: (0.5 * np.sum((x - target) ** 2), x - target), np.array([0.0, 0.0, 1.0]), method=method, convex=True
    )
    np.testing.assert_allclose(result.x, target, atol=2e-2)
    assert result.gap < 1e-4


@pytest.mark.parametrize("method", ["away", "pairwise"])
def test_the_best_vertex_may_be_the_only_one(method):
    """At a vertex that is its own best neighbour but for one coordinate, the away vertex has all the mass."""
    c = np.array([0.0, -1e-9, 1.0])
    result = minimize(lambda x: (c @ x, c), np.array([1.0, 0.0, 0.0]), method=method, convex=True, scale=0.0)
    np.testing.assert_array_equal(result.x, [0, 1, 0])
    result = minimize(lambda x: (c @ x, c), np.array([0.0, 1.0, 0.0]), method=method, convex=True)
    np.testing.assert_array_equal(result.x, [0, 1, 0])


def test_one_coordinate_has_one_answer():
    result = minimize(lambda x: (float(x[0] ** 2), 2 * x), n=1, radius=3.0, convex=True)
    assert result.x == [3.0]
    assert result.gap < 1e-13


@fast_methods
def test_single_precision_is_never_certified_beyond_itself(method):
    A, b, f = least_squares(n=15, m=20, dtype=np.float32)
    start = np.full(15, 1 / 15, dtype=np.float32)
    result = minimize(f, start, method=method, convex=True, rtol=1e-9)
    assert result.x.dtype == np.float32
    assert result.certified_in == "float32"
    assert result.status is not Status.CONVERGED
    assert result.gap >= 4 * 2.0**-23 * np.max(np.abs(f(result.x)[1]))
    exact = simplex_qp(A.astype(float).T @ A.astype(float), -A.astype(float).T @ b.astype(float), rtol=1e-12).value
    x = result.x.astype(float) / result.x.astype(float).sum()
    true = 0.5 * np.sum((A.astype(float) @ x - b) ** 2) - b.astype(float) @ b.astype(float) / 2 - exact
    assert 0 <= true <= result.gap


def test_a_constant_in_a_single_precision_gradient_is_no_false_certificate():
    _, _, f = least_squares(n=15, m=20, dtype=np.float32)
    shift = np.float32(1e3)
    start = np.full(15, 1 / 15, dtype=np.float32)
    result = minimize(lambda x: (f(x)[0] + shift, f(x)[1] + shift), start, convex=True, rtol=1e-9)
    assert result.status is not Status.CONVERGED
    assert result.gap > 1e-4
    assert result.gap >= 4 * 2.0**-23 * 999


def test_a_gradient_in_double_certifies_a_point_in_single():
    _, _, f = least_squares(n=15, m=20)
    start = np.full(15, 1 / 15, dtype=np.float32)
    result = minimize(lambda x: f(x.astype(np.float64)), start, convex=True)
    assert result.x.dtype == np.float32
    assert result.certified_in == "float64"


def test_what_is_not_declared_convex_gets_no_certificate():
    _, _, f = least_squares()
    result = minimize(f, n=40)
    assert not result.certified
    assert result.lower_bound is None
    assert result.relative_gap <= 1e-6
    assert result.status is Status.CONVERGED


@pytest.mark.parametrize("method", ["auto", "projected_gradient", "frank_wolfe", "pairwise", "newton", "mirror"])
def test_motzkin_and_straus_find_a_clique_and_no_certificate(method):
    """The maximum of x.A x is 1 - 1 / (size of the largest clique); here cliques of 3 and of 4."""
    A = np.zeros((7, 7))
    A[:3, :3] = A[3:, 3:] = 1
    np.fill_diagonal(A, 0)
    start = np.random.default_rng(0).dirichlet(np.ones(7))
    result = minimize(lambda x: (-x @ A @ x, -2 * A @ x), start, method=method, max_iterations=2000)
    assert not result.certified
    assert result.lower_bound is None
    assert result.gap < 1e-3
    assert min(abs(result.value + 1 - 1 / k) for k in (2, 3, 4)) < 1e-3


def test_the_best_point_is_kept_although_the_gap_is_not_monotone():
    _, _, f = least_squares()
    result = minimize(f, n=40, method="frank_wolfe", convex=True, history=True, max_iterations=200)
    gaps = [step.gap for step in result.history]
    assert any(b > a for a, b in pairwise(gaps))
    assert result.gap == min(gaps)
    assert frank_wolfe_gap(result.x, f(result.x)[1]) == pytest.approx(result.gap, rel=1e-6)
    values = [step.value for step in result.history]
    undeclared = minimize(f, n=40, method="frank_wolfe", history=True, max_iterations=200)
    assert undeclared.value == pytest.approx(min(values), rel=1e-12)


def test_history_and_callback_see_every_step_and_the_callback_may_stop():
    _, _, f = least_squares()
    seen = []
    result = minimize(f, n=40, callback=seen.append, history=True, method="pairwise")
    assert [s[:4] for s in seen] == [s[:4] for s in result.history]
    assert all(isinstance(step, Step) for step in seen)
    assert [step.iteration for step in seen] == list(range(len(seen)))
    assert seen[0].kind == "start"
    assert seen[-1].kind == "pairwise"
    stopped = minimize(f, n=40, callback=lambda step: step.iteration == 3, method="pairwise")
    assert stopped.status is Status.STOPPED
    assert stopped.iterations == 3
    assert minimize(f, n=40).history == ()


def test_an_earlier_result_is_a_warm_start():
    _, _, f = least_squares()
    first = minimize(f, n=40, convex=True, method="away")
    again = minimize(f, first, convex=True, method="away", scale=1.0)
    assert again.iterations == 0
    finer = minimize(f, first, convex=True, method="away", rtol=1e-9, scale=1.0)
    assert finer.status is Status.CONVERGED


def test_a_limit_of_iterations_is_kept():
    _, _, f = least_squares()
    for method in METHODS[1:-2]:
        result = minimize(f, n=40, method=method, max_iterations=2, rtol=1e-12)
        assert result.status is Status.MAX_ITERATIONS
        assert result.iterations == 2


@every_method
def test_an_objective_that_turns_nan_keeps_the_best_point(method):
    _, _, f = least_squares()
    calls = []

    def sick(x):
        calls.append(x)
        value, gradient = f(x)
        return (value if len(calls) < 6 else math.nan), gradient

    start = np.random.default_rng(1).dirichlet(np.ones(40))
    result = minimize(sick, start, method=method, convex=True, rtol=1e-13)
    assert result.status is Status.NOT_FINITE
    assert math.isfinite(result.value)
    assert result.value <= f(start)[0]
    assert result.gap >= 0
    assert result.x.sum() == pytest.approx(1)


def test_a_tolerance_below_rounding_says_so():
    _, _, f = least_squares()
    result = minimize(f, n=40, convex=True, rtol=0.0)
    assert result.status is Status.ROUNDING
    assert result.relative_gap < 1e-12


def test_neither_units_nor_a_minimum_of_zero_matter():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((50, 20))
    b = A @ rng.dirichlet(np.ones(20))
    iterations = []
    for scale in (2.0**-300, 1.0, 2.0**300):
        result = minimize(
            lambda x, s=scale: (s * 0.5 * np.sum((A @ x - b) ** 2), s * A.T @ (A @ x - b)), n=20, convex=True
        )
        assert result.status is Status.CONVERGED
        assert result.value / scale < 1e-6
        iterations.append(result.iterations)
    assert len(set(iterations)) == 1


def test_relative_gap_is_the_gap_over_the_larger_of_value_and_scale():
    _, _, f = least_squares()
    plain = minimize(f, n=40, convex=True, scale=0.0)
    assert plain.relative_gap == plain.gap / abs(plain.value)
    scaled = minimize(f, n=40, convex=True, scale=1e6)
    assert scaled.relative_gap == scaled.gap / 1e6
    assert scaled.iterations <= plain.iterations
    assert minimize(f, n=40, convex=True, rtol=0.0, atol=1e-2).gap <= 1e-2


@given(n=st.integers(1, 6), seed=st.integers(0, 2**32 - 1), radius=st.sampled_from([1e-3, 1.0, 50.0]))
def test_the_radius_scales_the_simplex(n, seed, radius):
    target = radius * np.random.default_rng(seed).standard_normal(n)
    result = minimize(
        lambda x: (0.5 * np.sum((x - target) ** 2), x - target), n=n, radius=radius, convex=True, rtol=1e-9
    )
    level = result.multiplier
    np.testing.assert_allclose(result.x, np.maximum(target + level, 0), atol=1e-3 * radius)
    assert result.x.sum() == pytest.approx(radius)
    assert result.relative_gap <= 1e-9


@pytest.mark.parametrize("method", ["auto", "newton", "ipm"])
def test_an_entropy_with_tiny_weights_is_minimised_to_the_tolerance(method):
    for seed in (0, 1, 21, 25, 35, 59):
        rng = np.random.default_rng(seed)
        q = rng.random(int(rng.choice([20, 40]))) ** 3
        q /= q.sum()

        def divergence(x, q=q):
            logs = np.log(np.maximum(x, 1e-300) / q)
            return float(x @ logs), logs + 1

        result = minimize(divergence, n=len(q), convex=True, method=method)
        assert result.status is Status.CONVERGED
        assert result.iterations < 200
        np.testing.assert_allclose(result.x, q, atol=1e-4)


def test_a_single_entry_is_exact_also_where_the_value_is_zero():
    result = minimize(lambda x: (float(x @ x) - 1, 2 * x), n=1, convex=True)
    assert (result.value, result.gap, result.relative_gap, result.status) == (0.0, 0.0, 0.0, Status.CONVERGED)
