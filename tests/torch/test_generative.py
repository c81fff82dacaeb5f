"""The losses of generative networks: gradients against two losses and two networks, layers with state, bad input."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from torch import nn  # noqa: E402

from lina.torch import ign_loss, single_loss_gan  # noqa: E402
from lina.torch.generative.ign_loss import ROUTINGS, clamped  # noqa: E402

pytestmark = pytest.mark.torch

SETTINGS = [
    {"weights": (20.0, 20.0, 2.5)},
    {"weights": (20.0, 20.0, 10.0), "clamp": None},
    {"weights": (1.0, 1.0, 1.0), "clamp": 0.01, "metric": "l2"},
    {"weights": (1.0, 0.0, 1.0)},
    {"weights": (1.0, 3.0, 0.0)},
    {"weights": (0.0, 1.0, 1.0), "clamp": 1e-9},
]


def draws(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def network(*layers, features=5, width=16, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(features, width), nn.SiLU(), *layers, nn.Linear(width, features)).double()


def gradient(loss, model):
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    pairs = zip(found, model.parameters(), strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def relative(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


def two_networks(model, x, z, weights, clamp=1.5, metric="l1"):
    """Return the gradient as it is defined: the outer network is another one, with parameters of its own."""

    def distance(y, other):
        return ((y - other).abs() if metric == "l1" else (y - other) ** 2).mean(1)

    outer, inner = copy.deepcopy(model), copy.deepcopy(model)
    r = distance(inner(x), x)
    y = inner(z)
    pull = weights[0] * r.mean() + weights[1] * distance(outer(y), y).mean()
    t = distance(outer(y.detach()), y.detach())
    bounded = t if clamp is None else torch.tanh(t / (clamp * r.detach())) * clamp * r.detach()
    return gradient(pull, inner) + gradient(-weights[2] * bounded.mean(), outer)


@pytest.mark.parametrize("options", SETTINGS, ids=lambda o: ", ".join(f"{k} {v}" for k, v in o.items()))
@pytest.mark.parametrize("routing", ROUTINGS)
def test_every_routing_has_the_gradient_of_two_networks(options, routing):
    model, x, z = network(), draws(12, 5), draws(12, 5, seed=1)
    found = gradient(ign_loss(model, x, z, routing=routing, **options).loss, model)
    assert relative(found, two_networks(model, x, z, **options)) <= 1e-12


@pytest.mark.parametrize("options", SETTINGS[:3])
def test_every_routing_has_the_same_value_and_parts(options):
    model, x, z = network(), draws(12, 5), draws(12, 5, seed=1)
    found = [ign_loss(model, x, z, routing=routing, **options) for routing in ROUTINGS]
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert abs(float(a.detach() - b.detach())) <= 1e-12 * max(1, abs(float(a.detach())))
    w, parts = options["weights"], found[0]
    total = w[0] * parts.reconstruction + w[1] * parts.idempotence - w[2] * parts.tightness
    torch.testing.assert_close(parts.loss.detach(), total, rtol=1e-12, atol=1e-12)


def test_float32_loses_no_more_than_its_rounding_where_the_clamp_is_saturated():
    model, x, z = network(), 0.999 * draws(12, 5), draws(12, 5, seed=1)
    options = {"weights": (20.0, 20.0, 2.5), "clamp": 1e-4}
    expected = two_networks(model, x, z, **options)
    for routing in ("functional", "fused"):
        single = copy.deepcopy(model).float()
        found = gradient(ign_loss(single, x.float(), z.float(), routing=routing, **options).loss, single)
        assert relative(found.double(), expected) <= 2e-5


@pytest.mark.parametrize("routing", ["functional", "fused"])
def test_dropout_draws_masks_for_two_networks(routing):
    """With its masks replayed the gradient is that of two networks: dropout is no source of a wrong one."""
    model, x, z = network(nn.Dropout(0.3)), draws(12, 5), draws(12, 5, seed=1)
    torch.manual_seed(7)
    found = gradient(ign_loss(model, x, z, routing=routing, weights=(1.0, 1.0, 1.0), clamp=None).loss, model)
    inner, outer = copy.deepcopy(model), copy.deepcopy(model)
    torch.manual_seed(7)
    pull = (inner(x) - x).abs().mean()
    y = inner(z)
    before = torch.get_rng_state()
    push = (outer(y.detach()) - y.detach()).abs().mean()
    if routing == "fused":
        torch.set_rng_state(before)  # one mask for both
    pull = pull + (outer(y) - y).abs().mean()
    assert relative(found, gradient(pull, inner) + gradient(-push, outer)) <= 1e-12


def test_the_difference_of_two_passes_is_refused_under_dropout_and_wrong_there():
    model, x, z = network(nn.Dropout(0.2), width=64), draws(64, 5), draws(64, 5, seed=1)
    with pytest.raises(ValueError, match="without active dropout"):
        ign_loss(model, x, z, routing="difference")
    ign_loss(model.eval(), x, z, routing="difference")
    model.train()
    y = model(z)
    outer = copy.deepcopy(model)
    right = gradient((outer(y) - y).abs().mean(), model)
    y = model(z)
    wrong = gradient((model(y) - y).abs().mean() - (model(y.detach()) - y.detach()).abs().mean(), model)
    assert relative(wrong, right) > 0.1


@pytest.mark.parametrize("routing", ROUTINGS)
def test_batch_norm_sees_data_once_and_no_noise(routing):
    model, x, z = network(nn.BatchNorm1d(16)), draws(12, 5), draws(12, 5, seed=1) + 100
    expected = copy.deepcopy(model)
    expected(x)
    clamp = None if routing == "fused" else 1.5
    found = gradient(ign_loss(model, x, z, routing=routing, clamp=clamp).loss, model)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, dict(expected.named_buffers())[name]), name
    fresh = network(nn.BatchNorm1d(16))
    assert relative(found, two_networks(fresh, x, z, (20.0, 20.0, 2.5), clamp)) <= 1e-11


def test_one_pass_with_weights_by_sample_is_refused_where_samples_see_each_other():
    model, x, z = network(nn.BatchNorm1d(16)), draws(12, 5), draws(12, 5, seed=1)
    with pytest.raises(ValueError, match=r'routing="fused" needs a model whose samples do not see .* found 2; use "f'):
        ign_loss(model, x, z, routing="fused")
    model.eval()
    expected = two_networks(model, x, z, (20.0, 20.0, 2.5))
    assert relative(gradient(ign_loss(model, x, z, routing="fused").loss, model), expected) <= 1e-12


def test_half_precision_runs_with_four_passes_and_is_refused_with_three():
    model, x, z = network().float(), draws(12, 5).float(), draws(12, 5, seed=1).float()
    expected = gradient(ign_loss(model, x, z).loss, model)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradient(ign_loss(model, x, z).loss, model)
        with pytest.raises(TypeError, match=r'routing="fused" needs float32 or float64, got torch.bfloat16'):
            ign_loss(model, x, z, routing="fused")
    assert relative(found, expected) < 0.1
    with pytest.raises(TypeError, match=r"got torch.bfloat16"):
        ign_loss(model.bfloat16(), x.bfloat16(), z.bfloat16(), routing="fused")


def test_no_copy_of_the_parameters_is_made_or_trained():
    model, x, z = network(), draws(6, 5), draws(6, 5, seed=1)
    before = {name: (p.data_ptr(), p.requires_grad) for name, p in model.named_parameters()}
    for routing in ROUTINGS:
        ign_loss(model, x, z, routing=routing).loss.backward()
        assert before == {name: (p.data_ptr(), p.requires_grad) for name, p in model.named_parameters()}


def test_tied_parameters_and_frozen_ones_are_routed_too():
    torch.manual_seed(0)
    model = network(features=6, width=6)
    model[2].weight = model[0].weight
    model[0].bias.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    x, z = draws(9, 6), draws(9, 6, seed=1)
    found = [torch.autograd.grad(ign_loss(model, x, z, routing=r).loss, trained) for r in ROUTINGS]
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_clamp_bounds_tightness_and_leaves_small_ones():
    r = torch.tensor([0.5, 1.0, 2.0, 0.0], dtype=torch.float64)
    for t in (1e-8, 1e-3, 1.0, 1e6):
        errors = torch.full_like(r, t).requires_grad_()
        found = clamped(errors, 1.5 * r)
        (slope,) = torch.autograd.grad(found.sum(), errors)
        assert bool((found <= 1.5 * r).all())
        assert bool((found <= errors).all())
        assert bool(torch.isfinite(slope).all())
        if t == 1e-8:
            torch.testing.assert_close(slope[:3], torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-12)
        if t == 1e6:
            torch.testing.assert_close(found, 1.5 * r, rtol=1e-12, atol=0)


def test_the_clamp_is_that_of_each_sample_not_of_the_mean():
    model = nn.Linear(2, 2, bias=False).double()
    nn.init.zeros_(model.weight)
    with torch.no_grad():
        model.weight.copy_(
            torch.tensor([[0.0, 0.0], [0.0, 3.0]])
        )  # keeps nothing of the first entry, triples the second
    x = torch.tensor([[1.0, 0.0], [0.0, 10.0]], dtype=torch.float64)
    z = torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    r, t = torch.tensor([0.5, 10.0], dtype=torch.float64), torch.tensor(3.0, dtype=torch.float64)
    expected = (1.5 * r * torch.tanh(t / (1.5 * r))).mean()
    torch.testing.assert_close(ign_loss(model, x, z).tightness, expected)


def test_a_function_serves_as_metric():
    model, x, z = network(), draws(6, 5), draws(6, 5, seed=1)
    by_name = ign_loss(model, x, z, metric="l2").loss
    torch.testing.assert_close(ign_loss(model, x, z, metric=lambda y, x: ((y - x) ** 2).mean(1)).loss, by_name)
    with pytest.raises(ValueError, match=r"one distance a sample, shape \(6,\), got \(\)"):
        ign_loss(model, x, z, metric=nn.functional.mse_loss)


@pytest.mark.parametrize("shape", [(7, 3), (7, 2, 4, 4)])
def test_samples_of_any_shape(shape):
    model = nn.Linear(shape[-1], shape[-1]).double()
    assert ign_loss(model, draws(*shape), draws(*shape, seed=1)).loss.shape == ()


class TestSingleLossGAN:
    @staticmethod
    def networks(dropout=0.0):
        torch.manual_seed(0)
        D = nn.Sequential(nn.Linear(5, 16), nn.SiLU(), nn.Dropout(dropout), nn.Linear(16, 1)).double()
        G = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 5)).double()
        return D, G, draws(12, 5), draws(9, 3, seed=1)

    def test_its_gradient_is_that_of_two_losses_to_the_bit(self):
        D, G, x, z = self.networks()
        loss = single_loss_gan(D, G, x, z)
        assert torch.equal(gradient(loss, D), gradient(D(x).mean() - D(G(z).detach()).mean(), D))
        loss = single_loss_gan(D, G, x, z)
        assert torch.equal(gradient(loss, G), gradient(D(G(z)).mean(), G))

    def test_it_equals_the_published_form(self):
        D, G, x, z = self.networks()
        y = G(z)
        published = D(x).mean() - 2 * D(y.detach()).mean() + D(y).mean()
        for network in (D, G):
            found = gradient(single_loss_gan(D, G, x, z), network)
            expected = torch.autograd.grad(published, list(network.parameters()), retain_graph=True)
            torch.testing.assert_close(found, torch.cat([g.flatten() for g in expected]), rtol=1e-12, atol=1e-14)

    def test_softplus_is_the_minimax_game(self):
        D, G, x, z = self.networks()
        loss = lambda: single_loss_gan(D, G, x, z, f=nn.functional.softplus)  # noqa: E731
        real = nn.functional.binary_cross_entropy_with_logits(-D(x), torch.ones(12, 1, dtype=torch.float64))
        fake = nn.functional.binary_cross_entropy_with_logits(-D(G(z)), torch.zeros(9, 1, dtype=torch.float64))
        torch.testing.assert_close(gradient(loss(), D), gradient(real + fake, D))
        fake = nn.functional.binary_cross_entropy_with_logits(-D(G(z)), torch.zeros(9, 1, dtype=torch.float64))
        torch.testing.assert_close(gradient(loss(), G), gradient(-fake, G))

    def test_both_players_see_one_mask_of_dropout(self):
        D, G, x, z = self.networks(dropout=0.5)
        torch.manual_seed(3)
        found = gradient(single_loss_gan(D, G, x, z), G)
        torch.manual_seed(3)
        D(x)
        torch.testing.assert_close(found, gradient(D(G(z)).mean(), G))

    def test_bad_input_is_named(self):
        D, G, x, z = self.networks()
        with pytest.raises(TypeError, match="x must be a torch tensor of real floats, got list"):
            single_loss_gan(D, G, [[1.0]], z)
        with pytest.raises(ValueError, match="z must be finite"):
            single_loss_gan(D, G, x, z * float("nan"))
        with pytest.raises(ValueError, match=r"generator must return samples of the shape \('m', 5\)"):
            single_loss_gan(D, nn.Identity(), x, z)
        with pytest.raises(ValueError, match=r"one number a sample, \(12,\), got shape \(12, 5\)"):
            single_loss_gan(nn.Identity(), G, x, z)
        with pytest.raises(ValueError, match="the loss must be finite"):
            single_loss_gan(lambda y: D(y) / 0, G, x, z)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": lambda x: x}, TypeError, "model must be a torch.nn.Module, got function"),
        ({"model": nn.Linear(5, 4).double()}, ValueError, r"model must return samples of the shape \(6, 5\)"),
        ({"x": draws(7, 5)}, ValueError, r"z must have the shape \(7, 5\) of x, got \(6, 5\)"),
        ({"z": draws(6, 4)}, ValueError, r"z must have the shape \(6, 5\) of x, got \(6, 4\)"),
        ({"z": draws(6, 5).float()}, ValueError, "z must be torch.float64 on cpu, as x is, got torch.float32"),
        ({"x": draws(6, 5).numpy()}, TypeError, "x must be a torch tensor of real floats, got ndarray"),
        ({"x": draws(6, 5) / 0}, ValueError, "x must be finite"),
        ({"z": draws(0, 5), "x": draws(0, 5)}, ValueError, "none empty"),
        (
            {"weights": (20.0, -1.0, 2.5)},
            ValueError,
            r"weights\[1\], of idempotence, must be .* not negative, got -1.0",
        ),
        ({"weights": (20.0, 1.0, float("nan"))}, ValueError, r"weights\[2\], of tightness, must be finite"),
        ({"weights": (20.0, "1", 2.5)}, TypeError, r"weights\[1\], of idempotence, must be a number, got str"),
        ({"weights": (20.0, 1.0)}, ValueError, "weights must be three numbers"),
        ({"weights": 3.0}, ValueError, "weights must be three numbers"),
        ({"clamp": -1.5}, ValueError, "clamp must be finite and not negative"),
        ({"clamp": 0}, ValueError, "clamp must be positive, or None"),
        ({"metric": "l3"}, ValueError, "metric must be one of 'l1', 'l2'"),
        ({"routing": "deepcopy"}, ValueError, "routing must be one of 'functional'"),
    ],
)
def test_bad_input_of_the_loss_is_named(change, error, message):
    arguments = {"model": network(), "x": draws(6, 5), "z": draws(6, 5, seed=1)} | change
    with pytest.raises(error, match=message):
        ign_loss(arguments.pop("model"), arguments.pop("x"), arguments.pop("z"), **arguments)


def test_a_model_that_has_diverged_is_named():
    model = network()
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="the loss must be finite, got nan: model has diverged"):
        ign_loss(model, draws(6, 5), draws(6, 5, seed=1))
