r"""
A table from a few of its rows and columns
==========================================

A CUR decomposition :math:`A \approx C\,U R` keeps columns :math:`C` and rows :math:`R` of the matrix itself, so that
both factors mean something: pixels and digits below, words and documents elsewhere.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from lina.linalg import cur, cur_completion

# %%
# 1797 handwritten digits of 64 pixels. Twenty pixels and twenty digits, chosen by pivoting, rebuild all of them. The
# rows are chosen after the columns, so that the entries where both meet are well conditioned.

A = load_digits().data / 16
F = cur(A, 20, rng=0)
s = np.linalg.svd(A, compute_uv=False)
print(f"error {F.error / F.norm_A:.3f} of the norm, optimum of any rank 20: {np.linalg.norm(s[20:]) / F.norm_A:.3f}")

fig, axes = plt.subplots(3, 8, figsize=(8, 3.4), layout="constrained")
mask = np.zeros(64)
mask[F.cols] = 1
rebuilt = F.toarray()
for j, axis in enumerate(axes[0]):
    axis.imshow(A[F.rows[j]].reshape(8, 8), cmap="gray_r")
for j in range(8):
    axes[1, j].imshow(A[j].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    axes[2, j].imshow(rebuilt[j].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    for y, x in np.argwhere(mask.reshape(8, 8) > 0):
        axes[1, j].plot(x, y, ".", color="#D55E00", markersize=2)
for axis, title in zip(axes[:, 0], ("digits kept", "digits (pixels kept)", "rebuilt"), strict=True):
    axis.set_title(title, fontsize=8, loc="left")
for axis in axes.flat:
    axis.axis("off")
plt.show()

# %%
# How the core is made matters. The best one, :math:`C^+ A R^+`, needs the whole matrix. The inverse of the intersection
# needs only what was kept; it costs some accuracy, and it is all there is when the rest of the table was never seen.

ranks = [5, 10, 15, 20, 25, 30, 35]
cores = {"stable": "#0072B2", "projection": "#56B4E9", "intersection": "#D55E00"}
fig, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
axis.plot(ranks, [np.linalg.norm(s[k:]) / F.norm_A for k in ranks], color="#777777", label="optimum")
for core, colour in cores.items():
    errors = [cur(A, k, core=core, rng=0).error / F.norm_A for k in ranks]
    axis.plot(ranks, errors, "o--" if core == "projection" else "o-", color=colour, markersize=4, label=core)
axis.set(xlabel="rows and columns kept", ylabel="error / norm", ylim=(0, None))
axis.legend()
plt.show()

# %%
# A table of rank 4, of which 6 rows and 6 columns were measured: the rest follows exactly, and a well-conditioned
# intersection of rank 4 is the evidence.

rng = np.random.default_rng(1)
table = rng.standard_normal((200, 4)) @ rng.standard_normal((4, 150))
rows, cols = np.arange(6), np.arange(6)
G = cur_completion(table[:, cols], table[rows], rows, cols)
print(f"rank {G.rank}, unseen entries right to {np.abs(G.toarray() - table).max():.1e}")
