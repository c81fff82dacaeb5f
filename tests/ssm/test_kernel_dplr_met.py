"""Adjoints of truncated kernels whose modes meet roots of unity: against recurrences, by the matrix and by sums."""

import numpy as np
import pytest

from lina.ssm import kernel_dplr_truncated, kernel_dplr_truncated_vjp
from lina.ssm._kernels import dplr_vjp
from tests.reference.ssm_kernels import derivative, dplr_taps
from tests.ssm.systems import draws
from tests.ssm.test_kernel_dplr import batch, stable


def check_gradient(found, arguments, g, rel=1e-9):
    """Compare with the derivative of the recurrence in 40 digits, along a direction for each argument."""
    for i, gradient in enumerate(found):
        assert gradient.shape == np.shape(arguments[i])
        direction = draws(gradient.size, i).reshape(gradient.shape) if i < 4 else 1.0
        change = g @ derivative(lambda *a: dplr_taps(*a, len(g), truncated=True), arguments, i, direction).real
        assert np.sum(gradient.conj() * direction).real == pytest.approx(change, rel=rel)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("distance", [1e-3, 1.1e-4, 0.9e-4, 1e-6, 1e-9, 1e-12])
def test_the_adjoint_is_right_however_near_a_mode_of_the_diagonal_is_to_a_root_of_unity(distance, k, rank):
    Lambda, P, B, C = stable(3, rank, 3)
    Lambda[1] = 2j / 0.3 * np.tan(np.pi * k / 6 + distance / 2) if k < 3 else -0.3 / distance - 2j / distance
    g = np.random.default_rng(0).standard_normal(6)
    arguments = Lambda, P, B, C, 0.3
    check_gradient(kernel_dplr_truncated_vjp(g, *arguments), arguments, g, 1e-9 if distance < 1e-4 else 1e-7)


@pytest.mark.parametrize("Lambda", [-1e-10, -1e-8, -1e-6, 1e-10])
def test_the_adjoint_of_a_slow_real_mode_is_right(Lambda):
    arguments = *(np.array(x, dtype=complex) for x in ([Lambda], [[0.4]], [1.0], [1.0])), 0.1
    g = np.array([1.0, 2.0, 3.0, 4.0])
    found = kernel_dplr_truncated_vjp(g, *arguments)
    assert found[0] == pytest.approx(48.8278, rel=1e-4)
    check_gradient(found, arguments, g, 1e-8)


def test_the_adjoint_of_a_constant_mode_is_that_of_a_nearly_constant_one():
    g, rest = np.array([1.0, 2.0, 3.0, 4.0]), ([0.4, 0.1 + 1j], [1.0, 2.0], [1.0, 1j], 0.1)
    constant, slow = (kernel_dplr_truncated_vjp(g, [x, -0.5 + 2j], *rest) for x in (0.0, -1e-11))
    for one, other in zip(constant, slow, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    # an output that sees the imaginary part of the constant mode, which an imaginary part of B or P would drive
    with pytest.raises(ValueError, match="the gradient, if not the system itself, has a pole"):
        kernel_dplr_truncated_vjp(g, [0.0, -0.5 + 2j], *rest[:2], [1j, 1j], 0.1)


def test_rows_that_meet_roots_of_unity_do_not_touch_the_others(monkeypatch):
    monkeypatch.setattr(dplr_vjp, "WORTH_COMPILING", 0)
    Lambda, P, B, C, dt = batch(6)
    L, g = 30, np.random.default_rng(0).standard_normal((6, 30))
    for row, k in ((1, 4), (3, 4), (4, 7)):
        Lambda[row, 2] = 2j / dt[row] * np.tan(np.pi * k / L)
    together = kernel_dplr_truncated_vjp(g, Lambda, P, B, C, dt)
    for i in range(6):
        alone = kernel_dplr_truncated_vjp(g[i], Lambda[i], P[i], B[i], C[i], dt[i])
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one[i], other, rtol=1e-9, atol=1e-12 * np.abs(other).max())


@pytest.mark.parametrize("L", [1, 2, 7])
def test_the_matrix_and_the_sums_have_the_same_gradients(L, monkeypatch):
    Lambda, P, B, C = stable(3, 2)
    g = np.random.default_rng(0).standard_normal(L)
    sums = kernel_dplr_truncated_vjp(g, Lambda, P, B, C, 0.3)
    monkeypatch.setattr(dplr_vjp, "_NEXT", 1e9)
    for one, other in zip(sums, kernel_dplr_truncated_vjp(g, Lambda, P, B, C, 0.3), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.torch
def test_torch_differentiates_twice_where_a_mode_meets_a_root_of_unity():
    torch = pytest.importorskip("torch")
    Lambda, P, B, C = (torch.from_numpy(x) for x in stable(2, 1, 3))
    Lambda[0] = 2j / 0.3 * np.tan(np.pi / 6)
    tensors = [x.requires_grad_() for x in (Lambda, P, B, C, torch.tensor(0.3, dtype=torch.float64))]
    run = lambda *a: kernel_dplr_truncated(*a, 6)  # noqa: E731
    assert torch.autograd.gradcheck(run, tensors)
    assert torch.autograd.gradgradcheck(run, tensors)
