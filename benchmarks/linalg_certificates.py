"""How often does a stated error bound the true one, and how loose is it?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.linalg_pinv import EPS, orthonormal
from benchmarks.runner import Case, Question
from lina.linalg import interpolative, truncated_svd

SEEDS = 200
M, N, K = 120, 90, 12

# As many spectra as shapes of decay that certificates are known to fail on.
SPECTRA: dict[str, Callable[[int], np.ndarray]] = {
    "1 / i": lambda n: 1.0 / np.arange(1, n + 1),
    "1 / sqrt(i)": lambda n: 1.0 / np.sqrt(np.arange(1, n + 1)),
    "exp(-i / 6)": lambda n: np.exp(-np.arange(n) / 6.0),
    "step at 15": lambda n: np.where(np.arange(n) < 15, 1.0, 1e-3),
    "flat": np.ones,
    "rank 7": lambda n: np.where(np.arange(n) < 7, 1.0, 0.0),
    "one spike": lambda n: np.where(np.arange(n) < 1, 1e6, 1.0),
    "stairs": lambda n: 10.0 ** -(0.5 * (np.arange(n) // 10)),
}

ANSWERS: dict[str, tuple[Callable[..., Any], str]] = {
    "truncated_svd, fro": (lambda A, seed: truncated_svd(A, K, method="krylov", rng=seed), "fro"),
    "truncated_svd, 2": (lambda A, seed: truncated_svd(A, K, method="krylov", norm="2", rng=seed), "2"),
    "interpolative, fro": (lambda A, seed: interpolative(A, K, rng=seed), "fro"),
}


def cases(_quick: bool) -> Iterator[Case]:
    """Nothing is raced here: the counts are the table."""
    yield from ()


def matrices(spectrum: str, seeds: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (seed, matrix) with random singular vectors."""
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        yield seed, (orthonormal(rng, M, N) * SPECTRA[spectrum](N)) @ orthonormal(rng, N, N).T


def row(answer: str, spectrum: str, seeds: int) -> tuple[int, float, float]:
    """Return (bounds below the true error, median and largest of bound / true) beyond rounding."""
    call, norm = ANSWERS[answer]
    below, ratios = 0, []
    for seed, A in matrices(spectrum, seeds):
        F = call(A, seed)
        true = float(np.linalg.norm(A - F.toarray(), "fro" if norm == "fro" else 2))
        floor = N * EPS * float(np.linalg.norm(A))
        below += true > F.error + floor
        if true > floor:
            ratios.append(F.error / true)
    return below, float(np.median(ratios or [1.0])), float(np.max(ratios or [1.0]))


def note(seeds: int = SEEDS) -> str:
    """Return the table as Markdown."""
    lines = ["| certificate | spectrum | below the true error | median of bound / true | largest |"]
    lines.append("|---|---|---:|---:|---:|")
    failures = 0
    for answer in ANSWERS:
        for spectrum in SPECTRA:
            below, median, largest = row(answer, spectrum, seeds)
            failures += below
            lines.append(f"| {answer} | {spectrum} | {below} of {seeds} | {median:.3g} | {largest:.3g} |")
    runs = len(ANSWERS) * len(SPECTRA) * seeds
    return f"{M} x {N}, k = {K}. In all, {failures} of {runs} bounds fail.\n\n" + "\n".join(lines)


QUESTION = Question("How often does a stated error bound the true one, and how loose is it?", cases, note=note)
