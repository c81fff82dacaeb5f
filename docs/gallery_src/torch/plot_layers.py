r"""
Layers that learn from sequences
================================

A state-space layer is a linear filter for each channel, :math:`y_k = \sum_l K_l x_{k-l} + D x_k`, whose taps
:math:`K_l = C A^l B` come from a small system. It may be computed as a convolution, all samples at once, or as the
recurrence :math:`s_{k+1} = A s_k + B x_k, \; y_k = C s_{k+1} + D x_k`, which carries a state. A network is trained in
the first way and later reads a stream in the second. This page does both, and shows what must hold for that.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

from lina.ssm import kernel_rational_truncated, linear_scan, recover_b, stability_margin
from lina.torch import RTF, S4, S4D, SequenceClassifier

torch.set_num_threads(1)  # faster for networks of this size
torch.manual_seed(0)
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"

# %%
# **One layer, three ways.** S4 begins with the matrix of a memory, HiPPO-LegS, and a random row C that reads it.
# ``layer(x)`` convolves; ``layer.prefill(x)`` does so too and returns the state at the end; ``layer.step(x_t, state)``
# takes one more sample. The order is free, the numbers are the same. The state has the same size after any number of
# samples. Each of its modes answers to a frequency of its own: as the signal speeds up, the answer moves through them.

layer = S4(channels=1, state=32, dt_min=0.02, dt_max=0.02)
t = torch.arange(300) / 300
x = torch.sin(2 * torch.pi * (2 * t + 14 * t**2))[None, :, None]
with torch.no_grad():
    y = layer(x)
    first, state = layer.prefill(x[:, :100])
    states, outputs = [], [first]
    for k in range(100, 300):
        y_k, state = layer.step(x[:, k], state)
        outputs.append(y_k[:, None])
        states.append(state[0, 0].abs())
print(f"100 samples at once, then 200 steps: off by {(torch.cat(outputs, 1) - y).abs().max() / y.abs().max():.0e}")

fig, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 2.9), layout="constrained")
left.plot(layer.kernel(300)[0].detach(), color=BLUE)
left.set(xlabel="tap", title="Kernel")
middle.plot(x[0, :, 0], color=GREY, linewidth=1, label="input")
middle.plot(y[0, :, 0], color=BLUE, label="output")
middle.set(xlabel="sample", title="A signal that speeds up", ylim=(None, 1.5 * y.max()))
middle.legend(fontsize=8, ncols=2, loc="upper center")
right.imshow(torch.stack(states, 1), aspect="auto", cmap="Blues", extent=(100, 300, 16.5, 0.5), vmin=0)
right.set(xlabel="sample", ylabel="mode, slow to fast", yticks=[1, 6, 11, 16], title="Moduli of the state")
plt.show()

# %%
# **Training.** The 1797 digits of scikit-learn are sequences of 64 pixels, row by row. The classifier is an encoder to
# 32 channels, two residual blocks with a layer each, and a linear map of the mean over all samples so far. Half of each
# batch is cut off at a random place (``lengths``), so that an answer is learned for beginnings too. Parameters that
# move poles get a smaller step and no weight decay, which is what ``parameter_groups`` is for.

data = load_digits()
pixels = torch.tensor((data.data - data.data.mean()) / data.data.std(), dtype=torch.float32)[..., None]
classes = torch.tensor(data.target)
order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(0))
test, training = order[:450], order[450:]


def train(layer, epochs=16, batch=32, **rates):
    torch.manual_seed(0)
    model = SequenceClassifier(1, 10, layer=layer, width=32, depth=2)
    before = model.blocks[0].layer.kernel(64).detach()
    optimizer = torch.optim.AdamW(model.parameter_groups(**rates, weight_decay=0.01))
    steps = epochs * -(-len(training) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [g["lr"] for g in optimizer.param_groups], steps)
    for _ in range(epochs):
        for part in torch.randperm(len(training)).split(batch):
            rows = training[part]
            lengths = torch.randint(8, 65, (len(rows),))
            lengths[: len(rows) // 2] = 64
            loss = cross_entropy(model(pixels[rows], lengths), classes[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        right = (model(pixels[test]).argmax(-1) == classes[test]).float().mean()
    print(f"{100 * right:.1f} % of 450 digits are right")
    return model, before


s4d, s4d_before = train(lambda channels: S4D(channels, 16, dt_min=1e-2), lr=2e-2, state_lr=4e-3)
rtf, rtf_before = train(lambda channels: RTF(channels, 32), lr=2e-2, state_lr=1e-2)

# %%
# **What was learned.** S4D begins with random sums of damped waves, which grow and change. RTF, a fraction of two
# polynomials, begins at zero: its filters come from the digits alone. The spectrum of all of them (the root of the mean
# square) has a hump near one cycle in 8 pixels, which is what a row is; no one has told the network.

cycles = np.arange(257) / 512
fig, axes = plt.subplots(2, 3, figsize=(9, 4.4), layout="constrained", width_ratios=[1, 1, 1.1])
for row, model, before, name in zip(axes, (s4d, rtf), (s4d_before, rtf_before), ("S4D", "RTF"), strict=True):
    after = model.blocks[0].layer.kernel(64).detach()
    strongest = after.norm(dim=1).argsort(descending=True)[:3]
    for axis, K in zip(row, (before, after), strict=False):
        for i, colour in zip(strongest, (BLUE, ORANGE, GREEN), strict=True):
            axis.plot(K[i], color=colour, linewidth=1)
        axis.set(xlabel="tap", ylim=(-1.1 * after.abs().max(), 1.1 * after.abs().max()))
    row[0].set_title(f"{name}: three filters before")
    row[1].set_title("after training")
    for K, colour, label in ((before, GREY, "before"), (after, BLUE, "after")):
        row[2].plot(cycles, torch.fft.rfft(K, 512).abs().square().mean(0).sqrt(), color=colour, label=label)
    row[2].axvline(1 / 8, color=GREY, linewidth=1, linestyle=":")
    row[2].set(xlabel="cycles per pixel", title="Spectrum of all 32", xticks=[0, 1 / 8, 1 / 4, 1 / 2], ylim=(0, None))
    row[2].set_xticklabels(["0", "1/8", "1/4", "1/2"])
axes[0, 2].legend(fontsize=8)
plt.show()

# %%
# **Streaming.** The same networks, one pixel at a time. After the last one they say what they say of the whole.

fig, axis = plt.subplots(figsize=(6, 3), layout="constrained")
for model, name, colour in ((s4d, "S4D", BLUE), (rtf, "RTF", ORANGE)):
    with torch.no_grad():
        whole = model(pixels[test])
        state, right = model.initial_state(len(test)), []
        for k in range(64):
            logits, state = model.step(pixels[test, k], state)
            right.append((logits.argmax(-1) == classes[test]).float().mean())
    print(f"{name}, 64 steps against the whole: off by {(logits - whole).abs().max() / whole.abs().max():.0e}")
    axis.plot(range(1, 65), right, color=colour, label=name)
axis.set(xlabel="pixels seen", ylabel="share right", xticks=range(0, 65, 8), xlim=(0, 64), ylim=(0, 1))
axis.legend(loc="lower right")
plt.show()

# %%
# **The trap.** RTF was published with a numerator that belongs to one length L and a denominator that is free: the taps
# are the inverse transform of the fraction at the L-th roots of unity. That learns the same digits. But nothing keeps
# the poles inside of the unit circle, and around the circle a pole outside looks like a tail that fades backwards.


class Circular(RTF):
    def kernel(self, L):
        return kernel_rational_truncated(self.a, self.b, L, unstable="ignore")


free, _ = train(lambda channels: Circular(channels, 32, constraint=None), lr=2e-2, state_lr=1e-2)
try:
    free.initial_state(1)
except ValueError as error:
    print("refused:", str(error).partition(",")[0])

# %%
# The recurrence of such a layer, with the true numerator from `recover_b`, has the same taps up to L = 64. Then it
# explodes, while the transforms keep on repeating themselves. With its constraint RTF is a recurrence from the start:
# its denominators have :math:`\sum |a_m| < 1`, so that no pole leaves, and `check_stability` proves the sign.

a, b = (parameter.detach().numpy().astype(float) for parameter in (free.blocks[0].layer.a, free.blocks[0].layer.b))
margins = stability_margin(a)
worst = int(margins.argmin())
found = recover_b(a[worst], b[worst], 64, unstable="ignore")
taps = linear_scan(found.system, np.eye(1, 400)[0])[0]
circular = kernel_rational_truncated(a[worst], b[worst], 64, unstable="ignore")
print(f"{np.sum(margins < 0)} of 32 filters of the first layer are unstable, largest pole {1 - margins[worst]:.3f}")
print(f"the taps of both agree to {np.abs(taps[:64] - circular).max() / np.abs(circular).max():.0e} up to 64")
print(f"with the constraint: least margin {min(float(b.layer.check_stability().min()) for b in rtf.blocks):.4f}")


def poles(denominators):
    found = np.concatenate([np.roots([1.0, *row]) for row in denominators])
    return found[found.imag >= 0]


angle = np.linspace(0, np.pi, 300)
fig, (left, middle, right) = plt.subplots(1, 3, figsize=(9.5, 2.9), layout="constrained", width_ratios=[1.2, 1.2, 1])
constrained = rtf.blocks[0].layer.fraction()[0].detach().numpy().astype(float)
for axis, denominators, title in ((left, a, "Poles, circular"), (middle, constrained, "Poles, constrained")):
    p = poles(denominators)
    axis.plot(np.cos(angle), np.sin(angle), color=GREY, linewidth=1)
    axis.plot(*p[abs(p) < 1].view(float).reshape(-1, 2).T, ".", color=BLUE, markersize=3)
    axis.plot(*p[abs(p) >= 1].view(float).reshape(-1, 2).T, ".", color=ORANGE, markersize=4)
    axis.set(aspect="equal", title=title, xlim=(-1.3, 1.3), ylim=(-0.05, 1.3))
right.semilogy(np.abs(np.tile(circular, 7)[:400]), color=BLUE, linewidth=0.8, label="by transforms")
right.semilogy(np.abs(taps), color=ORANGE, linewidth=1, label="by the recurrence")
right.axvline(64, color=GREY, linewidth=1, linestyle=":")
right.set(xlabel="tap", title="Taps of the worst filter")
right.legend(fontsize=8)
plt.show()
