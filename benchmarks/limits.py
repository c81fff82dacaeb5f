"""What this machine can do at best, measured in the same run: the rate of GEMM and the bandwidth of a copy."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np


class Limits(NamedTuple):
    """GEMM rates in flops/s by dtype, and bytes/s of a copy, read and written bytes both counted."""

    gemm: dict[str, float]
    copy: float

    def seconds(self, flops: float, volume: float, dtype: str) -> float:
        """Return the least time in which ``flops`` can be done and ``volume`` bytes moved."""
        return max(flops / self.gemm[dtype], volume / self.copy)


def measure_limits(threads: int, *, quick: bool = False) -> Limits:
    """Measure with BLAS already held to ``threads`` threads; the best of several trials, as fits a limit."""
    n, megabytes, trials = (256, 4, 2) if quick else (2000, 256, 4)
    gemm = {name: _gemm_rate(n, name, trials) for name in ("float64", "float32")}
    return Limits(gemm, _copy_rate(megabytes << 20, threads, trials))


def _gemm_rate(n: int, dtype: str, trials: int) -> float:
    A = np.random.default_rng(0).standard_normal((n, n)).astype(dtype)
    out = np.empty_like(A)
    return 2.0 * n**3 / _best(lambda: np.matmul(A, A, out=out), trials)


def _copy_rate(size: int, threads: int, trials: int) -> float:
    source, target = np.ones(size, dtype=np.uint8), np.zeros(size, dtype=np.uint8)
    parts = [slice(size * i // threads, size * (i + 1) // threads) for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:  # numpy copies without the GIL
        seconds = _best(lambda: list(pool.map(lambda s: np.copyto(target[s], source[s]), parts)), trials)
    return 2.0 * size / seconds


def _best(call: Callable[[], object], trials: int) -> float:
    times = []
    for _ in range(trials + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times[1:])
