"""Tensors that reach the kernels of arrays: projections between bounds, softmax over a mask, soft targets, entmax."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina._numba import entmax_backward as kernels  # noqa: E402
from lina.simplex import (  # noqa: E402
    cross_entropy,
    entmax,
    entmax_vjp,
    project_capped_simplex,
    project_capped_simplex_vjp,
    project_simplex,
    soft_topk,
    softmax,
    softmax_vjp,
    topk_softmax,
)

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")]
BIG = (60, 90)  # from here on kernels are worth their compilation


def tensor(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()


def mask_like(x, seed=1):
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[0], mask[-1] = True, False
    return mask


def caps(x):
    """Return another bound for each entry."""
    return torch.linspace(0.2, 0.6, x.shape[-1], dtype=x.dtype)


def target(x):
    return torch.ones_like(x.detach()) * torch.softmax(torch.linspace(0, 3, x.shape[-1], dtype=x.dtype), -1)


MAPS = {
    "capped": lambda x: project_capped_simplex(x, upper=0.3, total=2.0),
    "capped by arrays": lambda x: project_capped_simplex(x, upper=caps(x), total=2.0),
    "capped and masked": lambda x: project_capped_simplex(x, upper=2.0, where=x.detach() < 1.5),
    "soft top 7": lambda x: soft_topk(x, 7, 2.0),
    "soft top 7 by entropy": lambda x: soft_topk(x, 7, 2.0, regularizer="entropic"),
    "masked softmax": lambda x: softmax(x, where=x.detach() > -0.5),
    "masked softmax, hot": lambda x: softmax(x, where=x.detach() > -0.5, temperature=1.7),
    "entmax 1.25": lambda x: entmax(x, 1.25),
    "entmax 2.5": lambda x: entmax(x, 2.5),
    "top 7": lambda x: topk_softmax(x, 7),
    "cross-entropy": lambda x: cross_entropy(x, target(x)),
}
each_map = pytest.mark.parametrize("mapping", MAPS.values(), ids=MAPS)


@each_map
@pytest.mark.parametrize("size", [(3, 20), BIG])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_those_of_single_rows_in_double_precision(mapping, size, dtype):
    x = tensor(*size, dtype=dtype).detach()
    expected = torch.stack([mapping(row) for row in x.double()])  # a row alone is too small for kernels
    limits = {"rtol": 1e-6, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-13, "atol": 1e-14}
    torch.testing.assert_close(mapping(x), expected.to(dtype), **limits)


@each_map
def test_first_and_second_derivatives_by_the_kernels(mapping):
    # some entries of a batch so large that kernels run, the others constant
    rest = tensor(*BIG, seed=3).detach()
    x = tensor(2, BIG[1])
    call = lambda x: mapping(torch.cat([x, rest]))[:2]  # noqa: E731
    v = tensor(2, BIG[1], seed=4).detach()
    out, direction = torch.func.jvp(call, (x.detach(),), (v,))
    step = 1e-6
    difference = (call(x + step * v) - call(x - step * v)).detach() / (2 * step)
    torch.testing.assert_close(direction, difference, atol=1e-7, rtol=1e-6)
    w = torch.randn_like(out)

    def gradient(x):
        return torch.func.grad(lambda x: (call(x) * w).sum())(x)

    (once,) = torch.autograd.grad((call(x) * w).sum(), x)
    torch.testing.assert_close((once * v).sum(), (direction * w).sum())
    _, second = torch.func.jvp(gradient, (x.detach(),), (v,))
    difference = (gradient((x + step * v).detach()) - gradient((x - step * v).detach())) / (2 * step)
    torch.testing.assert_close(second, difference, atol=1e-6, rtol=1e-5)


def test_derivatives_by_bounds_and_total():
    x = tensor(4, 6)
    low = (-0.3 * torch.rand(4, 6, dtype=torch.float64)).requires_grad_()
    high = (0.5 + 0.3 * torch.rand(6, dtype=torch.float64)).requires_grad_()
    total = (1 + torch.rand(4, 1, dtype=torch.float64)).requires_grad_()

    def call(x, low, high, total):
        return project_capped_simplex(x, lower=low, upper=high, total=total)

    p = call(x, low, high, total)
    assert (p <= low).any()
    assert (p >= high).any()
    assert torch.autograd.gradcheck(call, (x, low, high, total))
    assert torch.autograd.gradgradcheck(call, (x, low, high, total))
    assert torch.autograd.gradcheck(call, (x, low, high, total), check_forward_ad=True, check_backward_ad=False)
    one = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, one: project_capped_simplex(x, upper=one), (x, one))


def test_derivatives_of_a_soft_target_and_a_temperature():
    x = tensor(3, 5)
    y = torch.softmax(tensor(3, 5, seed=1).detach(), -1).requires_grad_()
    heat = (0.5 + torch.rand(3, 1, dtype=torch.float64)).requires_grad_()
    mask = mask_like(x)
    assert torch.autograd.gradcheck(lambda x, y: cross_entropy(x, y), (x, y))
    assert torch.autograd.gradgradcheck(lambda x, y: cross_entropy(x, y), (x, y))
    assert torch.autograd.gradcheck(lambda x, t: softmax(x, where=mask, temperature=t), (x, heat))
    assert torch.autograd.gradgradcheck(lambda x, t: softmax(x, where=mask, temperature=t), (x, heat))


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
def test_the_registrations_pass_the_checks_of_torch(batch):
    x, ones = tensor(*batch, 5), torch.ones(batch, dtype=torch.float64)
    bounds = torch.zeros_like(x[..., :1]), torch.ones_like(x)
    p, alpha = torch.softmax(x.detach(), -1), (1.5 * ones).requires_grad_()
    torch.library.opcheck(torch.ops.lina.project_between.default, (x, *bounds, ones[..., None].clone()))
    torch.library.opcheck(torch.ops.lina.entmax_backward.default, (p.clone().requires_grad_(), x, alpha))
    torch.library.opcheck(torch.ops.lina.masked_softmax.default, (x, p > 0.2, ones.clone().requires_grad_()))
    torch.library.opcheck(torch.ops.lina.soft_cross_entropy.default, (x, p.clone().requires_grad_()))
    torch.library.opcheck(torch.ops.lina.keep_topk.default, (x.detach(), 2))
    torch.library.opcheck(torch.ops.lina.kth_largest.default, (x.detach(), 5))


@each_map
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Dynamo detected a call to a .*lru_cache")
def test_they_compile_without_a_graph_break_and_vmap_over_any_axis(mapping):
    torch.compiler.reset()
    x = tensor(4, 9)
    compiled = torch.compile(lambda x: mapping(x).pow(2).sum(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), mapping(x).pow(2).sum())
    (found,) = torch.autograd.grad(compiled(x), x)
    (expected,) = torch.autograd.grad(mapping(x).pow(2).sum(), x)
    torch.testing.assert_close(found, expected)
    x = tensor(3, 8, 9).detach()
    for axis in range(2):
        expected = torch.stack([mapping(each) for each in x.movedim(axis, 0)])
        torch.testing.assert_close(torch.vmap(mapping, in_dims=axis)(x), expected)


def test_a_trace_takes_what_is_kept_from_its_own_input():
    traced = torch.fx.experimental.proxy_tensor.make_fx(lambda x: topk_softmax(x, 2))(tensor(3, 6).detach())
    other = tensor(3, 6, seed=1).detach()
    torch.testing.assert_close(traced(other), topk_softmax(other, 2))


def test_vmap_over_a_bound_and_over_a_temperature():
    x = tensor(4, 6).detach()
    caps, heats = torch.tensor([0.2, 0.5, 1.0]).double(), torch.tensor([0.5, 1.0, 2.0]).double()
    found = torch.vmap(lambda cap: project_capped_simplex(x, upper=cap))(caps)
    torch.testing.assert_close(found, torch.stack([project_capped_simplex(x, upper=float(c)) for c in caps]))
    found = torch.vmap(lambda heat: softmax(x, temperature=heat))(heats)
    torch.testing.assert_close(found, torch.stack([softmax(x, temperature=float(t)) for t in heats]))


@pytest.mark.parametrize("size", [(5, 8), BIG])
@pytest.mark.parametrize(
    "mapping",
    [
        lambda x, m: softmax(x, where=m, temperature=0.7),
        lambda x, m: entmax(x, 1.3, where=m),
        lambda x, m: project_capped_simplex(x, total=1.0, where=m),
        lambda x, m: soft_topk(x, 2, where=m),
    ],
)
def test_a_gradient_that_is_infinite_where_entries_are_left_out_does_no_harm(mapping, size):
    x = tensor(*size)
    mask = mask_like(x)
    with torch.no_grad():
        x[~mask] = torch.nan
    p = mapping(x, mask)
    assert (p[~mask] == 0).all()
    cotangent = torch.where(mask, tensor(*size, seed=2).detach(), torch.inf)
    (found,) = torch.autograd.grad(p, x, cotangent)
    assert (found[~mask] == 0).all()
    assert torch.isfinite(found).all()
    assert found[mask].abs().sum() > 0


@pytest.mark.parametrize("size", [(5, 8), BIG, (300, 90), (6000, 3)])
@pytest.mark.parametrize(
    "mapping",
    [
        lambda x, m: softmax(x, where=m),
        lambda x, m: softmax(x, where=m, temperature=torch.full((len(x),), 0.7, dtype=x.dtype)),
        *(lambda x, m, alpha=alpha: entmax(x, alpha, where=m) for alpha in (1.0, 1.3, 1.5, 2.0, 3.0)),
        lambda x, m: project_simplex(x, where=m),
    ],
)
def test_a_row_that_is_nan_has_no_gradient(mapping, size):
    x, mask = tensor(*size), torch.ones(size, dtype=torch.bool)
    mask[2, 0], mask[3, 0] = False, False
    with torch.no_grad():
        x[2, 1], x[4] = torch.nan, -torch.inf
    (found,) = torch.autograd.grad(mapping(x, mask), x, tensor(*size, seed=2).detach())
    assert found[2, 1:].isnan().all()
    assert found[4].isnan().all()
    others = [i for i in range(len(x)) if i not in (2, 4)]
    assert torch.isfinite(found[others]).all()
    assert (found[~mask] == 0).all()


@pytest.mark.parametrize("size", [(5, 8), BIG])
def test_gradients_are_those_of_the_functions_of_arrays(size):
    x, g = tensor(*size), tensor(*size, seed=1).detach()
    for alpha in (1.0, 1.2, 1.5, 2.0, 3.0):
        p = entmax(x, alpha)
        (found,) = torch.autograd.grad(p, x, g)
        np.testing.assert_allclose(found.numpy(), entmax_vjp(p.detach().numpy(), g.numpy(), alpha), rtol=0, atol=4e-15)
    p = softmax(x, temperature=0.5)
    (found,) = torch.autograd.grad(p, x, g)
    expected = softmax_vjp(p.detach().numpy(), g.numpy(), temperature=0.5)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-15)
    p = project_capped_simplex(x, upper=0.7, total=3.0)
    (found,) = torch.autograd.grad(p, x, g)
    expected = project_capped_simplex_vjp(p.detach().numpy(), g.numpy(), upper=0.7)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-15)


def test_rows_that_no_projection_fits_are_nan_and_the_others_are_not():
    x = tensor(*BIG).detach()
    total = torch.ones(BIG[0], 1, dtype=torch.float64)
    total[3], total[5] = 91.0, -1.0
    p = project_capped_simplex(x, total=total)
    bad = torch.isnan(p).all(-1)
    assert bad.nonzero().flatten().tolist() == [3, 5]
    torch.testing.assert_close(p[~bad], project_capped_simplex(x[~bad]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_compiled_kernel_equals_its_interpreted_functions_on_a_thousand_inputs(dtype, monkeypatch):
    rng, cases = np.random.default_rng(0), []
    for trial in range(1000):
        n = int(rng.integers(1, 20)) if trial % 50 else 130
        p = rng.dirichlet(np.full(n, rng.choice([0.05, 1.0])), 2) * (rng.random((2, n)) < 0.8)
        g = rng.standard_normal((2, n))
        if trial % 17 == 0:
            p[0, rng.integers(n)], g[1, rng.integers(n)] = np.nan, rng.choice([np.nan, np.inf])
        cases.append((p.astype(dtype), g.astype(dtype), rng.choice([1.0, 1.01, 1.3, 1.5, 1.99, 2.0, 2.5], 2)))
    compiled = [kernels.entmax_backward(*case) for case in cases]
    for name, value in list(vars(kernels).items()):
        if hasattr(value, "py_func"):
            monkeypatch.setattr(kernels, name, value.py_func)
    for case, found in zip(cases, compiled, strict=True):
        with np.errstate(all="ignore"):
            expected = kernels.entmax_backward(*case)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype == "float32" else 1e-14, atol=0)


@pytest.mark.parametrize("alpha", [1.0, 1.05, 1.3, 1.5, 2.0])
def test_weights_of_subnormal_probabilities_have_their_digits(alpha):
    p = np.array([[1.0, 1e-320, 3e-310, 1e-300, 2.5e-200, 0.0]])
    g = np.array([[0.0, 1.0, 1.0, 1.0, 1.0, np.nan]])
    s = np.array([[float(v) ** (2 - alpha) if v > 0 else 0.0 for v in p[0]]])
    counted = np.where(p > 0, g, 0.0)
    expected = s * (counted - np.sum(s * counted) / np.sum(s))
    np.testing.assert_allclose(kernels.entmax_backward(p, g, np.array([alpha])), expected, rtol=1e-12, atol=5e-324)
