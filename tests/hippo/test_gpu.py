"""What runs on a CUDA device: the scan of LegS through cupy, and the room's functions on cupy arrays."""

import numpy as np
import pytest

from lina._cuda.legs_scan import legs_scan as on_device
from lina.hippo import legs_matvec, legs_project, legs_scan, legs_solve, lti_scan, reconstruct
from lina.hippo._legs_scan.steps import scan

pytestmark = pytest.mark.gpu

METHODS = ["logbilinear", "bilinear", "backward"]


@pytest.fixture(scope="module")
def cupy():
    module = pytest.importorskip("cupy", reason="NOT TESTED: nothing ran on a GPU, because there is no cupy")
    if not module.is_available():
        pytest.skip("NOT TESTED: nothing ran on a GPU, because cupy finds no CUDA device")
    return module


def noise(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("return_all", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("channels", "L", "N"), [(1, 1, 1), (3, 70, 5), (500, 333, 47), (2, 1000, 256)])
def test_the_kernel_agrees_with_the_array_body(cupy, channels, L, N, method, return_all, dtype):
    u, x = noise(channels, L, dtype=dtype), noise(channels, N, dtype=dtype, seed=1)
    expected = scan(np, u.astype(float), x.astype(float), 7, method, return_all)
    found = on_device(cupy.asarray(u), cupy.asarray(x), 7, method, return_all).get()
    assert np.linalg.norm(found - expected) <= 500 * np.finfo(dtype).eps * np.linalg.norm(expected)


def test_a_million_steps_in_single_precision_end_near_those_in_double_precision(cupy):
    u = (np.sin(np.arange(10**6) / 3e4) + 1).astype("float32")
    found = legs_scan(cupy.asarray(u), 64).get()
    expected = legs_scan(u.astype(float), 64)
    assert np.linalg.norm(found - expected) < 5e-5 * np.linalg.norm(expected)


def test_two_runs_have_the_same_bits(cupy):
    u, x = cupy.asarray(noise(300, 500)), cupy.asarray(noise(300, 64))
    assert cupy.array_equal(*(on_device(u, x, 9, "logbilinear", True) for _ in range(2)))


def test_public_functions_on_cupy_arrays_are_numpys(cupy):
    u = noise(4, 300)
    calls = [
        legs_matvec,
        lambda x: legs_solve(x, 0.1),
        lambda x: legs_project(x, 12),
        lambda x: legs_scan(x, 12, method="exact", return_all=True),
        lambda x: lti_scan(x, 12, theta=50.0, return_all=True),
        lambda x: reconstruct(legs_project(x, 12), [0.1, 0.9], "legs"),
    ]
    for call in calls:
        found = call(cupy.asarray(u))
        assert isinstance(found, cupy.ndarray)
        np.testing.assert_allclose(found.get(), call(u), atol=1e-11)
