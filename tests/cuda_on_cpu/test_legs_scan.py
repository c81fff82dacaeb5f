"""The text and the launch code of the scan of LegS, run on the CPU."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lina._cuda.legs_scan import legs_scan, supports
from lina.hippo._legs_scan.steps import scan
from tests.cuda_on_cpu.compile import GXX, NO_GXX, ORDERS
from tests.cuda_on_cpu.fake_cupy import installed

pytestmark = [pytest.mark.cuda_text, pytest.mark.skipif(GXX is None, reason=NO_GXX)]

DTYPES = ["float32", "float64"]
METHODS = ["logbilinear", "bilinear", "backward"]


def noise(*shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def run(u, x, k0=3, method="logbilinear", return_all=False, order="forward", seed=0):
    with installed(order, seed):
        return legs_scan(u, x, k0, method, return_all)


def assert_agrees(u, x, k0, method, return_all, order="forward", seed=0):
    wide = np.result_type(u.dtype, np.float64)
    expected = scan(np, u.astype(wide), x.astype(wide), k0, method, return_all)
    found = run(u, x, k0, method, return_all, order, seed)
    assert found.dtype == u.dtype
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) <= 200 * np.finfo(u.dtype).eps * np.linalg.norm(expected)


@pytest.mark.parametrize("dtype", [*DTYPES, "complex64", "complex128"])
@pytest.mark.parametrize("return_all", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("channels", "L", "N"), [(1, 1, 1), (1, 32, 32), (3, 70, 5), (5, 33, 47), (2, 100, 33)])
def test_it_agrees_with_the_array_body(channels, L, N, method, return_all, dtype):
    assert_agrees(noise(channels, L, dtype=dtype), noise(channels, N, dtype=dtype, seed=1), 7, method, return_all)


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 6),
    L=st.integers(1, 80),
    N=st.integers(1, 70),
    k0=st.integers(1, 10**6),
    method=st.sampled_from(METHODS),
    return_all=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_it_agrees_for_any_shape(channels, L, N, k0, method, return_all, seed):
    u, x = noise(channels, L, seed=seed), noise(channels, N, seed=seed + 1)
    assert_agrees(u, x, k0, method, return_all, "shuffled", seed)


@pytest.mark.parametrize("method", METHODS)
def test_the_first_sample_is_the_limit_in_which_nothing_was_before(method):
    u = noise(2, 40)
    states = run(u, np.zeros((2, 9)), 0, method, True)
    np.testing.assert_allclose(states[:, 0], u[:, :1] * np.eye(9)[0], atol=1e-15)
    assert_agrees(u, np.zeros((2, 9)), 0, method, True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_order_of_the_threads_does_not_change_a_bit(dtype):
    u, x = noise(5, 70, dtype=dtype), noise(5, 40, dtype=dtype)
    forward, *others = (run(u, x, return_all=True, order=order, seed=seed) for order in ORDERS for seed in (1, 2))
    for other in others:
        assert np.array_equal(forward, other)


def test_single_precision_does_not_lose_increments_below_its_last_place():
    # near k = 10^7 an increment is below half a unit in the last place of the state
    u, x = np.full((1, 20_000), 2.0, dtype=np.float32), np.eye(1, 4, dtype=np.float32)
    expected = scan(np, u.astype(float), x.astype(float), 10**8, "logbilinear", False)
    found = run(u, x, 10**8)
    assert expected[0, 0] - 1 == pytest.approx(2e-4, rel=1e-3)
    np.testing.assert_allclose(found - x, expected - x, atol=1.3e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_supported_state_runs(dtype):
    N = 48 * 1024 // 2 // np.dtype(dtype).itemsize
    assert supports(N, dtype)
    assert not supports(N + 1, dtype)
    assert_agrees(noise(1, 3, dtype=dtype), noise(1, N, dtype=dtype) / N, 10**4, "logbilinear", False)


def test_it_supports_real_and_complex_numbers_of_two_precisions():
    assert supports(64, "complex64")
    assert supports(64, np.complex128)
    assert not supports(64, "float16")
    assert not supports(64, "int32")


@pytest.mark.parametrize("return_all", [False, True])
def test_an_empty_batch_launches_nothing(return_all):
    with installed() as cupy:
        states = legs_scan(np.empty((0, 5)), np.empty((0, 3)), 1, "backward", return_all)
    assert states.shape == ((0, 5, 3) if return_all else (0, 3))
    assert cupy.launches == []


def test_one_launch_does_all_channels_with_a_warp_each():
    with installed() as cupy:
        legs_scan(noise(9, 5), noise(9, 3), 1, "backward", False)
    assert [(each["grid"], each["block"]) for each in cupy.launches] == [((3,), (128,))]


def test_strided_input_gives_the_bits_of_its_copy_and_is_not_modified():
    whole, x = noise(8, 40), noise(4, 6)
    before, x_before = whole.copy(), x.copy()
    u = whole[::2, ::-1]
    assert np.array_equal(run(u, x), run(u.copy(), x))
    assert np.array_equal(whole, before)
    assert np.array_equal(x, x_before)
