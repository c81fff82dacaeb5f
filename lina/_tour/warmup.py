"""Compile the kernels ahead of their first call."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

_DTYPES = ("float32", "float64", "complex64", "complex128")


def _pinv_small(dtype: str) -> None:
    from lina._numba.pinv_small import pinv_small

    pinv_small(np.ones((1, 1, 1), dtype=dtype))


# A new kernel is a new row.
KERNELS: dict[str, tuple[Callable[[str], Any], tuple[str, ...]]] = {"pinv_small": (_pinv_small, _DTYPES)}


def warmup() -> list[tuple[str, str, float]]:
    """Call every kernel once per dtype; print and return (kernel, dtype, seconds)."""
    rows = []
    for name, (call, dtypes) in KERNELS.items():
        for dtype in dtypes:
            start = time.perf_counter()
            call(dtype)
            rows.append((name, dtype, time.perf_counter() - start))
            print(f"{name:<12} {dtype:<11} {rows[-1][2]:6.2f} s", flush=True)
    return rows
