"""Where networks of diffusion, their loss and their mean meet half precision and odd input: right or refused."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from torch import nn  # noqa: E402

from lina.diffusion import cosine  # noqa: E402
from lina.torch import EMA, DiffusionLoss, UNet, UViT, guidance_obstacles  # noqa: E402

pytestmark = pytest.mark.torch
HALF = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
MODELS = {
    "unet": lambda: UNet(1, width=8, levels=(1, 2)),
    "unet of lambda": lambda: UNet(1, width=8, levels=(1, 2), schedule=cosine()),
    "learned": lambda: UViT(1, 8, width=16, heads=2, depth=1),
    "rotary": lambda: UViT(1, 8, width=16, heads=2, depth=1, positions="rotary"),
}


def stirred(model, by=0.1):
    """Return a model whose parameters are all random, zeros of the beginning too."""
    torch.manual_seed(0)
    with torch.no_grad():
        for each in model.parameters():
            each.add_(by * torch.randn_like(each))
    return model


def images(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def relative(found, expected):
    return float(((found.double() - expected.double()).norm() / expected.double().norm()).detach())


@HALF
@pytest.mark.parametrize("name", list(MODELS))
def test_a_model_in_half_precision_is_off_by_the_rounding_of_its_parameters(name, dtype):
    model, x, t = stirred(MODELS[name]()), images(4, 1, 8, 8), torch.tensor([0.1, 0.3, 0.6, 0.9])
    cast = copy.deepcopy(model).to(dtype)
    assert relative(cast.time(t, x.to(dtype)), model.time(t, x)) < 4 * torch.finfo(dtype).eps
    found = cast(x.to(dtype), t)
    assert found.dtype == dtype
    assert relative(found, model(x, t)) < 16 * torch.finfo(dtype).eps


def test_a_cast_there_and_back_keeps_what_the_network_sees_of_time():
    model, x = UNet(1, width=16), images(1, 1, 8, 8)
    again = copy.deepcopy(model).bfloat16().float()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.time(0.5, x), model.time(0.5, x))


@pytest.mark.parametrize("name", ["unet", "learned"])
def test_a_model_of_t_compiles_to_one_graph(name):
    model, x, t = stirred(MODELS[name]()), images(2, 1, 8, 8), torch.tensor([0.3, 0.6])
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(x, t), model(x, t), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "most"), [("unet of lambda", 4), ("rotary", 7)])
def test_what_is_computed_on_the_host_breaks_a_graph_and_changes_nothing(name, most):
    model, x, t = stirred(MODELS[name]()), images(2, 1, 8, 8), torch.tensor([0.3, 0.6])
    graphs = []

    def keep(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    with torch.no_grad():
        assert torch.allclose(torch.compile(model, backend=keep)(x, t), model(x, t), rtol=1e-5, atol=1e-6)
    assert len(graphs) <= most


class Counting(nn.Module):
    """A layer with a buffer of a given length."""

    def __init__(self, length):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("seen", torch.zeros(length))


@HALF
def test_the_mean_of_a_model_in_half_precision_moves_as_in_single(dtype):
    half, single = nn.Linear(1, 1, bias=False).to(dtype), nn.Linear(1, 1, bias=False)
    means = [EMA(each, decay=0.999) for each in (half, single)]
    for k in range(3000):
        for model, ema in zip((half, single), means, strict=True):
            nn.init.constant_(model.weight, float(k >= 1000))
            ema.update(model)
    assert means[0].model.weight.item() == means[1].model.weight.item() > 0.6


def test_means_in_single_are_saved_and_put_into_a_model_in_half_precision():
    model, x = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).bfloat16(), images(3, 2)
    ema = EMA(model, 0.9)
    ema.update(model)
    again = EMA(model, 0.9)
    again.load_state_dict(ema.state_dict())
    assert torch.equal(again(x), ema(x))
    assert {each.dtype for each in ema.state_dict().values()} == {torch.float32, torch.int64}
    half = copy.deepcopy(model).eval()
    half.load_state_dict(ema.model.state_dict())
    assert relative(half(x.bfloat16()), ema(x)) < 0.02


def test_a_mean_takes_a_model_of_another_dtype():
    model = nn.Linear(2, 2)
    ema, cast = EMA(model, 0.5), copy.deepcopy(model).bfloat16()
    ema.update(cast)
    assert torch.equal(ema.model.weight, cast.weight.float())
    double = copy.deepcopy(model).double()
    ema = EMA(double, 0.5)
    ema.update(model)
    assert ema.model.weight.dtype == torch.float64


def test_tied_parameters_stay_tied_in_the_mean():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).bfloat16()
    model[1].weight = model[0].weight
    ema = EMA(model)
    assert ema.model[1].weight is ema.model[0].weight


@HALF
def test_finite_data_whose_sum_is_not_are_finite(dtype):
    x0 = torch.full((8, 3, 64, 64), 0.9, dtype=dtype)
    value = DiffusionLoss(cosine(), "eps")(lambda x, t: torch.zeros_like(x), x0, t=0.5)
    assert value.float().item() == pytest.approx(1, rel=0.05)
    x0[0, 0, 0, 0] = float("inf")
    with pytest.raises(ValueError, match="x0 must be finite"):
        DiffusionLoss(cosine(), "eps")(lambda x, t: torch.zeros_like(x), x0)


def test_a_function_for_the_weight_returns_one_factor_or_one_for_each():
    x0, noise, t = images(4, 1, 8, 8), images(4, 1, 8, 8, seed=1), torch.linspace(0.2, 0.8, 4)
    plain = DiffusionLoss(cosine(), "eps", reduction="none")(lambda x, t: 0 * x, x0, t=t, noise=noise)
    for weight in (lambda _: 3.0, lambda ratio: 3 * np.ones_like(ratio)):
        loss = DiffusionLoss(cosine(), "eps", weight, reduction="none")
        assert torch.allclose(loss(lambda x, t: 0 * x, x0, t=t, noise=noise), 3 * plain)


def test_a_schedule_is_evaluated_once_or_twice_in_a_loss():
    calls, schedule = [], cosine()
    kind = type(schedule)

    class Counted(kind):
        def _logsnr(self, t):
            calls.append(t.shape)
            return super()._logsnr(t)

    counted = Counted(schedule.base, schedule.low, schedule.high)
    DiffusionLoss(counted, "v", "min_snr")(lambda x, t: x, images(4, 1, 8, 8))
    assert len(calls) <= 2


def old_weight_norm():
    with pytest.warns(FutureWarning):
        return nn.utils.weight_norm(nn.Linear(2, 2))


class Holder(nn.Module):
    """A network with one part or table of a name."""

    def __init__(self, name, part):
        super().__init__()
        setattr(self, name, part)


TABLES = [
    "absolute_pos_embed", "abs_pos_emb", "learned_pos_emb", "spatial_pos_embed", "vit_pos_embed", "row_embed",
    "col_embed", "wpe", "pe", "pos_embed", "positional_embedding",
]  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_positions_are_known_by_their_usual_names(name):
    for part in (nn.Parameter(torch.zeros(1, 16, 8)), nn.Embedding(16, 8)):
        (found,) = guidance_obstacles(Holder(name, part))
        assert "a table of positions" in found


@pytest.mark.parametrize("name", ["embed", "patch_embed", "composition", "open", "deposit_table", "token_emb"])
def test_tables_of_other_things_are_none_of_positions(name):
    assert guidance_obstacles(Holder(name, nn.Embedding(16, 8))) == ()


@pytest.mark.parametrize(
    ("kind", "count"),
    [("NonLocalBlock", 1), ("Non_Local", 1), ("MHSA", 1), ("Attention", 1), ("LocalAttention", 0), ("LocalBlock", 0)],
)
@pytest.mark.parametrize("raw", [True, False])
def test_attention_is_known_by_its_usual_names_and_may_hold_raw_parameters(kind, count, raw):
    part = type(kind, (nn.Module,), {})()
    part.projection = nn.Parameter(torch.zeros(4, 4)) if raw else nn.Conv2d(4, 4, 1)
    assert len(guidance_obstacles(Holder("part", part))) == count


def lost(**options):
    """Return the loss of a network that predicts zero."""
    return DiffusionLoss(cosine(), "eps", **options)(lambda x, t: 0 * x, images(4, 1, 8, 8))


REFUSALS = {
    "weight column": (
        lambda: lost(weight=lambda ratio: np.ones((len(ratio), 1))),
        ValueError,
        r"weight must return one factor for each lambda \(4,\), got shape \(4, 1\)",
    ),
    "scale": (lambda: DiffusionLoss(cosine(), multiscale=2), TypeError, "multiscale must be a sequence .* got 2"),
    "no scale": (lambda: DiffusionLoss(cosine(), multiscale=0), TypeError, "multiscale must be a sequence .* got 0"),
    "empty": (lambda: DiffusionLoss(cosine(), multiscale=()), ValueError, "multiscale must have at least one scale"),
    "ema cast": (lambda: EMA(nn.Linear(1, 1)).half().update(nn.Linear(1, 1)), TypeError, "weight was cast to torch.fl"),
    "ema buffer": (
        lambda: EMA(Counting(3)).update(Counting(1)),
        ValueError,
        r"buffers .* \(1,\) for seen of shape \(3",
    ),
    "ema copy": (lambda: EMA(old_weight_norm()), TypeError, "nn.utils.weight_norm .* use those of nn.utils.parametri"),
}


@pytest.mark.parametrize("case", list(REFUSALS))
def test_bad_input_is_refused_with_what_was_found(case):
    call, error, message = REFUSALS[case]
    with pytest.raises(error, match=message):
        call()
