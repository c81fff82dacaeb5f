"""What does a step of a sampler cost beside its model?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.runner import Case, Question, Target
from lina.diffusion import discrete, sample

STEPS = 50
BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
SCHEDULE = discrete(torch.cumprod(1 - BETAS, 0))
DDIM, MULTISTEP = "diffusers DDIM", "diffusers DPM++ 2M"


def cases(quick: bool) -> Iterator[Case]:
    """Yield trajectories with a model that costs nothing, at two sizes."""
    for shape, ratio in (((1, 3, 32, 32), 1 / 0.15), ((1 if quick else 16, 3, 64, 64), 1 / 0.3)):
        yield trajectories(shape, ratio)


def diffusers_runs(start: torch.Tensor, eps: torch.Tensor) -> dict[str, Callable[[], torch.Tensor]]:
    """Return the trajectories of diffusers, none where it is not installed."""
    try:
        from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
    except ImportError:
        return {}
    one = DDIMScheduler(clip_sample=False, beta_start=1e-4, beta_end=0.02)
    one.set_timesteps(STEPS)
    two = DPMSolverMultistepScheduler(beta_start=1e-4, beta_end=0.02)

    def ddim() -> torch.Tensor:
        x = start
        for t in one.timesteps:
            x = one.step(eps, t, x).prev_sample
        return x

    def multistep() -> torch.Tensor:
        two.set_timesteps(STEPS)  # it holds the state of a trajectory
        x = start
        for t in two.timesteps:
            x = two.step(eps, t, x).prev_sample
        return x

    return {DDIM: ddim, MULTISTEP: multistep}


def trajectories(shape: tuple[int, ...], ratio: float) -> Case:
    """Return all trajectories from one start, of which those of first order are judged by their closed form."""
    generator = torch.Generator().manual_seed(0)
    start, eps = (torch.randn(shape, generator=generator) for _ in range(2))
    times = (np.arange(980, -1, -20) / 999).tolist()

    def run(x: Any, noise: Any, **options: Any) -> Callable[[], Any]:
        return lambda: sample(lambda *_: noise, x, SCHEDULE, times, to_data=True, **options)

    contenders = {
        "lina": run(start, eps),
        "lina, dpmpp_2m": run(start, eps, method="dpmpp_2m"),
        "lina, numpy": run(start.numpy(), eps.numpy()),
        **diffusers_runs(start, eps),
    }
    alpha, sigma = SCHEDULE.alpha_sigma(times[0])
    exact = (start.double() - sigma * eps.double()) / alpha  # with a constant eps, whatever the steps are

    def error(found: Any) -> float:
        return float((torch.as_tensor(found).double() - exact).abs().max() / exact.abs().max())

    targets = [Target("lina", DDIM, ratio), Target("lina, dpmpp_2m", MULTISTEP, ratio)]
    name = f"{STEPS} steps on {'x'.join(map(str, shape))}, the model for nothing"
    return Case(name, contenders, error, targets, at_least_rounds=51)


QUESTION = Question(
    "What does a step of a sampler cost beside its model?",
    cases,
    error_name="largest error of the last sample over its largest entry",
    note="A model that returns one tensor, single precision. Schedulers of diffusers without clipping; the second one "
    "starts at another time, so its error is no error of its own.",
)
