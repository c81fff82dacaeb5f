"""Wrong arguments of the flows get errors that name them; right ones return in their library and dtype."""

import array_api_strict
import numpy as np
import pytest

from lina.simplex.flow import (
    Entropy,
    Flow,
    Internal,
    Potential,
    grid_flow,
    langevin_flow,
    particle_flow,
    quantile_flow,
)
from tests.simplex.flow.problems import HARMONIC, OU

RIGHT = {
    grid_flow: (np.ones(10), {"domain": (-1, 1)}),
    quantile_flow: (np.linspace(-1, 1, 10), {}),
    particle_flow: (np.linspace(-1, 1, 10), {}),
    langevin_flow: (np.linspace(-1, 1, 10), {"rng": 0}),
}
EACH = pytest.mark.parametrize("flow", RIGHT, ids=lambda flow: flow.__name__)


@EACH
@pytest.mark.parametrize(
    ("times", "error", "message"),
    [
        ([0, 1, 1], ValueError, r"times must be finite and increasing, got \[0.0, 1.0, 1.0\]"),
        ([1, 0], ValueError, "times must be finite and increasing"),
        ([0, np.nan], ValueError, "times must be finite and increasing"),
        ([0], ValueError, r"times must be at least two numbers, shape \(k,\), got shape \(1,\)"),
        (3.0, ValueError, r"times must be at least two numbers, shape \(k,\), got shape \(\)"),
        ("now", TypeError, "times must be numbers, got str"),
    ],
)
def test_wrong_times_are_named(flow, times, error, message):
    start, options = RIGHT[flow]
    with pytest.raises(error, match=message):
        flow(OU, start, times, **options)


@EACH
def test_wrong_energies_are_named(flow):
    start, options = RIGHT[flow]
    with pytest.raises(TypeError, match=r"energy must be an energy \(Entropy\(\).*got str"):
        flow("entropy", start, [0, 1], **options)
    with pytest.raises(ValueError, match=r"V must be finite, got \d+ NaN"):
        flow(Potential(lambda x: np.where(x > 0, np.nan, x), lambda x: x * np.nan), start, [0, 1], **options)


@pytest.mark.parametrize("flow", [grid_flow, quantile_flow, langevin_flow], ids=lambda flow: flow.__name__)
@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (0.0, ValueError, "step must be finite and positive, got 0.0"),
        (np.nan, ValueError, "step must be finite and positive, got nan"),
        ("a", TypeError, "step must be a number, got str"),
    ],
)
def test_wrong_steps_are_named(flow, step, error, message):
    start, options = RIGHT[flow]
    with pytest.raises(error, match=message):
        flow(OU, start, [0, 1], step=step, **options)


@pytest.mark.parametrize("flow", [grid_flow, quantile_flow], ids=lambda flow: flow.__name__)
def test_a_wrong_order_is_named(flow):
    start, options = RIGHT[flow]
    with pytest.raises(ValueError, match="order must be 1 or 2, got 3"):
        flow(OU, start, [0, 1], order=3, **options)


@pytest.mark.parametrize(
    ("density", "domain", "error", "message"),
    [
        ([1.0, -1.0], (0, 1), ValueError, "density must not be negative, got -1"),
        ([0.0, 0.0], (0, 1), ValueError, "density must have a mass between 1e-290 and 1e290, got 0"),
        ([1.0, np.nan], (0, 1), ValueError, "density must be finite, got 1 NaN or infinite of 2 entries"),
        (np.ones((2, 2, 2)), (0, 1), ValueError, r"density must have shape \(n,\) or \(m, n\), got \(2, 2, 2\)"),
        ([], (0, 1), ValueError, r"density must have at least one cell, got shape \(0,\)"),
        ([1.0 + 2.0j], (0, 1), TypeError, "density must be real, got dtype complex128"),
        ("density", (0, 1), TypeError, "density must be an array, got str"),
        ([1.0, 1.0], (1, 0), ValueError, "domain must have finite lower bounds below upper bounds"),
        ([1.0, 1.0], 3.0, ValueError, r"domain must be \(lower, upper\) for a density of 1 axes, got 3.0"),
        (np.ones((2, 2)), (0, 1), ValueError, r"domain must be \(\(lower, upper\), \(lower, upper\)\)"),
        ([1.0, 1.0], (0, np.inf), ValueError, "domain must have finite lower bounds"),
    ],
)
def test_wrong_densities_and_domains_are_named(density, domain, error, message):
    with pytest.raises(error, match=message):
        grid_flow(OU, density, [0, 1], domain=domain)


@pytest.mark.parametrize(
    ("quantiles", "levels", "message"),
    [
        ([1.0, 0.0], None, "quantiles must be strictly increasing, got a smallest difference of -1"),
        ([1.0, 1.0], None, "quantiles must be strictly increasing, got a smallest difference of 0"),
        ([1.0], None, r"quantiles must be at least two numbers, shape \(n,\), got shape \(1,\)"),
        ([0.0, np.inf], None, "quantiles must be finite"),
        ([0.0, 1.0], [0.0, 0.5, 1.0], r"levels must have one entry per quantile, shape \(2,\), got shape \(3,\)"),
        ([0.0, 1.0], [0.0, 0.0], "levels must be strictly increasing"),
        ([0.0, 1.0], [0.0, np.nan], "levels must be finite"),
    ],
)
def test_wrong_quantiles_and_levels_are_named(quantiles, levels, message):
    with pytest.raises(ValueError, match=message):
        quantile_flow(OU, quantiles, [0, 1], levels=levels)
    if quantiles == [1.0, 1.0]:
        quantile_flow(HARMONIC, quantiles, [0, 1])


@pytest.mark.parametrize(
    ("points", "options", "error", "message"),
    [
        (np.ones((2, 2, 2)), {}, ValueError, r"points must have shape \(n,\) or \(n, d\), none of them 0"),
        (np.ones((0, 2)), {}, ValueError, "points must have shape"),
        ([1.0, np.nan], {}, ValueError, "points must be finite"),
        ([1.0j], {}, TypeError, "points must be real"),
        ([1e200], {}, OverflowError, "points must be below 6.704e.153 in size"),
        (
            [1.0, 2.0],
            {"weights": [1.0]},
            ValueError,
            r"weights must have one entry per point, shape \(2,\), got \(1,\)",
        ),
        ([1.0, 2.0], {"weights": [1.0, 0.0]}, ValueError, "weights must be positive, got 0"),
        ([1.0, 2.0], {"bandwidth": 0.0}, ValueError, "bandwidth must be finite and positive"),
        ([1.0, 2.0], {"rtol": -1.0}, ValueError, "rtol must be finite and positive"),
        ([1.0, 2.0], {"max_steps": 0}, ValueError, "max_steps must be at least 1"),
        ([1.0, 2.0], {"max_steps": 1.5}, TypeError, "max_steps must be an int"),
        ([1.0, 2.0], {"log_density": [0.0]}, ValueError, "log_density must have one entry per point"),
        ([1.0, 2.0], {"log_density": [0.0, np.nan]}, ValueError, "log_density must be finite"),
    ],
)
def test_wrong_points_are_named(points, options, error, message):
    with pytest.raises(error, match=message):
        particle_flow(OU, points, [0, 1], **options)


@EACH
def test_results_return_in_library_and_dtype_and_the_input_is_left_alone(flow):
    start, options = RIGHT[flow]
    before = start.copy()
    xp = array_api_strict
    energy = Entropy() + Potential(lambda x: x * x / 2, gradient=lambda x: x)
    found = flow(energy, xp.asarray(start, dtype=xp.float32), [0, 0.1, 0.2], **options)
    assert isinstance(found, Flow)
    state = {grid_flow: "density", quantile_flow: "quantiles"}.get(flow, "points")
    answer = getattr(found, state)
    assert type(answer).__module__.startswith("array_api_strict")
    assert (answer.dtype, answer.shape) == (xp.float32, (3, 10))
    for history in (found.energy, found.dissipation, found.defect):
        assert history is None or (history.shape == (3,) and history.dtype == np.float64)
    flow(energy, start, [0, 0.1], **options)
    np.testing.assert_array_equal(start, before)


@EACH
def test_the_first_state_is_the_given_one_and_the_repr_has_the_facts(flow):
    start, options = RIGHT[flow]
    found = flow(OU, start, [3, 4], **options)
    state = {grid_flow: "density", quantile_flow: "quantiles"}.get(flow, "points")
    np.testing.assert_array_equal(getattr(found, state)[0], start)
    assert "times=3..4" in repr(found)
    assert "status=converged" in repr(found)


def test_integers_flow_in_double_and_halves_in_single_precision():
    assert grid_flow(OU, [1, 2, 1], [0, 1], domain=(-1, 1)).density.dtype == np.float64
    assert grid_flow(OU, np.ones(3, dtype=np.float16), [0, 1], domain=(-1, 1)).density.dtype == np.float32


def test_densities_whose_powers_leave_the_range_are_refused_and_others_flow_at_any_scale():
    for scale in (1e-100, 1e100):
        with pytest.raises(
            OverflowError, match=r"density must be between 1e-83 and 1e83 at its largest for Internal\(3\)"
        ):
            grid_flow(Internal(3), np.ones(4) * scale, [0, 1], domain=(0, 1))
        with pytest.raises(OverflowError, match="density must be between"):
            quantile_flow(Internal(3), np.array([0.0, 1.0]) * scale, [0, 1])
    p = np.array([0.0, 1.0, 3.0, 0.5, 0.0, 0.0])
    for m in (1.5, 2, 3):
        usual = grid_flow(Internal(m), p, [0, 0.02], domain=(0, 1), step=0.005).density[-1]
        for c in (1e-60, 1e60):  # c p flows as p does, c^(m - 1) times as fast
            times, step = np.array([0, 0.02]) * c ** (1.0 - m), 0.005 * c ** (1.0 - m)
            flow = grid_flow(Internal(m), c * p, times, domain=(0, 1), step=step)
            np.testing.assert_allclose(flow.density[-1] / c, usual, atol=1e-12)


def test_the_unit_of_length_does_not_matter():
    for unit in (1e-6, 1e6):
        x = np.linspace(-1, 1, 21)
        usual = quantile_flow(Entropy(), x, [0, 0.1], step=0.01).quantiles[-1]
        scaled = quantile_flow(Entropy(), x * unit, [0, 0.1 * unit**2], step=0.01 * unit**2).quantiles[-1]
        np.testing.assert_allclose(scaled / unit, usual, atol=1e-12)
        p = 1 + x**2
        flat = grid_flow(Entropy(), p, [0, 0.1], domain=(-1, 1), step=0.01).density[-1]
        wide = grid_flow(Entropy(), p, [0, 0.1 * unit**2], domain=(-unit, unit), step=0.01 * unit**2).density[-1]
        np.testing.assert_allclose(wide, flat, rtol=1e-10)
        cloud = particle_flow(Entropy(), x, [0, 0.1]).points[-1]
        far = particle_flow(Entropy(), x * unit, [0, 0.1 * unit**2]).points[-1]
        np.testing.assert_allclose(far / unit, cloud, atol=1e-9)
