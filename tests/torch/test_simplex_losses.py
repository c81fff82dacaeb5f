"""Secondary mappings and losses on torch tensors: derivatives of both orders, registration, compilation, vmap."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina._core.errors import GradientError  # noqa: E402
from lina.simplex import (  # noqa: E402
    cross_entropy,
    entmax_loss,
    fenchel_young_loss,
    gumbel_max,
    gumbel_softmax,
    logsumexp,
    margin_softmax_loss,
    perturb_max,
    soft_topk,
    softmax,
    sparse_softmax_loss,
    sparsemax_loss,
    taylor_softmax,
    threshold_softmax,
    topk_softmax,
    topp_softmax,
)

pytestmark = pytest.mark.torch

MAPPINGS = {
    "topk": lambda x, **o: topk_softmax(x, 3, **o),
    "topp": lambda x, **o: topp_softmax(x, 0.7, **o),
    "threshold": lambda x, **o: threshold_softmax(x, 0.1, **o),
    "taylor": lambda x, **o: taylor_softmax(x, 4, **o),
    "soft_topk": lambda x, **o: soft_topk(x, 2, 0.7, **o),
    "soft_topk_entropic": lambda x, **o: soft_topk(x, 2, 0.7, regularizer="entropic", **o),
    "perturb_gaussian": lambda x, **o: perturb_max(x, **o),
    "perturb_logistic": lambda x, **o: perturb_max(x, "logistic", 0.5, **o),
    "perturb_gumbel": lambda x, **o: perturb_max(x, "gumbel", **o),
    "perturb_uniform": lambda x, **o: perturb_max(x, "uniform", 4.0, **o),
}
LOSSES = {
    "cross_entropy": cross_entropy,
    "margin": lambda x, y, **o: margin_softmax_loss(x, y, 0.3, 2.0, **o),
    "sparse": lambda x, y, **o: sparse_softmax_loss(x, y, 3, **o),
    "sparse_with_target": lambda x, y, **o: sparse_softmax_loss(x, y, 3, include_target=True, **o),
    "softmax": fenchel_young_loss,
    "sparsemax": sparsemax_loss,
    "entmax": entmax_loss,
    "entmax_1.2": lambda x, y, **o: entmax_loss(x, y, 1.2, **o),
}
# the rows that all of lina.simplex shares cannot be traced yet: moveaxis under vmap, the namespace under torch.compile
each_mapping = pytest.mark.parametrize("call", MAPPINGS.values(), ids=MAPPINGS)
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def tensor(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()


@each_mapping
def test_first_and_second_derivatives_of_mappings(call):
    x = tensor(3, 6)
    assert torch.autograd.gradcheck(call, x)
    assert torch.autograd.gradgradcheck(call, x)
    assert torch.autograd.gradcheck(lambda x: call(x, axis=0), x)


@each_loss
@pytest.mark.parametrize("soft", [False, True])
def test_first_and_second_derivatives_of_losses(loss, soft):
    x = tensor(4, 6)
    target = torch.softmax(tensor(4, 6, seed=1).detach(), -1) if soft else torch.tensor([0, 3, 5, 1])
    assert torch.autograd.gradcheck(lambda x: loss(x, target), x)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, target), x)


@each_loss
def test_the_gradient_is_the_one_that_is_returned(loss):
    x, target = tensor(4, 6), torch.tensor([0, 3, 5, 1])
    value, gradient = loss(x, target, temperature=0.7, return_gradient=True) if loss is not LOSSES["margin"] else loss(
        x, target, return_gradient=True
    )  # fmt: skip
    (found,) = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(found, gradient)


@each_mapping
def test_masked_entries_get_a_gradient_of_exactly_zero(call):
    x = tensor(5, 6).detach()
    mask = torch.tensor(np.random.default_rng(0).random((5, 6)) < 0.6)
    mask[0] = False
    x = torch.where(mask, x, torch.nan).requires_grad_()
    g = tensor(5, 6, seed=1).detach()
    (gradient,) = torch.autograd.grad(call(x, where=mask), x, g)
    assert torch.isfinite(gradient).all()
    assert not gradient[~mask].any()
    assert gradient[mask].any()


@each_loss
def test_masked_entries_get_no_gradient_from_a_loss(loss):
    target = torch.tensor([0, 3, 5, 1])
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[0] = False
    mask[1:, 2] = False
    x = torch.where(mask, tensor(4, 6).detach(), torch.nan).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x, target, where=mask).sum(), x)
    assert torch.isfinite(gradient).all()
    assert not gradient[~mask].any()


@each_mapping
def test_minus_infinity_counts_as_masked_in_the_gradient_too(call):
    x = tensor(3, 6).detach()
    x[:, 4] = -torch.inf
    x.requires_grad_()
    (first,) = torch.autograd.grad((call(x) * torch.arange(6.0)).sum(), x, create_graph=True)
    found = [first]
    if first.requires_grad:  # that of a piecewise linear mapping is constant
        found += torch.autograd.grad((first * torch.arange(6.0)).sum(), x)
    for gradient in found:
        assert torch.isfinite(gradient).all()
        assert not gradient[:, 4].any()


@each_mapping
def test_values_are_those_of_numpy(call):
    x = tensor(5, 7).detach()
    np.testing.assert_allclose(call(x).numpy(), call(x.numpy()), rtol=0, atol=1e-14)
    assert call(x.to(torch.bfloat16)).dtype == torch.float32


@each_loss
def test_losses_are_those_of_numpy(loss):
    x, target = tensor(4, 6).detach(), torch.tensor([0, 3, 5, 1])
    np.testing.assert_allclose(loss(x, target).numpy(), loss(x.numpy(), target.numpy()), rtol=1e-13)


@each_mapping
@pytest.mark.parametrize("in_dim", [0, 1, 2])
def test_vmap_of_mappings_over_any_axis(call, in_dim):
    x = tensor(3, 4, 5).detach()
    torch.testing.assert_close(torch.vmap(call, in_dims=in_dim)(x), call(x.movedim(in_dim, 0)))


@each_loss
def test_vmap_of_losses(loss):
    x, target = tensor(4, 6).detach(), torch.tensor([0, 3, 5, 1])
    torch.testing.assert_close(torch.vmap(loss)(x, target), loss(x, target))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@each_mapping
def test_mappings_compile_without_a_graph_break(call):
    torch.compiler.reset()
    x, g = tensor(4, 6), tensor(4, 6, seed=1).detach()
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), call(x))
    (found,) = torch.autograd.grad(compiled(x), x, g)
    (expected,) = torch.autograd.grad(call(x), x, g)
    torch.testing.assert_close(found, expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@each_loss
def test_losses_compile_without_a_graph_break(loss):
    torch.compiler.reset()
    x, target = tensor(4, 6), torch.tensor([0, 3, 5, 1])
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, target), loss(x, target))
    (found,) = torch.autograd.grad(compiled(x, target).sum(), x)
    (expected,) = torch.autograd.grad(loss(x, target).sum(), x)
    torch.testing.assert_close(found, expected)


def test_the_registrations_pass_the_checks_of_torch():
    z = tensor(3, 5)
    z = (z - z.detach().amax(-1, keepdim=True)).detach().requires_grad_()
    torch.library.opcheck(torch.ops.lina.perturb_max.default, (z, "gaussian", 64))
    torch.library.opcheck(torch.ops.lina.soft_topk.default, (z, 2))
    y = torch.softmax(z.detach(), -1)
    for alpha in (1.0, 1.5, 2.0):
        torch.library.opcheck(torch.ops.lina.fenchel_young.default, (z, y, y.flip(-1), alpha))


def test_wrong_targets_make_their_rows_nan_where_values_are_not_looked_at():
    x = tensor(3, 4).detach()
    for loss in LOSSES.values():
        assert torch.isnan(loss(x, torch.tensor([0, 4, -1]))).tolist() == [False, True, True]
        y = torch.tensor([[1.0, 0, 0, 0], [-1, 1, 1, 0], [0, 0, 0, 1]])
        assert torch.isnan(loss(x, y)).tolist() == [False, True, False]


def test_a_target_of_cross_entropy_has_a_gradient_and_that_of_a_fenchel_young_loss_is_refused():
    x = tensor(3, 4)
    y = torch.softmax(tensor(3, 4, seed=1).detach(), -1).requires_grad_()
    assert torch.autograd.gradcheck(cross_entropy, (x, y))
    with pytest.raises(GradientError, match="a Fenchel-Young loss has no gradient with respect to target"):
        sparsemax_loss(x, y)
    with torch.no_grad():
        assert sparsemax_loss(x, y).shape == (3,)


def test_hard_draws_have_the_gradient_of_soft_ones():
    x, g = tensor(6, 5), tensor(6, 5, seed=1).detach()
    hard, soft = (gumbel_softmax(x, 0.5, hard=h, rng=4) for h in (True, False))
    assert torch.equal(hard, torch.nn.functional.one_hot(gumbel_max(x, rng=4), 5).to(x.dtype))
    torch.testing.assert_close(*(torch.autograd.grad(y, x, g)[0] for y in (hard, soft)))
    assert torch.autograd.gradcheck(lambda x: gumbel_softmax(x, 0.5, rng=4), x)
    assert torch.autograd.gradgradcheck(lambda x: gumbel_softmax(x, 0.5, rng=4), x)


def test_the_loss_of_a_large_batch_trains():
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(300, 8, generator=rng)
    target = (features @ torch.randn(8, 5, generator=rng)).argmax(-1)
    for loss in LOSSES.values():
        weight = torch.zeros(8, 5, requires_grad=True)
        optimiser = torch.optim.LBFGS([weight], max_iter=60, line_search_fn="strong_wolfe")

        def closure(loss=loss, weight=weight, optimiser=optimiser):
            optimiser.zero_grad()
            value = loss(features @ weight, target).mean() + 1e-4 * weight.square().sum()
            value.backward()
            return value

        optimiser.step(closure)
        assert ((features @ weight).argmax(-1) == target).float().mean() > 0.95


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_ignored_classes_and_reductions_are_those_of_torch(reduction):
    x, target = tensor(5, 6), torch.tensor([0, -100, 5, 1, -100])
    found = cross_entropy(x, target, ignore_index=-100, reduction=reduction)
    expected = torch.nn.functional.cross_entropy(x, target, reduction=reduction)
    torch.testing.assert_close(found, expected)
    (one,), (other,) = (torch.autograd.grad(each.sum(), x) for each in (found, expected))
    torch.testing.assert_close(one, other)


def test_a_certain_answer_has_a_loss_and_infinite_logits_share_it():
    x = torch.tensor([[50.0, 0.0], [torch.inf, 0.0], [torch.inf, torch.inf], [-torch.inf, -torch.inf]])
    found = cross_entropy(x, torch.tensor([0, 0, 1, 0]))
    torch.testing.assert_close(found[:3], torch.tensor([1.9287498e-22, 0.0, float(np.log(2))]), rtol=1e-6, atol=0)
    assert torch.isnan(found[3])


def test_gradients_of_rows_without_a_finite_sum_are_zero_and_leave_the_others_alone():
    x = torch.tensor([[torch.inf, 0, 1], [-torch.inf] * 3, [0, -torch.inf, 1]], dtype=torch.float64, requires_grad=True)
    value = logsumexp(x)
    assert value[:2].tolist() == [torch.inf, -torch.inf]
    (gradient,) = torch.autograd.grad(value, x, torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(gradient[2], softmax(x.detach())[2])
    assert not gradient[:2].any()
