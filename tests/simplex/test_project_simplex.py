"""Projection onto the simplex: exact on small integers, right on any scale, defined on infinities."""

from unittest.mock import Mock

import numpy as np
import pytest
from array_api_compat import numpy as numpy_namespace
from hypothesis import given
from hypothesis import strategies as st

import lina
from lina._numba import project_simplex as kernels
from lina._numba.project_simplex_backward import project_simplex_backward
from lina.simplex import project_simplex, sparsemax
from lina.simplex._project_simplex import project_rows_body
from tests.reference.simplex import exact_projection, sorted_projection
from tests.simplex.interpreted import interpreted

small_integers = st.lists(st.integers(-4, 4), min_size=1, max_size=8)


def relative_error(p, expected):
    return np.max(np.abs(p - expected)) / np.max(expected)


def by_kernel(x, radius=1.0):
    x = np.atleast_2d(x)
    return kernels.project_simplex(x, np.full(x.shape[0], radius, dtype=x.dtype))


def by_body(x, radius=1.0):
    x = np.atleast_2d(x)
    return project_rows_body(numpy_namespace, x, np.full(x.shape[0], radius, dtype=x.dtype))


both = pytest.mark.parametrize("project", [by_body, by_kernel])


@both
@given(small_integers, st.integers(1, 6))
def test_small_integers_are_projected_as_in_rational_arithmetic(project, x, radius):
    expected, _ = exact_projection(x, radius)
    p = project(np.array(x, dtype=np.float64), float(radius))[0]
    np.testing.assert_allclose(p, [float(v) for v in expected], rtol=0, atol=1e-15 * radius)
    assert np.count_nonzero(p) == sum(v > 0 for v in expected)


@given(small_integers, st.integers(1, 6))
def test_the_threshold_and_the_support_are_those_of_rational_arithmetic(x, radius):
    expected, tau = exact_projection(x, radius)
    _, found, support = project_simplex(x, radius, return_threshold=True)
    assert float(found) == pytest.approx(float(tau), abs=1e-14)
    assert int(support) == sum(v > 0 for v in expected)


@both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e-3, 1e-1, 1.0, 1e2, 1e6, 1e12])
@pytest.mark.parametrize("n", [1, 2, 3, 17, 64, 511, 512, 513, 1000, 5000, 100_000])
def test_the_answer_is_that_of_a_sort_on_any_length_and_scale(project, n, scale, dtype):
    x = (scale * np.random.default_rng(n).standard_normal(n)).astype(dtype)
    expected, _, support = sorted_projection(x)
    p = project(x)[0]
    assert p.dtype == dtype
    assert relative_error(p, expected) <= (1e-7 if dtype == "float32" else 1e-14)
    assert abs(float(np.sum(p, dtype=np.longdouble)) - 1) <= (2e-7 if dtype == "float32" else 1e-14)
    # entries of one rounding or less may be on either side
    assert np.count_nonzero(p > 1e-7 * p.max()) <= support <= np.count_nonzero(p) + np.count_nonzero(expected < 1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("data", ["sparse", "graded", "dense", "near feasible", "sorted", "one large", "ties"])
def test_a_long_vector_is_projected_in_chunks_as_by_a_sort(data, dtype):
    n, rng = 1_000_003, np.random.default_rng(0)
    x = {
        "sparse": lambda: rng.standard_normal(n),
        "graded": lambda: 1e-3 * rng.standard_normal(n),
        "dense": lambda: 1e-8 * rng.random(n),
        "near feasible": lambda: rng.dirichlet(np.ones(n)) + 1e-3 / n * rng.standard_normal(n),
        "sorted": lambda: np.sort(1e-3 * rng.standard_normal(n)),
        "one large": lambda: np.where(np.arange(n) == 777_777, 1.5 / n, rng.random(n) / n),
        "ties": lambda: np.round(3 * rng.standard_normal(n)),
    }[data]().astype(dtype)
    expected, _, support = sorted_projection(x)
    p = by_kernel(x)[0]
    assert relative_error(p, expected) <= (1e-7 if dtype == "float32" else 1e-10)
    assert abs(float(np.sum(p, dtype=np.longdouble)) - 1) <= (1e-6 if dtype == "float32" else 1e-11)
    assert abs(np.count_nonzero(p) - support) <= 1e-5 * n


def test_ten_million_entries_are_projected_to_ten_digits():
    x = np.random.default_rng(0).standard_normal(10_000_000)
    p = project_simplex(x)
    expected, _, support = sorted_projection(x)
    assert np.max(np.abs(p - expected)[expected > 0] / expected[expected > 0]) <= 1e-10
    assert np.count_nonzero(p) == support


def test_a_guess_that_is_too_high_is_found_out():
    # the sample of every n / 4096th entry sees none of the many entries that the support consists of
    n = 1 << 20
    x = np.full(n, 1e-9)
    x[:: n // 4096] = 2e-4
    x[1 :: n // 4096] = 2.4e-4
    expected, *_ = sorted_projection(x)
    assert relative_error(by_kernel(x)[0], expected) <= 1e-12


@both
@pytest.mark.parametrize("ratio", [0.5, 0.9, 0.99, 1 / 3])
@pytest.mark.parametrize("n", [60, 2000])
def test_geometric_sequences_are_done_in_few_steps(project, n, ratio):
    x = -(float(ratio) ** np.arange(n))[::-1]
    for z in (x, -x, np.cumsum(x), x * n):
        expected, *_ = sorted_projection(z)
        assert relative_error(project(z)[0], expected) <= 1e-13


def test_the_worst_sequence_for_removing_one_entry_a_pass_takes_less_than_the_bound():
    """Every entry is just below the threshold of those before it, so that each pass should remove few of them."""
    n = 5000
    z, total = np.zeros(n), 0.0
    for k in range(1, n):
        total += z[k - 1]
        z[k] = (total - 1) / k * (1 - 1e-9)
    expected, tau, _ = sorted_projection(z)
    for data in (z, np.sort(z), -np.geomspace(1e-300, 1, n), np.geomspace(1, 1e-300, n)[::-1] - 1):
        with interpreted() as (module, *_):
            module.above = Mock(wraps=kernels.above)
            t = module.newton(data.copy(), n, -1.0, 1.0, np.empty(kernels.LANES))
        assert module.above.call_count < kernels.MOST_STEPS / 2
        assert t == pytest.approx(sorted_projection(data)[1], rel=1e-12)
    assert relative_error(by_kernel(z)[0], expected) <= 1e-12
    assert tau < 0


def test_an_offset_common_to_a_row_changes_nothing():
    x = np.array([8.0, 0.0, 4.0, 8.5], dtype=np.float32)
    for offset in (0.0, 1e4, 1e6, 1e8):
        shifted = (x + np.float32(offset)).astype(np.float32)
        expected, _ = exact_projection([float(v) for v in shifted])
        p = project_simplex(shifted)
        np.testing.assert_array_equal(p, np.array([float(v) for v in expected], dtype=np.float32))


@pytest.mark.parametrize("n", [5, 5000])
def test_infinite_and_missing_entries_are_defined(n):
    x = np.random.default_rng(0).standard_normal((7, n))
    x[0, 3] = np.nan
    x[1, 2] = np.inf
    x[2, [0, 4]] = np.inf
    x[3] = -np.inf
    x[4, 1:] = -np.inf
    x[5, [0, 1]] = np.nan, np.inf
    p = project_simplex(x)
    assert np.isnan(p[[0, 3, 5]]).all()
    assert p[1].tolist() == np.eye(n)[2].tolist()
    assert p[2].tolist() == (np.isin(np.arange(n), [0, 4]) / 2).tolist()
    assert p[4].tolist() == np.eye(n)[0].tolist()
    np.testing.assert_array_equal(p[6], project_simplex(x[6:])[0])


@pytest.mark.parametrize("n", [1000, 300_000])
def test_nan_of_either_sign_is_seen_anywhere(n):
    for sign in (1.0, -1.0):
        for place in (0, n // 2, n - 1):
            for dtype in (np.float32, np.float64):
                x = np.zeros((5, n), dtype=dtype)
                x[2, place] = np.copysign(np.nan, sign)
                p = project_simplex(x)
                assert np.isnan(p[2]).all()
                assert np.isfinite(p[[0, 1, 3, 4]]).all()


def test_entries_left_out_are_as_if_they_were_not_there():
    rng = np.random.default_rng(0)
    x, mask = rng.standard_normal((40, 200)), rng.random((40, 200)) > 0.5
    x[~mask & (rng.random(x.shape) > 0.5)] = np.nan
    p = project_simplex(x, where=mask)
    for row, keep, line in zip(x, mask, p, strict=True):
        np.testing.assert_allclose(line[keep], project_simplex(row[keep]), rtol=1e-14)
        assert not line[~keep].any()
    minus = project_simplex(np.where(mask, x, -np.inf))
    np.testing.assert_array_equal(p, minus)


def test_a_row_that_is_left_out_altogether_is_zero():
    p, tau, support = project_simplex(np.ones((2, 3)), where=[[True] * 3, [False] * 3], return_threshold=True)
    assert p.tolist() == [[1 / 3] * 3, [0.0] * 3]
    assert tau.tolist() == pytest.approx([2 / 3, -np.inf])
    assert support.tolist() == [3, 0]


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_any_axis_is_the_last_one_moved(axis):
    x = np.random.default_rng(0).standard_normal((3, 4, 5))
    expected = np.moveaxis(project_simplex(np.moveaxis(x, axis, -1)), -1, axis)
    np.testing.assert_array_equal(project_simplex(x, axis=axis), expected)
    _, tau, support = project_simplex(x, axis=axis, return_threshold=True)
    assert tau.shape == support.shape == tuple(np.delete(x.shape, axis))


def test_a_radius_per_row_and_a_radius_of_zero():
    x = np.array([[3.0, 1.0], [3.0, 1.0], [0.5, 0.25]])
    p = project_simplex(x, np.array([[1.0], [4.0], [0.0]]))
    assert p.tolist() == [[1.0, 0.0], [3.0, 1.0], [0.0, 0.0]]


@both
def test_extreme_radii_do_no_harm(project):
    x = np.array([[1.0, 0.5, -2.0]])
    for radius in (5e-324, 1e-300, 1e300, 1.7e308):
        p = project(x, radius)
        assert p.sum() == pytest.approx(radius, rel=1e-12)
        assert np.all(p >= 0)


@given(st.integers(1, 60), st.integers(0, 10**6))
def test_it_is_idempotent_nonexpansive_monotone_and_equivariant(n, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, n))
    p, q = project_simplex(x), project_simplex(y)
    np.testing.assert_allclose(project_simplex(p), p, atol=1e-15)
    assert np.linalg.norm(p - q) <= np.linalg.norm(x - y) * (1 + 1e-14)
    order = np.argsort(x)
    assert np.all(np.diff(p[order]) >= 0)
    permutation = rng.permutation(n)
    np.testing.assert_allclose(project_simplex(x[permutation]), p[permutation], atol=1e-15)
    # Moreau: what is left is the nearest point of the polar cone of the directions that the simplex allows
    assert np.max(x - p) - (x - p) @ p <= 1e-14 * n


def test_halves_are_summed_in_single_precision():
    x = (1e-4 * np.random.default_rng(0).standard_normal((2, 128_000))).astype(np.float16)
    p = project_simplex(x)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p.sum(axis=1, dtype=np.float64), 1, atol=2e-7)
    np.testing.assert_array_equal(p, project_simplex(x.astype(np.float32)))


def test_sparsemax_of_a_temperature_is_that_of_the_quotient():
    x = np.random.default_rng(0).standard_normal((3, 9))
    np.testing.assert_allclose(sparsemax(x, temperature=0.3), project_simplex(x / 0.3), atol=1e-15)
    heats = np.array([[0.1], [1.0], [10.0]])
    np.testing.assert_allclose(sparsemax(x, temperature=heats), project_simplex(x / heats), atol=1e-15)
    _, tau, _ = sparsemax(x, temperature=0.3, return_threshold=True)
    np.testing.assert_allclose(np.maximum(x / 0.3 - tau[:, None], 0), sparsemax(x, temperature=0.3), atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_kernels_are_their_interpreted_functions_on_a_thousand_inputs(dtype):
    rng = np.random.default_rng(0)
    with interpreted() as (module, _, _, backward):
        for trial in range(1000):
            n = int(rng.integers(1, 130)) if trial % 50 else int(rng.choice([130, 520, 1100, 4100]))
            rows = int(rng.integers(1, 4)) if trial % 250 != 1 else 140
            x = (rng.choice([0.01, 1.0, 10.0]) * rng.standard_normal((rows, n))).astype(dtype)
            if trial % 3 == 0:
                x = np.round(x)
            if trial % 17 == 0:
                x[0, rng.integers(n)] = rng.choice([np.nan, np.inf, -np.inf])
            radius = rng.choice([0.0, 0.5, 1.0, 3.0], rows)
            with np.errstate(all="ignore"):
                expected = module.project_simplex(x, radius)
            np.testing.assert_array_equal(kernels.project_simplex(x, radius), expected)
            g = rng.standard_normal((rows, n)).astype(dtype)
            found = project_simplex_backward(expected, g)
            np.testing.assert_array_equal(found, backward.project_simplex_backward(expected, g))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 7, 64, 128, 129])
def test_the_rows_beside_it_do_not_change_a_bit_of_a_row(n, dtype):
    rng = np.random.default_rng(n)
    x = (rng.choice([0.01, 1.0, 30.0], (300, 1)) * rng.standard_normal((300, n))).astype(dtype)
    x[::7] = np.round(x[::7])
    for value in (np.nan, np.inf, -np.inf):
        x[rng.integers(300, size=9), rng.integers(n, size=9)] = value
    x[5] = -np.inf
    radius = rng.choice([0.0, 0.5, 1.0, 3.0, 1e-38, 1e38, np.nan], 300).astype(dtype)
    with np.errstate(invalid="ignore"):
        together = kernels.project_simplex(x, radius)
        alone = [kernels.project_simplex(x[i : i + 1], radius[i : i + 1])[0] for i in range(300)]
    np.testing.assert_array_equal(together, alone)
    assert np.isfinite(together[np.isfinite(radius) & np.isfinite(x).all(axis=1)]).all()
    assert np.isnan(together[np.isnan(radius)]).all()
    assert np.isnan(together[5]).all()


@pytest.mark.parametrize("n", [5, 1000, 600_000])
def test_the_number_of_threads_does_not_change_a_bit(threads, n):
    x = 1e-3 * np.random.default_rng(0).standard_normal((max(1, 600_000 // n), n))
    answers = []
    for count in (1, 2, 3, 7):
        threads(count)
        answers.append(by_kernel(x))
    assert lina.get_threads() == 7
    for other in answers[1:]:
        np.testing.assert_array_equal(other, answers[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"radius": -1.0}, ValueError, "radius must be finite and not negative, got -1.0"),
        ({"radius": np.nan}, ValueError, "radius must be finite"),
        ({"radius": np.inf}, ValueError, "radius must be finite"),
        ({"radius": "one"}, TypeError, "radius must be a number, got str"),
        ({"radius": np.array([[1.0], [-1.0]])}, ValueError, "radius must be finite and not negative, got 1 other"),
        ({"radius": np.ones((3, 1))}, ValueError, r"radius must broadcast to \(2, 1\)"),
        ({"radius": np.ones((2, 1), dtype=int)}, TypeError, "radius must be a number or an array of floats"),
        ({"axis": 2}, ValueError, r"axis must be in -2..1 for shape \(2, 3\), got 2"),
        ({"axis": 0.0}, TypeError, "axis must be an int, got float"),
        ({"where": np.ones((2, 3))}, TypeError, "where must be an array of booleans, got float64"),
        ({"where": np.ones(4, dtype=bool)}, ValueError, r"where must broadcast to \(2, 3\)"),
    ],
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        project_simplex(np.ones((2, 3)), **options)


def test_bad_arrays_are_named():
    with pytest.raises(TypeError, match="x must be real, got dtype complex128"):
        project_simplex(np.ones(3, dtype=complex))
    with pytest.raises(ValueError, match=r"x must have entries along axis 1, got shape \(2, 0\)"):
        project_simplex(np.ones((2, 0)))
    with pytest.raises(ValueError, match="x must have at least 1 dimensions"):
        project_simplex(3.0)


def test_no_rows_give_no_rows():
    assert project_simplex(np.ones((0, 3))).shape == (0, 3)
