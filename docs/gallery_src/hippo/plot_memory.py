r"""
Four years in 64 numbers
========================

A memory keeps the coefficients of a projection up to date while a signal comes in, :math:`x' = A x + B u`, and can be
read back as a function of time at any moment. What it is a projection of is the measure: the whole past (LegS), or a
window that slides along (LegT, and its Fourier cousin).
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data

from lina.hippo import legs_scan, lti_scan, reconstruct

# %%
# 1047 closing prices of one share, from August 2004 to October 2008. The scan sees them one by one and keeps 64
# numbers. The last of these states tells the whole past; so does any state before, about its own past.

price = get_sample_data("goog.npz")["price_data"]["close"]
L, N = price.size, 64
states = legs_scan(price, N, return_all=True)
days = np.arange(L) + 0.5

fig, axis = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
axis.plot(days, price, color="#777777", linewidth=0.8, label="prices")
for now, colour in ((350, "#56B4E9"), (L, "#0072B2")):
    past = days[:now]
    values, error = reconstruct(states[now - 1], past, "legs", T=now, u=price[:now])
    axis.plot(past, values, color=colour, label=f"memory on day {now}, off by {error.value:.1f}")
axis.set(xlabel="trading day", ylabel="US dollars")
axis.legend(loc="upper left")
plt.show()

# %%
# Windows of the last 250 days, of the same 64 numbers: they know nothing of the years before, and more of what they
# know. Legendre polynomials are free at both ends. A Fourier series is periodic, and rings where the window begins
# and ends at different prices.

theta = 250
recent = days[-theta:]
memories = {
    "LegS": (states[-1], "legs", "#0072B2"),
    "LegT": (lti_scan(price, N, "legt", theta=theta), "legt", "#D55E00"),
    "Fourier window": (lti_scan(price, N + 1, "fout", theta=theta), "fout", "#009E73"),
}
fig, (above, below) = plt.subplots(2, 1, figsize=(7.5, 5.2), sharex=True, layout="constrained")
above.plot(recent, price[-theta:], color="#777777", linewidth=2.5, alpha=0.5, label="prices")
for name, (x, measure, colour) in memories.items():
    values = reconstruct(x, recent, measure, T=L, theta=theta)
    difference = values - price[-theta:]
    off = np.sqrt(np.mean(difference**2))
    fortnight = np.sqrt(np.convolve(difference**2, np.full(10, 0.1), mode="same"))
    above.plot(recent, values, color=colour, linewidth=1, label=f"{name}, off by {off:.1f}")
    below.semilogy(recent, fortnight, color=colour, linewidth=1)
above.set(ylabel="US dollars")
above.legend(loc="lower left", fontsize=8)
below.set(xlabel="trading day", ylabel="error, ten days")
plt.show()

# %%
# How many numbers are worth it? The errors are certificates: root mean squares over the time that each memory
# remembers, against the staircase that the prices are, with the error of the recursion in them.

sizes = [4, 8, 16, 32, 64, 128]
window = price[-theta:]
curves = {
    "LegS, four years": lambda n: reconstruct(legs_scan(price, n), 0.5, "legs", u=price),
    "LegT, 250 days": lambda n: reconstruct(lti_scan(price, n, theta=theta), 0.5, "legt", u=window),
    "Fourier window, 250 days": lambda n: reconstruct(
        lti_scan(price, n + 1, "fout", theta=theta), 0.5, "fout", u=window
    ),
}
fig, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
for (name, curve), colour in zip(curves.items(), ("#0072B2", "#D55E00", "#009E73"), strict=True):
    axis.loglog(sizes, [curve(n)[1].value for n in sizes], "o-", color=colour, markersize=4, label=name)
axis.set(xlabel="numbers kept", ylabel="error, US dollars")
axis.set_xticks(sizes, [str(n) for n in sizes])
axis.set_yticks([5, 10, 20, 40], ["5", "10", "20", "40"])
axis.minorticks_off()
axis.legend()
plt.show()

# %%
# The memory of everything has no unit of time: the same prices at a third of the pace, three days each, give the same
# numbers. A window has one, ``theta``, and at the slower pace it holds a third of what it held.

slow = np.repeat(price, 3)
pairs = {
    "LegS": (legs_scan(price, N, method="exact"), legs_scan(slow, N, method="exact")),
    "LegT": (lti_scan(price, N, theta=theta), lti_scan(slow, N, theta=theta)),
    "Fourier window": (lti_scan(price, N + 1, "fout", theta=theta), lti_scan(slow, N + 1, "fout", theta=theta)),
}
fig, axes = plt.subplots(1, 3, figsize=(7.5, 2.8), sharey=True, layout="constrained")
for axis, (name, (x, y)) in zip(axes, pairs.items(), strict=True):
    axis.bar(np.arange(12), x[:12], 0.8, color="#CCCCCC", label="daily")
    axis.plot(np.arange(12), y[:12], "o", color="#D55E00", markersize=4, label="a third of the pace")
    axis.set(title=f"{name}\nmoves by {np.linalg.norm(y - x) / np.linalg.norm(x):.0e}", xlabel="coefficient")
axes[0].legend(fontsize=8)
plt.show()
