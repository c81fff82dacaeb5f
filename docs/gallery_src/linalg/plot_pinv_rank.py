r"""
Why the rank of a pseudo-inverse needs care
===========================================

The pseudo-inverse inverts the singular values above a cutoff and drops the others. It is discontinuous there: whether
:math:`\sigma` counts decides between :math:`1/\sigma` and 0. So a fast method is only as good as its rank decision.
"""

import matplotlib.pyplot as plt
import numpy as np

from lina.linalg import pinv

# %%
# A matrix with 60 singular values from 1 to 1e-3 and 40 equal to some :math:`\delta`. The textbook shortcut takes the
# eigenvalues of :math:`A^\top A`, which are squares: below :math:`\sqrt{\varepsilon} \approx 10^{-8}` they are
# rounding.

rng = np.random.default_rng(0)
U = np.linalg.qr(rng.standard_normal((300, 100)))[0]
V = np.linalg.qr(rng.standard_normal((100, 100)))[0]
deltas = np.geomspace(1e-16, 1e-4, 33)
cutoff = 300 * np.finfo(float).eps

gram, lina_rank, methods, gaps = [], [], [], []
for delta in deltas:
    A = (U * np.r_[np.geomspace(1, 1e-3, 60), np.full(40, delta)]) @ V.T
    eigenvalues = np.linalg.eigvalsh(A.T @ A)
    gram.append(np.sum(eigenvalues > 100 * np.finfo(float).eps * eigenvalues[-1]))
    info = pinv(A, return_info=True)[1]
    lina_rank.append(info.rank)
    methods.append(info.method)
    gaps.append(info.gap)

fig, (top, bottom) = plt.subplots(2, 1, figsize=(7, 5.5), sharex=True, layout="constrained")
top.semilogx(deltas, gram, color="#D55E00", label=r"eigenvalues of $A^\top A$")
top.semilogx(deltas, lina_rank, color="#0072B2", label="lina (the SVD's rank)")
top.axvline(cutoff, color="#777777", linestyle=":", label="cutoff max(m, n) eps")
top.set(ylabel="rank", title="40 small singular values: when do they count?")
top.legend()
bottom.loglog(deltas, gaps, color="#0072B2")
bottom.set(xlabel=r"$\delta$, the 40 small singular values", ylabel="gap")
bottom.axvline(cutoff, color="#777777", linestyle=":")
plt.show()

# %%
# Between the cutoff and :math:`10^{-8}` the shortcut drops forty directions that are there. lina uses the Gram matrix
# too, but only where bounds of all singular values keep a factor ten away from the cutoff; else it goes on to
# Householder QR, and to the SVD itself. ``gap`` says how far the decision was from turning: 1 is on the edge.

for name in dict.fromkeys(methods):
    used = deltas[[m == name for m in methods]]
    print(f"{name:<8} for delta from {used.min():.0e} to {used.max():.0e}")
