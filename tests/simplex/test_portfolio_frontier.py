"""The efficient frontier: two assets in closed form, one program at a time by another optimiser, degenerate markets."""

import numpy as np
import pytest
import scipy.optimize

from lina._core.certificates import Status
from lina.simplex import frank_wolfe_gap, portfolio_frontier


def market(n, observations=None, seed=0):
    """Return a covariance and means, from so many observations of a few common factors."""
    rng = np.random.default_rng(seed)
    T = observations or 3 * n
    F = rng.standard_normal((T, 4)) @ rng.standard_normal((4, n)) * 0.01 + 0.02 * rng.standard_normal((T, n))
    return np.cov(F.T), 1e-3 * rng.standard_normal(n) + 5e-4


def least_variance(C, mean, gain):
    """Return the least variance of a return of at least ``gain``, by SLSQP."""
    n = len(mean)
    unit = np.trace(C) / n
    found = scipy.optimize.minimize(
        lambda x: x @ C @ x / unit,
        np.eye(n)[mean.argmax()] * 0.9 + 0.1 / n,
        jac=lambda x: 2 * C @ x / unit,
        bounds=[(0, 1)] * n,
        constraints=[
            {"type": "eq", "fun": lambda x: x.sum() - 1, "jac": lambda x: np.ones(n)},
            {
                "type": "ineq",
                "fun": lambda x: (x @ mean - gain) / np.abs(mean).max(),
                "jac": lambda x: mean / np.abs(mean).max(),
            },
        ],
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 500},
    )
    return found.fun * unit


def test_two_assets_have_a_closed_form():
    C, mean = np.array([[0.04, 0.006], [0.006, 0.09]]), np.array([0.05, 0.1])
    wanted = np.linspace(0.05, 0.1, 11)
    f = portfolio_frontier(C, mean, returns=wanted)
    share = (wanted - 0.05) / 0.05  # of the second asset, where the return asks for more than the least variance has
    least = (0.04 - 0.006) / (0.04 + 0.09 - 2 * 0.006)
    np.testing.assert_allclose(f.x[:, 1], np.maximum(share, least), atol=1e-9)
    np.testing.assert_allclose(f.returns[share > least], wanted[share > least], rtol=1e-12)
    np.testing.assert_allclose(f.risk**2, f.value, rtol=1e-12)


def test_the_variances_are_those_of_an_independent_optimiser_and_none_lies_below_the_bound():
    for seed in range(5):
        C, mean = market(12, seed=seed)
        f = portfolio_frontier(C, mean)
        assert f.status is Status.CONVERGED
        for x, v, low, gain in zip(f.x, f.value, f.lower_bound, f.returns, strict=True):
            peer = least_variance(C, mean, gain)
            assert x @ C @ x == pytest.approx(v, rel=1e-10)
            assert low <= peer * (1 + 1e-7)
            assert v <= peer * (1 + 1e-5)


def test_the_gap_is_that_of_the_penalised_problem():
    C, mean = market(40)
    f = portfolio_frontier(C, mean, risk_aversion=np.array([1.0, 2.0, 10.0, np.inf]))
    for x, gap, gamma in zip(f.x, f.gap, f.risk_aversion, strict=True):
        price = 0.0 if np.isinf(gamma) else 1 / gamma
        assert frank_wolfe_gap(x, 2 * (C @ x - price * mean)) <= gap * (1 + 1e-6)
    np.testing.assert_allclose(f.risk_aversion, [1.0, 2.0, 10.0, np.inf])
    last = portfolio_frontier(C, mean, risk_aversion=np.array([1e-6]))
    assert last.returns[0] == mean.max()  # nothing changes below the risk aversion where only this counts
    assert last.risk_aversion[0] > 1e-6


def test_the_default_grid_runs_from_the_least_variance_to_the_largest_mean():
    C, mean = market(30)
    f = portfolio_frontier(C, mean)
    assert f.returns[-1] == pytest.approx(mean.max())
    assert np.all(np.diff(f.value) > 0)
    assert np.all(np.diff(f.returns) > 0)
    assert np.isinf(f.risk_aversion[0])
    assert np.all(np.diff(f.risk_aversion) < 0)
    np.testing.assert_allclose(np.diff(f.returns), (f.returns[-1] - f.returns[0]) / 29, rtol=1e-9)


def test_a_factor_gives_what_the_covariance_gives():
    rng = np.random.default_rng(1)
    F, d, mean = rng.standard_normal((50, 5)) * 0.1, rng.uniform(0.01, 0.1, 50), rng.standard_normal(50) * 0.01
    dense = portfolio_frontier(F @ F.T + np.diag(d), mean)
    factored = portfolio_frontier(mean=mean, factor=F, diagonal=d)
    np.testing.assert_allclose(factored.value, dense.value, rtol=2e-6)


def test_fewer_observations_than_assets_leave_a_singular_covariance_and_a_certificate():
    C, mean = market(40, observations=25)
    f = portfolio_frontier(C, mean)
    assert f.status is Status.CONVERGED
    assert np.all(f.relative_gap <= 1e-6)


def test_a_riskless_asset_takes_the_frontier_to_zero():
    C = np.diag([0.0, 0.04, 0.09])
    f = portfolio_frontier(C, np.array([0.01, 0.05, 0.08]), returns=np.array([0.01, 0.03, 0.08]))
    np.testing.assert_allclose(f.value[[0, 2]], [0.0, 0.09], atol=1e-12)
    assert f.status is Status.CONVERGED


def test_ties_of_the_largest_mean_are_mixed_for_the_least_variance():
    f = portfolio_frontier(np.diag([1.0, 3.0, 2.0]), np.array([0.1, 0.1, 0.0]), returns=np.array([0.1]))
    np.testing.assert_allclose(f.x, [[0.75, 0.25, 0.0]], atol=1e-9)


def test_equal_means_leave_one_portfolio():
    f = portfolio_frontier(np.diag([1.0, 1.0]), np.array([0.3, 0.3]))
    np.testing.assert_allclose(f.x, 0.5, atol=1e-9)


def test_one_asset():
    f = portfolio_frontier(np.array([[0.04]]), np.array([-0.1]), returns=np.array([-0.2, -0.1]))
    assert f.x.tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize("scale", [1e-120, 1e120])
def test_units_change_nothing(scale):
    C, mean = market(20)
    base = portfolio_frontier(C, mean)
    f = portfolio_frontier(C * scale, mean * scale**0.5)
    np.testing.assert_allclose(f.value, base.value * scale, rtol=2e-6)


def test_the_history_has_a_step_for_each_program_and_the_callback_may_stop():
    C, mean = market(40)
    seen = []
    f = portfolio_frontier(C, mean, history=True, callback=seen.append)
    assert [step[:4] for step in f.history] == [step[:4] for step in seen]
    assert [step.iteration for step in seen] == list(range(1, f.evaluations + 1))
    assert min(step.value for step in seen) == pytest.approx(f.value.min(), rel=1e-6)
    assert all(step.gap <= 1e-6 * step.value for step in seen)
    for grid in ({}, {"risk_aversion": np.array([1.0, 5.0, 50.0, np.inf])}):
        stopped = portfolio_frontier(C, mean, callback=lambda step: step.iteration == 3, **grid)
        assert stopped.evaluations == 3
        assert stopped.status is Status.STOPPED
        assert np.all(stopped.x.sum(axis=1) == pytest.approx(1))
        assert np.all(stopped.value - stopped.gap <= stopped.value)


def test_an_earlier_frontier_is_a_warm_start_that_changes_no_answer():
    C, mean = market(40)
    cold = portfolio_frontier(C, mean, rtol=1e-9)
    moved = C + 1e-3 * np.diag(np.diag(C))
    expected = portfolio_frontier(moved, mean, rtol=1e-9)
    for start in (cold, cold.x, cold.x[3]):
        warm = portfolio_frontier(moved, mean, x0=start, rtol=1e-9)
        assert warm.status is Status.CONVERGED
        np.testing.assert_allclose(warm.value, expected.value, rtol=1e-8)
    with pytest.raises(ValueError, match=r"x0 must have shape \(40,\), got \(39,\)"):
        portfolio_frontier(C, mean, x0=np.full((2, 39), 1 / 39))
    with pytest.raises(ValueError, match=r"covariance must be square, got shape \(500, 40\)"):
        portfolio_frontier(np.ones((500, 40)), mean)
    with pytest.raises(ValueError, match="x0 must be non-negative with sum 1"):
        portfolio_frontier(C, mean, x0=np.ones(40))


def test_single_precision_comes_back_in_it():
    C, mean = market(15)
    f = portfolio_frontier(C.astype("f"), mean.astype("f"))
    assert f.x.dtype == np.float32
    np.testing.assert_allclose(f.value, portfolio_frontier(C, mean).value, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"returns": np.array([0.2])}, ValueError, "returns must not exceed the largest mean 0.1, got 0.2"),
        ({"returns": np.array([np.nan])}, ValueError, "returns must be finite"),
        ({"returns": np.ones((1, 1))}, ValueError, "returns must be a nonempty vector"),
        ({"risk_aversion": np.array([0.0])}, ValueError, "risk_aversion must be positive"),
        ({"returns": np.ones(1), "risk_aversion": np.ones(1)}, TypeError, "returns or risk_aversion must be None"),
        ({"factor": np.eye(2)}, TypeError, "covariance or factor must be given, got both"),
        ({"covariance": None}, TypeError, "got neither"),
        ({"covariance": np.eye(3)}, ValueError, "mean must have one entry per row of covariance or factor, 3, got 2"),
        ({"covariance": np.ones((2, 3))}, ValueError, "covariance must be square"),
        ({"covariance": np.array([[1.0, 2.0], [0.0, 1.0]])}, ValueError, "covariance must be symmetric"),
        ({"mean": None}, TypeError, "mean must be an array"),
        ({"diagonal": np.ones(2)}, TypeError, "diagonal must be None"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        portfolio_frontier(**({"covariance": np.eye(2), "mean": np.array([0.0, 0.1])} | arguments))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_matrix_with_negative_variances_is_no_covariance(dtype):
    rng = np.random.default_rng(0)
    F = rng.standard_normal((6, 3))
    mean = rng.standard_normal(6)
    assert portfolio_frontier((F @ F.T).astype(dtype), mean.astype(dtype), returns=[mean.mean()]).certified
    for C in (np.diag([1.0, -1, 2, 1, 1, 1]), F @ F.T - 1e-3 * np.eye(6)):
        with pytest.raises(ValueError, match=r"covariance must be positive semidefinite to rounding, found .* -"):
            portfolio_frontier(C.astype(dtype), mean.astype(dtype), returns=[mean.mean()])
