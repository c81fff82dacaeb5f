"""Where generative networks meet autocast, half precision, checkpoints and layers with state: right or refused."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from torch import nn  # noqa: E402
from torch.nn.utils import parametrize  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from lina.torch import (  # noqa: E402
    CouplingFlow,
    IdempotentLinearizer,
    fourier_noise,
    fourier_statistics,
    idempotence_report,
    ign_loss,
)
from lina.torch.generative.ign_loss import ROUTINGS  # noqa: E402

pytestmark = pytest.mark.torch


def draws(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def stirred(model, by=0.1):
    """Return a model whose parameters are all random."""
    torch.manual_seed(0)
    with torch.no_grad():
        for each in model.parameters():
            each.add_(by * torch.randn_like(each))
    return model


class TestCouplingFlow:
    @pytest.mark.parametrize("features", [2, 5, 64])
    @pytest.mark.parametrize("depth", [2, 3, 6])
    def test_two_layers_have_moved_every_coordinate(self, features, depth):
        flow = stirred(CouplingFlow(features, depth=depth, width=8)).double()
        jacobian = torch.autograd.functional.jacobian(lambda x: flow(x[None])[0], draws(features).double())
        # a coordinate that no layer has moved comes out as it is: a row with a single entry, which is 1
        moved = [int((row != 0).sum()) > 1 or float(row.abs().max()) != 1 for row in jacobian]
        assert all(moved)

    def test_the_second_layer_of_a_pair_moves_what_the_first_has_kept(self):
        flow = CouplingFlow(7, depth=4)
        for first, second in zip(flow.layers[::2], flow.layers[1::2], strict=True):
            kept, moved = first.order[: first.kept], first.order[second.order][second.kept :]
            assert kept.tolist() == moved.tolist()

    def test_one_layer_alone_is_refused(self):
        with pytest.raises(ValueError, match="depth must be at least 2, got 1"):
            CouplingFlow(4, depth=1)

    def test_autocast_takes_no_digits_from_it(self):
        flow, x = stirred(CouplingFlow(8)), draws(9, 8)
        with torch.autocast("cpu", torch.bfloat16):
            u, back = flow(x), flow.inverse(flow(x.bfloat16()))
        assert torch.equal(u, flow(x))
        assert u.dtype == torch.float32
        assert float((back - x.bfloat16().float()).detach().abs().max()) < 1e-5

    def test_what_has_no_digits_or_is_no_tensor_is_named(self):
        flow, x = CouplingFlow(4), torch.zeros(1, 4)
        for call, message in [
            (lambda: flow([[1.0, 2.0, 3.0, 4.0]]), "x must be a torch tensor, got list"),
            (lambda: flow(x.double()), "x must have the dtype of the parameters, torch.float32, got torch.float64"),
            (lambda: flow.inverse(x.long()), "u must have the dtype of the parameters, torch.float32, got torch.int64"),
            (lambda: copy.deepcopy(flow).bfloat16()(x.bfloat16()), "parameters must be float32 .* got torch.bfloat16"),
            (lambda: CouplingFlow(4, max_log_scale="a"), "max_log_scale must be a number, got str"),
        ]:
            with pytest.raises(TypeError, match=message):
                call()


class Columns(nn.Module):
    """The identity, with determinants in a column."""

    def forward(self, x):
        return x

    inverse = forward

    def transform(self, x):
        return x, x.new_zeros(len(x), 1)


class TestLinearizer:
    def test_autocast_takes_no_digits_from_it(self):
        G, x = stirred(IdempotentLinearizer(CouplingFlow(8), 8, 3)), draws(9, 8)
        with torch.autocast("cpu", torch.bfloat16):
            y, likelihood = G(x), G.negative_log_likelihood(x)
            drawn, again = G.sample((5, 8)), G(G(x.bfloat16()))
        assert torch.equal(y, G(x))
        assert torch.equal(likelihood, G.negative_log_likelihood(x))
        assert drawn.dtype == again.dtype == torch.float32
        assert float((again - G(x.bfloat16().float())).detach().abs().max()) < 1e-4

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_is_refused_by_name(self, dtype):
        G = IdempotentLinearizer(CouplingFlow(8), 8, 3).to(dtype)
        x = draws(4, 8, dtype=dtype)
        for call in (lambda: G(x), lambda: G.negative_log_likelihood(x), lambda: G.sample((3, 8))):
            with pytest.raises(TypeError, match=f"parameters must be float32 or float64 .* got {dtype}"):
                call()

    def test_determinants_in_a_column_are_no_table_of_all_samples(self):
        with pytest.raises(ValueError, match=r"g.transform\(x\) must return .* shape \(5,\), got \(5, 1\)"):
            IdempotentLinearizer(Columns(), 4, 2).negative_log_likelihood(draws(5, 4))

    def test_a_thickness_that_is_no_number_is_named(self):
        with pytest.raises(TypeError, match="thickness must be a number, got str"):
            IdempotentLinearizer(CouplingFlow(4), 4, 2).negative_log_likelihood(draws(5, 4), thickness="a")


class Checkpointed(nn.Module):
    """A network whose middle is computed again in the backward pass."""

    def __init__(self, reentrant, on=True):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 6)
        self.reentrant, self.on = reentrant, on

    def forward(self, y):
        middle = lambda h: torch.tanh(self.second(torch.tanh(h)))  # noqa: E731
        h = self.first(y)
        return self.last(checkpoint(middle, h, use_reentrant=self.reentrant) if self.on else middle(h))


class Attention(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.inner = nn.MultiheadAttention(6, 2, dropout=dropout, batch_first=True)

    def forward(self, y):
        rows = y[:, None].expand(-1, 3, -1)
        return self.inner(rows, rows, rows)[0][:, 0]


class Recurrent(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.inner = nn.LSTM(6, 6, 2, dropout=dropout, batch_first=True)

    def forward(self, y):
        return self.inner(y[:, None])[0][:, 0]


class TestRouting:
    x, z = draws(8, 6), draws(8, 6, seed=1)

    @staticmethod
    def mlp():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 6))

    @pytest.mark.parametrize("reentrant", [True, False])
    @pytest.mark.parametrize("routing", ["fused", "copy"])
    def test_checkpoints_change_no_gradient(self, reentrant, routing):
        found = []
        for on in (False, True):
            torch.manual_seed(0)
            model = Checkpointed(reentrant, on)
            ign_loss(model, self.x, self.z, routing=routing).loss.backward()
            found.append(torch.cat([each.grad.flatten() for each in model.parameters()]))
        assert torch.allclose(found[1], found[0], rtol=1e-5, atol=1e-6)

    def test_reentrant_checkpoints_are_refused_where_parameters_are_exchanged(self):
        with pytest.raises(
            ValueError, match=r'routing="functional" needs a model without reentrant .* "fused" or "copy"'
        ):
            ign_loss(Checkpointed(True), self.x, self.z)
        with pytest.raises(RuntimeError, match=r"torch\.utils\.checkpoint"):
            ign_loss(Checkpointed(False), self.x, self.z).loss.backward()

    @pytest.mark.parametrize("routing", ROUTINGS)
    def test_cached_parametrizations_are_refused(self, routing):
        model = nn.utils.parametrizations.orthogonal(nn.Linear(6, 6))
        with parametrize.cached(), pytest.raises(ValueError, match=r"must not be called within parametrize.cached\(\)"):
            ign_loss(model, self.x, self.z, routing=routing)
        assert ign_loss(model, self.x, self.z, routing=routing).loss.isfinite()

    @pytest.mark.parametrize("make", [lambda p: Attention(p), lambda p: Recurrent(p)], ids=["attention", "recurrent"])
    def test_layers_with_dropout_of_their_own_draw_two_masks(self, make):
        with pytest.raises(ValueError, match=r"without active dropout: .* found inner"):
            ign_loss(make(0.5), self.x, self.z, routing="difference")
        ign_loss(make(0.0), self.x, self.z, routing="difference")
        ign_loss(make(0.5).eval(), self.x, self.z, routing="difference")

    def test_random_slopes_are_drawn_twice_too(self):
        model = nn.Sequential(nn.Linear(6, 6), nn.RReLU())
        with pytest.raises(ValueError, match=r"without active dropout: .* found 1"):
            ign_loss(model, self.x, self.z, routing="difference")
        ign_loss(model.eval(), self.x, self.z, routing="difference")

    def test_a_model_that_does_not_copy_is_named(self):
        with pytest.warns(FutureWarning):
            model = nn.utils.weight_norm(nn.Linear(6, 6))
        with pytest.raises(TypeError, match=r"nn\.utils\.weight_norm .* use those of nn\.utils\.parametrizations"):
            ign_loss(model, self.x, self.z, routing="copy")
        assert ign_loss(model, self.x, self.z).loss.isfinite()


HALF = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])


@HALF
def test_noise_for_data_in_half_precision_has_their_dtype_and_spectrum(dtype):
    x = torch.cumsum(draws(300, 1, 8), -1)
    found = fourier_noise(x.to(dtype), 20_000, generator=torch.Generator().manual_seed(0))
    assert found.dtype == dtype
    expected = fourier_statistics(x).amplitude
    assert float((fourier_statistics(found).amplitude / expected - 1).abs().max()) < 0.03
    assert fourier_statistics(x.to(dtype)).mean.dtype == torch.float32


@HALF
def test_a_report_of_half_precision_is_that_of_single_to_its_rounding(dtype):
    x, z = draws(30, 8), draws(30, 8, seed=1)
    generators = (torch.Generator().manual_seed(0) for _ in range(2))
    half, single = (
        idempotence_report(lambda y: y / 2, x.to(dtype).to(each), z.to(dtype).to(each), generator=generator)
        for each, generator in zip((dtype, torch.float32), generators, strict=True)
    )
    assert half.diversity == pytest.approx(single.diversity, rel=1e-2)
    assert half.idempotence == pytest.approx(single.idempotence, rel=1e-2)


def test_a_report_says_of_the_identity_that_it_leaves_the_noise_on_data():
    x, z = draws(40, 8), draws(40, 8, seed=1)
    for model in (nn.Identity(), lambda y: y.round(decimals=6)):
        assert "noise stays on data" in str(idempotence_report(model, x, z))
    flat = x * (torch.arange(8) < 4)
    report = idempotence_report(lambda y: y * (torch.arange(8) < 4), flat, z)
    assert "noise stays on data" not in str(report)
    assert "noise stays on data" not in str(idempotence_report(nn.Identity(), x, z, noise=0.0))
