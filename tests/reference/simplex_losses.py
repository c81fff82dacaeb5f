"""Secondary mappings and losses from their definitions, one row at a time: fractions or 40 digits, no shortcuts."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import mpmath
import numpy as np

from tests.reference.simplex import exact_entmax

DIGITS = 40


def exact_softmax(x: Sequence[float], members: set[int]) -> np.ndarray:
    """Return softmax over the entries at ``members``, 0 elsewhere."""
    with mpmath.workdps(DIGITS):
        weights = {i: mpmath.exp(mpmath.mpf(float(x[i]))) for i in members}
        total = sum(weights.values())
        return np.array([float(weights[i] / total) if i in weights else 0.0 for i in range(len(x))])


def by_size(x: Sequence[float]) -> list[int]:
    """Return the places of the entries, the largest first and of equal ones the first."""
    return sorted(range(len(x)), key=lambda i: (-x[i], i))


def exact_topk(x: Sequence[float], k: int) -> np.ndarray:
    """Return softmax over the first k of `by_size`."""
    return exact_softmax(x, set(by_size(x)[:k]))


def exact_topp(x: Sequence[float], p: float) -> np.ndarray:
    """Return softmax over the fewest entries, taken in the order of `by_size`, whose probabilities reach p."""
    with mpmath.workdps(DIGITS):
        weights = [mpmath.exp(mpmath.mpf(float(v))) for v in x]
        members: set[int] = set()
        for i in by_size(x):
            members.add(i)
            if sum(weights[j] for j in members) >= mpmath.mpf(p) * sum(weights):
                break
    return exact_softmax(x, members)


def exact_threshold(x: Sequence[float], threshold: float, relative: bool = False) -> np.ndarray:
    """Return softmax over the entries of at least that probability (or part of the largest one), and the largest."""
    p = exact_softmax(x, set(range(len(x))))
    level = threshold * (p.max() if relative else 1.0)
    return exact_softmax(x, {i for i in range(len(x)) if p[i] >= level or p[i] == p.max()})


def exact_taylor(x: Sequence[float], order: int) -> np.ndarray:
    """Return the Taylor softmax in fractions."""
    values = [sum(Fraction(float(v)) ** j / math.factorial(j) for j in range(order + 1)) for v in x]
    return np.array([float(v / sum(values)) for v in values])


# noise -> (density, distribution, the interval that holds it up to 1e-20)
NOISES: dict[str, tuple[Callable, Callable, tuple[float, float]]] = {
    "gaussian": (mpmath.npdf, mpmath.ncdf, (-9.5, 9.5)),
    "logistic": (
        lambda t: 1 / (mpmath.exp(t / 2) + mpmath.exp(-t / 2)) ** 2,
        lambda t: 1 / (1 + mpmath.exp(-t)),
        (-47, 47),
    ),
    "gumbel": (lambda t: mpmath.exp(-t - mpmath.exp(-t)), lambda t: mpmath.exp(-mpmath.exp(-t)), (-4, 47)),
    "uniform": (lambda _: mpmath.mpf(1), lambda t: min(max(t + 0.5, mpmath.mpf(0)), mpmath.mpf(1)), (-0.5, 0.5)),
}


def exact_perturbed(x: Sequence[float], noise: str, scale: float = 1.0) -> np.ndarray:
    """Return E[prod_{j != i} F(x_i - x_j + noise)] by adaptive quadrature between all places where a factor bends."""
    density, distribution, (low, high) = NOISES[noise]
    z = [mpmath.mpf(float(v)) / scale for v in x]
    out = []
    with mpmath.workdps(20):
        for i, mine in enumerate(z):
            others = [mine - v for j, v in enumerate(z) if j != i]
            bends = {low, high, *(b for d in others for b in (-d - 0.5, -d, -d + 0.5) if low < b < high)}

            def integrand(t: mpmath.mpf, others: list[mpmath.mpf] = others) -> mpmath.mpf:
                return density(t) * mpmath.fprod(distribution(d + t) for d in others)

            out.append(float(mpmath.quad(integrand, sorted(bends | set(np.linspace(low, high, 9))))))
    return np.array(out)


def exact_entropic_topk(x: Sequence[float], k: int) -> np.ndarray:
    """Return sigmoid(x - tau) of sum k, tau by bisection."""
    with mpmath.workdps(DIGITS):
        z = [mpmath.mpf(float(v)) for v in x]
        if k == len(z):
            return np.ones(len(z))
        low, high = min(z) - 100, max(z) + 100
        for _ in range(400):
            tau = (low + high) / 2
            low, high = (tau, high) if sum(1 / (1 + mpmath.exp(tau - v)) for v in z) > k else (low, tau)
        return np.array([float(1 / (1 + mpmath.exp(low - v))) for v in z])


def exact_loss(x: Sequence[float], y: Sequence[float], alpha: float) -> float:
    """Return Omega(y) + Omega*(x) - x . y in 40 digits, Omega* being p . x - Omega(p) at the mapping p of x.

    The target is scaled to the sum 1 first, which it has up to rounding only.
    """
    with mpmath.workdps(DIGITS):
        p = exact_entmax(x, alpha)
        truth = [mpmath.mpf(float(v)) for v in y]
        truth = [v / sum(truth) for v in truth]

        def entropy(q: Sequence) -> mpmath.mpf:
            if alpha == 1:
                return sum(v * mpmath.log(v) for v in q if v > 0)
            a = mpmath.mpf(float(alpha))
            return (sum(v**a for v in q if v > 0) - 1) / (a * (a - 1))

        z = [mpmath.mpf(float(v)) for v in x]
        inner = sum(a * (b - c) for a, b, c in zip(z, p, truth, strict=True))
        return float(inner - entropy(p) + entropy(truth))


def exact_cross_entropy(x: Sequence[float], y: Sequence[float], members: set[int] | None = None) -> float:
    """Return sum y (log sum exp(x) - x), the inner sum over ``members`` (default: all)."""
    with mpmath.workdps(DIGITS):
        z = [mpmath.mpf(float(v)) for v in x]
        log_sum = mpmath.log(sum(mpmath.exp(z[i]) for i in (range(len(z)) if members is None else members)))
        return float(sum(mpmath.mpf(float(b)) * (log_sum - a) for a, b in zip(z, y, strict=True)))
