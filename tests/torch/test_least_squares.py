"""Least squares as a torch operation: derivatives at constant rank, registration, compilation, vmap."""

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from torch.autograd import forward_ad  # noqa: E402

from lina.linalg import solve_left, solve_right  # noqa: E402

# torch's own forward mode calls its deprecated torch.jit.script, once in a process
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")]


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


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 3, 2)])
def test_forward_mode_and_batches_of_derivatives(shape, dtype):
    arguments = (tensor(*shape, dtype=dtype), tensor(*shape[:-1], 2, dtype=dtype, seed=1))
    batched = {"check_batched_grad": True, "check_batched_forward_grad": True}
    assert torch.autograd.gradcheck(solve_left, arguments, check_forward_ad=True, **batched)
    assert torch.autograd.gradgradcheck(solve_left, arguments, check_fwd_over_rev=True)


def test_forward_mode_at_constant_rank_and_from_the_right():
    def solution(L, R, M):
        return solve_left(L @ R, M, rtol=1e-8)

    arguments = (tensor(5, 2), tensor(2, 4, seed=1), tensor(5, 3, seed=2))
    assert torch.autograd.gradcheck(solution, arguments, check_forward_ad=True)
    assert torch.autograd.gradcheck(solve_right, (tensor(4, 3), tensor(2, 3, seed=1)), check_forward_ad=True)


def test_the_functional_transforms_give_the_derivative():
    A, M = tensor(3, 5, 4).detach(), tensor(3, 5, 2, seed=1).detach()

    def total(A, M):
        return (solve_left(A, M) ** 2).sum()

    recorded = (A.clone().requires_grad_(), M.clone().requires_grad_())
    expected = torch.autograd.grad(total(*recorded), recorded)
    torch.testing.assert_close(torch.func.grad(total, (0, 1))(A, M), expected)
    torch.testing.assert_close(torch.vmap(torch.func.grad(total, (0, 1)))(A, M), expected)
    shared = torch.vmap(torch.func.grad(total), in_dims=(None, 0))(A[0], M)
    torch.testing.assert_close(shared[0], expected[0][0])
    jacobian = torch.autograd.functional.jacobian(solve_left, (A[0], M[0]))
    torch.testing.assert_close(torch.func.jacrev(solve_left, (0, 1))(A[0], M[0]), jacobian)
    torch.testing.assert_close(torch.func.jacfwd(solve_left, (0, 1))(A[0], M[0]), jacobian)
    tangents = (A.sin(), M.cos())
    along = sum(torch.tensordot(J, t[0], dims=2) for J, t in zip(jacobian, tangents, strict=True))
    torch.testing.assert_close(torch.func.jvp(solve_left, (A, M), tangents)[1][0], along)
    torch.testing.assert_close(torch.func.jvp(torch.vmap(solve_left), (A, M), tangents)[1][0], along)
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(solve_left(A[0], forward_ad.make_dual(M[0], tangents[1][0]))).tangent
    torch.testing.assert_close(found, torch.tensordot(jacobian[1], tangents[1][0], dims=2))


def test_the_transforms_nest_in_any_order():
    A, M = tensor(3, 2).detach(), tensor(3, 1, seed=1).detach()

    def total(A):
        return (solve_left(A, M) ** 2).sum()

    expected = torch.autograd.functional.hessian(total, A)
    for outer in (torch.func.jacfwd, torch.func.jacrev):
        for inner in (torch.func.jacfwd, torch.func.jacrev):
            torch.testing.assert_close(outer(inner(total))(A), expected)


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


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Dynamo detected a call to a .*lru_cache")
@pytest.mark.parametrize("shapes", [((2, 5, 3), (2, 5, 2)), ((5, 3), (2, 5, 2)), ((4, 1, 5, 3), (2, 5, 2))])
def test_a_batch_compiles_without_a_graph_break(shapes):
    A, M = tensor(*shapes[0]), tensor(*shapes[1], seed=1)
    torch._dynamo.reset()
    compiled = torch.compile(solve_left, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(A, M), solve_left(A, M))
    found = torch.autograd.grad(compiled(A, M).sum(), (A, M))
    torch.testing.assert_close(found, torch.autograd.grad(solve_left(A, M).sum(), (A, M)))


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
