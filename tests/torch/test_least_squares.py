"""Least squares as a torch operation: derivatives at constant rank, registration, compilation, vmap."""

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.linalg import solve_left, solve_right  # noqa: E402

pytestmark = pytest.mark.torch


def tensor(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (2, 4, 3)])
def test_first_and_second_derivatives_of_full_rank_problems(shape, dtype):
    A = tensor(*shape, dtype=dtype)
    M = tensor(*shape[:-1], 2, dtype=dtype, seed=1)
    assert torch.autograd.gradcheck(solve_left, (A, M))
    assert torch.autograd.gradgradcheck(solve_left, (A, M))
    M = tensor(*shape[:-2], 2, shape[-1], dtype=dtype, seed=1)
    assert torch.autograd.gradcheck(solve_right, (A, M))


def test_derivatives_on_the_fast_path():
    A, M = tensor(90, 60), tensor(90, seed=1)
    assert solve_left(A, M, return_info=True)[1].method == "gram"
    direction = tensor(60, seed=2).detach()

    def along(t):
        return solve_left(A + t * A.detach() ** 2, M) @ direction

    assert torch.autograd.gradcheck(along, (torch.tensor(0.3, dtype=torch.float64, requires_grad=True),), rtol=1e-4)


def test_derivatives_at_constant_rank():
    def solution(L, R, M):
        return solve_left(L @ R, M, rtol=1e-8)

    arguments = (tensor(5, 2), tensor(2, 4, seed=1), tensor(5, 3, seed=2))
    assert torch.autograd.gradcheck(solution, arguments)
    assert torch.autograd.gradgradcheck(solution, arguments)


def test_derivatives_with_tied_singular_values():
    A = torch.eye(4, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(solve_left, (A, tensor(4, 2)))


def test_a_stack_of_right_hand_sides_and_a_vector_have_derivatives_too():
    A = tensor(5, 3)
    assert torch.autograd.gradcheck(solve_left, (A, tensor(2, 5, 2, seed=1)))
    assert torch.autograd.gradcheck(solve_left, (tensor(2, 5, 3), tensor(5, seed=1)))
    assert torch.autograd.gradcheck(solve_right, (A, tensor(3, seed=1)))


@pytest.mark.parametrize("batch", [(), (2,), (0,)])
def test_the_registration_passes_the_checks_of_torch(batch):
    arguments = (tensor(*batch, 5, 3), tensor(*batch, 5, 2, seed=1), 1e-10, 0.0)
    torch.library.opcheck(torch.ops.lina.solve_left.default, arguments)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Dynamo detected a call to a .*lru_cache")
def test_one_name_serves_under_compile_without_a_graph_break():
    A, M = tensor(6, 4), tensor(6, 2, seed=1)
    compiled = torch.compile(lambda A, M: solve_left(A, M).sum(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(A, M), solve_left(A, M).sum())
    found = torch.autograd.grad(compiled(A, M), (A, M))
    expected = torch.autograd.grad(solve_left(A, M).sum(), (A, M))
    torch.testing.assert_close(found, expected)


def test_vmap_over_either_argument():
    A, M = tensor(3, 5, 4).detach(), tensor(3, 5, 2, seed=1).detach()
    torch.testing.assert_close(torch.vmap(solve_left)(A, M), solve_left(A, M))
    torch.testing.assert_close(torch.vmap(solve_left, in_dims=(None, 0))(A[0], M), solve_left(A[0], M))


def test_the_facts_come_back_as_for_numpy():
    A, M = tensor(80, 60).detach(), tensor(80, 3, seed=1).detach()
    X, info = solve_left(A, M, return_info=True)
    _, expected = solve_left(A.numpy(), M.numpy(), return_info=True)
    assert info[:4] == expected[:4]
    assert info.residual == pytest.approx(expected.residual)
    assert isinstance(X, torch.Tensor)
    batch = solve_left(tensor(3, 5, 4).detach(), tensor(5, 2).detach(), return_info=True)[1]
    assert batch.method.tolist() == ["svd"] * 3
    assert batch.optimality.shape == (3,)
