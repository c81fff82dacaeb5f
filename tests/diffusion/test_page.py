"""The page on diffusion says what is: its lines run, its table of contrasts and its equalities with diffusers hold."""

import doctest
import math
from pathlib import Path

import numpy as np
import pytest

from lina.diffusion import convert, cosine, discrete, sample

PAGE = Path(__file__).parents[2] / "docs" / "diffusion.rst"


@pytest.mark.torch
def test_the_lines_of_the_page_print_what_it_shows():
    pytest.importorskip("torch", reason="NOT TESTED: the page on diffusion, because there is no torch")
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried > 40
    assert failed == 0


@pytest.mark.parametrize(
    ("method", "spacings", "shares"),
    [
        ("dpmpp_2m", (None,), [(1.03,), (1.03,), (1.02,)]),
        ("dpmpp_2m", ("angle", "t", "trailing"), [(1.00,), (0.78,), (0.13, 0.18)]),
        ("heun", (None,), [(1.09,), (1.09,), (1.09,)]),
        ("heun", ("angle", "t", "trailing"), [(0.99,), (0.81,), (0.13, 0.18)]),
        ("ddim", (None,), [(0.83,), (0.83,), (0.83,)]),
        ("ddim", ("angle", "t", "trailing"), [(0.93,), (0.72,), (0.13, 0.18)]),
    ],
)
def test_samples_have_the_contrast_of_the_table(method, spacings, shares):
    schedule, deviation = cosine(), np.array([0.5, 0.1, 0.01])

    def model(x, t):
        alpha, sigma = schedule.alpha_sigma(t)
        x0 = alpha * deviation**2 / (alpha**2 * deviation**2 + sigma**2) * x
        return convert(x0, x, alpha, sigma, "x0", "v")

    for spacing in spacings:
        options = {"method": method, "spacing": spacing, "to_data": spacing == "trailing", "prediction": "v"}
        found = sample(model, np.ones((1, 3)), schedule, 20, **options)[0] / deviation
        for share, within in zip(found, shares, strict=True):
            assert min(within) - 0.011 < share < max(within) + 0.011


BASE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def rival(x, t):
    return (x * (0.3 + t)).tanh()


def loop(scheduler, steps):
    """Return what a loop of diffusers makes of noise, the noise, and the times at which it has called its model."""
    torch = pytest.importorskip("torch")
    scheduler.set_timesteps(steps)
    noise = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = noise * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, timestep)
        x = scheduler.step(rival(scaled, float(timestep) / 999), timestep, x).prev_sample
    return x, noise, (scheduler.timesteps.double() / 999).tolist()


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers with numpy 2
@pytest.mark.parametrize("steps", [10, 20, 50])
def test_the_table_of_diffusers_has_their_samples(steps):
    diffusers = pytest.importorskip("diffusers", reason="NOT TESTED: the page's table, because there is no diffusers")

    def compare(scheduler, by_times, **options):
        expected, noise, times = loop(scheduler, steps)
        schedule = discrete(scheduler.alphas_cumprod.double())
        if by_times == "with the time 0" and times[-1] > 0:
            times = [*times, 0.0]
        found = sample(rival, noise, schedule, times if by_times else steps, **options)
        assert float((found - expected).abs().max()) < 2e-6 * float(expected.abs().max())

    ddim = {**BASE, "clip_sample": False}
    trailing = diffusers.DDIMScheduler(timestep_spacing="trailing", **ddim)
    compare(trailing, False, spacing="trailing", to_data=True)
    for offset in (0, 1):
        compare(diffusers.DDIMScheduler(steps_offset=offset, **ddim), True, to_data=True)
        ended = diffusers.DDIMScheduler(steps_offset=offset, set_alpha_to_one=False, **ddim)
        compare(ended, "with the time 0")
    for spacing in ("leading", "linspace", "trailing"):
        scheduler = diffusers.DPMSolverMultistepScheduler(timestep_spacing=spacing, **BASE)
        compare(scheduler, True, method="dpmpp_2m", to_data=True)
    scheduler = diffusers.DPMSolverMultistepScheduler(timestep_spacing="trailing", **BASE)
    compare(scheduler, False, method="dpmpp_2m", spacing="trailing", to_data=True)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers with numpy 2
def test_karras_spacing_is_that_of_euler_in_diffusers():
    diffusers = pytest.importorskip("diffusers", reason="NOT TESTED: the page's table, because there is no diffusers")
    scheduler = diffusers.EulerDiscreteScheduler(use_karras_sigmas=True, **BASE)
    expected, noise, _ = loop(scheduler, 12)
    schedule, first = discrete(scheduler.alphas_cumprod.double()), float(scheduler.sigmas[0])
    start = noise * float(scheduler.init_noise_sigma) / math.hypot(first, 1.0)  # of variance 1, as alpha^2 + sigma^2 is
    found = sample(rival, start, schedule, 12, method="euler", spacing="karras", to_data=True)
    assert float((found - expected).abs().max()) < 2e-6 * float(expected.abs().max())
