r"""
Columns that speak for the others
=================================

An interpolative decomposition :math:`A \approx C Z` keeps columns :math:`C` of the matrix itself. All depends on which:
the error is that of projecting :math:`A` on the columns kept.
"""

import matplotlib.pyplot as plt
import numpy as np

from lina.linalg import interpolative, select_columns

# %%
# Forty clusters of columns, of very different size. Good columns are one of each cluster, the large clusters first.
# Rules that rank columns one by one, by norm or by leverage, take several of the same cluster; drawing at random does
# so too.

rng = np.random.default_rng(0)
centres = rng.standard_normal((300, 40)) * np.geomspace(100, 1, 40)
A = np.repeat(centres, 20, axis=1) + 0.01 * rng.standard_normal((300, 800))
s = np.linalg.svd(A, compute_uv=False)
ranks = [5, 10, 20, 30, 40]
methods = {
    "norm": "#D55E00",
    "uniform": "#E69F00",
    "leverage": "#CC79A7",
    "lupp": "#56B4E9",
    "cpqr": "#0072B2",
    "greedy": "#009E73",
}

fig, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
best = [np.linalg.norm(s[k:]) for k in ranks]
for method, colour in methods.items():
    errors = [select_columns(A, k, method=method, rng=0).error for k in ranks]
    axis.semilogy(ranks, np.divide(errors, best), "o-", color=colour, markersize=4, label=method)
axis.set(xlabel="columns kept", ylabel="error / optimum of any rank-k matrix")
axis.legend(fontsize=8)
plt.show()

# %%
# Pivoted QR never takes two columns of one cluster while another is missing, and so do its cheaper relatives. It has
# one known weakness. On Kahan's matrix no pivoting takes place at all, and the coefficients of the other columns grow
# exponentially:

n, sine, cosine = 90, np.sin(1.2), np.cos(1.2)
K = np.diag(sine ** np.arange(n)) @ (np.eye(n) - cosine * np.triu(np.ones((n, n)), 1))
plain = interpolative(K, n - 1, method="cpqr")
strong = interpolative(K, n - 1, max_coef=2.0)
print(f"pivoted QR: coefficients up to {plain.max_abs_coef:.1e}")
print(f"max_coef=2: coefficients up to {strong.max_abs_coef:.3g}, by exchanging columns (Gu and Eisenstat)")

# %%
# Every other matrix in daily use is kinder, and ``max_abs_coef`` says so each time: how far errors of the columns kept
# are magnified.

print(f"the clusters: {interpolative(A, 40, rng=0).max_abs_coef:.3g}")
