r"""
Positions that were never trained
=================================

Rotary attention turns pair i of the coordinates of queries and keys by the angle :math:`m\theta_i`, where m is the
position and :math:`\theta_i = b^{-2i/d}`, so that a logit depends on the relative position :math:`i - j`. A model
that was trained on L positions has met relative positions below L only. There are three ways to keep it from others
without training: let the frequencies shrink, cut positions off, or see less. This page draws what each of them does.
"""

import matplotlib.pyplot as plt
import numpy as np

from lina.rope import RotaryScaling, bucket_of, rotate, suggest, turns

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#999999"
trained, longer, head_dim = 4096, 32768, 128

# %%
# **What a frequency has seen.** The fast pairs go round hundreds of times within the trained length: every angle is
# known, and 8 times the length brings nothing new. The slow ones have not finished one turn, and for them most angles
# of a longer text are new. YaRN is built on this count: it keeps frequencies of more than ``beta_fast`` = 32 turns,
# stretches those of fewer than ``beta_slow`` = 1 by the whole factor, and passes from one to the other between them.

shared = {"head_dim": head_dim, "original_length": trained}
plain = RotaryScaling("none", **shared)
count = turns(plain.inv_freq(), trained)
print(f"{np.sum(count < 1)} of {len(count)} frequencies have not gone round once in {trained} positions")

factor = longer / trained
kinds = {
    "linear": ("linear", {}, GREY),
    "ntk": ("ntk", {}, GREEN),
    "yarn, ramp of turns": ("yarn", {"ramp": "turns"}, ORANGE),
    "yarn, ramp of dims": ("yarn", {"ramp": "dims"}, BLUE),
}
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.semilogy(count, color=GREY)
for level in (1, 32):
    left.axhline(level, color="black", linewidth=0.7, linestyle=":")
    left.annotate(f"{level} turn{'s' * (level > 1)}", (1, level), textcoords="offset points", xytext=(0, 3), fontsize=8)
left.set(xlabel="pair", ylabel="turns in training", title="Fast pairs have seen every angle")
for name, (kind, options, colour) in kinds.items():
    stretched = RotaryScaling(kind, **shared, factor=factor, **options)
    right.semilogx(count, plain.inv_freq() / stretched.inv_freq(), color=colour, label=name)
right.invert_xaxis()
right.set(xlabel="turns in training", ylabel="stretched by", title=f"Frequencies for {factor:.0f} times the length")
right.legend(fontsize=8)
plt.show()

# %%
# The two ramps of YaRN share a name and are not the same: the paper passes over linearly in the number of turns, the
# code that everybody runs linearly in the index of the pair. Frequencies differ by up to

dims, by_turns = (RotaryScaling("yarn", **shared, factor=factor, ramp=ramp).inv_freq() for ramp in ("dims", "turns"))
print(f"a factor {max(dims / by_turns):.2f}")

# %%
# **Positions cut off.** ReRoPE keeps relative positions below a window w and gives all others the position w. Leaky
# ReRoPE lets them grow on, k times slower; Self-Extend rounds them down to groups. What one token sees nearby is what
# it was trained on, and nothing is farther away than it has seen. Here 24 positions after training on 12, as
# `suggest` has them; what is beyond the trained length is orange.


def draw(axis, scaling, L=24):
    P = scaling.position_matrix(L)
    axis.imshow(P, cmap="Blues", vmin=0, vmax=scaling.original_length + 4)
    for i, j in np.argwhere(scaling.original_length < P):
        axis.add_patch(plt.Rectangle((j - 0.5, i - 0.5), 1, 1, color=ORANGE))
    for i, j in ((22, 2), (22, 9), (13, 2), (22, 18)):
        if np.isfinite(P[i, j]):
            axis.text(j, i, f"{P[i, j]:g}"[:4], ha="center", va="center", fontsize=7)
    axis.set(title=scaling.kind, xticks=[0, 12, 23], yticks=[0, 12, 23])


fig, axes = plt.subplots(2, 4, figsize=(9, 4.8), layout="constrained")
for axis, kind in zip(axes.flat, ("none", "rerope", "leaky_rerope", "self_extend"), strict=False):
    draw(axis, RotaryScaling(**suggest(kind, 12, 24), head_dim=8))
seen = {"window": {"window": 8}, "sink": {"window": 6, "sinks": 2}, "lambda_mask": {"window": 8, "sinks": 2}}
for axis, (kind, options) in zip(axes[1], seen.items(), strict=False):
    draw(axis, RotaryScaling(kind, head_dim=8, original_length=12, **options))
axes[1, 3].axis("off")
axes[0, 0].set_ylabel("query")
axes[1, 0].set(ylabel="query", xlabel="key")
plt.show()

# %%
# The lower row sees less: a window only; the first keys besides, with positions counted in the cache (StreamingLLM);
# or the first keys at a distance that is clipped at the trained length (LM-Infinite). All of these are a few plain
# causal attentions, merged; `lina.torch.extrapolated_attention` never forms the matrices that are drawn here.

# %%
# **A scale that follows the row.** A scale that is fixed for long texts costs quality in short ones, and one that
# follows the length of the text so far turns keys that are in a cache already by other frequencies than new ones.
# With ``schedule="row_bucket"`` the scale is a power of two that depends on the query's own position, and the cache
# holds keys that are not turned: nothing changes within the trained length, and a text gets the same logits in one
# piece or token by token.

rows = np.arange(1, 4 * trained)
fig, axis = plt.subplots(figsize=(6, 2.6), layout="constrained")
axis.plot(rows, np.full(rows.shape, 4.0), color=GREY, label="fixed for four times the length")
axis.plot(
    rows, np.maximum(1, rows / trained), color=ORANGE, linestyle="--", label="of the length so far: breaks caches"
)
axis.plot(rows, bucket_of(rows, trained), color=BLUE, label="by row")
axis.set(xlabel="position of the query", ylabel="scale", xticks=trained * np.arange(5), ylim=(0, 5.5))
axis.legend(fontsize=8, loc="upper left", ncols=2)
plt.show()

# %%
# **Far positions need more digits.** Shifting all positions by the same amount should change nothing. With angles in
# single precision, as models compute them, it does; `rotate` takes them in double precision, and attention counts
# from the rows of a block.

rng = np.random.default_rng(0)
q, k = rng.standard_normal((2, 64, head_dim)).astype("float32")
theta = plain.inv_freq()


def single(x, position):
    cos, sin = (f(np.float32(position) * theta.astype("float32")) for f in (np.cos, np.sin))
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


exact = (rotate(q.astype(float), 5, theta) * k).sum(-1)
shifts = 10 ** np.arange(2, 8)
errors = {"single": [], "double": []}
for shift in shifts:
    pairs = {
        "single": (single(q, shift + 5), single(k, shift)),
        "double": (rotate(q, shift + 5, theta), rotate(k, shift, theta)),
    }
    for name, (a, b) in pairs.items():
        errors[name].append(np.abs((a * b).sum(-1) - exact).max() / np.sqrt(head_dim))
fig, axis = plt.subplots(figsize=(5, 2.8), layout="constrained")
axis.loglog(shifts, errors["single"], "o-", color=ORANGE, label="angles in single precision")
axis.loglog(shifts, errors["double"], "o-", color=BLUE, label="in double precision")
axis.set(xlabel="all positions shifted by", ylabel="largest error of a logit")
axis.legend(fontsize=8)
plt.show()
