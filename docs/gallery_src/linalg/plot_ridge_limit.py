r"""
The pseudo-inverse as a limit
=============================

The pseudo-inverse is a limit of ridge solutions,

.. math::

   A^+ = \lim_{\varepsilon \to 0} (A^H A + \varepsilon I)^{-1} A^H ,

and it is tempting to compute it that way, with some small :math:`\varepsilon`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from lina.linalg import pinv, ridge_pinv, solve_left

# %%
# A matrix of rank 3, so that :math:`A^H A` is singular. The formula as it stands loses digits as soon as
# :math:`\varepsilon` comes near the rounding of :math:`A^H A`. ``ridge_pinv`` works on singular values,
# :math:`\sigma / (\sigma^2 + \varepsilon)`, all values of :math:`\varepsilon` from one factorisation, and goes all the
# way to the pseudo-inverse.

rng = np.random.default_rng(0)
A = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 20))
exact = pinv(A)
eps = np.geomspace(1e-16, 1e2, 73)

naive = []
for e in eps:
    X = np.linalg.solve(A.T @ A + e * np.eye(20), A.T)
    naive.append(np.linalg.norm(X - exact) / np.linalg.norm(exact))
path = ridge_pinv(A, eps)
errors = np.linalg.norm(path - exact, axis=(1, 2)) / np.linalg.norm(exact)

fig, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
axis.loglog(eps, naive, color="#D55E00", label=r"$(A^H A + \varepsilon I)^{-1} A^H$, solved as written")
axis.loglog(eps, errors, color="#0072B2", label="ridge_pinv, one factorisation")
axis.set(xlabel=r"$\varepsilon$", ylabel="distance from the pseudo-inverse")
axis.legend()
plt.show()

# %%
# Away from the limit the parameter has a use of its own. Ten measurements of 442 patients and the progress of their
# illness: as :math:`\varepsilon` grows the coefficients shrink, those that the data say least about first. With ``B``
# the pseudo-inverse is applied and never formed.

data = load_diabetes()
y = data.target - data.target.mean()
eps = np.geomspace(1e-5, 1e2, 200)
coefficients = ridge_pinv(data.data, eps, B=y)

fig, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
lines = axis.semilogx(eps, coefficients)
axis.legend(lines, data.feature_names, ncols=2, fontsize=8)
axis.set(xlabel=r"$\varepsilon$", ylabel="coefficient")
plt.show()

# %%
# Where one answer is wanted, ``solve_left`` gives the least-squares solution itself, with the evidence that it is one:
# the gradient :math:`2 A^H (A X - M)` of the article, which vanishes at the minimum.

x, info = solve_left(data.data, y, return_info=True)
print(f"rank {info.rank}, condition at most {info.condition:.0f}, by {info.method}")
print(f"residual {info.residual:.1f} of {np.linalg.norm(y):.1f}, gradient {info.optimality:.1e} of its scale")
print(f"distance from the end of the path: {np.linalg.norm(x - ridge_pinv(data.data, 0.0, B=y)):.1e}")
