"""The blob method: the gradient of an energy, its accuracy, and the density that is carried along."""

import numpy as np
import pytest
from scipy.stats import norm

from lina.simplex.flow import Entropy, Interaction, Internal, Potential, particle_flow
from lina.simplex.flow import _on_particles as on_particles
from lina.simplex.flow._on_particles import ParticleEnergy
from tests.reference.flows import (
    blob_energy,
    interaction_energy,
    normal,
    ornstein_uhlenbeck,
    score_of_kernel_estimate,
    slope_of,
)
from tests.simplex.flow.problems import HARMONIC, HARMONIC_IN_SPACE, LOG_GAS, OU, QUADRATIC, falls


def normal_points(n, mean=2.0, deviation=0.5):
    return mean + deviation * norm.ppf((np.arange(n) + 0.5) / n)


DIFFUSIONS = {"entropy": (Entropy(0.7), lambda r: 0.7 * np.log(r)), "m=3": (Internal(3, 2), lambda r: r**2)}


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("name", DIFFUSIONS)
def test_the_velocity_is_minus_the_gradient_of_the_blurred_energy(name, d):
    energy, f = DIFFUSIONS[name]
    rng = np.random.default_rng(d)
    x, w = rng.standard_normal((7, d)), rng.uniform(0.1, 0.3, 7)
    state = ParticleEnergy(np, energy, w, False, 0.6).at(x)
    assert state.energy == pytest.approx(blob_energy(x, w, 0.6, f))
    slope = slope_of(lambda x: blob_energy(x, w, 0.6, f), x)
    np.testing.assert_allclose(state.velocity, -slope / w[:, None], atol=1e-7)
    assert state.dissipation == pytest.approx(np.sum(slope**2 / w[:, None]), rel=1e-6)


def test_an_interaction_pulls_along_its_gradient_without_the_point_itself():
    x, w = np.random.default_rng(0).standard_normal((6, 2)), np.full(6, 0.5)
    energy = Interaction(lambda z: np.log((z**2).sum(-1)) + (z**2).sum(-1))
    state = ParticleEnergy(np, energy, w, False, None).at(x)
    alone = lambda x: interaction_energy(x, w, lambda z: np.log(z @ z) + z @ z)  # noqa: E731
    assert state.energy == pytest.approx(alone(x))
    np.testing.assert_allclose(state.velocity, -slope_of(alone, x) / 0.5, atol=1e-6)


@pytest.mark.parametrize("energy", [Entropy(), Internal(2), LOG_GAS, HARMONIC, OU, Interaction(np.cos)])
def test_the_divergence_is_that_of_the_velocity_field(energy):
    """A test particle without mass sees the field of the others: its divergence is a difference quotient there."""
    x, w = np.random.default_rng(1).standard_normal(9), np.full(9, 1 / 9)
    for i in range(9):
        h, seen = 1e-5, []
        for place in (x[i] - h, x[i] + h):
            moved, mass = np.append(x, place), np.append(w, 1e-12)
            if energy.interactions:  # the field of the other points only
                moved, mass = np.delete(moved, i), np.delete(mass, i)
            seen.append(ParticleEnergy(np, energy, mass, True, 0.5).at(moved[:, None]).velocity[-1, 0])
        found = ParticleEnergy(np, energy, w, True, 0.5).at(x[:, None], True).divergence[i]
        assert found == pytest.approx((seen[1] - seen[0]) / (2 * h), rel=1e-4, abs=1e-4)


def test_blocks_of_pairs_change_nothing(monkeypatch):
    x, w = np.random.default_rng(2).standard_normal((23, 2)), np.full(23, 1 / 23)
    energy = Entropy() + HARMONIC_IN_SPACE + Interaction(lambda z: (z**2).sum(-1))
    whole = ParticleEnergy(np, energy, w, False, 0.3).at(x, True)
    monkeypatch.setattr(on_particles, "_BLOCK", 5 * 23 * 2)
    parts = ParticleEnergy(np, energy, w, False, 0.3).at(x, True)
    np.testing.assert_allclose(parts.velocity, whole.velocity, rtol=1e-12)
    np.testing.assert_allclose(parts.divergence, whole.divergence, rtol=1e-12)


def test_the_blob_is_several_times_better_than_the_score_of_a_kernel_estimate():
    x, width = normal_points(200), 0.1
    _, variance = ornstein_uhlenbeck(1.0, 2, 0.25)
    blob = particle_flow(OU, x, [0, 1], bandwidth=width).points[-1].var() - variance
    plain = x
    for _ in range(1000):
        plain = plain + 0.001 * (-score_of_kernel_estimate(plain, width) - plain)
    assert abs(blob) < 8e-3
    assert abs(plain.var() - variance) > 5 * abs(blob)


def test_the_blob_converges_to_ornstein_uhlenbeck():
    mean, variance = ornstein_uhlenbeck(1.0, 2, 0.25)
    errors = []
    for n in (50, 200, 800):
        flow = particle_flow(OU, normal_points(n), [0, 1], rtol=1e-4)
        assert abs(flow.points[-1].mean() - mean) < 1e-4
        errors.append(abs(flow.points[-1].var() - variance))
    assert errors[0] > 2 * errors[1] > 3 * errors[2]
    assert errors[2] < 3e-3


def test_ornstein_uhlenbeck_in_three_dimensions():
    x = 0.5 * np.random.default_rng(3).standard_normal((600, 3)) + 1
    flow = particle_flow(Entropy() + HARMONIC_IN_SPACE, x, [0, 1], rtol=1e-3)
    assert np.max(np.abs(flow.points[-1].mean(axis=0) - x.mean(axis=0) * np.exp(-1))) < 1e-3
    _, variance = ornstein_uhlenbeck(1.0, 1, 0.25)
    assert flow.points[-1].var(axis=0).mean() == pytest.approx(variance, rel=0.1)
    assert flow.bandwidth == pytest.approx(0.5 * 3**0.5 * 600 ** (-1 / 7), rel=0.05)


@pytest.mark.parametrize(
    "energy", [OU, Internal(2), QUADRATIC, LOG_GAS, Entropy(0.2) + Potential(lambda x: x**4 - x**2)]
)
def test_the_energy_falls_and_the_balance_closes(energy):
    x = np.random.default_rng(4).standard_normal(60)
    flow = particle_flow(energy, x, np.linspace(0, 2, 9), rtol=1e-6)
    assert flow.status == "converged"
    assert falls(flow.energy)
    assert flow.relative_defect < (1e-3 if energy is LOG_GAS else 1e-4)  # points that start near each other burst apart
    assert flow.mass_error == 0


def test_quadratic_aggregation_contracts_exactly():
    x = np.random.default_rng(5).standard_normal((30, 2))
    energy = Interaction(lambda z: (z**2).sum(-1) / 2, gradient=lambda z: z)
    flow = particle_flow(energy, x, [0, 0.5, 1], rtol=1e-9)
    for t, y in zip(flow.times, flow.points, strict=True):
        np.testing.assert_allclose(y - x.mean(axis=0), (x - x.mean(axis=0)) * np.exp(-t), atol=1e-8)


def test_points_of_a_log_gas_come_to_rest_at_the_zeros_of_a_hermite_polynomial():
    n = 12
    flow = particle_flow(LOG_GAS, np.linspace(-1, 1, n), [0, 30], rtol=1e-9)
    zeros = np.polynomial.hermite.hermgauss(n)[0] / np.sqrt(n)
    np.testing.assert_allclose(np.sort(flow.points[-1]), zeros, atol=1e-7)


def test_a_potential_carries_the_density_along_exactly():
    x = np.linspace(-6, 6, 401)
    flow = particle_flow(HARMONIC, x, [0, 0.5, 1], log_density=norm.logpdf(x), rtol=1e-9)
    for t, y, log_p in zip(flow.times, flow.points, flow.log_density, strict=True):
        np.testing.assert_allclose(np.exp(log_p), normal(y, 0, np.exp(-2 * t)), rtol=1e-7)
        assert np.trapezoid(np.exp(log_p), y) == pytest.approx(1, abs=1e-7)
    plane = np.random.default_rng(6).standard_normal((50, 2))
    saddle = Potential(lambda x: (x[..., 0] ** 2 - x[..., 1] ** 2 / 2) / 2)
    flow = particle_flow(saddle, plane, [0, 1], log_density=-(plane**2).sum(1) / 2, rtol=1e-8)
    np.testing.assert_allclose(flow.log_density[-1], -(plane**2).sum(1) / 2 + 0.5, atol=1e-6)


def test_the_density_carried_along_is_that_of_ornstein_uhlenbeck_and_integrates_to_one():
    mean, variance = ornstein_uhlenbeck(1.0, 2, 0.25)
    errors = []
    for n, width in ((100, 0.4), (400, 0.35)):
        x = normal_points(n)
        flow = particle_flow(OU, x, [0, 1], bandwidth=width, log_density=norm.logpdf(x, 2, 0.5), rtol=1e-5)
        p = np.exp(flow.log_density[-1])
        errors.append(np.max(np.abs(p - normal(flow.points[-1], mean, variance))))
        assert np.trapezoid(p, flow.points[-1]) == pytest.approx(1, abs=0.005)
    assert errors[0] < 0.01
    assert errors[1] < 0.004


def test_masses_weigh_and_points_that_coincide_do_not_see_each_other():
    weights = np.array([1.0, 2.0, 3.0])
    flow = particle_flow(QUADRATIC, np.array([0.0, 0.0, 2.0]), [0, 1], weights=weights, rtol=1e-8)
    np.testing.assert_allclose(flow.points[-1], [1 - np.exp(-6), 1 - np.exp(-6), 1 + np.exp(-6)], atol=1e-6)
    still = particle_flow(LOG_GAS, np.array([1.0, 1.0]), [0, 1])
    np.testing.assert_array_equal(still.points[-1], [1.0, 1.0])


def test_steps_that_run_out_or_shrink_to_nothing_are_reported():
    x = np.linspace(-1, 2, 20)
    short = particle_flow(OU, x, [0, 0.01, 100], max_steps=20)
    assert short.status == "max_iterations"
    assert len(short.times) == len(short.points) == 2
    kink = particle_flow(Interaction(abs, gradient=np.sign), x, [0, 0.5, 3])
    assert kink.status in ("stopped", "max_iterations")
    assert len(kink.times) == 2


@pytest.mark.torch
def test_torch_points_flow_like_numpy_points():
    import torch

    x = np.random.default_rng(7).standard_normal((40, 2))
    energy = Entropy() + HARMONIC_IN_SPACE
    mine = particle_flow(energy, torch.asarray(x), [0, 0.5], log_density=torch.zeros(40, dtype=torch.float64))
    theirs = particle_flow(energy, x, [0, 0.5], log_density=np.zeros(40))
    assert isinstance(mine.points, torch.Tensor)
    np.testing.assert_allclose(mine.points.numpy(), theirs.points, atol=1e-10)
    np.testing.assert_allclose(mine.log_density.numpy(), theirs.log_density, atol=1e-8)
    single = particle_flow(energy, torch.asarray(x, dtype=torch.float32), [0, 0.5])
    assert single.points.dtype == torch.float32
    np.testing.assert_allclose(single.points.numpy(), theirs.points, atol=1e-3)
