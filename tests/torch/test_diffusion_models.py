"""Denoisers, their loss, the mean of their parameters, and what guidance is told of them."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from torch import nn  # noqa: E402

from lina.diffusion import align_snr, convert, cosine, edm, flow, multiscale_mse, upsample_guidance  # noqa: E402
from lina.rope import RotaryScaling  # noqa: E402
from lina.torch import EMA, DiffusionLoss, UNet, UViT, guidance_obstacles  # noqa: E402
from lina.torch.diffusion.attention_block import AxialRotation  # noqa: E402

pytestmark = pytest.mark.torch
PREDICTIONS = ("eps", "x0", "v", "flow", "score")
SMALL = {"width": 8, "levels": (1, 2)}


def stirred(model):
    """Return a model whose parameters are all random, zeros of the beginning too."""
    torch.manual_seed(0)
    with torch.no_grad():
        for each in model.parameters():
            each.add_(0.1 * torch.randn_like(each))
    return model.double()


def models():
    """Return one small model of each kind."""
    return {
        "unet": stirred(UNet(2, **SMALL, schedule=cosine())),
        "unet by t": stirred(UNet(2, **SMALL, blocks=2)),
        "learned": stirred(UViT(2, 8, width=16, heads=2, depth=2, schedule=cosine())),
        "rotary": stirred(UViT(2, 8, width=16, heads=2, depth=1, positions="rotary")),
        "levels": stirred(UViT(2, 16, levels=(8,), width=16, heads=2, depth=1, positions="rotary")),
    }


def images(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


every_model = pytest.mark.parametrize("name", list(models()))


@every_model
def test_a_prediction_has_the_shape_of_the_images_at_any_size(name):
    model = models()[name]
    for height, width in ((16, 16), (16, 24), (32, 8)):
        x = images(2, 2, height, width)
        assert model(x, 0.3).shape == x.shape


@every_model
def test_a_batch_is_its_samples_each_at_its_own_time(name):
    model, x, t = models()[name], images(3, 2, 16, 16), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    together = model(x, t)
    for i in range(3):
        alone = model(x[i : i + 1], float(t[i]))
        assert torch.allclose(together[i], alone[0], rtol=1e-9, atol=1e-9)


@every_model
def test_the_prediction_changes_with_time_and_every_parameter_takes_part(name):
    model, x = models()[name], images(2, 2, 16, 16)
    assert not torch.allclose(model(x, 0.2), model(x, 0.8), rtol=1e-3)
    model(x, 0.5).square().sum().backward()
    still = [key for key, each in model.named_parameters() if each.grad is None or not each.grad.abs().max() > 0]
    assert not still


@pytest.mark.parametrize("make", [lambda: UNet(1, **SMALL), lambda: UViT(1, 8, width=16, heads=2, depth=1)])
def test_an_untrained_model_predicts_zero(make):
    assert not make()(torch.randn(2, 1, 8, 8), 0.5).any()


def test_a_model_of_lambda_reads_a_shifted_schedule_without_a_change():
    schedule = cosine()
    shifted = align_snr(schedule, 16, 32)
    model, x = stirred(UNet(1, **SMALL, schedule=schedule)), images(1, 1, 8, 8)
    other, t = stirred(UNet(1, **SMALL, schedule=shifted)), 0.4
    other.load_state_dict(model.state_dict())
    same = shifted.time_of(schedule.logsnr(t))
    assert torch.allclose(model(x, t), other(x, same), rtol=1e-6, atol=1e-8)
    assert not torch.allclose(model(x, t), other(x, t), rtol=1e-4)


def test_parameters_of_a_model_of_lambda_are_not_loaded_into_one_of_the_time():
    of_lambda, of_time = UNet(1, width=8, schedule=cosine()), UNet(1, width=8)
    with pytest.raises(ValueError, match=r"must be that of a model without schedule, which sees t, got .* lambda"):
        of_time.load_state_dict(of_lambda.state_dict())
    with pytest.raises(ValueError, match="must be that of a model with a schedule, which sees lambda, got"):
        of_lambda.load_state_dict(of_time.state_dict())
    UNet(1, width=8, schedule=flow()).load_state_dict(of_lambda.state_dict())
    older = {name: value for name, value in of_time.state_dict().items() if "extra_state" not in name}
    of_time.load_state_dict(older)  # which does not say what it saw


def test_cross_attention_is_no_obstacle():
    class Attention(nn.Module):
        def __init__(self, is_cross_attention):
            super().__init__()
            self.is_cross_attention, self.to_q = is_cross_attention, nn.Linear(4, 4)

    assert guidance_obstacles(nn.ModuleDict({"attn2": Attention(True)})) == ()
    assert len(guidance_obstacles(nn.ModuleDict({"attn1": Attention(False), "attn2": Attention(True)}))) == 1


def test_a_loss_prints_what_it_is():
    text = repr(DiffusionLoss(cosine(), "x0", "min_snr", multiscale=(1, 2)))
    assert "<Schedule cosine, clipped" in text
    assert "prediction='x0', weight='min_snr', gamma=5, multiscale=(1, 2)" in text


def test_an_infinite_lambda_is_a_time_like_others():
    model = stirred(UNet(1, **SMALL, schedule=flow()))
    assert all(model(images(1, 1, 8, 8), t).isfinite().all() for t in (0.0, 1.0))


def test_a_convolutional_model_moves_with_its_image():
    model, x = stirred(UNet(1, width=8, levels=(1,), blocks=1)), torch.zeros(1, 1, 48, 48, dtype=torch.float64)
    x[..., 16:22, 16:22] = images(1, 1, 6, 6)
    moved = torch.roll(x, (5, 3), (-2, -1))
    assert torch.allclose(
        torch.roll(model(x, 0.5), (5, 3), (-2, -1))[..., 12:40, 12:40], model(moved, 0.5)[..., 12:40, 12:40]
    )


def test_dropout_is_at_the_coarsest_level_only():
    model = UNet(1, width=8, levels=(1, 2, 2), dropout=0.3)
    rates = [block.dropout.p for block in [*model.down, model.middle, *model.up]]
    assert rates == [0, 0, 0.3, 0.3, 0.3, 0, 0]
    hybrid = UViT(1, 16, levels=(8,), width=16, heads=2, depth=1, dropout=0.3)
    assert [block.dropout.p for block in [*hybrid.down, *hybrid.blocks, *hybrid.up]] == [0, 0.3, 0]


def test_rotary_rows_are_turned_by_complex_numbers_of_each_axis():
    scaling = RotaryScaling("linear", head_dim=4, original_length=4, factor=2.0, base=100.0)
    x, grid = images(2, 3, 15, 8), (3, 5)
    found = AxialRotation((scaling, scaling), grid)(x)
    for cell in range(15):
        for axis, position in enumerate(divmod(cell, 5)):
            rows = x[:, :, cell, 4 * axis : 4 * axis + 4]
            turned = torch.complex(rows[..., :2], rows[..., 2:]) * torch.polar(
                torch.ones(2, dtype=torch.float64), torch.tensor([position / 2, position / 20], dtype=torch.float64)
            )
            expected = torch.cat([turned.real, turned.imag], dim=-1)
            assert torch.allclose(found[:, :, cell, 4 * axis : 4 * axis + 4], expected, atol=1e-12)


def test_rotary_models_take_a_scaling_in_each_call():
    model, x = models()["rotary"], images(1, 2, 16, 16)
    none = RotaryScaling("none", head_dim=4, original_length=4, base=100.0)
    linear = RotaryScaling("linear", head_dim=4, original_length=4, base=100.0, factor=2.0)
    assert torch.equal(model(x, 0.5), model(x, 0.5, scaling=none))
    assert torch.equal(model(x, 0.5, scaling=(linear, linear)), model(x, 0.5, scaling=linear))
    first, second = model(x, 0.5, scaling=(linear, none)), model(x, 0.5, scaling=(none, linear))
    assert not torch.allclose(first, second, rtol=1e-3)


def test_learned_positions_are_interpolated_at_other_sizes():
    model = UViT(1, 8, width=8, heads=2, depth=1)
    with torch.no_grad():
        model.positions.fill_(3.0)
    seen = []
    model.blocks[0].register_forward_hook(lambda _module, args, _out: seen.append(args[0]))
    nn.init.zeros_(model.encoder.weight)
    nn.init.zeros_(model.encoder.bias)
    model(torch.zeros(1, 1, 16, 8), 0.5)
    assert seen[0].shape == (1, 32, 8)
    assert torch.allclose(seen[0], torch.tensor(3.0))


def by_definition(schedule, prediction, model, x0, noise, times):
    """Return the errors of each sample, one after the other."""
    errors = []
    for x, e, t in zip(x0, noise, times.tolist(), strict=True):
        alpha, sigma = schedule.alpha_sigma(t)
        target = {"eps": e, "x0": x, "v": alpha * e - sigma * x, "flow": e - x, "score": -e / sigma}[prediction]
        found = model((alpha * x + sigma * e)[None], torch.tensor([t]))[0]
        errors.append(((found - target) ** 2).mean())
    return torch.stack(errors)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", [cosine(), flow(), edm()], ids=["cosine", "flow", "edm"])
def test_the_plain_loss_is_its_definition(prediction, schedule):
    x0, noise, times = images(5, 1, 4, 4), images(5, 1, 4, 4, seed=1), torch.linspace(0.05, 0.95, 5)
    model = lambda x, t: 0.3 * x + t.to(x).reshape(-1, 1, 1, 1)  # noqa: E731
    loss = DiffusionLoss(schedule, prediction, reduction="none")
    expected = by_definition(schedule, prediction, model, x0, noise, times)
    found = loss(model, x0, t=times, noise=noise)
    assert torch.allclose(found, expected, rtol=1e-6)
    assert torch.allclose(DiffusionLoss(schedule, prediction)(model, x0, t=times, noise=noise), expected.mean())


@pytest.mark.parametrize("weight", ["eps", "min_snr", "sigmoid", lambda ratio: 1 / (1 + ratio**2)])
@pytest.mark.parametrize("schedule", [cosine(), flow(), edm()], ids=["cosine", "flow", "edm"])
def test_a_weighted_loss_is_the_same_whatever_the_denoiser_predicts(weight, schedule):
    x0, noise, times = images(6, 1, 4, 4), images(6, 1, 4, 4, seed=1), torch.linspace(0.04, 0.96, 6).double()

    def denoiser(prediction):
        def model(x, t):
            alpha, sigma = schedule.alpha_sigma(t)
            return convert(0.4 * x, x, alpha, sigma, "eps", prediction)

        return model

    values = [
        DiffusionLoss(schedule, each, weight, reduction="none")(denoiser(each), x0, t=times, noise=noise)
        for each in PREDICTIONS
    ]
    for value in values[1:]:
        assert torch.allclose(value, values[0], rtol=1e-9)


def test_min_snr_is_the_smaller_of_gamma_and_the_ratio_for_data():
    schedule, t = cosine(), np.linspace(0.02, 0.98, 9)
    found = DiffusionLoss(schedule, "x0", "min_snr", gamma=3.0).weights(t)
    assert np.allclose(found, np.minimum(np.exp(schedule.logsnr(t)), 3.0), rtol=1e-12)


@pytest.mark.parametrize("schedule", [cosine((-12.0, 9.0)), edm(np.exp(-4.5), np.exp(6.0))], ids=["cosine", "edm"])
def test_the_sigmoid_weight_integrates_over_lambda_the_same_for_all_schedules(schedule):
    edges = np.linspace(0, 1, 20001)
    t = (edges[:-1] + edges[1:]) / 2
    found = DiffusionLoss(schedule, "eps", "sigmoid", bias=-1.0).weights(t).mean()
    exact = np.logaddexp(0, 12.0 - 1.0) - np.logaddexp(0, -9.0 - 1.0)
    assert found == pytest.approx(exact, rel=1e-4)


def test_scales_are_those_of_the_multiscale_error():
    x0, noise = images(3, 2, 8, 8), images(3, 2, 8, 8, seed=1)
    loss = DiffusionLoss(cosine(), "eps", multiscale=(1, 2, 4), normalize=True)
    expected = multiscale_mse(0 * noise, noise, (1, 2, 4), normalize=True)
    assert torch.allclose(loss(lambda x, t: 0 * x, x0, t=0.5, noise=noise), expected)


def test_one_time_is_drawn_in_each_of_as_many_intervals_and_seeds_repeat_them():
    seen = []
    loss, x0 = DiffusionLoss(cosine()), torch.randn(16, 1, 2, 2)

    def model(x, t):
        seen.append((x, t))
        return x

    values = [loss(model, x0, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert values[0] == values[1]
    assert torch.equal(seen[0][0], seen[1][0])
    assert sorted((seen[0][1] * 16).long().tolist()) == list(range(16))
    assert seen[0][1].tolist() != sorted(seen[0][1].tolist())


def test_a_loss_passes_conditions_on_and_has_gradients():
    model = UNet(1, **SMALL)
    seen = []

    def conditioned(x, t, label, *, strength):
        seen.append((label, strength))
        return model(x, t)

    DiffusionLoss(cosine(), "v", "min_snr")(conditioned, torch.randn(2, 1, 8, 8), 7, strength=0.5).backward()
    assert seen == [(7, 0.5)]
    assert model.decoder.weight.grad.abs().max() > 0


def test_training_lowers_the_loss_below_that_of_the_best_constant_prediction():
    torch.manual_seed(0)
    pattern = torch.sign(torch.randn(1, 1, 8, 8))
    model, loss = UNet(1, width=8, levels=(1, 2), schedule=cosine()), DiffusionLoss(cosine(), "v")
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    values = []
    for _ in range(60):
        value = loss(model, torch.where(torch.rand(32, 1, 1, 1) < 0.5, pattern, -pattern))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert np.mean(values[-10:]) < 0.4  # zero predicts with the error 1


def test_the_mean_of_parameters_is_that_of_all_steps_first_and_exponential_later():
    model, values = nn.Linear(1, 1, bias=False), np.random.default_rng(0).normal(size=30)
    ema, mean = EMA(model, decay=0.9), 0.0
    for k, value in enumerate(values):
        nn.init.constant_(model.weight, value)
        ema.update(model)
        share = min(0.9, k / (1 + k))
        mean = share * mean + (1 - share) * value
        assert float(ema.model.weight.detach()) == pytest.approx(mean, rel=1e-5)
        if k < 9:
            assert mean == pytest.approx(values[: k + 1].mean())


def test_a_mean_is_saved_with_its_steps_takes_buffers_as_they_are_and_has_no_gradient():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    ema = EMA(model, 0.99, warmup=2.0)
    for _ in range(3):
        model(torch.randn(8, 2))
        ema.update(model)
    again = EMA(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), 0.99, warmup=2.0)
    again.load_state_dict(ema.state_dict())
    x = torch.randn(4, 2)
    assert torch.equal(again(x), ema(x))
    assert int(again.steps) == 3
    assert torch.equal(ema.model[1].running_mean, model[1].running_mean)
    assert not ema(x).requires_grad
    assert not ema.train().model.training


def test_convolutions_are_no_obstacle_and_attention_and_tables_are_named():
    assert guidance_obstacles(UNet(1, **SMALL)) == ()
    assert guidance_obstacles(nn.Sequential(nn.MultiheadAttention(8, 2), nn.Linear(8, 8)))[0].startswith("0: attention")
    found = guidance_obstacles(UViT(1, 8, width=8, heads=2, depth=2))
    assert [each.partition(":")[0] for each in found] == ["positions", "blocks.0", "blocks.1"]
    assert len(guidance_obstacles(UViT(1, 8, width=8, heads=2, depth=2, positions="rotary"))) == 2

    class WindowAttention(nn.Module):
        def __init__(self):
            super().__init__()
            self.projection = nn.Linear(4, 4)

    assert guidance_obstacles(WindowAttention()) == ()


def test_guidance_warns_of_a_transformer_and_not_of_convolutions_or_functions():
    with pytest.warns(UserWarning, match=r"positions: a table of positions, blocks.0: attention .* and 1 more"):
        upsample_guidance(UViT(1, 8, width=8, heads=2, depth=2), cosine(), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        upsample_guidance(UNet(1, **SMALL), cosine(), 2)
        upsample_guidance(lambda x, t: x, cosine(), 2)


def test_guided_images_have_the_means_of_the_small_ones_at_w_0():
    schedule, x, t = cosine(), images(2, 1, 16, 16), 0.5
    model = stirred(UNet(1, **SMALL, schedule=schedule))
    guided = upsample_guidance(model, schedule, 2, 0.0, prediction="v")
    from lina.diffusion import avg_pool, match_time, rho

    alpha, sigma = schedule.alpha_sigma(t)
    tau = match_time(schedule, t, 4)
    low = avg_pool(x, 2) / rho(schedule, t, 4)
    expected = convert(model(low, tau), low, *schedule.alpha_sigma(tau), "v", "x0")
    found = convert(guided(x, t), x, alpha, sigma, "v", "x0")
    assert torch.allclose(avg_pool(found, 2), expected, atol=1e-9)


UNET, VIT = (lambda: UNet(1, **SMALL)), (lambda: UViT(1, 8, width=8, heads=2, depth=1, positions="rotary"))
X = torch.zeros(2, 1, 8, 8)
LOSS = DiffusionLoss(cosine())


def zero(x, _t):
    return 0 * x


REFUSALS = {
    "unet channels": (lambda: UNet(0), ValueError, "channels must be at least 1, got 0"),
    "unet levels": (lambda: UNet(1, levels=3), TypeError, "levels must be a sequence of ints"),
    "unet level": (lambda: UNet(1, levels=(1, 0)), ValueError, "levels must be at least 1, got 0"),
    "unet schedule": (lambda: UNet(1, schedule="cosine"), TypeError, "schedule must be a Schedule .* got str"),
    "unet dropout": (lambda: UNet(1, dropout=1.0), ValueError, "dropout must be in"),
    "unet type": (lambda: UNET()([1], 0.5), TypeError, "x must be a torch tensor .* got list"),
    "unet dtype": (lambda: UNET()(X.double(), 0.5), TypeError, "x must have the dtype of the parameters"),
    "unet rank": (lambda: UNET()(X[0], 0.5), ValueError, r"x must have shape \(batch, 1, height, width\)"),
    "unet size": (lambda: UNET()(X[..., :7], 0.5), ValueError, "multiples of 2 and 2, got shape"),
    "unet t shape": (lambda: UNET()(X, torch.ones(3)), ValueError, r"t must be a number or have shape \(2,\)"),
    "unet t type": (lambda: UNET()(X, "now"), TypeError, "t must be a number .* got str"),
    "unet t range": (
        lambda: UNet(1, **SMALL, schedule=cosine())(X, 1.5),
        ValueError,
        r"t must be in \[0, 1\], got 1.5",
    ),
    "uvit size": (lambda: UViT(1, 9), ValueError, r"size must be a multiple of .* = 2, got 9"),
    "uvit sizes": (lambda: UViT(1, (8, 8, 8)), ValueError, "size must be a number or a height and a width"),
    "uvit width": (
        lambda: UViT(1, 8, width=12, heads=2),
        ValueError,
        "width must be a multiple of 4 heads = 8, got 12",
    ),
    "uvit positions": (lambda: UViT(1, 8, positions="fourier"), ValueError, "positions"),
    "uvit learned": (
        lambda: UViT(1, 8, width=8, heads=2)(X, 0.5, scaling=VIT().scaling),
        ValueError,
        "scaling must be None for learned positions",
    ),
    "uvit scaling": (lambda: VIT()(X, 0.5, scaling="linear"), TypeError, "scaling must be a RotaryScaling or a pair"),
    "uvit head_dim": (
        lambda: VIT()(X, 0.5, scaling=RotaryScaling("none", head_dim=8, original_length=4)),
        ValueError,
        "scaling must have head_dim = 2",
    ),
    "loss schedule": (lambda: DiffusionLoss("cosine"), TypeError, "schedule must be a Schedule"),
    "loss prediction": (lambda: DiffusionLoss(cosine(), "noise"), ValueError, "prediction must be"),
    "loss weight": (lambda: DiffusionLoss(cosine(), weight="snr"), ValueError, "weight must be"),
    "loss gamma": (lambda: DiffusionLoss(cosine(), weight="min_snr", gamma=0.0), ValueError, "gamma must be positive"),
    "loss model": (lambda: LOSS(None, X), TypeError, "model must be callable"),
    "loss data": (lambda: LOSS(zero, X.long()), TypeError, "x0 must be a torch tensor of real floats"),
    "loss rank": (lambda: LOSS(zero, X[0, 0]), ValueError, "x0 must have shape"),
    "loss nan": (lambda: LOSS(zero, X + float("nan")), ValueError, "x0 must be finite"),
    "loss noise": (lambda: LOSS(zero, X, noise=X[:1]), ValueError, r"noise must have the shape \(2, 1, 8, 8\)"),
    "loss t": (lambda: LOSS(zero, X, t=2.0), ValueError, r"t must be in \[0, 1\], got 2"),
    "loss output": (lambda: LOSS(lambda x, t: x[:1], X), ValueError, r"model must return the shape \(2, 1, 8, 8\)"),
    "loss infinite": (
        lambda: DiffusionLoss(flow(), "x0", "eps")(zero, X, t=0.0),
        ValueError,
        "weight must be finite and not negative, got inf at t = 0",
    ),
    "loss scale": (lambda: DiffusionLoss(cosine(), multiscale=(1, 3))(zero, X), ValueError, "3"),
    "loss score": (lambda: DiffusionLoss(flow(), "score")(zero, X, t=0.0), ValueError, "t must be above 0"),
    "ema model": (lambda: EMA("model"), TypeError, "model must be a torch module, got str"),
    "ema decay": (lambda: EMA(nn.Linear(1, 1), 1.0), ValueError, r"decay must be in \[0, 1\), got 1"),
    "ema warmup": (lambda: EMA(nn.Linear(1, 1), warmup=-1.0), ValueError, "warmup must not be negative"),
    "ema names": (
        lambda: EMA(nn.Linear(1, 1)).update(nn.Linear(1, 1, bias=False)),
        ValueError,
        "model must have the parameters .* bias",
    ),
    "ema shapes": (lambda: EMA(nn.Linear(1, 1)).update(nn.Linear(2, 1)), ValueError, "for weight of shape"),
    "obstacles": (lambda: guidance_obstacles(zero), TypeError, "model must be a torch module, got function"),
}


@pytest.mark.parametrize("case", list(REFUSALS))
def test_bad_input_is_refused_with_what_was_found(case):
    call, error, message = REFUSALS[case]
    with pytest.raises(error, match=message):
        call()
