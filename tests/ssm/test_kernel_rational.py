"""Kernels of rational systems: true taps against exact division, truncated ones against roots of unity, adjoints."""

import warnings

import numpy as np
import pytest
from array_api_compat import numpy as xp

from lina._numba.circle_divide import _divide as _circle_divide
from lina._numba.circle_divide import circle_divide
from lina._numba.series_divide import _divide_row, series_divide
from lina._numba.step_down import _step_down as _step_down_rows
from lina._numba.step_down import step_down as step_down_rows
from lina.ssm import (
    RationalSystem,
    UnstableSystemWarning,
    fftconv,
    kernel_rational,
    kernel_rational_truncated,
    kernel_rational_truncated_vjp,
    kernel_rational_vjp,
    linear_scan,
    poly_from_roots,
    recover_b,
    stability_margin,
    stable_polynomial,
    truncated_b,
)
from lina.ssm import _series as series
from lina.ssm._kernels import divide_on_circle as circle
from lina.ssm._stability import many_rows
from lina.ssm._stability.many_rows import reflect_below_one
from tests.reference.ssm_convolution import division_at_roots_of_unity, gradient, long_division
from tests.reference.ssm_systems import rational_taps
from tests.ssm.systems import draws

SHAPES = [(1, 1), (1, 2), (1, 9), (5, 1), (5, 3), (5, 4), (5, 5), (5, 6), (5, 64), (5, 65), (30, 7), (30, 201)]


def draw(d, seed=0, size=0.5, batch=(), kind="f"):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-size, size, (*batch, d)), rng.standard_normal((*batch, d))
    if kind == "c":
        a, b = a * np.exp(2j * rng.uniform(0, 1, a.shape)), b + 1j * rng.standard_normal(b.shape)
    return stable_polynomial(a), b


def relative(found, exact):
    return np.max(np.abs(found - exact)) / np.max(np.abs(exact))


def torch_namespace():
    from array_api_compat import torch

    return torch


def by_blocks(a, b, L):
    """Divide as libraries without a kernel do."""
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore", invalid="ignore"):
        patch.setattr(series, "kernel", lambda name, xp: None)
        return series.divide(xp, b, a, L)


@pytest.mark.parametrize(("d", "L"), SHAPES)
@pytest.mark.parametrize("kind", ["f", "c"])
def test_the_taps_are_those_of_long_division_for_any_degree_and_length(d, L, kind):
    a, b = draw(d, kind=kind)
    exact = long_division(b, a, L)
    assert relative(kernel_rational(a, b, L), exact) < 1e-14
    assert relative(by_blocks(a, b, L), exact) < 1e-13


@pytest.mark.parametrize(("modulus", "error"), [(0.99, 1e-14), (0.9999, 1e-13), (1.0, 1e-13), (1.01, 1e-13)])
def test_poles_near_and_beyond_the_circle_keep_their_digits(modulus, error):
    roots = np.r_[modulus * np.exp([0.3j, -0.3j]), 0.5, -0.2]
    a, b = poly_from_roots(roots), np.array([1.0, -0.3, 0.2, 0.7])
    exact = rational_taps(a, b, 2000)
    assert relative(kernel_rational(a, b, 2000), exact) < error
    assert relative(by_blocks(a, b, 2000), exact) < 20 * error


def test_many_poles_within_a_billionth_of_the_circle_keep_twelve_digits():
    a, b = draw(300, size=0.3)
    assert 0 < stability_margin(a) < 1e-7
    exact = rational_taps(a, b, 1200)
    assert relative(kernel_rational(a, b, 1200), exact) < 1e-11  # in blocks, by the degree
    assert relative(by_blocks(a, b, 1200), exact) < 1e-8


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["f", "c"])
@pytest.mark.parametrize("batch", ["none", "denominators", "numerators", "both"])
@pytest.mark.parametrize(("d", "L"), [(1, 2), (3, 64), (5, 200), (70, 65), (70, 300)])
def test_substitution_block_by_block_is_long_division(d, L, batch, kind):
    torch = pytest.importorskip("torch")
    a, b = draw(d, kind=kind, batch=(2, 1) if batch in ("denominators", "both") else (), size=0.2)
    b = np.broadcast_to(b, (2, 1, d)) if batch != "none" else b
    b = b * np.ones((3, 1)) if batch in ("numerators", "both") else b
    found = series.divide(torch_namespace(), torch.tensor(b), torch.tensor(a), L)
    exact = series.divide(np, b, a, L)
    assert tuple(found.shape) == exact.shape
    assert relative(found.numpy(), exact) < 1e-13


@pytest.mark.parametrize("root", [1.6, 2.0, 10.0, 1e5])
def test_growth_is_shown_tap_by_tap(root):
    exact = root ** np.arange(61.0)
    np.testing.assert_allclose(kernel_rational([-root], [1.0], 61), exact, rtol=1e-13)
    np.testing.assert_allclose(by_blocks(np.array([-root]), np.ones(1), 61), exact, rtol=1e-11)


def test_a_tap_beyond_the_range_is_an_error():
    for a, L in (([-2.0], 1025), ([-1e200], 3)):
        with pytest.raises(OverflowError, match="a or b must be small enough"):
            kernel_rational(a, [1.0], L)
    assert not np.isfinite(by_blocks(np.array([-2.0]), np.ones(1), 1500)[-1])
    with pytest.raises(OverflowError, match="a or b must be small enough"):
        kernel_rational(np.array([-2.0], dtype="float32"), np.ones(1, dtype="float32"), 200)


def test_large_entries_whose_sum_overflows_are_no_error():
    np.testing.assert_array_equal(kernel_rational([1.5e308, 1.5e308], [1.0, 2.0], 1), [1.0])


@pytest.mark.parametrize("d", [3, 300])
def test_a_shorter_kernel_is_the_beginning_of_a_longer_one(d):
    a, b = draw(d, size=0.1)
    whole = kernel_rational(a, b, 1500)
    for length in (1, 2, d, 700, 1499):
        assert relative(kernel_rational(a, b, length), whole[:length]) < 1e-14


def test_division_at_roots_of_unity_would_be_eight_percent_off():
    a, b = np.array([-0.99]), np.ones(1)
    wrong = kernel_rational_truncated(a, b, 256)
    assert 0.07 < relative(wrong, kernel_rational(a, b, 256)) < 0.09


def test_a_kernel_is_the_response_of_the_recurrence():
    a, b = draw(20)
    y = linear_scan(RationalSystem(a, b), np.eye(1, 99)[0])[0]
    np.testing.assert_allclose(kernel_rational(a, b, 99), y, atol=1e-13)


@pytest.mark.parametrize("function", [kernel_rational, kernel_rational_truncated])
def test_batches_broadcast_and_precisions_stay(function):
    a, b = draw(4, batch=(3, 1))
    b = np.repeat(b, 2, axis=1)
    K = function(a, b, 33)
    assert K.shape == (3, 2, 33)
    np.testing.assert_allclose(K[1, 1], function(a[1, 0], b[1, 1], 33), rtol=1e-13, atol=1e-14)
    single = function(a.astype("float32"), b.astype("float32"), 33)
    assert single.dtype == np.float32
    assert relative(single, K) < 1e-5
    assert function(a, b[0, 0], 5).shape == (3, 1, 5)


def test_single_precision_is_divided_in_double():
    a, b = poly_from_roots([0.999, 0.99, 0.98]).astype("float32"), np.array([1.0, 0.5, 0.25], dtype="float32")
    exact = rational_taps(a, b, 3000)
    assert relative(kernel_rational(a, b, 3000), exact) < 1e-7


@pytest.mark.parametrize(("d", "L"), SHAPES)
@pytest.mark.parametrize("kind", ["f", "c"])
def test_truncated_taps_are_the_division_at_the_roots_of_unity_of_any_length(d, L, kind):
    a, b = draw(d, 1, kind=kind)
    assert relative(kernel_rational_truncated(a, b, L), division_at_roots_of_unity(a, b, L)) < 1e-12


@pytest.mark.parametrize("L", [1, 2, 9, 10])
def test_the_compiled_division_on_the_circle_gives_the_same_taps(L, monkeypatch):
    a, b = draw(4, batch=(3, 2))
    expected = kernel_rational_truncated(a, b, L)
    monkeypatch.setattr(circle, "_WORTH_COMPILING", 0)
    np.testing.assert_allclose(kernel_rational_truncated(a, b, L), expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(kernel_rational_truncated(a, b[0, 0], L), kernel_rational_truncated(a, b[:1, :1], L))


def test_coefficients_whose_squares_overflow_are_divided_all_the_same():
    a, b = np.array([1e200, 3.0]), np.array([1e200, 1.0])
    found = kernel_rational_truncated(a, b, 8, unstable="ignore")
    np.testing.assert_allclose(found, division_at_roots_of_unity(a, b, 8), atol=1e-15)
    with pytest.warns(UnstableSystemWarning, match="modulus 1e"):
        kernel_rational_truncated(a, b, 8)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_the_compiled_division_on_the_circle_equals_the_interpreted_one_and_the_body(dtype):
    rng = np.random.default_rng(0)
    eps, told = np.finfo(dtype).eps, set()
    for _ in range(1000):
        rows, n = rng.integers(1, 4), rng.integers(1, 9)
        A, B = ((rng.standard_normal((rows, n)) + 1j * rng.standard_normal((rows, n))).astype(dtype) for _ in range(2))
        A[:, 1:] = A[:, :1] * np.exp(1j * np.cumsum(rng.uniform(-1.6, 1.6, (rows, n - 1)), axis=-1))
        least = rng.uniform(0, 1, rows)
        found, other = B.copy(), B.copy()
        near, winds = circle_divide(found, A, least)
        again = np.empty(rows, dtype=bool), np.empty(rows, dtype=bool)
        real = A.real.dtype
        _circle_divide.py_func(other.view(real), A.view(real), (least**2).astype(real), *again)
        np.testing.assert_allclose(found, other, rtol=8 * eps)
        np.testing.assert_allclose(found, B / A, rtol=16 * eps)
        np.testing.assert_array_equal((near, winds), again)
        body_near, body_winds = circle._along_circle(xp, A, least, real=True)
        np.testing.assert_array_equal(near, body_near)
        ends = (A[:, 0].real <= 0) | (A[:, -1].real <= 0)
        np.testing.assert_array_equal(winds | ends, body_winds)
        told |= set(zip(near.tolist(), winds.tolist(), strict=True))
    assert len(told) == 4


def test_many_rows_in_doubt_are_told_stable_by_their_reflection_coefficients(monkeypatch):
    a, b = draw(200, size=0.3, batch=(64,))
    monkeypatch.setattr("lina.ssm._stability.flag.schur_cohn_sign", None)  # is not called
    kernel_rational_truncated(a, b, 1024)


@pytest.mark.parametrize("kind", ["f", "c"])
@pytest.mark.parametrize(("d", "L"), [(1, 1), (1, 2), (3, 2), (4, 30), (9, 9)])
def test_many_short_rows_are_divided_together_as_each_alone(d, L, kind):
    a, b = draw(d, batch=(40,), kind=kind)
    each = [kernel_rational(*row, L) for row in zip(a, b, strict=True)]
    np.testing.assert_allclose(kernel_rational(a, b, L), each, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(kernel_rational(a[0], b, L)[7], kernel_rational(a[0], b[7], L), atol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 5, 12])
def test_reflection_coefficients_of_rows_tell_what_the_margin_tells(d):
    rng = np.random.default_rng(d)
    for rows in (rng.uniform(-1, 1, (40, d)), stable_polynomial(rng.standard_normal((40, d)))):
        np.testing.assert_array_equal(reflect_below_one(rows), stability_margin(rows) > 0)
    phased = stable_polynomial(draws(d, 1))[None]
    np.testing.assert_array_equal(reflect_below_one(np.concatenate([phased, 3 * phased + 2])), [True, False])
    assert not reflect_below_one(np.array([[-2.0, 1 - 1e-15]]))[0]  # no digit is left


def test_the_compiled_recursion_equals_the_interpreted_one_and_the_body():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        a = rng.uniform(-1, 1, (rng.integers(1, 4), rng.integers(1, 8)))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found, body = step_down_rows(a.copy()), many_rows._step_down(a.copy())
            below, lost = np.empty(len(a), dtype=bool), np.empty(len(a))
            _step_down_rows.py_func(a.copy(), below, lost)
        np.testing.assert_array_equal(found[0], below)
        np.testing.assert_array_equal(found[0], body[0])
        np.testing.assert_allclose(found[1], lost, rtol=1e-6)
        np.testing.assert_allclose(found[1][below], body[1][below], rtol=1e-6)


@pytest.mark.parametrize(("d", "L"), SHAPES)
def test_truncated_taps_of_the_truncated_numerator_are_the_true_ones(d, L):
    a, b = draw(d, 2)
    found = kernel_rational_truncated(a, truncated_b(a, b, L), L)
    assert relative(found, kernel_rational(a, b, L)) < 1e-12


def test_the_true_numerator_gives_the_truncated_taps_back():
    a, b = draw(12)
    K = kernel_rational_truncated(a, b, 65)
    assert relative(kernel_rational(a, recover_b(a, b, 65).system.b, 65), K) < 1e-12


def test_single_precision_near_a_zero_of_the_denominator_is_divided_in_double():
    a = poly_from_roots([0.9999 * np.exp(0.5j), 0.9999 * np.exp(-0.5j), 0.3]).astype("float32")
    b = np.array([1.0, 0.5, 0.25], dtype="float32")
    exact = division_at_roots_of_unity(a.astype(float), b.astype(float), 2000)
    found = kernel_rational_truncated(a, b, 2000)
    assert found.dtype == np.float32
    assert relative(found, exact) < 1e-6


@pytest.mark.parametrize("L", [1, 7, 8, 64, 65, 1024])
@pytest.mark.parametrize("angle", [0.0, 1.0, np.pi])
@pytest.mark.parametrize("kind", ["real", "complex", "real, compiled"])
def test_a_pole_outside_of_the_circle_is_flagged_and_one_inside_is_not(L, angle, kind, monkeypatch):
    monkeypatch.setattr(circle, "_WORTH_COMPILING", 0 if "compiled" in kind else np.inf)
    for modulus in (0.98, 1.02):
        pole = modulus * np.exp(1j * angle)
        roots = np.array([pole, 0.2j, 0.4]) if kind == "complex" else np.array([pole, np.conj(pole), 0.4])
        a = poly_from_roots(roots) if kind == "complex" else np.real(poly_from_roots(roots))
        b = np.ones(3)
        if modulus < 1:
            kernel_rational_truncated(a, b, L)  # a warning would be an error
            continue
        with pytest.warns(UnstableSystemWarning, match="largest pole has modulus 1.02"):
            K = kernel_rational_truncated(a, b, L)
        np.testing.assert_array_equal(kernel_rational_truncated(a, b, L, unstable="ignore"), K)
        with pytest.raises(ValueError, match="a must have all poles inside the unit circle"):
            kernel_rational_truncated(a, b, L, unstable="raise")


@pytest.mark.parametrize("worth", [0, np.inf])
def test_stability_is_told_as_by_the_margin_for_random_denominators(worth, monkeypatch):
    monkeypatch.setattr(circle, "_WORTH_COMPILING", worth)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        d, L = rng.integers(1, 12), rng.integers(1, 90)
        a = rng.standard_normal(d) * rng.choice([0.2, 0.5, 1.0])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kernel_rational_truncated(a, np.ones(d), int(L))
        stable = bool(stability_margin(a) > 0)
        assert bool(caught) != stable
        seen.add(stable)
    assert seen == {True, False}


def test_one_unstable_row_among_many_is_found():
    a, b = draw(6, batch=(40,))
    a[17] = poly_from_roots([1.05, 0.3, 0.2, 0.1, -0.2, -0.4])
    with pytest.warns(UnstableSystemWarning, match=r"modulus 1\.05"):
        kernel_rational_truncated(a, b, 128)


def test_a_zero_at_a_root_of_unity_is_refused():
    with pytest.raises(ValueError, match="a must not vanish at a root of unity"):
        kernel_rational_truncated([1.0], [1.0], 4, unstable="ignore")


@pytest.mark.parametrize(("d", "L"), [(1, 1), (3, 2), (3, 3), (3, 4), (3, 9), (4, 10)])
@pytest.mark.parametrize("kind", ["f", "c"])
@pytest.mark.parametrize("form", ["true", "truncated"])
def test_adjoints_are_differences(d, L, kind, form):
    a, b = draw(d, 3, kind=kind)
    g = np.random.default_rng(4).standard_normal(L) + (1j * np.arange(L) if kind == "c" else 0)
    call, vjp = {
        "true": (kernel_rational, kernel_rational_vjp),
        "truncated": (kernel_rational_truncated, kernel_rational_truncated_vjp),
    }[form]
    da, db = vjp(g, a, b)
    np.testing.assert_allclose(da, gradient(lambda a: call(a, b, L), a, g), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(db, gradient(lambda b: call(a, b, L), b, g), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("vjp", [kernel_rational_vjp, kernel_rational_truncated_vjp])
def test_adjoints_sum_over_what_was_broadcast(vjp):
    a, b = draw(3, batch=(4, 5))
    a, b = a[:, :1], b[0]
    g = np.random.default_rng(0).standard_normal((4, 5, 8))
    da, db = vjp(g, a, b)
    assert (da.shape, db.shape) == ((4, 1, 3), (5, 3))
    each = [[vjp(g[i, j], a[i, 0], b[j]) for j in range(5)] for i in range(4)]
    np.testing.assert_allclose(da[2, 0], sum(x[0] for x in each[2]), atol=1e-12)
    np.testing.assert_allclose(db[3], sum(row[3][1] for row in each), atol=1e-12)


@pytest.mark.parametrize("vjp", [kernel_rational_vjp, kernel_rational_truncated_vjp])
@pytest.mark.parametrize(
    ("shape", "b", "wanted"),
    [((2,), (5, 2), r"\(5, L\)"), ((5, 2), (5, 1, 2), r"\(5, 1, L\)"), ((3, 5, 2), (5, 2), r"\(5, L\)")],
)
def test_a_cotangent_of_another_batch_than_the_taps_is_refused(vjp, shape, b, wanted):
    with pytest.raises(ValueError, match=rf"cotangent must have shape {wanted}, got"):
        vjp(np.ones(shape), [0.1, 0.2], np.ones(b))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_compiled_division_equals_the_interpreted_one_and_long_division(dtype):
    rng = np.random.default_rng(0)
    for _ in range(1000):
        rows, d, L = rng.integers(1, 3), rng.integers(1, 6), rng.integers(1, 14)
        a = rng.uniform(-0.5, 0.5, (rows, d)).astype(dtype)
        rest = rng.standard_normal((rows, L)).astype(dtype)
        if dtype == "complex128":
            a, rest = a * (1 + 0.5j), rest * (0.5 - 1j)
        found, other = series_divide(rest.copy(), a), rest.copy()
        for row, below in zip(other, a, strict=True):
            _divide_row.py_func(row, below)
        np.testing.assert_allclose(found, other, rtol=1e-14, atol=1e-14)
        np.testing.assert_allclose(found[0], long_division(rest[0], a[0], L), rtol=1e-13, atol=1e-13)


def test_the_compiled_division_is_the_one_of_scipy_and_of_blocks():
    a, b = draw(64, batch=(40,), size=0.1)
    assert series._WORTH_COMPILING <= 40 * 1000 * 64
    K = kernel_rational(a, b, 1000)
    assert relative(K[7], kernel_rational(a[7], b[7], 1000)) < 1e-14
    assert relative(K, by_blocks(a, b, 1000)) < 1e-12


@pytest.mark.parametrize("function", [kernel_rational, kernel_rational_truncated])
@pytest.mark.parametrize(
    ("a", "b", "L", "error", "words"),
    [
        ([0.1], [1.0], 0, ValueError, "L must be in 1"),
        ([0.1], [1.0], 2.5, TypeError, "L must be an int, got float"),
        ([0.1], [1.0], True, TypeError, "L must be an int, got bool"),
        ([0.1], [1.0, 2.0], 4, ValueError, "must have n = 1 entries"),
        ([np.nan], [1.0], 4, ValueError, "a must be finite, got 1"),
        ([0.1], [np.inf], 4, ValueError, "must be finite, got 1"),
        (0.1, [1.0], 4, ValueError, "a must have at least 1 dim"),
        ([], [], 4, ValueError, "a must have at least one entry"),
        (np.full((2, 1), 0.1), np.ones((3, 1)), 4, ValueError, "leading axes that broadcast"),
        ("x", [1.0], 4, TypeError, "a must be an array"),
    ],
)
def test_an_error_names_the_argument(function, a, b, L, error, words):
    with pytest.raises(error, match=words):
        function(a, b, L)


def test_errors_of_options_and_cotangents_name_them():
    with pytest.raises(ValueError, match="unstable must be one of"):
        kernel_rational_truncated([0.1], [1.0], 4, unstable="no")
    with pytest.raises(ValueError, match="b_tilde must be finite"):
        kernel_rational_truncated([0.1], [np.nan], 4)
    with pytest.raises(ValueError, match="cotangent must be finite"):
        kernel_rational_vjp([np.nan], [0.1], [1.0])
    with pytest.raises(ValueError, match=r"cotangent must have shape \(3, L\), got \(2, 4\)"):
        kernel_rational_truncated_vjp(np.ones((2, 4)), np.full((3, 1), 0.1), [1.0])


@pytest.mark.torch
@pytest.mark.parametrize("function", [kernel_rational, kernel_rational_truncated])
@pytest.mark.parametrize("L", [2, 9, 200])
def test_gradients_pass_through_torch(function, L):
    torch = pytest.importorskip("torch")
    a, b = (torch.tensor(x, requires_grad=True) for x in draw(3, size=0.3))
    assert torch.autograd.gradcheck(lambda a, b: function(a, b, L), (a, b))


@pytest.mark.parametrize("library", ["numpy", pytest.param("torch", marks=pytest.mark.torch)])
def test_an_empty_batch_has_empty_taps_and_gradients(library):
    make = pytest.importorskip(library).ones
    a, b, g = make((0, 3)), make((0, 3)), make((0, 5))
    for function in (kernel_rational, kernel_rational_truncated):
        assert tuple(function(a, b, 5).shape) == (0, 5)
    for vjp in (kernel_rational_vjp, kernel_rational_truncated_vjp):
        assert tuple(vjp(g, a, b)[0].shape) == (0, 3)
    assert tuple(fftconv(g, make(2)).shape) == (0, 5)


def test_no_systems_have_no_kernels_also_where_coefficients_fold():
    for kernel in (kernel_rational, kernel_rational_truncated):
        assert kernel(np.zeros((0, 3)), np.zeros((1, 3)), 2).shape == (0, 2)
