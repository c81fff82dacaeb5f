r"""
From a memory to a convolution: the algebra of S4
=================================================

A memory that runs at a fixed pace, :math:`x' = A x + B u`, with a row :math:`C` that reads it, is a filter. Its kernel
:math:`K_l = C \bar A^l \bar B` takes products with a dense matrix, one for each tap, unless the matrix has a form: that
of HiPPO-LegS is normal plus low rank, and then the whole kernel is the inverse transform of a rational function.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

from lina.hippo import basis, nplr, transition
from lina.ssm import DenseSystem, DPLRSystem, generating_function, kernel_dplr, linear_scan, truncated_c

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"

# %%
# **Diagonalise?** The matrix of LegS is triangular, with the eigenvalues -1, ..., -N, and its eigenvectors are useless:
# their condition grows so fast that nothing is left at N = 32. Add half of :math:`r r^T`, with
# :math:`r_n = \sqrt{2n+1}`, and what is left is -1/2 plus a skew matrix, whose eigenvectors are orthonormal. So
# :math:`A = V (\Lambda - P P^*) V^*`.

sizes = np.array([2, 4, 8, 16, 32, 64, 128])
off = []
for N in sizes:
    A = transition("legs", N)[0]
    poles, V = np.linalg.eig(A)
    by_eig = np.linalg.norm((V * poles) @ np.linalg.pinv(V) - A)
    off.append((by_eig / np.linalg.norm(A), nplr("legs", N).error / np.linalg.norm(A)))

F = nplr("legs", 64)
fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2), layout="constrained")
left.loglog(sizes, np.array(off)[:, 0], "o-", color=ORANGE, label="by eigenvectors")
left.loglog(sizes, np.array(off)[:, 1], "o-", color=BLUE, label="normal plus low rank, certified")
left.set(xlabel="N", title="Relative error of the parts", ylim=(1e-17, 1e3))
left.legend(fontsize=8, loc="upper left")
right.semilogx(F.Lambda.imag, F.Lambda.real, "o", color=BLUE, markersize=4)
right.set(xlabel="frequency", ylabel="real part", title="One of each pair of Λ, N = 64", ylim=(-1, 0))
plt.show()

# %%
# **The generating function.** Of the kernel in steps of :math:`\Delta` by the bilinear transform it is
#
# .. math::
#
#    G(z) = \sum_l K_l z^l = \Delta\, C \bigl((1-z) I - \tfrac{\Delta}{2} (1+z) A\bigr)^{-1} B .
#
# With :math:`A` normal plus low rank the inverse is diagonal but for a term of rank one (Woodbury), and four sums over
# the poles are all it takes. Here the row reads what was 0.3 units of time ago. Its values at the roots of unity are
# the spectrum of the filter.

N, dt, L = 64, 1 / 400, 1024
C = basis("legs", N, -0.3, 0.0, time_map="exponential")
layer = DPLRSystem(F.Lambda, F.P, F.B, C @ F.V)
dense = DenseSystem(*transition("legs", N), C)


def seconds(call):
    spent = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        spent.append(time.perf_counter() - start)
    return min(spent)


G = generating_function(layer, L, L, dt=dt)
K = np.fft.irfft(G, L)
taps = linear_scan(dense.discretize(dt, "bilinear"), np.eye(1, L)[0])[0]
print(f"Woodbury against the recurrence of the dense matrix: off by {np.abs(K - taps).max() / np.abs(taps).max():.1e}")
by_solves = seconds(lambda: generating_function(dense.discretize(dt, "bilinear"), L, L))
by_woodbury = seconds(lambda: generating_function(layer, L, L, dt=dt))
print(f"and {by_solves / by_woodbury:.1f} times as fast as the Hessenberg form of that matrix")

fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2), layout="constrained")
left.plot(dt * np.arange(L), K / dt, color=BLUE)
left.set(xlabel="lag", title="Kernel, per unit of time", xlim=(0, 1))
right.semilogx(np.fft.rfftfreq(L, dt)[1:], np.abs(G)[1:], color=BLUE)
right.set(xlabel="cycles per unit of time", title="abs(G) on the unit circle")
plt.show()

# %%
# **In single precision** the usual form of these sums loses digits: it divides by :math:`1 + z`, and its argument
# :math:`\tfrac{2}{\Delta} \tfrac{1-z}{1+z}` reaches from 0 to infinity, so that next to -1 both are noise. With
# :math:`z = e^{-2 i \theta}` the same function is a ratio of sums weighted by :math:`\sin \theta` and
# :math:`\cos \theta`, half the angle, which has nothing to divide by. Both are given the same parameters and done in
# complex64 throughout. Woodbury's identity still cancels next to the poles of :math:`\Lambda`, which is why lina forms
# these sums in double precision and rounds the result.


def response(system, p, q):
    """Return C (p I - q A)^-1 B by Woodbury's identity, in the precision of p and q."""
    Lambda, B, C, P = (getattr(system, name).reshape(-1) for name in ("Lambda", "B", "C", "P"))
    p, q = p[:, None], q[:, None]

    def cauchy(v):
        return np.sum(v / (p - q * Lambda) + v.conj() / (p - q * Lambda.conj()), axis=-1)

    q_of = q[:, 0]
    inner = q_of * cauchy(C * P) / (1 + q_of * cauchy(P.conj() * P)) * cauchy(P.conj() * B)
    return cauchy(C * B) - inner


def published(system, L, dt):
    """Return the kernel by 2 / (1 + z) and 2 / dt (1 - z) / (1 + z), all in complex64."""
    z = np.exp(-2j * np.pi * np.arange(L // 2 + 1) / L).astype("complex64")
    g = np.float32(2 / dt) * (1 - z) / (1 + z)
    return np.fft.irfft(2 / (1 + z) * response(system, g, np.ones_like(g)), L)


def half_angle(system, L, dt):
    """Return the kernel by the sine and cosine of half the angle, all in complex64."""
    theta = np.pi * np.arange(L // 2 + 1) / L
    p, q = (2j * np.sin(theta)).astype("complex64"), (dt * np.cos(theta)).astype("complex64")
    return np.fft.irfft(np.float32(dt) * np.exp(1j * theta).astype("complex64") * response(system, p, q), L)


def single(rng):
    """Return a layer with random B and C, in complex64 and the same numbers in complex128."""
    B, C = (rng.standard_normal(32) + 1j * rng.standard_normal(32) for _ in range(2))
    parts = [x.astype("complex64") for x in (F.Lambda, F.P, B, C)]
    return DPLRSystem(*parts), DPLRSystem(*(x.astype("complex128") for x in parts))


lengths = [256, 1024, 4096, 16384]
rng = np.random.default_rng(0)
errors = {"2 / (1 + z)": [], "half angle": [], "lina": []}
for length in lengths:
    small, wide = single(rng)
    step = float(np.float32(8 / length))
    exact = np.fft.irfft(generating_function(wide, length, dt=step), length)
    found = {
        "2 / (1 + z)": published(small, length, step),
        "half angle": half_angle(small, length, step),
        "lina": np.fft.irfft(generating_function(small, length, dt=step), length),
    }
    for name, k in found.items():
        errors[name].append(np.abs(k - exact).max() / np.abs(exact).max())

fig, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
for (name, values), colour in zip(errors.items(), (ORANGE, GREEN, BLUE), strict=True):
    axis.loglog(lengths, values, "o-", color=colour, label=name)
axis.set(xlabel="length", ylabel="relative error", title="Kernel from parameters in complex64")
axis.set_xticks(lengths, [f"{length:,}" for length in lengths])
axis.minorticks_off()
axis.legend()
plt.show()

# %%
# **The row that belongs to a length.** An inverse transform of length L adds up all taps that are L apart. The taps
# themselves come out if the row is :math:`\tilde C = C (I - \bar A^L)`, and this row is what training by transforms
# learns. It is right for one length only: at half the length, or at twice, its kernel is another one. `kernel_dplr`
# needs no such row: on a circle within the unit circle the later taps fade before they are added.

short = 128
discrete = layer.discretize(dt, "bilinear")
row = DPLRSystem(discrete.Lambda, discrete.P, discrete.B, truncated_c(discrete, short), discrete.Q, dt=dt)


def circular(system, length):
    return np.fft.irfft(generating_function(system, length), length)


fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2), layout="constrained")
left.plot(taps[:short], color=GREY, linewidth=4, alpha=0.5, label="taps")
left.plot(circular(discrete, short), color=ORANGE, label=f"C at length {short}")
left.plot(circular(row, short), color=BLUE, linewidth=1, label=f"C~ at length {short}")
left.set(xlabel="tap", title=f"off by {np.abs(circular(row, short) - taps[:short]).max():.0e} with C~")
right.plot(taps[: 2 * short], color=GREY, linewidth=4, alpha=0.5, label="taps")
right.plot(circular(row, 2 * short), color=GREEN, label=f"C~ at length {2 * short}")
right.set(xlabel="tap", title=f"off by {np.abs(circular(row, 2 * short) - taps[: 2 * short]).max():.0e}")
for axis in (left, right):
    axis.legend(fontsize=8)
plt.show()

whole = kernel_dplr(F.Lambda, F.P, F.B, C @ F.V, dt, L)
print(f"kernel_dplr of {L} taps: off by {np.abs(whole - taps).max():.0e}")
