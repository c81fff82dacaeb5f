"""The chapter on request: a network learns small digits, and draws larger ones, alone and guided by itself."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from lina._tour import diffusion_fields as fields
from lina._tour.chapter import Chapter, Figure, Part, Row, timed
from lina._tour.models import undisturbed
from lina.diffusion import avg_pool, convert, cosine, match_time, nearest_upsample, rho, sample, upsample_guidance
from lina.diffusion.metrics import compare
from lina.torch import EMA, DiffusionLoss, UNet

INTRO = (
    "A network of convolutions that was trained to make noise into small images takes larger ones, too, but fills them "
    "with several things of the size that it has learned. It knows better: from means over blocks of the larger image "
    "it can tell what is there as a whole. Upsample guidance lets the network correct itself by that. It is tried on "
    "fields whose best predictions are known, and on a network that learns digits of 8 x 8 pixels in half a minute and "
    "draws them at 16 x 16."
)
ERRORS = (
    "Predictions of noise are compared with the best ones by their norms, clean images by the largest entry; the "
    "tolerances were fixed beforehand. So was the claim that guided images are at most a tenth as far from real ones "
    "as those of the network alone, in the kernel distance of their means over blocks (KID of 20 principal components, "
    "which may be negative). Neither is a bound for other networks; the tour fails where one does not hold."
)

SCHEDULE = cosine()
SIDE, SCALE = 8, 2
TOLERANCE = 1e-6  # of single precision, in which the network computes
SHARE = 1 / 10  # of the distance without guidance
COMPONENTS = 20
STEPS = 20  # of the sampler
TIMES = (0.95, 0.8, 0.6, 0.4, 0.2, 0.05)
WEIGHTS = {"guided, w = 0": 0.0, "guided, w = 0.2": 0.2}


@dataclass(frozen=True)
class Images:
    """Small images (n, 1, SIDE, SIDE) from -1 to 1, and how much is spent on them."""

    name: str
    x: torch.Tensor
    width: int
    steps: int
    batch: int
    drawn: int


@dataclass
class Learned:
    """A network, its images, the losses of its training, and what it predicts on its way from noise to an image."""

    model: UNet
    images: Images
    course: list[float]
    way: dict[float, dict[str, np.ndarray]]
    off: dict[str, float]


def chapter() -> Chapter:
    """Return the chapter, not yet played; its last part draws with the network that the one before has trained."""
    learned: list[Learned] = []
    parts = [
        Part("guidance where the truth is known", source_of_noise, fields.compare, source_of_noise, draw_fields),
        Part("training a denoiser", made_rings, partial(learn, learned), digits, draw_way),
        Part("drawing larger images", made_rings, partial(draw, learned), lambda: (), draw_samples),
    ]
    return Chapter("Larger than it was trained", INTRO, parts, ERRORS)


def draw_fields(found: Any) -> list[Figure]:
    """Return the figure of the fields."""
    from lina._tour import diffusion_figures

    return [diffusion_figures.fields_figure(found)]


def draw_way(found: Any) -> list[Figure]:
    """Return the figure of what is predicted on the way."""
    from lina._tour import diffusion_figures

    return [diffusion_figures.way_figure(found)]


def draw_samples(found: Any) -> list[Figure]:
    """Return the figure of the samples."""
    from lina._tour import diffusion_figures

    return [diffusion_figures.samples_figure(*found)]


def source_of_noise() -> tuple[np.random.Generator]:
    """Return a generator of one seed."""
    return (np.random.default_rng(0),)


def digits() -> tuple[Images]:
    """Return 1797 handwritten digits."""
    from sklearn.datasets import load_digits

    x = torch.tensor(load_digits().images / 8 - 1, dtype=torch.float32)[:, None]
    return (Images("1,797 digits", x, width=32, steps=600, batch=64, drawn=128),)


def made_rings() -> tuple[Images]:
    """Return rings of random places and radii."""
    rng = np.random.default_rng(0)
    centre, radius = rng.uniform(3, 4, (2, 400, 1, 1)), rng.uniform(1.8, 3, (400, 1, 1))
    row, column = np.indices((SIDE, SIDE))
    distance = np.hypot(row - centre[0], column - centre[1]) - radius
    x = torch.tensor(2 * np.exp(-(distance**2)) - 1, dtype=torch.float32)[:, None]
    return (Images("made-up rings", x, width=16, steps=200, batch=32, drawn=64),)


def learn(learned: list[Learned], images: Images) -> tuple[list[Row], Learned]:
    """Train a network on small images, and look at what guidance makes of its predictions on larger ones."""
    with undisturbed():
        model, course = fit(images)
        with torch.no_grad():
            way = predictions_on_the_way(model, torch.randn(8, 1, SCALE * SIDE, SCALE * SIDE))
            off, seconds = timed(projection_errors, model, images.x[:64])
    learned[:] = [Learned(model, images, course, way, off)]
    rows = [
        Row(f"{name}, w = 0", f"{len(TIMES)} times", error, TOLERANCE, "tolerance", best, seconds)
        for (name, error), best in zip(off.items(), ("small image's", "network's own"), strict=True)
    ]
    return rows, learned[0]


def fit(images: Images) -> tuple[UNet, list[float]]:
    """Descend the loss of v, and return the running mean of the network and the loss after every step."""
    model = UNet(1, width=images.width, levels=(1, 2), schedule=SCHEDULE)
    model = model.to(memory_format=torch.channels_last)
    loss, mean, course = DiffusionLoss(SCHEDULE, "v"), EMA(model, 0.99), []
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, images.steps, pct_start=0.1)
    for _ in range(images.steps):
        value = loss(model, images.x[torch.randint(len(images.x), (images.batch,))])
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        mean.update(model)
        course.append(value.item())
    return mean.model, course


def guided(model: UNet, w: float) -> Any:
    """Return the network under guidance to twice the size."""
    return upsample_guidance(model, SCHEDULE, SCALE, w, prediction="v")


def clean(model: Any, x: torch.Tensor, t: float) -> torch.Tensor:
    """Return the clean images that a model of v predicts."""
    return convert(model(x, t), x, *SCHEDULE.alpha_sigma(t), "v", "x0")


def clean_at_once(model: UNet, x: torch.Tensor, t: float) -> dict[str, torch.Tensor]:
    """Return the clean images predicted at the size of x, at the small size, and under guidance."""
    gain = SCALE**2
    small, tau = avg_pool(x, SCALE) / rho(SCHEDULE, t, gain), match_time(SCHEDULE, t, gain)
    return {"alone": clean(model, x, t), "small": clean(model, small, tau), "guided": clean(guided(model, 0.0), x, t)}


def predictions_on_the_way(model: UNet, noise: torch.Tensor) -> dict[float, dict[str, np.ndarray]]:
    """Return noisy images and the clean ones that are predicted from them, at times of a guided sampling."""
    found = {}

    def keep(_: int, t: float, x: torch.Tensor) -> None:
        wanted = min(TIMES, key=lambda each: abs(t - each))
        if abs(t - wanted) < 1e-9:
            images = {"noisy": x, **clean_at_once(model, x, t)}
            found[wanted] = {name: image.numpy() for name, image in images.items()}

    sample(guided(model, 0.0), noise, SCHEDULE, STEPS, prediction="v", spacing="t", clip=1.0, callback=keep)
    return found


def projection_errors(model: UNet, small: torch.Tensor) -> dict[str, float]:
    """Return by how much guided images differ from the small ones in their means, and from the network's own beside."""
    x0, off = nearest_upsample(small, SCALE), {"means over blocks": 0.0, "details": 0.0}
    for t in TIMES:
        alpha, sigma = SCHEDULE.alpha_sigma(t)
        found = clean_at_once(model, alpha * x0 + sigma * torch.randn_like(x0), t)
        means = avg_pool(found["guided"], SCALE) - found["small"]
        change = found["guided"] - found["alone"]
        details = change - nearest_upsample(avg_pool(change, SCALE), SCALE)
        for name, difference in zip(off, (means, details), strict=True):
            off[name] = max(off[name], float(difference.abs().max() / found["guided"].abs().max()))
    return off


def draw(learned: list[Learned], *_: Any) -> tuple[list[Row], Any]:
    """Draw images of twice the size alone and guided, and compare their means over blocks with real images."""
    found = learned[0]
    side = SCALE * SIDE
    with undisturbed(), torch.no_grad():
        noise = torch.randn(found.images.drawn, 1, side, side)
        samples = {"small, repeated": nearest_upsample(denoised(found.model, SCALE * avg_pool(noise, SCALE)), SCALE)}
        samples["alone"] = denoised(found.model, noise)
        seconds = {}
        for name, w in WEIGHTS.items():
            samples[name], seconds[name] = timed(denoised, guided(found.model, w), noise)
    distances, floor = kernel_distances(found.images.x, samples)
    rows = [
        Row(
            name,
            f"KID {distances[name]:.3f}",
            distances[name],
            SHARE * distances["alone"],
            "claim",
            f"alone {distances['alone']:.2f}, real {floor:.3f}",
            seconds[name],
        )
        for name in WEIGHTS
    ]
    return rows, (found, samples, distances, floor)


def denoised(model: Any, noise: torch.Tensor) -> torch.Tensor:
    """Return the images of some noise."""
    return sample(model, noise, SCHEDULE, STEPS, prediction="v", spacing="t", clip=1.0)


def kernel_distances(real: torch.Tensor, samples: dict[str, torch.Tensor]) -> tuple[dict[str, float], float]:
    """Return the kernel distance of each of the samples from real images, and that of other real images."""
    rows = real.flatten(1).double().numpy()
    centre = rows.mean(axis=0)
    axes = np.linalg.svd(rows - centre, full_matrices=False)[2][:COMPONENTS].T
    found, floor = {}, 0.0
    for name, images in samples.items():
        pooled = avg_pool(images, SCALE).flatten(1).double().numpy()
        measured = compare((rows - centre) @ axes, (pooled - centre) @ axes, rng=0).metrics["KID"]
        found[name], floor = measured.value, measured.floor
    return found, floor
