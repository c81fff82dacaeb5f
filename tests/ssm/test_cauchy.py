"""Products with Cauchy matrices: against 40 digits, blocks, pairs, adjoints."""

import numpy as np
import pytest

from lina.ssm import cauchy, cauchy_vjp
from lina.ssm._kernels import cauchy as module
from tests.reference.ssm_kernels import cauchy_sums, derivative
from tests.ssm.systems import draws

PAIRS = pytest.mark.parametrize("pairs", [False, True])


@PAIRS
@pytest.mark.parametrize("width", [1, 7, 2**17])
def test_sums_are_those_in_40_digits_whatever_the_blocks(pairs, width, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", width)
    v, z, w = draws(4), draws(9, 1), draws(4, 2)
    exact = np.array(cauchy_sums(v, z, w, pairs), dtype=complex)
    np.testing.assert_allclose(cauchy(v, z, w, pairs=pairs), exact, atol=1e-14 * np.max(np.abs(exact)))


def test_pairs_are_the_sum_over_both_halves():
    v, z, w = draws(4), draws(9, 1), draws(4, 2)
    both = cauchy(np.r_[v, v.conj()], z, np.r_[w, w.conj()])
    np.testing.assert_allclose(cauchy(v, z, w, pairs=True), both, rtol=1e-13)


@pytest.mark.parametrize("gap", [1e-3, 1e-8, 1e-14])
def test_next_to_a_pole_only_the_difference_of_the_arguments_counts(gap):
    v, z, w = [1.0 + 1j], [1.0 + gap], [1.0]
    exact = np.array(cauchy_sums(v, z, w, True), dtype=complex)
    np.testing.assert_allclose(cauchy(v, z, w, pairs=True), exact, rtol=1e-15)


@PAIRS
def test_single_precision_is_rounded_once(pairs):
    v, z, w = (draws(n, s).astype("complex64") for n, s in ((32, 0), (500, 1), (32, 2)))
    r, exact = cauchy(v, z, w, pairs=pairs), cauchy(*(x.astype(complex) for x in (v, z, w)), pairs=pairs)
    assert r.dtype == np.complex64
    np.testing.assert_allclose(r, exact, rtol=1e-7)


@PAIRS
@pytest.mark.parametrize("width", [3, 2**17])
def test_the_adjoint_is_that_of_sums_in_40_digits(pairs, width, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", width)
    arguments, g = [draws(3), draws(5, 1), draws(3, 2)], draws(5, 3)
    for i, gradient in enumerate(cauchy_vjp(g, *arguments, pairs=pairs)):
        direction = draws(len(arguments[i]), 7 + i)
        change = np.sum(g.conj() * derivative(lambda *a: cauchy_sums(*a, pairs), arguments, i, direction)).real
        np.testing.assert_allclose(np.sum(gradient.conj() * direction).real, change, rtol=1e-11)


@PAIRS
def test_a_batch_broadcasts_and_its_adjoint_sums_over_what_was_shared(pairs):
    v, z, w = draws(12).reshape(3, 4), draws(5, 1), draws(4, 2)
    r = cauchy(v, z, w, pairs=pairs)
    assert r.shape == (3, 5)
    np.testing.assert_allclose(r[1], cauchy(v[1], z, w, pairs=pairs), rtol=1e-13)
    g = draws(15, 3).reshape(3, 5)
    shared = cauchy_vjp(g, v, z, w, pairs=pairs)
    assert [d.shape for d in shared] == [(3, 4), (5,), (4,)]
    each = [cauchy_vjp(g[i], v[i], z, w, pairs=pairs) for i in range(3)]
    np.testing.assert_allclose(shared[1], sum(d[1] for d in each), rtol=1e-12)
    np.testing.assert_allclose(shared[2], sum(d[2] for d in each), rtol=1e-12)
    assert cauchy(v[:0], z, w, pairs=pairs).shape == (0, 5)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: cauchy([1.0], [2.0], [2.0]), ValueError, "z must not hold a pole"),
        (lambda: cauchy([1.0], [np.inf], [2.0]), ValueError, "z must be finite"),
        (lambda: cauchy([1.0], [1.0], [2.0, 3.0]), ValueError, "w must have n = 1 entries"),
        (lambda: cauchy([], [1.0], []), ValueError, "v must have at least one entry"),
        (lambda: cauchy([[1.0]] * 2, [1.0], [[2.0]] * 3), ValueError, "leading axes that broadcast"),
        (lambda: cauchy_vjp([1.0, 2.0], [1.0], [1.0], [2.0]), ValueError, "cotangent must have shape"),
        (lambda: cauchy_vjp([np.nan], [1.0], [1.0], [2.0]), ValueError, "cotangent must be finite"),
    ],
)
def test_bad_input_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
