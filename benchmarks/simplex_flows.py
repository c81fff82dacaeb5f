"""How far are the flows of densities from flows in closed form, and of which order?"""

import math
import time
from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

from benchmarks.runner import Case, Question
from lina.simplex.flow import (
    Energy,
    Entropy,
    Flow,
    GridFlow,
    Interaction,
    Internal,
    ParticleFlow,
    Potential,
    QuantileFlow,
    grid_flow,
    langevin_flow,
    particle_flow,
    quantile_flow,
)

HARMONIC = Potential(lambda x: x**2 / 2, gradient=lambda x: x, laplacian=np.ones_like)
OU = Entropy() + HARMONIC
# Places at which quantile functions are compared: the Wasserstein distance is their L2 distance.
LEVELS = (np.arange(4000) + 0.5) / 4000
SIZES = (50, 100, 200, 400)

Quantiles = Callable[[np.ndarray], np.ndarray]


def cases(_quick: bool) -> Iterator[Case]:
    """Nothing is raced here: the errors are the table."""
    yield from ()


def normal_quantiles(mean: float, variance: float) -> Quantiles:
    """Return the quantile function of a normal density, whose ends are cut off at 6.7 deviations."""
    return lambda s: mean + math.sqrt(variance) * ndtri(1e-11 + (1 - 2e-11) * s)


def barenblatt_quantiles(m: float, t: float) -> Quantiles:
    """Return the quantile function of the self-similar solution of mass 1 at time t."""
    k, power = 1 / (m + 1), 1 / (m - 1)
    b = k * (m - 1) / (2 * m)
    area = math.gamma(0.5) * math.gamma(power + 1) / math.gamma(power + 1.5)
    C = (math.sqrt(b) / area) ** (1 / (power + 0.5))
    return lambda s: (2 * betaincinv(power + 1, power + 1, s) - 1) * math.sqrt(C / b) * t**k


def distance(flow: Flow, exact: Quantiles) -> float:
    """Return the Wasserstein distance of the last density from one that is known."""
    if isinstance(flow, QuantileFlow):
        return float(np.sqrt(flow.weights @ (flow.quantiles[-1] - exact(flow.levels)) ** 2))
    if isinstance(flow, GridFlow):
        h = flow.centres[0][1] - flow.centres[0][0]
        edges = np.append(flow.centres[0] - h / 2, flow.centres[0][-1] + h / 2)
        places = np.interp(LEVELS, np.append(0.0, np.cumsum(flow.density[-1]) * h), edges)
    else:
        places = np.sort(flow.points[-1])[(LEVELS * len(flow.points[-1])).astype(int)]
    return float(np.sqrt(np.mean((places - exact(LEVELS)) ** 2)))


def on_grid(energy: Energy, start: Quantiles, times: tuple[float, float], box: float) -> Callable[..., Flow]:
    """Return the flow on n cells of [-box, box], from exact averages, with n / 5 steps a unit of time."""

    def flow(n: int, order: int) -> Flow:
        edges = np.linspace(-box, box, n + 1)
        fine = (np.arange(200_000) + 0.5) / 200_000
        density = np.diff(np.interp(edges, start(fine), fine, left=0.0, right=1.0)) * n / (2 * box)
        return grid_flow(
            energy, density / density.sum() * n / (2 * box), times, domain=(-box, box), step=5 / n, order=order
        )

    return flow


def crowded(n: int) -> np.ndarray:
    """Return n levels that crowd at the ends, where a density falls to zero."""
    return (1 - np.cos(np.linspace(0, np.pi, n))) / 2


def normal_levels(n: int) -> np.ndarray:
    """Return the levels of n equally spaced places of a normal density."""
    levels = ndtr(np.linspace(-1, 1, n) * ndtri(1 - 1e-11))
    return (levels - levels[0]) / (levels[-1] - levels[0])


def by_quantiles(
    energy: Energy, start: Quantiles, times: tuple[float, float], levels: Callable[[int], np.ndarray]
) -> Callable[..., Flow]:
    """Return the flow of n quantiles, with n / 5 steps a unit of time."""

    def flow(n: int, order: int) -> Flow:
        s = levels(n)
        return quantile_flow(energy, start(s), times, levels=s, step=5 / n, order=order)

    return flow


def by_particles(n: int, _order: int) -> Flow:
    """Return the blob flow of KL from n normal quantiles."""
    return particle_flow(OU, normal_quantiles(2, 0.25)((np.arange(n) + 0.5) / n), (0, 1))


def by_langevin(n: int, _order: int) -> Flow:
    """Return the sampled flow of KL from n^2 / 4 normal quantiles."""
    count = n * n // 4
    start = normal_quantiles(2, 0.25)((np.arange(count) + 0.5) / count)
    return langevin_flow(OU, start, (0, 1), step=5 / n, rng=0)


def problems() -> Iterator[tuple[str, str, int, Callable[..., Flow], Quantiles]]:
    """Yield (problem, method, order of the steps, flow of a size, exact quantiles at the end)."""
    start, end = normal_quantiles(2, 0.25), normal_quantiles(2 / math.e, 1 - 0.75 / math.e**2)
    for order in (1, 2):
        yield "Ornstein-Uhlenbeck", "grid", order, on_grid(OU, start, (0, 1), 8), end
        yield "Ornstein-Uhlenbeck", "quantiles", order, by_quantiles(OU, start, (0, 1), normal_levels), end
    yield "Ornstein-Uhlenbeck", "blob particles", 3, by_particles, end
    yield "Ornstein-Uhlenbeck", "Langevin, n^2 / 4 samples", 1, by_langevin, end
    narrow, wide = normal_quantiles(0, 0.5), normal_quantiles(0, 2.5)
    yield "heat", "grid", 2, on_grid(Entropy(), narrow, (0, 1), 12), wide
    yield "heat", "quantiles", 2, by_quantiles(Entropy(), narrow, (0, 1), normal_levels), wide
    for m in (2, 3):
        first, last = barenblatt_quantiles(m, 1), barenblatt_quantiles(m, 2)
        for order in (1, 2):
            yield f"Barenblatt, m = {m}", "grid", order, on_grid(Internal(m), first, (1, 2), 4), last
            yield f"Barenblatt, m = {m}", "quantiles", order, by_quantiles(Internal(m), first, (1, 2), crowded), last


def row(problem: str, method: str, order: int, flow: Callable[..., Flow], exact: Quantiles) -> str:
    """Return one line: the errors with n doubled, the order that the last two show, and what holds exactly."""
    start = time.perf_counter()
    flows = [flow(n, order) for n in SIZES]
    seconds = time.perf_counter() - start
    errors = [distance(each, exact) for each in flows]
    shown = math.log2(errors[-2] / errors[-1])
    last = flows[-1]
    defect = "" if last.relative_defect is None else f"{last.relative_defect:.1e}"
    steps = "adapted" if isinstance(last, ParticleFlow) and last.energy is not None else f"order {order}"
    cells = [problem, method, steps, *(f"{e:.1e}" for e in errors), f"{shown:.2f}", defect]
    return f"| {' | '.join(cells)} | {last.mass_error:.0e} | {seconds:.1f} |"


def moments_table() -> str:
    """Return what a single number says: stationary variance, Keller-Segel's second moment, contraction."""
    x = np.linspace(-8, 8, 161)[:-1] + 0.05
    p = np.exp(-((x - 2) ** 2) / 0.5) / math.sqrt(0.5 * math.pi)
    still = grid_flow(OU, p, [0, 40], domain=(-8, 8)).density[-1]
    lines = ["| law | error |", "|---|---:|"]
    lines.append(f"| stationary variance of Ornstein-Uhlenbeck, grid | {abs(0.1 * np.sum(x**2 * still) - 1):.1e} |")
    u = np.linspace(-1, 2, 41)
    quadratic = Interaction(lambda z: z**2 / 2, gradient=lambda z: z, laplacian=np.ones_like)
    moved = quantile_flow(quadratic, u, [0, 1], step=0.01, order=1).quantiles[-1]
    off = np.max(np.abs(moved - 0.5 - (u - 0.5) * 1.01**-100))
    lines.append(f"| JKO steps of quadratic aggregation, quantiles | {off:.1e} |")
    lines.append(f"| slope of the second moment of Keller-Segel, 48 x 48 cells, relative | {keller_segel():.1e} |")
    return "\n".join(lines)


def keller_segel() -> float:
    """Return the relative error of the slope 4 M (1 - M / 8 pi) for M = 4 pi."""
    mass, n, h = 4 * math.pi, 48, 0.25
    x = -6 + h * (np.arange(n) + 0.5)
    square = x[:, None] ** 2 + x**2
    energy = Entropy() + Interaction(lambda z: np.log((z**2).sum(-1)) / (4 * math.pi))
    flow = grid_flow(energy, mass * np.exp(-square) / math.pi, [0, 0.2], domain=((-6, 6), (-6, 6)), step=0.02)
    second = [h * h * float(np.sum(square * p)) for p in flow.density]
    return abs((second[1] - second[0]) / 0.2 / (4 * mass * (1 - mass / (8 * math.pi))) - 1)


def note() -> str:
    """Return the tables as Markdown."""
    head = [
        "problem",
        "method",
        "steps",
        *(f"n = {n}" for n in SIZES),
        "order shown",
        "relative defect",
        "mass error",
        "s",
    ]
    lines = [f"| {' | '.join(head)} |", "|---|---|---|" + "---:|" * (len(head) - 3)]
    lines += [row(*each) for each in problems()]
    text = (
        "Wasserstein distance from the exact density, with n cells, quantiles or points and time steps of 5 / n; the "
        "defect of the energy balance over the energy lost, the relative error of the mass, and the seconds for the "
        "four sizes together, all at the largest n."
    )
    return f"{text}\n\n" + "\n".join(lines) + f"\n\n{moments_table()}"


QUESTION = Question("How far are flows of densities from flows in closed form, and of which order?", cases, note=note)
