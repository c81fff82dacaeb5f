"""Networks of diffusers and k-diffusion run in lina's samplers, and guided ones in the loops of those packages."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from torch import nn  # noqa: E402

from lina.diffusion import avg_pool, convert, match_time, rho, sample, upsample_guidance  # noqa: E402
from lina.torch import DiffusersDenoiser, KDiffusionDenoiser, UNet  # noqa: E402

pytestmark = pytest.mark.torch
TABLE = torch.linspace(0.9999**0.5, 0.05, 100, dtype=torch.float64) ** 2


class Recorder(nn.Module):
    """A network that predicts zero and keeps what it was called with."""

    def __init__(self):
        super().__init__()
        self.calls = []
        self.config = SimpleNamespace(in_channels=1, sample_size=8)

    def forward(self, x, timestep, *args, **options):
        self.calls.append((x.shape, timestep, args, options))
        return SimpleNamespace(sample=0.1 * x)


def scheduler_of(table=TABLE, **config):
    return SimpleNamespace(alphas_cumprod=table, config=SimpleNamespace(**{"prediction_type": "epsilon", **config}))


@pytest.fixture(autouse=True)
def _no_gradients():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def test_times_become_timesteps_that_need_not_be_whole_and_back():
    unet = Recorder()
    model = DiffusersDenoiser(unet, scheduler_of())
    model(torch.zeros(2, 1, 8, 8), 0.5)
    model.as_unet()(torch.zeros(2, 1, 8, 8), torch.tensor(33))
    model.as_unet()(torch.zeros(2, 1, 8, 8), torch.tensor([0, 99]))
    assert unet.calls[0][1] == 49.5
    assert unet.calls[1][1] == 33
    assert unet.calls[2][1].tolist() == [0, 99]


@pytest.mark.parametrize(("name", "prediction"), [("epsilon", "eps"), ("sample", "x0"), ("v_prediction", "v")])
def test_the_kind_of_prediction_is_that_of_the_scheduler(name, prediction):
    assert DiffusersDenoiser(Recorder(), scheduler_of(prediction_type=name)).prediction == prediction


def test_conditions_reach_the_network_at_both_resolutions():
    unet = Recorder()
    model = DiffusersDenoiser(unet, scheduler_of())
    guided = model.as_unet(upsample_guidance(model, model.schedule, 2))
    found = guided(torch.ones(1, 1, 8, 8), 50, "text", mask=3, return_dict=False)
    assert isinstance(found, tuple)
    assert [call[0][-1] for call in unet.calls] == [8, 4]
    assert all(call[2:] == (("text",), {"mask": 3}) for call in unet.calls)
    assert unet.calls[1][1] < unet.calls[0][1]


def test_what_stands_for_a_network_has_its_attributes():
    model = DiffusersDenoiser(Recorder(), scheduler_of())
    assert model.as_unet().config.sample_size == 8
    with pytest.raises(AttributeError):
        _ = model.as_unet().nothing_of_the_kind


def test_a_table_without_signal_at_its_end_has_a_finite_one():
    ended = torch.cat([TABLE[:-1], torch.zeros(1, dtype=torch.float64)])
    schedule = DiffusersDenoiser(Recorder(), scheduler_of(ended)).schedule
    assert schedule.alpha_sigma(1.0)[0] == pytest.approx(2.0**-12)


def test_a_denoiser_of_sigmas_has_one_for_each_sample_and_the_times_of_its_schedule():
    seen = []

    class Denoiser(nn.Module):
        sigma_min, sigma_max = 0.01, 50.0

        def forward(self, x, sigma, *, label):
            seen.append((sigma, label))
            return 0 * x

    model = KDiffusionDenoiser(Denoiser())
    x = torch.zeros(3, 1, 8, 8)
    model(x, 1.0, label=1)
    back = model.as_denoiser()
    sigmas = torch.tensor([0.01, 1.7, 50.0])
    back(x, sigmas, label=2)
    assert torch.allclose(seen[0][0], torch.full((3,), 50.0))
    assert torch.allclose(seen[1][0], sigmas, rtol=1e-6)
    assert (seen[0][1], seen[1][1], back.sigma_max) == (1, 2, 50.0)


class Plain(nn.Module):
    def forward(self, x, sigma):
        return x


class Silent(nn.Module):
    def forward(self, x, t):
        return None


REFUSALS = {
    "unet": (lambda: DiffusersDenoiser("unet", scheduler_of()), TypeError, "unet must be a torch module, got str"),
    "scheduler": (lambda: DiffusersDenoiser(Plain(), "ddim"), ValueError, "scheduler must have the table .* got str"),
    "prediction": (
        lambda: DiffusersDenoiser(Plain(), scheduler_of(prediction_type="noise")),
        ValueError,
        "prediction_type of epsilon, sample, .* got 'noise'",
    ),
    "output": (lambda: DiffusersDenoiser(Silent(), scheduler_of())(torch.ones(1), 0.5), TypeError, "got NoneType"),
    "model": (lambda: DiffusersDenoiser(Plain(), scheduler_of()).as_unet(3), TypeError, "model must be callable"),
    "denoiser": (lambda: KDiffusionDenoiser(lambda x, s: x), TypeError, "denoiser must be a torch module"),
    "missing": (lambda: KDiffusionDenoiser(Plain()), ValueError, "sigma_min must be given for Plain"),
    "order": (lambda: KDiffusionDenoiser(Plain(), 2.0, 1.0), ValueError, "sigma_max must be above sigma_min"),
    "sigma": (
        lambda: KDiffusionDenoiser(Plain(), 0.1, 1.0).as_denoiser()(torch.ones(1, 1, 2, 2), 3.0),
        ValueError,
        r"sigma must be in \[0.1, 1\], .* got 3",
    ),
}


@pytest.mark.parametrize("case", list(REFUSALS))
def test_bad_input_is_refused_with_what_was_found(case):
    call, error, message = REFUSALS[case]
    with pytest.raises(error, match=message):
        call()


@pytest.fixture(scope="module")
def diffusers():
    return pytest.importorskip("diffusers", reason="NOT TESTED: its networks, because there is no diffusers")


@pytest.fixture(scope="module")
def k_diffusion():
    return pytest.importorskip("k_diffusion", reason="NOT TESTED: its denoisers, because there is no k_diffusion")


def convolutional(diffusers):
    torch.manual_seed(1)
    return diffusers.UNet2DModel(
        sample_size=16,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        add_attention=False,
    ).eval()


def loop(scheduler, unet, x, steps=8):
    """Return what a loop of diffusers makes of noise."""
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps:
        x = scheduler.step(unet(x, timestep).sample, timestep, x).prev_sample
    return x


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("kind", ["DDIMScheduler", "DPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler"])
def test_a_loop_of_diffusers_has_the_same_samples_with_the_adapter(diffusers, kind):
    unet, x = convolutional(diffusers), torch.randn(2, 1, 16, 16)
    own = getattr(diffusers, kind)()
    model = DiffusersDenoiser(unet, own)
    found = loop(getattr(diffusers, kind)(), model.as_unet(), x)
    assert torch.allclose(found, loop(own, unet, x), rtol=1e-5, atol=1e-5)
    plain = upsample_guidance(model, model.schedule, 2, -1.0, prediction=model.prediction)
    assert torch.allclose(loop(getattr(diffusers, kind)(), model.as_unet(plain), x), found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_guided_network_of_diffusers_has_the_means_of_the_small_image(diffusers, kind):
    unet, scheduler = convolutional(diffusers), diffusers.DDIMScheduler(prediction_type=kind)
    model = DiffusersDenoiser(unet, scheduler)
    name, t, x = model.prediction, 600 / 999, torch.randn(2, 1, 32, 32)
    guided = model.as_unet(upsample_guidance(model, model.schedule, 2, 0.0, prediction=name))(x, 600).sample
    tau, ratio = match_time(model.schedule, t, 4), rho(model.schedule, t, 4)
    low = avg_pool(x, 2) / ratio
    timestep = torch.tensor(tau * 999)  # a number would be rounded down
    small = convert(unet(low, timestep).sample, low, *model.schedule.alpha_sigma(tau), name, "x0")
    data = convert(guided, x, *model.schedule.alpha_sigma(t), name, "x0")
    assert torch.allclose(avg_pool(data, 2), small, rtol=1e-4, atol=1e-3)


def test_lina_samples_a_network_of_diffusers_as_its_own_loop_does(diffusers):
    unet, x = convolutional(diffusers), torch.randn(2, 1, 16, 16)
    scheduler = diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=True)
    model = DiffusersDenoiser(unet, scheduler)
    expected = loop(scheduler, unet, x, 10)
    times = (scheduler.timesteps.double() / 999).tolist()
    # its last step ends at alpha = 1 from the last timestep, 0 here
    found = sample(model, x, model.schedule, times, prediction=model.prediction, to_data=True)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_a_pipeline_of_diffusers_runs_a_guided_network(diffusers):
    unet, scheduler = convolutional(diffusers), diffusers.DDIMScheduler()
    model = DiffusersDenoiser(unet, scheduler)
    pipeline = diffusers.DDIMPipeline(unet, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.unet = model.as_unet(upsample_guidance(model, model.schedule, 2, prediction=model.prediction))
    assert pipeline(batch_size=1, num_inference_steps=3, output_type="np").images.shape == (1, 16, 16, 1)


def test_guidance_warns_of_the_attention_in_a_network_of_diffusers(diffusers):
    attending = diffusers.UNet2DModel(
        sample_size=16, block_out_channels=(8, 8), norm_num_groups=4, attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    model = DiffusersDenoiser(attending, diffusers.DDIMScheduler())
    with pytest.warns(UserWarning, match="attention over the whole image"):
        upsample_guidance(model, model.schedule, 2)


@pytest.mark.parametrize("kind", ["VDenoiser", "Denoiser"])
@pytest.mark.parametrize("sampler", ["sample_heun", "sample_dpmpp_2m"])
def test_a_sampler_of_k_diffusion_has_the_same_samples_with_the_adapter(k_diffusion, kind, sampler):
    inner = UNet(1, width=8, levels=(1, 2))
    nn.init.normal_(inner.decoder.weight, std=0.1)
    where = k_diffusion.external if kind == "VDenoiser" else k_diffusion.layers
    denoiser = getattr(where, kind)(inner).eval()
    model = KDiffusionDenoiser(denoiser, 0.02, 20.0)
    sigmas, x = k_diffusion.sampling.get_sigmas_karras(6, 0.05, 20.0), 20 * torch.randn(2, 1, 8, 8)
    run = getattr(k_diffusion.sampling, sampler)
    expected = run(denoiser, x, sigmas, disable=True)
    assert torch.allclose(run(model.as_denoiser(), x, sigmas, disable=True), expected, rtol=1e-3, atol=1e-4)


def test_a_guided_denoiser_of_k_diffusion_has_the_means_of_half_the_sigma(k_diffusion):
    inner = UNet(1, width=8, levels=(1, 2))
    nn.init.normal_(inner.decoder.weight, std=0.1)
    denoiser, sigma, x = k_diffusion.layers.Denoiser(inner).eval(), 1.5, 2 * torch.randn(2, 1, 16, 16)
    model = KDiffusionDenoiser(denoiser, 0.02, 20.0)
    guided = model.as_denoiser(upsample_guidance(model, model.schedule, 2, 0.0, prediction="x0"))
    expected = denoiser(avg_pool(x, 2), torch.full((2,), sigma / 2))
    assert torch.allclose(avg_pool(guided(x, torch.full((2,), sigma)), 2), expected, rtol=1e-4, atol=1e-4)
    sigmas = k_diffusion.sampling.get_sigmas_karras(4, 0.05, 20.0)
    assert k_diffusion.sampling.sample_heun(guided, 20 * x, sigmas, disable=True).isfinite().all()
