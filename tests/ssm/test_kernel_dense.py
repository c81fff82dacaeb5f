"""Kernels of dense systems against the powers one by one."""

import tracemalloc

import numpy as np
import pytest

from lina.hippo import transition
from lina.ssm import DenseSystem, kernel_dense, linear_scan
from lina.ssm._kernels.dense import block_length
from tests.reference.ssm_systems import taps
from tests.ssm.systems import dense


@pytest.mark.parametrize("L", [1, 2, 3, 5, 16, 99, 1000])
@pytest.mark.parametrize("n", [1, 4, 30])
@pytest.mark.parametrize("kind", ["f", "c"])
def test_the_taps_are_the_powers(n, L, kind):
    s = dense(n).discretize(0.1)
    A = s.A * np.exp(0.5j) if kind == "c" else s.A
    exact = taps(A, s.B, s.C, L)
    found = kernel_dense(A, s.B, s.C, None, L)
    np.testing.assert_allclose(found, exact, atol=1e-14 * L * np.max(np.abs(exact)))


@pytest.mark.parametrize("method", ["zoh", "bilinear", "backward"])
def test_a_step_makes_a_continuous_system_discrete(method):
    s = dense(5)
    d = s.discretize(0.2, method)
    found = kernel_dense(s.A, s.B, s.C, 0.2, 40, method)
    np.testing.assert_allclose(found, taps(d.A, d.B, d.C, 40), atol=1e-14)


@pytest.mark.parametrize("measure", ["legt", "legs"])
def test_a_memory_keeps_thirteen_digits_over_sixteen_thousand_steps(measure):
    A, B = transition(measure, 64)
    C = np.random.default_rng(0).standard_normal(64)
    d = DenseSystem(A, B, C).discretize(1e-3, "bilinear")
    exact = taps(d.A, d.B, d.C, 16384)
    error = np.max(np.abs(kernel_dense(A, B, C, 1e-3, 16384, "bilinear") - exact)) / np.max(np.abs(exact))
    assert error < 1e-13


def test_a_shorter_kernel_is_the_beginning_and_the_scan_of_an_impulse_is_the_whole():
    s = dense(6).discretize(0.1)
    whole = kernel_dense(s.A, s.B, s.C, None, 300)
    for length in (1, 5, 17, 299):
        np.testing.assert_allclose(kernel_dense(s.A, s.B, s.C, None, length), whole[:length], atol=1e-14)
    np.testing.assert_allclose(linear_scan(s, np.eye(1, 300)[0])[0], whole, atol=1e-13)


def test_batches_broadcast_and_single_precision_stays():
    s = dense(4).discretize(0.1)
    A = np.stack([s.A, s.A / 2, -s.A])[:, None]
    C = np.random.default_rng(0).standard_normal((2, 4))
    K = kernel_dense(A, s.B, C, None, 33)
    assert K.shape == (3, 2, 33)
    np.testing.assert_allclose(K[2, 1], kernel_dense(-s.A, s.B, C[1], None, 33), atol=1e-14)
    single = kernel_dense(*(x.astype("float32") for x in (A, s.B, C)), None, 33)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, K, atol=1e-6 * np.max(np.abs(K)))


def test_nothing_of_the_size_of_all_states_is_made():
    n, L = 64, 16384
    s = dense(n).discretize(0.1)
    tracemalloc.start()
    try:
        kernel_dense(s.A, s.B, s.C, None, L)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * n * L / 8


def test_squarings_stop_where_they_cost_more_than_they_save():
    assert block_length(64, 16384) == 128
    assert block_length(1024, 64) == 1
    assert 1 < block_length(1024, 4096) < 64


def test_growth_is_shown_and_overflow_is_an_error():
    np.testing.assert_allclose(kernel_dense([[2.0]], [1.0], [1.0], None, 50), 2.0 ** np.arange(50))
    with pytest.raises(OverflowError, match="A, B or C must be small enough"):
        kernel_dense([[2.0]], [1.0], [1.0], None, 2000)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((np.eye(2), np.ones(2), np.ones(2), None, 0), ValueError, "L must be in 1"),
        ((np.ones((2, 3)), np.ones(2), np.ones(2), None, 4), ValueError, "A must have shape"),
        ((np.eye(2), np.ones(3), np.ones(2), None, 4), ValueError, "B must have n = 2"),
        ((np.eye(2), np.ones(2), np.ones(1), None, 4), ValueError, "C must have n = 2"),
        ((np.eye(2) * np.nan, np.ones(2), np.ones(2), None, 4), ValueError, "A must be finite"),
        ((np.eye(2), np.ones(2), np.ones(2), -1.0, 4), ValueError, "dt must be positive"),
        ((np.eye(2), np.ones(2), np.ones(2), 0.1, 4, "no"), ValueError, "method must be one of"),
        ((np.eye(2), np.ones(2), np.ones(2), None, 4, "no"), ValueError, "method must be left out where dt is None"),
        ((np.eye(2), np.ones(2), np.ones(2), None, 4, "bilinear"), ValueError, "method must be left out where dt is"),
    ],
)
def test_an_error_names_the_argument(arguments, error, words):
    with pytest.raises(error, match=words):
        kernel_dense(*arguments)


@pytest.mark.torch
def test_gradients_pass_through_torch():
    torch = pytest.importorskip("torch")
    s = dense(3)
    parts = [torch.tensor(x, requires_grad=True) for x in (s.A, s.B, s.C)]
    assert torch.autograd.gradcheck(lambda A, B, C: kernel_dense(A, B, C, 0.1, 9, "bilinear"), parts)


@pytest.mark.parametrize("method", ["zoh", "bilinear"])
@pytest.mark.parametrize("count", [2, 4, 7])
def test_inputs_beside_one_matrix_are_a_batch_also_where_they_are_as_many_as_states(count, method):
    s = dense(4)
    B = np.random.default_rng(0).standard_normal((count, 4)) * np.logspace(-9, 9, count)[:, None]
    found = kernel_dense(s.A, B, s.C, 0.1, 9, method)
    each = np.stack([kernel_dense(s.A, row, s.C, 0.1, 9, method) for row in B])
    sizes = np.max(np.abs(each), axis=-1, keepdims=True)
    np.testing.assert_allclose(found / sizes, each / sizes, atol=1e-14)


def test_a_step_for_each_system_makes_a_batch():
    s, steps = dense(4), np.array([0.1, 0.2])
    each = np.stack([kernel_dense(s.A, s.B, s.C, dt, 9) for dt in steps])
    np.testing.assert_allclose(kernel_dense(s.A, s.B, s.C, steps, 9), each, atol=1e-14)
    assert kernel_dense(s.A, np.stack([s.B] * 3)[:, None, :], s.C, steps, 9).shape == (3, 2, 9)
    with pytest.raises(ValueError, match=r"dt \(2,\)"):
        kernel_dense(s.A, np.stack([s.B] * 3), s.C, steps, 9)
