r"""
Minimisation that knows how far it is
=====================================

A convex function over distributions comes with a bound of its own error: at the minimum
:math:`p \cdot \nabla F = \min \nabla F`, and anywhere else the difference of the two sides, the gap, is at least
:math:`F(p) - \min F`. So every answer below says how good it is, whichever method found it.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

from lina.simplex import kernel_herding, minimize, mixture_proportions, mmd_quantization

# %%
# The radii of 569 tumours, and the distribution of radii that makes these likeliest if each was measured with an error
# of standard deviation 1: a mixture of normal components on a grid of 200 means. The optimum uses few of them.

z = load_breast_cancer().data[:, 0]
means = np.linspace(z.min(), z.max(), 200)
L = np.exp(-0.5 * (z[:, None] - means) ** 2) / np.sqrt(2 * np.pi)
best = mixture_proportions(L)
print(best)

fig, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
t = np.linspace(z.min() - 2, z.max() + 2, 500)
density = np.exp(-0.5 * (t[:, None] - means) ** 2) / np.sqrt(2 * np.pi) @ best.x
axis.hist(z, bins=50, density=True, color="#DDDDDD", label="measured")
axis.plot(t, density, color="#0072B2", label="mixture")
axis.vlines(means[best.support], 0, best.x[best.support] / 4, color="#D55E00", label="weights / 4")
axis.set(xlabel="radius", yticks=[])
axis.legend()
plt.show()

# %%
# Expectation maximisation also approaches it, and cannot say when to stop: its steps become small long before it is
# near. The same function given to `minimize` shows what the general methods do. The gap is that of one and the same
# definition for all of them, so their curves can be compared.


def negative_log_likelihood(p):
    mixed = L @ p
    if np.min(mixed) <= 0:
        return np.inf, np.zeros_like(p)
    return -np.mean(np.log(mixed)), -(1 / mixed) @ L / len(L)


def em(seconds):
    p, start, trace = np.full(200, 1 / 200), time.perf_counter(), []
    while time.perf_counter() - start < seconds:
        gradient = negative_log_likelihood(p)[1]
        trace.append((time.perf_counter() - start, p @ gradient - gradient.min()))
        p = -p * gradient
    return np.array(trace).T


colours = {
    "frank_wolfe": "#999999",
    "mirror": "#E69F00",
    "accelerated_mirror": "#56B4E9",
    "pairwise": "#009E73",
    "newton": "#CC79A7",
}
fig, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for method, colour in colours.items():
    done = minimize(
        negative_log_likelihood,
        n=200,
        method=method,
        convex=True,
        rtol=1e-9,
        history=True,
        callback=lambda step: step.seconds > 1.0,
    )
    steps = [(s.seconds, max(s.gap, 1e-12)) for s in done.history if s.seconds > 0]
    axis.plot(*np.array(steps).T, color=colour, label=method)
axis.plot(*em(1.0), color="#D55E00", label="expectation maximisation")
mixture_proportions(L)
own = mixture_proportions(L, rtol=1e-9, history=True)
axis.plot(
    *np.array([(s.seconds, max(s.gap, 1e-12)) for s in own.history]).T,
    "o-",
    color="#0072B2",
    ms=3,
    label="mixture_proportions",
)
axis.set(xscale="log", yscale="log", xlabel="seconds", ylabel="gap", ylim=(1e-10, 10))
axis.legend(fontsize=8, ncols=2)
plt.show()

# %%
# A quadratic of the same kind chooses few digits that stand for all 1797, by the distance of the means in the space of
# a Gaussian kernel. `kernel_herding` gives all of its points one weight, `mmd_quantization` the best ones. Its gap says
# how much the square of the distance could fall at most if all points had a weight.

X = load_digits().data / 16
chosen = mmd_quantization(X, 24)
herded = kernel_herding(X, 24)
print(f"distance with the best weights {chosen.mmd:.4f}, with equal ones {herded.mmd:.4f}")

fig, axes = plt.subplots(3, 8, figsize=(7.5, 3.2), layout="constrained")
for axis, i in zip(axes.flat, chosen.order, strict=True):
    axis.imshow(X[i].reshape(8, 8), cmap="gray_r")
    axis.set_title(f"{chosen.x[i]:.1%}", fontsize=7)
    axis.axis("off")
plt.show()

# %%
# The distance falls faster than that of random samples, which falls like one over the root of their number.

numbers = [3, 6, 12, 24, 48, 96]
rng = np.random.default_rng(0)
squares = np.sum(X**2, axis=1)
width = X.var(axis=0).sum()
K = np.exp(-(squares[:, None] + squares - 2 * X @ X.T) / (2 * width))


def distance(x):
    d = x - 1 / len(X)
    return np.sqrt(max(d @ K @ d, 0))


def sample(k):
    return np.bincount(rng.choice(len(X), k, replace=False), minlength=len(X)) / k


fig, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
axis.loglog(
    numbers, [np.mean([distance(sample(k)) for _ in range(20)]) for k in numbers], "o-", color="#999999", label="random"
)
axis.loglog(numbers, [kernel_herding(X, k).mmd for k in numbers], "o-", color="#E69F00", label="kernel_herding")
axis.loglog(numbers, [mmd_quantization(X, k).mmd for k in numbers], "o-", color="#0072B2", label="mmd_quantization")
axis.set(xlabel="points", ylabel="mean discrepancy")
axis.legend()
plt.show()
