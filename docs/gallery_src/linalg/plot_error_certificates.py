r"""
An error that can be trusted down to rounding
=============================================

A truncated SVD is an orthogonal projection, so Pythagoras gives its error for nothing:

.. math::

   \|A - A_k\|_F^2 = \|A\|_F^2 - \sum_{i \le k} s_i^2 .

It is tempting to stop there. Once the error falls below :math:`\sqrt{\varepsilon}\,\|A\|` it has no digits
left.
"""

import matplotlib.pyplot as plt
import numpy as np

from lina.linalg import interpolative, truncated_svd

# %%
# A Cauchy matrix, whose singular values fall exponentially down to rounding.

t = np.linspace(0, 1, 400)
A = 1 / (1e-3 + t[:, None] + t[None, :300])
norm = np.linalg.norm(A)
ranks = range(1, 21)

true, certificate, naive, columns = [], [], [], []
for k in ranks:
    F = truncated_svd(A, k, rng=0)
    true.append(np.linalg.norm(A - F.toarray()) / norm)
    certificate.append(F.error / norm)
    naive.append(np.sqrt(max(0.0, norm**2 - np.sum(F.s**2))) / norm)
    columns.append(interpolative(A, k, rng=0).error / norm)

fig, axis = plt.subplots(figsize=(7, 4), layout="constrained")
axis.semilogy(ranks, true, color="#777777", linewidth=4, alpha=0.4, label="true error")
axis.semilogy(ranks, certificate, "o", color="#0072B2", markersize=4, label="truncated_svd")
axis.semilogy(ranks, columns, "s", color="#009E73", markersize=4, label="interpolative")
visible = np.where(np.array(naive) > 0, naive, np.nan)
axis.semilogy(ranks, visible, "x", color="#D55E00", label="the difference alone")
axis.axhline(np.sqrt(np.finfo(float).eps), color="#777777", linestyle=":", linewidth=1)
axis.set(xlabel="rank", ylabel="error / norm", xticks=range(0, 21, 4))
axis.legend()
plt.show()

# %%
# lina takes the difference while it is sound and forms the residual, row block by row block, below. Either way what
# rounding can hide is added, so that the value is an upper bound; here is the worst ratio of certificate to error:

print(max(c / t for c, t in zip(certificate, true, strict=True)))

# %%
# In the 2-norm there is no Pythagoras. Where the next singular value is unknown, the residual is applied to ten random
# vectors, and the largest answer is magnified until it bounds the norm but for one case in :math:`10^{10}`. Such a
# bound is loose, most of all for noise, whose singular values are nearly equal; ``error_kind`` and
# ``failure_probability`` say which kind of statement it is.

noise = np.random.default_rng(0).standard_normal((300, 200))
F = truncated_svd(noise, 10, norm="2", method="krylov", rng=0)
print(F.error_kind, f"{F.failure_probability:.0e}")
print("bound over true error, noise:    ", F.error / np.linalg.norm(noise - F.toarray(), 2))
F = truncated_svd(A, 10, norm="2", method="krylov", rng=0)
print("bound over true error, Cauchy:   ", F.error / np.linalg.norm(A - F.toarray(), 2))
