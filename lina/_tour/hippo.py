"""Chapter three: what a nerve cell did for six seconds, in a few hundred numbers, and filters that remember it."""

import math
from typing import Any

import numpy as np
from numpy.polynomial.legendre import legvander

from lina._tour.chapter import Chapter, Figure, Part, Row, timed
from lina.hippo import NPLR, basis, legs_scan, lti_scan, nplr, reconstruct, transition
from lina.ssm import DPLRSystem, fftconv, kernel_dplr, truncated_c

INTRO = (
    "A memory takes in a signal sample by sample and keeps a few numbers, from which the past can be drawn again at "
    "any moment: all of it, ever more coarsely, or a window that slides along. The numbers are coefficients of a "
    "projection, kept up by a recursion, and the same recursion run as a filter is the layer of a network that learns "
    "from sequences."
)
ERRORS = (
    "Errors are relative: to the norm of the remembered signal less its mean for memories, to the norm of the matrix, "
    "and to the norm of the kernel."
)

STEP = 0.0005  # seconds between two samples of the recording
NOW = 9000
WINDOW = 2000
SIZES = (16, 32, 64, 128, 256)
SHOWN = (64, 256)
KEPT = 128

STATES = 64
UNIT = 400  # samples in which the time-invariant memory fades to 1/e
LAGS = (50, 200, 800)
TAPS = 4096
CUTS = tuple(range(512, TAPS + 1, 128))


def chapter() -> Chapter:
    """Return the chapter, not yet played."""
    parts = [
        Part("remembering a nerve cell", made_recording, remember, recording, draw_memories),
        Part("reading the past out of a filter", made_recording, delay, recording, draw_filters),
    ]
    return Chapter("Memory of a sequence", INTRO, parts, ERRORS)


def draw_memories(found: Any) -> list[Figure]:
    """Return the figures of the memories."""
    from lina._tour import hippo_figures

    return [hippo_figures.past_figure(found), hippo_figures.window_figure(found), hippo_figures.sizes_figure(found)]


def draw_filters(found: Any) -> list[Figure]:
    """Return the figures of the filters."""
    from lina._tour import hippo_figures

    return [hippo_figures.delay_figure(found), hippo_figures.kernel_figure(found)]


def recording() -> tuple[np.ndarray]:
    """Return the voltage across the membrane of a nerve cell, 6 s in 12,000 samples, less its mean."""
    from matplotlib.cbook import get_sample_data

    volts = np.fromfile(get_sample_data("membrane.dat", asfileobj=False), np.float32).astype(float)
    return (volts - np.mean(volts),)


def made_recording() -> tuple[np.ndarray]:
    """Return a slow wave with spikes of growing distance, 12,000 samples."""
    t = np.arange(12_000) * STEP
    return (np.sin(t) / 3 + np.exp(-40 * (1 - np.cos(60 * np.sqrt(t + 0.1)))),)


def remember(u: np.ndarray) -> tuple[list[Row], dict[str, Any]]:
    """Keep the whole past and a window of it in memories of several sizes; compare with exact projections."""
    legs_scan(u, SIZES[-1])  # compiles the kernel
    window = u[NOW - WINDOW : NOW]
    memories = {
        "LegS": ("legs", u, lambda N: legs_scan(u, N)),
        "LegT": ("legt", window, lambda N: lti_scan(u[:NOW], N, "legt", theta=WINDOW)),
        "Fourier": ("fout", window, lambda N: lti_scan(u[:NOW], N + 1, "fout", theta=WINDOW)),
    }
    kept_of = {"LegS": SIZES[-1], "LegT": KEPT, "Fourier": KEPT}
    rows, curves, kept = [], {}, {}
    for name, (measure, past, scan) in memories.items():
        spread, found = float(np.std(past)), []
        for N in SIZES:
            x, seconds = timed(scan, N)
            error = reconstruct(x, 0.5, measure, u=past)[1]
            true, optimum = true_error(x, past, measure)
            kept[name, N] = x
            found.append((true / spread, error.value / spread, optimum / spread))
            if kept_of[name] == N:
                question, best = f"{len(past):,} samples, {name}", f"projection: {found[-1][2]:.4f}"
                rows.append(Row(question, f"{len(x)} numbers", *found[-1][:2], str(error.kind), best, seconds))
        curves[name] = np.array(found)
    return rows, {"u": u, "curves": curves, "kept": kept}


def true_error(x: np.ndarray, u: np.ndarray, measure: str) -> tuple[float, float]:
    """Return (error, least error) of coefficients of a piecewise constant signal, in the root of the mean square.

    The functions are orthonormal: what a projection leaves out and what its coefficients are off are the sides of a
    right triangle.
    """
    c = projection(u, len(x), measure)
    left_out = max(math.fsum([*(u**2 / len(u)), *(-(c**2))]), 0.0)
    return math.sqrt(left_out + float(np.sum((x - c) ** 2))), math.sqrt(left_out)


def projection(u: np.ndarray, N: int, measure: str) -> np.ndarray:
    """Return the coefficients of the projection, from the integrals of the functions over the cells in closed form."""
    edges = np.linspace(0, 1, len(u) + 1)
    if measure == "fout":
        k = np.arange(1, (N + 1) // 2)
        angles = 2 * np.pi * edges[:, None] * k
        waves = np.stack([np.sin(angles), -np.cos(angles)], axis=-1) / (math.sqrt(2) * np.pi * k[:, None])
        integrals = np.column_stack([edges, waves.reshape(len(edges), -1)])
    else:
        n, P = np.arange(N), legvander(2 * edges - 1, N)
        below = np.column_stack([-P[:, :1], P[:, : N - 1]])
        integrals = (P[:, 1:] - below) / (2 * np.sqrt(2 * n + 1))
    return u @ np.diff(integrals, axis=0)  # type: ignore[no-any-return]


def delay(u: np.ndarray) -> tuple[list[Row], dict[str, Any]]:
    """Make a filter of the memory that says what was, a lag ago; bound what its kernel leaves out."""
    A = transition("legs", STATES, theta=UNIT)[0]
    F, spent = timed(nplr, "legs", STATES, theta=UNIT)
    norm = float(np.linalg.norm(A))
    poles, V = np.linalg.eig(A)
    peer = float(np.linalg.norm(V * poles @ np.linalg.inv(V) - A)) / norm
    question, answer = f"LegS as pairs, {STATES} states", f"{len(F.Lambda)} pairs, rank {F.rank}"
    true, bound, best = distance(F, A) / norm, F.error / norm, f"numpy eig: {peer:.0e}"
    rows = [Row(question, answer, true, bound, str(F.error_kind), best, spent)]
    systems = {lag: reader(F, lag) for lag in LAGS}
    kernel(systems[LAGS[0]], TAPS)  # compiles its own kernel
    made = {lag: timed(kernel, system, TAPS) for lag, system in systems.items()}
    kernels = {lag: K for lag, (K, _) in made.items()}
    long = {lag: kernel(system, 4 * TAPS) for lag, system in systems.items()}
    tails = {lag: np.array([tail(system, L, long[lag]) for L in CUTS]) for lag, system in systems.items()}
    last = LAGS[-1]
    longer = float(np.linalg.norm(long[last][2 * TAPS :]) / np.linalg.norm(long[last]))
    question, best = f"kernel cut to {TAPS:,} taps", f"twice as many: {longer:.1e}"
    answer = f"peak at {int(np.argmax(kernels[last]))}"
    true, bound = tails[last][-1]
    rows.append(Row(question, answer, true, bound, "rigorous", best, made[last][1]))
    outputs = {lag: fftconv(u, K) for lag, K in kernels.items()}
    return rows, {"u": u, "F": F, "peer": peer, "norm": norm, "kernels": kernels, "tails": tails, "outputs": outputs}


def distance(F: NPLR, A: np.ndarray) -> float:
    """Return the Frobenius norm of the difference of a matrix and its diagonal plus low rank form, in long double."""
    V, Lambda, P = (M.astype(np.clongdouble) for M in (F.V, F.Lambda, F.P))
    low = 2 * (V @ P.T).real
    return float(np.sqrt(np.sum((2 * ((V * Lambda) @ V.conj().T).real - low @ low.T - A) ** 2)))


def reader(F: NPLR, lag: int) -> DPLRSystem:
    """Return the system whose output is the value that the memory holds for the time ``lag`` ago."""
    C = basis("legs", STATES, -float(lag), 0.0, theta=UNIT, time_map="exponential")
    return DPLRSystem(F.Lambda, F.P, F.B, C @ F.V)


def kernel(system: DPLRSystem, taps: int) -> np.ndarray:
    """Return the first taps of the impulse response, in steps of one sample."""
    return kernel_dplr(system.Lambda, system.P, system.B, system.C, 1.0, taps)  # type: ignore[no-any-return]


def tail(system: DPLRSystem, taps: int, long: np.ndarray) -> tuple[float, float]:
    """Return what a kernel of so many taps leaves out, and a bound of it.

    Both are relative to the norm of the kernel. A + A^T = -(I + B B^T) for LegS in its unit of time, so that its
    Gramian is at most I; the bilinear transform keeps that: the squares of all taps from L on sum to at most the square
    of the norm of C A^L over the unit, and C A^L = C - C~ is known from the truncation.
    """
    norm = float(np.linalg.norm(long))
    discrete = system.discretize(1.0, "bilinear")
    rest = float(np.linalg.norm(discrete.C - truncated_c(discrete, taps)))
    rounding = STATES * np.finfo(float).eps * float(np.linalg.norm(discrete.C))
    bound = math.sqrt(2 / UNIT) * (rest + rounding)  # of conjugate pairs one each is in the norms
    return float(np.linalg.norm(long[taps:])) / norm, bound / norm
