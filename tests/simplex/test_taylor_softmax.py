"""Taylor softmax: exact against fractions at every order, positive, and honest about where it is not monotone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina.simplex import softmax, taylor_softmax, taylor_softmax_jvp, taylor_softmax_vjp
from tests.reference.simplex_losses import exact_taylor

INF, NAN = np.inf, np.nan
EPS = np.finfo(float).eps


@pytest.mark.parametrize("order", [2, 4, 6, 10, 20])
@given(n=st.integers(1, 6), seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-3, 1, 10, 1e6]))
def test_it_is_the_polynomial_also_where_its_terms_cancel(order, n, seed, scale):
    x = np.random.default_rng(seed).normal(0, scale, n)
    # T(x) has the condition x T'(x) / T(x), at most about order + |x| near the roots' real parts
    bound = 8 * EPS * (order + 1) ** 2
    np.testing.assert_allclose(taylor_softmax(x, order), exact_taylor(x, order), rtol=bound, atol=bound * 1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", [2, 8, 30, 100])
def test_probabilities_are_positive_where_horners_scheme_is_not(order, dtype):
    x = np.linspace(-0.4 * order, 3, 200).astype(dtype)
    p = taylor_softmax(x, order)
    assert np.all(p > 0)
    assert np.isfinite(p).all()
    assert p.sum() == pytest.approx(1, abs=1e-5)


def test_high_orders_tend_to_softmax():
    x = np.random.default_rng(0).normal(size=(5, 8))
    np.testing.assert_allclose(taylor_softmax(x, 40), softmax(x), rtol=1e-12)


def test_it_is_not_monotone_below_its_domain_and_monotone_within():
    np.testing.assert_allclose(taylor_softmax([-4.0, -1.0, 0.0]), [10 / 13, 1 / 13, 2 / 13], rtol=4 * EPS)
    for order, root in [(2, -1.0), (4, -1.5960716), (6, -2.1806071)]:
        assert np.all(np.diff(taylor_softmax(np.linspace(root, 3, 100), order)) > 0)
        assert np.diff(taylor_softmax(np.linspace(root - 0.2, root, 2), order)) < 0


def test_infinities_masks_and_nan():
    rows = [[1.0, INF, 0, -1], [INF, INF, 0, -INF], [-INF, -INF, -INF, 2], [-INF] * 4, [NAN, 1, 2, 3]]
    p = taylor_softmax(np.array(rows))
    assert np.array_equal(p[:3], [[0, 1, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 1]])
    assert np.isnan(p[3:]).all()
    x = np.array([[1.0, NAN, -2.0], [0.0, 1.0, 2.0]])
    p = taylor_softmax(x, where=[[True, False, True], [False] * 3])
    np.testing.assert_allclose(p[0], [2.5 / 3.5, 0, 1 / 3.5], rtol=4 * EPS)
    assert not p[1].any()


@pytest.mark.parametrize("scale", [1e-300, 1e-10, 1e10, 1e300])
def test_no_scale_overflows(scale):
    p = taylor_softmax(np.array([1.0, 2.0, -2.0]) * scale, 6)
    assert p.sum() == pytest.approx(1)
    expected = [1 / 129, 64 / 129, 64 / 129] if scale > 1 else [1 / 3] * 3
    np.testing.assert_allclose(p, expected, rtol=1e-8)


def test_derivatives_agree_with_differences_for_any_axis_temperature_and_mask():
    rng = np.random.default_rng(0)
    x, v, g = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4, 5))
    options = {"axis": 1, "temperature": np.array([0.7, 1, 2])[:, None, None], "where": rng.random((3, 4, 5)) < 0.8}
    for order in (2, 4):
        step = 1e-6
        difference = taylor_softmax(x + step * v, order, **options) - taylor_softmax(x - step * v, order, **options)
        jvp = taylor_softmax_jvp(x, v, order, **options)
        vjp = taylor_softmax_vjp(x, g, order, **options)
        np.testing.assert_allclose(jvp, difference / (2 * step), atol=1e-8)
        assert np.sum(vjp * v) == pytest.approx(np.sum(jvp * g), rel=1e-12)
        assert not vjp[~options["where"]].any()


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        (3, ValueError, "order must be even and in 2..100, got 3"),
        (0, ValueError, "order must be even"),
        (102, ValueError, "order must be even"),
        (2.0, TypeError, "order must be an int"),
        (True, TypeError, "order must be an int"),
    ],
)
def test_bad_orders_are_named(order, error, message):
    with pytest.raises(error, match=message):
        taylor_softmax([1.0], order)


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match="cotangent must have the shape"):
        taylor_softmax_vjp([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="tangent must have the shape"):
        taylor_softmax_jvp([1.0, 2.0], [1.0])


def test_single_precision_stays():
    x = np.random.default_rng(0).normal(size=(4, 6))
    p = taylor_softmax(x.astype(np.float32), 4)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, taylor_softmax(x, 4), rtol=1e-5)
