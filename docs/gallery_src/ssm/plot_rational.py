r"""
A filter given by two polynomials
=================================

The generating function of any filter with a finite state is a fraction,

.. math::

   \sum_l K_l z^l = \frac{b_1 + \cdots + b_d z^{d-1}}{1 + a_1 z + \cdots + a_d z^d} ,

so that its 2 d coefficients may be the parameters themselves: no state matrix at all. Such a layer is trained by
transforms of one length, and later run as a recurrence, at any length. Between the two lie two traps, and a way around
the second.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from lina.ssm import (
    RationalSystem,
    kernel_rational,
    kernel_rational_truncated,
    linear_scan,
    recover_b,
    stability_margin,
    stable_polynomial,
    step_down,
    step_up,
    to_dense,
    truncated_b,
)

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"

# %%
# **One filter, three ways.** A fraction with 8 poles: its taps by division of power series, by the companion matrix
# that has minus the denominator in its first row, and by a recurrence whose state is the last 8 outputs of
# :math:`1 / a`.

a = stable_polynomial(np.array([-1.6, 1.5, -0.7, 0.8, -0.4, 0.5, -0.2, 0.3]))
b = np.array([1.0, -0.5, 0.3, 0.2, -0.4, 0.1, 0.3, -0.2])
filter_ = RationalSystem(a, b)
K = kernel_rational(a, b, 512)
by_recurrence = linear_scan(filter_, np.eye(1, 512)[0])[0]
companion = to_dense(filter_).system
by_powers = [companion.C @ np.linalg.matrix_power(companion.A, k) @ companion.B for k in range(512)]
print(f"recurrence: off by {np.abs(by_recurrence - K).max():.0e}, companion: {np.abs(by_powers - K).max():.0e}")

poles = np.linalg.eigvals(companion.A)
angle = np.linspace(0, 2 * np.pi, 400)
fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2), width_ratios=[1, 2], layout="constrained")
left.plot(np.cos(angle), np.sin(angle), color=GREY, linewidth=1)
left.plot(poles.real, poles.imag, "x", color=BLUE)
left.set(aspect="equal", title="Poles")
right.plot(K[:200], color=BLUE)
right.set(xlabel="tap", title="Kernel")
plt.show()

# %%
# **The length trap.** At the L-th roots of unity the fraction has the taps *plus* all those that are L, 2 L, ... later.
# The L taps come out with the numerator :math:`\tilde b` instead of b, and this one is what training at length L finds.
# Take it to another length, or into the recurrence, and the filter is another one. `recover_b` returns the true
# numerator, in L log L operations and without a matrix.

L = 24
trained = truncated_b(a, b, L)
recovered = recover_b(a, trained, L)
print(f"b from b~: off by {np.abs(recovered.system.b - b).max():.0e}, estimated {recovered.error:.0e}")

fig, axes = plt.subplots(1, 2, figsize=(7.5, 3.2), sharey=True, layout="constrained")
for axis, length in zip(axes, (L, 5 * L), strict=True):
    axis.plot(K[:length], color=GREY, linewidth=4, alpha=0.5, label="taps")
    axis.plot(kernel_rational_truncated(a, trained, length), color=ORANGE, label="transforms with b~")
    y = linear_scan(recovered.system, np.eye(1, length)[0])[0]
    axis.plot(y, color=BLUE, linewidth=1, label="recurrence with b")
    axis.set(xlabel="tap", title=f"At length {length}")
axes[1].legend(fontsize=8)
plt.show()

# %%
# **The pole that nobody sees.** A pole outside of the unit circle makes the recurrence explode. The circular kernel
# stays bounded: what would grow forwards is, around the circle, a tail that fades backwards. Training cannot notice. So
# `recover_b` looks, and `stability_margin` decides with a proof of its sign.

outside = np.convolve(np.r_[1, a], [1, -1.02])[1:]
L = 512
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    numerator = np.r_[b, 0.0]
    found = recover_b(outside, numerator, L)
print(f"margin {float(stability_margin(outside)):.3f}")
print(f"{caught[0].category.__name__}: {str(caught[0].message).partition(',')[0]}")

fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2), layout="constrained")
left.plot(kernel_rational_truncated(outside, numerator, L, unstable="ignore"), color=ORANGE)
left.set(xlabel="tap", title=f"By transforms of length {L}")
right.semilogy(np.abs(linear_scan(found.system, np.eye(1, 6 * L)[0])[0]), color=BLUE)
right.axvline(L, color=GREY, linewidth=1)
right.text(L * 1.1, 1e-3, "length of training", fontsize=8, color=GREY)
right.set(xlabel="tap", title="By the recurrence, absolute value")
plt.show()

# %%
# **A repair.** Reflection coefficients of modulus 1 or more are those of poles outside: clipped, they belong to a
# denominator whose poles are inside. That holds for exact coefficients. Rounding them moves poles that are close to
# the circle, and at higher degrees may move them out again, so the margin is looked at afterwards; multiplying
# :math:`a_m` by :math:`r^m` shrinks all poles by r, until it is positive.

repaired = step_up(np.clip(step_down(outside), -0.99, 0.99))
while stability_margin(repaired) <= 0:
    repaired = repaired * 0.999 ** np.arange(1, len(repaired) + 1)
print(f"margin {float(stability_margin(outside)):.4f} before, {float(stability_margin(repaired)):.4f} after")

steep = step_up(0.99 * np.sign(np.cos(np.arange(24) ** 2)))
print(f"24 reflection coefficients of +-0.99: margin {float(stability_margin(steep)):.4f}, by rounding alone")

# %%
# **All stable denominators and no others** are reached through the reflection coefficients: those of a stable
# polynomial lie between -1 and 1, any such numbers belong to a stable one (up to the rounding just seen), and
# `stable_polynomial` makes both smooth with a tanh. For degree 2 they fill the triangle. Keeping the sum of moduli
# below 1 instead, as is done too, is safe and gives up half.

rng = np.random.default_rng(0)
points = stable_polynomial(rng.normal(0, 0.8, (3000, 2)))
fig, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
axis.fill([-1, 0, 1, 0], [0, 1, 0, -1], color=ORANGE, alpha=0.35, label="sum of moduli below 1")
axis.plot([-2, 2, 0, -2], [1, 1, -1, 1], color=GREY, linewidth=1, label="border of the stable ones")
axis.plot(points[:, 0], points[:, 1], ".", color=BLUE, markersize=1.5, label="stable_polynomial of noise")
axis.set(xlabel="a1", ylabel="a2", aspect="equal", xlim=(-2.2, 2.2), ylim=(-1.2, 1.9))
axis.legend(fontsize=8, ncols=1, loc="upper center")
plt.show()
k = step_down(points)
print(f"largest pole {1 - stability_margin(points).min():.6f}, largest reflection coefficient {np.abs(k).max():.6f}")
