"""Energies: values, first variations, derivatives of the functions that are given, and their checks."""

import numpy as np
import pytest

from lina.simplex.flow import Entropy, Interaction, Internal, Potential, kullback_leibler
from tests.reference.flows import Barenblatt, divergence_from_standard, normal
from tests.simplex.flow.problems import HARMONIC, OU, line

ALL = {
    "entropy": Entropy(0.7),
    "porous": Internal(2.5, 0.3),
    "potential": Potential(lambda x: np.cos(x) + x),
    "interaction": Interaction(lambda z: np.exp(-(z**2))),
    "log": Interaction(lambda z: -np.log(abs(z))),
    "sum": 2 * Entropy() + Internal(2) + 0.5 * Potential(np.sin) + Interaction(abs) * 3,
}


@pytest.mark.parametrize("name", ALL)
def test_the_first_variation_is_the_derivative_of_the_value(name):
    rng = np.random.default_rng(0)
    p, change = rng.uniform(0.5, 2, 40), rng.standard_normal(40)
    domain, t = (-1.0, 3.0), 1e-5
    slope = (ALL[name].value(p + t * change, domain) - ALL[name].value(p - t * change, domain)) / (2 * t)
    expected = np.sum(ALL[name].first_variation(p, domain) * change) * 0.1
    assert slope == pytest.approx(expected, rel=1e-7)


def test_the_first_variation_on_a_plane_is_the_derivative_of_the_value():
    energy = Entropy() + Potential(lambda x: x[..., 0] * x[..., 1]) + Interaction(lambda z: np.log((z**2).sum(-1)))
    rng = np.random.default_rng(1)
    p, change, domain = rng.uniform(0.5, 2, (8, 6)), rng.standard_normal((8, 6)), ((0, 4), (-1, 1))
    slope = (energy.value(p + 1e-5 * change, domain) - energy.value(p - 1e-5 * change, domain)) / 2e-5
    expected = np.sum(energy.first_variation(p, domain) * change) * 0.5 / 3
    assert slope == pytest.approx(expected, rel=1e-7)


def test_values_converge_to_those_of_the_continuum():
    x, _ = line(4000, -10, 10)
    p = normal(x, 0.3, 0.8)
    domain = (-10, 10)
    assert Entropy().value(p, domain) == pytest.approx(-0.5 * np.log(2 * np.pi * np.e * 0.8), abs=1e-9)
    assert Internal(2).value(p, domain) == pytest.approx(1 / np.sqrt(4 * np.pi * 0.8), abs=1e-9)
    assert HARMONIC.value(p, domain) == pytest.approx((0.8 + 0.09) / 2, abs=1e-5)
    assert Interaction(lambda z: z**2 / 2).value(p, domain) == pytest.approx(0.4, abs=1e-5)
    # E log|x - y| of two independent normal numbers: their difference has variance 1.6
    log = Interaction(lambda z: np.log(abs(z))).value(p, domain)
    assert log == pytest.approx((np.log(1.6) - np.euler_gamma - np.log(2)) / 4, abs=1e-6)


def test_kl_to_a_target_is_the_divergence():
    x, _ = line(4000, -10, 10)
    target = kullback_leibler(lambda x: -(x**2) / 2 - np.log(2 * np.pi) / 2, score=lambda x: -x)
    assert target.value(normal(x, 1.2, 0.3), (-10, 10)) == pytest.approx(divergence_from_standard(1.2, 0.3), abs=1e-5)


def test_the_variation_of_an_internal_energy_is_level_minus_the_potential_in_equilibrium():
    solution = Barenblatt(2)
    edges = np.linspace(-0.9, 0.9, 101) * solution.radius(1)
    p, x = solution.averages(edges, 1.0), (edges[1:] + edges[:-1]) / 2
    energy = Internal(2) + Potential(lambda x: solution.k * x**2 / 2)
    xi = energy.first_variation(p, (edges[0], edges[-1]))
    assert np.ptp(xi) < 1e-3
    assert x.size == 100


@pytest.mark.parametrize("with_gradient", [True, False])
def test_derivatives_by_differences_agree_with_the_true_ones(with_gradient):
    gradient = (lambda x: np.stack([np.cos(x[..., 0]), 4 * x[..., 1]], axis=-1)) if with_gradient else None
    field = Potential(lambda x: np.sin(x[..., 0]) + 2 * x[..., 1] ** 2, gradient).field
    x = np.random.default_rng(2).uniform(-3, 3, (20, 2))
    true = np.stack([np.cos(x[:, 0]), 4 * x[:, 1]], axis=-1)
    np.testing.assert_allclose(field.gradient_at(x, False), true, atol=1e-9)
    np.testing.assert_allclose(field.laplacian_at(x, False), 4 - np.sin(x[:, 0]), atol=1e-8 if with_gradient else 2e-6)


def test_sums_and_multiples_are_linear():
    p = np.random.default_rng(3).uniform(0.5, 2, 10)
    energy = 2 * (Entropy() + HARMONIC) + Internal(3) * 0.5
    parts = 2 * Entropy().value(p, (0, 1)) + 2 * HARMONIC.value(p, (0, 1)) + 0.5 * Internal(3).value(p, (0, 1))
    assert energy.value(p, (0, 1)) == pytest.approx(parts)
    assert energy.temperature == 2


def test_an_empty_cell_has_an_infinitely_low_variation_under_an_entropy():
    assert OU.first_variation(np.array([0.0, 1.0]), (0, 1))[0] == -np.inf
    assert OU.value(np.array([0.0, 1.0]), (0, 1)) < np.inf


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Internal(1.0), ValueError, "m must be finite and above 1, got 1.0"),
        (lambda: Entropy(-1.0), ValueError, "weight must be finite and positive, got -1.0"),
        (lambda: -1 * Entropy(), ValueError, "weight must be finite and positive, got -1.0"),
        (lambda: Potential(lambda x: x, weight=np.inf), ValueError, "weight must be finite, got inf"),
        (lambda: Potential("V"), TypeError, "V must be callable, got str"),
        (lambda: Interaction(abs, gradient=3), TypeError, "gradient must be callable, got int"),
        (lambda: Entropy("a"), TypeError, "weight must be a number, got str"),
        (lambda: Entropy() + 3, TypeError, "unsupported operand"),
        (lambda: Entropy() * Entropy(), TypeError, "unsupported operand"),
    ],
)
def test_a_wrong_energy_is_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("energy", "message"),
    [
        (Potential(lambda x: np.where(x > 0, np.nan, x)), "V must be finite, got 5 NaN or infinite of 10 entries"),
        (Potential(lambda x: 1.0), "V must return an array of shape .10,. for points .10,., got float"),
        (Potential(lambda x: x[:3]), "V must return an array of shape .10,. for points .10,., got shape .3,."),
        (Interaction(lambda z: z), "W must be even"),
        (Interaction(lambda z: np.where(z > 0.5, np.inf, 0)), "W must be finite"),
    ],
)
def test_a_function_that_misbehaves_is_named(energy, message):
    with pytest.raises(ValueError, match=message):
        energy.value(np.ones(10), (-1, 1))
