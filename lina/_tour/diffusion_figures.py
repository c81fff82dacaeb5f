"""The figures of the chapter on larger images."""

from typing import Any

import numpy as np
import torch

from lina._tour.chapter import Figure, rounded_up
from lina._tour.diffusion import COMPONENTS, SCALE, SHARE, SIDE, STEPS, TIMES, TOLERANCE, WEIGHTS, Learned
from lina._tour.diffusion_fields import RATIOS, SCALES, SMALL, Fields
from lina._tour.diffusion_fields import TOLERANCE as OF_FIELDS
from lina._tour.style import BLUE, GREEN, GREY, ORANGE, figure, picture, to_png

SHOWN = 12  # samples in a row
_NAMES = {
    "noisy": "noisy image",
    "alone": "clean, alone",
    "small": f"clean, {SIDE} x {SIDE}",
    "guided": "clean, guided",
}


def fields_figure(found: Fields) -> Figure:
    """Show one field from the same noise under three models, and the errors of the predictions."""
    size = round(SMALL * SCALES[-1])
    best, alone, guided = found.sampled.values()
    off, mended = (np.linalg.norm(each - best) / np.linalg.norm(best) for each in (alone, guided))
    return Figure(
        "What the small size knows",
        "These fields look alike at every size, as clouds do, and the best prediction of their noise is known. A model "
        f"has learned it for {SMALL} x {SMALL} pixels; at {size} x {size} it is wrong about all that a small image can "
        "show. Sampled from the same noise by the best model, by this one, and by this one guided by itself, what "
        "comes out?",
        f"guided = upsample_guidance(model, cosine(clip=None), {SCALES[-1]:g}, w=0.0, resample='dct')\n"
        "field = sample(guided, noise, schedule, times, method='dpmpp_2m')",
        _draw_fields(found),
        "Three squares with clouds of blue and red, the first and the third the same, the second with stronger and "
        "rounder ones all over. Below, two bundles of curves against the signal-to-noise ratio: errors of the model "
        "alone from a hundredth to a half, and of the guided one at the bottom, 15 digits lower.",
        f"The model alone paints blots of one size that are not in the field: it is off by {100 * off:.0f} %. The "
        f"guided one paints the field of the best model, to {mended:.0e}.",
        f"At {len(RATIOS)} ratios of signal and noise and at the scales {', '.join(f'{s:g}' for s in SCALES)} guided "
        f"predictions are within {rounded_up(float(found.guided.max()), 2)} of the best ones, where {OF_FIELDS:g} was "
        "asked. Cosine series make an image smaller by leaving out terms, which changes neither the noise nor the "
        "other terms; so the correction is exact here, and the rest of the image is left alone.",
    )


def _draw_fields(found: Fields) -> bytes:
    canvas, axes = figure(7.2, 4.6, nrows=2, ncols=3, height_ratios=[1.5, 1])
    limit = np.quantile(np.abs(found.sampled["best model"]), 0.99)
    for axis, (name, field) in zip(axes[0], found.sampled.items(), strict=True):
        picture(axis, field, name, cmap="RdBu", vmin=-limit, vmax=limit)
    for axis in axes[1]:
        axis.remove()
    below = canvas.add_subplot(axes[1, 0].get_gridspec()[1, :])
    for alone, guided, scale, colour in zip(found.alone, found.guided, SCALES, (BLUE, ORANGE, GREEN), strict=True):
        below.semilogy(RATIOS, alone, color=colour, linestyle="--")
        below.semilogy(RATIOS, guided, color=colour, label=f"scale {scale:g}")
    below.set(xlabel="logarithm of the signal-to-noise ratio", ylabel="relative error", xlim=(RATIOS[-1], RATIOS[0]))
    below.set(ylim=(1e-17, 10), yticks=[1e-16, 1e-12, 1e-8, 1e-4, 1])
    below.annotate("alone", (RATIOS[-1] - 0.2, 1e-4), color=GREY)
    below.annotate("guided", (RATIOS[-1] - 0.2, 1e-13), color=GREY)
    below.legend(frameon=False, fontsize=9.5, ncols=3, loc="center right")
    return to_png(canvas)


def way_figure(found: Learned) -> Figure:
    """Show what the network takes for the clean image at times from noise to data, in three ways."""
    images, side = found.images, SCALE * SIDE
    means, details = (rounded_up(each, 2) for each in found.off.values())
    start, end = (float(np.mean(part)) for part in (found.course[:20], found.course[-50:]))
    return Figure(
        "Two opinions of one network",
        f"A network of {sum(each.numel() for each in found.model.parameters()):,} parameters has learned {images.name} "
        f"of {SIDE} x {SIDE} pixels in {images.steps} steps of {images.batch}; its loss fell from "
        f"{start:.2f} to {end:.2f}. On the way from noise to an image of {side} x {side}: what does it take for the "
        "clean image, from the image itself, and from its means over blocks, which have four times the "
        "signal-to-noise ratio?",
        "guided = upsample_guidance(model, cosine(), 2, w=0.0, prediction='v')\n"
        "tau = match_time(cosine(), t, 4)\n"
        "small = avg_pool(x, 2) / rho(cosine(), t, 4)    # is an image of the time tau",
        _draw_way(found),
        "Four rows of six images from noise to a digit. In the second, what the network sees alone, are several small "
        "strokes side by side until late; in the third, coarse pixels, one digit emerges early; in the fourth, the "
        "same digit in fine pixels.",
        "Alone, the network answers with strokes as it has learned them, of its own size, wherever the noise allows "
        "it. Of the means it knows early which digit is coming. Guidance keeps the blocks of the one and the details "
        "of the other.",
        f"At {len(TIMES)} times the guided clean images have the means over blocks of the small ones, to {means}, and "
        f"the details of the network's own, to {details} of the largest entry; {TOLERANCE:g} was asked of single "
        "precision. That is a statement of linear algebra, a range and a null space, and needs no good network.",
    )


def _draw_way(found: Learned) -> bytes:
    canvas, axes = figure(7.2, 4.9, nrows=len(_NAMES), ncols=len(found.way))
    for column, (t, images) in zip(axes.T, found.way.items(), strict=True):
        for axis, (name, label) in zip(column, _NAMES.items(), strict=True):
            limit = 2.5 if name == "noisy" else 1.0
            picture(axis, images[name][0, 0], cmap="Greys", vmin=-limit, vmax=limit)
            if t == TIMES[0]:
                axis.text(-0.08, 0.5, label, transform=axis.transAxes, ha="right", va="center")
        column[0].set_title(f"t = {t:g}", loc="center")
    return to_png(canvas)


def samples_figure(
    found: Learned, samples: dict[str, torch.Tensor], distances: dict[str, float], floor: float
) -> Figure:
    """Show real images, and those that the network draws in four ways."""
    side, (plain, strong) = SCALE * SIDE, (distances[name] for name in WEIGHTS)
    return Figure(
        f"{side} x {side} pixels from a network of {SIDE} x {SIDE}",
        f"The network draws {len(samples['alone'])} images of {side} x {side} in {STEPS} steps from the same noise: "
        f"alone, and guided with the weights 0 and 0.2. Beside them real ones and its own of {SIDE} x {SIDE}, with "
        "pixels repeated, as there are no real ones of that size.",
        "guided = upsample_guidance(model, cosine(), 2, w=0.2, prediction='v')\n"
        f"images = sample(guided, noise, cosine(), {STEPS}, prediction='v', spacing='t', clip=1.0)",
        _draw_samples(found, samples),
        "Five rows of twelve images. Real digits and those drawn small are coarse; those of the network alone are "
        "tangles of two or three small strokes side by side; the guided ones are single digits in fine pixels, with "
        "some specks, and with the larger weight a little more contrast.",
        f"By the kernel distance of their means over blocks from real ones: alone {distances['alone']:.2f}, guided "
        f"{plain:.3f} and {strong:.3f}, drawn small {distances['small, repeated']:.3f}; other real ones have "
        f"{floor:.3f}. So guided images are about as good as small ones at what those show; of how fine their lines "
        "should be this says nothing, and the network has not been told.",
        f"The distance, of {COMPONENTS} principal components, has no bias. It was claimed to be at most {SHARE:g} of "
        f"that of the network alone. It is {_share(plain, distances['alone'])} at w = 0 and "
        f"{_share(strong, distances['alone'])} at 0.2. That is a measurement of this network, and no promise for "
        "another one.",
    )


def _share(distance: float, alone: float) -> str:
    return "no more than nothing" if distance <= 0 else f"a share of {distance / alone:.4f}"


def _draw_samples(found: Learned, samples: dict[str, Any]) -> bytes:
    real = found.images.x[:: len(found.images.x) // SHOWN][:SHOWN]
    canvas, axes = figure(7.2, 3.2, nrows=1 + len(samples), ncols=SHOWN)
    for row, (name, images) in zip(axes, {"real": real, **samples}.items(), strict=True):
        row[0].text(-0.15, 0.5, name, transform=row[0].transAxes, ha="right", va="center")
        for axis, image in zip(row, images[:SHOWN], strict=True):
            picture(axis, image[0].numpy(), cmap="Greys", vmin=-1, vmax=1)
    return to_png(canvas)
