"""The pseudo-inverse as a torch operation: gradients, registration, compilation, and every torch-shaped input."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from torch.autograd import forward_ad  # noqa: E402

from lina.linalg import pinv  # noqa: E402

# torch's own forward mode calls its deprecated torch.jit.script, once in a process
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")]


def tensor(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (2, 3, 4, 3)])
def test_first_and_second_derivatives_of_full_rank_matrices(shape, dtype):
    A = tensor(*shape, dtype=dtype)
    assert torch.autograd.gradcheck(pinv, A)
    assert torch.autograd.gradgradcheck(pinv, A)


def test_derivatives_at_constant_rank():
    def low_rank(L, R):
        return pinv(L @ R, rtol=1e-8)

    factors = (tensor(5, 2), tensor(2, 4, seed=1))
    assert torch.autograd.gradcheck(low_rank, factors)
    assert torch.autograd.gradgradcheck(low_rank, factors)


def test_derivatives_of_hermitian_matrices_with_tied_eigenvalues():
    A = torch.eye(4, dtype=torch.complex128).requires_grad_()
    assert torch.autograd.gradcheck(lambda A: pinv(A + A.mH, hermitian=True), A)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 3, 2)])
def test_forward_mode_and_batches_of_derivatives(shape, dtype):
    A = tensor(*shape, dtype=dtype)
    batched = {"check_batched_grad": True, "check_batched_forward_grad": True}
    assert torch.autograd.gradcheck(pinv, A, check_forward_ad=True, **batched)
    assert torch.autograd.gradgradcheck(pinv, A, check_fwd_over_rev=True)


def test_forward_mode_at_constant_rank_and_of_hermitian_matrices():
    factors = (tensor(5, 2), tensor(2, 4, seed=1))
    assert torch.autograd.gradcheck(lambda L, R: pinv(L @ R, rtol=1e-8), factors, check_forward_ad=True)
    A = torch.eye(3, dtype=torch.complex128).requires_grad_()
    assert torch.autograd.gradcheck(lambda A: pinv(A + A.mH, hermitian=True), A, check_forward_ad=True)
    A = tensor(3, 3).detach()
    A = A + A.mT
    by = [jacobian(lambda A: pinv(A, hermitian=True))(A) for jacobian in (torch.func.jacfwd, torch.func.jacrev)]
    torch.testing.assert_close(*by)


def test_the_functional_transforms_give_the_derivative():
    A = tensor(3, 5, 4).detach()

    def total(A):
        return (pinv(A) ** 2).sum()

    recorded = A.clone().requires_grad_()
    (expected,) = torch.autograd.grad(total(recorded), recorded)
    torch.testing.assert_close(torch.func.grad(total)(A), expected)
    torch.testing.assert_close(torch.vmap(torch.func.grad(total))(A), expected)
    torch.testing.assert_close(torch.func.grad(lambda A: torch.vmap(total)(A).sum())(A), expected)
    jacobian = torch.autograd.functional.jacobian(pinv, A[0])
    torch.testing.assert_close(torch.func.jacrev(pinv)(A[0]), jacobian)
    torch.testing.assert_close(torch.func.jacfwd(pinv)(A[0]), jacobian)
    torch.testing.assert_close(torch.vmap(torch.func.jacfwd(pinv))(A)[0], jacobian)
    tangents = A.sin()
    along = torch.tensordot(jacobian, tangents[0], dims=2)
    torch.testing.assert_close(torch.func.jvp(pinv, (A,), (tangents,))[1][0], along)
    torch.testing.assert_close(torch.func.jvp(torch.vmap(pinv), (A,), (tangents,))[1][0], along)
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(pinv(forward_ad.make_dual(A[0], tangents[0]))).tangent
    torch.testing.assert_close(found, along)


def test_the_transforms_nest_in_any_order():
    A = tensor(3, 2).detach()
    expected = torch.autograd.functional.hessian(lambda A: (pinv(A) ** 2).sum(), A)
    for outer in (torch.func.jacfwd, torch.func.jacrev):
        for inner in (torch.func.jacfwd, torch.func.jacrev):
            torch.testing.assert_close(outer(inner(lambda A: (pinv(A) ** 2).sum()))(A), expected)
    with forward_ad.dual_level():
        recorded = A.clone().requires_grad_()
        X = forward_ad.unpack_dual((pinv(forward_ad.make_dual(recorded, A.cos())) ** 2).sum())
        (found,) = torch.autograd.grad(X.tangent, recorded)
    torch.testing.assert_close(found, torch.tensordot(expected, A.cos(), dims=2))


@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 4), (0, 3, 2)])
def test_the_registration_passes_the_checks_of_torch(shape):
    torch.library.opcheck(torch.ops.lina.pinv.default, (tensor(*shape), 1e-10, 0.0, False, "auto"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_one_name_serves_under_compile_without_a_graph_break():
    A = tensor(6, 4)
    compiled = torch.compile(lambda A: pinv(A).sum(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(A), pinv(A).sum())
    (found,) = torch.autograd.grad(compiled(A), A)
    (expected,) = torch.autograd.grad(pinv(A).sum(), A)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("in_dim", [0, 1, 2])
def test_vmap_over_any_axis(in_dim):
    A = tensor(4, 4, 4).detach()
    torch.testing.assert_close(torch.vmap(pinv, in_dims=in_dim)(A), pinv(A.movedim(in_dim, 0)))


@pytest.mark.parametrize("view", ["transposed", "strided", "expanded", "conjugate", "negative", "parameter"])
def test_views_and_parameters_are_read_as_what_they_are(view):
    A = tensor(6, 4).detach()
    C = tensor(6, 4, dtype=torch.complex128).detach()
    x = {
        "transposed": A.mT,
        "strided": A[::2, ::2],
        "expanded": A[:1].expand(5, 4),
        "conjugate": C.conj(),
        "negative": C.conj().imag,
        "parameter": torch.nn.Parameter(A),
    }[view]
    torch.testing.assert_close(pinv(x, rtol=1e-10).detach(), torch.linalg.pinv(x.detach().clone(), rtol=1e-10))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_halves_become_float32_and_integers_float64(dtype):
    A = torch.tensor([[1, 0], [0, 1], [1, 1]]).to(dtype)
    X = pinv(A)
    assert X.dtype == (torch.float32 if A.is_floating_point() else torch.float64)
    torch.testing.assert_close(X, torch.linalg.pinv(A.to(X.dtype)))


def test_the_facts_come_back_as_for_numpy():
    A = tensor(80, 60).detach()
    X, info = pinv(A, return_info=True)
    _, expected = pinv(A.numpy(), return_info=True)
    assert info == expected
    assert isinstance(X, torch.Tensor)
    batch = pinv(tensor(3, 5, 4).detach(), return_info=True)[1]
    assert batch.rank.tolist() == [4, 4, 4]
    assert batch.method.tolist() == ["svd"] * 3


def test_nan_is_refused_by_name():
    with pytest.raises(ValueError, match="A must be finite"):
        pinv(torch.tensor([[1.0, float("nan")]]))


def test_tensors_and_numpy_arrays_do_not_mix():
    from lina._core.array import open_door

    with pytest.raises(TypeError, match="A and B must be arrays of one library"):
        open_door(A=torch.ones(2), B=np.ones(2))


def test_functions_without_an_op_are_differentiable_through_their_generic_body():
    from lina.linalg import truncated_svd

    A = tensor(8, 5)
    F = truncated_svd(A, 2, rng=0)
    (grad,) = torch.autograd.grad(F.s[0], A)
    expected = F.U[:, :1] @ F.Vt[:1, :]
    torch.testing.assert_close(grad, expected.detach())
