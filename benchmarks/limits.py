"""Physical limits, measured in the same run: no algorithm made of matrix products is faster than these."""

import time
from functools import cache

import numpy as np
from threadpoolctl import threadpool_limits


@cache
def gemm_rate(dtype: str = "float64", n: int = 1500) -> float:
    """Return the flops per second of a square matrix product at one thread, the best of five."""
    A = np.random.default_rng(0).standard_normal((n, n)).astype(dtype)
    with threadpool_limits(1):
        best = min(_seconds(lambda: A @ A) for _ in range(5))
    return 2 * n**3 / best


@cache
def copy_bandwidth(megabytes: int = 256) -> float:
    """Return bytes read and written per second by a copy, the best of five."""
    source = np.ones(megabytes * 125_000)
    target = np.empty_like(source)
    return 2 * source.nbytes / min(_seconds(lambda: np.copyto(target, source)) for _ in range(5))


def _seconds(call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start
