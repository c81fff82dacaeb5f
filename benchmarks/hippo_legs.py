"""How fast is an online memory of the whole past?"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.linalg import expm, solve_triangular

from benchmarks.runner import Case, Question, Target
from lina.hippo import legs_project, legs_scan, legs_scan_vjp, transition


def cases(quick: bool) -> Iterator[Case]:
    """Yield one channel, many channels, a million steps in single precision, the exact memory, and the gradient."""
    yield one_channel(64 if quick else 256, 100 if quick else 1000)
    for N, L, ratio in ((64, 1000, 15), (256, 300, 30), (1024, 100, 100)):
        yield many_channels(N, 20 if quick else L, 256, ratio)
        if quick:
            break
    yield million_steps(10**4 if quick else 10**6)
    yield exact(8 if quick else 64, 50 if quick else 2000)
    yield all_states(16 if quick else 256, 100 if quick else 1000)
    yield gradient(16 if quick else 64, 200 if quick else 10_000)


def signal(L: int, channels: int = 1) -> np.ndarray:
    """Return slow waves with a little noise, each channel its own."""
    rng = np.random.default_rng(0)
    t = np.arange(L) / L
    phases = rng.uniform(0, 6, (channels, 1))
    return np.sin(9 * t + phases) + 0.5 * np.cos(31 * t + 2 * phases) + 0.05 * rng.standard_normal((channels, L))


def relative(expected: np.ndarray) -> Callable[[Any], float]:
    """Return the judge of a result: its distance from what is expected, relative."""
    return lambda x: float(np.linalg.norm(np.asarray(x) - expected) / np.linalg.norm(expected))


def one_channel(N: int, L: int) -> Case:
    """Return one channel in double precision, judged by the exact projection."""
    u = signal(L)[0]
    found: dict[str, Callable[[], Any]] = {
        "lina": lambda: legs_scan(u, N),
        "lina, float32": lambda: legs_scan(u.astype(np.float32), N),
        "triangular solve per step": lambda: solves(u, N),
        **stacked(u[None], N),
    }
    targets = [Target("lina", "triangular solve per step", 150, 1.01), Target("lina", "stack, float32", 25)]
    return Case(f"one channel, N = {N}, L = {L}", found, relative(legs_project(u, N)), targets, 10.0 * N * L)


def many_channels(N: int, L: int, channels: int, ratio: float) -> Case:
    """Return many channels in single precision."""
    u = signal(L, channels).astype(np.float32)
    found = {"lina, float32": lambda: legs_scan(u, N), **stacked(u, N)}
    wide = u.astype(float)
    found["lina, float64"] = lambda: legs_scan(wide, N)
    target = Target("lina, float32", "stack, float32", ratio)
    flops = 5.0 * N * L * channels  # 10, at the rate of single precision, twice that of double
    name = f"{channels} channels, N = {N}, L = {L}"
    return Case(name, found, relative(legs_project(wide, N)), [target], flops)


def solves(u: np.ndarray, N: int) -> np.ndarray:
    """Return the same steps by a dense product and a triangular solve."""
    A, B = transition("legs", N)
    eye = np.eye(N)
    x = u[0] * eye[0]
    for k in range(1, u.size):
        h = math.log1p(1 / k) / 2
        right = x + h * (A @ x) + 2 * h * u[k] * B
        x = solve_triangular(eye - h * A, right, lower=True, check_finite=False)
    return x


def stacked(u: np.ndarray, N: int) -> dict[str, Callable[[], Any]]:
    """Return the peer that has all L step matrices ready (as hippo-code does), without the time to make them."""
    try:
        import torch
    except ImportError:
        return {}
    A, B = transition("legs", N)
    eye, stack, inputs = np.eye(N), [], []
    for t in range(1, u.shape[-1] + 1):
        both = solve_triangular(eye - A / (2 * t), np.column_stack([eye + A / (2 * t), B / t]), lower=True)
        stack.append(torch.from_numpy(both[:, :-1].astype(np.float32)))
        inputs.append(torch.from_numpy(both[:, -1].astype(np.float32)))
    samples = torch.from_numpy(np.ascontiguousarray(u.T.astype(np.float32)))[..., None]

    def run() -> Any:
        x = torch.zeros(u.shape[0], N)
        for matrix, vector, sample in zip(stack, inputs, samples, strict=True):
            x = torch.nn.functional.linear(x, matrix) + sample * vector
        return x.numpy() if u.shape[0] > 1 else x.numpy()[0]

    return {"stack, float32": run}


def million_steps(L: int) -> Case:
    """Return a long scan in single precision, judged by the same scan in double precision."""
    u = signal(L)[0].astype(np.float32)
    wide = u.astype(float)
    found = {"lina, float32": lambda: legs_scan(u, 64), "lina, float64": lambda: legs_scan(wide, 64)}
    return Case(f"one channel, N = 64, L = {L}", found, relative(legs_scan(wide, 64)), [], 10.0 * 64 * L)


def exact(N: int, L: int) -> Case:
    """Return the exact memory, judged by the integrals of Legendre polynomials in longer arithmetic."""
    u = signal(L)[0]
    found = {
        "lina, projection": lambda: legs_project(u, N),
        "lina, every state": lambda: legs_scan(u, N, method="exact", return_all=True)[-1],
        "expm per step": lambda: exponentials(u, N),
    }
    return Case(f"exact, N = {N}, L = {L}", found, relative(long_projection(u, N)), [], 6.0 * N * L)


def exponentials(u: np.ndarray, N: int) -> np.ndarray:
    """Return the exact steps by matrix exponentials."""
    A, B = transition("legs", N)
    x = u[0] * np.eye(N)[0]
    for k in range(1, u.size):
        E = expm(math.log1p(1 / k) * A)
        x = E @ x + solve_triangular(A, E @ B - B, lower=True) * u[k]
    return x


def long_projection(u: np.ndarray, N: int) -> np.ndarray:
    """Return the projection in extended precision."""
    s = np.linspace(-1, 1, u.size + 1, dtype=np.longdouble)
    P = [np.ones_like(s), s]
    for n in range(1, N + 1):
        P.append(((2 * n + 1) * s * P[n] - n * P[n - 1]) / (n + 1))
    rows = [np.diff(s) / 2]
    rows += [np.diff(P[n + 1] - P[n - 1]) / (2 * np.sqrt(np.longdouble(2 * n + 1))) for n in range(1, N)]
    return np.array([row @ u.astype(np.longdouble) for row in rows], dtype=float)


def all_states(N: int, L: int) -> Case:
    """Return every state of one channel."""
    u = signal(L)[0]
    found = {
        "lina, all states": lambda: legs_scan(u, N, return_all=True)[-1],
        "triangular solve per step": lambda: solves(u, N),
    }
    return Case(f"all states, N = {N}, L = {L}", found, relative(legs_project(u, N)), [], 10.0 * N * L)


def gradient(N: int, L: int) -> Case:
    """Return the gradient by the samples of one channel, and the scan beside it."""
    g = np.random.default_rng(1).standard_normal(N)
    exact_gradient = legs_scan(np.eye(L)[:200], N) @ g if L >= 200 else legs_scan(np.eye(L), N) @ g
    count = exact_gradient.size
    found = {
        "lina, gradient": lambda: legs_scan_vjp(g, L)[0][:count],
        "lina, by unit samples": lambda: legs_scan(np.eye(L)[:count], N) @ g,
    }
    return Case(f"gradient, N = {N}, L = {L}", found, relative(exact_gradient), [], 14.0 * N * L)


QUESTION = Question(
    "How fast is an online memory of the whole past?",
    cases,
    "relative error",
    note="Errors of LegS are those of the last state against the exact projection of the staircase, so that they hold "
    "the error of the scheme; that of a million steps is against double precision. The stack of hippo-code is applied "
    "only: making its L x N x N numbers takes longer than that. It is judged by its own scheme.",
)
