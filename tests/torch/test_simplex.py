"""Projections and entmax as torch operations: gradients of any order, registration, compilation, vmap, autocast."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.simplex import (  # noqa: E402
    entmax,
    entmax_vjp,
    log_softmax,
    logsumexp,
    project_capped_simplex,
    project_l1_ball,
    project_simplex,
    project_simplex_vjp,
    project_sparse_simplex,
    softmax,
    sparsemax,
)

pytestmark = pytest.mark.torch

MAPS = {
    "sparsemax": sparsemax,
    "sparsemax hot": lambda x: sparsemax(x, temperature=1.7),
    "project_simplex": lambda x: project_simplex(x, 2.0, axis=0),
    "entmax 1": lambda x: entmax(x, 1.0),
    "entmax 1.3": lambda x: entmax(x, 1.3),
    "entmax 1.5": lambda x: entmax(x, 1.5, axis=0),
    "entmax 2": lambda x: entmax(x, 2.0),
    "entmax 2.5": lambda x: entmax(x, 2.5, temperature=2.0),
    "softmax": softmax,
    "log_softmax": lambda x: log_softmax(x, temperature=0.5),
    "logsumexp": logsumexp,
    "capped": lambda x: project_capped_simplex(x, upper=0.5),
    "l1 ball": lambda x: project_l1_ball(x, 0.8),
    "sparse simplex": lambda x: project_sparse_simplex(x, 2),
}
each_map = pytest.mark.parametrize("mapping", MAPS.values(), ids=MAPS)


def tensor(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()


@each_map
def test_first_and_second_derivatives(mapping):
    x = tensor(4, 6)
    assert torch.autograd.gradcheck(mapping, x)
    assert torch.autograd.gradgradcheck(mapping, x)


def test_derivatives_by_alpha_radius_and_temperature():
    x = tensor(3, 4, 5)
    alpha = torch.tensor([1.2, 1.5, 2.3], dtype=torch.float64).reshape(3, 1, 1).requires_grad_()
    heat = (0.5 + torch.rand(3, 4, 1, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(entmax, (x, alpha))
    assert torch.autograd.gradgradcheck(entmax, (x, alpha))
    assert torch.autograd.gradcheck(lambda x, t: entmax(x, 1.4, temperature=t), (x, heat))
    assert torch.autograd.gradcheck(lambda x, t: softmax(x, temperature=t), (x, heat))
    assert torch.autograd.gradcheck(project_simplex, (x, heat))
    one = torch.tensor(1.6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(entmax, (x, one))


def test_the_derivative_by_alpha_is_right_at_softmax():
    x = tensor(2, 7).detach()
    alpha = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    entmax(x, alpha).mul(torch.arange(7.0)).sum().backward()
    step = 1e-6
    difference = (entmax(x, 1 + step) - entmax(x, 1.0)).mul(torch.arange(7.0)).sum(-1) / step
    torch.testing.assert_close(alpha.grad[:, 0], difference, rtol=1e-4, atol=1e-5)


def test_third_derivatives_exist():
    x = tensor(5)
    (first,) = torch.autograd.grad(entmax(x, 1.3).pow(2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.pow(2).sum(), x, create_graph=True)
    (third,) = torch.autograd.grad(second.pow(2).sum(), x)
    assert torch.isfinite(third).all()


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
def test_the_registrations_pass_the_checks_of_torch(batch):
    x, ones = tensor(*batch, 5), torch.ones(batch, dtype=torch.float64)
    torch.library.opcheck(torch.ops.lina.project_simplex.default, (x, ones.clone().requires_grad_()))
    torch.library.opcheck(torch.ops.lina.entmax.default, (x, (1.5 * ones).requires_grad_()))
    p = sparsemax(x.detach()) if x.numel() else x.detach()
    torch.library.opcheck(torch.ops.lina.project_simplex_backward.default, (p, x))


@each_map
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Dynamo detected a call to a .*lru_cache")
def test_one_name_serves_under_compile_without_a_graph_break(mapping):
    torch.compiler.reset()
    x = tensor(4, 6)
    compiled = torch.compile(lambda x: mapping(x).pow(2).sum(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), mapping(x).pow(2).sum())
    (found,) = torch.autograd.grad(compiled(x), x)
    (expected,) = torch.autograd.grad(mapping(x).pow(2).sum(), x)
    torch.testing.assert_close(found, expected)


@each_map
@pytest.mark.parametrize("in_dim", [0, 1, 2])
def test_vmap_over_any_axis(mapping, in_dim):
    x = tensor(3, 4, 5).detach()
    expected = torch.stack([mapping(each) for each in x.movedim(in_dim, 0)])
    torch.testing.assert_close(torch.vmap(mapping, in_dims=in_dim)(x), expected)


def test_vmap_over_alpha():
    x, alphas = tensor(4, 6).detach(), torch.tensor([1.0, 1.5, 2.0], dtype=torch.float64)
    found = torch.vmap(lambda a: entmax(x, a))(alphas)
    torch.testing.assert_close(found, torch.stack([entmax(x, float(a)) for a in alphas]))


@pytest.mark.parametrize("size", [(3, 20), (90, 100)])
def test_values_and_gradients_are_those_of_numpy(size):
    x, g = tensor(*size), tensor(*size, seed=1).detach()
    for mapping, vjp in ((sparsemax, project_simplex_vjp), (entmax, entmax_vjp)):
        p = mapping(x)
        np.testing.assert_array_equal(p.detach().numpy(), mapping(x.detach().numpy()))
        (found,) = torch.autograd.grad(p, x, g)
        np.testing.assert_allclose(found.numpy(), vjp(p.detach().numpy(), g.numpy()), atol=1e-15)


def entmax_at_one(x, where):
    return entmax(x, 1.0, where=where)


@pytest.mark.parametrize("mapping", [sparsemax, entmax, softmax, log_softmax, entmax_at_one])
def test_entries_left_out_get_exactly_zero_gradient(mapping):
    x = tensor(5, 8)
    mask = torch.rand(5, 8, generator=torch.Generator().manual_seed(1)) > 0.4
    mask[3] = False
    with torch.no_grad():
        x[~mask] = torch.nan
    p = mapping(x, where=mask)
    (found,) = torch.autograd.grad(torch.where(mask, p, 0.0).pow(2).sum(), x)
    assert (found[~mask] == 0).all()
    assert torch.isfinite(found).all()
    assert found[mask].abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mapping", [sparsemax, entmax, softmax])
def test_halves_are_computed_in_single_precision_and_get_their_gradient(mapping, dtype):
    x = tensor(3, 9).detach().to(dtype).requires_grad_()
    p = mapping(x)
    assert p.dtype == torch.float32
    torch.testing.assert_close(p, mapping(x.detach().float()))
    p.pow(2).sum().backward()
    assert x.grad.dtype == dtype
    single = x.detach().float().requires_grad_()
    mapping(single).pow(2).sum().backward()
    torch.testing.assert_close(x.grad, single.grad.to(dtype))


@pytest.mark.parametrize("mapping", [sparsemax, entmax, softmax])
def test_autocast_leaves_the_mapping_in_single_precision(mapping):
    x, weight = tensor(4, 6, dtype=torch.float32), tensor(6, 6, dtype=torch.float32, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = x @ weight
        p = mapping(logits)
    assert logits.dtype == torch.bfloat16
    assert p.dtype == torch.float32
    torch.testing.assert_close(p.sum(-1), torch.ones(4), atol=2e-7, rtol=0)
    p.pow(2).sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("mapping", [sparsemax, entmax, softmax])
@pytest.mark.parametrize("view", ["transposed", "strided", "expanded", "negative"])
def test_views_are_read_as_what_they_are(mapping, view):
    x = tensor(6, 8).detach()
    y = {
        "transposed": x.T,
        "strided": x[::2, ::2],
        "expanded": x[:1].expand(5, 8),
        "negative": torch.complex(x, x).conj().imag,
    }[view]
    torch.testing.assert_close(mapping(y), mapping(y.clone().contiguous()))


@pytest.mark.parametrize("mapping", [sparsemax, entmax, softmax])
def test_infinities_are_as_in_numpy(mapping):
    x = torch.tensor([[np.inf, 0.0, np.inf], [-np.inf, -np.inf, -np.inf], [np.nan, 0.0, 1.0], [0.0, -np.inf, 0.0]])
    np.testing.assert_array_equal(mapping(x).numpy(), mapping(x.numpy()))


def test_options_in_a_tensor_that_are_not_allowed_make_their_rows_nan():
    x = tensor(2, 3).detach()
    assert torch.isnan(entmax(x, torch.tensor([[0.5], [1.5]]).double())[0]).all()
    assert torch.isnan(project_simplex(x, torch.tensor([[1.0], [-1.0]]).double())[1]).all()
    assert torch.isnan(softmax(x, temperature=torch.tensor([[0.0], [1.0]]).double())[0]).all()
    with pytest.raises(ValueError, match="alpha must be finite and at least 1"):
        entmax(x, 0.5)
