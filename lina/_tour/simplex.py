"""Chapter two: a classifier's doubts, a mixture of tumours and a digit that dissolves, each a distribution."""

import math
import time
from decimal import Decimal, localcontext
from itertools import accumulate
from typing import Any

import numpy as np
from scipy.optimize import minimize as scipy_minimize

from lina._tour.chapter import Chapter, Figure, Part, Row, timed
from lina.simplex import SimplexResult, entmax, frank_wolfe_gap, minimize, mixture_proportions, softmax, sparsemax
from lina.simplex.flow import Entropy, Potential, grid_flow

INTRO = (
    "A distribution is a list of shares that sum to one, and much of data analysis ends in the search for one. Here "
    "three are found: by a formula, by a minimisation, by a flow. What is known at the place reached, a sum or a "
    "slope, bounds the distance to the goal without the goal being known."
)
ERRORS = "Errors are absolute: of all shares together for the formula, of the value to be minimised for the other two."

ALPHAS = {"sparsemax": 2.0, "entmax": 1.5}
METHODS = ("frank_wolfe", "pairwise", "mirror", "accelerated_mirror", "newton")
SECONDS = 0.3
SUFFICES = 1e-4
WIDTH = 1.5
HALF = 4.5
CELL = 0.1
TIMES = np.arange(129) / 64  # powers of two: all steps are equal to the last bit, and share their factors
JUDGED = 64

_DIGITS = 50


def chapter() -> Chapter:
    """Return the chapter, not yet played."""
    parts = [
        Part("turning scores into probabilities", made_logits, distribute, logits, draw_logits),
        Part("finding the parts of a mixture", made_sizes, mix, sizes, draw_mixture),
        Part("dissolving a digit", made_density, dissolve, density, draw_flow),
    ]
    return Chapter("Probability distributions", INTRO, parts, ERRORS)


def draw_logits(found: Any) -> list[Figure]:
    """Return the figures of the classifier."""
    from lina._tour import simplex_figures

    return [simplex_figures.doubt_figure(found), simplex_figures.kept_figure(found)]


def draw_mixture(found: Any) -> list[Figure]:
    """Return the figures of the mixture."""
    from lina._tour import simplex_figures

    return [simplex_figures.mixture_figure(found), simplex_figures.gap_figure(found)]


def draw_flow(found: Any) -> list[Figure]:
    """Return the figures of the flow."""
    from lina._tour import simplex_figures

    return [simplex_figures.frames_figure(found), simplex_figures.decay_figure(found)]


def logits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the scores (899, 10) that a logistic regression gives to digits it has not seen, with these and labels."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    data = load_digits()
    train, test, known, labels = train_test_split(data.data / 16, data.target, test_size=0.5, random_state=0)
    return LogisticRegression(max_iter=1000).fit(train, known).decision_function(test), labels, test


def made_logits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores (300, 10), and nothing that they are about."""
    scores = 3 * np.cos(np.arange(3000.0) ** 2).reshape(300, 10)
    return scores, np.argmax(scores, axis=1), np.zeros((300, 64))


def distribute(x: np.ndarray, labels: np.ndarray, images: np.ndarray) -> tuple[list[Row], dict[str, Any]]:
    """Turn rows of scores into distributions with exact zeros, and compare with exact arithmetic."""
    maps, rows, largest = {"softmax": softmax(x)}, [], {}
    for name, alpha in ALPHAS.items():
        sparse_map(x, alpha)  # compiles the kernel
        (p, tau, kept), seconds = timed(sparse_map, x, alpha)
        exact = [exact_entmax(row, alpha) for row in x.tolist()]
        errors, bounds = sum_of_errors(p, exact), threshold_bound(x, p, tau, alpha)
        tightest = int(np.argmax(errors / bounds))
        peer = sum_of_errors(sorted_entmax(x, alpha), exact)
        question, answer = f"{len(x)} answers, {name}", f"{np.mean(kept):.2f} of {x.shape[1]} left"
        tight = float(errors[tightest]), float(bounds[tightest])
        rows.append(Row(question, answer, *tight, "rigorous", f"numpy sort: {peer[tightest]:.0e}", seconds))
        maps[name], largest[name] = p, (float(np.max(errors)), float(np.max(bounds)))
    return rows, {"x": x, "labels": labels, "images": images, "maps": maps, "largest": largest}


def sparse_map(x: np.ndarray, alpha: float) -> Any:
    """Return (p, tau, number of entries kept) of sparsemax or entmax."""
    return sparsemax(x, return_threshold=True) if alpha == 2 else entmax(x, alpha, return_threshold=True)


def threshold_bound(x: np.ndarray, p: np.ndarray, tau: np.ndarray, alpha: float) -> np.ndarray:
    """Bound the sum of the errors of each row of ``p`` by how far its threshold is from giving a sum of one.

    The exact entries max((alpha - 1) x - tau, 0)^(1 / (alpha - 1)) fall as tau grows, so at another tau all of them err
    in the same direction, together by the error of their sum. The power is 1 or 2: rounding in each entry is at most
    three half units in the last place.
    """
    power = 1 / (alpha - 1)
    at_tau = np.maximum((alpha - 1) * x - tau[:, None], 0.0) ** power
    off = np.abs([math.fsum([*row, -1.0]) for row in at_tau.tolist()])
    rounding = power * np.finfo(float).eps * np.sum(at_tau, axis=1)
    return np.sum(np.abs(p - at_tau), axis=1) + off + rounding


def exact_entmax(row: list[float], alpha: float) -> list[Decimal]:
    """Return sparsemax (2) or entmax (1.5) of a row to fifty digits, from its sorted entries."""
    with localcontext(prec=_DIGITS):
        x = [Decimal(value) * Decimal(alpha - 1) for value in row]
        ordered = sorted(x, reverse=True)
        sums, squares = list(accumulate(ordered)), list(accumulate(value * value for value in ordered))
        tau = ordered[0] - 1
        for k, (value, total, square) in enumerate(zip(ordered, sums, squares, strict=True), start=1):
            # the threshold that k entries would have; the largest k that lies above its own threshold is the answer
            left = 1 - (square - total * total / k)
            if alpha == 1.5 and left < 0:
                break
            candidate = (total - 1) / k if alpha == 2 else total / k - (left / k).sqrt()
            if candidate >= value:
                break
            tau = candidate
        above = [max(value - tau, Decimal(0)) for value in x]
        return above if alpha == 2 else [value * value for value in above]


def sorted_entmax(x: np.ndarray, alpha: float) -> np.ndarray:
    """Return sparsemax (2) or entmax (1.5) of rows in float64 from the sorted entries, as is usual."""
    y = (alpha - 1) * (x - np.max(x, axis=1, keepdims=True))
    ordered, k = -np.sort(-y, axis=1), np.arange(1, x.shape[1] + 1)
    total, square = np.cumsum(ordered, axis=1), np.cumsum(ordered**2, axis=1)
    spread = np.sqrt(np.maximum(1 - square + total**2 / k, 0) / k)
    tau = (total - 1) / k if alpha == 2 else total / k - spread
    kept = np.sum(tau < ordered, axis=1, keepdims=True)
    return np.maximum(y - np.take_along_axis(tau, kept - 1, axis=1), 0.0) ** (1 / (alpha - 1))


def sum_of_errors(p: np.ndarray, exact: list[list[Decimal]]) -> np.ndarray:
    """Return the sum of the errors in each row."""
    with localcontext(prec=_DIGITS):
        pairs = zip(p.tolist(), exact, strict=True)
        return np.array(
            [float(sum(abs(Decimal(a) - b) for a, b in zip(row, right, strict=True))) for row, right in pairs]
        )


def sizes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean radius of the cell nuclei of 569 tumours, which are malignant, and means to choose from."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return data.data[:, 0], data.target == 0, np.arange(6.0, 29.0, 0.25)


def made_sizes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return 200 numbers in three heaps, and 30 means to choose from."""
    t = np.linspace(-1, 1, 200)
    return 12 + 6 * t**3 + 3 * np.sign(t), t > 0, np.linspace(2.0, 22.0, 30)


def components(z: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the normal densities around ``means`` in the places ``z``, (len(z), len(means))."""
    return np.exp(-0.5 * ((z[:, None] - means) / WIDTH) ** 2) / (WIDTH * math.sqrt(2 * math.pi))


class NegativeLogLikelihood:
    """F(p) = -mean log (L p), per observation; infinite where an observation has no likelihood."""

    def __init__(self, L: np.ndarray) -> None:
        self.L = L

    def __call__(self, p: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value and the gradient."""
        mixed = self.L @ p
        if np.min(mixed) <= 0:
            return math.inf, np.zeros_like(p)
        return -float(np.mean(np.log(mixed))), -(1 / mixed) @ self.L / len(mixed)


def mix(z: np.ndarray, groups: np.ndarray, means: np.ndarray) -> tuple[list[Row], dict[str, Any]]:
    """Find the likeliest mixture by the function made for it and by general methods, and compare with scipy."""
    F = NegativeLogLikelihood(components(z, means))
    lowest = lowest_value(F, len(means))
    mixture_proportions(F.L, rtol=0.1)  # compiles the kernel
    own, seconds = timed(mixture_proportions, F.L, rtol=1e-5, history=True)
    general, longer = timed(minimize, F, n=len(means), method="accelerated_mirror", convex=True, rtol=SUFFICES)
    traces = {name: trace(F, len(means), name) for name in METHODS}
    rows = []
    for question, result, spent in (("a mixture", own, seconds), ("by minimize", general, longer)):
        true = max(F(result.x)[0] - lowest, 0.0)
        answer, best = f"value {result.value:.5f}", f"scipy: {lowest:.5f}"
        rows.append(Row(f"{len(z)} sizes, {question}", answer, true, result.gap, "rigorous", best, spent))
    traces["expectation maximisation"] = expectation_maximisation(F, len(means))
    traces["mixture_proportions"] = steps_of(mixture_proportions(F.L, rtol=1e-9, history=True))
    found = {"z": z, "groups": groups, "means": means, "F": F, "own": own, "general": general}
    return rows, found | {"lowest": lowest, "traces": traces}


def lowest_value(F: NegativeLogLikelihood, n: int) -> float:
    """Return the minimum of F by scipy's sequential quadratic programming, run until nothing changes."""
    total = {"type": "eq", "fun": lambda p: np.sum(p) - 1, "jac": np.ones_like}
    options = {"ftol": 1e-15, "maxiter": 150}
    found = scipy_minimize(
        F, np.full(n, 1 / n), jac=True, method="SLSQP", bounds=[(0, 1)] * n, constraints=total, options=options
    )
    return F(np.maximum(found.x, 0) / np.sum(np.maximum(found.x, 0)))[0]


def trace(F: NegativeLogLikelihood, n: int, method: str) -> np.ndarray:
    """Return (seconds, gap, value) of the steps of a general method."""
    options: dict[str, Any] = {"rtol": 1e-9, "history": True, "callback": lambda step: step.seconds > SECONDS}
    return steps_of(minimize(F, n=n, method=method, convex=True, **options))


def steps_of(result: SimplexResult) -> np.ndarray:
    """Return (seconds, gap, value) of the history of a result, (steps, 3)."""
    return np.array([(step.seconds, step.gap, step.value) for step in result.history])


def expectation_maximisation(F: NegativeLogLikelihood, n: int) -> np.ndarray:
    """Return (seconds, gap, value) of the classical iteration, which multiplies each share by minus its slope."""
    p, start = np.full(n, 1 / n), time.perf_counter()
    steps: list[tuple[float, float, float]] = []
    while not steps or steps[-1][0] < SECONDS:
        value, gradient = F(p)
        gap = float(frank_wolfe_gap(p, gradient))
        steps.append((time.perf_counter() - start, gap, value))
        p = -p * gradient
        p = p / np.sum(p)
    return np.array(steps)


def density() -> tuple[np.ndarray, float]:
    """Return a handwritten 3 as a density on a square around the origin, and the length of a cell."""
    from sklearn.datasets import load_digits

    pixel = round(0.5 / CELL)
    image = np.kron(load_digits().images[3][::-1].T, np.ones((pixel, pixel)))
    p = np.pad(image, (round(2 * HALF / CELL) - len(image)) // 2)
    return p / (CELL**2 * np.sum(p)), CELL


def made_density() -> tuple[np.ndarray, float]:
    """Return a frame of unit mass on a coarser square, and the length of a cell."""
    x = 2 * CELL * (np.arange(round(HALF / CELL)) + 0.5) - HALF
    outer = np.maximum(np.abs(x[:, None]), np.abs(x))
    p = np.where((outer > 1) & (outer < 2) & (x > -1.5), 1.0, 0.0)
    return p / (4 * CELL**2 * np.sum(p)), 2 * CELL


def half_square(x: np.ndarray) -> np.ndarray:
    """Return half the squared distance from the origin, the potential of the flow."""
    return np.sum(x**2, axis=-1) / 2


def dissolve(p: np.ndarray, h: float) -> tuple[list[Row], dict[str, Any]]:
    """Let a density flow to the normal one, and bound what is left by how fast it falls."""
    energy, box = Entropy() + Potential(half_square), ((-HALF, HALF), (-HALF, HALF))
    flow, seconds = timed(grid_flow, energy, p, TIMES, domain=box, step=float(TIMES[1]))
    x = flow.centres[0]
    normal = np.exp(-half_square(np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1)))
    total = h * h * float(np.sum(normal))
    normal /= total
    left = np.array([relative_entropy(each, normal) * h * h for each in flow.density])
    bounds = flow.dissipation / (2 * convexity(x))
    variances = np.array([variance(each, x, h) for each in flow.density])
    exact = 1 + (variances[0] - 1) * np.exp(-2 * TIMES[:, None])
    question, answer = f"{p.size:,} cells at time {TIMES[JUDGED]:g}", f"energy {flow.energy[JUDGED]:.4f}"
    best = f"lowest: {-math.log(total):.4f}"
    rows = [Row(question, answer, float(left[JUDGED]), float(bounds[JUDGED]), "rigorous", best, seconds)]
    return rows, {"flow": flow, "left": left, "bounds": bounds, "variances": variances, "exact": exact}


def relative_entropy(p: np.ndarray, q: np.ndarray) -> float:
    """Return the sum of p log(p / q)."""
    inside = p > 0
    return float(np.sum(p[inside] * np.log(p[inside] / q[inside])))


def variance(p: np.ndarray, x: np.ndarray, h: float) -> list[float]:
    """Return the variance along each axis."""
    found = []
    for axis in (1, 0):
        marginal = np.sum(p, axis=axis) * h * h
        found.append(float(marginal @ x**2 - (marginal @ x) ** 2))
    return found


def convexity(x: np.ndarray) -> float:
    """Return c for which the relative entropy to the normal density on the cells ``x`` is at most dissipation / (2 c).

    The flow is a walk between neighbouring cells, with rates a to the right and b to the left. Its relative entropy is
    convex with at least half of the least (A + B + 2 sqrt(A B)), A and B the falls of a and the rises of b, which are
    not negative (Mielke, Calc. Var. 48 (2013) 1, theorem 5.1, with the logarithmic mean at least the geometric one),
    also on a product of such walks (Erbar and Maas, Arch. Ration. Mech. Anal. 206 (2012) 997, theorems 6.2 and 7.4).
    """
    h = x[1] - x[0]
    rise = (x[1:] ** 2 - x[:-1] ** 2) / 2
    safe = np.where(rise == 0, 1.0, rise)
    right = np.where(rise == 0, 1.0, safe / np.expm1(safe)) / h**2
    left = right + rise / h**2
    fall, growth = -np.diff(right, append=0.0), np.diff(left, prepend=0.0)
    return float(np.min((np.sqrt(fall) + np.sqrt(growth)) ** 2)) / 2
