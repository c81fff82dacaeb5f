"""Finite volumes: exact laws, observed orders, and what holds by construction."""

import numpy as np
import pytest

from lina.simplex.flow import Entropy, Interaction, Internal, Potential, grid_flow
from lina.simplex.flow._fluxes import bernoulli, bernoulli_slope, scharfetter_gummel, upwind
from lina.simplex.flow._limiter import limited
from tests.reference.flows import (
    Barenblatt,
    central_moment,
    divergence_from_standard,
    generator_matrix,
    normal,
    observed_orders,
    ornstein_uhlenbeck,
    two_stage_steps,
)
from tests.simplex.flow.problems import (
    DOUBLE_WELL,
    HARMONIC,
    HARMONIC_IN_SPACE,
    LOG_GAS,
    NEWTONIAN,
    OU,
    QUADRATIC,
    falls,
    line,
    moments,
)

MANY = {
    "OU": OU,
    "cold double well": Entropy(0.05) + DOUBLE_WELL,
    "porous double well": Internal(2) + DOUBLE_WELL,
    "porous 3": Internal(3),
    "porous 1.5": Internal(1.5) + 0.1 * HARMONIC,
    "mixed": Entropy(0.1) + Internal(2) + HARMONIC,
    "transport": Potential(lambda x: np.cos(4 * x)),
    "aggregation": QUADRATIC,
    "kink": NEWTONIAN,
    "log gas": LOG_GAS,
    "attracting": Entropy() + Interaction(lambda z: -3 * np.exp(-(z**2))),
    "repelling": Internal(2) + Interaction(lambda z: np.exp(-4 * z**2)),
}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("step", [0.02, 1.0])
@pytest.mark.parametrize("name", MANY)
def test_mass_sign_and_the_fall_of_the_energy_are_kept_by_steps_of_any_length(name, step, order):
    x, _ = line(80, -4, 4)
    start = np.where(abs(x - 0.5) < 1, 0.5, 0.0) + 0.2 * normal(x, -1, 0.1)
    stop = 0.4 if step < 1 else 10.0
    flow = grid_flow(MANY[name], start, np.linspace(0, stop, 6), domain=(-4, 4), step=step, order=order)
    assert flow.status == "converged"
    assert flow.mass_error < 1e-14
    assert np.min(flow.density) >= 0
    assert falls(flow.energy)
    assert flow.energy[-1] == pytest.approx(MANY[name].value(flow.density[-1], (-4, 4)))
    if order == 1:  # implicit Euler takes away more than it accounts for
        assert flow.defect[-1] <= 1e-12


def test_the_stationary_variance_of_ornstein_uhlenbeck_is_exact():
    x, h = line(160, -8, 8)
    for order in (1, 2):
        flow = grid_flow(OU, normal(x, 2, 0.25), [0, 1, 40], domain=(-8, 8), order=order)
        assert abs(moments(x, flow.density[-1], h)[2] - 1) < 1e-12
        assert flow.dissipation[-1] < 1e-20


def test_ornstein_uhlenbeck_has_all_moments_and_its_divergence_with_order_two():
    errors = []
    for n, step in ((100, 0.05), (200, 0.025), (400, 0.0125)):
        x, h = line(n, -8, 8)
        flow = grid_flow(OU, normal(x, 2, 0.25), [0, 1], domain=(-8, 8), step=step)
        mean, variance = ornstein_uhlenbeck(1.0, 2, 0.25)
        p = flow.density[-1]
        wrong = [h * np.sum(x * p) - mean]
        wrong += [h * np.sum((x - mean) ** k * p) - central_moment(k, variance) for k in (2, 3, 4, 5, 6)]
        kl = flow.energy[-1] + np.log(2 * np.pi) / 2
        wrong.append(kl - divergence_from_standard(mean, variance))
        errors.append(np.abs(wrong))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.min(orders) > 1.9
    assert np.max(errors[-1][:3]) < 5e-4


def test_the_defect_of_the_energy_balance_shows_the_order_of_the_steps():
    x, _ = line(200, -8, 8)
    for order, least in ((1, 0.9), (2, 1.8)):
        steps = (1 / 80, 1 / 160, 1 / 320)
        flows = [grid_flow(OU, normal(x, 2, 0.25), [0, 1], domain=(-8, 8), step=s, order=order) for s in steps]
        assert min(observed_orders([abs(flow.defect[-1]) for flow in flows])) > least
        assert flows[-1].relative_defect < (6e-3 if order == 1 else 2e-5)


@pytest.mark.parametrize(("order", "least", "most"), [(1, 0.9, 1.1), (2, 1.9, 2.2)])
def test_the_order_in_time_alone_is_the_one_that_is_claimed(order, least, most):
    x, h = line(200, -8, 8)
    start = normal(x, 2, 0.25)
    fine = grid_flow(OU, start, [0, 1], domain=(-8, 8), step=1 / 2560).density[-1]
    errors = []
    for step in (1 / 20, 1 / 40, 1 / 80):
        p = grid_flow(OU, start, [0, 1], domain=(-8, 8), step=step, order=order).density[-1]
        errors.append(h * np.sum(np.abs(p - fine)))
    assert all(least < each < most for each in observed_orders(errors))


@pytest.mark.parametrize("energy", [Internal(2) + 0.5 * HARMONIC, Entropy(0.5) + Interaction(lambda z: np.cos(2 * z))])
def test_nonlinear_flows_have_order_two_in_time(energy):
    x, h = line(100, -4, 4)
    start = normal(x, 0.5, 0.3)
    fine = grid_flow(energy, start, [0, 0.5], domain=(-4, 4), step=1 / 640).density[-1]
    errors = []
    for step in (1 / 20, 1 / 40, 1 / 80):
        p = grid_flow(energy, start, [0, 0.5], domain=(-4, 4), step=step).density[-1]
        errors.append(h * np.sum(np.abs(p - fine)))
    assert min(observed_orders(errors)) > 1.9


def test_linear_steps_agree_with_dense_matrices():
    x, h = line(60, -5, 5)
    V = x**4 / 8 - x
    start = np.exp(-V) * (1.5 + np.sin(x))
    energy = Entropy() + Potential(lambda x: x**4 / 8 - x)
    flow = grid_flow(energy, start, [0, 0.3], domain=(-5, 5), step=0.1)
    expected = two_stage_steps(generator_matrix(V, h), start, 0.1, 3)
    np.testing.assert_allclose(flow.density[-1], expected, rtol=1e-10)


def test_heat_spreads_by_two_t():
    x, h = line(600, -20, 20)
    flow = grid_flow(Entropy(), normal(x, 1, 0.5), [0, 0.5, 1, 2], domain=(-20, 20), step=0.02)
    for t, p in zip(flow.times, flow.density, strict=True):
        _, mean, variance = moments(x, p, h)
        assert mean == pytest.approx(1, abs=1e-12)
        assert variance == pytest.approx(0.5 + 2 * t, abs=1e-4)
        assert h * np.sum(np.abs(p - normal(x, 1, 0.5 + 2 * t))) < 2e-3


@pytest.mark.parametrize("m", [2, 3])
def test_barenblatt_is_followed_with_its_mass_and_its_support(m):
    solution, errors = Barenblatt(m), []
    for n in (100, 200, 400):
        h = 8 / n
        edges = np.linspace(-4, 4, n + 1)
        start = solution.averages(edges, 1.0)
        flow = grid_flow(Internal(m), start, [1, 2, 4], domain=(-4, 4), step=4 / n)
        assert flow.mass_error < 1e-14
        errors.append(h * np.sum(np.abs(flow.density[1] - solution.averages(edges, 2.0))))
        for t, p in zip(flow.times, flow.density, strict=True):
            assert abs(h * np.sum(p > 1e-4) / 2 - solution.radius(t)) < (2 if m == 2 else 4) * h
    # for m = 3 the density ends like a square root, which limits the order
    assert min(observed_orders(errors)) > (1.4 if m == 2 else 0.9)
    assert errors[-1] < (1e-4 if m == 2 else 1e-3)


def test_quadratic_aggregation_contracts_like_exp_minus_2t_with_the_order_of_upwinding():
    errors = []
    for n in (100, 200, 400):
        x, h = line(n, -4, 4)
        flow = grid_flow(QUADRATIC, normal(x, 0.5, 0.5), [0, 1], domain=(-4, 4), step=0.02)
        before, after = (moments(x, p, h)[2] for p in flow.density)
        errors.append(abs(after - before * np.exp(-2)))
    assert min(observed_orders(errors)) > 0.9


def test_a_kinked_attraction_collapses_in_finite_time():
    x, h = line(200, -2, 2)
    flow = grid_flow(NEWTONIAN, np.where(abs(x) < 1, 0.5, 0), [0, 0.5, 1.5], domain=(-2, 2), step=0.01)
    # all of [-1, 1] moves to the middle with speed x, so the support is [t - 1, 1 - t] until t = 1
    assert moments(x, flow.density[1], h)[2] == pytest.approx(0.25 / 3, rel=0.1)
    assert moments(x, flow.density[2], h)[2] < 3 * h**2


def test_a_log_gas_comes_to_rest_in_a_semicircle():
    x, h = line(200, -3, 3)
    flow = grid_flow(LOG_GAS, normal(x, 0, 0.3), [0, 10], domain=(-3, 3), step=0.1)
    expected = np.sqrt(np.maximum(2 - x**2, 0)) / np.pi
    assert h * np.sum(np.abs(flow.density[-1] - expected)) < 5e-3
    assert moments(x, flow.density[-1], h)[2] == pytest.approx(0.5, abs=1e-3)


def test_keller_segel_has_the_slope_of_its_second_moment():
    mass, errors = 4 * np.pi, []
    attraction = Interaction(lambda z: np.log((z**2).sum(-1)) / (4 * np.pi))
    for n in (24, 48):
        x, h = line(n, -6, 6)
        square = x[:, None] ** 2 + x**2
        start = mass * np.exp(-square) / np.pi
        flow = grid_flow(Entropy() + attraction, start, [0, 0.2], domain=((-6, 6), (-6, 6)), step=0.04)
        second = [h * h * np.sum(square * p) for p in flow.density]
        errors.append(abs((second[1] - second[0]) / 0.2 / (4 * mass * (1 - mass / (8 * np.pi))) - 1))
        assert flow.mass_error < 1e-14
        assert falls(flow.energy)
    assert errors[1] < 1e-3
    assert observed_orders(errors)[0] > 1.7


def test_ornstein_uhlenbeck_on_a_plane_is_the_product_of_two_on_lines():
    x, _ = line(50, -5, 5)
    y, _ = line(40, -4, 4)
    p, q = normal(x, 1, 0.5), normal(y, -0.5, 0.6)
    options = {"step": 1.0 / 64}
    flow = grid_flow(Entropy() + HARMONIC_IN_SPACE, p[:, None] * q, [0, 1], domain=((-5, 5), (-4, 4)), **options)
    left = grid_flow(OU, p, [0, 1], domain=(-5, 5), **options).density[-1]
    right = grid_flow(OU, q, [0, 1], domain=(-4, 4), **options).density[-1]
    np.testing.assert_allclose(flow.density[-1], left[:, None] * right, atol=2e-5)
    still = grid_flow(Entropy() + HARMONIC_IN_SPACE, p[:, None] * q, [0, 30], domain=((-5, 5), (-4, 4))).density[-1]
    stationary = np.exp(-(x[:, None] ** 2 + y**2) / 2)
    np.testing.assert_allclose(still / still.sum(), stationary / stationary.sum(), atol=1e-14)


def test_the_mixture_of_steps_keeps_the_sign_where_the_linear_method_loses_it():
    x, h = line(60, -5, 5)
    start, V = normal(x, 0.3, 1.0), x**4 / 8 - x
    flow = grid_flow(Entropy() + Potential(lambda x: x**4 / 8 - x), start, [0, 0.1], domain=(-5, 5), step=0.1)
    linear = two_stage_steps(generator_matrix(V, h), start, 0.1, 1)
    assert np.min(linear) < -1e-4
    assert np.min(flow.density) >= 0
    assert falls(flow.energy)
    # what was changed is what was negative, and its neighbourhood
    assert h * np.sum(np.abs(flow.density[-1] - linear)) < 20 * h * np.sum(np.maximum(-linear, 0))


def test_a_grid_of_one_cell_stays_as_it_is():
    np.testing.assert_array_equal(grid_flow(OU, [2.0], [0, 1], domain=(0, 1)).density, [[2.0], [2.0]])
    flow = grid_flow(Entropy() + HARMONIC_IN_SPACE, np.ones((1, 5)), [0, 1], domain=((0, 1), (-1, 1)))
    assert flow.mass_error < 1e-14


@pytest.mark.parametrize("flux", [scharfetter_gummel(0.7), scharfetter_gummel(1e-6), upwind])
def test_the_derivatives_of_the_fluxes_are_right_and_their_signs_let_implicit_steps_be_solved(flux):
    rng = np.random.default_rng(0)
    arguments = [rng.uniform(0.1, 2, 500), rng.uniform(0.1, 2, 500)]
    arguments += [rng.standard_normal(500), np.zeros(500) if flux is not upwind else rng.standard_normal(500)]
    _, *slopes = flux(*arguments)
    for i, slope in enumerate(slopes):
        up, down = ([a + s * 1e-6 * (i == j) for j, a in enumerate(arguments)] for s in (1, -1))
        np.testing.assert_allclose((flux(*up)[0] - flux(*down)[0]) / 2e-6, slope, atol=1e-6)
    a, b, outer, _ = arguments
    inner = 2 * (b - a)  # that of Internal(2)
    _, by_a, by_b, by_outer, by_inner = flux(a, b, outer, inner)
    assert np.min(by_a - 2 * by_inner) >= 0
    assert np.max(by_b + 2 * by_inner) <= 0
    assert np.max(by_outer) <= 0
    assert np.max(flux(0 * a, b, outer, 2 * b)[0]) <= 0
    assert np.min(flux(a, 0 * b, outer, -2 * a)[0]) >= 0


def test_the_bernoulli_function_has_its_digits_everywhere():
    import mpmath

    for z in (0.0, 1e-12, -1e-9, 9.9e-4, 1.1e-3, -2.0, 30.0, -300.0, 700.0, -701.0, -1e5, -1e200):
        with mpmath.workdps(60):
            t = mpmath.mpf(z)
            exact = t / mpmath.expm1(t) if z else mpmath.mpf(1)
            slope = 1 / mpmath.expm1(t) - t * mpmath.exp(t) / mpmath.expm1(t) ** 2 if z else mpmath.mpf(-0.5)
        assert bernoulli(np.array(z)) == pytest.approx(float(exact), rel=1e-14)
        assert bernoulli_slope(np.array(z)) == pytest.approx(float(slope), rel=1e-10)
    for z in (701.0, 1e5, 1e200):
        assert 0 <= bernoulli(np.array(z)) < z * 1e-300
        assert abs(bernoulli_slope(np.array(z))) < z * 1e-300


def test_a_weak_entropy_leaves_a_drift_its_speed():
    x, h = line(400, -2, 2)
    flow = grid_flow(Entropy(1e-6) + HARMONIC, normal(x, 1, 0.01), [0, 1], domain=(-2, 2))
    assert h * np.sum(x * flow.density[-1]) == pytest.approx(np.exp(-1), abs=2 * h)


def test_a_weak_entropy_beside_a_nonlinear_diffusion_costs_no_more_steps():
    x, h = line(200, -2, 2)
    start = np.where(abs(x) < 0.5, 1.0, 0.0)
    with_it = grid_flow(Entropy(1e-6) + Internal(3), start, [0, 1], domain=(-2, 2))
    without = grid_flow(Internal(3), start, [0, 1], domain=(-2, 2))
    assert with_it.steps == 100  # as many as were asked for: none is halved
    assert h * np.sum(np.abs(with_it.density[-1] - without.density[-1])) < 2 * h


@pytest.mark.parametrize(
    ("n", "steepness", "times"), [(200, 1e14, [0, 1, 100]), (50, 1e10, [0, 100]), (1000, 1e10, [0, 100])]
)
def test_a_potential_of_any_slope_is_followed_down(n, steepness, times):
    # the first guess is off by so much that its residual has no digit of the mass
    x, h = line(n, -3, 3)
    rise = steepness * np.maximum(abs(x) - 1, 0) ** 2 + x
    energy = Entropy() + Potential(lambda x: steepness * np.maximum(abs(x) - 1, 0) ** 2 + x)
    expected = 6 * np.exp(-rise) / np.sum(np.exp(-rise)) / h
    for order in (1, 2):
        flow = grid_flow(energy, np.ones(n), times, domain=(-3, 3), order=order)
        assert flow.status == "converged"
        assert flow.mass_error < 1e-14
        assert falls(flow.energy)
        np.testing.assert_allclose(flow.density[-1], expected, rtol=1e-9, atol=1e-12)


def test_a_steep_potential_on_a_plane_is_followed_down():
    energy = Entropy() + Potential(lambda x: 1e12 * np.maximum(np.linalg.norm(x, axis=-1) - 1, 0) ** 2 + x[..., 0])
    flow = grid_flow(energy, np.ones((30, 30)), [0, 1, 100], domain=((-3, 3), (-3, 3)))
    assert flow.status == "converged"
    assert flow.mass_error < 1e-14
    assert falls(flow.energy)


def test_a_strong_diffusion_levels_a_density_without_losing_mass():
    start = np.where(np.arange(300) < 50, 1.0, 0.0)
    flow = grid_flow(1e13 * Entropy(), start, [0, 1, 100], domain=(-1, 1))
    assert flow.status == "converged"
    np.testing.assert_allclose(flow.density[-1], 1 / 6, rtol=1e-12)


@pytest.mark.parametrize("weight", [1e-300, 5e-324])
def test_an_entropy_of_any_weight_warns_of_nothing(weight):
    x, _ = line(50, -2, 2)
    flow = grid_flow(Entropy(weight) + HARMONIC, normal(x, 1, 0.1), [0, 0.1], domain=(-2, 2))
    assert np.isfinite(flow.density).all()
    assert flow.status == ("converged" if weight == 1e-300 else "stopped")


def test_limited_fluxes_leave_nothing_negative_and_lose_nothing():
    rng = np.random.default_rng(0)
    for shape in ((12,), (5, 7)):
        p = rng.uniform(0, 1, shape) * (rng.uniform(0, 1, shape) > 0.3)
        sides = [tuple(n - (i == axis) for i, n in enumerate(shape)) for axis in range(len(shape))]
        fluxes = limited(p, [rng.standard_normal(side) for side in sides], (0.5,) * len(shape))
        walls = [[(int(i == axis),) * 2 for i in range(len(shape))] for axis in range(len(shape))]
        moved = p - sum(np.diff(np.pad(f, w), axis=i) / 0.5 for i, (f, w) in enumerate(zip(fluxes, walls, strict=True)))
        assert np.min(moved) >= -1e-16
        assert np.sum(moved) == pytest.approx(np.sum(p), rel=1e-14)
        small = [np.full(side, 1e-9) for side in sides]
        for kept, given in zip(limited(p + 1, small, (0.5,) * len(shape)), small, strict=True):
            np.testing.assert_array_equal(kept, given)


def test_a_late_output_does_not_spoil_an_early_one():
    x = np.linspace(-3, 3, 61)[1:] - 0.05
    start = np.where(np.abs(x - 1) < 0.5, 1.0, 0.0)
    energy = Entropy() + Potential(lambda x: x**2 / 2)
    early, both = (grid_flow(energy, start, times, domain=(-3, 3)) for times in ([0, 0.1], [0, 0.1, 50]))
    np.testing.assert_array_equal(early.density[1], both.density[1])
