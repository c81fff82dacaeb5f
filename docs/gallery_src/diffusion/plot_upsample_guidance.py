r"""
Larger images than a model was trained on
=========================================

A network of convolutions takes images of any size, but a model that has learned digits of 8 x 8 pixels fills 16 x 16
with several small ones: it has learned what strokes look like, and how far it must look to see a digit. At the small
size it knows better. Upsample guidance lets it correct itself: with means over blocks D, repetition U, and the clean
images that are predicted at both sizes,

.. math::

    x_0 + (1 + w)\,U\,[x_0^{\mathrm{low}} - D\,x_0],

where the small image is :math:`D\,x_t / \rho` at the time :math:`\tau` that has its signal-to-noise ratio. Nothing is
trained again. This page tries it on fields whose best predictions are known, and then on a network.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.fft
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from lina.diffusion import avg_pool, cosine, nearest_upsample, sample, upsample_guidance
from lina.diffusion.metrics import compare, gaussian_frechet_distance
from lina.torch import EMA, DiffusionLoss, UNet

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#999999"
schedule = cosine(clip=None)

# %%
# **Exactness.** A Gaussian field whose cosine series has the power :math:`f^{-2}`, as photographs have it, looks the
# same at all sizes: the best prediction of the noise at 12 x 12 and at 18 x 18 is one formula. Let the model know the
# small size, and be wrong at the large one in all coarse terms, those that the small size has too. Guidance with
# ``resample="dct"``, which makes images smaller by leaving out terms, mends it to the last digit, here at a scale of
# 1.5. Guidance by means over blocks, at the scale 2, mends about half of the error: this model has learned images that
# were made smaller in another way. The resampling should be that of the training images.


def predict_noise(x, t, wrong_below=0):
    alpha, sigma = schedule.alpha_sigma(t)
    n = x.shape[-1]
    frequency = np.hypot(*np.meshgrid(np.arange(n), np.arange(n))) / n
    frequency[0, 0] = 0.5 / n
    power = 0.1 / frequency**2
    power[:wrong_below, :wrong_below] = 7.0
    terms = scipy.fft.dctn(x, axes=(2, 3), norm="ortho") * (sigma / (alpha**2 * power + sigma**2))
    return scipy.fft.idctn(terms, axes=(2, 3), norm="ortho")


def errors(size, scale, ratios, **options):
    x = np.random.default_rng(0).standard_normal((8, 1, size, size))

    def model(x, t):
        return predict_noise(x, t, wrong_below=round(size / scale) if x.shape[-1] == size else 0)

    guided = upsample_guidance(model, schedule, scale, w=0, **options)
    for t in schedule.time_of(ratios):
        exact = predict_noise(x, t)
        yield [np.linalg.norm(f(x, t) - exact) / np.linalg.norm(exact) for f in (model, guided)]


ratios = np.linspace(-8, 8, 33)
by_series = np.array(list(errors(18, 1.5, ratios, resample="dct")))
by_blocks = np.array(list(errors(24, 2, ratios)))
fig, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
axis.semilogy(ratios, by_series[:, 0], color=GREY, label="model alone")
axis.semilogy(ratios, by_blocks[:, 1], color=ORANGE, label="guided by blocks, scale 2")
axis.semilogy(ratios, by_series[:, 1], color=BLUE, label="guided by cosines, scale 1.5")
axis.set(xlabel=r"$\lambda$", ylabel="relative error of the noise", xlim=(8, -8))
axis.legend(fontsize=8)
plt.show()

# %%
# **Whole samplings.** Now a model that has learned means over blocks, at 8 x 8, exactly, and at 16 x 16 goes by the
# same number of pixels, as a convolution does. All steps of a sampler are linear here, so that the covariance of what
# is sampled is known without drawing anything; its distance from the true one (2-Wasserstein, squared) is given in
# units of the variance. Two mistakes are tried as well: a model that is not told of :math:`\tau`, and noise that is
# carried over without its factor 1 / s. Guided at w = 0 the samples are nearer by a factor of 2, 9 and 30. A weight of
# 0.2, which adds contrast, costs some of that here, and either mistake costs more than there was to gain in the
# smoother fields.


def spectrum(p, fx, fy):
    return ((fx**2 + fy**2) * 16**2 + 0.25) ** (-p / 2)


def pooled_spectrum(p, fx, fy):
    """Return the power of means over 2 x 2 blocks, with what folds onto a frequency."""
    total = 0.0
    for i, j in np.ndindex(2, 2):
        gx, gy = (((f + k) / 2 + 0.5) % 1 - 0.5 for f, k in ((fx, i), (fy, j)))
        total = total + spectrum(p, gx, gy) * (np.cos(np.pi * gx) * np.cos(np.pi * gy)) ** 2
    return total / 4


def grid(n):
    return np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n))


def denoiser(power_at):
    def model(x, t):
        alpha, sigma = schedule.alpha_sigma(t)
        return np.fft.ifft2(np.fft.fft2(x) * (sigma / (alpha**2 * power_at[x.shape[-1]] + sigma**2))).real

    return model


def variants(model, size):
    def without_tau(x, t):  # the time is that of the large image
        return model(x, t if x.shape[-1] == size else schedule.time_of(schedule.logsnr(t) - np.log(4)))

    def without_factor(x, t):
        return model(x, t) * (1 if x.shape[-1] == size else 2)

    return {
        "model alone": model,
        "guided, w = 0": upsample_guidance(model, schedule, 2, 0),
        "guided, w = 0.2": upsample_guidance(model, schedule, 2, 0.2),
        "without tau": upsample_guidance(without_tau, schedule, 2, 0),
        "without 1 / s": upsample_guidance(without_factor, schedule, 2, 0),
    }


def learned(p, size):
    unit = 1 / np.mean(spectrum(p, *grid(size)))
    return spectrum(p, *grid(size)) * unit, {n: pooled_spectrum(p, *grid(n)) * unit for n in (size, size // 2)}


steps = schedule.time_of(np.linspace(-10, 10, 101))
units = np.eye(256).reshape(256, 1, 16, 16)
table = {}
for p in (1, 2, 3):
    power, low = learned(p, 16)
    root = np.fft.ifft2(np.fft.fft2(units) * np.sqrt(power)).real.reshape(256, 256)
    true = root.T @ root
    for name, model in variants(denoiser(low), 16).items():
        found = sample(model, units, schedule, steps).reshape(256, 256)
        distance = gaussian_frechet_distance(np.zeros(256), found.T @ found, np.zeros(256), true)
        table.setdefault(name, []).append(distance / np.trace(true))
print(f"{'distance over variance':18}" + "".join(f"{f'f^-{p}':>9}" for p in (1, 2, 3)))
for name, row in table.items():
    print(f"{name:22}" + "".join(f"{value:9.4f}" for value in row))

# %%
# The same on 64 x 64 from one noise, for :math:`f^{-3}`. The first picture is what the true model makes of the noise.
# The model alone expects less of the large clouds and paints them too pale; guided it has them right.

power, low = learned(3, 64)
noise = np.random.default_rng(2).standard_normal((1, 1, 64, 64))
pictures = {"true model": sample(denoiser({64: power}), noise, schedule, steps)}
pictures.update({name: sample(model, noise, schedule, steps) for name, model in variants(denoiser(low), 64).items()})
fig, axes = plt.subplots(1, 6, figsize=(9.5, 1.9), layout="constrained")
for axis, (name, image) in zip(axes, pictures.items(), strict=True):
    axis.imshow(image[0, 0], cmap="RdBu", vmin=-3, vmax=3)
    axis.set_title(name, fontsize=9)
    axis.axis("off")
plt.show()

# %%
# **Samplers.** A guided model is a function like the model, and goes into any sampler. The fields of the first figure
# are known to their end, so that the error of a sampler is too: it falls with the first power of the steps for DDIM,
# with the second for DPM-Solver++ (2M) and for Heun, which calls the model twice in a step.

size, bounds = 18, (-8, 8)
noise = np.random.default_rng(1).standard_normal((4, 1, size, size))


def half_wrong(x, t):
    return predict_noise(x, t, wrong_below=12 if x.shape[-1] == size else 0)


guided = upsample_guidance(half_wrong, schedule, 1.5, w=0, resample="dct")
frequency = np.hypot(*np.meshgrid(np.arange(size), np.arange(size))) / size
frequency[0, 0] = 0.5 / size
ends = [
    np.sqrt(a**2 * 0.1 / frequency**2 + s**2) for a, s in map(schedule.alpha_sigma, schedule.time_of(bounds).tolist())
]
exact = scipy.fft.idctn(scipy.fft.dctn(noise, axes=(2, 3), norm="ortho") * ends[1] / ends[0], axes=(2, 3), norm="ortho")
counts = 2 ** np.arange(3, 10)
fig, axis = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
for method, calls, colour in (("ddim", 1, GREY), ("dpmpp_2m", 1, BLUE), ("heun", 2, ORANGE)):
    off = []
    for n in counts:
        times = schedule.time_of(np.linspace(*bounds, n + 1))
        off.append(np.linalg.norm(sample(guided, noise, schedule, times, method=method) - exact))
    order = np.log2(off[-2] / off[-1])
    axis.loglog(calls * counts, off / np.linalg.norm(exact), "o-", color=colour, label=f"{method}: order {order:.2f}")
axis.set(xlabel="calls of the model", ylabel="relative error")
axis.legend(fontsize=8)
plt.show()

# %%
# **A network.** A small `UNet` learns the digits of scikit-learn, 8 x 8 pixels, for half a minute on one thread.

torch.set_num_threads(1)  # faster for networks of this size
torch.manual_seed(0)
schedule = cosine()
digits = torch.tensor(load_digits().images / 8 - 1, dtype=torch.float32)[:, None]
network = UNet(1, width=32, levels=(1, 2), schedule=schedule).to(memory_format=torch.channels_last)
loss, average = DiffusionLoss(schedule, "v"), EMA(network, 0.99)
optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, 600, pct_start=0.1)
for _ in range(600):
    value = loss(network, digits[torch.randint(len(digits), (64,))])
    optimizer.zero_grad()
    value.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    rates.step()
    average.update(network)
network = average.model

# %%
# It is sampled at 16 x 16 from the same noise, alone and guided by itself, and at 8 x 8. Real digits of 16 x 16 there
# are none: those in the first row are of 8 x 8, repeated.


@torch.no_grad()
def draw(model, noise):
    return sample(model, noise, schedule, 20, prediction="v", spacing="t", clip=1.0)


noise = torch.randn(160, 1, 16, 16)
samples = {
    "8 x 8, repeated": nearest_upsample(draw(network, avg_pool(noise, 2) * 2), 2),
    "naive": draw(network, noise),
    "guided, w = 0": draw(upsample_guidance(network, schedule, 2, 0, prediction="v"), noise),
    "guided, w = 0.2": draw(upsample_guidance(network, schedule, 2, 0.2, prediction="v"), noise),
}
rows = {"real, repeated": nearest_upsample(digits[torch.randperm(len(digits))[:12]], 2)} | samples
fig, axes = plt.subplots(len(rows), 12, figsize=(9.5, 4.2), layout="constrained")
for line, (name, images) in zip(axes, rows.items(), strict=True):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    for axis, image in zip(line, images, strict=False):
        axis.imshow(image[0], cmap="Greys", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
plt.show()

# %%
# **Measured.** Since there are no real digits of that size, means over blocks are compared, by their first 20 principal
# components: whether they are digits, not how fine their lines are. A distance of finite samples is not zero even
# between real ones; ``compare`` prints each beside that floor.

components = PCA(20).fit(digits.flatten(1))
real = components.transform(digits.flatten(1))
reports = {}
for name, images in samples.items():
    small = avg_pool(images, 2)
    features = components.transform(small.flatten(1))
    reports[name] = compare(real, features, images_real=digits, images_fake=small, rng=0)
    if name in ("naive", "guided, w = 0"):
        print(f"{name}\n{reports[name]}\n")
for name, report in reports.items():
    print(f"{name:18} KID {report.metrics['KID'].value:7.3f}, real {report.metrics['KID'].floor:.3f}")

# %%
# Alone, the network draws two or three small digits side by side, and next to none of them is near a real one. Guided,
# it draws one, at this size about as good as those that it draws at 8 x 8. Its lines are as thin as the network has
# learned lines to be, and somewhat ragged: blocks and details come from two predictions. At w = 0 the means over blocks
# of what it predicts are exactly what it predicts at the small size.
