"""The text and the launch code of the projection onto the simplex, run on the CPU."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lina._cuda.project_simplex import project_simplex
from lina._numba.project_simplex import project_simplex as cpu_project_simplex
from tests.cuda_on_cpu.compile import GXX, NO_GXX, ORDERS
from tests.cuda_on_cpu.fake_cupy import installed
from tests.reference.simplex import exact_projection, sorted_projection

pytestmark = [pytest.mark.cuda_text, pytest.mark.skipif(GXX is None, reason=NO_GXX)]

DTYPES = ["float32", "float64"]
ROUNDING = {"float32": 1e-7, "float64": 1e-14}


def run(x, radius=1.0, order="forward", seed=0):
    with installed(order, seed):
        return project_simplex(x, np.broadcast_to(np.asarray(radius, dtype=x.dtype), x.shape[:1]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 127, 1000, 5000])
def test_it_agrees_with_a_sort_and_with_the_cpu_kernel(n, scale, dtype):
    x = (scale * np.random.default_rng(n).standard_normal((2, n))).astype(dtype)
    p = run(x)
    for row, found, other in zip(x, p, cpu_project_simplex(x, np.ones(2)), strict=True):
        expected, *_ = sorted_projection(row)
        assert np.max(np.abs(found - expected)) <= ROUNDING[dtype] * expected.max()
        assert np.max(np.abs(found - other)) <= ROUNDING[dtype] * expected.max()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8), st.integers(1, 5), st.integers(0, 100))
def test_small_integers_are_projected_as_in_rational_arithmetic(x, radius, seed):
    expected, _ = exact_projection(x, radius)
    p = run(np.array([x], dtype=np.float64), radius, "shuffled", seed)[0]
    np.testing.assert_allclose(p, [float(v) for v in expected], atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_are_not_finite_are_as_on_the_cpu(dtype):
    x = np.random.default_rng(0).standard_normal((9, 70)).astype(dtype)
    x[0, 3], x[1, 2], x[2, [0, 69]], x[3] = np.nan, np.inf, np.inf, -np.inf
    x[4, 1:], x[5, 40], x[6, 0] = -np.inf, -np.nan, -np.inf
    radius = np.array([1, 1, 2, 1, 1, 1, 1, 0, np.nan], dtype=dtype)
    np.testing.assert_allclose(run(x, radius), cpu_project_simplex(x, radius), rtol=0, atol=ROUNDING[dtype])


@pytest.mark.parametrize("radius", [1e-300, 0.25, 3.0, 1e300])
def test_any_radius(radius):
    x = np.random.default_rng(0).standard_normal((3, 40))
    np.testing.assert_allclose(run(x, radius), cpu_project_simplex(x, np.full(3, radius)), rtol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [5, 33, 300])
def test_the_order_of_the_threads_does_not_change_a_bit(n, dtype):
    x = np.random.default_rng(0).standard_normal((2, n)).astype(dtype)
    forward, *others = (run(x, 1.0, order, seed) for order in ORDERS for seed in (1, 2))
    for other in others:
        np.testing.assert_array_equal(forward, other)


def test_one_launch_does_all_rows_with_one_block_each_and_no_rows_need_none():
    with installed() as cupy:
        project_simplex(np.ones((7, 3)), np.ones(7))
        assert project_simplex(np.ones((0, 3)), np.ones(0)).shape == (0, 3)
    assert [each["grid"] for each in cupy.launches] == [(7,)]


def test_strided_input_gives_the_bits_of_its_copy_and_is_not_modified():
    whole = np.random.default_rng(0).standard_normal((10, 20))
    before = whole.copy()
    x = whole[::2, ::-3]
    np.testing.assert_array_equal(run(x), run(x.copy()))
    np.testing.assert_array_equal(whole, before)
