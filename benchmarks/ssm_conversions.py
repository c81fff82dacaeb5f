"""What do true parameters, responses and steps of a system cost by its structure instead of by dense matrices?"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.runner import Case, Question, Target
from lina.ssm import (
    DenseSystem,
    DPLRSystem,
    RationalSystem,
    freqresp,
    linear_scan,
    recover_b,
    stable_polynomial,
    to_dense,
    truncated_b,
)

Contenders = dict[str, Callable[[], Any]]


def cases(quick: bool) -> Iterator[Case]:
    """Yield recoveries of a numerator, frequency responses, and recurrences."""
    shrink = 8 if quick else 1
    for channels, d, size, ratio in ((1, 256, 0.1, 50), (16, 256, 0.1, 50), (1, 1024, 0.025, 1000), (1, 1024, 0.1, 50)):
        yield recovery(channels, d // shrink, 4096 // shrink, size, ratio)
    for n in (100, 200, 400):
        yield response(n // shrink, 10000 // shrink, 8)
    for n in (64, 256, 1024):
        yield recurrence(n // shrink, 4000 // shrink)


def recovery(channels: int, d: int, length: int, size: float, ratio: float) -> Case:
    """Return the recovery of the true numerator, for reflection coefficients below ``size``."""
    rng = np.random.default_rng(0)
    a, b = stable_polynomial(rng.uniform(-size, size, (channels, d))), rng.standard_normal((channels, d))
    tilde = truncated_b(a, b, length)

    def matrix_power() -> Any:
        A = to_dense(RationalSystem(a, tilde)).system.A
        left = np.eye(d) - np.linalg.matrix_power(A, length)
        return np.linalg.solve(np.swapaxes(left, -1, -2), tilde[..., None])[..., 0]

    contenders: Contenders = {
        "lina": lambda: recover_b(a, tilde, length).system.b,
        "lina, stability unseen": lambda: recover_b(a, tilde, length, unstable="ignore").system.b,
        "matrix power and solve": matrix_power,
    }
    targets = [Target("lina", "matrix power and solve", ratio, error_factor=1)]
    name = f"{channels} numerators of degree {d} from length {length}, reflection coefficients below {size:g}"
    return Case(name, contenders, relative(b), targets)


def response(n: int, points: int, ratio: float) -> Case:
    """Return frequency responses of a dense system; the peers answer a hundredth of the points, times 100."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((n, n)) / np.sqrt(n) - 1.2 * np.eye(n)
    B, C = rng.standard_normal(n), rng.standard_normal(n)
    omega = np.geomspace(1e-2, 1e2, points)
    few = omega[:: max(1, points // 100)]
    system = DenseSystem(A, B, C)
    exact = solved(A, B, C, few)
    contenders: Contenders = {
        "lina": lambda: freqresp(system, omega)[:: max(1, points // 100)],
        "lina, 1 % of the points": lambda: freqresp(system, few),
        "numpy solve, 1 % of the points": lambda: solved(A, B, C, few),
    }
    contenders |= _control(A, B, C, few)
    targets = [
        Target("lina", "numpy solve, 1 % of the points", ratio / 100),
        Target("lina", "python-control without slycot, 1 % of the points", ratio / 100),
    ]
    return Case(
        f"frequency response, n = {n}, {points} points", contenders, relative(exact), targets, 2.0 * n * n * points
    )


def _control(A: np.ndarray, B: np.ndarray, C: np.ndarray, omega: np.ndarray) -> Contenders:
    """Return python-control's response by one solve per frequency, and by slycot's reduction, where they are there."""
    try:
        import control
    except ImportError:
        return {}

    class WithoutSlycot(control.StateSpace):
        def slycot_laub(self, x: Any) -> Any:  # noqa: ARG002
            raise ImportError

    plain, other = WithoutSlycot(A, B[:, None], C[None], 0), control.ss(A, B[:, None], C[None], 0)
    found: Contenders = {
        "python-control without slycot, 1 % of the points": lambda: plain.horner(1j * omega, warn_infinite=False)[0, 0]
    }
    if find_spec("slycot") is not None:
        found["python-control with slycot, 1 % of the points"] = lambda: other.slycot_laub(1j * omega)[0, 0]
    return found


def solved(A: np.ndarray, B: np.ndarray, C: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """Return the response by one solve per frequency, as python-control does without slycot."""
    return np.array([C @ np.linalg.solve(1j * w * np.eye(len(A)) - A, B) for w in omega])


def recurrence(n: int, length: int) -> Case:
    """Return scans over samples of a diagonal plus low rank system of n states (n / 2 pairs)."""
    rng = np.random.default_rng(0)
    half = n // 2
    Lambda = -0.5 + 1j * np.geomspace(0.3, n * n / np.pi, half)
    P, B, C = (rng.standard_normal(half) + 1j * rng.standard_normal(half) for _ in range(3))
    system = DPLRSystem(Lambda, P, B, C).discretize(1e-3)
    dense = to_dense(system).system
    u = rng.standard_normal(length)

    def steps() -> Any:
        x, out = np.zeros(n), []
        for sample in u:
            x = dense.A @ x + dense.B * sample
            out.append(dense.C @ x)
        return np.array(out)

    def two_products() -> Any:
        """Step by diagonal plus rank one, one sample after the other."""
        x, out, along = np.zeros(half, dtype=complex), [], system.Q[0].conj()
        left = system.P[0]
        for sample in u:
            x = system.Lambda * x - left * (2 * (along @ x).real) + system.B * sample
            out.append(2 * (system.C @ x).real)
        return np.array(out)

    contenders: Contenders = {
        "lina": lambda: linear_scan(system, u)[0],
        "diagonal plus rank one, loop": two_products,
        "dense, loop": steps,
    }
    targets = [Target("lina", "dense, loop", 1.0)]
    return Case(f"recurrence of {n} states, {length} samples", contenders, relative(steps()), targets)


def relative(exact: np.ndarray) -> Callable[[Any], float]:
    """Return the largest error over the largest value."""
    return lambda X: float(np.max(np.abs(np.asarray(X) - exact)) / np.max(np.abs(exact)))


QUESTION = Question(
    "What do true parameters, responses and steps of a system cost by its structure instead of by dense matrices?",
    cases,
    note="Times of peers that answer 1 % of the points count as they are: all points take them 100 times as long. The "
    "second recovery of degree 1024 has its poles within 1e-6 of the circle, where the check of stability costs most.",
)
