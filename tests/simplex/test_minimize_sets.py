"""Minimisation over bounded entries, rows, and the ball of the 1-norm: against quadratic programs solved otherwise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize as scipy_minimize

from lina._core.certificates import Status
from lina.simplex import (
    frank_wolfe_gap,
    minimize,
    project_capped_simplex,
    project_l1_ball,
    project_simplex,
    simplex_qp,
)
from tests.backends import BACKENDS, selected
from tests.reference.minimize import exact_ball_gap, exact_gap

BOUNDED = ("auto", "projected_gradient", "mirror", "accelerated_mirror", "pairwise", "frank_wolfe")
ROWS = (*BOUNDED, "away")
BALL = (*ROWS, "newton", "ipm")


def near(target):
    return lambda x: (0.5 * np.sum((x - target) ** 2), x - target)


def quadratic(n, seed=0):
    rng = np.random.default_rng(seed)
    F, c = rng.standard_normal((n, n + 2)), rng.standard_normal(n)
    Q = F @ F.T
    return Q, c, lambda x: (0.5 * x @ Q @ x + c @ x, Q @ x + c)


def loose(method):
    """Frank-Wolfe is asked for what it can reach."""
    return {"rtol": 1e-3 if method == "frank_wolfe" else 1e-7, "max_iterations": 20_000}


@pytest.mark.parametrize("method", BOUNDED)
@settings(max_examples=15)
@given(n=st.integers(2, 9), seed=st.integers(0, 2**32 - 1), one=st.booleans(), radius=st.sampled_from([0.5, 1.0, 8.0]))
def test_the_nearest_bounded_point_is_the_projection(method, n, seed, one, radius):
    rng = np.random.default_rng(seed)
    target = radius * rng.standard_normal(n)
    upper = radius * (1.0 / n + rng.random(n)) if not one else radius * 1.5 / n
    result = minimize(
        near(target), n=n, upper=upper, radius=radius, method=method, convex=True, scale=radius**2, **loose(method)
    )
    expected = project_capped_simplex(target, upper=upper, total=radius)
    np.testing.assert_allclose(result.x, expected, atol=0.1 * radius if method == "frank_wolfe" else 1e-3 * radius)
    assert np.all(result.x <= np.broadcast_to(upper, n) * (1 + 1e-12))
    assert result.x.sum() == pytest.approx(radius)
    bounds = np.minimum(np.broadcast_to(upper, n), radius)
    assert result.value - near(target)(expected)[0] <= result.gap
    exact = float(exact_gap(result.x, result.x - target, radius, bounds))
    assert result.gap == pytest.approx(exact, rel=1e-3, abs=1e-13 * radius**2 * n)


@pytest.mark.parametrize("method", BOUNDED)
def test_bounds_of_a_portfolio_agree_with_slsqp(method):
    _, _, f = quadratic(12)
    result = minimize(f, n=12, upper=0.15, method=method, convex=True, **loose(method))
    peer = scipy_minimize(
        f,
        np.full(12, 1 / 12),
        jac=True,
        method="SLSQP",
        bounds=[(0, 0.15)] * 12,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1, "jac": lambda x: np.ones(12)},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert abs(result.value - peer.fun) <= result.gap + 1e-8
    assert result.status is Status.CONVERGED
    assert result.certified


def test_bounds_that_leave_one_point_give_it():
    result = minimize(near(np.arange(4.0)), n=4, upper=0.25, convex=True)
    np.testing.assert_allclose(result.x, 0.25)
    assert result.gap < 1e-14
    result = minimize(near(np.arange(3.0)), [0.0, 0.5, 0.5], upper=[0.0, 0.5, 0.5], convex=True)
    np.testing.assert_allclose(result.x, [0, 0.5, 0.5])


def test_bounds_of_zero_keep_their_entries_at_zero():
    for method in ("auto", "projected_gradient", "pairwise", "mirror"):
        result = minimize(
            near(np.array([5.0, 0.0, 1.0])), [0.0, 0.5, 0.5], upper=[0.0, 1.0, 1.0], convex=True, method=method
        )
        assert result.x[0] == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(result.x[1:], [0.0, 1.0], atol=1e-2)


@pytest.mark.parametrize("method", ROWS)
def test_rows_that_do_not_meet_are_problems_of_their_own(method):
    target = np.random.default_rng(0).standard_normal((4, 6))
    result = minimize(near(target), np.full((4, 6), 1 / 6), method=method, convex=True, **loose(method))
    expected = project_simplex(target)
    np.testing.assert_allclose(result.x, expected, atol=0.1 if method == "frank_wolfe" else 2e-3)
    gaps = [float(exact_gap(x, x - t)) for x, t in zip(result.x, target, strict=True)]
    assert result.gap == pytest.approx(sum(gaps), rel=1e-3, abs=1e-13)
    assert result.value - near(target)(expected)[0] <= result.gap
    assert result.multiplier.shape == (4,)
    np.testing.assert_array_equal(result.support, np.argwhere(result.x))
    assert np.isscalar(result.value)


@pytest.mark.parametrize("method", ROWS)
def test_rows_that_meet_share_one_gap(method):
    rng = np.random.default_rng(0)
    target, load = rng.standard_normal((3, 5)), rng.standard_normal(5)

    def f(x):
        total = np.sum(x, axis=0) - load
        return 0.5 * np.sum((x - target) ** 2) + total @ total, x - target + 2 * total

    result = minimize(f, rng.dirichlet(np.ones(5), size=3), method=method, convex=True, **loose(method))
    best = minimize(f, np.full((3, 5), 0.2), convex=True, rtol=1e-12)
    assert best.gap < 1e-10
    assert 0 <= result.value - best.value + 1e-12 <= result.gap + 1e-12
    assert result.status is Status.CONVERGED


def test_rows_with_bounds_polish_their_face():
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    H = (U * np.geomspace(1, 1e-4, 12)) @ U.T
    c = rng.standard_normal(12) * 0.05

    def f(x):
        g = H @ x.ravel() + c
        return 0.5 * x.ravel() @ (g + c), g.reshape(x.shape)

    result = minimize(f, np.full((3, 4), 0.25), upper=0.6, convex=True, rtol=1e-10)
    assert result.status is Status.CONVERGED
    assert "face" in result.method
    assert np.all(result.x <= 0.6)


@pytest.mark.parametrize("method", BALL)
@pytest.mark.parametrize("radius", [0.3, 1.0, 20.0])
def test_the_nearest_point_of_the_ball_is_the_projection(method, radius):
    target = np.random.default_rng(1).standard_normal(7)
    result = minimize(
        near(target), n=7, set="l1_ball", radius=radius, method=method, convex=True, scale=1.0, **loose(method)
    )
    expected = project_l1_ball(target, radius)
    np.testing.assert_allclose(result.x, expected, atol=0.1 if method == "frank_wolfe" else 2e-3)
    assert result.x.shape == (7,)
    assert np.sum(np.abs(result.x)) <= radius * (1 + 1e-12)
    exact = float(exact_ball_gap(result.x, result.x - target, radius))
    assert result.gap == pytest.approx(exact, rel=1e-3, abs=1e-12)
    assert float(frank_wolfe_gap(result.x, result.x - target, radius=radius, set="l1_ball")) <= result.gap * (1 + 1e-9)
    assert result.value - near(target)(expected)[0] <= result.gap


def test_the_ball_takes_a_start_of_any_sign_and_products_with_the_hessian():
    Q, _, f = quadratic(6)

    class Object:
        value = staticmethod(lambda x: f(x)[0])
        gradient = staticmethod(lambda x: f(x)[1])
        hessian_product = staticmethod(lambda x, v: Q @ v)

    start = np.array([0.2, -0.3, 0.0, 0.1, 0.0, -0.1])
    result = minimize(Object(), start, set="l1_ball", method="newton", convex=True, rtol=1e-10)
    again = minimize(f, start, set="l1_ball", convex=True, rtol=1e-10)
    np.testing.assert_allclose(result.x, again.x, atol=1e-5)
    assert result.status is Status.CONVERGED
    with pytest.raises(ValueError, match="1-norm of at most"):
        minimize(f, 2 * start, set="l1_ball")


def test_the_ball_of_a_linear_function_is_left_at_a_signed_vertex():
    c = np.array([0.5, -2.0, 1.0])
    result = minimize(lambda x: (c @ x, c), n=3, set="l1_ball", method="pairwise", convex=True)
    np.testing.assert_allclose(result.x, [0, 1, 0], atol=1e-6)
    assert result.multiplier == -2.0
    np.testing.assert_allclose(result.reduced_costs, [1.5, 0, 1])


@pytest.mark.parametrize("backend", [name for name in selected() if name != "dask"])
@pytest.mark.parametrize("method", ["auto", "pairwise", "mirror", "frank_wolfe"])
def test_bounds_rows_and_ball_stay_in_their_library(backend, method):
    move, back = BACKENDS[backend].move, BACKENDS[backend].back
    target = np.random.default_rng(0).standard_normal((3, 5))
    moved = move(target)

    def f(x):
        d = x - moved
        return 0.5 * float(back(d).ravel() @ back(d).ravel()), d

    for start, options in (
        (np.full((3, 5), 0.2), {"upper": 0.5}),
        (np.full((3, 5), 0.2), {}),
        (np.zeros((3, 5)), {"set": "l1_ball"}),
    ):
        result = minimize(f, move(start), method=method, convex=True, rtol=1e-3, **options)
        plain = minimize(near(target), start, method=method, convex=True, rtol=1e-3, **options)
        assert type(result.x) is type(moved)
        np.testing.assert_allclose(back(result.x), plain.x, atol=1e-2)
        assert result.status is Status.CONVERGED


def test_large_rows_are_minimised_by_projected_gradients_alone():
    target = np.random.default_rng(0).standard_normal((20, 3000))
    scales = np.geomspace(1, 30, 3000)
    result = minimize(
        lambda x: (0.5 * np.sum(scales * (x - target / 50) ** 2), scales * (x - target / 50)),
        np.full((20, 3000), 1 / 3000),
        convex=True,
    )
    assert result.status is Status.CONVERGED


def test_a_quadratic_program_of_one_row_agrees():
    Q, c, f = quadratic(10)
    result = minimize(f, np.full((1, 10), 0.1)[0], convex=True, rtol=1e-10)
    np.testing.assert_allclose(result.x, simplex_qp(Q, c, rtol=1e-12).x, atol=1e-5)
