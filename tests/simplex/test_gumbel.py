"""Gumbel draws: their frequencies, their relation to each other, reproducibility, masks."""

import numpy as np
import pytest
from scipy.stats import chisquare

from lina._core.random import generator
from lina.simplex import gumbel_max, gumbel_softmax, gumbel_softmax_jvp, softmax

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_indices_are_drawn_as_often_as_softmax_says(temperature):
    x = np.array([1.0, 0.0, -1.0, 2.0, -INF])
    index = gumbel_max(np.broadcast_to(x, (40_000, 5)), temperature=temperature, rng=0)
    counts = np.bincount(index, minlength=5)
    assert counts[4] == 0
    assert chisquare(counts[:4], 40_000 * softmax(x, temperature=temperature)[:4]).pvalue > 0.01


def test_the_largest_entry_of_a_soft_draw_is_the_draw_at_any_temperature():
    x = np.random.default_rng(0).normal(size=(500, 6))
    index = gumbel_max(x, rng=3)
    for temperature in (0.01, 1.0, 10.0):
        soft = gumbel_softmax(x, temperature, rng=3)
        assert np.array_equal(np.argmax(soft, axis=-1), index)
        np.testing.assert_allclose(soft.sum(axis=-1), 1, atol=1e-15)
        assert np.array_equal(gumbel_softmax(x, temperature, hard=True, rng=3), np.eye(6)[index])
    np.testing.assert_allclose(gumbel_softmax(x, 1e-6, rng=3), np.eye(6)[index], atol=1e-12)


def test_infinities_are_drawn_alike_and_rows_without_entries_are_marked():
    x = np.array([[INF, 0, INF], [-INF] * 3, [NAN, 0, 1]])
    index = gumbel_max(np.repeat(x, 4000, axis=0), rng=0).reshape(3, 4000)
    assert np.bincount(index[0], minlength=3)[1] == 0
    assert abs(np.mean(index[0] == 0) - 0.5) < 0.03
    assert np.all(index[1:] == -1)
    soft = gumbel_softmax(x, rng=0)
    assert soft[0, 1] == 0
    assert np.isnan(soft[1:]).all()
    assert np.isnan(gumbel_softmax(x, hard=True, rng=0)[1:]).all()


def test_masked_entries_are_never_drawn():
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(2000, 5)), rng.random((2000, 5)) < 0.5
    x[~mask] = 100.0
    index = gumbel_max(x, where=mask, rng=1)
    some = mask.any(axis=-1)
    assert mask[some][np.arange(some.sum()), index[some]].all()
    assert np.all(index[~some] == -1)
    for hard in (False, True):
        assert not gumbel_softmax(x, hard=hard, where=mask, rng=1)[~mask].any()


def test_an_offset_does_not_drown_the_noise_in_single_precision():
    x = np.zeros((1000, 3), dtype=np.float32)
    assert np.array_equal(gumbel_max(x + np.float32(1e8), rng=0), gumbel_max(x, rng=0))
    np.testing.assert_array_equal(gumbel_softmax(x + np.float32(1e8), rng=0), gumbel_softmax(x, rng=0))


def test_seeds_repeat_and_the_axis_does_not_change_the_noise():
    x = np.random.default_rng(0).normal(size=(4, 5))
    assert np.array_equal(gumbel_softmax(x, rng=7), gumbel_softmax(x, rng=generator(7)))
    assert not np.array_equal(gumbel_softmax(x, rng=7), gumbel_softmax(x, rng=8))
    assert gumbel_max(x, axis=0, rng=0).shape == (5,)
    assert np.array_equal(np.argmax(gumbel_softmax(x, axis=0, rng=2), axis=0), gumbel_max(x, axis=0, rng=2))


def test_the_derivative_at_a_draw_is_that_of_softmax():
    x, v = np.random.default_rng(0).normal(size=(2, 3, 5))
    y = gumbel_softmax(x, 0.7, rng=1)
    difference = (gumbel_softmax(x + 1e-6 * v, 0.7, rng=1) - gumbel_softmax(x - 1e-6 * v, 0.7, rng=1)) / 2e-6
    np.testing.assert_allclose(gumbel_softmax_jvp(y, v, temperature=0.7), difference, atol=1e-8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gumbel_max([1.0], rng="a"), TypeError, "rng must be an int"),
        (lambda: gumbel_max([1.0], rng=-1), ValueError, "rng must be a non-negative seed"),
        (lambda: gumbel_softmax([1.0], 0.0), ValueError, "temperature must be positive"),
        (lambda: gumbel_softmax([1j]), TypeError, "x must be real"),
        (lambda: gumbel_max([1.0], axis=3), ValueError, "axis must be in"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_vertex_has_the_gradient_of_the_soft_draw_in_jax():
    x, g = np.random.default_rng(0).normal(size=(2, 3, 5))
    soft = gumbel_softmax_jvp(gumbel_softmax(x, 0.7, rng=1), g, temperature=0.7)
    jax = pytest.importorskip("jax", reason="NOT TESTED: gradients of vertices in jax, because there is no jax")
    with jax.enable_x64(True):
        hard = jax.grad(lambda x: (gumbel_softmax(x, 0.7, hard=True, rng=1) * g).sum())(jax.numpy.asarray(x))
    np.testing.assert_allclose(hard, soft, atol=1e-12)
