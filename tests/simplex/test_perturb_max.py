"""Perturbed maximum: the quadrature against its definition, its stated error, and the derivative."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lina.simplex import perturb_max, perturb_max_jvp, perturb_max_vjp, softmax
from lina.simplex._noise import log_ndtr
from tests.reference.simplex_losses import NOISES, exact_perturbed

INF, NAN = np.inf, np.nan
EPS = np.finfo(float).eps
each = pytest.mark.parametrize("noise", NOISES)


@each
@settings(max_examples=6)
@given(n=st.integers(1, 5), seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.3, 1.0, 4.0]))
def test_it_is_the_expectation_of_the_article(noise, n, seed, scale):
    x = np.random.default_rng(seed).normal(0, 0.7, n)
    np.testing.assert_allclose(perturb_max(x, noise, scale), exact_perturbed(x, noise, scale), rtol=0, atol=2e-14)


@pytest.mark.parametrize("shape", [(5, 1), (5, 3), (5, 100), (2, 10_000)])
def test_gumbel_noise_is_softmax(shape):
    x = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_allclose(perturb_max(x, "gumbel", 1.5), softmax(x / 1.5), rtol=0, atol=1e-13)


def test_the_normal_distribution_has_its_digits_in_every_library():
    import array_api_strict
    from scipy.special import log_ndtr as of_scipy

    z = np.r_[np.linspace(-12, 12, 2001), -1e3, -1e6, 40, 1e6, np.geomspace(1e-20, 1, 30)]
    found = np.from_dlpack(log_ndtr(array_api_strict, array_api_strict.asarray(z)))
    np.testing.assert_allclose(found, of_scipy(z), rtol=8 * EPS, atol=2 * EPS)


def test_two_entries_have_closed_forms():
    from scipy.stats import norm

    d = np.linspace(-6, 6, 25)
    x = np.stack([d, 0 * d], axis=-1)
    np.testing.assert_allclose(perturb_max(x)[:, 0], norm.cdf(d / np.sqrt(2)), rtol=0, atol=1e-14)
    triangle = np.where(np.abs(d) < 1, np.where(d < 0, (1 + d) ** 2 / 2, 1 - (1 - d) ** 2 / 2), d > 0)
    np.testing.assert_allclose(perturb_max(x, "uniform")[:, 0], triangle, rtol=0, atol=4 * EPS)


@each
def test_equal_entries_share_alike_and_order_is_kept(noise):
    for n in (1, 2, 7, 40):
        np.testing.assert_allclose(perturb_max(np.zeros(n), noise), np.full(n, 1 / n), atol=1e-14)
    x = np.sort(np.random.default_rng(0).normal(size=30)) / 3
    assert np.all(np.diff(perturb_max(x, noise)) > -EPS)


@each
@pytest.mark.parametrize("nodes", [16, 24, 32, 48, 64, 96, 128, 256])
def test_the_stated_error_bounds_the_true_one(noise, nodes):
    rng = np.random.default_rng(0)
    for n in (2, 10, 100) if noise != "uniform" else (2, 10, 60):
        x = rng.normal(size=(4, n)) * rng.choice([0.1, 1, 3], (4, 1))
        x[0] = 0
        p, error = perturb_max(x, noise, nodes=nodes, return_error=True)
        fine = perturb_max(x, noise, nodes=2048)
        assert error.shape == (4,)
        assert np.all(np.max(np.abs(p - fine), axis=-1) <= error + 1e-13)


def test_the_rule_converges_exponentially():
    x = np.random.default_rng(0).normal(size=20)
    exact = perturb_max(x, nodes=1024)
    errors = [np.max(np.abs(perturb_max(x, nodes=n) - exact)) for n in (16, 32, 64)]
    assert errors[1] < errors[0] / 10
    assert errors[2] < errors[1] ** 2 * 10


def test_uniform_noise_errs_below_only_and_by_what_is_missing_in_the_sum():
    x = np.zeros(400)
    p, error = perturb_max(x, "uniform", nodes=16, return_error=True)
    assert error > 1e-4
    assert 0 < 1 / 400 - p[0] <= error
    assert error == pytest.approx(1 - p.sum())
    assert perturb_max(x, "uniform", nodes=1600, return_error=True)[1] < 1e-11  # 200 points are exact to degree 399


@each
def test_many_entries_need_no_more_nodes(noise):
    n = 20_000 if noise != "uniform" else 200
    x = np.random.default_rng(0).normal(size=n)
    p, error = perturb_max(x, noise, return_error=True)
    assert abs(p.sum() - 1) < 1e-11
    assert error < 1e-4


@each
def test_infinities_and_nan_stay_in_their_rows(noise):
    rows = [[1.0, INF, 0, -1], [INF, INF, 0, 1], [-INF, -INF, -INF, 2], [-INF] * 4, [NAN, 1, 2, 3]]
    p = perturb_max(np.array(rows), noise)
    np.testing.assert_allclose(p[:3], [[0, 1, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 1]], atol=1e-14)
    assert np.isnan(p[3:]).all()


@each
def test_masked_entries_are_as_if_they_were_not_there(noise):
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(5, 6)), rng.random((5, 6)) < 0.6
    mask[0] = False
    x[~mask] = NAN
    p = perturb_max(x, noise, where=mask)
    assert not p[~mask].any()
    for i in range(1, 5):
        np.testing.assert_allclose(p[i][mask[i]], perturb_max(x[i][mask[i]], noise), atol=1e-13)


@each
def test_offsets_and_single_and_half_precision(noise):
    x = np.array([[24.0, 8.0, 0.0, -16.0]], dtype=np.float32)
    p = perturb_max(x + np.float32(1e8), noise, 16.0)
    assert p.dtype == np.float32
    np.testing.assert_array_equal(p, perturb_max(x, noise, 16.0))
    np.testing.assert_array_equal(perturb_max(x.astype(np.float16), noise, 16.0), p)
    np.testing.assert_allclose(p, perturb_max(x.astype(float), noise, 16.0), atol=2e-6)


@each
def test_derivatives_agree_with_differences_on_any_axis(noise):
    rng = np.random.default_rng(0)
    x, v, g = (rng.normal(size=(2, 6, 3)) / 3 for _ in range(3))
    options = {"axis": 1, "scale": np.array([0.7, 2.0])[:, None, None], "where": rng.random((2, 6, 3)) < 0.8}
    difference = (perturb_max(x + 1e-5 * v, noise, **options) - perturb_max(x - 1e-5 * v, noise, **options)) / 2e-5
    jvp = perturb_max_jvp(x, v, noise, **options)
    vjp = perturb_max_vjp(x, g, noise, **options)
    np.testing.assert_allclose(jvp, difference, atol=1e-8)
    assert np.sum(vjp * v) == pytest.approx(np.sum(jvp * g), rel=1e-11)
    assert not vjp[~options["where"]].any()
    np.testing.assert_allclose(jvp.sum(axis=1), 0, atol=1e-13)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: perturb_max([1.0], "cauchy"), ValueError, "noise must be one of 'gaussian'"),
        (lambda: perturb_max([1.0], scale=0.0), ValueError, "scale must be positive and finite, got 0.0"),
        (lambda: perturb_max([1.0], scale="a"), TypeError, "scale must be a number"),
        (lambda: perturb_max([1.0], nodes=8), ValueError, "nodes must be at least 16, got 8"),
        (lambda: perturb_max([1.0], nodes=1e3), TypeError, "nodes must be an int"),
        (lambda: perturb_max(3.0), ValueError, "x must have at least 1 dimensions"),
        (lambda: perturb_max_vjp([1.0], [1.0, 2.0]), ValueError, "cotangent must have the shape"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
