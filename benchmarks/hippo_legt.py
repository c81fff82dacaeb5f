"""How fast is a sliding window as a memory?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.runner import Case, Question, Target
from lina.hippo import lti_scan, transition
from lina.ssm import discretize


def cases(quick: bool) -> Iterator[Case]:
    """Yield one channel and some, all states and the last one."""
    N, L = (32, 500) if quick else (256, 8192)
    yield all_states(N, L, 1, [Target("lina", "loop", 2.5, 10)])
    yield all_states(N // 4, L, 1, [])
    yield all_states(N // 4, L // 8, 16, [])
    yield last_state(N, L)


def signal(channels: int, L: int) -> np.ndarray:
    """Return noise with slow waves."""
    rng = np.random.default_rng(0)
    return np.sin(np.arange(L) / 90 + rng.uniform(0, 6, (channels, 1))) + rng.standard_normal((channels, L))


def all_states(N: int, L: int, channels: int, targets: list[Target]) -> Case:
    """Return all states, judged by the loop in longer arithmetic."""
    u, Ad, Bd = problem(N, L, channels)
    found: dict[str, Callable[[], Any]] = {
        "lina": lambda: lti_scan(u, N, theta=1000.0, return_all=True),
        "loop": lambda: loop(u, Ad, Bd),
        **torch_loop(u, Ad, Bd),
    }
    flops = 2.0 * N * N * L * channels
    return Case(f"all states, {channels} x {L}, N = {N}", found, last_against(u, Ad, Bd), targets, flops)


def last_state(N: int, L: int) -> Case:
    """Return the last state alone."""
    u, Ad, Bd = problem(N, L, 1)
    found = {"lina": lambda: lti_scan(u, N, theta=1000.0)[:, None], "loop": lambda: loop(u, Ad, Bd)[:, -1:]}
    return Case(f"last state, 1 x {L}, N = {N}", found, last_against(u, Ad, Bd), [], 4.0 * N * L)


def problem(N: int, L: int, channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the signals and the matrices of a step in a window of 1000 steps."""
    Ad, Bd = discretize(*transition("legt", N, theta=1000.0), 1.0, "zoh")
    return signal(channels, L), Ad, Bd


def loop(u: np.ndarray, Ad: np.ndarray, Bd: np.ndarray) -> np.ndarray:
    """Return all states, one step at a time."""
    channels, L = u.shape
    states = np.empty((channels, L, Bd.size))
    if channels == 1:
        x = np.zeros(Bd.size)
        for k in range(L):
            x = Ad @ x + u[0, k] * Bd
            states[0, k] = x
        return states
    x, transposed = np.zeros((channels, Bd.size)), np.ascontiguousarray(Ad.T)
    for k in range(L):
        x = x @ transposed + u[:, k : k + 1] * Bd
        states[:, k] = x
    return states


def torch_loop(u: np.ndarray, Ad: np.ndarray, Bd: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return the loop of hippo-code, where torch is installed, in double precision."""
    try:
        import torch
    except ImportError:
        return {}
    A, inputs = torch.from_numpy(Ad), torch.from_numpy(u.T[..., None] * Bd)

    def run() -> np.ndarray:
        x, states = torch.zeros(inputs.shape[1:], dtype=torch.float64), []
        for each in inputs:
            x = torch.nn.functional.linear(x, A) + each
            states.append(x)
        return torch.stack(states, dim=1).numpy()

    return {"torch loop, inputs ready": run}


def last_against(u: np.ndarray, Ad: np.ndarray, Bd: np.ndarray) -> Callable[[Any], float]:
    """Return the judge of the last state of the first channel, by the last 3000 steps in extended precision."""
    A, B = Ad.astype(np.longdouble), Bd.astype(np.longdouble)
    x = np.zeros(B.size, dtype=np.longdouble)
    for sample in u[0, -3000:]:
        x = A @ x + sample * B
    expected = x.astype(float)
    return lambda states: float(np.linalg.norm(states[0, -1] - expected) / np.linalg.norm(expected))


QUESTION = Question(
    "How fast is a sliding window as a memory?",
    cases,
    "relative error",
    note="A window of 1000 steps, exact for signals that are constant over each step. The matrices of the step are "
    "ready for all: lina keeps them from one call to the next.",
)
