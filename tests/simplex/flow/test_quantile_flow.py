"""JKO steps by quantiles: closed forms, virials, orders, contraction, and quantiles that meet."""

import numpy as np
import pytest
from scipy.stats import norm

from lina.simplex.flow import Entropy, Interaction, Internal, Potential, quantile_flow
from lina.simplex.flow._on_quantiles import QuantileEnergy
from tests.reference.flows import Barenblatt, observed_orders, ornstein_uhlenbeck, semicircle, slope_of, wasserstein
from tests.simplex.flow.problems import (
    DOUBLE_WELL,
    HARMONIC,
    LOG_GAS,
    NEWTONIAN,
    OU,
    QUADRATIC,
    falls,
)

MANY = {
    "OU": OU,
    "cold double well": Entropy(0.05) + DOUBLE_WELL,
    "porous 3": Internal(3),
    "mixed": Entropy(0.1) + Internal(2) + HARMONIC,
    "transport": Potential(lambda x: np.cos(4 * x)),
    "aggregation": QUADRATIC,
    "kink": NEWTONIAN,
    "log gas": LOG_GAS,
    "attracting": Entropy() + Interaction(lambda z: -3 * np.exp(-(z**2))),
    "repelling": Internal(2) + Interaction(lambda z: np.exp(-4 * z**2)),
}


def graded(n):
    """Return levels that crowd at both ends."""
    return (1 - np.cos(np.linspace(0, np.pi, n))) / 2


def gaussian_levels(n, ends=6.0):
    """Return standard normal quantiles up to ``ends`` with their levels."""
    z = np.linspace(-ends, ends, n)
    levels = norm.cdf(z)
    return z, (levels - levels[0]) / (levels[-1] - levels[0])


def moments(flow, i):
    mean = flow.weights @ flow.quantiles[i]
    return mean, flow.weights @ (flow.quantiles[i] - mean) ** 2


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("step", [0.02, 1.0])
@pytest.mark.parametrize("name", MANY)
def test_order_mass_and_the_fall_of_the_energy_are_kept_by_steps_of_any_length(name, step, order):
    start = np.linspace(-1, 2, 31) + 0.1 * np.sin(np.arange(31))
    times = np.linspace(0, 0.4 if step < 1 else 10.0, 6)
    flow = quantile_flow(MANY[name], start, times, step=step, order=order)
    assert flow.status == "converged"
    assert flow.mass_error == 0
    assert np.min(np.diff(flow.quantiles)) >= 0
    assert falls(flow.energy)
    if order == 1:
        assert flow.defect[-1] <= 1e-12 or name in (
            "transport",
            "cold double well",
            "attracting",
            "repelling",
            "log gas",
        )


@pytest.mark.parametrize("order", [1, 2])
def test_moments_of_linear_flows_are_those_of_the_steps_in_time_alone(order):
    z, levels = gaussian_levels(41)
    flow = quantile_flow(OU, 2 + 0.5 * z, [0, 0.1, 0.2], levels=levels, step=0.1, order=order)
    gamma = 1 - np.sqrt(0.5)
    # what a step does to dx/dt = -x, and so to the mean
    factor = 1 / 1.1 if order == 1 else (1 - (1 - 2 * gamma) * 0.1) / (1 + gamma * 0.1) ** 2
    for i in range(3):
        assert moments(flow, i)[0] == pytest.approx(moments(flow, 0)[0] * factor**i, rel=1e-12)
    still = quantile_flow(OU, 2 + 0.5 * z, [0, 1, 40], levels=levels, order=order)
    assert abs(moments(still, -1)[1] - 1) < 1e-12


def test_ornstein_uhlenbeck_is_followed_with_order_two():
    z, levels = gaussian_levels(101)
    errors = []
    for step in (0.1, 0.05, 0.025):
        flow = quantile_flow(OU, 2 + 0.5 * z, [0, 1], levels=levels, step=step)
        mean, variance = ornstein_uhlenbeck(1.0, *moments(flow, 0))
        found = moments(flow, 1)
        errors.append([abs(found[0] - mean), abs(found[1] - variance), abs(flow.defect[-1])])
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.min(orders[:, :2]) > 1.9
    assert np.min(orders[:, 2]) > 1.7
    assert max(errors[-1][:2]) < 1e-4


def test_the_variance_of_heat_grows_by_two_t_on_every_mesh_with_order_two():
    for n in (11, 101):
        z, levels = gaussian_levels(n, 4.0)
        errors = []
        for step in (0.1, 0.05, 0.025):
            flow = quantile_flow(Entropy(), z, [0, 1], levels=levels, step=step)
            errors.append(abs(moments(flow, 1)[1] - moments(flow, 0)[1] - 2))
        assert min(observed_orders(errors)) > 1.9
        assert errors[-1] < 1e-3


@pytest.mark.parametrize("m", [2, 3])
def test_barenblatt_is_followed_with_its_support_on_a_graded_mesh(m):
    solution, errors = Barenblatt(m), []
    for n in (51, 101, 201):
        levels = graded(n)
        flow = quantile_flow(Internal(m), solution.quantiles(levels, 1.0), [1, 2], levels=levels, step=2 / n)
        exact = solution.quantiles(levels, 2.0)
        errors.append(wasserstein(flow.weights, flow.quantiles[-1], exact))
        assert abs(flow.quantiles[-1][-1] - solution.radius(2)) < 2.5 / n
        middle = slice(n // 4, -n // 4)
        centres = (flow.quantiles[-1][1:] + flow.quantiles[-1][:-1]) / 2
        np.testing.assert_allclose(flow.density[-1][middle], solution.density(centres[middle], 2.0), rtol=0.01)
    assert min(observed_orders(errors)) > 1.8
    assert errors[-1] < 2e-4


@pytest.mark.parametrize("energy", [Internal(2) + HARMONIC, OU, Entropy() + DOUBLE_WELL, Entropy() + QUADRATIC])
def test_time_steps_have_order_two(energy):
    z, levels = gaussian_levels(41, 4.0)
    fine = quantile_flow(energy, 0.5 + 0.7 * z, [0, 0.5], levels=levels, step=1 / 1280).quantiles[-1]
    errors = []
    for step in (1 / 40, 1 / 80, 1 / 160):
        flow = quantile_flow(energy, 0.5 + 0.7 * z, [0, 0.5], levels=levels, step=step)
        errors.append(wasserstein(flow.weights, flow.quantiles[-1], fine))
    assert min(observed_orders(errors)) > 1.9


def test_one_jko_step_in_a_quadratic_potential_divides_by_one_plus_the_step():
    x = np.sort(np.random.default_rng(0).standard_normal(20))
    for step in (0.1, 1.0, 100.0):
        flow = quantile_flow(HARMONIC, x, [0, step], step=step, order=1)
        np.testing.assert_allclose(flow.quantiles[-1], x / (1 + step), rtol=1e-13)


def test_one_jko_step_of_a_normal_density_is_normal_with_the_closed_form_variance():
    # minimise (s - s0)^2 / (2 tau) - log s + s^2 / 2 over the standard deviation s
    z, levels = gaussian_levels(801, 7.0)
    tau, s0 = 0.5, 0.6
    s = (s0 + np.sqrt(s0**2 + 4 * tau * (1 + tau))) / (2 * (1 + tau))
    flow = quantile_flow(OU, s0 * z, [0, tau], levels=levels, step=tau, order=1)
    inner = slice(100, -100)
    np.testing.assert_allclose(flow.quantiles[-1][inner], s * z[inner], rtol=3e-4, atol=1e-12)


def test_quadratic_aggregation_contracts_exactly():
    x = np.linspace(-1, 2, 41)
    flow = quantile_flow(QUADRATIC, x, [0, 1], step=0.01, order=1)
    np.testing.assert_allclose(flow.quantiles[-1] - 0.5, (x - 0.5) * 1.01**-100, atol=1e-14)
    errors = []
    for step in (0.1, 0.05, 0.025):
        two = quantile_flow(QUADRATIC, x, [0, 1], step=step)
        errors.append(np.max(np.abs(two.quantiles[-1] - 0.5 - (x - 0.5) * np.exp(-1))))
    assert min(observed_orders(errors)) > 1.9


@pytest.mark.parametrize("order", [1, 2])
def test_a_kinked_attraction_collapses_to_a_point_at_the_exact_time(order):
    x = np.linspace(-1, 2, 31)
    flow = quantile_flow(NEWTONIAN, x, [0, 1, 1.4, 1.6, 3], step=0.1, order=order)
    # before quantiles meet each moves with the mass on its right less that on its left
    speed = 1 - 2 * (np.cumsum(flow.weights) - flow.weights / 2)
    for i, t in ((1, 1.0), (2, 1.4)):
        np.testing.assert_allclose(flow.quantiles[i], x + t * speed, atol=1e-12)
    for i in (3, 4):
        assert np.ptp(flow.quantiles[i]) == 0
        np.testing.assert_allclose(flow.quantiles[i], 0.5, atol=1e-12)
    assert flow.dissipation[-1] < 1e-25
    assert flow.status == "converged"


def test_masses_that_met_move_together_and_may_meet_others():
    # two pairs of equal quantiles, drawn to the middle by a potential with a kink
    energy = Potential(abs, gradient=np.sign, laplacian=np.zeros_like)
    flow = quantile_flow(energy, [-3.0, -3.0, 1.0, 1.0], [0, 0.5, 4], step=0.25, order=1)
    np.testing.assert_allclose(flow.quantiles[1], [-2.5, -2.5, 0.5, 0.5], atol=1e-12)


def test_a_log_gas_comes_to_rest_in_a_semicircle():
    errors = []
    for n in (26, 51, 101):
        levels = np.linspace(0, 1, n)
        flow = quantile_flow(LOG_GAS, np.linspace(-1, 1, n), [0, 15], step=0.25)
        # the virial of the discrete gas: its variance is half of what pairs of different quantiles have
        assert moments(flow, 1)[1] == pytest.approx((1 - np.sum(flow.weights**2)) / 2, abs=1e-9)
        errors.append(wasserstein(flow.weights, flow.quantiles[-1], semicircle(levels)))
    assert min(observed_orders(errors)) > 0.8
    assert errors[-1] < 0.02


@pytest.mark.parametrize("energy", [Entropy() + HARMONIC + Potential(lambda x: x**4 / 12), Internal(2) + HARMONIC])
def test_flows_of_energies_convex_along_geodesics_contract(energy):
    levels, rng = graded(61), np.random.default_rng(0)
    x, y = (np.sort(rng.standard_normal(61) + shift) for shift in (0.0, 1.5))
    x, y = (np.maximum.accumulate(each + 1e-3 * np.arange(61)) for each in (x, y))
    times = np.linspace(0, 2, 9)
    first, second = (quantile_flow(energy, each, times, levels=levels, step=0.02) for each in (x, y))
    distance = [wasserstein(first.weights, a, b) for a, b in zip(first.quantiles, second.quantiles, strict=True)]
    assert np.all(np.array(distance) <= np.exp(-times) * distance[0] * (1 + 1e-4))
    # each JKO step contracts by the factor 1 / (1 + step), exactly
    one, two = (quantile_flow(energy, each, times, levels=levels, step=0.25, order=1) for each in (x, y))
    distance = [wasserstein(one.weights, a, b) for a, b in zip(one.quantiles, two.quantiles, strict=True)]
    assert np.all(np.array(distance) <= 1.25 ** -np.arange(9.0) * distance[0] * (1 + 1e-9))


@pytest.mark.parametrize("name", [name for name in MANY if name != "kink"])
def test_gradients_and_second_derivatives_are_those_of_the_value(name):
    x = np.sort(np.random.default_rng(0).standard_normal(9)) + 0.2 * np.arange(9)
    model = QuantileEnergy(MANY[name], graded(9))
    np.testing.assert_allclose(model.gradient(x), slope_of(model.value, x), atol=2e-6)
    hessian = np.stack([slope_of(lambda x, i=i: model.gradient(x)[i], x, 1e-5) for i in range(9)])
    diagonal, beside = model.diagonals(x)
    found = np.diag(diagonal) - np.diag(beside, 1) - np.diag(beside, -1)
    found = found + (model.interaction_matrix(x) if model.interacts else 0)
    np.testing.assert_allclose(found, hessian, rtol=1e-4, atol=1e-4 * np.max(np.abs(hessian)))


def test_a_mass_other_than_one_is_kept():
    flow = quantile_flow(Entropy(), [0.0, 1.0, 2.0], [0, 1], levels=[1.0, 2.0, 4.0])
    assert flow.mass[-1] == 3
    # the variance of a heat flow of mass 3 grows by 3 * 2 t
    second = flow.weights @ flow.quantiles.T**2 - (flow.weights @ flow.quantiles.T) ** 2 / 3
    assert second[1] - second[0] == pytest.approx(6, abs=1e-3)
