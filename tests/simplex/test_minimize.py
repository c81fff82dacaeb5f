"""Minimisation of smooth functions: gaps that bound the truth, every method, honest precision, honest failures."""

import math
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina._core.certificates import Status
from lina.simplex import Step, frank_wolfe_gap, minimize, simplex_qp
from tests.backends import BACKENDS, selected
from tests.reference.minimize import Long, exact_gap, long_minimum

METHODS = (
    "auto",
    "projected_gradient",
    "mirror",
    "accelerated_mirror",
    "frank_wolfe",
    "away",
    "pairwise",
    "newton",
    "ipm",
)
every_method = pytest.mark.parametrize("method", METHODS)
fast_methods = pytest.mark.parametrize("method", [m for m in METHODS if m != "frank_wolfe"])


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


def least_squares(n=40, m=50, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((m, n)).astype(dtype), rng.standard_normal(m).astype(dtype)
    return A, b, lambda x: (0.5 * np.sum((A @ x - b) ** 2), A.T @ (A @ x - b))


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


@pytest.mark.parametrize("method", ["auto", "projected_gradient", "newton", "mirror"])
def test_two_gradients_that_contradict_a_declaration_revoke_it(method):
    start = np.array([0.5 - 1e-3, 0.5 + 1e-3])
    result = minimize(lambda x: (-x @ x, -2 * x), start, method=method, convex=True)
    assert result.value == pytest.approx(-1)
    assert not result.certified
    assert result.lower_bound is None


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


WRONG = {
    "sign": lambda g: -g,
    "double": lambda g: 2 * g,
    "half": lambda g: g / 2,
    "zero": lambda g: 0 * g,
    "reversed": lambda g: g[::-1].copy(),
}


@every_method
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_gradient_of_another_function_is_refused(method, wrong):
    _, _, f = least_squares()
    for convex in (True, None):
        with pytest.raises(ValueError, match="objective must return the gradient of its value, got"):
            minimize(lambda x: (f(x)[0], wrong(f(x)[1])), n=40, method=method, convex=convex)


@pytest.mark.parametrize("method", ["auto", "projected_gradient", "mirror", "accelerated_mirror", "pairwise", "away"])
@pytest.mark.parametrize("convex", [True, None])
def test_a_gradient_that_turns_wrong_on_the_way_ends_at_the_lowest_value_without_a_certificate(method, convex):
    _, _, f = least_squares()
    limit = 0.1 * f(np.full(40, 1 / 40))[0] + 0.9 * minimize(f, n=40, convex=True).value
    values = []

    def turning(x):
        value, gradient = f(x)
        values.append(value)
        return value, gradient if value > limit else -gradient

    result = minimize(turning, n=40, method=method, convex=convex)
    assert result.status is Status.CONTRADICTION
    assert not result.certified
    assert result.lower_bound is None
    assert result.value <= limit
    assert result.value == pytest.approx(f(result.x)[0])


def test_correct_gradients_contradict_no_value_however_steep_flat_or_small_these_are():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 15))
        A = rng.standard_normal((n, n)) * np.geomspace(1, 10.0 ** -rng.uniform(0, 12), n)
        b = A @ rng.dirichlet(np.ones(n)) if seed % 2 else rng.standard_normal(n)
        unit, offset = 10.0 ** rng.uniform(-100, 100), float(rng.choice([0.0, 1e8]))

        def f(x, A=A, b=b, unit=unit, offset=offset):
            r = A @ x - b
            return unit * (offset + r @ r / 2), unit * (A.T @ r)

        method = str(rng.choice(METHODS))
        result = minimize(f, rng.dirichlet(np.ones(n)), method=method, rtol=1e-10, max_iterations=200)
        assert result.status is not Status.CONTRADICTION, (seed, method)


def test_projected_gradients_do_not_take_the_curvature_at_the_boundary_for_that_at_the_start():
    rng = np.random.default_rng(0)
    offsets = (rng.standard_normal(1000)[:, None] * 1.5 - np.linspace(-4, 4, 100)) / 0.05
    L = np.maximum(np.exp(-0.5 * offsets**2), 1e-300)
    result = minimize(
        lambda x: (-np.mean(np.log(L @ x)), -(L.T @ (1 / (L @ x))) / 1000),
        n=100,
        method="projected_gradient",
        convex=True,
    )
    assert result.status is Status.CONVERGED
    assert result.iterations < 300


def test_products_with_the_hessian_that_overflow_are_left_to_gradients():
    L = np.random.default_rng(0).random((30, 8)) ** 8

    class Likelihood:
        def value(self, x):
            return -np.sum(np.log(L @ x))

        def gradient(self, x):
            return -L.T @ (1 / (L @ x))

        def hessian_product(self, x, v):
            return np.full_like(x, np.inf)

    assert minimize(Likelihood(), n=8, method="newton").status is Status.NOT_FINITE
    assert minimize(Likelihood(), n=8, convex=True).status is Status.CONVERGED


def test_the_end_of_the_domain_shortens_steps():
    """log(x_0) has no value at x_0 = 0, where every gradient step would go first."""

    def f(x):
        with np.errstate(all="ignore"):
            return 10 * x[0] - np.log(x[0]) * 0.5, np.array([10 - 0.5 / x[0], 0.0])

    for method in ("auto", "projected_gradient", "frank_wolfe", "pairwise", "away", "mirror"):
        result = minimize(f, n=2, convex=True, method=method)
        assert result.x[0] == pytest.approx(0.05, rel=1e-2)
        assert result.status is Status.CONVERGED


def test_an_object_may_give_products_with_its_hessian():
    A, _, f = least_squares()

    class LeastSquares:
        products = 0

        def value(self, x):
            return f(x)[0]

        def gradient(self, x):
            return f(x)[1]

        def hessian_product(self, x, v):
            self.products += 1
            return A.T @ (A @ v)

    for method in ("newton", "ipm"):
        objective = LeastSquares()
        result = minimize(objective, n=40, method=method, convex=True, rtol=1e-12)
        assert result.iterations == 1
        assert objective.products == 40
        assert result.relative_gap < 1e-12


def test_the_interior_point_method_solves_ill_conditioned_quadratics():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 2))
    K = np.exp(-np.sum((X[:, None] - X) ** 2, axis=2) / 2)
    c = -np.mean(K, axis=1) * 0.9

    class Quadratic:
        value = staticmethod(lambda x: 0.5 * x @ K @ x + c @ x)
        gradient = staticmethod(lambda x: K @ x + c)
        hessian_product = staticmethod(lambda x, v: K @ v)

    result = minimize(Quadratic(), n=80, method="ipm", convex=True)
    assert result.status is Status.CONVERGED
    assert result.iterations <= 3


def test_auto_goes_over_to_second_derivatives_where_the_gap_stalls():
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    Q = (U * np.geomspace(1, 1e-6, 30)) @ U.T
    c = -Q @ rng.dirichlet(np.ones(30))
    result = minimize(lambda x: (0.5 * x @ Q @ x + c @ x, Q @ x + c), n=30, convex=True, rtol=1e-10)
    assert result.status is Status.CONVERGED
    assert "Newton" in result.method
    assert result.evaluations < 2000


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


@pytest.mark.parametrize("backend", [name for name in selected() if name != "dask"])
@fast_methods
def test_arrays_stay_in_their_library(backend, method):
    move, back = BACKENDS[backend].move, BACKENDS[backend].back
    A, b, f = least_squares(n=8, m=10)
    moved_A, moved_b = move(A), move(b)

    def objective(x):
        r = moved_A @ x - moved_b
        return 0.5 * (r @ r), moved_A.T @ r

    result = minimize(objective, move(np.full(8, 0.125)), method=method, convex=True)
    assert type(result.x) is type(moved_b)
    expected = minimize(f, n=8, method=method, convex=True)
    np.testing.assert_allclose(back(result.x), expected.x, atol=1e-4)
    assert result.status is Status.CONVERGED


@pytest.mark.torch
def test_a_function_of_tensors_needs_a_tensor_as_its_start():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"got Tensor alone \(x was a ndarray: give x0 as an array of torch\)"):
        minimize(lambda x: torch.sum(torch.as_tensor(x) ** 2), n=3)
    with pytest.raises(TypeError) as found:
        minimize(lambda x: torch.sum(x), n=3)
    assert found.value.__notes__ == ["objective was called with a numpy.ndarray, as x0 is or with n"]


def test_torch_differentiates_a_value_and_leaves_other_gradients_alone():
    torch = pytest.importorskip("torch")
    A, b, f = least_squares(n=8, m=10)
    weight = torch.tensor(A, requires_grad=True)
    start = torch.full((8,), 0.125, dtype=torch.float64, requires_grad=True)
    result = minimize(lambda x: 0.5 * torch.sum((weight @ x - torch.tensor(b)) ** 2), start, convex=True)
    assert weight.grad is None
    assert start.grad is None
    assert not result.x.requires_grad
    np.testing.assert_allclose(result.x, minimize(f, n=8, convex=True).x, atol=1e-4)
    assert result.certified_in == "float64"


def good(x):
    return float(x @ x), 2 * x


HALF = np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: minimize(good), ValueError, "one of x0 and n must be given, got neither"),
        (lambda: minimize(good, HALF, n=2), ValueError, "one of x0 and n must be given, got both"),
        (lambda: minimize(good, n=0), ValueError, "n must be in"),
        (lambda: minimize(3.0, n=2), TypeError, "objective must be callable"),
        (lambda: minimize(lambda x: 1.0, n=2), TypeError, r"objective must return \(value, gradient\), got float"),
        (lambda: minimize(lambda x: (1.0, x, x), n=2), ValueError, "got 3 things"),
        (lambda: minimize(lambda x: (1.0, x[:1]), n=2), ValueError, r"gradient of shape \(2,\), got \(1,\)"),
        (lambda: minimize(lambda x: (1.0, 1j * x), n=2), TypeError, "gradient of dtype float32 or float64"),
        (lambda: minimize(lambda x: (1.0, None), n=2), TypeError, "gradient of the type of x"),
        (lambda: minimize(lambda x: (x, x), n=2), TypeError, r"real number as its value, got shape \(2,\)"),
        (lambda: minimize(lambda x: ("one", x), n=2), TypeError, "real number as its value, got str"),
        (lambda: minimize(lambda x: (math.nan, x), n=2), ValueError, "finite value and gradient at the start"),
        (lambda: minimize(lambda x: (1.0, x / 0), n=2), ValueError, "finite value and gradient at the start"),
        (lambda: minimize(good, HALF + 1), ValueError, "x0 must sum to radius"),
        (lambda: minimize(good, [1.5, -0.5]), ValueError, "x0 must be non-negative"),
        (lambda: minimize(good, [np.nan, 1.0]), ValueError, "x0 must be finite"),
        (lambda: minimize(good, HALF + 0j), TypeError, "x0 must be real"),
        (lambda: minimize(good, n=2, radius=-1.0), ValueError, "radius must be finite and positive"),
        (lambda: minimize(good, n=2, upper=0.4), ValueError, "upper must sum to at least radius"),
        (lambda: minimize(good, n=2, method="sgd"), ValueError, "method must be one of"),
        (lambda: minimize(good, n=2, set="cube"), ValueError, "set must be one of"),
        (lambda: minimize(good, n=2, rtol=-1), ValueError, "rtol must be finite and not negative"),
        (lambda: minimize(good, n=2, scale=math.nan), ValueError, "scale must be finite and not negative"),
        (lambda: minimize(good, n=2, max_iterations=0), ValueError, "max_iterations must be in"),
        (lambda: minimize(good, n=2, upper=0.9, method="newton"), ValueError, "upper must be None"),
        (lambda: minimize(good, np.full((2, 2), 0.5), method="ipm"), ValueError, "x0 must have one dimension"),
    ],
)
def test_bad_input_gets_an_error_that_names_it(call, kind, text):
    with pytest.raises(kind, match=text), np.errstate(all="ignore"):
        call()


@pytest.mark.parametrize("options", [{}, {"upper": 0.9}, {"set": "l1_ball"}])
def test_the_objective_never_gets_the_array_of_the_caller(options):
    start = np.array([0.25, 0.75])

    def rude(x):
        value, gradient = float(x @ x), 2 * x
        x[:] = 0.5
        return value, gradient

    with suppress(ValueError):  # its values are not those of the points that it leaves behind
        minimize(rude, start, max_iterations=1, **options)
    np.testing.assert_array_equal(start, [0.25, 0.75])


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


def test_a_start_without_rows_is_refused_by_name():
    with pytest.raises(ValueError, match=r"x0 must have at least one row, got shape \(0, 3\)"):
        minimize(lambda x: (0.0, x), np.zeros((0, 3)))


def test_a_single_entry_is_exact_also_where_the_value_is_zero():
    result = minimize(lambda x: (float(x @ x) - 1, 2 * x), n=1, convex=True)
    assert (result.value, result.gap, result.relative_gap, result.status) == (0.0, 0.0, 0.0, Status.CONVERGED)
