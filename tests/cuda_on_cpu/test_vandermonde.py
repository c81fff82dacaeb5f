"""The texts and the launch code of products with a Vandermonde matrix and its transpose, run on the CPU."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lina._cuda import vandermonde as module
from lina._cuda.vandermonde import vandermonde, vandermonde_transpose
from tests.cuda_on_cpu.compile import GXX, NO_GXX, ORDERS
from tests.cuda_on_cpu.fake_cupy import installed

pytestmark = [pytest.mark.cuda_text, pytest.mark.skipif(GXX is None, reason=NO_GXX)]

SHAPES = pytest.mark.parametrize(
    ("rows", "n", "L"), [(1, 1, 1), (2, 5, 127), (1, 33, 129), (3, 2, 2048), (1, 3, 2049), (1, 2, 20_000)]
)


def inputs(rows, n, seed=0):
    rng = np.random.default_rng(seed)
    c = rng.standard_normal((rows, n)) + 1j * rng.standard_normal((rows, n))
    return c, -rng.uniform(0, 0.01, (rows, n)) + 1j * rng.uniform(-3, 3, (rows, n))


def samples(rows, k, L, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal((rows, k, L)).astype(dtype)


def run(function, *arguments, order="forward", seed=0):
    with installed(order, seed):
        return function(*arguments)


def assert_agrees(c, x, L, order="forward", seed=0):
    E = np.exp(x.astype(complex)[..., None] * np.arange(L))
    expected = 2 * np.sum(c[..., None] * E, axis=1).real
    found = run(vandermonde, c, x, L, order=order, seed=seed)
    assert found.dtype == c.real.dtype
    tolerance = (1e-7 if c.dtype == np.complex64 else 1e-11) * np.max(np.abs(expected))
    np.testing.assert_allclose(found, expected, atol=tolerance)


def assert_transpose_agrees(u, x, order="forward", seed=0):
    E = np.exp(x[..., None] * np.arange(u.shape[-1]))
    expected = np.einsum("rkl,rnl->rkn", u.astype(float), E)
    found = run(vandermonde_transpose, u, x, order=order, seed=seed)
    np.testing.assert_allclose(found, expected, atol=1e-11 * np.max(np.abs(expected)) + 1e-12)


@SHAPES
def test_sums_agree_with_the_whole_matrix(rows, n, L):
    c, x = inputs(rows, n)
    assert_agrees(c, x, L)
    assert_agrees(c.astype("complex64"), x.astype("complex64"), L)


@SHAPES
def test_transposed_sums_agree_with_the_whole_matrix(rows, n, L):
    for dtype in ("float32", "float64"):
        assert_transpose_agrees(samples(rows, 2, L, dtype), inputs(rows, n)[1])


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 3), n=st.integers(1, 40), L=st.integers(1, 300), seed=st.integers(0, 1000))
def test_they_agree_for_any_shape(rows, n, L, seed):
    c, x = inputs(rows, n, seed)
    assert_agrees(c, x, L, "shuffled", seed)
    assert_transpose_agrees(samples(rows, 1, L, seed=seed), x, "shuffled", seed)


def test_the_order_of_the_threads_does_not_change_a_bit():
    c, x = inputs(2, 40)
    u = samples(2, 2, 500)
    for function, arguments in ((vandermonde, (c, x, 500)), (vandermonde_transpose, (u, x))):
        forward, *others = (run(function, *arguments, order=order, seed=seed) for order in ORDERS for seed in (1, 2))
        for other in others:
            assert np.array_equal(forward, other)


def test_an_empty_batch_launches_nothing():
    c, x = inputs(0, 3)
    with installed() as cupy:
        assert vandermonde(c, x, 5).shape == (0, 5)
        assert vandermonde_transpose(samples(0, 1, 5), x).shape == (0, 1, 3)
    assert cupy.launches == []


def test_more_rows_than_a_grid_has_are_done_by_its_blocks(monkeypatch):
    monkeypatch.setattr(module, "_MAX_ROWS", 2)
    assert_agrees(*inputs(5, 3), 10)


def test_strided_input_gives_the_bits_of_its_copy_and_is_not_modified():
    c, x = inputs(4, 6)
    before = c.copy()
    strided, copied = (
        run(vandermonde, *each, 30)
        for each in ((c[::2, ::-1], x[::2, ::-1]), (c[::2, ::-1].copy(), x[::2, ::-1].copy()))
    )
    assert np.array_equal(strided, copied)
    assert np.array_equal(c, before)
