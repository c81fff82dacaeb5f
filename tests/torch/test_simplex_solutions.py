"""Derivatives of minimisers over the simplex by their data: right, of any order, and refused where there are none."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.simplex import simplex_lsq, simplex_qp  # noqa: E402
from lina.torch.simplex_solutions import (  # noqa: E402
    DegenerateSolutionError,
    lsq_solution,
    qp_solution,
    solution_degeneracy,
)

pytestmark = pytest.mark.torch


def tensor(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()


def solved(L, c):
    """Return the minimiser for Q = L L^T, solved outside of the graph."""
    Q = L @ L.mT
    return qp_solution(simplex_qp(Q.detach(), c.detach(), rtol=1e-13).x, Q, c)


@pytest.mark.parametrize("n", [1, 3, 6])
def test_first_and_second_derivatives_of_a_quadratic(n):
    L, c = tensor(n, n + 1), tensor(n, seed=1)
    assert torch.autograd.gradcheck(solved, (L, c), eps=1e-5, atol=1e-5)
    assert torch.autograd.gradgradcheck(solved, (L, c), eps=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 5), (4, 6)])
def test_first_and_second_derivatives_of_least_squares_under_their_own_name(shape):
    A, b = tensor(*shape), tensor(shape[0], seed=1)

    def call(A, b):
        return simplex_lsq(A, b, rtol=1e-13).x

    assert 0 < int((call(A, b) > 0).sum()) < shape[1]
    assert torch.autograd.gradcheck(call, (A, b), eps=1e-5, atol=1e-5)
    assert torch.autograd.gradgradcheck(call, (A, b), eps=1e-5, atol=1e-4)


def test_a_factor_with_its_diagonal_has_the_derivatives_of_the_matrix():
    F, d = tensor(7, 3), tensor(7, seed=1).detach().abs().add(0.1).requires_grad_()
    x = simplex_qp(factor=F.detach(), diagonal=d.detach(), rtol=1e-13).x
    g = tensor(7, seed=2).detach()
    found = torch.autograd.grad(qp_solution(x, factor=F, diagonal=d), (F, d), g)
    Q = F @ F.mT + torch.diag(d)
    expected = torch.autograd.grad(qp_solution(x, Q), (F, d), g)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_diagonal_quadratics_have_a_closed_form():
    d = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64, requires_grad=True)
    x = qp_solution(simplex_qp(torch.diag(d.detach())).x, torch.diag(d))
    torch.testing.assert_close(x, (1 / d) / (1 / d).sum())
    (found,) = torch.autograd.grad(x[0], d)
    (expected,) = torch.autograd.grad(((1 / d) / (1 / d).sum())[0], d)
    torch.testing.assert_close(found, expected)


def test_entries_outside_of_the_face_take_no_part():
    c = torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64, requires_grad=True)
    Q = torch.eye(3, dtype=torch.float64)
    x = qp_solution(simplex_qp(Q, c.detach()).x, Q, c)
    (found,) = torch.autograd.grad(x, c, torch.tensor([1.0, 0.0, 7.0], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([-0.5, 0.5, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_scales_of_the_data_change_the_derivative_by_their_inverse(scale):
    A, b = tensor(6, 4).detach(), tensor(6, seed=1).detach()

    def slope(factor):
        moved = (A * factor).requires_grad_()
        return torch.autograd.grad(simplex_lsq(moved, b * factor).x[0], moved)[0] * factor

    torch.testing.assert_close(slope(scale), slope(1.0), rtol=1e-8, atol=1e-10)


def test_single_precision_keeps_its_dtype():
    A, b = tensor(6, 4, dtype=torch.float32), tensor(6, seed=1, dtype=torch.float32)
    x = simplex_lsq(A, b).x
    (found,) = torch.autograd.grad(x[0], A)
    double = A.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(simplex_lsq(double, b.detach().double()).x[0], double)
    assert (x.dtype, found.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-5)


def test_a_batch_is_solved_row_by_row():
    L, c = tensor(3, 4, 5), tensor(3, 4, seed=1)
    Q = L @ L.mT
    x = torch.stack([simplex_qp(Q[i].detach(), c[i].detach(), rtol=1e-12).x for i in range(3)])
    g = tensor(3, 4, seed=2).detach()
    together = torch.autograd.grad(qp_solution(x, Q, c), c, g)[0]
    for i in range(3):
        ci = c[i].detach().requires_grad_()
        (one,) = torch.autograd.grad(qp_solution(x[i], Q[i].detach(), ci), ci, g[i])
        torch.testing.assert_close(together[i], one)


def test_without_a_wanted_gradient_nothing_is_recorded():
    A, b = tensor(6, 4).detach(), tensor(6, seed=1).detach()
    assert not simplex_lsq(A, b).x.requires_grad
    with torch.no_grad():
        assert not simplex_lsq(A.requires_grad_(), b).x.requires_grad


def test_a_weakly_active_entry_is_flagged_and_has_one_sided_derivatives():
    Q, c = torch.eye(2, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)
    x = simplex_qp(Q, c).x  # on the edge: (1, 0) with a reduced cost of zero
    flags = solution_degeneracy(x, Q, c)
    assert flags.weakly_active.tolist() == [1]
    c = c.requires_grad_()
    with pytest.raises(DegenerateSolutionError, match=r"strictly complementary .* zero at \[1\]"):
        qp_solution(x, Q, c)[0].backward()
    (found,) = torch.autograd.grad(qp_solution(x, Q, c, strict=False)[0], c)
    torch.testing.assert_close(found, torch.zeros(2, dtype=torch.float64))  # the side on which x stays at the vertex


def test_a_solution_that_is_not_unique_is_flagged_and_has_the_derivative_of_least_norm():
    A = torch.tensor([[1.0, 1.0, -1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)  # two columns the same
    b = torch.tensor([0.2, 0.1], dtype=torch.float64).requires_grad_()
    x = simplex_lsq(A, b.detach()).x
    spread = torch.tensor([x[:2].sum() / 2, x[:2].sum() / 2, x[2]], dtype=torch.float64)
    assert solution_degeneracy(spread, A.mT @ A, -(A.mT @ b.detach())).is_singular
    with pytest.raises(DegenerateSolutionError, match="singular Hessian"):
        lsq_solution(spread, A, b)[0].backward()
    found = torch.autograd.grad(lsq_solution(spread, A, b, strict=False), b, torch.tensor([1.0, -1.0, 0.0]).double())[0]
    torch.testing.assert_close(found, torch.zeros(2, dtype=torch.float64))  # along the copies nothing moves


def test_a_point_that_is_no_solution_is_flagged():
    Q = torch.diag(torch.tensor([1.0, 2.0], dtype=torch.float64)).requires_grad_()
    with pytest.raises(DegenerateSolutionError, match="not level"):
        qp_solution(torch.tensor([0.5, 0.5], dtype=torch.float64), Q)[0].backward()


def test_ordinary_solutions_are_not_flagged():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(1, 30))
        F = torch.from_numpy(rng.standard_normal((n, n + 2)))
        Q, c = F @ F.mT, torch.from_numpy(rng.standard_normal(n))
        assert solution_degeneracy(simplex_qp(Q, c).x, Q, c).message() == ""


def test_the_registration_passes_the_checks_of_torch():
    L, c = tensor(4, 6), tensor(4, seed=1)
    Q = (L @ L.mT).detach().requires_grad_()
    x = simplex_qp(Q.detach(), c.detach(), rtol=1e-13).x
    torch.library.opcheck(torch.ops.lina.simplex_solution.default, (x, Q, c, True))
    torch.library.opcheck(torch.ops.lina.simplex_face_solve.default, (Q, c, x, tensor(4, seed=2), True))


def test_vmap_over_cotangents():
    L, c = tensor(4, 6), tensor(4, seed=1)
    Q = (L @ L.mT).detach()
    x = qp_solution(simplex_qp(Q, c.detach(), rtol=1e-13).x, Q, c)
    eye = torch.eye(4, dtype=torch.float64)
    rows = torch.autograd.grad(x, c, eye, is_grads_batched=True, retain_graph=True)[0]
    for i in range(4):
        torch.testing.assert_close(rows[i], torch.autograd.grad(x, c, eye[i], retain_graph=True)[0])


def test_the_solver_attaches_the_derivative_itself():
    L, c = tensor(6, 8), tensor(6, seed=1)
    diagonal = torch.rand(6, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda L, c: simplex_qp(L @ L.mT, c, rtol=1e-13).x, (L, c))
    assert torch.autograd.gradcheck(
        lambda F, d: simplex_qp(factor=F, diagonal=d, rtol=1e-13).x, (L[:, :3].detach().requires_grad_(), diagonal)
    )
    assert not simplex_qp(L.detach() @ L.detach().mT).x.requires_grad
