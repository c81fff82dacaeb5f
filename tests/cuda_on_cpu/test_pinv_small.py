"""The text and the launch code of the small pseudo-inverse, run on the CPU."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lina._cuda.pinv_small import pinv_small, supports
from lina._numba.pinv_small import pinv_small as cpu_pinv_small
from tests.cuda_on_cpu.compile import GXX, NO_GXX, ORDERS
from tests.cuda_on_cpu.fake_cupy import installed
from tests.cuda_on_cpu.pinv_cases import SHAPES, assert_pseudo_inverse, matrices

pytestmark = [pytest.mark.cuda_text, pytest.mark.skipif(GXX is None, reason=NO_GXX)]

DTYPES = ["float32", "float64"]


def run(A, order="forward", seed=0):
    with installed(order, seed):
        return pinv_small(A)


def assert_agrees_with_the_cpu_kernel(X, condition, A):
    expected, cpu_condition = cpu_pinv_small(A)
    bound = 10 * np.finfo(A.dtype).eps * condition
    assert np.all(np.linalg.norm(X - expected, axis=(1, 2)) <= bound * np.linalg.norm(expected, axis=(1, 2)))
    assert np.all(np.abs(condition - cpu_condition) <= bound * cpu_condition)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_it_agrees_with_numpy_and_with_the_cpu_kernel(m, n, dtype):
    A = matrices(3, m, n, dtype)
    X, condition = run(A)
    assert_pseudo_inverse(X, condition, A)
    assert_agrees_with_the_cpu_kernel(X, condition, A)


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    n=st.integers(1, 20),
    extra=st.integers(0, 30),
    dtype=st.sampled_from(DTYPES),
    digits=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_it_agrees_for_any_shape_and_condition(batch, n, extra, dtype, digits, seed):
    largest = {"float32": 1e3, "float64": 1e10}[dtype]
    A = matrices(batch, n + extra, n, dtype, largest**digits, seed)
    X, condition = run(A, "shuffled", seed)
    assert_pseudo_inverse(X, condition, A)
    assert_agrees_with_the_cpu_kernel(X, condition, A)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 17, 31, 48, 64])
def test_the_largest_supported_matrix_of_every_width_is_done(n, dtype):
    tallest = max((m for m in range(n, 13000) if supports((m, n), dtype)), default=None)
    if tallest is None:
        assert (n, dtype) == (64, "float64")
        return
    A = matrices(1, tallest, n, dtype, condition=3)
    X, condition = run(A)
    assert_pseudo_inverse(X, condition, A)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n"), [(5, 1), (9, 5), (32, 16), (40, 33), (64, 48)])
def test_the_order_of_the_threads_does_not_change_a_bit(m, n, dtype):
    A = matrices(2, m, n, dtype)
    forward, *others = (run(A, order, seed) for order in ORDERS for seed in (1, 2))
    for other in others:
        assert np.array_equal(forward[0], other[0])
        assert np.array_equal(forward[1], other[1])


# the entries below are at most 1000: from the smallest subnormal number to the largest finite one
EXPONENTS = {"float32": (-149, -100, 100, 117), "float64": (-1074, -500, 500, 1013)}


@pytest.mark.parametrize(("dtype", "exponent"), [(d, e) for d in DTYPES for e in EXPONENTS[d]])
def test_a_power_of_two_goes_through_without_rounding(dtype, exponent):
    A = np.random.default_rng(0).integers(-1000, 0, (2, 9, 5)).astype(dtype)
    X, condition = run(A)
    scaled_X, scaled_condition = run(np.ldexp(A, exponent))
    with np.errstate(over="ignore"):  # the pseudo-inverse of subnormal numbers can be beyond the largest number
        expected = np.ldexp(X, -exponent)
    assert np.array_equal(scaled_X, expected)
    beyond = np.isinf(expected).any(axis=(1, 2))
    assert np.array_equal(scaled_condition, np.where(beyond, np.inf, condition))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("exponent", [-5, -8, -10])
def test_nearly_parallel_columns_lose_nothing_where_one_pass_would_lose_all(exponent, dtype):
    eps, small = np.finfo(dtype).eps, 2.0 ** (exponent * (1 if dtype == "float32" else 2.5))
    A = np.vstack([np.ones(4), small * np.eye(7, 4)])[None].astype(dtype)
    rank_one = 1 / (small**2 + 4)  # (small^2 I + 1 1^T)^-1 by Sherman and Morrison
    expected = np.zeros((4, 8))
    expected[:, 0] = rank_one
    expected[:, 1:5] = (np.eye(4) - rank_one) / small
    X, _ = run(A)
    assert np.all(np.abs(X[0] - expected) <= 10 * eps * np.abs(expected))


@pytest.mark.parametrize(
    ("dtype", "scale"), [("float64", 1e-150), ("float64", 1e150), ("float32", 1e-30), ("float32", 1e30)]
)
def test_extreme_entries_keep_their_digits(dtype, scale):
    A = matrices(2, 9, 5, dtype) * np.dtype(dtype).type(scale)
    X, condition = run(A)
    assert_pseudo_inverse(X, condition, A)


@pytest.mark.parametrize("dtype", DTYPES)
def test_matrices_without_full_rank_have_an_infinite_condition_and_leave_the_others_alone(dtype):
    A = matrices(5, 8, 4, dtype)
    A[0] = 0
    A[2, :, 1] = 0
    A[4, :, 3] = A[4, :, 0]
    X, condition = run(A)
    assert np.all(np.isinf(condition[[0, 2]]))
    assert condition[4] > 0.01 / np.finfo(dtype).eps
    good_X, good_condition = run(A[[1, 3]])
    assert np.array_equal(X[[1, 3]], good_X)
    assert np.array_equal(condition[[1, 3]], good_condition)
    assert np.array_equal(np.isinf(condition[:4]), np.isinf(cpu_pinv_small(A)[1][:4]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (8, 4), (5, 5), (40, 2)])
def test_one_bad_entry_anywhere_makes_the_condition_infinite(m, n, bad, dtype):
    A = matrices(m * n, m, n, dtype).reshape(m * n, m * n)
    np.fill_diagonal(A, bad)
    A = A.reshape(m * n, m, n)
    assert np.all(np.isinf(run(A)[1]))
    assert np.all(np.isinf(cpu_pinv_small(A)[1]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_empty_batch_launches_nothing(dtype):
    with installed() as cupy:
        X, condition = pinv_small(np.empty((0, 8, 4), dtype=dtype))
    assert (X.shape, condition.shape) == ((0, 4, 8), (0,))
    assert X.dtype == condition.dtype == dtype
    assert cupy.launches == []


def test_one_launch_does_the_whole_batch_with_one_block_per_matrix():
    with installed() as cupy:
        pinv_small(matrices(7, 8, 4, "float64"))
    assert [each["grid"] for each in cupy.launches] == [(7,)]


@pytest.mark.parametrize("view", [np.s_[:, ::2, :5], np.s_[::-1, :, 9:2:-1], np.s_[:, 1:, 3]])
def test_strided_input_gives_the_bits_of_its_copy_and_is_not_modified(view):
    whole = matrices(2, 10, 10, "float64")
    before = whole.copy()
    A = np.atleast_3d(whole[view])
    X, condition = run(A)
    copied_X, copied_condition = run(A.copy())
    assert not A.flags.c_contiguous
    assert np.array_equal(X, copied_X)
    assert np.array_equal(condition, copied_condition)
    assert np.array_equal(whole, before)


def test_it_supports_real_tall_matrices_that_fit_into_shared_memory():
    assert supports((1, 1), "float32")
    assert supports((100, 32, 16), np.float64)
    assert not supports((32, 16), "complex128")
    assert not supports((32, 16), "float16")
    assert not supports((4, 8), "float64")
    assert not supports((4, 0), "float64")
    assert not supports((65, 65), "float32")
    assert supports((64, 64), "float32")
    assert not supports((64, 64), "float64")
