r"""
A matrix product from some of its terms
=======================================

A product is a sum of :math:`l` outer products, :math:`X Y = \sum_i x_i y_i^T`, of columns of :math:`X` and rows of
:math:`Y`. Keeping :math:`r` of them costs :math:`r/l` of the work. Which ones, and with which weights?
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from lina.linalg import cr_matmul

# %%
# The first layer of a network with rectified units on handwritten digits: activations times weights.

rng = np.random.default_rng(0)
digits = load_digits().data / 16
X = np.maximum(digits @ rng.standard_normal((64, 256)), 0.0)
Y = rng.standard_normal((256, 100))
norm = np.linalg.norm(X @ Y)

rules = {
    "sampled": {"select": "sample", "weights": "importance", "rng": 0},
    "largest norms": {"select": "topnorm"},
    "greedy": {"select": "greedy"},
    "matching pursuit, best weights": {"select": "omp", "weights": "optimal"},
    "largest norms, full core": {"select": "topnorm", "weights": "full"},
}
ranks = [4, 8, 16, 32, 64, 128, 192]
errors = {}
for name, options in rules.items():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sampling warns where its answer is worse than zero: see below
        errors[name] = [cr_matmul(X, Y, r, **options).error / norm for r in ranks]

fig, axis = plt.subplots(figsize=(7, 4.4), layout="constrained")
colours = ("#D55E00", "#E69F00", "#56B4E9", "#0072B2", "#009E73")
for (name, values), colour in zip(errors.items(), colours, strict=True):
    axis.loglog(ranks, values, "o-", color=colour, markersize=4, label=name)
axis.axhline(1.0, color="#777777", linestyle=":", linewidth=1)
axis.text(ranks[0], 1.07, "returning zero", fontsize=8, color="#555555")
axis.set(xlabel="terms kept, of 256", ylabel="error / norm", xticks=ranks, xticklabels=map(str, ranks))
axis.minorticks_off()
axis.legend(fontsize=8)
plt.show()

# %%
# Random sampling with the best probabilities, :math:`p_i \propto \|x_i\|\,\|y_i\|`, is unbiased; that is its only
# virtue here. Its expected error is known beforehand,
#
# .. math::
#
#    \frac{1}{r} [ (\sum_i \|x_i\|\,\|y_i\|)^2 - \|X Y\|_F^2 ] ,
#
# so the result carries it, and a warning is given where it exceeds the norm of the product.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    F = cr_matmul(X, Y, 8, select="sample", weights="importance", rng=0)
print(f"predicted {F.predicted_error / norm:.2f}, found {F.error / norm:.2f} of the norm")
print(caught[0].message)
