"""The helper that makes a kernel a torch operation: every derivative is right, or refused where there is none."""

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from torch.autograd import forward_ad  # noqa: E402

from lina._core.errors import GradientError  # noqa: E402
from lina.torch import register_op  # noqa: E402

# torch's own forward mode calls its deprecated torch.jit.script, once in a process
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")]


@pytest.fixture(scope="module")
def twice():
    return register_op(
        "test_twice",
        "(Tensor x, float factor) -> Tensor",
        forward=lambda x, factor: x.detach() * (2 * factor),
        fake=lambda x, factor: torch.empty_like(x),
    )


def power_and_signs(name, **derivative):
    """Register (x^k weight, sign of x), whose sign has no derivative and whose backward looks at what is needed."""

    def save(ctx, inputs, output):
        ctx.k = inputs[2]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(inputs[0], inputs[1])

    def backward(ctx, grad, _):
        x, weight = ctx.saved_tensors
        by_x = grad * weight * ctx.k * x ** (ctx.k - 1) if ctx.needs_input_grad[0] else None
        by_weight = grad * x**ctx.k if ctx.needs_input_grad[1] else None
        return by_x, by_weight, None

    return register_op(
        name,
        "(Tensor x, Tensor weight, int k) -> (Tensor, Tensor)",
        forward=lambda x, weight, k: (x.detach() ** k * weight.detach(), (x.detach() > 0).to(torch.int64)),
        fake=lambda x, weight, k: (torch.empty_like(x), torch.empty_like(x, dtype=torch.int64)),
        save=save,
        backward=backward,
        **derivative,
    )


def explicit_jvp(ctx, by_x, by_weight, _):
    x, weight = ctx.saved_tensors
    return by_x * weight * ctx.k * x ** (ctx.k - 1) + by_weight * x**ctx.k, None


@pytest.fixture(scope="module", params=["its own jvp", "the transpose of backward"])
def power(request):
    if request.param == "its own jvp":
        op = power_and_signs("test_power_jvp", jvp=explicit_jvp)
    else:
        op = power_and_signs("test_power")
    return lambda x, weight: op(x, weight, 3)[0]


@pytest.fixture
def arguments():
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(4, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(2))


def test_a_kernel_without_a_backward_refuses_a_gradient(twice):
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(GradientError, match="lina::test_twice has no gradient"):
        twice(x, 1.0)


def test_a_kernel_without_a_backward_refuses_each_way_to_ask_for_a_derivative(twice):
    x = torch.ones(2, 3)

    def total(x):
        return twice(x, 1.0).sum()

    for ask in (
        lambda: torch.func.grad(total)(x),
        lambda: torch.vmap(torch.func.grad(total))(x),
        lambda: torch.func.grad(lambda x: torch.vmap(total)(x).sum())(x),
        lambda: torch.func.jacrev(total)(x),
        lambda: torch.func.jvp(total, (x,), (x,)),
        lambda: torch.func.jvp(torch.vmap(total), (x,), (x,)),
        lambda: torch.func.jacfwd(total)(x),
    ):
        with pytest.raises(GradientError, match="lina::test_twice has no gradient"):
            ask()
    with forward_ad.dual_level(), pytest.raises(GradientError, match="lina::test_twice has no gradient"):
        total(forward_ad.make_dual(x, x))


def test_it_runs_where_no_gradient_is_wanted(twice):
    x = torch.ones(3, requires_grad=True)
    with torch.no_grad():
        assert twice(x, 3.0).tolist() == [6.0] * 3
    assert twice(x.detach(), 1.0).tolist() == [2.0] * 3
    with forward_ad.dual_level():
        assert twice(x.detach(), 1.0).tolist() == [2.0] * 3


def test_vmap_folds_the_batch(twice):
    x = torch.arange(6.0).reshape(2, 3)
    torch.testing.assert_close(torch.vmap(lambda r: twice(r, 1.0), in_dims=1, out_dims=1)(x), 2 * x)


def test_reverse_and_forward_derivatives_agree_with_difference_quotients_to_second_order(power, arguments):
    batched = {"check_batched_grad": True, "check_batched_forward_grad": True}
    assert torch.autograd.gradcheck(power, arguments, check_forward_ad=True, **batched)
    assert torch.autograd.gradgradcheck(power, arguments, check_fwd_over_rev=True)


@pytest.mark.parametrize("argnums", [0, 1])
@pytest.mark.parametrize("outer", [torch.func.jacfwd, torch.func.jacrev], ids=["forward", "reverse"])
@pytest.mark.parametrize("inner", [torch.func.jacfwd, torch.func.jacrev], ids=["forward", "reverse"])
def test_the_transforms_nest_in_any_order(power, arguments, argnums, inner, outer):
    def plain(x, weight):
        return x**3 * weight

    x, weight = (a.detach() for a in arguments)
    found = outer(inner(power, argnums), (0, 1))(x, weight)
    expected = outer(inner(plain, argnums), (0, 1))(x, weight)
    torch.testing.assert_close(found, expected)


def test_a_tangent_of_one_argument_alone_is_followed(power, arguments):
    x, weight = (a.detach() for a in arguments)
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(power(x, forward_ad.make_dual(weight, x))).tangent
    torch.testing.assert_close(found, x**4)


def test_the_tangent_of_an_argument_without_a_gradient_has_no_effect(arguments):
    x, weight = (a.detach() for a in arguments)
    first = register_op(
        "test_first",
        "(Tensor x, Tensor y) -> Tensor",
        forward=lambda x, y: x.detach().clone(),
        fake=lambda x, y: torch.empty_like(x),
        backward=lambda ctx, grad: (grad, None),
    )
    assert not torch.func.jvp(lambda y: first(x, y), (weight,), (x,))[1].any()
    torch.testing.assert_close(torch.func.jvp(first, (x, weight), (weight, x))[1], weight)


def test_a_backward_that_refuses_one_argument_refuses_its_tangent_too_and_only_that():
    def save(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])

    def backward(ctx, grad):
        if ctx.needs_input_grad[1]:
            raise GradientError("y must not require a gradient")
        return grad * ctx.saved_tensors[0], None

    op = register_op(
        "test_times_constant",
        "(Tensor x, Tensor y) -> Tensor",
        forward=lambda x, y: x.detach() * y.detach(),
        fake=lambda x, y: torch.empty_like(x),
        save=save,
        backward=backward,
    )
    x, y = torch.arange(3.0), torch.ones(3)
    for along in (lambda y: op(x, y), torch.vmap(lambda y: op(x[0], y))):
        with pytest.raises(GradientError, match="y must not"):
            torch.func.jvp(along, (y,), (x,))
    with pytest.raises(GradientError, match="y must not"):
        torch.func.grad(lambda y: op(x, y).sum())(y)
    torch.testing.assert_close(torch.func.jvp(lambda x: op(x, 2 * y), (x,), (x,))[1], 2 * x)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["jvp", "dual", "grad", "vmap of grad"])
def test_compile_refuses_forward_mode_and_transforms_in_one_graph_and_is_right_without_that_demand(
    power, arguments, kind
):
    x, weight = (a.detach() for a in arguments)

    def derivative(run):
        if kind == "jvp":
            return run(lambda x: torch.func.jvp(lambda x: power(x, weight), (x,), (x,))[1])(x)
        if kind == "grad":
            return run(torch.func.grad(lambda x: power(x, weight).sum()))(x)
        if kind == "vmap of grad":
            return run(torch.vmap(torch.func.grad(power)))(x, weight)
        with forward_ad.dual_level():
            return forward_ad.unpack_dual(run(lambda x: power(x, weight))(forward_ad.make_dual(x, x))).tangent

    expected = derivative(lambda f: f)
    torch._dynamo.reset()
    with pytest.raises(RuntimeError, match=r"GradientError\('lina::test_power.* has no .* torch.compile"):
        derivative(lambda f: torch.compile(f, backend="aot_eager", fullgraph=True))
    torch._dynamo.reset()
    torch.testing.assert_close(derivative(lambda f: torch.compile(f, backend="aot_eager")), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_graph_compiled_without_tangents_is_not_used_with_them(power, arguments):
    x, weight = (a.detach() for a in arguments)
    torch._dynamo.reset()
    compiled = torch.compile(power, backend="aot_eager", fullgraph=True)
    compiled(x, weight)
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="GradientError"):
        compiled(forward_ad.make_dual(x, x), weight)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_vmap_is_compiled_in_one_graph(power, arguments):
    x, weight = (a.detach() for a in arguments)
    torch._dynamo.reset()
    compiled = torch.compile(torch.vmap(power), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, weight), x**3 * weight)


def test_the_registered_name_itself_refuses_forward_mode(power, arguments):
    x, weight = (a.detach() for a in arguments)
    for op in (op for op in (getattr(torch.ops.lina, n, None) for n in ("test_power", "test_power_jvp")) if op):
        with pytest.raises(GradientError, match="has no forward-mode derivative"):
            torch.func.jvp(lambda x, op=op: op(x, weight, 3)[0], (x,), (x,))
        with forward_ad.dual_level(), pytest.raises(GradientError, match="has no forward-mode derivative"):
            op(forward_ad.make_dual(x, x), weight, 3)
