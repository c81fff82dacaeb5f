"""One test per line of docs/conventions.rst on probability distributions, under the label of the line."""

import numpy as np
import pytest

from lina.simplex import (
    cross_entropy,
    entmax,
    entmax_loss,
    entmax_vjp,
    frank_wolfe_gap,
    minimize,
    project_simplex,
    simplex_qp,
    softmax,
    sparsemax,
    sparsemax_loss,
    topk_softmax,
)
from lina.simplex.flow import Entropy, Potential, grid_flow

MAPS = [softmax, sparsemax, entmax, project_simplex]
inf, nan = np.inf, np.nan


@pytest.mark.parametrize("mapping", MAPS)
def test_c50_the_last_axis_counts_and_what_is_left_out_is_zero(mapping):
    x = np.random.default_rng(0).standard_normal((4, 5))
    where = np.array([True, False, True, True, False])
    np.testing.assert_array_equal(mapping(x, axis=0), mapping(x.T).T)
    p = mapping(x, where=where)
    assert np.all(p[:, ~where] == 0)
    np.testing.assert_allclose(p[:, where], mapping(x[:, where]), atol=1e-15)
    assert np.all(entmax_vjp(p, np.ones_like(p) * np.arange(5))[:, ~where] == 0)


@pytest.mark.parametrize("mapping", MAPS)
def test_c51_offsets_infinities_and_nan(mapping):
    x = np.array([[0.0, 1, 2], [inf, 0, 1], [inf, inf, 0], [0, nan, 1], [-inf] * 3])
    p = mapping(x)
    np.testing.assert_array_equal(mapping(x[0] + 2.0**40), p[0])
    np.testing.assert_array_equal(p[1:3], [[1, 0, 0], [0.5, 0.5, 0]])
    assert np.isnan(p[3:]).all()
    assert np.isfinite(p[:3]).all()


def test_c52_ties():
    tied = np.array([1.0, 1.0, 1.0, 0.0])
    for mapping in MAPS:
        p = mapping(tied)
        assert p[0] == p[1] == p[2]
    np.testing.assert_array_equal(topk_softmax(tied, 2), [0.5, 0.5, 0, 0])


def test_c53_the_gap_bounds_the_excess():
    rng = np.random.default_rng(1)
    F = rng.standard_normal((8, 6))
    Q, x = F.T @ F, softmax(rng.standard_normal(6))
    gap = frank_wolfe_gap(x, Q @ x)
    assert gap == pytest.approx(x @ Q @ x - (Q @ x).min())
    assert x @ Q @ x / 2 - simplex_qp(Q, rtol=1e-10).value <= gap
    constant = np.float32(1e3) + (Q @ x).astype(np.float32)
    assert frank_wolfe_gap(x.astype(np.float32), constant) == pytest.approx(gap, rel=1e-3)


def test_c54_nothing_is_certified_of_an_objective_that_may_not_be_convex():
    def square(x):
        return float(x @ x), 2 * x

    unknown, known = minimize(square, n=4), minimize(square, n=4, convex=True)
    assert (unknown.certified, unknown.lower_bound) == (False, None)
    assert known.certified
    assert known.lower_bound == known.value - known.gap


def test_c55_convergence():
    A = np.random.default_rng(2).standard_normal((30, 20))
    Q = A.T @ A
    for options in ({"rtol": 1e-3}, {"rtol": 0.0, "atol": 1e-2}):
        found = simplex_qp(Q, **options)
        assert found.status == "converged"
        assert found.gap <= options.get("atol", 0.0) + options["rtol"] * abs(found.value)
        assert found.relative_gap == found.gap / max(abs(found.value), 1e-300)


def test_c56_losses_are_per_row_and_zero_for_the_target_alone():
    scores = np.array([[5.0, 0, 0], [0.0, 5, 0], [1.0, 0.9, 0]])
    for loss in (cross_entropy, sparsemax_loss, entmax_loss):
        found = loss(scores, np.array([0, 1, 0]))
        assert found.shape == (3,)
        assert found[2] > 0
    np.testing.assert_array_equal(sparsemax_loss(scores, np.array([0, 1, 0]))[:2], 0)


def test_c57_flows_keep_mass_and_sign_and_lose_energy():
    x = np.linspace(-4, 4, 81)[1:] - 0.05
    start = np.where(np.abs(x - 1) < 0.5, 1.0, 0.0)
    energy = Entropy() + Potential(lambda x: x**2 / 2)
    flow = grid_flow(energy, start, np.linspace(0, 1, 11), domain=(-4, 4))
    assert flow.mass_error <= 1e-14
    assert (flow.density >= 0).all()
    assert (np.diff(flow.energy) <= 0).all()
    assert np.isfinite(flow.defect).all()
