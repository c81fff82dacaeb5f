"""Gradients of another function than the values, second derivatives, and the step that they allow."""

import numpy as np
import pytest

from lina._core.certificates import Status
from lina.simplex import minimize
from tests.simplex.minimize_cases import METHODS, every_method, least_squares


@pytest.mark.parametrize("method", ["auto", "projected_gradient", "newton", "mirror"])
def test_two_gradients_that_contradict_a_declaration_revoke_it(method):
    start = np.array([0.5 - 1e-3, 0.5 + 1e-3])
    result = minimize(lambda x: (-x @ x, -2 * x), start, method=method, convex=True)
    assert result.value == pytest.approx(-1)
    assert not result.certified
    assert result.lower_bound is None


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
