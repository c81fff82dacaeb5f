"""Entropic projections and mirror steps: optimality, caps, ranges, and what has no projection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina.simplex import kl_project, prox_kl, softmax


@given(st.integers(1, 8), st.integers(0, 10**6))
def test_capped_projections_are_optimal(n, seed):
    """p = min(c x, upper) for one c, of the right sum, is the condition of Karush, Kuhn and Tucker."""
    rng = np.random.default_rng(seed)
    x, upper = rng.integers(0, 5, n).astype(float), rng.integers(0, 6, n) / 2
    x[0], upper[0] = 1.0, 1.0
    upper[rng.random(n) < 0.2] = np.inf
    radius = min(upper[x > 0].sum(), 3.0) * rng.choice([1, 0.5, 0.25, 1 / 3, 0])
    p = kl_project(x, radius, upper=upper)
    assert p.sum() == pytest.approx(radius, abs=1e-14)
    assert np.all((p <= upper) & (p[x == 0].sum() == 0))
    free = (x > 0) & (p < upper)
    if free.any():
        factor = (p[free] / x[free]).max()
        assert np.all(p[free] >= factor * x[free] - 1e-14)
        assert np.all(p[~free] <= factor * x[~free] + 1e-14)


def test_without_caps_it_scales_and_caps_out_of_reach_change_nothing():
    x = np.random.default_rng(0).random((5, 9))
    expected = 2 * x / x.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(kl_project(x, 2.0), expected, rtol=1e-15)
    np.testing.assert_allclose(kl_project(x, 2.0, upper=5.0), expected, rtol=1e-15)
    np.testing.assert_allclose(kl_project(x.T, 2.0, axis=0), expected.T, rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extremes_keep_their_digits(dtype):
    x = np.array([[1.0, 2.0, 5.0]], dtype=dtype)
    huge, tiny = (float(v) for v in (np.finfo(dtype).max / 8, np.finfo(dtype).tiny))
    for scale in (huge, tiny):
        p = kl_project(x * np.asarray(scale, dtype=dtype))
        np.testing.assert_allclose(p, [[0.125, 0.25, 0.625]], rtol=2 * np.finfo(dtype).eps)


def test_a_mirror_step_from_the_uniform_distribution_is_softmax():
    g = np.random.default_rng(0).standard_normal((4, 6)) * 50
    p = prox_kl(np.full((4, 6), 1 / 6), g, 0.5)
    np.testing.assert_allclose(p, softmax(-0.5 * g), rtol=1e-13)


@given(st.integers(2, 8), st.integers(0, 10**6))
def test_a_mirror_step_is_optimal(n, seed):
    """The gradient step * g + log(p / x) is constant on the support."""
    rng = np.random.default_rng(seed)
    x, g = rng.dirichlet(np.ones(n)), 20 * rng.standard_normal(n)
    x[rng.random(n) < 0.2] = 0
    x[0] = 0.5
    p = prox_kl(x, g, 0.7)
    inside = p > 1e-200
    assert p.sum() == pytest.approx(1, abs=1e-14)
    assert np.all(p[x == 0] == 0)
    assert np.ptp((0.7 * g + np.log(np.where(inside, p, 1)) - np.log(np.where(inside, x, 1)))[inside]) <= 1e-12


def test_steps_that_neither_factor_could_represent():
    p = prox_kl(np.array([1e-300, 1.0]), np.array([0.0, 300 * np.log(10.0)]))
    np.testing.assert_allclose(p, [0.5, 0.5], rtol=1e-12)
    assert prox_kl(np.array([1.0, 0.0]), np.array([1e6, -1e6])).tolist() == [1.0, 0.0]
    assert prox_kl(np.array([0.5, 0.5]), np.array([np.inf, 0.0])).tolist() == [0.0, 1.0]


def test_a_capped_mirror_step_is_the_projection_of_the_free_one():
    rng = np.random.default_rng(0)
    x, g = rng.dirichlet(np.ones(12)), rng.standard_normal(12)
    expected = kl_project(x * np.exp(-g), upper=0.15)
    np.testing.assert_allclose(prox_kl(x, g, upper=0.15), expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kl_project(np.array([1.0, -1.0])), "x must have entries that are finite and not negative"),
        (lambda: kl_project(np.array([1.0, np.nan])), "x must have entries that are finite"),
        (lambda: kl_project(np.zeros(3)), "x must have entries above 0 along the axis"),
        (lambda: kl_project(np.ones(3), upper=0.3), "upper must sum to at least radius where x is not 0"),
        (lambda: kl_project(np.ones(3), upper=-1.0), "upper must have entries that are not negative"),
        (lambda: kl_project(np.ones(3), -1.0), "radius must be finite and not negative"),
        (lambda: prox_kl(np.ones(3), np.ones(2)), r"gradient must have the shape \(3,\) of x"),
        (lambda: prox_kl(np.ones(3), np.ones(3), -1.0), "step must be a number, finite and not negative"),
    ],
)
def test_what_has_no_projection_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("upper", [None, 0.7])
def test_what_is_left_out_is_zero_and_the_rest_as_if_it_were_alone(upper):
    rng = np.random.default_rng(0)
    x, g, mask = rng.random((6, 9)), rng.standard_normal((6, 9)), rng.random((6, 9)) < 0.6
    mask[:, 0], mask[2] = True, False
    x[~mask], g[~mask] = -1.0, np.nan
    p, q = kl_project(x, upper=upper, where=mask), prox_kl(x, g, 0.5, upper=upper, where=mask)
    assert not p[~mask].any()
    assert not q[~mask].any()
    for i in (0, 1, 3, 4, 5):
        alone, slope = x[i][mask[i]], g[i][mask[i]]
        np.testing.assert_allclose(p[i][mask[i]], kl_project(alone, upper=upper), atol=1e-15)
        np.testing.assert_allclose(q[i][mask[i]], prox_kl(alone, slope, 0.5, upper=upper), atol=1e-15)
    with pytest.raises(ValueError, match=r"where must broadcast to \(6, 9\)"):
        kl_project(x, where=np.ones((2, 9), dtype=bool))
