"""Losses: their values in all digits against definitions, what they bound, their gradients, targets of every kind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina.simplex import (
    cross_entropy,
    entmax,
    entmax_loss,
    fenchel_young_loss,
    margin_softmax_loss,
    softmax,
    sparse_softmax_loss,
    sparsemax,
    sparsemax_loss,
    topk_softmax,
)
from tests.reference.simplex_losses import by_size, exact_cross_entropy, exact_loss

INF, NAN = np.inf, np.nan
EPS = np.finfo(float).eps
ALPHAS = [1.0, 1.0 + 1e-9, 1.01, 1.5, 2.0, 3.0]
LOSSES = {
    "cross_entropy": cross_entropy,
    "margin_softmax": lambda x, y, **o: margin_softmax_loss(x, y, 0.3, 2.0, **o),
    "sparse_softmax": lambda x, y, **o: sparse_softmax_loss(x, y, 2, **o),
    "sparse_softmax+": lambda x, y, **o: sparse_softmax_loss(x, y, 2, include_target=True, **o),
    "softmax": fenchel_young_loss,
    "sparsemax": sparsemax_loss,
    "entmax": entmax_loss,
    "entmax(1.2)": lambda x, y, **o: entmax_loss(x, y, 1.2, **o),
}
each = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def loss_of(alpha):
    """Return the Fenchel-Young loss of entmax at ``alpha``."""
    return lambda x, y, **options: fenchel_young_loss(x, y, "entmax", alpha, **options)


@given(n=st.integers(1, 7), seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.1, 1, 30]), soft=st.booleans())
def test_cross_entropy_has_its_digits(n, seed, scale, soft):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, scale, n)
    y = rng.dirichlet(np.ones(n)) if soft else np.eye(n)[rng.integers(n)]
    expected = exact_cross_entropy(x, y)
    # relative to the loss, whose condition by x is the spread of the logits
    bound = 4 * EPS * (1 + np.ptp(x)) * expected + 8 * EPS * np.ptp(x) * soft
    assert abs(cross_entropy(x, y) - expected) <= bound + 1e-39


def test_the_loss_of_a_certain_answer_is_small_and_not_zero():
    for gap in (10.0, 40.0, 300.0, 700.0):
        x = np.array([[gap, 0.0, 0.0]])
        for loss in (cross_entropy, fenchel_young_loss):
            assert loss(x, [0])[0] == pytest.approx(2 * np.exp(-gap), rel=1e-13 if gap > 20 else 1e-4)


@given(n=st.integers(1, 7), k=st.integers(1, 7), seed=st.integers(0, 2**32 - 1), whole=st.booleans())
def test_the_sparse_loss_sums_over_the_k_largest(n, k, seed, whole):
    rng = np.random.default_rng(seed)
    k, t = min(n, k), rng.integers(n)
    x = rng.normal(0, 2, n)
    x = np.round(x) if whole else x
    members, y = set(by_size(x)[:k]), np.eye(n)[t]
    assert sparse_softmax_loss(x, t, k) == pytest.approx(exact_cross_entropy(x, y, members), rel=1e-13, abs=1e-14)
    both = sparse_softmax_loss(x, t, k, include_target=True)
    assert both == pytest.approx(exact_cross_entropy(x, y, members | {int(t)}), rel=1e-13, abs=1e-14)


def test_the_sparse_loss_of_a_target_outside_is_finite_and_moves_it():
    x = np.array([3.0, 2.0, 1.0, -5.0])
    value, gradient = sparse_softmax_loss(x, 3, 2, return_gradient=True)
    assert value > np.log(2)
    np.testing.assert_allclose(gradient, topk_softmax(x, 2) - np.eye(4)[3])
    assert -np.log(softmax(x)[3]) > value


def test_the_sparse_loss_is_continuous_and_convex_where_the_target_comes_in():
    t = np.linspace(-2, 4, 601)
    x = np.stack([np.full_like(t, 1.0), np.full_like(t, 0.5), t], axis=-1)
    value = sparse_softmax_loss(x, np.full(601, 2), 2)
    assert np.max(np.abs(np.diff(value))) < 0.0101
    assert np.min(np.diff(value, 2)) > -1e-12


def test_k_equal_to_n_gives_the_cross_entropy():
    x = np.random.default_rng(0).normal(size=(6, 5))
    np.testing.assert_allclose(sparse_softmax_loss(x, np.arange(6) % 5, 5), cross_entropy(x, np.arange(6) % 5))


def test_the_margin_loss_is_its_formula_and_grows_with_the_margin():
    rng = np.random.default_rng(0)
    x, t = rng.uniform(-1, 1, (5, 4)), np.array([0, 1, 2, 3, 0])
    for margin in (0.0, 0.2, 0.5):
        others = [np.delete(row, i) for row, i in zip(x, t, strict=True)]
        formula = [np.log1p(np.sum(np.exp(8 * (o - row[i] + margin)))) for o, row, i in zip(others, x, t, strict=True)]
        np.testing.assert_allclose(margin_softmax_loss(x, t, margin, 8.0), formula, rtol=1e-13)
    np.testing.assert_allclose(margin_softmax_loss(x, t, 0.0, 8.0), cross_entropy(8 * x, t), rtol=1e-12)


def test_the_margin_is_not_lost_in_an_offset():
    x = np.array([[0.0, 0.0]], dtype=np.float32)
    np.testing.assert_array_equal(margin_softmax_loss(x + np.float32(1e8), [0]), margin_softmax_loss(x, [0]))
    assert margin_softmax_loss(x, [0])[0] > 10


@pytest.mark.parametrize("alpha", ALPHAS)
@given(n=st.integers(1, 6), seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.1, 1, 5]), soft=st.booleans())
def test_fenchel_young_losses_are_their_definition(alpha, n, seed, scale, soft):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, scale, n)
    y = rng.dirichlet(np.full(n, 0.5)) if soft else np.eye(n)[rng.integers(n)]
    expected = exact_loss(x, y, alpha)
    tolerance = 1e-14 if alpha <= 2 else 1e-12  # beyond 2 entries near the threshold are ill-conditioned
    assert loss_of(alpha)(x, y) == pytest.approx(expected, rel=20 * tolerance, abs=tolerance)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_they_are_zero_exactly_where_the_prediction_is_the_target(alpha):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6))
    p = entmax(x, alpha)
    loss = loss_of(alpha)
    assert np.all(loss(x, p) >= 0)
    assert np.all(loss(x, p) < 4 * EPS)
    for distance in (1e-6, 1e-4, 1e-2):
        moved = entmax(x + distance * rng.normal(size=x.shape), alpha)
        apart = np.sum((moved - p) ** 2, axis=-1)
        some = apart > 1e-18
        assert np.all(loss(x, moved)[some] > 0)
        if alpha <= 2:
            assert np.all(loss(x, moved) >= apart / 2 * (1 - 1e-3) - 4 * EPS)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0, 3.0])
def test_a_lead_of_the_margin_costs_nothing(alpha):
    lead = 1 / (alpha - 1)
    assert loss_of(alpha)(np.array([lead * (1 + 1e-12), 0.0, 0.0]), 0) == 0
    assert loss_of(alpha)(np.array([lead * 0.9, 0.0, 0.0]), 0) > 0


def test_sparsemax_loss_is_the_formula_of_its_article():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(20, 7)), rng.integers(0, 7, 20)
    p, tau, _ = sparsemax(x, return_threshold=True)
    inner = np.where(p > 0, x**2 - tau[:, None] ** 2, 0).sum(axis=-1) / 2
    np.testing.assert_allclose(sparsemax_loss(x, t), 0.5 - x[np.arange(20), t] + inner, atol=1e-14)


def test_the_losses_of_softmax_are_the_cross_entropy_less_the_entropy_of_the_target():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 6)), rng.dirichlet(np.ones(6), 5)
    np.testing.assert_allclose(
        fenchel_young_loss(x, y), cross_entropy(x, y) + np.sum(y * np.log(y), axis=-1), atol=1e-14
    )
    np.testing.assert_allclose(fenchel_young_loss(x, [0, 1, 2, 3, 4]), cross_entropy(x, [0, 1, 2, 3, 4]), rtol=1e-13)


@each
@pytest.mark.parametrize("soft", [False, True])
def test_gradients_agree_with_differences(loss, soft):
    rng = np.random.default_rng(1)
    x, v = rng.normal(size=(2, 4, 5, 3)) / 2
    target = rng.dirichlet(np.ones(5), (4, 3)).swapaxes(1, 2) if soft else rng.integers(0, 5, (4, 3))
    value, gradient = loss(x, target, axis=1, return_gradient=True)
    assert value.shape == (4, 3)
    assert gradient.shape == x.shape
    difference = (loss(x + 1e-6 * v, target, axis=1) - loss(x - 1e-6 * v, target, axis=1)) / 2e-6
    np.testing.assert_allclose(np.sum(gradient * v, axis=1), difference, atol=1e-8)


@pytest.mark.parametrize("name", [n for n in LOSSES if n != "margin_softmax"])
def test_the_temperature_divides_the_logits_and_the_gradient(name):
    rng = np.random.default_rng(0)
    x, t, heat = rng.normal(size=(4, 5)), rng.integers(0, 5, 4), np.array([0.5, 1, 2, 3])[:, None]
    value, gradient = LOSSES[name](x, t, temperature=heat, return_gradient=True)
    expected, slope = LOSSES[name](x / heat, t, return_gradient=True)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, slope / heat, atol=1e-14)


@each
def test_an_index_is_its_one_hot_distribution(loss):
    x = np.random.default_rng(0).normal(size=(4, 5))
    t = np.array([0, 4, 2, 1], dtype=np.uint8)
    np.testing.assert_array_equal(loss(x, t), loss(x, np.eye(5)[t]))
    np.testing.assert_array_equal(loss(x, t.tolist()), loss(x, t))
    assert loss(x[0], 0) == loss(x, t)[0]


@each
def test_masked_entries_are_as_if_they_were_not_there(loss):
    rng = np.random.default_rng(0)
    x, mask, t = rng.normal(size=(6, 8)), rng.random((6, 8)) < 0.7, rng.integers(0, 8, 6)
    mask[np.arange(6), t] = True
    mask[0] = False
    x[~mask] = NAN
    value, gradient = loss(x, t, where=mask, return_gradient=True)
    assert value[0] == 0
    assert not gradient[~mask].any()
    for i in range(1, 6):
        alone, slope = loss(x[i][mask[i]], np.eye(8)[t[i]][mask[i]], return_gradient=True)
        assert value[i] == pytest.approx(alone, rel=1e-12, abs=1e-15)
        np.testing.assert_allclose(gradient[i][mask[i]], slope, atol=1e-14)


@each
def test_infinities_and_nan_stay_in_their_rows(loss):
    x = np.array([[INF, 0.0, 1.0], [NAN, 0, 1], [-INF] * 3, [0, 1, 2]])
    value = loss(x, [1, 0, 0, 2])
    assert value[0] == INF
    assert np.isnan(value[1:3]).all()
    assert np.isfinite(value[3])
    if loss is not LOSSES["margin_softmax"]:
        assert loss(x, [0, 0, 0, 0])[0] == 0
    assert loss(np.array([-INF, 0.0]), 0) == INF
    assert np.isnan(loss(np.zeros((2, 3)), np.array([[NAN, 0, 0], [1, 0, 0]]))).tolist() == [True, False]


@each
def test_single_and_half_precision(loss):
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float16)
    single, gradient = loss(x.astype(np.float32), [0, 1, 2, 3], return_gradient=True)
    assert single.dtype == gradient.dtype == np.float32
    np.testing.assert_array_equal(loss(x, [0, 1, 2, 3]), single)
    np.testing.assert_allclose(single, loss(x.astype(float), [0, 1, 2, 3]), rtol=1e-5, atol=1e-6)
    offset = np.array([[24.0, 8.0, 0.0]], dtype=np.float32)
    np.testing.assert_array_equal(loss(offset + np.float32(1e8), [1]), loss(offset, [1]))


@each
@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ([0, 3], ValueError, r"target must hold classes in 0..n - 1 = 0..2"),
        ([0, -1], ValueError, r"target must hold classes in 0..n - 1"),
        ([0], ValueError, r"target must have the shape \(2,\)"),
        ([[0, 1, 0], [1, 0, 0]], ValueError, r"target must have the shape \(2,\) \(integers"),
        ([[0.5, 0.5], [1, 0]], ValueError, r"target must have the shape \(2, 3\) \(floats"),
        ([[-0.1, 0.5, 0.6], [1, 0, 0]], ValueError, "target must not be negative"),
        ([True, False], TypeError, "target must hold integers"),
        (["a", "b"], TypeError, "target must hold integers"),
        (None, TypeError, "target must hold integers"),
        ([[0.5], [0.5, 0.5]], ValueError, "target must be a rectangular array"),
        ([1j, 0], TypeError, "target must hold integers"),
    ],
)
def test_bad_targets_are_named(loss, target, error, message):
    with pytest.raises(error, match=message):
        loss(np.zeros((2, 3)), target)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: margin_softmax_loss([1.0], 0, -1.0), ValueError, "margin must be finite and not negative"),
        (lambda: margin_softmax_loss([1.0], 0, 0.1, 0.0), ValueError, "scale must be positive"),
        (lambda: sparse_softmax_loss([1.0], 0, 2), ValueError, "k must be in 1..n = 1..1, got 2"),
        (lambda: fenchel_young_loss([1.0], 0, "hardmax"), ValueError, "mapping must be one of 'softmax'"),
        (lambda: entmax_loss([1.0], 0, 0.5), ValueError, "alpha must be finite and at least 1"),
        (lambda: cross_entropy([1j], 0), TypeError, "x must be real"),
        (lambda: cross_entropy(1.0, 0), ValueError, "x must have at least 1 dimensions"),
        (lambda: cross_entropy([1.0], 0, axis=1), ValueError, "axis must be in"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@each
@pytest.mark.parametrize("ignored", [-100, 2])
def test_ignored_rows_are_zero_and_a_mean_is_over_the_others(loss, ignored):
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((3, 5, 4)), rng.integers(0, 4, (3, 5))
    target[0, 1] = target[2, 3] = ignored
    keep = target != ignored
    inside = np.where(keep, target, 0)
    values, slopes = loss(x, inside, return_gradient=True)
    found, gradient = loss(x, target, ignore_index=ignored, return_gradient=True)
    np.testing.assert_array_equal(found, np.where(keep, values, 0))
    np.testing.assert_array_equal(gradient, np.where(keep[..., None], slopes, 0))
    mean, slope = loss(x, target, ignore_index=ignored, reduction="mean", return_gradient=True)
    assert mean.shape == ()
    assert mean == pytest.approx(values[keep].mean(), rel=1e-14)
    np.testing.assert_allclose(slope, gradient / keep.sum(), rtol=1e-14)
    assert loss(x, target, ignore_index=ignored, reduction="sum") == pytest.approx(values[keep].sum(), rel=1e-14)
    assert loss(x, inside, reduction="mean") == pytest.approx(values.mean(), rel=1e-14)
    assert np.isnan(loss(x, np.full((3, 5), -1), ignore_index=-1, reduction="mean"))


def test_a_row_left_out_altogether_is_not_in_the_mean():
    x, mask = np.random.default_rng(0).standard_normal((4, 3)), np.ones((4, 3), dtype=bool)
    mask[1] = False
    values = cross_entropy(x, [0, 1, 2, 0])
    assert cross_entropy(x, [0, 1, 2, 0], where=mask, reduction="mean") == pytest.approx(values[[0, 2, 3]].mean())


@each
def test_what_cannot_be_ignored_or_reduced_is_named(loss):
    x = np.zeros((2, 3))
    with pytest.raises(TypeError, match="ignore_index must be an int beside a target of integers, got float"):
        loss(x, [0, 1], ignore_index=1.0)
    with pytest.raises(TypeError, match=r"ignore_index must be .* got a target of distributions"):
        loss(x, np.full((2, 3), 1 / 3), ignore_index=1)
    with pytest.raises(ValueError, match="reduction must be one of 'none', 'mean', 'sum', got 'average'"):
        loss(x, [0, 1], reduction="average")
    with pytest.raises(ValueError, match="target must hold classes in"):
        loss(x, [0, -7], ignore_index=-8)


@pytest.mark.parametrize("rows", [3, 3000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_and_short_batches_have_the_same_losses_and_gradients(rows, dtype):
    rng = np.random.default_rng(0)
    x, target = (4 * rng.standard_normal((rows, 9))).astype(dtype), rng.integers(0, 9, rows)
    value, gradient = cross_entropy(x, target, return_gradient=True)
    for i in range(3):
        expected = exact_cross_entropy(x[i], np.eye(9)[target[i]])
        assert value[i] == pytest.approx(expected, rel=30 * float(np.finfo(dtype).eps))
        np.testing.assert_allclose(
            gradient[i], softmax(x[i].astype(float)) - np.eye(9)[target[i]], atol=2 * np.finfo(dtype).eps
        )
