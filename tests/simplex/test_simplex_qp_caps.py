"""Quadratics over the simplex with upper bounds: the best of all faces, entries on their bounds, no gradients."""

import numpy as np
import pytest

from lina._core.certificates import Status
from lina._core.errors import GradientError
from lina.simplex import frank_wolfe_gap, simplex_qp
from tests.reference.simplex_problems import exhaustive_capped_qp


def capped_problem(rng):
    n = int(rng.integers(1, 5))
    A = rng.standard_normal((int(rng.integers(1, n + 2)), n)) * 10.0 ** rng.uniform(-2, 2, n)
    upper = rng.random(n) + 0.01
    return A, rng.standard_normal(n) * rng.integers(0, 2), upper * rng.choice([1.0, 1.1, 5.0]) / upper.sum()


def test_caps_are_kept_and_the_gap_bounds_the_distance_to_the_best_of_all_faces():
    rng = np.random.default_rng(8)
    for trial in range(300):
        A, c, upper = capped_problem(rng)
        Q = A.T @ A
        given = {"Q": Q} if trial % 2 else {"factor": A.T}
        result = simplex_qp(c=c, upper=upper, rtol=float(rng.choice([1e-3, 1e-9])), **given)
        _, least = exhaustive_capped_qp(Q, c, upper)
        assert np.all(result.x >= 0)
        assert np.all(result.x <= upper)
        assert result.x.sum() == pytest.approx(1, abs=1e-14)
        slack = 1e-9 * max(1.0, np.abs(Q).max())  # of the reference
        assert -slack <= result.value - least <= result.gap + slack
        gap = frank_wolfe_gap(result.x, Q @ result.x + c, upper=upper)
        assert gap <= result.gap * (1 + 1e-6) + 1e-13 * np.abs(Q).max()


def test_caps_of_ill_conditioned_quadratics_are_left_to_the_barrier():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((42, 40)) * 10.0 ** rng.uniform(-4, 4, 40)
        upper = rng.random(40)
        result = simplex_qp(A.T @ A, rng.standard_normal(40), upper=upper)
        assert result.status is Status.CONVERGED
        assert np.all(result.x <= upper)


def test_a_cap_that_does_not_bind_changes_nothing_and_one_that_binds_fills_the_cheapest():
    Q = np.cov(np.random.default_rng(9).standard_normal((30, 90)))
    free = simplex_qp(Q, rtol=1e-12)
    capped = simplex_qp(Q, upper=1.0, rtol=1e-12)
    np.testing.assert_allclose(capped.x, free.x, atol=1e-9)
    linear = simplex_qp(np.zeros((4, 4)), [3.0, 1.0, 2.0, 0.0], upper=0.4)
    np.testing.assert_allclose(linear.x, [0, 0.4, 0.2, 0.4], atol=1e-12)
    assert simplex_qp(Q, upper=capped.x, x0=capped).value == pytest.approx(capped.value)
    single = simplex_qp(Q.astype("f"), upper=0.07)
    assert single.x.dtype == np.float32
    assert np.all(single.x <= 0.07)


def test_with_caps_an_entry_is_exactly_on_a_bound_unless_its_reduced_cost_is_zero():
    F = np.random.default_rng(0).standard_normal((2000, 20))
    given = {"factor": F, "diagonal": np.full(2000, 0.1), "c": F[:, 0], "rtol": 1e-10}
    free, capped = simplex_qp(**given), simplex_qp(upper=1.0, **given)
    np.testing.assert_array_equal(capped.support, free.support)
    assert capped.certified
    assert capped.relative_gap <= 1e-10
    rng = np.random.default_rng(10)
    for n in (20, 200, 500):
        A = rng.standard_normal((n, n))
        for upper in (1.0, 0.06, 1.5 / n, rng.uniform(1, 4, n) / n):
            found = simplex_qp(A @ A.T / n, A[0], upper=upper, rtol=1e-12)
            between = (found.x > 0) & (found.x < upper)
            assert np.all(np.abs(found.reduced_costs[between]) <= 1e-6 * np.ptp(found.reduced_costs))


def test_capped_weights_of_tensors_have_no_gradient():
    torch = pytest.importorskip("torch")
    Q = torch.eye(3, dtype=torch.float64)
    assert torch.allclose(simplex_qp(Q, upper=0.5).x, torch.full((3,), 1 / 3, dtype=torch.float64))
    with pytest.raises(GradientError, match="simplex_qp with upper has no gradient with respect to Q"):
        simplex_qp(Q.requires_grad_(), upper=0.5)
