"""Softmax, log-softmax and logsumexp: digits against mpmath, infinities, masks and temperatures."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina._numba import softmax as kernels
from lina.simplex import cross_entropy, log_softmax, logsumexp, softmax
from tests.simplex.interpreted import interpreted


def exact_log_softmax(x, temperature=1.0):
    with mpmath.workdps(40):
        z = [mpmath.mpf(float(v)) / mpmath.mpf(temperature) for v in x]
        total = mpmath.log(sum(mpmath.exp(v - max(z)) for v in z)) + max(z)
        return np.array([float(v - total) for v in z]), float(total * mpmath.mpf(temperature))


@pytest.mark.parametrize("scale", [1e-8, 1.0, 100.0])
@pytest.mark.parametrize("temperature", [1.0, 0.25, 8.0])
def test_all_three_are_those_of_forty_digits(scale, temperature):
    x = scale * np.random.default_rng(0).standard_normal((5, 8))
    p, log = softmax(x, temperature=temperature), log_softmax(x, temperature=temperature)
    total = logsumexp(x, temperature=temperature)
    for i, row in enumerate(x):
        expected, value = exact_log_softmax(row, temperature)
        np.testing.assert_allclose(log[i], expected, rtol=4e-16, atol=4e-16)
        np.testing.assert_allclose(p[i], np.exp(expected), rtol=1e-13)
        assert total[i] == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("n", [5, 5000])
def test_infinite_and_missing_entries_are_defined(n):
    x = np.random.default_rng(0).standard_normal((6, n))
    x[0, 3] = np.nan
    x[1, 2] = np.inf
    x[2, [0, 4]] = np.inf
    x[3] = -np.inf
    x[4, 1:] = -np.inf
    p, log, total = softmax(x), log_softmax(x), logsumexp(x)
    assert np.isnan(p[[0, 3]]).all()
    assert np.isnan(log[[0, 3]]).all()
    assert p[1].tolist() == np.eye(n)[2].tolist()
    assert p[2].tolist() == (np.isin(np.arange(n), [0, 4]) / 2).tolist()
    assert p[4].tolist() == np.eye(n)[0].tolist()
    assert log[2, 0] == -np.log(2)
    assert log[4, 0] == 0
    assert np.all(log[4, 1:] == -np.inf)
    assert np.isnan(total[0])
    assert total[1:4].tolist() == [np.inf, np.inf, -np.inf]
    assert total[4] == x[4, 0]


def test_entries_left_out_are_as_if_they_were_not_there():
    rng = np.random.default_rng(0)
    x, mask = rng.standard_normal((9, 30)), rng.random((9, 30)) > 0.5
    mask[3] = False
    x[~mask & (rng.random(x.shape) > 0.5)] = np.nan
    p, log, total = softmax(x, where=mask), log_softmax(x, where=mask), logsumexp(x, where=mask)
    for i in range(9):
        assert not p[i][~mask[i]].any()
        assert np.all(log[i][~mask[i]] == -np.inf)
        if mask[i].any():
            np.testing.assert_allclose(p[i][mask[i]], softmax(x[i][mask[i]]), rtol=1e-14)
            np.testing.assert_allclose(log[i][mask[i]], log_softmax(x[i][mask[i]]), rtol=1e-13)
            assert total[i] == pytest.approx(logsumexp(x[i][mask[i]]), rel=1e-14)
        else:
            assert total[i] == -np.inf


@given(st.integers(1, 300), st.integers(0, 10**6))
def test_the_kernel_and_the_body_are_the_same(n, seed):
    x = 10 * np.random.default_rng(seed).standard_normal((1 + 5000 // n, n))  # above the size from which it is compiled
    np.testing.assert_allclose(softmax(x), [softmax(row) for row in x], rtol=1e-14)


@given(st.integers(1, 300), st.integers(0, 10**6), st.sampled_from([0.3, 1.0, 8.0]))
def test_the_kernel_and_the_body_are_the_same_of_masks_and_temperatures(n, seed, heat):
    rng = np.random.default_rng(seed)
    x, mask = 10 * rng.standard_normal((1 + 5000 // n, n)), rng.random((1 + 5000 // n, n)) < rng.random()
    mask[-1] = False
    for value in (np.nan, np.inf, -np.inf):
        x[rng.integers(len(x)), rng.integers(n)] = value
    p = softmax(x, where=mask, temperature=heat)
    assert not p[~mask].any()
    rows = [softmax(row, where=each, temperature=heat) for row, each in zip(x, mask, strict=True)]
    known = ~np.isnan(rows).any(axis=1)
    np.testing.assert_allclose(p[known], np.array(rows)[known], rtol=3e-14)
    np.testing.assert_array_equal(np.isnan(p), np.isnan(rows))


def test_offsets_and_extremes_do_no_harm():
    x = np.array([[1e30, -1e30, 0.0], [1e308, -1e308, 1e308], [1e-310, 0.0, -1e-310]])
    np.testing.assert_allclose(softmax(x), [[1, 0, 0], [0.5, 0, 0.5], [1 / 3] * 3], atol=1e-15)
    assert logsumexp(np.array([-1e4, -1e4])) == -1e4 + np.log(2)
    single = np.array([1e8, 1e8 + 8], dtype=np.float32)
    np.testing.assert_allclose(softmax(single), softmax(np.array([0, 8], dtype=np.float32)), atol=1e-7)
    np.testing.assert_allclose(softmax(np.array([1e300, 0.0]), temperature=1e-300), [1, 0])


def test_a_low_temperature_tends_to_the_largest_and_a_high_one_to_the_uniform_distribution():
    x = np.array([1.0, 3.0, 2.0])
    np.testing.assert_allclose(softmax(x, temperature=1e-3), [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(softmax(x, temperature=1e12), [1 / 3] * 3, atol=1e-11)
    assert logsumexp(x, temperature=1e-3) == 3.0


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_any_axis_is_the_last_one_moved(axis):
    x = np.random.default_rng(0).standard_normal((4, 6))
    for mapping in (softmax, log_softmax):
        expected = np.moveaxis(mapping(np.moveaxis(x, axis, -1)), -1, axis)
        np.testing.assert_array_equal(mapping(x, axis=axis), expected)
    assert logsumexp(x, axis=axis).shape == tuple(np.delete(x.shape, axis))


def test_halves_become_single_precision():
    x = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float16)
    p = softmax(x)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p.sum(axis=1, dtype=np.float64), 1, atol=2e-7)


def test_single_precision_keeps_small_probabilities_to_a_few_ulps():
    x = (10 * np.random.default_rng(0).standard_normal((50, 700))).astype(np.float32)
    exact = log_softmax(x.astype(np.float64))
    p, log = softmax(x), log_softmax(x)
    counted = exact > -86
    distance = x.max(axis=1, keepdims=True) - x
    assert np.all((np.abs(p - np.exp(exact)) <= (4 + distance) * 2.0**-24 * np.exp(exact))[counted])
    assert np.all(np.abs(log - exact) <= 2 * 2.0**-23 * (1 + np.abs(exact)))
    assert np.all(p[~counted] <= 1e-37)


def test_the_logarithm_of_nearly_one_has_digits():
    x = np.zeros((3000, 2))
    x[:, 0] = 50.0
    for rows in (x, x[:5], x[:, ::-1]):
        np.testing.assert_allclose(log_softmax(rows).max(axis=1), -np.exp(-50.0), rtol=1e-15)


def test_exponentials_in_single_precision_are_right_to_an_ulp():
    x = -np.concatenate([np.geomspace(1e-30, 87.2, 20_000), [0.0]]).astype(np.float32)
    found = np.empty_like(x)
    kernels.exponentials(x, np.float32(0), found)
    assert np.max(np.abs(found / np.exp(x.astype(np.float64)) - 1)) <= 1.1 * 2.0**-23
    assert found[-1] == 1
    assert kernels.exponential_single(np.float32(-88)) == kernels.exponential_single(np.float32(-np.inf)) == 0


def all_of(module, x, seed):
    """Return what every kernel makes of the rows, with a mask, a temperature and a target."""
    rng = np.random.default_rng(seed)
    mask, heat = rng.random(x.shape) < rng.choice([0.0, 0.5, 1.0]), rng.choice([0.5, 1.0, np.nan], x.shape[0])
    y = (rng.random(x.shape) * (rng.random(x.shape) < 0.7)).astype(x.dtype)
    if seed % 13 == 0:
        y[0, 0] = np.nan
    basic = module.softmax(x), module.log_softmax(x), *module.log_normaliser(x)
    return *basic, module.masked_softmax(x, mask, heat.astype(x.dtype)), module.soft_cross_entropy(x, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_kernels_are_their_interpreted_functions_on_a_thousand_inputs(dtype):
    rng = np.random.default_rng(0)
    with interpreted() as (_, module, *_):
        for trial in range(1000):
            n = int(rng.integers(1, 66)) if trial % 100 else int(rng.choice([130, 520, 600]))
            x = (rng.choice([0.01, 1.0, 40.0]) * rng.standard_normal((1, n))).astype(dtype)
            x = np.round(x) if trial % 3 == 0 else x
            if trial % 17 == 0:
                x[0, rng.integers(n)] = rng.choice([np.nan, np.inf, -np.inf])
            with np.errstate(all="ignore"):
                expected = all_of(module, x, trial)
            for found, wanted in zip(all_of(kernels, x, trial), expected, strict=True):
                assert found.dtype == dtype
                np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 32, 33])
def test_a_row_of_many_has_the_bits_that_it_has_alone(n, dtype):
    rng = np.random.default_rng(0)
    x = (10 * rng.standard_normal((300, n))).astype(dtype)
    x[::17, rng.integers(n)], x[5], x[7::40, -1] = np.nan, -np.inf, np.inf
    mask, heat = rng.random((300, n)) < 0.7, rng.uniform(0.5, 2, 300).astype(dtype)
    heat[::3], heat[9] = 1.0, np.nan
    together = kernels.softmax(x), kernels.masked_softmax(x, mask, heat)
    for i in range(300):
        alone = kernels.softmax(x[i : i + 1]), kernels.masked_softmax(*(each[i : i + 1] for each in (x, mask, heat)))
        for whole, single in zip(together, alone, strict=True):
            np.testing.assert_array_equal(whole[i], single[0])
    usual = np.isfinite(x).all(axis=1)
    np.testing.assert_allclose(together[0][usual].sum(axis=1), 1, rtol=1e-6)


def test_the_number_of_threads_does_not_change_a_bit(threads):
    x = np.random.default_rng(0).standard_normal((400, 700)).astype(np.float32)
    answers = []
    for count in (1, 2, 5):
        threads(count)
        masked = softmax(x, where=x > 0, temperature=0.7)
        answers.append((softmax(x), log_softmax(x), logsumexp(x), masked, cross_entropy(x, softmax(-x))))
    for other in answers[1:]:
        for one, another in zip(answers[0], other, strict=True):
            np.testing.assert_array_equal(one, another)
