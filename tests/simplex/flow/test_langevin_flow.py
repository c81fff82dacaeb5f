"""Langevin dynamics: the scheme, its stationary law, and moments within their sampling error."""

import numpy as np
import pytest

from lina.simplex.flow import Entropy, Interaction, Internal, Potential, langevin_flow
from tests.reference.flows import langevin, ornstein_uhlenbeck
from tests.simplex.flow.problems import HARMONIC, HARMONIC_IN_SPACE, OU


def test_the_steps_are_those_of_leimkuhler_and_matthews():
    x = np.random.default_rng(0).standard_normal((5, 2))
    flow = langevin_flow(Entropy() + HARMONIC_IN_SPACE, x, [0, 0.3], step=0.1, rng=np.random.default_rng(3))
    expected = langevin(x, lambda x: x, 0.1, 3, np.random.default_rng(3))
    np.testing.assert_allclose(flow.points[-1], expected, rtol=1e-13)


def test_moments_are_those_of_ornstein_uhlenbeck_within_the_sampling_error():
    n = 40_000
    start = 2 + 0.5 * np.random.default_rng(1).standard_normal(n)
    flow = langevin_flow(OU, start, [0, 1], step=0.01, rng=2)
    mean, variance = ornstein_uhlenbeck(1.0, 2, 0.25)
    assert abs(flow.points[-1].mean() - mean) < 4 / np.sqrt(n) + 0.01
    assert abs(flow.points[-1].var() - variance) < 6 / np.sqrt(n) + 0.01


def test_the_stationary_law_of_a_quadratic_potential_is_exact_for_large_steps():
    flow = langevin_flow(0.5 * Entropy() + HARMONIC, np.zeros(40_000), [0, 20], step=0.5, rng=4)
    assert abs(flow.points[-1].var() - 0.5) < 0.5 * 5 * np.sqrt(2 / 40_000)  # Euler's steps would have 0.67


def test_an_interaction_keeps_the_mean_and_draws_together():
    start = np.random.default_rng(5).standard_normal(500) * 2
    energy = 0.1 * Entropy() + Interaction(lambda z: z**2 / 2, gradient=lambda z: z)
    flow = langevin_flow(energy, start, [0, 5], step=0.02, rng=6)
    assert abs(flow.points[-1].mean() - start.mean()) < 0.15
    assert flow.points[-1].var() == pytest.approx(0.1, rel=0.3)


def test_there_is_no_certificate_and_seeds_repeat():
    flows = [langevin_flow(OU, np.zeros(10), [0, 1], rng=7) for _ in range(2)]
    assert flows[0].energy is flows[0].defect is flows[0].relative_defect is None
    np.testing.assert_array_equal(flows[0].points, flows[1].points)
    assert "mass_error=0" in repr(flows[0])


def test_an_internal_energy_is_refused():
    with pytest.raises(ValueError, match="energy must have no Internal for langevin_flow, got one"):
        langevin_flow(Internal(2) + Potential(abs), np.zeros(3), [0, 1])
