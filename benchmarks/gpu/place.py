"""Where a table is measured: the library of its arrays, its clock, and the limits that it measures itself."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_CHAINS, _THREADS, _BLOCKS = 8, 256, 16 * 132  # as in fma_rate.cu; enough blocks to fill any device several times


@dataclass(frozen=True)
class Place:
    """``xp`` is the module of the arrays, ``torch_device`` the same place as torch calls it."""

    name: str
    xp: Any
    torch_device: str
    clock: Callable[[Callable[[], Any], int], float]

    def seconds(self, call: Callable[[], Any], repeats: int = 1) -> float:
        """Return the seconds of one of ``repeats`` calls in a row."""
        return self.clock(call, repeats) / repeats

    def tensor(self, x: Any) -> Any:
        """Return a torch tensor that shares the memory of an array."""
        import torch

        return torch.from_dlpack(x)

    def host(self, x: Any) -> np.ndarray:
        """Return an array or tensor as numpy's."""
        if hasattr(x, "detach"):
            return np.asarray(x.detach().cpu())
        return np.asarray(x.get() if hasattr(x, "get") else x)


def find_place(device: str) -> Place:
    """Return the place that is called "cuda" or "stand-in"; RuntimeError says what a CUDA device lacks."""
    if device == "stand-in":
        return Place("stand-in (numpy): nothing here is a measurement", np, "cpu", wall_clock)
    try:
        import cupy
    except ImportError as error:
        raise RuntimeError(
            "the tables of a CUDA device need cupy (pip install cupy-cuda13x), which is missing"
        ) from error
    if not cupy.is_available():
        raise RuntimeError("the tables of a CUDA device need one, and cupy finds none")
    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    return Place(f"{name}, cupy {cupy.__version__}", cupy, "cuda", event_clock)


def wall_clock(call: Callable[[], Any], repeats: int) -> float:
    """Return the seconds of calls that return when they have finished."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return time.perf_counter() - start


def event_clock(call: Callable[[], Any], repeats: int) -> float:
    """Return the seconds between two events around the calls, on the stream that cupy and torch share by default.

    Of a call that leaves the device idle, as of scikit-learn, the events see the whole time as well.
    """
    import cupy

    before, after = cupy.cuda.Event(), cupy.cuda.Event()
    cupy.cuda.Device().synchronize()
    before.record()
    for _ in range(repeats):
        call()
    after.record()
    after.synchronize()
    return cupy.cuda.get_elapsed_time(before, after) / 1e3


def _best(place: Place, call: Callable[[], Any]) -> float:
    call()  # what compiles and allocates
    return min(place.seconds(call, 3) for _ in range(5))


@cache
def copy_bandwidth(place: Place, megabytes: int) -> float:
    """Return bytes read and written per second by a copy."""
    source = place.xp.ones(megabytes * 250_000, dtype="float32")
    target = place.xp.empty_like(source)

    def copy() -> None:
        target[...] = source

    return 2 * source.nbytes / _best(place, copy)


@cache
def gemm_rate(place: Place, dtype: str, n: int) -> float:
    """Return the flops per second of a square matrix product."""
    A = place.xp.random.default_rng(0).standard_normal((n, n), dtype=dtype)  # constant entries would take less power
    return 2 * n**3 / _best(place, lambda: A @ A)


@cache
def fma_rate(place: Place, dtype: str, steps: int) -> float:
    """Return the flops per second of multiply-adds outside of tensor cores; of the stand-in, of a product."""
    if place.xp is np:
        return gemm_rate(place, dtype, 200)
    out = place.xp.empty(_BLOCKS * _THREADS, dtype=dtype)
    seconds = _best(place, lambda: launch_fma(place.xp, out, steps))
    return 2.0 * _CHAINS * steps * out.size / seconds


def launch_fma(xp: Any, out: Any, steps: int) -> None:
    """Launch fma_rate.cu on as many threads as ``out`` has entries, a multiple of 256."""
    _fma_kernel(xp, out.dtype.name)((out.size // _THREADS,), (_THREADS,), (out, np.int32(steps)))


@cache
def _fma_kernel(xp: Any, dtype: str) -> Any:
    text = Path(__file__).with_name("fma_rate.cu").read_text(encoding="utf-8")
    real = {"float32": "float", "float64": "double"}[dtype]
    return xp.RawModule(code=text, options=(f"-DREAL={real}", "--std=c++17")).get_function("fma_rate")


def limits(place: Place, *, quick: bool) -> dict[str, float]:
    """Return the limits of a place by their names, in bytes or flops per second."""
    n, steps = (200, 10) if quick else (8192, 20_000)
    found = {"copy": copy_bandwidth(place, 4 if quick else 2048)}
    for dtype in ("float32", "float64"):
        found[f"products, {dtype}"] = gemm_rate(place, dtype, n)
        found[f"multiply-adds, {dtype}"] = fma_rate(place, dtype, steps)
    return found
