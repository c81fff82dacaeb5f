"""Entmax: against mpmath for any alpha, at breakpoints, near alpha = 1, and where there is nothing to map."""

import numpy as np
import pytest
from array_api_compat import numpy as numpy_namespace
from hypothesis import given
from hypothesis import strategies as st

from lina._numba import entmax as kernels
from lina.simplex import entmax, softmax, sparsemax
from lina.simplex._entmax.body import entmax_body
from tests.reference.simplex import exact_entmax
from tests.simplex.interpreted import interpreted

ALPHAS = [
    1.0,
    1 + 1e-15,
    1 + 1e-12,
    1 + 1e-8,
    1 + 1e-4,
    1.01,
    1.1,
    1.2,
    1.25,
    4 / 3,
    1.5,
    1.7,
    1.95,
    2.0,
    2.2,
    3.0,
    5.0,
]


def by_kernel(x, alpha):
    x = np.atleast_2d(x)
    return kernels.entmax(x, np.full(x.shape[0], alpha))


def by_body(x, alpha):
    x = np.atleast_2d(x)
    return entmax_body(numpy_namespace, x, np.full(x.shape[0], alpha))


both = pytest.mark.parametrize("mapping", [by_body, by_kernel])


def reference(x, alpha):
    return np.array([[float(v) for v in exact_entmax(row, alpha)] for row in np.atleast_2d(x)])


def bound(alpha):
    """Beyond alpha = 2 an entry of distance d from the threshold errs by (eps / d)^(1 / (alpha - 1))."""
    return 4e-15 if alpha <= 2 else 1e-12


@both
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_it_is_that_of_forty_digits(mapping, scale, alpha):
    x = scale * np.random.default_rng(int(10 * scale)).standard_normal((6, 7))
    expected = reference(x, alpha)
    p = mapping(x, alpha)
    assert np.all(np.max(np.abs(p - expected), axis=1) <= bound(alpha) * expected.max(axis=1))


@both
@pytest.mark.parametrize("alpha", [1.25, 1.5, 2.0, 3.0])
@given(x=st.lists(st.integers(-3, 3), min_size=1, max_size=5))
def test_small_integers_have_a_threshold_at_breakpoints_too(mapping, alpha, x):
    expected = reference(np.array(x, dtype=np.float64), alpha)
    p = mapping(np.array(x, dtype=np.float64), alpha)
    # an entry on its breakpoint is 0, up to the power of a rounding
    np.testing.assert_allclose(p, expected, rtol=0, atol=max(1e-15, 1e-15 ** min(1.0, 1 / (alpha - 1)) * 4))
    assert p.sum() == pytest.approx(1, abs=1e-7 if alpha > 2 else 1e-14)


@both
@pytest.mark.parametrize("x", [[2.0, 0.0], [3.0, 1.0], [2.0, 0.0, 0.0, 0.0]])
def test_the_articles_breakpoint_is_a_vertex(mapping, x):
    np.testing.assert_array_equal(mapping(np.array(x), 1.5), [np.eye(len(x))[0]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 200, 511, 512, 513, 1000, 5000, 40_000])
@pytest.mark.parametrize("alpha", [1.0, 1.001, 1.1, 1.25, 1.3, 1.5, 1.8, 2.0, 2.5])
def test_the_kernel_is_the_body_on_any_length(alpha, n, dtype):
    rng = np.random.default_rng(n)
    x = (np.array([[1.0], [0.01], [10.0]]) * rng.standard_normal((3, n))).astype(dtype)
    expected = entmax_body(numpy_namespace, x.astype(np.float64), np.full(3, alpha))
    p = by_kernel(x, alpha)
    assert p.dtype == dtype
    allowed = 1e-7 if dtype == "float32" else 1e-10 if alpha > 2 else 2e-14
    assert np.all(np.max(np.abs(p - expected), axis=1) <= allowed * expected.max(axis=1))
    total = np.sum(p, axis=1, dtype=np.float64)
    assert np.all(np.abs(total - 1) <= (2e-7 if dtype == "float32" else 1e-8 if alpha > 2 else 1e-13))


@pytest.mark.parametrize("alpha", [1.0, 1.1, 1.25, 1.3, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("n", [200, 6000, 300_000])
def test_one_entry_far_above_all_others_of_which_a_sample_sees_none(alpha, n):
    x = 0.1 * np.random.default_rng(0).standard_normal(n)
    for height in (1.0, 3.0, 30.0):
        x[7] = height
        expected = entmax_body(numpy_namespace, x[None, :], np.array([alpha]))
        np.testing.assert_allclose(by_kernel(x, alpha), expected, atol=1e-10 if alpha > 2 else 4e-14)


@both
def test_alpha_one_is_softmax_and_alpha_two_is_sparsemax(mapping):
    x = np.random.default_rng(0).standard_normal((20, 50))
    np.testing.assert_allclose(mapping(x, 1.0), softmax(x), atol=1e-16)
    np.testing.assert_allclose(mapping(x, 2.0), sparsemax(x), atol=4e-16)


@both
@pytest.mark.parametrize("small", [1e-15, 1e-13, 1e-10, 1e-8, 1e-6, 1e-4])
def test_near_alpha_one_it_leaves_softmax_along_the_derivative(mapping, small):
    x = np.random.default_rng(0).standard_normal((4, 30))
    p = softmax(x)
    log = np.log(p)
    w = p * log**2 / 2
    derivative = p * w.sum(axis=1, keepdims=True) - w
    alpha = 1 + small
    np.testing.assert_allclose(mapping(x, alpha) - p, (alpha - 1) * derivative, atol=4e-16 + 10 * small**2)


@both
def test_an_alpha_that_tends_to_infinity_is_the_uniform_distribution_on_the_largest(mapping):
    p = mapping(np.array([[1.0, 3.0, 3.0, 2.9]]), 300.0)
    np.testing.assert_allclose(p, [[0.0, 0.5, 0.5, 0.0]], atol=1e-12)


def test_one_alpha_and_one_temperature_per_row():
    x = np.random.default_rng(0).standard_normal((4, 3, 5))
    alphas, heats = np.array([1.0, 1.5, 2.0]).reshape(1, 3, 1), np.array([0.5, 1.0, 2.0, 4.0]).reshape(4, 1, 1)
    p = entmax(x, alphas, temperature=heats)
    for i in range(4):
        for j in range(3):
            expected = entmax(x[i, j] / heats[i, 0, 0], alphas[0, j, 0])
            np.testing.assert_allclose(p[i, j], expected, atol=1e-15)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0, 2.5])
def test_the_threshold_is_the_one_of_the_definition(alpha):
    x = np.random.default_rng(0).standard_normal((5, 9))
    p, tau, support = entmax(x, alpha, temperature=0.7, return_threshold=True)
    again = np.maximum((alpha - 1) * x / 0.7 - tau[:, None], 0) ** (1 / (alpha - 1))
    np.testing.assert_allclose(again, p, atol=1e-7 if alpha > 2 else 1e-13)
    assert support.tolist() == np.count_nonzero(p, axis=1).tolist()
    assert tau.shape == (5,)


@pytest.mark.parametrize("alpha", [1.0, 1.3, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("n", [6, 5000])
def test_infinite_and_missing_entries_are_defined(n, alpha):
    x = np.random.default_rng(0).standard_normal((7, n))
    x[0, 3] = np.nan
    x[1, 2] = np.inf
    x[2, [0, 4]] = np.inf
    x[3] = -np.inf
    x[4, 1:] = -np.inf
    x[5, [0, 1]] = -np.nan, np.inf
    p = entmax(x, alpha)
    assert np.isnan(p[[0, 3, 5]]).all()
    assert p[1].tolist() == np.eye(n)[2].tolist()
    assert p[2].tolist() == (np.isin(np.arange(n), [0, 4]) / 2).tolist()
    assert p[4].tolist() == np.eye(n)[0].tolist()
    np.testing.assert_allclose(p[6], entmax(x[6], alpha), atol=1e-15)


@pytest.mark.parametrize("alpha", [1.0, 1.4, 1.5])
def test_entries_left_out_are_as_if_they_were_not_there(alpha):
    rng = np.random.default_rng(0)
    x, mask = rng.standard_normal((30, 300)), rng.random((30, 300)) > 0.5
    mask[7] = False
    x[~mask & (rng.random(x.shape) > 0.5)] = np.nan
    p = entmax(x, alpha, where=mask)
    for row, keep, line in zip(x, mask, p, strict=True):
        assert not line[~keep].any()
        if keep.any():
            np.testing.assert_allclose(line[keep], entmax(row[keep], alpha), atol=1e-15)


@both
@pytest.mark.parametrize("alpha", [1.0, 1.3, 1.5, 2.0, 3.0])
def test_extreme_logits_do_no_harm(mapping, alpha):
    x = np.array([[1e30, -1e30, 0.0], [1e308, -1e308, 1e308], [1e-310, 0.0, -1e-310]])
    np.testing.assert_allclose(mapping(x, alpha), [[1, 0, 0], [0.5, 0, 0.5], [1 / 3] * 3], atol=1e-15)
    single = np.array([[1e8, 1e8 + 8, 1e8 - 8]], dtype=np.float32)
    np.testing.assert_allclose(mapping(single, alpha), mapping(single - np.float32(1e8), alpha), atol=1e-7)


@pytest.mark.parametrize("dtype", ["float16"])
@pytest.mark.parametrize("alpha", [1.5, 1.4, 2.0])
def test_halves_are_summed_in_single_precision(alpha, dtype):
    x = (1e-4 * np.random.default_rng(0).standard_normal((2, 128_000))).astype(dtype)
    p = entmax(x, alpha)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p.sum(axis=1, dtype=np.float64), 1, atol=2e-7)


@given(st.integers(2, 40), st.floats(1, 2), st.integers(0, 10**6))
def test_it_is_monotone_shift_invariant_and_equivariant(n, alpha, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    p = entmax(x, alpha)
    assert np.all(np.diff(p[np.argsort(x)]) >= -1e-17)
    permutation = rng.permutation(n)
    np.testing.assert_allclose(entmax(x[permutation], alpha), p[permutation], atol=1e-15)
    np.testing.assert_allclose(entmax(x + 4.0, alpha), p, atol=4e-14)


def test_exponentials_and_logarithms_are_right_to_an_ulp():
    x = -np.concatenate([np.geomspace(1e-300, 707.9, 20_000), [0.0]])
    found = np.array([kernels.exponential(v) for v in x])
    assert np.max(np.abs(found / np.exp(x) - 1)) <= 2.5e-16
    assert kernels.exponential(-709.0) == kernels.exponential(-np.inf) == 0.0
    y = np.concatenate([np.geomspace(1e-299, 2, 20_000), 1 - np.geomspace(1e-16, 0.5, 1000)])
    found = np.array([kernels.logarithm(v) for v in y])
    assert np.max(np.abs(found - np.log(y)) / np.maximum(np.abs(np.log(y)), 1e-300)) <= 2.5e-16


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_kernels_are_their_interpreted_functions_on_a_thousand_inputs(dtype):
    rng = np.random.default_rng(0)
    with interpreted() as (_, _, module, _):
        for trial in range(1000):
            n = int(rng.integers(1, 30)) if trial % 100 else int(rng.choice([130, 520, 600]))
            rows = int(rng.integers(1, 4)) if trial % 250 != 1 else 140
            x = (rng.choice([0.01, 1.0, 10.0]) * rng.standard_normal((rows, n))).astype(dtype)
            if trial % 3 == 0:
                x = np.round(x)
            if trial % 17 == 0:
                x[0, rng.integers(n)] = rng.choice([np.nan, np.inf, -np.inf])
            some = [1.5] if rows > 3 else [1.0, 1 + 1e-9, 1.05, 1.25, 1.4, 1.5, 2.0, 2.7]
            alpha = rng.choice(some, rows)
            with np.errstate(all="ignore"):
                expected = module.entmax(x, alpha)
            np.testing.assert_array_equal(kernels.entmax(x, alpha), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 7, 64, 256, 257])
def test_the_rows_beside_it_do_not_change_a_bit_of_a_row(n, dtype):
    rng = np.random.default_rng(n)
    x = (rng.choice([0.01, 1.0, 30.0], (300, 1)) * rng.standard_normal((300, n))).astype(dtype)
    x[::7] = np.round(x[::7])
    for value in (np.nan, np.inf, -np.inf):
        x[rng.integers(300, size=9), rng.integers(n, size=9)] = value
    x[5] = -np.inf
    # long runs of one alpha, which are solved together, and neighbours that are not
    alpha = np.concatenate(
        [np.full(190, 1.5), np.full(60, 2.0), rng.choice([1.0, 1.2, 1.25, 1.5, 1.7, 3.0, np.nan], 50)]
    )
    with np.errstate(invalid="ignore"):
        together = kernels.entmax(x, alpha)
        alone = [kernels.entmax(x[i : i + 1], alpha[i : i + 1])[0] for i in range(300)]
    np.testing.assert_array_equal(together, alone)
    finite = np.isfinite(alpha) & np.isfinite(x).all(axis=1)
    assert np.isfinite(together[finite]).all()
    assert np.isnan(together[~np.isfinite(alpha)]).all()
    assert np.isnan(together[5]).all()


@pytest.mark.parametrize("shape", [(400, 700), (60_000, 5)])
def test_the_number_of_threads_does_not_change_a_bit(threads, shape):
    x = np.random.default_rng(0).standard_normal(shape)
    for alpha in (1.0, 1.3, 1.5):
        answers = []
        for count in (1, 2, 5):
            threads(count)
            answers.append(by_kernel(x, alpha))
        for other in answers[1:]:
            np.testing.assert_array_equal(other, answers[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"alpha": 0.9}, ValueError, "alpha must be finite and at least 1, got 0.9"),
        ({"alpha": np.inf}, ValueError, "alpha must be finite and at least 1"),
        ({"alpha": np.array([[1.5], [0.5]])}, ValueError, "alpha must be finite and at least 1, got 1 other"),
        ({"alpha": np.ones((1, 3))}, ValueError, r"alpha must broadcast to \(2, 1\)"),
        ({"temperature": 0.0}, ValueError, "temperature must be positive and finite, got 0.0"),
        ({"temperature": -1}, ValueError, "temperature must be positive"),
        ({"temperature": None}, TypeError, "temperature must be a number, got NoneType"),
    ],
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        entmax(np.ones((2, 3)), **options)
