"""Projections onto the l1 ball and onto the k-sparse simplex."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina.simplex import project_l1_ball, project_l1_ball_vjp, project_simplex, project_sparse_simplex, softmax
from tests.reference.simplex import exact_projection


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=7), st.integers(0, 6))
def test_the_ball_is_exact_on_small_integers(x, radius):
    values = np.array(x, dtype=np.float64)
    p = project_l1_ball(values, float(radius))
    if np.abs(values).sum() <= radius:
        assert p.tolist() == x
    else:
        expected, _ = exact_projection([abs(v) for v in x], radius)
        np.testing.assert_allclose(p, [float(v) * np.sign(s) for v, s in zip(expected, x, strict=True)], atol=1e-15)


@given(st.integers(1, 30), st.integers(0, 10**6))
def test_the_ball_is_optimal_idempotent_and_odd(n, seed):
    x = np.random.default_rng(seed).standard_normal(n) * 3
    p = project_l1_ball(x)
    assert np.abs(p).sum() <= 1 + 1e-14
    np.testing.assert_allclose(project_l1_ball(p), p, atol=1e-15)
    np.testing.assert_array_equal(project_l1_ball(-x), -p)
    # the normal cone: the residual is largest in size where p is, and parallel to it
    assert abs((x - p) @ p - np.max(np.abs(x - p)) * np.abs(p).sum()) <= 1e-13 * n


def test_the_ball_on_infinities_and_extremes():
    x = np.array([[np.inf, -np.inf, 3.0], [np.nan, 1.0, 1.0], [1e308, -1e308, 1e308], [0.1, -0.2, 0.3]])
    p = project_l1_ball(x)
    assert p[0].tolist() == [0.5, -0.5, 0.0]
    assert np.isnan(p[1]).all()
    np.testing.assert_allclose(p[2], np.array([1, -1, 1]) / 3, rtol=1e-15)
    assert p[3].tolist() == x[3].tolist()
    assert project_l1_ball(x[3:], 0.0).tolist() == [[0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(project_l1_ball(x.T, axis=0), p.T)


def test_a_long_ball_goes_through_the_kernel():
    x = np.random.default_rng(0).standard_normal(600_000)
    p = project_l1_ball(x, 50.0)
    np.testing.assert_array_equal(p, np.sign(x) * project_simplex(np.abs(x), 50.0))


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 10**6))
def test_the_sparse_simplex_is_the_best_of_all_supports(n, k, seed):
    k = min(k, n)
    x = np.random.default_rng(seed).integers(-3, 4, n).astype(float)
    p = project_sparse_simplex(x, k)
    assert np.count_nonzero(p) <= k
    assert p.sum() == pytest.approx(1, abs=1e-15)
    distances = []
    for support in combinations(range(n), k):
        q = np.zeros(n)
        q[list(support)] = project_simplex(x[list(support)])
        distances.append(np.linalg.norm(q - x))
    assert np.linalg.norm(p - x) == pytest.approx(min(distances), abs=1e-14)


def test_among_equals_the_first_are_kept():
    assert project_sparse_simplex(np.zeros(5), 2).tolist() == [0.5, 0.5, 0.0, 0.0, 0.0]
    assert project_sparse_simplex(np.array([1.0, 2.0, 2.0, 2.0]), 2).tolist() == [0.0, 0.5, 0.5, 0.0]


def test_the_sparse_simplex_along_an_axis_with_missing_entries():
    x = np.array([[1.0, np.nan], [2.0, 0.0], [-np.inf, 1.0]])
    p = project_sparse_simplex(x, 2, 3.0, axis=0)
    assert p[:, 0].tolist() == [1.0, 2.0, 0.0]
    assert np.isnan(p[:, 1]).all()
    with pytest.raises(ValueError, match=r"k must be in 1..n = 1..3, got 4"):
        project_sparse_simplex(x, 4, axis=0)
    with pytest.raises(TypeError, match="k must be an int"):
        project_sparse_simplex(x, 2.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 6])
@pytest.mark.parametrize("size", [1e-320, 1e-300, 1.0, 1e300, 1.7e308])
def test_the_ball_keeps_its_digits_at_every_scale_of_radius_and_entries(size, n, dtype):
    rng = np.random.default_rng(n)
    largest = float(np.finfo(dtype).max)
    for radius in (min(r, largest) for r in (1e-320, 1e-300, 1e-160, 1.0, 1e160, 1e300, 1.7e308)):
        x = (rng.uniform(-1, 1, n) * min(size, largest)).astype(dtype)
        p = project_l1_ball(x, radius)
        if np.abs(x.astype(np.longdouble)).sum() <= radius:
            assert p.tolist() == x.tolist()
            continue
        expected, _ = exact_projection([abs(v) for v in x.tolist()], radius)
        rounding = 8 * np.finfo(dtype).eps * float(max(expected)) + 1.5 * float(np.finfo(dtype).smallest_subnormal)
        for found, wanted, entry in zip(p.tolist(), expected, x.tolist(), strict=True):
            assert abs(float(wanted) * np.sign(entry) - found) <= rounding
        assert np.isfinite(project_l1_ball_vjp(p, np.full_like(x, largest / 2), radius=radius)).all()


def test_options_beyond_single_precision_are_the_nearest_in_it():
    x = np.array([0.0, 1.0, 3.0], dtype=np.float32)
    assert softmax(x, temperature=1e-300).tolist() == [0.0, 0.0, 1.0]
    np.testing.assert_allclose(softmax(x, temperature=1e300), 1 / 3, rtol=1e-6)
    assert project_l1_ball(x, 1e300).tolist() == x.tolist()
    assert project_simplex(x, 1e-300).max() <= 2e-45
