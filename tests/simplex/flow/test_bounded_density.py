"""Frank-Wolfe over bounded densities: the linear minimiser, the gap, and optima in closed form."""

import numpy as np
import pytest

from lina.simplex.flow import Interaction, Internal, Potential, bounded_density_step
from tests.reference.flows import lowest_fill
from tests.simplex.flow.problems import HARMONIC, OU, line


def test_the_direction_fills_the_lowest_sublevel_set():
    rng = np.random.default_rng(0)
    for shape, domain in (((30,), (0, 3)), ((6, 5), ((0, 2), (0, 3)))):
        p, V = rng.uniform(0, 1, shape), rng.standard_normal(shape)
        step = bounded_density_step(Potential(lambda x, V=V: V), p, 1.3, domain=domain)
        np.testing.assert_allclose(step.direction, lowest_fill(V, 1.3, p.sum()), atol=1e-12)
        assert np.all(V[step.direction == 1.3] <= step.level)
        assert np.all(V[step.direction == 0] >= step.level)


def test_of_all_bounded_densities_the_direction_has_the_least_integral():
    rng = np.random.default_rng(1)
    p, V = rng.uniform(0, 1, 40), rng.standard_normal(40)
    q = bounded_density_step(Potential(lambda x: V), p, 1.0, domain=(0, 1)).direction
    for _ in range(200):
        other = rng.permutation(q) * rng.uniform(0, 1)
        other = other + (q.sum() - other.sum()) / 40  # the mass is the same; the bound may not hold
        if np.min(other) >= 0 and np.max(other) <= 1:
            assert other @ V >= q @ V - 1e-12


@pytest.mark.parametrize("energy", [OU, Internal(2) + HARMONIC, HARMONIC + Interaction(lambda z: np.exp(-(z**2)))])
def test_the_gap_bounds_the_distance_from_the_minimum_and_steps_close_it(energy):
    _, h = line(60, -3, 3)
    p = np.full(60, 1 / 6)
    steps = []
    for _ in range(400):
        steps.append(bounded_density_step(energy, p, 0.35, domain=(-3, 3)))
        p = steps[-1].density
        assert h * p.sum() == pytest.approx(1, abs=1e-12)
        assert np.min(p) >= 0
        assert np.max(p) <= 0.35
        assert steps[-1].energy <= steps[-1].energy_before + 1e-14
    best = steps[-1].energy
    assert all(step.energy_before - best <= step.gap for step in steps)
    assert min(step.gap for step in steps) < 0.02


def test_the_optimum_of_a_diffusion_under_a_bound_is_the_cut_stationary_density():
    # for KL the minimiser with q <= C is min(C, c exp(-V))
    x, h = line(100, -5, 5)
    p = np.full(100, 0.1)
    for _ in range(1000):
        p = bounded_density_step(OU, p, 0.25, domain=(-5, 5)).density
    high = np.exp(-(x**2) / 2)
    low_c, high_c = 0.0, 10.0
    for _ in range(100):
        c = (low_c + high_c) / 2
        low_c, high_c = (c, high_c) if h * np.minimum(0.25, c * high).sum() < 1 else (low_c, c)
    assert h * np.sum(np.abs(p - np.minimum(0.25, c * high))) < 0.02


def test_an_entropy_on_an_empty_cell_has_an_infinite_gap_and_is_repaired():
    p = np.array([0.0, 2.0, 1.0, 1.0])
    step = bounded_density_step(OU, p, 2.0, domain=(-1, 1))
    assert step.gap == np.inf
    assert np.min(step.density) > 0
    assert "gap=inf" in repr(step)


def test_a_given_share_is_taken():
    p = np.full(10, 0.1)
    step = bounded_density_step(HARMONIC, p, 0.2, domain=(-5, 5), share=0.25)
    np.testing.assert_allclose(step.density, 0.75 * p + 0.25 * step.direction)
    assert step.share == 0.25


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bound": 0.05}, ValueError, "density must not exceed bound = 0.05, got 0.1"),
        ({"bound": -1.0}, ValueError, "bound must be finite and positive, got -1.0"),
        ({"bound": "a"}, TypeError, "bound must be a number, got str"),
        ({"bound": 1.0, "share": 1.5}, ValueError, r"share must be in 0..1, got 1.5"),
    ],
)
def test_wrong_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        bounded_density_step(HARMONIC, np.full(10, 0.1), options.pop("bound"), domain=(-5, 5), **options)
