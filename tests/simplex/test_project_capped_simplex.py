"""Projection between bounds: exact on small problems, optimal on any, and what is asked of it when nothing fits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina._numba import project_capped_simplex as kernels
from lina.simplex import project_capped_simplex, project_simplex
from tests.reference.simplex import exact_capped


@given(st.integers(1, 5), st.integers(0, 10**6))
def test_small_problems_are_solved_as_in_rational_arithmetic(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-4, 5, n) / 2
    lower = rng.integers(-3, 2, n) / 2
    upper = lower + rng.integers(0, 4, n) / 2
    total = lower.sum() + (upper.sum() - lower.sum()) * rng.integers(0, 5) / 4
    expected = [float(v) for v in exact_capped(x, lower, upper, total)]
    found = project_capped_simplex(x, lower=lower, upper=upper, total=total)
    np.testing.assert_allclose(found, expected, atol=2e-15)


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("n", [1, 2, 50, 5000])
def test_the_answer_is_optimal(n, scale, offset):
    """The reduced x - p is the same at free entries, larger at the upper bound and smaller at the lower one."""
    rng = np.random.default_rng(n)
    x = scale * rng.standard_normal(n) + offset
    lower, upper = -scale * rng.random(n), scale * rng.random(n)
    total = 0.3 * lower.sum() + 0.7 * upper.sum()
    p = project_capped_simplex(x, lower=lower, upper=upper, total=total)
    rounding = 1e-15 * (scale * n + offset)
    assert np.all((lower <= p) & (p <= upper))
    assert p.sum() == pytest.approx(total, abs=rounding * 4 + 1e-13 * scale * n)
    free = (lower < p) & (p < upper)
    if free.any():
        tau = np.median((x - p)[free])
        assert np.ptp((x - p)[free]) <= 4e-16 * (abs(offset) + 5 * scale) + 1e-15 * scale
        assert np.all((x - p)[p == upper] >= tau - 4e-15 * scale - 1e-15 * offset)
        assert np.all((x - p)[p == lower] <= tau + 4e-15 * scale + 1e-15 * offset)


def test_without_caps_it_is_the_projection_onto_the_simplex_and_without_bounds_onto_a_plane():
    x = np.random.default_rng(0).standard_normal((20, 30))
    np.testing.assert_allclose(project_capped_simplex(x, upper=np.inf), project_simplex(x), atol=1e-15)
    plane = project_capped_simplex(x, lower=-np.inf, upper=np.inf)
    np.testing.assert_allclose(plane, x - (x.sum(axis=1, keepdims=True) - 1) / 30, atol=1e-14)


def test_a_sum_that_leaves_no_choice_gives_the_bounds():
    x = np.random.default_rng(0).standard_normal(10)
    assert project_capped_simplex(x, upper=0.1).tolist() == pytest.approx([0.1] * 10, abs=1e-16)
    assert project_capped_simplex(x, lower=0.1).tolist() == pytest.approx([0.1] * 10, abs=1e-16)
    assert project_capped_simplex(x, total=10.0).tolist() == [1.0] * 10
    assert project_capped_simplex(x, total=0.0).tolist() == [0.0] * 10
    assert project_capped_simplex(x[:3], lower=[0.2, 0.3, 0.5] * np.ones(3)).tolist() == [0.2, 0.3, 0.5]


def test_infinite_entries_are_at_their_bounds_and_nan_stays_in_its_row():
    x = np.array([[3.0, 1.0, -np.inf, np.inf], [np.nan, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    p = project_capped_simplex(x, total=2.0)
    assert p[0].tolist() == [1.0, 0.0, 0.0, 1.0]
    assert np.isnan(p[1]).all()
    assert p[2].tolist() == [0.5] * 4


def test_any_axis_and_a_total_per_row():
    x = np.random.default_rng(0).standard_normal((3, 4, 5))
    totals = np.array([0.5, 1.0, 2.0]).reshape(3, 1, 1)
    p = project_capped_simplex(x, upper=0.75, total=totals, axis=1)
    np.testing.assert_allclose(p.sum(axis=1), np.broadcast_to(totals[:, 0], (3, 5)), atol=1e-14)
    for i in range(3):
        for j in range(5):
            expected = project_capped_simplex(x[i, :, j], upper=0.75, total=float(totals[i, 0, 0]))
            np.testing.assert_allclose(p[i, :, j], expected, atol=1e-15)


def test_single_precision_is_summed_in_double():
    x = np.random.default_rng(0).standard_normal((2, 50_000)).astype(np.float32)
    p = project_capped_simplex(x, total=20_000.0)
    assert p.dtype == np.float32
    expected = project_capped_simplex(x.astype(np.float64), total=20_000.0)
    np.testing.assert_allclose(p, expected, atol=6e-8)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"total": 4.0}, ValueError, "total must be between the sums of lower and of upper"),
        ({"lower": 0.5}, ValueError, "total must be between the sums of lower and of upper"),
        ({"lower": 2.0}, ValueError, "lower must not exceed upper"),
        ({"upper": np.array([1.0, np.nan, 1.0])}, ValueError, "lower must not exceed upper, got an entry"),
        ({"upper": np.ones(2)}, ValueError, r"upper must broadcast to \(2, 3\), got shape \(2,\)"),
        ({"upper": "one"}, TypeError, "upper must be a number or an array of floats, got str"),
        ({"total": np.inf}, ValueError, "total must be finite"),
    ],
)
def test_what_does_not_fit_is_named(options, error, message):
    with pytest.raises(error, match=message):
        project_capped_simplex(np.ones((2, 3)), **options)


def by_body(x, lower, upper, total):
    """Return the projection without the kernel: arrays of bounds are beyond it."""
    return project_capped_simplex(x, lower=np.full_like(x, lower), upper=np.full_like(x, upper), total=total)


@given(
    n=st.sampled_from([1, 2, 3, 17, 64, 65, 300, 5000]),
    seed=st.integers(0, 10**6),
    size=st.sampled_from([1e-5, 1.0, 1e6]),
    share=st.sampled_from([0.0, 1e-3, 0.3, 0.5, 0.9, 1.0]),
    whole=st.booleans(),
)
def test_the_kernel_is_the_body(n, seed, size, share, whole):
    rng = np.random.default_rng(seed)
    x = size * rng.standard_normal((1 + 4096 // n, n)) + rng.choice([0, 1e8])
    x = np.round(x) if whole else x
    lower, upper = -rng.random() * rng.choice([0, size]), rng.random() * rng.choice([1, size])
    total = n * (lower + (upper - lower) * share)
    p = project_capped_simplex(x, lower=lower, upper=upper, total=total)
    rounding = 8 * np.finfo(float).eps * (n * max(-lower, upper))
    np.testing.assert_allclose(p, by_body(x, lower, upper, total), atol=rounding)
    np.testing.assert_allclose(p.sum(axis=1), total, atol=rounding)
    assert np.all((lower <= p) & (p <= upper))


def test_rows_that_the_kernel_leaves_are_done_as_well():
    x = np.random.default_rng(0).standard_normal((9, 1000))
    x[1, 3], x[2, 4], x[3, 5], x[4, 6], x[5, 7] = np.nan, np.inf, -np.inf, 1.7e308, -1.7e308
    p = project_capped_simplex(x, total=5.0)
    assert np.isnan(p[1]).all()
    keep = [0, 2, 3, 4, 5, 6, 7, 8]
    np.testing.assert_allclose(p[keep], by_body(x[keep], 0.0, 1.0, 5.0), atol=1e-14)
    assert p[2, 4] == p[4, 6] == 1
    assert p[3, 5] == p[5, 7] == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_compiled_kernel_equals_its_interpreted_functions_on_a_thousand_inputs(dtype, monkeypatch):
    rng, cases = np.random.default_rng(0), []
    for trial in range(1000):
        n = int(rng.integers(1, 20)) if trial % 50 else 130
        x = (10.0 ** rng.integers(-3, 4) * rng.standard_normal((1, n))).astype(dtype)
        x = np.round(x) if trial % 3 == 0 else x
        if trial % 17 == 0:
            x[0, rng.integers(n)] = rng.choice([np.nan, np.inf, -np.inf])
        lower, upper = -rng.random() * rng.choice([0, 1]), rng.random()
        cases.append(
            (x, lower, upper, np.array([n * (lower + (upper - lower) * rng.choice([0, 0.1, rng.random(), 1]))]))
        )
    compiled = [kernels.project_capped_simplex(*case) for case in cases]
    for name, value in list(vars(kernels).items()):
        if hasattr(value, "py_func"):
            monkeypatch.setattr(kernels, name, value.py_func)
    for case, (p, failed) in zip(cases, compiled, strict=True):
        with np.errstate(all="ignore"):
            expected = kernels.project_capped_simplex(*case)
        np.testing.assert_array_equal(failed, expected[1])
        np.testing.assert_array_equal(p[~failed], expected[0][~failed])


def test_what_is_left_out_is_zero_and_the_rest_as_if_it_were_alone():
    rng = np.random.default_rng(0)
    x, mask = rng.standard_normal((6, 9)), rng.random((6, 9)) < 0.6
    mask[:, 0], mask[2] = True, False
    x[~mask] = np.nan
    p = project_capped_simplex(x, lower=0.01, upper=0.9, where=mask)
    assert not p[~mask].any()
    for i in (0, 1, 3, 4, 5):
        alone = project_capped_simplex(x[i][mask[i]], lower=0.01, upper=0.9)
        np.testing.assert_allclose(p[i][mask[i]], alone, atol=1e-15)
    with pytest.raises(ValueError, match="total must be between"):
        project_capped_simplex(x, total=8.5, where=mask)
    with pytest.raises(TypeError, match="where must be an array of booleans"):
        project_capped_simplex(x, where=np.ones(9))


@pytest.mark.parametrize("exponent", [-1022, -500, 600, 1000])
def test_the_kernel_keeps_its_digits_at_extreme_scales(exponent):
    x, scale = np.random.default_rng(1).uniform(-1, 1, (3000, 2)), 2.0**exponent
    expected = project_capped_simplex(x, total=1.0)
    found = project_capped_simplex(x * scale, upper=scale, total=scale) / scale
    np.testing.assert_allclose(found, expected, atol=1e-15)


@pytest.mark.parametrize("rows", [1, 2000])
@pytest.mark.parametrize("exponent", [8, 14, 17, 20, 99, 300])
def test_entries_far_apart_do_not_lose_the_sum(exponent, rows):
    rng = np.random.default_rng(exponent)
    for _ in range(40):
        n, lower, upper = int(rng.integers(2, 6)), rng.choice([0.0, -1.0]), rng.choice([0.5, 1.0])
        x, total = rng.standard_normal(n) * 10.0**exponent, rng.uniform(n * lower, n * upper)
        p = project_capped_simplex(np.tile(x, (rows, 1)), lower=lower, upper=upper, total=total)[-1]
        exact = [float(v) for v in exact_capped(x, [lower] * n, [upper] * n, total)]
        np.testing.assert_allclose(p, exact, rtol=0, atol=1e-15)
