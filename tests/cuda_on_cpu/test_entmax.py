"""The text and the launch code of entmax, run on the CPU."""

import numpy as np
import pytest

from lina._cuda.entmax import entmax
from lina._numba.entmax import entmax as cpu_entmax
from tests.cuda_on_cpu.compile import GXX, NO_GXX, ORDERS
from tests.cuda_on_cpu.fake_cupy import installed

pytestmark = [pytest.mark.cuda_text, pytest.mark.skipif(GXX is None, reason=NO_GXX)]

DTYPES = ["float32", "float64"]
ALPHAS = [1.0, 1 + 1e-12, 1 + 1e-6, 1.05, 1.25, 1.5, 1.8, 2.0, 2.5, 4.0]


def run(x, alpha, order="forward", seed=0):
    with installed(order, seed):
        return entmax(x, np.broadcast_to(np.asarray(alpha, dtype=x.dtype), x.shape[:1]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 33, 200, 1500])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_it_agrees_with_the_cpu_kernel(alpha, n, dtype):
    x = (np.array([[0.01], [1.0], [20.0]]) * np.random.default_rng(n).standard_normal((3, n))).astype(dtype)
    given = np.full(3, alpha, dtype=dtype)
    expected = cpu_entmax(x, given)
    allowed = 2e-7 if dtype == "float32" else 1e-10 if alpha > 2 else 5e-14
    assert np.all(np.max(np.abs(run(x, alpha) - expected), axis=1) <= allowed * expected.max(axis=1))


def test_one_alpha_per_row_and_breakpoints():
    x = np.array([[2.0, 0.0, -1.0]] * 3)
    p = run(x, np.array([1.5, 2.0, 1.0]))
    np.testing.assert_allclose(p, cpu_entmax(x, np.array([1.5, 2.0, 1.0])), atol=1e-15)
    assert p[0].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [1.0, 1.5, 3.0])
def test_rows_that_are_not_finite_are_as_on_the_cpu(alpha, dtype):
    x = np.random.default_rng(0).standard_normal((8, 70)).astype(dtype)
    x[0, 3], x[1, 2], x[2, [0, 69]], x[3] = np.nan, np.inf, np.inf, -np.inf
    x[4, 1:], x[5, 40], x[6, 0] = -np.inf, -np.nan, -np.inf
    alphas = np.full(8, alpha, dtype=dtype)
    alphas[7] = 0.5
    found, expected = run(x, alphas), cpu_entmax(x, alphas)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 if dtype == "float32" else 1e-10)
    assert np.isnan(found[7]).all()


@pytest.mark.parametrize("n", [90, 600])  # one warp, and several
@pytest.mark.parametrize("alpha", [1.0, 1.3, 3.0])
def test_the_order_of_the_threads_does_not_change_a_bit(alpha, n):
    x = np.random.default_rng(0).standard_normal((2, n))
    forward, *others = (run(x, alpha, order, seed) for order in ORDERS for seed in (1, 2))
    for other in others:
        np.testing.assert_array_equal(forward, other)
