"""Starts that are dense, nearly singular or out of date must not end worse than no start at all."""

import numpy as np
import pytest

from lina._core.certificates import Status
from lina._numba import active_set_qp as kernels
from lina.simplex import (
    frank_wolfe_gap,
    min_enclosing_ball,
    minimize,
    mixture_proportions,
    optimal_design,
    simplex_lsq,
    simplex_qp,
)

GRID = np.linspace(-12, 12, 49)
OBSERVED = np.random.default_rng(0).normal(0, 1, 1000)


def likelihood(z):
    return np.exp(-0.5 * (z[:, None] - GRID) ** 2)


def expectation_maximisation(L, steps):
    x = np.full(L.shape[1], 1 / L.shape[1])
    for _ in range(steps):
        x = x * ((1 / (L @ x)) @ L) / L.shape[0]
    return x / x.sum()


@pytest.mark.parametrize("steps", [0, 3, 30, 300])
def test_a_dense_mixture_and_iterates_of_expectation_maximisation_lead_to_the_optimum(steps):
    L = likelihood(OBSERVED)
    cold, warm = mixture_proportions(L), mixture_proportions(L, x0=expectation_maximisation(L, steps))
    assert warm.status is Status.CONVERGED
    assert warm.value == pytest.approx(cold.value, abs=2e-6)
    assert len(warm.support) <= 10


def test_the_result_of_yesterday_is_a_start_for_one_more_observation_that_it_does_not_explain():
    yesterday = mixture_proportions(likelihood(OBSERVED))
    L = likelihood(np.append(OBSERVED, 10.0))
    today = mixture_proportions(L, x0=yesterday)
    assert today.status is Status.CONVERGED
    assert today.value == pytest.approx(mixture_proportions(L).value, abs=2e-6)


@pytest.mark.parametrize("faint", [1e-30, 1e-300, 5e-324])
def test_a_start_that_gives_an_observation_next_to_nothing_converges_without_a_warning(faint):
    found = mixture_proportions([[1.0, faint], [faint, 1.0]], x0=[1.0, 0.0])
    assert found.status is Status.CONVERGED
    np.testing.assert_allclose(found.x, 0.5, atol=1e-3)


@pytest.mark.parametrize("concentration", [0.05, 1.0, 100.0])
def test_dense_starts_of_the_ball_and_of_least_squares_end_where_none_does(concentration):
    rng = np.random.default_rng(1)
    for _ in range(70):
        P = rng.standard_normal((60, 8))
        x0 = rng.dirichlet(np.full(60, concentration))
        for solve in (lambda x, P=P: min_enclosing_ball(P, x0=x), lambda x, P=P: simplex_lsq(P.T, np.ones(8), x0=x)):
            cold, warm = solve(None), solve(x0)
            assert warm.status is Status.CONVERGED
            assert warm.value == pytest.approx(cold.value, rel=3e-6)


def test_a_dense_design_is_a_start():
    A = np.random.default_rng(2).standard_normal((300, 5))
    for criterion in ("D", "A"):
        found = optimal_design(A, criterion, x0=np.full(300, 1 / 300))
        assert found.status is Status.CONVERGED


def test_a_start_of_more_entries_than_a_quadratic_program_holds_is_cut_to_the_heaviest():
    rng = np.random.default_rng(3)
    P = rng.standard_normal((5000, 6))
    weights = rng.random(5000)
    warm = min_enclosing_ball(P, x0=weights / weights.sum())
    assert warm.status is Status.CONVERGED
    assert warm.value == pytest.approx(min_enclosing_ball(P).value, rel=3e-6)
    L = np.exp(-0.5 * (rng.standard_normal(400)[:, None] - np.linspace(-4, 4, 3000)) ** 2)
    warm = mixture_proportions(L, x0=np.full(3000, 1 / 3000))
    assert warm.status is Status.CONVERGED
    assert warm.value == pytest.approx(mixture_proportions(L).value, abs=2e-6)


def test_the_iteration_goes_on_as_without_a_start_where_that_leads_nowhere(monkeypatch):
    P = np.random.default_rng(4).standard_normal((40, 3))
    cold = min_enclosing_ball(P)
    right = kernels.active_set_qp
    poor = np.full(40, 1 / 40)

    def stuck(Q, c, x, tolerance):
        return (x.copy(), 0) if np.count_nonzero(x) == 40 else right(Q, c, x, tolerance)

    monkeypatch.setattr("lina.simplex._min_enclosing_ball.kernel", lambda *_: stuck)
    seen = []
    warm = min_enclosing_ball(P, x0=poor, history=True, callback=lambda step: seen.append(step.iteration))
    assert warm.status is Status.CONVERGED
    assert warm.value == pytest.approx(cold.value, rel=3e-6)
    assert seen == list(range(warm.iterations + 1)) == [step.iteration for step in warm.history]
    assert warm.iterations == 4 + 1 + cold.iterations
    short = min_enclosing_ball(P, x0=poor, max_iterations=4)
    assert (short.status, short.iterations) == (Status.ROUNDING, 4)


def test_the_active_set_leads_a_dense_start_to_independent_columns_of_no_higher_value():
    rng = np.random.default_rng(6)
    for rank, n in [(3, 10), (8, 60), (1, 40), (20, 25)]:
        A = rng.standard_normal((rank, n))
        Q, c, x = A.T @ A, A.T @ rng.standard_normal(rank), rng.dirichlet(np.ones(n))
        y, steps = kernels.active_set_qp(Q, c, x, 1e9)  # the tolerance is met at once: only the start is led
        assert steps == 0
        assert np.count_nonzero(y) <= rank + 1
        assert y.min() >= 0
        assert y.sum() == pytest.approx(1.0)
        value = 0.5 * x @ Q @ x + c @ x
        assert 0.5 * y @ Q @ y + c @ y <= value + 1e-12 * np.abs(Q).max()


def a_solution_of_single_precision():
    rng = np.random.default_rng(7)
    F = rng.standard_normal((400, 5)).astype(np.float32)
    x = simplex_qp(factor=F, diagonal=np.full(400, 0.1, np.float32)).x.astype(np.float64)
    x *= 1 + 4e-9
    return F.astype(np.float64), x


@pytest.mark.parametrize("upper", [None, 0.05])
def test_a_solution_of_single_precision_is_a_start_everywhere(upper):
    F, x = a_solution_of_single_precision()
    Q = F @ F.T + 0.1 * np.eye(400)
    again = simplex_qp(Q, upper=upper, x0=x, max_iterations=1)
    assert abs(again.x.sum() - 1) < 1e-14
    moved = minimize(lambda v: (0.5 * v @ Q @ v, Q @ v), x, upper=upper, convex=True, max_iterations=1)
    assert abs(moved.x.sum() - 1) < 1e-14
    for solve in (
        lambda: simplex_lsq(F.T, np.ones(5), x0=x),
        lambda: min_enclosing_ball(F, x0=x),
        lambda: optimal_design(F, x0=x),
    ):
        assert solve().status is Status.CONVERGED


def test_a_start_at_its_caps_keeps_its_zeros_and_does_not_exceed_them():
    x = np.array([0.5, 0.3, 0.2, 0.0]) * (1 - 1e-7)
    upper = np.array([0.5, 0.4, 0.4, 0.4])
    seen = []

    def objective(v):
        seen.append(v.copy())
        return v @ v, 2 * v

    minimize(objective, x, upper=upper, convex=True, max_iterations=1)
    np.testing.assert_allclose(seen[0], [0.5, 0.3, 0.2, 0.0], atol=1e-6)
    assert seen[0][3] == 0.0
    assert np.all(seen[0] <= upper)
    assert abs(seen[0].sum() - 1) < 1e-15
    minimize(objective, [0.7, -0.3 - 1e-7], set="l1_ball", convex=True, max_iterations=1)


def test_a_gap_asks_for_the_sum_and_says_how_to_get_it():
    _, x = a_solution_of_single_precision()
    with pytest.raises(ValueError, match=r"x must sum to radius = 1 .* off by .* \(divide x by its sum\)"):
        frank_wolfe_gap(x, x)
    with pytest.raises(ValueError, match=r"\(multiply x by radius over its sum\)"):
        frank_wolfe_gap(2 * x, x, radius=2.0)
    assert frank_wolfe_gap(x / x.sum(), np.ones(400)) == 0.0


def test_the_gap_of_a_parameter_is_taken_without_a_warning():
    torch = pytest.importorskip("torch")
    x = torch.nn.Parameter(torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64))
    assert float(frank_wolfe_gap(x, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)).detach()) == 0.5
