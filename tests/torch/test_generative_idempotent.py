"""Idempotent networks: exact idempotence, the likelihood, the report of what collapses, noise with a spectrum."""

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from torch import nn  # noqa: E402

from lina.torch import (  # noqa: E402
    CouplingFlow,
    IdempotentLinearizer,
    fourier_noise,
    fourier_statistics,
    idempotence_report,
)

pytestmark = pytest.mark.torch


def draws(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


class TestFourierNoise:
    def test_mean_and_power_are_those_of_the_data(self):
        x = 2 + torch.cumsum(draws(400, 2, 12), -1) @ draws(12, 12, seed=1)
        z = fourier_noise(x, 100_000, generator=torch.Generator().manual_seed(2))
        spread = x.std(0)
        assert float(((z.mean(0) - x.mean(0)).abs() / spread.max()).max()) < 0.02
        found, expected = (fourier_statistics(each).amplitude for each in (z, x))
        assert float((found / expected - 1).abs().max()) < 0.02

    @pytest.mark.parametrize("size", [(5,), (6,), (5, 8), (8, 5), (3, 4, 5)])
    def test_white_data_have_white_noise_on_grids_of_any_size(self, size):
        generator = torch.Generator().manual_seed(1)
        statistics = fourier_statistics(draws(2, 1, *size))
        flat = statistics._replace(
            mean=torch.zeros_like(statistics.mean), amplitude=torch.ones_like(statistics.amplitude)
        )
        z = fourier_noise(flat, 20_000, generator=generator).flatten(1)
        assert float((torch.cov(z.T) - torch.eye(z.shape[1])).abs().max()) < 0.05

    def test_equal_data_have_no_noise(self):
        x = torch.ones(3, 2, 4, 4)
        assert torch.equal(fourier_noise(x, 5), torch.ones(5, 2, 4, 4))

    def test_draws_repeat_and_follow_the_dtype(self):
        x = draws(4, 1, 6, dtype=torch.float32)
        first, second = (fourier_noise(x, generator=torch.Generator().manual_seed(0)) for _ in range(2))
        assert torch.equal(first, second)
        assert first.dtype == torch.float32
        assert first.shape == x.shape

    def test_bad_input_is_named(self):
        with pytest.raises(ValueError, match=r"x must have shape \(batch, channels, ...\)"):
            fourier_noise(draws(4, 6), 2)
        with pytest.raises(ValueError, match="at least two samples"):
            fourier_noise(draws(1, 1, 6), 2)
        with pytest.raises(ValueError, match="n must be at least 1, got 0"):
            fourier_noise(draws(2, 1, 6), 0)
        with pytest.raises(TypeError, match="n must be given"):
            fourier_noise(fourier_statistics(draws(2, 1, 6)))


class TestReport:
    def test_a_constant_map_is_idempotent_and_the_report_says_that_it_has_collapsed(self):
        x = draws(50, 4)
        report = idempotence_report(lambda y: torch.zeros_like(y) + 0.1, x, draws(40, 4, seed=1))
        assert report.idempotence == report.drift == report.diversity == 0
        assert report.collapsed
        assert "COLLAPSED" in str(report)

    def test_a_projector_has_its_exact_figures(self):
        x = torch.cat([draws(200, 2), torch.zeros(200, 2, dtype=torch.float64)], 1)
        keep = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
        generator = torch.Generator().manual_seed(0)
        report = idempotence_report(lambda y: y * keep, x, draws(200, 4, seed=1), noise=1.0, generator=generator)
        assert report.idempotence == report.drift == report.reconstruction == 0
        assert 0.8 < report.diversity < 1.2
        assert not report.collapsed
        assert report.projection < 0.8 * report.noise  # half of the variance is projected away
        assert "COLLAPSED" not in str(report)

    def test_idempotence_and_drift_are_relative_norms(self):
        x = draws(20, 3)
        report = idempotence_report(lambda y: y / 2, x, x, applications=3)
        assert report.idempotence == pytest.approx(0.5)
        assert report.drift == pytest.approx(0.75)
        assert report.reconstruction == pytest.approx(0.5)

    def test_an_idempotent_map_that_forgets_data_is_named(self):
        x = draws(40, 3)
        report = idempotence_report(lambda y: y.sign() * 30, x, x)
        assert report.idempotence == 0
        assert "data are no fixed points" in str(report)

    def test_dropout_is_off_meanwhile_and_on_again_after(self):
        model = nn.Sequential(nn.Dropout(0.9), nn.Identity().eval())
        report = idempotence_report(model, draws(9, 3), draws(9, 3, seed=1))
        assert report.idempotence == 0
        assert (model.training, model[0].training, model[1].training) == (True, True, False)

    def test_bad_input_is_named(self):
        x = draws(9, 3)
        for arguments, message in [
            ((nn.Identity(), x, draws(9, 4)), "z must have samples of the shape"),
            ((nn.Identity(), x[:1], x), "x must have at least two samples"),
            ((nn.Identity(), torch.ones(4, 3), x), "x must have samples that differ"),
            ((lambda y: y[:, :2], x, x), "model must return samples of the shape"),
            ((lambda y: y * float("nan"), x, x), "model must return finite samples"),
        ]:
            with pytest.raises(ValueError, match=message):
                idempotence_report(*arguments)
        with pytest.raises(ValueError, match="applications must be at least 2"):
            idempotence_report(nn.Identity(), x, x, applications=1)
        with pytest.raises(ValueError, match="noise must be finite and not negative"):
            idempotence_report(nn.Identity(), x, x, noise=-1.0)


class TestLinearizer:
    @staticmethod
    def trained(features=8, rank=3, seed=0, depth=6, width=16):
        """Return one whose parameters have moved away from where they begin."""
        torch.manual_seed(seed)
        G = IdempotentLinearizer(CouplingFlow(features, depth=depth, width=width), features, rank).double()
        with torch.no_grad():
            for p in G.parameters():
                p.add_(0.1 * torch.randn_like(p))
        return G

    @pytest.mark.parametrize("features", [2, 7, 64])
    @pytest.mark.parametrize("seed", range(3))
    def test_ten_applications_are_one(self, features, seed):
        G = self.trained(features, max(1, features // 3), seed)
        with torch.no_grad():
            y = once = G(3 * draws(100, features))
            for _ in range(9):
                y = G(y)
        assert float((y - once).abs().max()) <= 1e-10 * float(once.abs().max())

    def test_fixed_points_form_a_surface_of_its_rank(self):
        G = self.trained(rank=3)
        singular = torch.linalg.svdvals(torch.autograd.functional.jacobian(lambda x: G(x[None])[0], draws(8)))
        assert int((singular > 1e-8 * singular[0]).sum()) == 3

    def test_full_rank_is_the_identity(self):
        G, x = self.trained(rank=8), draws(20, 8)
        torch.testing.assert_close(G(x), x, rtol=1e-10, atol=1e-10)

    def test_its_samples_are_fixed_points_of_any_shape(self):
        G = self.trained()
        y = G.sample((50, 8), generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(G(y), y, rtol=1e-10, atol=1e-10)

        class Cubes(nn.Module):
            def forward(self, x):
                return x + x**3

            def inverse(self, u):
                for_roots = torch.sqrt(u**2 / 4 + 1 / 27)
                root = lambda v: v.sign() * v.abs() ** (1 / 3)  # noqa: E731
                return root(u / 2 + for_roots) + root(u / 2 - for_roots)

        G = IdempotentLinearizer(Cubes(), 8, 3).double()
        y = G(draws(5, 2, 4))
        assert G.sample((6, 2, 4)).shape == (6, 2, 4)
        torch.testing.assert_close(G(y), y, rtol=1e-8, atol=1e-8)

    def test_the_flow_and_its_determinant_are_those_of_its_jacobian(self):
        flow, x = self.trained().g, draws(4, 8)
        torch.testing.assert_close(flow.inverse(flow(x)), x, rtol=0, atol=1e-11)
        u, log_determinant = flow.transform(x)
        assert torch.equal(u, flow(x))
        for i in range(4):
            jacobian = torch.autograd.functional.jacobian(lambda v: flow(v[None])[0], x[i])
            torch.testing.assert_close(log_determinant[i], torch.linalg.slogdet(jacobian).logabsdet)

    def test_the_likelihood_is_a_density(self):
        """Its integral over the plane is 1, for any thickness."""
        G = self.trained(features=2, rank=1, depth=3, width=8)
        with torch.no_grad():
            G.g.layers[0].network[-1].bias.fill_(0.4)  # a determinant that counts
        line = torch.linspace(-10, 10, 801, dtype=torch.float64)
        grid = torch.cartesian_prod(line, line)
        for thickness in (0.3, 1.0):
            with torch.no_grad():
                density = torch.exp(-2 * G.negative_log_likelihood(grid, thickness=thickness))
            assert float(density.sum()) * (20 / 800) ** 2 == pytest.approx(1, abs=1e-3)

    def test_gradients_reach_everything_that_is_trained(self):
        G = self.trained(features=4, rank=2, depth=2, width=3)
        x = draws(2, 4)
        G.negative_log_likelihood(x).sum().backward()
        assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in G.parameters())
        names, values = zip(*G.named_parameters(), strict=True)
        run = lambda *p: torch.func.functional_call(G, dict(zip(names, p, strict=True)), (x,))  # noqa: E731
        assert torch.autograd.gradcheck(run, tuple(v.detach().clone().requires_grad_() for v in values))

    def test_it_learns_data_on_a_curve_and_projects_onto_it(self):
        torch.manual_seed(0)
        angle = 6 * (torch.rand(256, 1) - 0.5)
        x = torch.cat([angle, torch.sin(2 * angle)], 1)
        G = IdempotentLinearizer(CouplingFlow(2, depth=4, width=24), 2, 1)
        optimizer = torch.optim.Adam(G.parameters(), lr=1e-2)
        for _ in range(250):
            optimizer.zero_grad()
            (G(x) - x).square().mean().backward()
            optimizer.step()
        report = idempotence_report(G, x, x + 0.2 * torch.randn_like(x), noise=0.1)
        assert report.idempotence < 1e-4
        assert report.reconstruction < 0.06  # of the best line in the plane it is 0.34
        assert not report.collapsed

    def test_bad_input_is_named(self):
        flow = CouplingFlow(4)
        for make, error, message in [
            (lambda: IdempotentLinearizer(lambda x: x, 4, 2), TypeError, "g must be a torch.nn.Module"),
            (lambda: IdempotentLinearizer(nn.Linear(4, 4), 4, 2), ValueError, r"g must have a method inverse\(u\)"),
            (lambda: IdempotentLinearizer(flow, 4, 5), ValueError, r"rank must be in 1..features = 1..4, got 5"),
            (lambda: CouplingFlow(1), ValueError, "features must be at least 2"),
            (lambda: CouplingFlow(4, max_log_scale=0.0), ValueError, "max_log_scale must be above 0"),
            (lambda: IdempotentLinearizer(flow, 4, 2)(torch.ones(3, 5)), ValueError, "4 entries a sample"),
            (lambda: IdempotentLinearizer(flow, 4, 2)(torch.ones(3, 4) / 0), ValueError, "x must be finite"),
            (lambda: IdempotentLinearizer(flow, 4, 2).sample((4,)), ValueError, "shape must be"),
            (
                lambda: IdempotentLinearizer(flow, 4, 2).sample(5),
                TypeError,
                r"shape must be a tuple .* \(5, 4\), got 5",
            ),
            (
                lambda: IdempotentLinearizer(flow, 4, 2).negative_log_likelihood(torch.ones(3, 4), thickness=0),
                ValueError,
                "thickness must be finite and positive",
            ),
        ]:
            with pytest.raises(error, match=message):
                make()
