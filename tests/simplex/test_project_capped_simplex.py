"""Projection between bounds: exact on small problems, optimal on any, and what is asked of it when nothing fits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina.simplex import project_capped_simplex, project_simplex
from tests.reference.simplex import exact_capped


@given(st.integers(1, 5), st.integers(0, 10**6))
def test_small_problems_are_solved_as_in_rational_arithmetic(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-4, 5, n) / 2
    lower = rng.integers(-3, 2, n) / 2
    upper = lower + rng.integers(0, 4, n) / 2
    total = lower.sum() + (upper.sum() - lower.sum()) * rng.integers(0, 5) / 4
    expected = [float(v) for v in exact_capped(x, lower, upper, total)]
    found = project_capped_simplex(x, lower=lower, upper=upper, total=total)
    np.testing.assert_allclose(found, expected, atol=2e-15)


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("n", [1, 2, 50, 5000])
def test_the_answer_is_optimal(n, scale, offset):
    """The reduced x - p is the same at free entries, larger at the upper bound and smaller at the lower one."""
    rng = np.random.default_rng(n)
    x = scale * rng.standard_normal(n) + offset
    lower, upper = -scale * rng.random(n), scale * rng.random(n)
    total = 0.3 * lower.sum() + 0.7 * upper.sum()
    p = project_capped_simplex(x, lower=lower, upper=upper, total=total)
    rounding = 1e-15 * (scale * n + offset)
    assert np.all((lower <= p) & (p <= upper))
    assert p.sum() == pytest.approx(total, abs=rounding * 4 + 1e-13 * scale * n)
    free = (lower < p) & (p < upper)
    if free.any():
        tau = np.median((x - p)[free])
        assert np.ptp((x - p)[free]) <= 4e-16 * (abs(offset) + 5 * scale) + 1e-15 * scale
        assert np.all((x - p)[p == upper] >= tau - 4e-15 * scale - 1e-15 * offset)
        assert np.all((x - p)[p == lower] <= tau + 4e-15 * scale + 1e-15 * offset)


def test_without_caps_it_is_the_projection_onto_the_simplex_and_without_bounds_onto_a_plane():
    x = np.random.default_rng(0).standard_normal((20, 30))
    np.testing.assert_allclose(project_capped_simplex(x, upper=np.inf), project_simplex(x), atol=1e-15)
    plane = project_capped_simplex(x, lower=-np.inf, upper=np.inf)
    np.testing.assert_allclose(plane, x - (x.sum(axis=1, keepdims=True) - 1) / 30, atol=1e-14)


def test_a_sum_that_leaves_no_choice_gives_the_bounds():
    x = np.random.default_rng(0).standard_normal(10)
    assert project_capped_simplex(x, upper=0.1).tolist() == pytest.approx([0.1] * 10, abs=1e-16)
    assert project_capped_simplex(x, lower=0.1).tolist() == pytest.approx([0.1] * 10, abs=1e-16)
    assert project_capped_simplex(x, total=10.0).tolist() == [1.0] * 10
    assert project_capped_simplex(x, total=0.0).tolist() == [0.0] * 10
    assert project_capped_simplex(x[:3], lower=[0.2, 0.3, 0.5] * np.ones(3)).tolist() == [0.2, 0.3, 0.5]


def test_infinite_entries_are_at_their_bounds_and_nan_stays_in_its_row():
    x = np.array([[3.0, 1.0, -np.inf, np.inf], [np.nan, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    p = project_capped_simplex(x, total=2.0)
    assert p[0].tolist() == [1.0, 0.0, 0.0, 1.0]
    assert np.isnan(p[1]).all()
    assert p[2].tolist() == [0.5] * 4


def test_any_axis_and_a_total_per_row():
    x = np.random.default_rng(0).standard_normal((3, 4, 5))
    totals = np.array([0.5, 1.0, 2.0]).reshape(3, 1, 1)
    p = project_capped_simplex(x, upper=0.75, total=totals, axis=1)
    np.testing.assert_allclose(p.sum(axis=1), np.broadcast_to(totals[:, 0], (3, 5)), atol=1e-14)
    for i in range(3):
        for j in range(5):
            expected = project_capped_simplex(x[i, :, j], upper=0.75, total=float(totals[i, 0, 0]))
            np.testing.assert_allclose(p[i, :, j], expected, atol=1e-15)


def test_single_precision_is_summed_in_double():
    x = np.random.default_rng(0).standard_normal((2, 50_000)).astype(np.float32)
    p = project_capped_simplex(x, total=20_000.0)
    assert p.dtype == np.float32
    expected = project_capped_simplex(x.astype(np.float64), total=20_000.0)
    np.testing.assert_allclose(p, expected, atol=6e-8)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"total": 4.0}, ValueError, "total must be between the sums of lower and of upper"),
        ({"lower": 0.5}, ValueError, "total must be between the sums of lower and of upper"),
        ({"lower": 2.0}, ValueError, "lower must not exceed upper"),
        ({"upper": np.array([1.0, np.nan, 1.0])}, ValueError, "lower must not exceed upper, got an entry"),
        ({"upper": np.ones(2)}, ValueError, r"upper must broadcast to \(2, 3\), got shape \(2,\)"),
        ({"upper": "one"}, TypeError, "upper must be a number or an array of floats, got str"),
        ({"total": np.inf}, ValueError, "total must be finite"),
    ],
)
def test_what_does_not_fit_is_named(options, error, message):
    with pytest.raises(error, match=message):
        project_capped_simplex(np.ones((2, 3)), **options)
