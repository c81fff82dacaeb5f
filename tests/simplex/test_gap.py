"""The gap and the residual: against rationals and linear programs, for every set, where constants hide them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from lina.simplex import frank_wolfe_gap, kkt_residual, project_simplex
from tests.reference.minimize import exact_ball_gap, exact_gap

sizes = st.integers(1, 8)
seeds = st.integers(0, 2**32 - 1)
scales = st.sampled_from([1e-150, 1e-3, 1.0, 1e6, 1e150])
radii = st.sampled_from([0.5, 1.0, 4.0])


def point(rng, n, radius):
    """A point whose entries are powers of two, so that their sum is exact, some of them zero."""
    x = np.zeros(n)
    left = radius
    for i in range(n - 1):
        part = left * rng.choice([0.0, 0.25, 0.5])
        x[i], left = part, left - part
    x[n - 1] = left
    return x


@given(n=sizes, seed=seeds, scale=scales, radius=radii)
def test_the_gap_is_exact_to_rounding(n, seed, scale, radius):
    rng = np.random.default_rng(seed)
    x, g = point(rng, n, radius), scale * rng.standard_normal(n)
    exact = float(exact_gap(x, g, radius))
    assert frank_wolfe_gap(x, g, radius=radius) == pytest.approx(exact, rel=1e-14, abs=4e-16 * scale * radius)


@given(n=sizes, seed=seeds, radius=radii)
def test_the_gap_with_bounds_is_exact_to_rounding(n, seed, radius):
    rng = np.random.default_rng(seed)
    x, g = point(rng, n, radius), rng.standard_normal(n)
    upper = np.maximum(x, radius * rng.random(n))
    exact = float(exact_gap(x, g, radius, upper))
    assert frank_wolfe_gap(x, g, radius=radius, upper=upper) == pytest.approx(exact, rel=1e-12, abs=1e-14)


@given(n=sizes, seed=seeds, radius=radii, share=st.sampled_from([0.0, 0.5, 1.0]))
def test_the_gap_on_the_ball_is_exact_to_rounding(n, seed, radius, share):
    rng = np.random.default_rng(seed)
    x, g = share * point(rng, n, radius) * rng.choice([-1.0, 1.0], n), rng.standard_normal(n)
    exact = float(exact_ball_gap(x, g, radius))
    assert frank_wolfe_gap(x, g, radius=radius, set="l1_ball") == pytest.approx(exact, rel=1e-13, abs=1e-15)


def test_a_number_as_upper_bound_fills_the_cheapest_entries():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(3, 9))
        x, g = np.full(n, 1 / n), rng.standard_normal(n)
        least = linprog(g, A_eq=np.ones((1, n)), b_eq=[1], bounds=[(0, 0.4)] * n).fun
        assert frank_wolfe_gap(x, g, upper=0.4) == pytest.approx(x @ g - least, abs=1e-9)


def test_a_constant_in_a_single_precision_gradient_does_not_hide_the_gap():
    x = np.array([0.5, 0.25, 0.25], dtype=np.float32)
    g = np.array([1.0, 1.001, 1.002], dtype=np.float32)
    plain, shifted = frank_wolfe_gap(x, g), frank_wolfe_gap(x, g + np.float32(1e3))
    assert plain == pytest.approx(float(exact_gap(x, g)), rel=1e-12)
    assert shifted == pytest.approx(float(exact_gap(x, g + np.float32(1e3))), rel=1e-9)
    assert abs(shifted - plain) < 1e-4
    assert shifted > 0.5 * plain


def test_a_sum_that_is_off_by_rounding_counts_with_the_multiplier():
    x = np.array([0.5, 0.5 + 1e-9])
    assert frank_wolfe_gap(x, np.array([1e3, 1e3]) * 1.0, radius=1.0 + 1e-9) == pytest.approx(0, abs=1e-12)
    assert frank_wolfe_gap(x.astype(np.float32), np.float32([1e3, 1e3]), radius=1 + 1e-7) == pytest.approx(
        1e-4, rel=0.1
    )


def test_the_gap_is_zero_at_a_stationary_point_only():
    x = np.array([0.25, 0.75, 0.0])
    assert frank_wolfe_gap(x, np.array([2.0, 2.0, 2.0])) == 0
    assert frank_wolfe_gap(x, np.array([2.0, 2.0, 5.0])) == 0
    assert frank_wolfe_gap(x, np.array([2.0, 2.0, 2.0 - 1e-9])) > 0


@given(n=sizes, seed=seeds)
def test_rows_along_any_axis_are_gaps_of_their_own(n, seed):
    rng = np.random.default_rng(seed)
    x, g = rng.dirichlet(np.ones(n), size=(2, 3)), rng.standard_normal((2, 3, n))
    each = [[float(frank_wolfe_gap(x[i, j], g[i, j])) for j in range(3)] for i in range(2)]
    for axis in (0, 1, 2, -2):
        moved = np.moveaxis(x, -1, axis), np.moveaxis(g, -1, axis)
        np.testing.assert_allclose(frank_wolfe_gap(*moved, axis=axis), each, rtol=1e-14)


def test_the_gap_of_single_precision_is_evaluated_in_double():
    gap = frank_wolfe_gap(np.float32([0.5, 0.5]), np.float32([1, 2]))
    assert np.asarray(gap).dtype == np.float64


@pytest.mark.parametrize(
    ("x", "options", "text"),
    [
        ([0.5, 0.6], {}, "sum to radius"),
        ([-0.5, 1.5], {}, "non-negative"),
        ([0.5, 0.5], {"radius": -1.0}, "radius must be finite and positive"),
        ([0.5, 0.5], {"upper": 0.3}, "upper must sum to at least"),
        ([0.9, 0.1], {"upper": 0.6}, "not exceed upper"),
        ([0.5, 0.5], {"upper": [0.3, 0.3, 0.4]}, "upper must be a number or have shape"),
        ([0.5, 0.5], {"upper": [np.nan, 1.0]}, "upper must be non-negative"),
        ([0.9, 0.9], {"set": "l1_ball"}, "1-norm of at most"),
        ([0.5, 0.5], {"set": "l1_ball", "upper": 1.0}, "upper must be None"),
        ([0.5, 0.5], {"set": "ball"}, "set must be one of"),
        ([0.5, 0.5], {"axis": 1}, "axis must be in"),
        ([0.5, np.nan], {}, "x must be finite"),
    ],
)
def test_a_point_outside_of_the_set_gets_an_error_and_no_certificate(x, options, text):
    with pytest.raises(ValueError, match=text):
        frank_wolfe_gap(np.array(x), np.array([1.0, 2.0]), **options)


def test_what_is_no_number_gets_an_error_that_names_it():
    with pytest.raises(ValueError, match="gradient must have the shape of x"):
        frank_wolfe_gap(np.ones(1), np.ones(2))
    with pytest.raises(ValueError, match="gradient must be finite"):
        frank_wolfe_gap(np.ones(1), np.array([np.inf]))
    with pytest.raises(TypeError, match="gradient must be real"):
        frank_wolfe_gap(np.ones(1), np.array([1j]))
    with pytest.raises(TypeError, match="radius must be a number"):
        frank_wolfe_gap(np.ones(1), np.ones(1), radius="one")


@given(n=sizes, seed=seeds, radius=radii)
def test_the_residual_is_zero_exactly_where_the_gap_is(n, seed, radius):
    rng = np.random.default_rng(seed)
    target = rng.standard_normal(n)
    nearest = project_simplex(target, radius)
    assert kkt_residual(nearest, nearest - target, radius=radius) == pytest.approx(0, abs=1e-14)
    x = point(rng, n, radius)
    residual, gap = kkt_residual(x, x - target, radius=radius), frank_wolfe_gap(x, x - target, radius=radius)
    assert residual**2 <= gap * (1 + 1e-12) + 1e-14  # the projected step descends by at least its square
    assert residual >= np.linalg.norm(x - nearest) / 2 - 1e-14  # (1 + L) / mu = 2


def test_the_residual_of_the_other_sets_is_that_of_their_projections():
    x, g = np.array([0.5, 0.25, 0.25]), np.array([-1.0, 0.0, 0.0])
    assert kkt_residual(x, g, upper=0.5) == pytest.approx(0, abs=1e-15)
    assert kkt_residual(x, g) > 0.3
    assert kkt_residual(np.array([1.0, 0, 0]), g, set="l1_ball") == pytest.approx(0, abs=1e-15)


def test_the_residual_includes_the_distance_to_the_set():
    assert kkt_residual(np.array([2.0, 0.0]), np.zeros(2)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (0.5, {}, r"sum to radius = 1 along its axis, got a sum off by 0.5 in row 1, 0$"),
        (-0.5, {}, r"non-negative, got an entry of -0.25 in row 1, 0$"),
        (0.5, {"set": "l1_ball"}, r"1-norm of at most radius = 1, got 1.5 in row 1, 0$"),
        (0.0, {"upper": [0.2, 0.5, 0.5, 0.5]}, r"not exceed upper, got an excess of 0.05 in row 0, 0$"),
    ],
)
def test_the_row_that_lies_outside_is_named(change, options, message):
    x = np.full((2, 3, 4), 0.25)
    x[1, 0, 2] += change
    with pytest.raises(ValueError, match=message):
        frank_wolfe_gap(x, np.ones_like(x), **options)
    with pytest.raises(ValueError, match=r"sum off by [0-9.e-]+$"):
        frank_wolfe_gap([0.5, 0.6], np.ones(2))


@pytest.mark.parametrize("options", [{}, {"set": "l1_ball"}, {"upper": 0.5}])
def test_no_rows_have_no_gaps(options):
    empty = np.zeros((2, 0, 3))
    assert frank_wolfe_gap(empty, empty, **options).shape == (2, 0)
    assert kkt_residual(empty, empty, **options).shape == (2, 0)
