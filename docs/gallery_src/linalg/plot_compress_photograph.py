r"""
A photograph from fewer numbers
===============================

A grey photograph is a matrix :math:`A` of shape :math:`(m, n)`. Two ways to keep it with rank :math:`k`:

.. math::

   A \approx U\,\mathrm{diag}(s)\,V^H \qquad \text{or} \qquad A \approx C\,Z, \quad C = A[:, \mathrm{indices}] .

The truncated SVD is the best of its rank (Eckart and Young), and stores :math:`k\,(m + n + 1)` numbers. The
interpolative decomposition keeps :math:`k` columns of the photograph itself and writes all others in terms of them.
:math:`Z` holds an identity, so it stores :math:`k\,(m + n - k)` numbers and :math:`k` indices: at equal storage it may
have a few terms more.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from lina.linalg import interpolative, truncated_svd

A = load_sample_image("flower.jpg") @ np.array([0.299, 0.587, 0.114]) / 255
m, n = A.shape


def terms_of_equal_storage(k):
    """Return the largest j with j (m + n - j) + j <= k (m + n + 1)."""
    return int(((m + n + 1) - np.sqrt((m + n + 1) ** 2 - 4 * k * (m + n + 1))) / 2)


# %%
# The same number of stored numbers for both, once a tenth of the photograph and once a fifth. The errors above the
# pictures are not measured on the pictures: they are the certificates that the results carry.

fig, axes = plt.subplots(2, 3, figsize=(9, 4.6), layout="constrained")
pictures = [("the photograph", A)]
for share in (0.1, 0.2):
    k = int(share * m * n / (m + n + 1))
    F = truncated_svd(A, k, rng=0)
    G = interpolative(A, terms_of_equal_storage(k), rng=0)
    for name, result in (("SVD", F), ("ID", G)):
        title = f"{name}, {share:.0%} stored, rank {result.rank}: {result.error / result.norm_A:.1%}"
        pictures.append((title, result.toarray()))
pictures.insert(3, (f"the {G.rank} columns kept", A))
for axis, (title, picture) in zip(axes.flat, pictures, strict=True):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, fontsize=9)
    axis.axis("off")
for column in G.indices:
    axes[1, 0].axvline(column, color="#D55E00", linewidth=0.7)
plt.show()

# %%
# The columns crowd where the picture changes. What the interpolative decomposition gives up in error it returns in
# meaning: its factors are pixels of the photograph, so they keep its sign, its range and its zeros, and ``Z`` says how
# every other column follows. ``max_abs_coef`` tells how far it could magnify errors in the columns kept: 1 is the least
# possible.

print(f"largest coefficient: {G.max_abs_coef:.3f}")

# %%
# Over all ranks: how much longer the description by columns must be for the same error. The optimum is known from the
# singular values alone, and both certificates stay above it.

stored = np.linspace(0.02, 0.5, 13)
ranks = [int(share * m * n / (m + n + 1)) for share in stored]
svd = [truncated_svd(A, k, rng=0) for k in ranks]
columns = [interpolative(A, terms_of_equal_storage(k), rng=0) for k in ranks]
s = np.linalg.svd(A, compute_uv=False)

fig, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
best = [np.linalg.norm(s[k:]) / np.linalg.norm(s) for k in ranks]
axis.semilogy(stored, best, color="#777777", linewidth=5, alpha=0.4, label="optimum")
axis.semilogy(stored, [F.error / F.norm_A for F in svd], "o-", color="#0072B2", label="SVD")
axis.semilogy(stored, [G.error / G.norm_A for G in columns], "s-", color="#009E73", label="ID")
axis.set(xlabel="share of the numbers stored", ylabel="certificate / norm")
axis.legend()
plt.show()
