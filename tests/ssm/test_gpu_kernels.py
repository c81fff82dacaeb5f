"""What runs on a CUDA device: the kernels of systems through cupy, beside numpy's."""

import numpy as np
import pytest

from lina._cuda.dplr_response import dplr_response as response_on_device
from lina._cuda.vandermonde import vandermonde as sums_on_device
from lina._cuda.vandermonde import vandermonde_transpose as transpose_on_device
from lina.ssm import kernel_diag, kernel_diag_vjp, kernel_dplr, kernel_dplr_truncated, kernel_dplr_vjp
from tests.ssm.systems import draws

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cupy():
    module = pytest.importorskip("cupy", reason="NOT TESTED: nothing ran on a GPU, because there is no cupy")
    if not module.is_available():
        pytest.skip("NOT TESTED: nothing ran on a GPU, because cupy finds no CUDA device")
    return module


def parameters(channels=50, n=32, rank=1):
    rng = np.random.default_rng(0)
    Lambda = -rng.uniform(0.1, 1, (channels, n)) + 1j * rng.uniform(0, 9, (channels, n))
    P = draws(channels * rank * n, 1).reshape(channels, rank, n)
    B, C = (draws(channels * n, seed).reshape(channels, n) for seed in (2, 3))
    return Lambda, P, B, C, rng.uniform(1e-3, 0.1, channels)


def assert_near(found, expected, tolerance):
    assert np.max(np.abs(found - expected)) <= tolerance * np.max(np.abs(expected))


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize(("rows", "n", "points"), [(1, 1, 1), (3, 5, 1000), (300, 32, 129), (70_000, 2, 3)])
def test_the_response_agrees_with_numpys_kernel(cupy, rows, n, points, rank):
    from lina._numba.dplr_response import dplr_response

    Lambda, P, B, C, _ = parameters(rows, n, rank)
    left = np.concatenate([C[:, None], P.conj()], axis=1)
    right = np.concatenate([B[:, None], P], axis=1)
    zeta = 0.05 + 1j * np.linspace(0, np.pi / 2, points)
    p, q = 2 * np.sinh(zeta), np.cosh(zeta)
    found = response_on_device(*(cupy.asarray(x) for x in (Lambda, left, right)), p, q)
    assert_near(found.get(), dplr_response(Lambda, left, right, p, q), 1e-12)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize(("rows", "n", "L"), [(1, 1, 1), (3, 5, 1000), (300, 32, 4097), (70_000, 2, 3)])
def test_sums_over_modes_agree_with_numpys_kernel(cupy, rows, n, L, dtype):
    from lina._numba import vandermonde as kernels

    Lambda, _, B, _, dt = parameters(rows, n)
    c, x = B.astype(dtype), (Lambda * dt[:, None]).astype(dtype)
    u = np.random.default_rng(1).standard_normal((rows, 2, L)).astype(c.real.dtype)
    tolerance = 1e-6 if dtype == "complex64" else 1e-11
    assert_near(sums_on_device(cupy.asarray(c), cupy.asarray(x), L).get(), kernels.vandermonde(c, x, L), tolerance)
    found = transpose_on_device(cupy.asarray(u), cupy.asarray(x)).get()
    assert_near(found, kernels.vandermonde_transpose(u, x), 1e-11)


def test_public_functions_on_cupy_arrays_are_numpys(cupy):
    Lambda, P, B, C, dt = parameters()
    g = np.random.default_rng(1).standard_normal((50, 300))
    calls = [
        (lambda *a: kernel_dplr(*a, 300), (Lambda, P, B, C, dt)),
        (lambda *a: kernel_dplr_truncated(*a, 301), (Lambda, P, B, C, dt)),
        (lambda *a: kernel_diag(*a, 3000), (Lambda, B, C, dt)),
        (lambda *a: kernel_dplr_vjp(*a)[0], (g, Lambda, P, B, C, dt)),
        (lambda *a: kernel_diag_vjp(*a)[0], (g, Lambda, B, C, dt)),
    ]
    for call, arrays in calls:
        found = call(*(cupy.asarray(x) for x in arrays))
        assert isinstance(found, cupy.ndarray)
        assert_near(found.get(), call(*arrays), 1e-10)


def test_two_runs_have_the_same_bits(cupy):
    arrays = [cupy.asarray(x) for x in parameters()]
    assert cupy.array_equal(*(kernel_dplr(*arrays, 500) for _ in range(2)))
    assert cupy.array_equal(*(kernel_diag_vjp(cupy.ones((50, 500)), *arrays[:1], *arrays[2:])[0] for _ in range(2)))
