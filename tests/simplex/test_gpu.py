"""What runs on a CUDA device: the kernels of rows through cupy, beside numpy's, and the public functions."""

import numpy as np
import pytest

from lina._cuda.entmax import entmax as entmax_on_device
from lina._cuda.project_simplex import project_simplex as project_on_device
from lina.simplex import entmax, project_simplex

pytestmark = pytest.mark.gpu

ROUNDING = {"float32": 2e-6, "float64": 1e-13}


@pytest.fixture(scope="module")
def cupy():
    module = pytest.importorskip("cupy", reason="NOT TESTED: nothing ran on a GPU, because there is no cupy")
    if not module.is_available():
        pytest.skip("NOT TESTED: nothing ran on a GPU, because cupy finds no CUDA device")
    return module


def rows(shape, dtype):
    return (3 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 33), (70_000, 5), (100, 1000), (2, 128_000)])
def test_the_kernels_agree_with_numpys(cupy, shape, dtype):
    from lina._numba.entmax import entmax as cpu_entmax
    from lina._numba.project_simplex import project_simplex as cpu_project

    x, radius = rows(shape, dtype), np.linspace(0.5, 2, shape[0]).astype(dtype)
    alpha = np.linspace(1.2, 2, shape[0]).astype(dtype)
    found = project_on_device(cupy.asarray(x), cupy.asarray(radius)).get()
    np.testing.assert_allclose(found, cpu_project(x, radius), rtol=0, atol=2 * ROUNDING[dtype])
    found = entmax_on_device(cupy.asarray(x), cupy.asarray(alpha)).get()
    np.testing.assert_allclose(found, cpu_entmax(x, alpha), rtol=0, atol=ROUNDING[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_public_functions_on_cupy_arrays_are_numpys(cupy, dtype):
    x = rows((50, 300), dtype)
    for call in (project_simplex, lambda x: project_simplex(x, 3.0, axis=0), lambda x: entmax(x, 1.5)):
        found = call(cupy.asarray(x))
        assert isinstance(found, cupy.ndarray)
        assert found.dtype == dtype
        np.testing.assert_allclose(found.get(), call(x), rtol=0, atol=3 * ROUNDING[dtype])


def test_rows_with_nan_and_infinities_are_as_on_the_cpu(cupy):
    x = rows((6, 70), "float64")
    x[0, 3], x[1, 2], x[2, [0, 69]], x[3], x[4, 1:] = np.nan, np.inf, np.inf, -np.inf, -np.inf
    np.testing.assert_allclose(project_simplex(cupy.asarray(x)).get(), project_simplex(x), atol=1e-14)
    np.testing.assert_allclose(entmax(cupy.asarray(x), 1.5).get(), entmax(x, 1.5), atol=1e-13)


def test_two_runs_have_the_same_bits(cupy):
    x, radius = cupy.asarray(rows((300, 500), "float32")), cupy.ones(300, dtype="float32")
    assert cupy.array_equal(*(project_on_device(x, radius) for _ in range(2)))
    assert cupy.array_equal(*(entmax_on_device(x, 1 + radius / 2) for _ in range(2)))
