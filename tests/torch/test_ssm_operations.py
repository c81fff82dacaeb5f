"""Kernels of systems, convolution and LegS as torch operations: gradients, registration, compilation, vmap."""

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from tests.torch.ssm_cases import CASES, draw, each, in_one_batch, recorded  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")]


@each
def test_first_and_second_derivatives(case):
    tensors = recorded(case.tensors)
    assert torch.autograd.gradcheck(case.run, tensors)
    assert torch.autograd.gradgradcheck(case.run, tensors)


@each
def test_values_and_gradients_are_those_of_the_array_code(case):
    tensors = recorded(case.tensors)
    found, expected = case.run(*tensors), case.body(*tensors)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    assert type(found.grad_fn).__name__ != type(expected.grad_fn).__name__  # not the same computation twice
    g = draw(*found.shape, dtype=found.dtype, seed=5)
    for x, y in zip(torch.autograd.grad(found, tensors, g), torch.autograd.grad(expected, tensors, g), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9)


@each
def test_the_registrations_pass_the_checks_of_torch(case):
    tensors = [x.requires_grad_() for x in in_one_batch(case)]
    operation = getattr(torch.ops.lina, case.operation).default
    torch.library.opcheck(operation, (*tensors, *case.options))
    out = operation(*tensors, *case.options).detach()
    pull = getattr(torch.ops.lina, f"{case.operation}_vjp").default
    g = draw(*out.shape, dtype=out.dtype, seed=5).requires_grad_()
    # "test_aot_dispatch_dynamic" asks for a second derivative in one compiled graph, of which torch says it has none
    kinds = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(pull, (g, *tensors, *case.options), test_utils=kinds)


@each
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Dynamo detected a call to a .*lru_cache")
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex:UserWarning")
def test_one_name_serves_under_compile_without_a_graph_break(case):
    torch.compiler.reset()
    tensors = recorded(case.tensors)
    compiled = torch.compile(lambda *a: case.run(*a).abs().pow(2).sum(), fullgraph=True, backend="aot_eager")
    expected = case.run(*tensors).abs().pow(2).sum()
    torch.testing.assert_close(compiled(*tensors), expected)
    found, wanted = (torch.autograd.grad(y, tensors) for y in (compiled(*tensors), expected))
    for x, y in zip(found, wanted, strict=True):
        torch.testing.assert_close(x, y)


@each
@pytest.mark.parametrize("which", ["all", "the last"])
def test_vmap_of_values_and_of_gradients(case, which):
    tensors = [torch.stack([x, 0.5 * x, 0.9 * x], dim=-1) for x in case.tensors]
    if which == "the last":
        tensors[:-1] = case.tensors[:-1]
    dims = tuple(None if t is x else -1 for t, x in zip(tensors, case.tensors, strict=True))

    def loss(*a):
        return case.run(*a).abs().pow(2).sum()

    grad = torch.func.grad(loss, argnums=tuple(range(len(tensors))))
    parts = [[t if d is None else t[..., i] for t, d in zip(tensors, dims, strict=True)] for i in range(3)]
    torch.testing.assert_close(
        torch.vmap(case.run, in_dims=dims)(*tensors), torch.stack([case.run(*part) for part in parts])
    )
    expected = zip(*[grad(*part) for part in parts], strict=True)
    for x, y in zip(torch.vmap(grad, in_dims=dims)(*tensors), expected, strict=True):
        torch.testing.assert_close(x, torch.stack(y))


@pytest.mark.parametrize("name", ["diag", "dplr", "vandermonde", "rational truncated", "convolution", "legs"])
def test_forward_mode_is_right(name):
    case = CASES[name]
    assert torch.autograd.gradcheck(case.run, recorded(case.tensors), check_forward_ad=True, check_backward_ad=False)


@each
def test_an_empty_batch_has_empty_values_and_gradients(case):
    which = len(case.tensors) - 2 if case.operation in ("kernel_diag", "kernel_dplr", "kernel_dplr_truncated") else 0
    empty = in_one_batch(case)[which]
    empty = empty.expand(0, *empty.shape)
    tensors = recorded(empty if i == which else x for i, x in enumerate(case.tensors))
    out = case.run(*tensors)
    assert out.shape[0] == 0
    for x, found in zip(tensors, torch.autograd.grad(out.abs().sum(), tensors), strict=True):
        assert found.shape == x.shape
        assert not found.any()


@each
def test_views_are_read_as_what_they_are(case):
    def view(x):
        strided = torch.stack([x, x], dim=-1).flatten(-2)[..., ::2] if x.ndim else x
        return (strided.conj() if x.is_complex() else torch.complex(strided, -strided).conj().imag).expand(x.shape)

    def plain(x):
        return x.conj().resolve_conj() if x.is_complex() else x

    def loss(tensors):
        return case.run(*tensors).abs().pow(2).sum()

    viewed, copied = [recorded(case.tensors) for _ in range(2)]
    first, second = loss([view(x) for x in viewed]), loss([plain(x) for x in copied])
    torch.testing.assert_close(first, second)
    for x, y in zip(torch.autograd.grad(first, viewed), torch.autograd.grad(second, copied), strict=True):
        torch.testing.assert_close(x, y)


@each
def test_expanded_tensors_get_the_gradient_of_each_entry(case):
    x = case.tensors[-1]
    wide = x.expand(2, *case.run(*case.tensors).shape[:-1], *x.shape[-1:]) if x.ndim > 1 else x
    tensors = (*case.tensors[:-1], wide.detach().requires_grad_())
    (found,) = torch.autograd.grad(case.run(*tensors).abs().pow(2).sum(), tensors[-1])
    copied = (*case.tensors[:-1], wide.detach().contiguous().requires_grad_())
    (expected,) = torch.autograd.grad(case.run(*copied).abs().pow(2).sum(), copied[-1])
    torch.testing.assert_close(found, expected)


@each
def test_autocast_and_halves_are_computed_in_single_precision(case):
    single = tuple(x.to(torch.complex64 if x.is_complex() else torch.float32) for x in case.tensors)
    halves = tuple(x if x.is_complex() else x.bfloat16() for x in single)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = case.run(*halves)
    assert found.dtype in (torch.float32, torch.complex64)
    expected = case.run(*(x if x.is_complex() else x.float() for x in halves))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@each
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_the_transforms_nest(case):
    fixed, last = case.tensors[:-1], case.tensors[-1]
    moved = last.real.clone() if last.is_complex() else last

    def loss(run):
        def value(x):
            y = run(*fixed, torch.complex(x, 2 * x) if last.is_complex() else x)
            return y.abs().pow(2).sum()

        return value

    expected = torch.func.hessian(loss(case.body))(moved)
    torch.testing.assert_close(torch.func.hessian(loss(case.run))(moved), expected)
    torch.testing.assert_close(torch.func.jacrev(torch.func.jacrev(loss(case.run)))(moved), expected)


@each
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_forward_mode_over_reverse_of_a_plain_sum(case):
    # its cotangent is one number in many places
    fixed, last = case.tensors[:-1], case.tensors[-1]
    scale = torch.tensor(1.3, dtype=torch.float64)
    value = lambda run: lambda s: run(*fixed, s**2 * last).real.sum()  # noqa: E731
    expected = torch.func.jacrev(torch.func.jacrev(value(case.body)))(scale)
    torch.testing.assert_close(torch.func.hessian(value(case.run))(scale), expected)
