"""A stand-in for the module cupy, whose arrays are numpy's and whose kernels run on the CPU through the shim.

It covers what the launch code in ``lina/_cuda`` calls, and holds it to the limits that every device has.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from lina._cuda.load import load
from tests.cuda_on_cpu.compile import Library, compile_text

MAX_THREADS = 1024
MAX_SHARED = 48 * 1024
MAX_GRID = (2**31 - 1, 2**16 - 1, 2**16 - 1)


class FakeCupy:
    """``order`` and ``seed`` choose the order of the fibres; ``launches`` records what was launched."""

    float32, float64, int32, inf = np.float32, np.float64, np.int32, np.inf
    ndarray = np.ndarray
    ascontiguousarray = staticmethod(np.ascontiguousarray)
    asarray = staticmethod(np.asarray)

    def __init__(self, order: str = "forward", seed: int = 0) -> None:
        self.order, self.seed = order, seed
        self.launches: list[dict[str, Any]] = []

    def empty(self, shape: Any, dtype: Any = np.float64) -> np.ndarray:
        """Return an array full of what nobody expects, so that an entry left out is seen."""
        out = np.empty(shape, dtype=dtype)
        out.view(np.uint8).fill(0xCD)
        return out

    def RawModule(self, *, code: str, options: tuple[str, ...] = ()) -> "FakeModule":
        defines = tuple(each for each in options if each.startswith("-D"))
        return FakeModule(self, compile_text(code, defines))


class FakeModule:
    """The kernels of one text."""

    def __init__(self, cupy: FakeCupy, library: Library) -> None:
        self.cupy, self.library = cupy, library

    def get_function(self, name: str) -> Callable[..., None]:
        def kernel(grid: tuple, block: tuple, args: tuple, *, shared_mem: int = 0) -> None:
            assert 1 <= math.prod(block) <= MAX_THREADS
            assert 0 <= shared_mem <= MAX_SHARED
            assert all(1 <= size <= limit for size, limit in zip(grid, MAX_GRID, strict=False))
            self.cupy.launches.append({"grid": grid, "block": block, "shared_mem": shared_mem})
            cupy = self.cupy
            self.library.launch(name, grid, block, args, shared_mem, cupy.order, cupy.seed)

        return kernel


@contextmanager
def installed(order: str = "forward", seed: int = 0) -> Iterator[FakeCupy]:
    """Let ``import cupy`` find a fake within the block; kernels loaded for another cupy are forgotten."""
    cupy = FakeCupy(order, seed)
    load.cache_clear()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "cupy", cupy)
            yield cupy
    finally:
        load.cache_clear()
