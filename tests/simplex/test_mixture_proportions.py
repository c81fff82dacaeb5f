"""Mixture proportions: closed forms, another optimiser, expectation maximisation, rows that nothing explains."""

import numpy as np
import pytest
import scipy.optimize

from lina._core.certificates import Status
from lina.simplex import mixture_proportions
from tests.reference.simplex_problems import em_mixture, exact_mixture


def value(L, x, weights=None):
    w = np.full(len(L), 1 / len(L)) if weights is None else weights / weights.sum()
    return -np.sum(w * np.log(L @ x))


def gap(L, x, weights=None):
    w = np.full(len(L), 1 / len(L)) if weights is None else weights / weights.sum()
    return (L.T @ (w / (L @ x))).max() - 1


def normal_mixture(n, m, seed=0):
    """Return the densities of normal components on a grid of means at a sample of two of them."""
    rng = np.random.default_rng(seed)
    z = np.concatenate([rng.standard_normal(n // 2) - 2, rng.standard_normal(n - n // 2) + 1])
    return np.exp(-0.5 * (z[:, None] - np.linspace(-6, 6, m)) ** 2)


def test_disjoint_components_get_their_shares():
    owner = np.array([0] * 5 + [1] * 3 + [3] * 2)
    L = np.zeros((10, 4))
    L[np.arange(10), owner] = np.linspace(0.1, 9, 10)
    r = mixture_proportions(L, rtol=1e-13)
    np.testing.assert_allclose(r.x, [0.5, 0.3, 0, 0.2], atol=1e-12)
    assert r.value == pytest.approx(value(L, r.x), rel=1e-12)


def test_two_components_at_two_points_have_a_closed_form():
    L = np.array([[2.0, 1.0], [1.0, 3.0]])  # stationary where 1 / (1 + p) = 2 / (3 - 2 p), p the share of the first
    r = mixture_proportions(L, rtol=1e-14)
    assert r.x[0] == pytest.approx(0.25, abs=1e-8)


def test_the_gap_bounds_the_true_error_of_random_problems():
    rng = np.random.default_rng(1)
    for trial in range(300):
        n, m = int(rng.integers(1, 12)), int(rng.integers(1, 7))
        L = rng.exponential(size=(n, m)) ** 3
        if trial % 2:
            L = L * (rng.random((n, m)) < 0.6)
            L[np.arange(n), rng.integers(0, m, n)] += 0.1
        w = rng.random(n) + 0.01
        tight, loose = mixture_proportions(L, weights=w, rtol=1e-12), mixture_proportions(L, weights=w, rtol=1e-2)
        assert tight.status in (Status.CONVERGED, Status.ROUNDING)
        assert tight.gap < 1e-12
        assert loose.value - tight.value <= loose.gap
        assert tight.lower_bound <= value(L, em_mixture(L, w, 200), w) + 1e-14
        assert gap(L, loose.x, w) <= loose.gap + 1e-13


def test_the_lower_bound_holds_to_the_last_digit():
    rng = np.random.default_rng(3)
    for trial in range(300):
        n, m = int(rng.integers(1, 12)), 1 if trial % 2 else int(rng.integers(2, 5))
        L, w = rng.random((n, m)) * 10.0 ** rng.uniform(-100, 100, (n, 1)), rng.random(n) + 0.1
        found = mixture_proportions(L, weights=w, rtol=float(rng.choice([1e-3, 0.0])))
        exact, excess = exact_mixture(L, found.x, w)
        assert found.lower_bound <= exact
        assert found.gap >= excess


def test_the_answer_is_that_of_an_independent_optimiser():
    L = normal_mixture(200, 12)
    peer = scipy.optimize.minimize(
        lambda x: value(L, x),
        np.full(12, 1 / 12),
        jac=lambda x: -L.T @ (1 / (L @ x)) / len(L),
        bounds=[(1e-12, 1)] * 12,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1, "jac": lambda x: np.ones(12)},
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 500},
    )
    r = mixture_proportions(L)
    assert r.value <= peer.fun + 1e-6
    assert r.lower_bound <= peer.fun


def test_expectation_maximisation_ends_above_in_value_and_far_above_in_gap():
    L = normal_mixture(500, 60)
    r, slow = mixture_proportions(L), em_mixture(L, iterations=2000)
    assert r.value < value(L, slow)
    assert gap(L, r.x) < 1e-6 < gap(L, slow)
    assert len(r.support) < 12


def test_logarithms_and_scales_of_rows_change_nothing_but_the_value():
    L = normal_mixture(300, 40)
    base = mixture_proportions(L)
    np.testing.assert_allclose(mixture_proportions(log_likelihood=np.log(L)).x, base.x, atol=1e-9)
    far = mixture_proportions(log_likelihood=np.log(L) - 5000)
    np.testing.assert_allclose(far.x, base.x, atol=1e-8)
    assert far.value == pytest.approx(base.value + 5000, rel=1e-12)
    tiny = mixture_proportions(L * np.geomspace(1e-200, 1e200, 300)[:, None])
    np.testing.assert_allclose(tiny.x, base.x, atol=1e-8)


def test_minus_infinity_is_a_likelihood_of_zero():
    with np.errstate(divide="ignore"):
        logs = np.log(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(mixture_proportions(log_likelihood=logs).x, [2 / 3, 1 / 3], atol=1e-9)


def test_weights_are_repetitions():
    L = normal_mixture(60, 15)
    times = np.random.default_rng(2).integers(0, 4, 60)
    many = mixture_proportions(np.repeat(L, times, axis=0), rtol=1e-10)
    weighted = mixture_proportions(L, weights=times, rtol=1e-10)
    assert weighted.value == pytest.approx(many.value, abs=1e-9)
    np.testing.assert_allclose(weighted.x, many.x, atol=1e-4)


def test_repeated_components_share_and_the_value_is_the_same():
    L = normal_mixture(100, 10)
    assert mixture_proportions(np.tile(L, 3)).value == pytest.approx(mixture_proportions(L).value, abs=2e-6)


def test_one_component_and_one_observation():
    assert mixture_proportions(np.array([[2.0], [3.0]])).x.tolist() == [1.0]
    r = mixture_proportions(np.array([[0.1, 5.0, 2.0]]))
    assert r.x.tolist() == [0.0, 1.0, 0.0]
    assert r.value == pytest.approx(-np.log(5))


def test_single_precision_is_certified_at_the_rounded_answer():
    L = normal_mixture(300, 30).astype("f")
    r = mixture_proportions(L)
    assert (r.x.dtype, r.certified_in) == (np.float32, "float64")
    x = r.x.astype(np.float64)
    assert gap(L.astype(np.float64), x / x.sum()) <= r.gap < 1e-5


def test_a_warm_start_history_and_limits():
    L = normal_mixture(500, 50)
    r = mixture_proportions(L, history=True)
    assert mixture_proportions(L, x0=r).iterations == 0
    assert r.history[-1].gap <= 1e-6 < r.history[0].gap
    assert mixture_proportions(L, max_iterations=1).status is Status.MAX_ITERATIONS
    assert mixture_proportions(L, callback=lambda s: True).status is Status.STOPPED


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"likelihood": np.array([[1.0, 1.0], [0.0, 0.0]])},
            ValueError,
            "positive entry in every row, got 1 without, .*row 1",
        ),
        (
            {"log_likelihood": np.array([[0.0, 1.0], [-np.inf, -np.inf]])},
            ValueError,
            "finite entry in every row, got 1",
        ),
        ({"likelihood": np.array([[1.0, -1.0]])}, ValueError, "likelihood must be non-negative"),
        ({"likelihood": np.array([[1.0, np.nan]])}, ValueError, "likelihood must be finite"),
        ({"log_likelihood": np.array([[1.0, np.inf]])}, ValueError, "log_likelihood must be finite"),
        ({"likelihood": np.ones((2, 2)), "weights": np.array([1.0, -1.0])}, ValueError, "weights must be non-negative"),
        (
            {"likelihood": np.ones((2, 2)), "weights": np.ones(3)},
            ValueError,
            "weights must have one entry per row, 2, got 3",
        ),
        ({"likelihood": np.eye(2), "x0": np.array([1.0, 0.0])}, ValueError, "x0 must give every observation"),
        ({}, TypeError, "likelihood must be given or log_likelihood, got neither"),
        ({"likelihood": np.eye(2), "log_likelihood": np.eye(2)}, TypeError, "got both"),
        ({"likelihood": np.ones(3)}, ValueError, "likelihood must be a matrix"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        mixture_proportions(**arguments)
