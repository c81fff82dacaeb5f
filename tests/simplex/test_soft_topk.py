"""Soft top-k: both regularizers against their definitions, ties, infinities, masks and derivatives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina.simplex import project_simplex, soft_topk, soft_topk_jvp, soft_topk_vjp, softmax, topk_softmax
from tests.reference.simplex import exact_capped
from tests.reference.simplex_losses import exact_entropic_topk

INF, NAN = np.inf, np.nan
EPS = np.finfo(float).eps
both = pytest.mark.parametrize("regularizer", ["quadratic", "entropic"])


@given(n=st.integers(1, 5), k=st.integers(1, 5), seed=st.integers(0, 2**32 - 1), whole=st.booleans())
def test_the_quadratic_one_is_the_projection_onto_the_capped_simplex(n, k, seed, whole):
    k = min(n, k)
    x = np.random.default_rng(seed).normal(0, 1, n)
    x = np.round(2 * x) / 2 if whole else x
    expected = [float(v) for v in exact_capped(x, [0] * n, [1] * n, k)]
    np.testing.assert_allclose(soft_topk(x, k), expected, atol=4 * EPS)


@given(
    n=st.integers(1, 9),
    k=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-3, 1, 10, 100, 1e4]),
    gap=st.sampled_from([0, 1, 50, 500]),
)
def test_the_entropic_one_is_a_shifted_sigmoid_of_sum_k(n, k, seed, scale, gap):
    k = min(n, k)
    x = np.random.default_rng(seed).normal(0, scale, n)
    x[: n // 2] += gap
    p = soft_topk(x, k, regularizer="entropic")
    np.testing.assert_allclose(p, exact_entropic_topk(x, k), rtol=0, atol=16 * EPS)


def test_the_entropic_threshold_is_found_on_many_thousand_rows():
    rng = np.random.default_rng(0)
    worst = 0.0
    for n in (2, 3, 10, 100, 1000):
        for scale in (1e-8, 1e-2, 1, 30, 1e3, 1e8):
            x = rng.normal(0, scale, (200, n))
            x[::3] = np.round(x[::3])
            x[::5, : n // 3] = x[::5, :1]
            for k in {1, max(1, n // 7), n // 2, n - 1}:
                total = soft_topk(x, k, regularizer="entropic").sum(axis=-1)
                worst = max(worst, np.max(np.abs(total - k)) / (k * np.sqrt(n)))
    assert worst < 8 * EPS


@both
def test_it_tends_to_the_indicator_of_the_largest(regularizer):
    x = np.random.default_rng(0).normal(size=(5, 9))
    p = soft_topk(x, 3, 1e-4, regularizer=regularizer)
    np.testing.assert_allclose(p, topk_softmax(x, 3) > 0, atol=1e-12)


def test_one_of_n_is_the_projection_onto_the_simplex_when_no_cap_binds():
    x = np.random.default_rng(0).normal(size=(5, 9)) / 4
    np.testing.assert_allclose(soft_topk(x, 1), project_simplex(x), atol=4 * EPS)
    # the entropic one of n = 2 and k = 1 is softmax at half the distance: sigmoid(d / 2) of both sides
    np.testing.assert_allclose(soft_topk(x[:, :2], 1, regularizer="entropic"), softmax(x[:, :2] / 2), atol=4 * EPS)


@both
def test_equal_entries_get_equal_weights_also_at_place_k(regularizer):
    p = soft_topk(np.array([1.0, 1.0, 1.0, -300.0]), 2, regularizer=regularizer)
    np.testing.assert_allclose(p, [2 / 3, 2 / 3, 2 / 3, 0], atol=4 * EPS)
    assert np.array_equal(soft_topk(np.zeros(4), 4, regularizer=regularizer), np.ones(4))


@both
def test_infinities_and_nan_stay_in_their_rows(regularizer):
    rows = [[INF, 300, 0, -1], [INF, INF, 1, 0], [INF, INF, INF, 0], [-INF, -INF, -INF, 1], [-INF] * 4, [NAN, 1, 2, 3]]
    p = soft_topk(np.array(rows), 2, regularizer=regularizer)
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [2 / 3, 2 / 3, 2 / 3, 0], [0, 0, 0, 1], [0] * 4, [NAN] * 4]
    np.testing.assert_allclose(p, expected, atol=4 * EPS)


@both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("temperature", [1.0, 0.01, 1e-300])
def test_entries_at_the_ends_of_the_range_are_chosen_or_not(temperature, dtype, regularizer):
    most = np.finfo(dtype).max
    x = np.array([[1e30, 0, -most], [most, 0, -most], [most, most, 1], [-most, -most, -most]], dtype=dtype)
    for k, expected in ((1, [[1, 0, 0], [1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3]), (3, np.ones((4, 3)))):
        np.testing.assert_allclose(
            soft_topk(x, k, temperature, regularizer=regularizer), expected, rtol=2e-7, atol=4 * EPS
        )
    p = soft_topk(x, 2, temperature, regularizer=regularizer, where=[True, False, True])
    assert p.tolist() == [[1.0, 0.0, 1.0]] * 4


@both
def test_masked_entries_are_as_if_they_were_not_there(regularizer):
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(8, 6)), rng.random((8, 6)) < 0.5
    mask[0], mask[1, :] = False, [True] + [False] * 5
    x[~mask] = NAN
    p = soft_topk(x, 2, regularizer=regularizer, where=mask)
    assert not p[~mask].any()
    for i in range(1, 8):
        few = min(2, mask[i].sum())
        alone = soft_topk(x[i][mask[i]], int(few), regularizer=regularizer)
        np.testing.assert_allclose(p[i][mask[i]], alone, atol=8 * EPS)


@both
def test_an_offset_of_1e8_in_single_precision_and_half_precision(regularizer):
    x = np.array([[24.0, 8.0, 0.0, -16.0]], dtype=np.float32)
    np.testing.assert_array_equal(
        soft_topk(x + np.float32(1e8), 2, 8.0, regularizer=regularizer), soft_topk(x, 2, 8.0, regularizer=regularizer)
    )
    half = soft_topk(x.astype(np.float16), 2, 8.0, regularizer=regularizer)
    assert half.dtype == np.float32
    np.testing.assert_array_equal(half, soft_topk(x, 2, 8.0, regularizer=regularizer))


@both
def test_derivatives_agree_with_differences_on_any_axis(regularizer):
    rng = np.random.default_rng(0)
    x, v, g = rng.normal(size=(3, 7, 2)), rng.normal(size=(3, 7, 2)), rng.normal(size=(3, 7, 2))
    heat = np.array([0.5, 1.0, 2.0])[:, None, None]
    options = {"regularizer": regularizer, "axis": 1}
    p = soft_topk(x, 2, heat, **options)
    difference = (soft_topk(x + 1e-6 * v, 2, heat, **options) - soft_topk(x - 1e-6 * v, 2, heat, **options)) / 2e-6
    jvp = soft_topk_jvp(p, v, temperature=heat, **options)
    np.testing.assert_allclose(jvp, difference, atol=1e-8)
    assert np.sum(soft_topk_vjp(p, g, temperature=heat, **options) * v) == pytest.approx(np.sum(jvp * g), rel=1e-12)


def test_saturated_weights_have_no_derivative():
    p = soft_topk(np.array([500.0, 0.0, -500.0]), 1, regularizer="entropic")
    assert not soft_topk_vjp(p, np.ones(3), regularizer="entropic")[[0, 2]].any()
    assert np.isfinite(soft_topk_vjp(p, np.array([1.0, 2.0, 3.0]), regularizer="entropic")).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: soft_topk([1.0, 2.0], 3), ValueError, r"k must be in 1..n = 1..2, got 3"),
        (lambda: soft_topk([1.0, 2.0], True), TypeError, "k must be an int"),
        (lambda: soft_topk([1.0], 1, -1.0), ValueError, "temperature must be positive"),
        (lambda: soft_topk([1.0], 1, regularizer="l1"), ValueError, "regularizer must be one of 'quadratic'"),
        (lambda: soft_topk_vjp([1.0], [1.0, 2.0]), ValueError, "cotangent must have the shape"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
