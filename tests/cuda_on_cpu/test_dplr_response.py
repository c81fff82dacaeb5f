"""The text and the launch code of the responses of diagonal plus low rank systems, run on the CPU."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lina._cuda.dplr_response import dplr_response, supports
from lina.ssm import DPLRSystem
from lina.ssm._resolvent import resolvent
from tests.cuda_on_cpu.compile import GXX, NO_GXX, ORDERS
from tests.cuda_on_cpu.fake_cupy import installed

pytestmark = [pytest.mark.cuda_text, pytest.mark.skipif(GXX is None, reason=NO_GXX)]


def inputs(rows, n, rank, points, seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.standard_normal(shape) + 1j * rng.standard_normal(shape)  # noqa: E731
    w, P = -rng.random((rows, n)) + 3j * rng.standard_normal((rows, n)), draw(rows, rank, n)
    left = np.concatenate([draw(rows, 1, n), P.conj()], axis=1)
    right = np.concatenate([draw(rows, 1, n), P], axis=1)
    zeta = 0.05 + 1j * np.linspace(0, np.pi / 2, points)
    return w, left, right, 2 * np.sinh(zeta), np.cosh(zeta)


def run(*case, order="forward", seed=0):
    with installed(order, seed):
        return dplr_response(*case)


def assert_agrees(case, order="forward", seed=0):
    w, left, right, p, q = case
    expected = resolvent(DPLRSystem(w, right[:, 1:], right[:, 0], left[:, 0]), p, q)
    np.testing.assert_allclose(run(*case, order=order, seed=seed), expected, atol=1e-12 * np.max(np.abs(expected)))


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize(("rows", "n", "points"), [(1, 1, 1), (3, 5, 128), (2, 32, 129), (1, 70, 300)])
def test_it_agrees_with_the_array_body(rows, n, points, rank):
    assert_agrees(inputs(rows, n, rank, points))


def test_without_a_low_rank_it_is_a_sum_over_pairs():
    w, left, right, p, q = inputs(2, 7, 0, 20)
    v = left[:, 0] * right[:, 0]
    D, partner = (1 / (p[:, None] - q[:, None] * each[:, None]) for each in (w, w.conj()))
    expected = np.sum(v[:, None] * D + v.conj()[:, None] * partner, axis=-1)
    np.testing.assert_allclose(run(w, left, right, p, q), expected, rtol=1e-11)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 4),
    n=st.integers(1, 70),
    rank=st.integers(1, 2),
    points=st.integers(1, 200),
    seed=st.integers(0, 1000),
)
def test_it_agrees_for_any_shape(rows, n, rank, points, seed):
    assert_agrees(inputs(rows, n, rank, points, seed), "shuffled", seed)


def test_the_order_of_the_threads_does_not_change_a_bit():
    case = inputs(2, 40, 2, 150)
    forward, *others = (run(*case, order=order, seed=seed) for order in ORDERS for seed in (1, 2))
    for other in others:
        assert np.array_equal(forward, other)


def test_it_supports_low_ranks():
    assert [supports(rank) for rank in range(4)] == [True, True, True, False]


def test_an_empty_batch_launches_nothing():
    with installed() as cupy:
        assert dplr_response(*inputs(0, 3, 1, 5)).shape == (0, 5)
    assert cupy.launches == []


def test_more_rows_than_a_grid_has_are_done_by_its_blocks(monkeypatch):
    from lina._cuda import dplr_response as module

    monkeypatch.setattr(module, "_MAX_ROWS", 2)
    case = inputs(5, 3, 1, 4)
    assert_agrees(case)


def test_strided_input_gives_the_bits_of_its_copy_and_is_not_modified():
    w, left, right, p, q = inputs(6, 8, 1, 9)
    before = left.copy()
    strided = run(w[::2, ::-1], left[::2, :, ::-1], right[::2, :, ::-1], p, q)
    copied = run(w[::2, ::-1].copy(), left[::2, :, ::-1].copy(), right[::2, :, ::-1].copy(), p, q)
    assert np.array_equal(strided, copied)
    assert np.array_equal(left, before)


def test_the_public_kernel_takes_its_samples_from_the_text(monkeypatch):
    from lina.ssm import kernel_dplr, kernel_dplr_truncated
    from lina.ssm._kernels import dplr

    w, left, right, _, _ = inputs(3, 6, 2, 1)
    arguments = (w, right[:, 1:], right[:, 0], left[:, 0], 0.1)
    expected = [kernel_dplr(*arguments, 40), kernel_dplr_truncated(*arguments, 41)]
    monkeypatch.setattr(dplr, "WORTH_COMPILING", 0)
    monkeypatch.setattr(dplr, "kernel", lambda name, _: {"dplr_response": dplr_response}.get(name, supports))
    with installed() as cupy:
        found = [kernel_dplr(*arguments, 40), kernel_dplr_truncated(*arguments, 41)]
    assert len(cupy.launches) == 2
    for each, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(each, other, atol=1e-10 * np.max(np.abs(other)))
