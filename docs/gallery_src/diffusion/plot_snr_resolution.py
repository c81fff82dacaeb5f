r"""
The same noise is less noise in a larger image
==============================================

A diffusion model sees :math:`x_t = \alpha_t x_0 + \sigma_t \varepsilon`, from the data at t = 0 to the noise at t = 1.
How much is left of the data is the signal-to-noise ratio :math:`\alpha_t^2 / \sigma_t^2`, or its logarithm
:math:`\lambda_t`. But noise is independent from pixel to pixel, and what an image shows is not: who looks from farther
away takes means, and the noise goes while the flower stays. This page measures by how much, and puts it right.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from lina.diffusion import align_snr, avg_pool, cosine, discrete, flow, interpolate_shift, match_time, rho, vp_linear
from lina.diffusion.metrics import radial_spectrum

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#999999"
rng = np.random.default_rng(0)

large, small, scale = 384, 48, 8
pixels = load_sample_image("flower.jpg")[20 : 20 + large, 110 : 110 + large] / 127.5 - 1
photograph = np.moveaxis(pixels, -1, 0)[None]  # (batch, channels, height, width), from -1 to 1
thumbnail = avg_pool(photograph, scale)
schedule = cosine()

# %%
# **One time, two resolutions.** In the first row a thumbnail of 48 x 48 pixels and in the second the photograph of 384
# x 384, at the same times of the same schedule. In the third row the means over blocks of the second: as many pixels as
# the thumbnail has, and the flower is still there when the thumbnail has lost it. A model of the photograph would have
# an easy task for most of the times, and would learn to place a flower in the very last ones only. In the fourth row,
# again means over blocks, the schedule is that of ``align_snr``: it loses what the thumbnail loses.


def noisy(x0, schedule, t):
    alpha, sigma = schedule.alpha_sigma(t)
    return alpha * x0 + sigma * rng.standard_normal(x0.shape)


def show(axis, x):
    low, high = np.quantile(x, (0.01, 0.99))
    axis.imshow(np.moveaxis(np.clip((x[0] - low) / (high - low), 0, 1), 0, -1), interpolation="nearest")
    axis.set(xticks=[], yticks=[])


aligned = align_snr(schedule, small, large)
rows = {
    f"{small} x {small}": (thumbnail, schedule, 1),
    f"{large} x {large}": (photograph, schedule, 1),
    "its means": (photograph, schedule, scale),
    "means, aligned": (photograph, aligned, scale),
}
fig, axes = plt.subplots(4, 4, figsize=(9, 9.4), layout="constrained")
for line, (name, (x0, its_schedule, block)) in zip(axes, rows.items(), strict=True):
    line[0].set_ylabel(name)
    for axis, t in zip(line, (0.3, 0.5, 0.7, 0.85), strict=True):
        show(axis, avg_pool(noisy(x0, its_schedule, t), block))
        axis.set_title(rf"t = {t}, $\lambda$ = {its_schedule.logsnr(t):.1f}", fontsize=9)
plt.show()

# %%
# **The law.** The mean over a block of s x s pixels has the variance :math:`\sigma^2 / s^2` of noise, so that the ratio
# is :math:`s^2` times as large and :math:`\lambda` larger by :math:`2 \log s`. Measured in the photograph at t = 0.85,
# against the mean over blocks of the clean one:

t = 0.85
alpha, sigma = schedule.alpha_sigma(t)
x = noisy(photograph, schedule, t)
for s in (2, 4, 8):
    noise = avg_pool(x, s) / alpha - avg_pool(photograph, s)
    larger = -np.log(np.var(noise)) - schedule.logsnr(t)
    print(f"s = {s}: lambda is larger by {larger:.3f}, and 2 log s = {2 * np.log(s):.3f}")

# %%
# In terms of frequencies: the noise has the same power in all of them, :math:`\sigma^2 / \alpha^2` in units of the
# data, while that of a photograph falls. What is below the line of the noise is drowned. In the thumbnail all that is
# left of the same structure is 1 / 64 of its power, and it drowns much earlier.

fig, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
drowned = []
for x0, side, colour in ((photograph, large, ORANGE), (thumbnail, small, BLUE)):
    frequencies, power = radial_spectrum(x0)
    axis.loglog(side * frequencies[1:], power[1:], color=colour, label=f"{side} x {side}")
    drowned.append(int(np.argmax(power[1:] < sigma**2 / alpha**2)) + 1)
axis.axhline(sigma**2 / alpha**2, color=GREY, linestyle="--", label=f"noise at t = {t}")
axis.set(xlabel="periods in the image", ylabel="power")
axis.legend(fontsize=9)
plt.show()
print(f"drowned from {drowned[0]} periods in the photograph, from {drowned[1]} in the thumbnail")

# %%
# **Schedules.** ``align_snr`` lowers :math:`\lambda` by the logarithm of the number of pixels that make one. That gives
# coarse structure the noise that it needs, and drowns fine detail for most of the times. ``interpolate_shift`` is a
# compromise: aligned to the small size near the noise, to the large one near the data. Any schedule may be shifted; all
# know the time of a given :math:`\lambda`.

between = interpolate_shift(schedule, large, low=small, high=large)
t = np.linspace(0, 1, 301)
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for curve, name, colour, style in (
    (schedule, "cosine", BLUE, "-"),
    (aligned, "aligned", ORANGE, "-"),
    (between, "interpolated", GREEN, "--"),
):
    left.plot(t, curve.logsnr(t), color=colour, linestyle=style, label=name)
    right.plot(t, curve.alpha_sigma(t)[0], color=colour, linestyle=style, label=name)
left.set(xlabel="t", title=r"$\lambda$")
right.set(xlabel="t", title=r"$\alpha$: how much of the data is there")
left.legend(fontsize=9)
plt.show()
print("times of lambda = 0:", ", ".join(f"{s.time_of(0.0):.3f}" for s in (schedule, aligned, between)))

# %%
# **The time that matches.** The other way round: a model that was trained on thumbnails can look at the mean over
# blocks of a noisy photograph, if it is told a time at which *its* images are as noisy, :math:`\lambda_\tau = \lambda_t
# + 2 \log s`, and if the mean is divided by ``rho``, so that signal and noise are :math:`\alpha_\tau` and
# :math:`\sigma_\tau`. This is what upsample guidance does. ``match_time`` has closed forms and exact inverses; the
# usual search for the nearest entry of a table of 1000 times may miss the ratio by 30 %. Below, how far
# :math:`\lambda_\tau` is from what it should be, at the worst of all times:

schedules = {"cosine": schedule, "linear variance": vp_linear(), "flow": flow()}
t = np.linspace(0.02, 0.999, 980)
fig, axis = plt.subplots(figsize=(5, 3.4), layout="constrained")
axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
for (name, each), colour in zip(schedules.items(), (BLUE, ORANGE, GREEN), strict=True):
    for s, style in ((2, "-"), (8, ":")):
        tau = match_time(each, t, s * s)
        axis.plot(t, tau, color=colour, linestyle=style, label=f"{name}, s = {s}")
axis.set(xlabel="t", ylabel=r"$\tau$", xlim=(0, 1), ylim=(0, 1))
axis.legend(fontsize=8)
plt.show()

table = discrete(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)))
entries = table.logsnr(np.linspace(0, 1, 1000))
inside = np.linspace(0, 1, 1000)[entries + np.log(4) <= entries[0]]
wanted = table.logsnr(inside) + np.log(4)
nearest = np.abs(entries - wanted[:, None]).min(axis=1).max()
print(f"table, nearest entry: {nearest:.2f}")
for name, each in {**schedules, "table": table}.items():
    times = inside if each is table else t
    tau = match_time(each, times, 4)
    print(f"{name}, match_time: {np.abs(each.logsnr(tau) - each.logsnr(times) - np.log(4)).max():.0e}")

# %%
# And that signal and noise are those of the time :math:`\tau`, for every kind of schedule:

for name, each in schedules.items():
    (alpha, sigma), ratio = each.alpha_sigma(t), rho(each, t, 4)
    of_tau = each.alpha_sigma(match_time(each, t, 4))
    pairs = zip((alpha / ratio, sigma / 2 / ratio), of_tau, strict=True)
    print(f"{name}: {max(np.abs(a - b).max() for a, b in pairs):.0e}")

# %%
# **Flows have a name for it.** Models of straight paths, :math:`x_t = (1 - t) x_0 + t \varepsilon`, are trained and
# sampled at large sizes with times that are shifted, :math:`t \mapsto s t / (1 + (s - 1) t)`. It is the same thing:
# ``align_snr`` of that schedule is the shift, and ``match_time`` with the gain :math:`s^2` takes it back.

s = large / small
shifted = s * t / (1 + (s - 1) * t)
sigma = align_snr(flow(), small, large).alpha_sigma(t)[1]
print(f"align_snr and the shift differ by {np.abs(sigma - shifted).max():.0e}")
print(f"match_time takes it back to {np.abs(match_time(flow(), shifted, s * s) - t).max():.0e}")

fig, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
t = np.linspace(0, 1, 301)
for side, colour in zip((24, 48, 96, 192, 384), ("black", GREY, PURPLE, GREEN, ORANGE), strict=True):
    axis.plot(t, align_snr(flow(), 24, side).alpha_sigma(t)[1], color=colour, label=f"24 to {side}, s = {side // 24}")
axis.set(xlabel="t", ylabel=r"$\sigma$", ylim=(0, 1), xlim=(0, 1))
axis.legend(fontsize=8)
plt.show()
