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
    assert unet.calls[0][1].tolist() == [49.5, 49.5]
    assert unet.calls[1][1].tolist() == [33, 33]
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


class FrozenConfig(dict):
    """As configurations of diffusers are: a mapping whose entries are attributes."""

    def __init__(self, entries):
        super().__init__(entries)
        self.__dict__.update(entries)


@pytest.mark.parametrize("kind", [lambda entries: SimpleNamespace(**entries), FrozenConfig])
@pytest.mark.parametrize(("size", "scale", "wanted"), [(8, 2, 16), ((8, 12), (2, 3), (16, 36)), (8, (2, 3), (16, 24))])
def test_a_pipeline_is_told_the_enlarged_size_and_the_network_keeps_its_own(kind, size, scale, wanted):
    unet = Recorder()
    unet.config = kind({"sample_size": size, "in_channels": 1})
    model = DiffusersDenoiser(unet, scheduler_of())
    back = model.as_unet(upsample_guidance(model, model.schedule, scale), scale=scale)
    assert back.config.sample_size == wanted
    assert back.config.in_channels == 1
    back.register_to_config(sample_size=99)
    assert back.config.sample_size == 99
    assert unet.config.sample_size == size
    assert model.as_unet().config.sample_size == size


def test_a_network_without_a_size_has_none_to_enlarge():
    unet = Recorder()
    unet.config = SimpleNamespace(in_channels=1)
    assert DiffusersDenoiser(unet, scheduler_of()).as_unet(scale=2).config.in_channels == 1
    del unet.config
    with pytest.raises(AttributeError):
        _ = DiffusersDenoiser(unet, scheduler_of()).as_unet().config


def test_timesteps_in_the_place_of_times_are_refused():
    model = DiffusersDenoiser(Recorder(), scheduler_of())
    for t in (50, -0.5, torch.tensor(99.0), torch.tensor([0.2, 7.0])):
        with pytest.raises(ValueError, match=r"t must be in \[0, 1\], got .*: timesteps are for as_unet\(\)"):
            model(torch.zeros(2, 1, 8, 8), t)


def test_samplers_and_guidance_know_what_a_network_predicts():
    model = DiffusersDenoiser(Recorder(), scheduler_of(prediction_type="v_prediction"))
    x = torch.randn(1, 1, 8, 8)
    guided = upsample_guidance(model, model.schedule, 2)
    assert guided.prediction == "v"
    expected = sample(lambda x, t: guided(x, t), x, model.schedule, 3, prediction="v")
    assert torch.equal(sample(guided, x, model.schedule, 3), expected)
    with pytest.raises(ValueError, match='prediction must be that of the model, whose attribute says "v", got "eps"'):
        sample(model, x, model.schedule, 3, prediction="eps")


def test_a_table_without_signal_at_its_end_has_a_finite_one():
    ended = torch.cat([TABLE[:-1], torch.zeros(1, dtype=torch.float64)])
    schedule = DiffusersDenoiser(Recorder(), scheduler_of(ended)).schedule
    assert schedule.alpha_sigma(1.0)[0] == pytest.approx(2.0**-12)
    ended[-2] = 2.0**-30
    schedule = DiffusersDenoiser(Recorder(), scheduler_of(ended)).schedule
    assert schedule.alpha_sigma(1.0)[0] ** 2 == pytest.approx(2.0**-31)


@pytest.mark.parametrize("change", [{"use_flow_sigmas": True}, {"prediction_type": "flow_prediction"}], ids=str)
def test_straight_paths_go_before_the_table_that_a_scheduler_keeps_beside_them(change):
    unet = Recorder()
    model = DiffusersDenoiser(unet, scheduler_of(num_train_timesteps=100, **change))
    assert model.schedule.kind == "flow"
    assert model.prediction == ("flow" if "prediction_type" in change else "eps")
    model(torch.zeros(1, 1, 8, 8), 0.5)
    model.as_unet()(torch.zeros(1, 1, 8, 8), torch.tensor([100.0]))
    assert [call[1].item() for call in unet.calls] == [50, 100]


def test_a_timestep_that_bfloat16_rounds_up_is_the_last_one():
    unet = Recorder()
    back = DiffusersDenoiser(unet, scheduler_of(torch.linspace(0.99, 0.01, 1000, dtype=torch.float64))).as_unet()
    back(torch.zeros(1, 1, 8, 8), torch.tensor(999.0, dtype=torch.bfloat16))
    assert unet.calls[0][1].item() == 999


def test_transformers_are_called_by_the_names_of_their_parameters():
    seen = []

    class Transformer(nn.Module):
        def forward(self, hidden_states, encoder_hidden_states=None, timestep=None, return_dict=True):
            seen.append((encoder_hidden_states, timestep.tolist()))
            return (hidden_states,)

    back = DiffusersDenoiser(Transformer(), scheduler_of()).as_unet()
    x = torch.ones(2, 1, 8, 8)
    assert torch.equal(back(hidden_states=x, timestep=99, encoder_hidden_states=5, return_dict=False)[0], x)
    assert seen == [(5, [99.0, 99.0])]


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


def test_a_sigma_beyond_the_range_is_the_nearest_end():
    seen = []

    class Denoiser(nn.Module):
        def forward(self, x, sigma):
            seen.append(float(sigma))
            return 0 * x

    back = KDiffusionDenoiser(Denoiser(), 0.0292, 14.61).as_denoiser()
    for sigma in (torch.tensor(14.61, dtype=torch.bfloat16), torch.tensor([20.0]), torch.tensor([0.0])):
        back(torch.zeros(1, 1, 2, 2), sigma)
    assert seen == pytest.approx([14.61, 14.61, 0.0292], rel=0.01)


class Plain(nn.Module):
    def forward(self, x, sigma):
        return x


class Silent(nn.Module):
    def forward(self, x, t):
        return None


class Learned(Plain):
    config = SimpleNamespace(time_embedding_type="learned")


REFUSALS = {
    "unet": (lambda: DiffusersDenoiser("unet", scheduler_of()), TypeError, "unet must be a torch module, got str"),
    "scheduler": (lambda: DiffusersDenoiser(Plain(), "ddim"), ValueError, "scheduler must have the table .* got str"),
    "prediction": (
        lambda: DiffusersDenoiser(Plain(), scheduler_of(prediction_type="noise")),
        ValueError,
        "prediction_type of epsilon, sample, .* got 'noise'",
    ),
    "continuous": (
        lambda: DiffusersDenoiser(Plain(), scheduler_of(timestep_type="continuous")),
        ValueError,
        r"timestep_type='continuous' makes them log\(sigma\) / 4",
    ),
    "learned": (lambda: DiffusersDenoiser(Learned(), scheduler_of()), ValueError, "time_embedding_type='learned'"),
    "timestep": (
        lambda: DiffusersDenoiser(Recorder(), scheduler_of()).as_unet()(torch.ones(1, 1, 2, 2), torch.tensor(500)),
        ValueError,
        r"timestep must be in \[0, 99\], .* got 500 to 500",
    ),
    "before": (
        lambda: DiffusersDenoiser(Recorder(), scheduler_of()).as_unet()(torch.ones(1, 1, 2, 2), -3),
        ValueError,
        "got -3 to -3",
    ),
    "sample": (
        lambda: DiffusersDenoiser(Recorder(), scheduler_of()).as_unet()(timestep=3),
        TypeError,
        "sample and timestep must be given",
    ),
    "times": (
        lambda: DiffusersDenoiser(Recorder(), scheduler_of())(torch.ones(2, 1, 2, 2), torch.ones(3)),
        ValueError,
        r"t must be a number or have shape \(2,\)",
    ),
    "output": (lambda: DiffusersDenoiser(Silent(), scheduler_of())(torch.ones(1), 0.5), TypeError, "got NoneType"),
    "model": (lambda: DiffusersDenoiser(Plain(), scheduler_of()).as_unet(3), TypeError, "model must be callable"),
    "denoiser": (lambda: KDiffusionDenoiser(lambda x, s: x), TypeError, "denoiser must be a torch module"),
    "number": (lambda: KDiffusionDenoiser(Plain(), "a", 1.0), TypeError, "sigma_min must be a number, got str"),
    "missing": (lambda: KDiffusionDenoiser(Plain()), ValueError, "sigma_min must be given for Plain"),
    "order": (lambda: KDiffusionDenoiser(Plain(), 2.0, 1.0), ValueError, "sigma_max must be above sigma_min"),
    "sigma": (
        lambda: KDiffusionDenoiser(Plain(), 0.1, 1.0).as_denoiser()(torch.ones(1, 1, 2, 2), -3.0),
        ValueError,
        r"sigma must not be negative or NaN, got -3",
    ),
    "sigma nan": (
        lambda: KDiffusionDenoiser(Plain(), 0.1, 1.0).as_denoiser()(torch.ones(1, 1, 2, 2), float("nan")),
        ValueError,
        r"sigma must not be negative or NaN, got nan",
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


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("kind", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
def test_flow_sigmas_of_a_scheduler_are_those_of_the_schedule_at_its_timesteps(diffusers, kind):
    options = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
    scheduler, unet, x = getattr(diffusers, kind)(**options), convolutional(diffusers), torch.randn(2, 1, 16, 16)
    model = DiffusersDenoiser(unet, scheduler)
    found = loop(getattr(diffusers, kind)(**options), model.as_unet(), x)
    assert torch.allclose(found, loop(scheduler, unet, x), rtol=1e-5, atol=1e-5)
    sigmas = model.schedule.alpha_sigma(scheduler.timesteps.double() / model.last)[1]
    assert torch.allclose(sigmas, scheduler.sigmas[:-1].double(), atol=1e-3)  # timesteps are whole


@pytest.mark.parametrize("kind", ["DDIMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
@pytest.mark.parametrize("betas", ["linear", "scaled_linear"])
def test_tables_without_signal_at_their_end_are_those_of_diffusers(diffusers, betas, kind):
    scheduler = getattr(diffusers, kind)(beta_schedule=betas, rescale_betas_zero_snr=True)
    schedule = DiffusersDenoiser(convolutional(diffusers), scheduler).schedule
    squares = schedule.alpha_sigma(torch.linspace(0, 1, 1000, dtype=torch.float64))[0] ** 2
    assert torch.allclose(squares, scheduler.alphas_cumprod.double(), rtol=1e-9, atol=2.0**-24)


def test_transformers_of_diffusers_are_what_they_are_alone(diffusers):
    torch.manual_seed(0)
    shared = {"num_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2, "sample_size": 8, "patch_size": 2}
    dit = diffusers.DiTTransformer2DModel(in_channels=2, norm_num_groups=1, **shared).eval()
    x, label = torch.randn(2, 2, 8, 8), torch.tensor([1, 2])
    found = DiffusersDenoiser(dit, diffusers.DDIMScheduler())(x, 0.5, class_labels=label)
    expected = dit(x, timestep=torch.full((2,), 499.5), class_labels=label).sample
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
    widths = {"joint_attention_dim": 16, "caption_projection_dim": 16, "pooled_projection_dim": 16}
    mmdit = diffusers.SD3Transformer2DModel(in_channels=4, out_channels=4, **widths, **shared).eval()
    text = {"encoder_hidden_states": torch.randn(2, 3, 16), "pooled_projections": torch.randn(2, 16)}
    model = DiffusersDenoiser(mmdit, diffusers.FlowMatchEulerDiscreteScheduler())
    call = {"hidden_states": torch.randn(2, 4, 8, 8), "timestep": torch.full((2,), 500.0), **text}
    found = model.as_unet()(**call, return_dict=False)[0]
    assert torch.allclose(found, mmdit(**call).sample, rtol=1e-5, atol=1e-6)


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


def test_samplers_of_k_diffusion_may_ask_beyond_the_range(k_diffusion):
    inner = UNet(1, width=8, levels=(1, 2))
    nn.init.normal_(inner.decoder.weight, std=0.1)
    denoiser, x = k_diffusion.layers.Denoiser(inner).eval(), 20 * torch.randn(2, 1, 8, 8)
    sigmas, sampling = k_diffusion.sampling.get_sigmas_karras(6, 0.05, 20.0), k_diffusion.sampling
    wide, exact = KDiffusionDenoiser(denoiser, 0.02, 30.0), KDiffusionDenoiser(denoiser, 0.02, 20.0)
    runs = []
    for each in (denoiser, wide.as_denoiser(), exact.as_denoiser()):
        torch.manual_seed(0)
        runs.append(sampling.sample_heun(each, x, sigmas, disable=True, s_churn=2.0))
    assert torch.allclose(runs[1], runs[0], rtol=1e-3, atol=1e-4)
    assert runs[2].isfinite().all()
    half = KDiffusionDenoiser(Plain(), 0.05, 20.0).as_denoiser()
    assert sampling.sample_euler(half, x.half(), sigmas.half(), disable=True).isfinite().all()
    with torch.enable_grad():
        found = [sampling.log_likelihood(each, x / 20, 0.02, 20.0)[0] for each in (denoiser, wide.as_denoiser())]
    assert all(each.isfinite().all() for each in found)
