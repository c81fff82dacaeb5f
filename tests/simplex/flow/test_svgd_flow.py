"""Stein variational gradient descent: its velocity, its discrepancy, its warning, and what the warning is about."""

import warnings

import numpy as np
import pytest

from lina._core.errors import AccuracyWarning
from lina.simplex.flow import Entropy, Interaction, Internal, Potential, svgd_flow
from lina.simplex.flow._points import check_points
from lina.simplex.flow.svgd import _state, median_bandwidth
from tests.reference.flows import stein_discrepancy, stein_velocity
from tests.simplex.flow.problems import HARMONIC, HARMONIC_IN_SPACE, OU

TARGET = 0.5 * Entropy() + 0.5 * HARMONIC_IN_SPACE


def test_velocity_and_discrepancy_are_the_double_sums():
    x = np.random.default_rng(0).standard_normal((9, 3))
    state = _state(check_points(x), TARGET, 0.8, x)
    np.testing.assert_allclose(state.velocity, 0.5 * stein_velocity(x, -x, 0.8), atol=1e-14)
    assert state.dissipation == pytest.approx(0.25 * stein_discrepancy(x, -x, 0.8))


def test_the_bandwidth_is_the_median_distance():
    x = np.array([[0.0], [1.0], [3.0]])
    assert median_bandwidth(np, x) == pytest.approx(1 / np.sqrt(2 * np.log(4)))
    assert median_bandwidth(np, x * 0) == 1.0


def test_the_warning_comes_always_and_says_what_to_take():
    with pytest.warns(AccuracyWarning, match=r"collapses in high dimensions \(here 1, with 20 points\): particle_flow"):
        flow = svgd_flow(OU, np.linspace(2, 3, 20), [0, 1])
    assert flow.energy is flow.defect is None
    assert flow.dissipation[1] < flow.dissipation[0]


@pytest.mark.parametrize(("d", "low", "high"), [(1, 0.9, 1.05), (10, 0.3, 0.55), (50, 0.05, 0.15), (100, 0.02, 0.09)])
def test_the_variance_collapses_as_documented(d, low, high):
    x = np.random.default_rng(1).standard_normal((100, d)) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        flow = svgd_flow(Entropy() + HARMONIC_IN_SPACE, x, [0, 200])
    assert low < flow.points[-1].var(axis=0).mean() < high
    assert np.max(np.abs(flow.points[-1].mean(axis=0))) < 0.1


@pytest.mark.parametrize(
    ("energy", "message"),
    [
        (HARMONIC, "energy must have an Entropy for svgd_flow, got none"),
        (OU + Internal(2), "energy must have no Internal for svgd_flow, got one"),
        (OU + Interaction(abs), "energy must have no Interaction for svgd_flow, got one"),
    ],
)
def test_energies_without_a_target_are_refused(energy, message):
    with pytest.raises(ValueError, match=message):
        svgd_flow(energy, np.zeros(3), [0, 1])


def test_a_score_that_is_not_finite_is_named():
    bad = Entropy() + Potential(lambda x: x, gradient=lambda x: x * np.nan)
    with pytest.warns(AccuracyWarning), pytest.raises(ValueError, match="the gradient of V must be finite"):
        svgd_flow(bad, np.zeros(3), [0, 1])
