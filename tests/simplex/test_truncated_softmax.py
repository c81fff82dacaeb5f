"""Softmax over the largest entries: which entries stay, ties, masks, infinities, and the derivatives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina.simplex import (
    softmax,
    threshold_softmax,
    topk_softmax,
    topk_softmax_jvp,
    topk_softmax_vjp,
    topp_softmax,
    topp_softmax_vjp,
)
from tests.reference.simplex_losses import exact_threshold, exact_topk, exact_topp

INF, NAN = np.inf, np.nan
EPS = np.finfo(float).eps
CALLS = {
    "topk": lambda x, **options: topk_softmax(x, 2, **options),
    "topp": lambda x, **options: topp_softmax(x, 0.6, **options),
    "threshold": lambda x, **options: threshold_softmax(x, 0.2, **options),
}
each = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@given(n=st.integers(1, 9), k=st.integers(1, 9), seed=st.integers(0, 2**32 - 1), whole=st.booleans())
def test_topk_keeps_the_k_largest_and_of_equal_ones_the_first(n, k, seed, whole):
    k = min(n, k)
    x = np.random.default_rng(seed).normal(0, 2, n)
    x = np.round(x) if whole else x
    p = topk_softmax(x, k)
    np.testing.assert_allclose(p, exact_topk(x, k), rtol=8 * EPS, atol=0)
    assert np.sum(p > 0) == k


@given(n=st.integers(1, 9), p=st.floats(0.01, 0.999), seed=st.integers(0, 2**32 - 1))
def test_topp_keeps_the_fewest_entries_that_hold_the_probability(n, p, seed):
    x = np.random.default_rng(seed).normal(0, 2, n)
    np.testing.assert_allclose(topp_softmax(x, p), exact_topp(x, p), rtol=8 * EPS, atol=0)


def test_topp_takes_the_first_of_equal_entries_at_the_edge():
    assert np.array_equal(topp_softmax(np.zeros(4), 0.5), [0.5, 0.5, 0, 0])
    assert np.array_equal(topp_softmax(np.zeros(4), 0.51) > 0, [True, True, True, False])


@pytest.mark.parametrize("p", [1e-300, 1e-17, 1e-3])
def test_the_largest_entry_stays_however_small_p_is(p):
    assert np.array_equal(topp_softmax(np.array([0.0, 2.0, 2.0]), p), [0, 1, 0])


def test_topp_sees_what_is_left_out_however_near_p_is_to_one():
    x = np.array([0.0, -20.0, -30.0, -40.0])  # beside the first: 2e-9, 9e-14, 4e-18
    for p, count in [(1 - 1e-8, 1), (1 - 1e-9, 2), (1 - 1e-13, 2), (1 - 5e-14, 3)]:
        assert np.sum(topp_softmax(x, p) > 0) == count
    assert np.array_equal(topp_softmax(x, 1.0), softmax(x))


def test_topp_of_many_single_precision_entries_is_decided_in_double():
    x = np.zeros(200_000, dtype=np.float32)
    x[7] = 20.0  # the others hold 4e-4 of the probability, in parts that single precision adds up to another sum
    rest = 199_999 / (199_999 + np.exp(20.0))
    for share in (0.25, 0.5, 0.75):
        kept = np.sum(topp_softmax(x, 1 - share * rest) > 0)
        assert abs(kept - (1 + (1 - share) * 199_999)) <= 2


@given(n=st.integers(1, 9), threshold=st.floats(0, 1), relative=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_threshold_keeps_what_reaches_it_and_the_largest(n, threshold, relative, seed):
    x = np.random.default_rng(seed).normal(0, 2, n)
    expected = exact_threshold(x, threshold, relative)
    np.testing.assert_allclose(threshold_softmax(x, threshold, relative=relative), expected, rtol=8 * EPS, atol=0)


def test_equal_largest_entries_stay_together_above_any_threshold():
    assert np.array_equal(threshold_softmax(np.array([1.0, 1.0, 0.0]), 1.0), [0.5, 0.5, 0])


@each
def test_everything_kept_is_softmax(call):
    x = np.random.default_rng(0).normal(size=(3, 5))
    np.testing.assert_allclose(topk_softmax(x, 5), softmax(x), rtol=4 * EPS)
    np.testing.assert_allclose(topp_softmax(x, 1), softmax(x), rtol=4 * EPS)
    np.testing.assert_allclose(threshold_softmax(x, 0), softmax(x), rtol=4 * EPS)


@each
def test_one_entry_is_certain(call):
    assert topk_softmax([3.0], 1) == topp_softmax([3.0], 0.5) == threshold_softmax([3.0], 0.5) == 1


@each
def test_infinities_and_nan_stay_in_their_rows(call):
    rows = [[1.0, INF, 0, -1], [INF, INF, 0, 1], [-INF, -INF, -INF, 2], [-INF] * 4, [NAN, 1, 2, 3], [0, 1, -3, -2]]
    p = call(np.array(rows))
    assert np.array_equal(p[0], [0, 1, 0, 0])
    assert np.array_equal(p[1], [0.5, 0.5, 0, 0])
    assert np.array_equal(p[2], [0, 0, 0, 1])
    assert np.isnan(p[3:5]).all()
    assert p[5].sum() == pytest.approx(1)


@each
def test_masked_entries_are_as_if_they_were_not_there(call):
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(6, 8)), rng.random((6, 8)) < 0.6
    mask[0] = False
    x[~mask] = NAN  # not even looked at
    p = call(x, where=mask)
    assert np.array_equal(p[0], np.zeros(8))
    assert not p[~mask].any()
    for i in range(1, 6):
        np.testing.assert_allclose(p[i][mask[i]], call(x[i][mask[i]]), rtol=4 * EPS)


@each
def test_any_axis_and_a_temperature_for_each_row(call):
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    for axis in (0, 1, -2, 2):
        moved = np.moveaxis(call(np.moveaxis(x, axis, -1)), -1, axis)
        np.testing.assert_array_equal(call(x, axis=axis), moved)
    heat = np.array([0.5, 1.0, 2.0])[:, None, None]
    np.testing.assert_allclose(call(x, temperature=heat), call(x / heat), rtol=16 * EPS)


@each
def test_an_offset_changes_nothing_in_single_precision(call):
    x = np.array([[3.0, 1.0, 0.0, -2.0]], dtype=np.float32) * 8
    np.testing.assert_array_equal(call(x + np.float32(1e8)), call((x + np.float32(1e8)) - np.float32(1e8)))
    assert call(x).dtype == np.float32


@each
def test_half_precision_is_computed_in_single(call):
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float16)
    np.testing.assert_array_equal(call(x), call(x.astype(np.float32)))


def test_the_derivatives_are_those_of_the_entries_that_stay():
    rng = np.random.default_rng(0)
    x, v, step = rng.normal(size=(4, 7)), rng.normal(size=(4, 7)), 1e-6
    for call in CALLS.values():
        p = call(x)
        difference = (call(x + step * v) - call(x - step * v)) / (2 * step)
        np.testing.assert_allclose(topk_softmax_jvp(p, v), difference, atol=1e-8)
        assert not topk_softmax_vjp(p, v)[p == 0].any()
    assert np.sum(topp_softmax_vjp(p, v) * v) == pytest.approx(np.sum(topk_softmax_jvp(p, v) * v))


def test_the_jacobian_of_softmax_has_the_l1_norm_two_times_one_minus_sum_of_squares():
    p = softmax(np.random.default_rng(0).normal(size=9))
    jacobian = np.array([topk_softmax_jvp(p, e) for e in np.eye(9)])
    assert np.abs(jacobian).sum() == pytest.approx(2 * (1 - np.sum(p**2)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: topk_softmax([1.0, 2.0], 3), ValueError, r"k must be in 1..n = 1..2, got 3"),
        (lambda: topk_softmax([1.0, 2.0], 0), ValueError, r"k must be in 1..n = 1..2, got 0"),
        (lambda: topk_softmax([1.0, 2.0], 1.5), TypeError, "k must be an int"),
        (lambda: topp_softmax([1.0], 0.0), ValueError, r"p must be in \(0, 1\], got 0.0"),
        (lambda: topp_softmax([1.0], 1.1), ValueError, r"p must be in \(0, 1\], got 1.1"),
        (lambda: topp_softmax([1.0], NAN), ValueError, r"p must be in \(0, 1\]"),
        (lambda: topp_softmax([1.0], "a"), TypeError, "p must be a number"),
        (lambda: threshold_softmax([1.0], -0.1), ValueError, r"threshold must be in \[0, 1\]"),
        (lambda: topk_softmax([1.0], 1, axis=1), ValueError, "axis must be in -1..0"),
        (lambda: topk_softmax(np.empty((2, 0)), 1), ValueError, "x must have entries along axis"),
        (lambda: topk_softmax([1.0], 1, where=[1]), TypeError, "where must be an array of booleans"),
        (lambda: topk_softmax([1.0], 1, temperature=0), ValueError, "temperature must be positive"),
        (lambda: topk_softmax([1j], 1), TypeError, "x must be real"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_no_rows_give_no_rows():
    for call in CALLS.values():
        assert call(np.empty((0, 3))).shape == (0, 3)
