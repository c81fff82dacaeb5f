"""What runs on a CUDA device: the kernels through cupy, and the public functions on cupy arrays."""

import numpy as np
import pytest

import lina
from lina._cuda.pinv_small import pinv_small, supports
from tests.cuda_on_cpu.pinv_cases import SHAPES, assert_pseudo_inverse, matrices

pytestmark = pytest.mark.gpu

DTYPES = ["float32", "float64"]


@pytest.fixture(scope="module")
def cupy():
    module = pytest.importorskip("cupy", reason="NOT TESTED: nothing ran on a GPU, because there is no cupy")
    if not module.is_available():
        pytest.skip("NOT TESTED: nothing ran on a GPU, because cupy finds no CUDA device")
    return module


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_the_kernel_of_small_pseudo_inverses_agrees_with_numpy(cupy, m, n, dtype):
    A = matrices(100, m, n, dtype)
    assert supports(A.shape, A.dtype)
    X, condition = pinv_small(cupy.asarray(A))
    assert_pseudo_inverse(X.get(), condition.get(), A)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_batch_of_more_than_65535_matrices_runs_and_repeats_its_bits(cupy, dtype):
    A = matrices(70_000, 4, 2, dtype)
    first, second = (pinv_small(cupy.asarray(A)) for _ in range(2))
    assert_pseudo_inverse(first[0].get(), first[1].get(), A)
    assert cupy.array_equal(first[0], second[0])
    assert cupy.array_equal(first[1], second[1])


def test_an_empty_batch_stays_empty(cupy):
    X, condition = pinv_small(cupy.empty((0, 8, 4)))
    assert (X.shape, condition.shape) == ((0, 4, 8), (0,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_matrix_without_full_rank_has_an_infinite_condition(cupy, bad, dtype):
    A = matrices(3, 8, 4, dtype)
    A[1] = bad
    _, condition = pinv_small(cupy.asarray(A))
    assert np.isinf(condition.get()).tolist() == [False, True, False]


def test_strided_input_gives_the_bits_of_its_copy(cupy):
    A = cupy.asarray(matrices(5, 20, 4, "float64"))[:, ::2]
    for view, copied in zip(pinv_small(A), pinv_small(A.copy()), strict=True):
        assert cupy.array_equal(view, copied)


def test_the_kernel_runs_on_the_current_stream(cupy):
    A = matrices(1000, 8, 4, "float64")
    with cupy.cuda.Stream(non_blocking=True) as stream:
        X, condition = pinv_small(cupy.asarray(A))
        stream.synchronize()
        assert_pseudo_inverse(X.get(), condition.get(), A)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (20, 40), (200, 80), (3, 8, 4), (2000, 16, 8), (2000, 8, 16), (20, 100, 60)])
def test_the_public_pseudo_inverse_of_a_cupy_array_is_numpys(cupy, shape, dtype):
    A = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    X = lina.linalg.pinv(cupy.asarray(A))
    expected = np.linalg.pinv(A.astype("float64"))
    assert isinstance(X, cupy.ndarray)
    assert X.dtype == dtype
    singular = np.linalg.svd(A.astype("float64"), compute_uv=False)
    bound = 100 * np.finfo(dtype).eps * singular.max(-1) / singular.min(-1) / singular.min(-1)
    assert np.all(np.linalg.norm(X.get() - expected, ord=2, axis=(-2, -1)) <= bound)


def test_deficient_matrices_in_a_batch_get_the_rank_that_numpy_gives_them(cupy):
    A = np.random.default_rng(0).standard_normal((2000, 16, 8))
    A[7] = A[7, :, :3] @ A[7, :3, :]
    A[11] = 0
    X, info = lina.linalg.pinv(cupy.asarray(A), return_info=True)
    assert np.allclose(X.get()[[7, 11]], np.linalg.pinv(A[[7, 11]]), atol=1e-10)
    assert cupy.asnumpy(info.rank)[[0, 7, 11]].tolist() == [8, 3, 0]
