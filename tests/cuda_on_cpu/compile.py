"""Compile a CUDA text with the shim ``cuda_on_cpu.h`` by g++, and launch its kernels on numpy arrays."""

import ctypes
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

GXX = shutil.which("g++")
NO_GXX = "NOT TESTED: the CUDA texts were not run on the CPU, because there is no g++"

# in "eager" order a warp goes on to the next barrier of the block before the others start
ORDERS = {"forward": 0, "backward": 1, "shuffled": 2, "eager": 3}
FAULTS = {
    1: "divergent barrier",
    2: "a thread left before a barrier",
    3: "write beyond the dynamic shared memory",
    4: "shuffle with a partial mask",
}

_BOUNDS = r"(?:__launch_bounds__\([^)]*\)\s+)?"
_KERNEL = re.compile(rf'extern\s+"C"\s+__global__\s+{_BOUNDS}void\s+(\w+)\s*\(([^)]*)\)')
_SHARED = re.compile(r"extern\s+__shared__\s+(\w+)\s+(\w+)\[\]")
_UNIT = """\
#include "{header}"
#line 1 "kernel.cu"
{text}
alignas(16) thread_local {type} {shared}[(cuda_on_cpu::CAPACITY + cuda_on_cpu::FENCE) / sizeof({type})];
{launchers}"""
_LAUNCHER = """\
extern "C" int launch_{name}(void** arguments, const unsigned* grid, const unsigned* block, size_t bytes,
                             int order, unsigned seed) {{
  return cuda_on_cpu::launch({name}, arguments, grid, block, {shared}, bytes, order, seed);
}}
"""


class KernelError(Exception):
    """A kernel did what a device does not forgive."""


class Library:
    """The kernels of one compiled text."""

    def __init__(self, path: Path, parameters: dict[str, int]) -> None:
        self._library = ctypes.CDLL(str(path))
        self._parameters = parameters

    def launch(
        self,
        name: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        shared_mem: int = 0,
        order: str = "forward",
        seed: int = 0,
    ) -> None:
        """Run a kernel; ``args`` are C-contiguous numpy arrays and numpy scalars of the parameters' types."""
        assert len(args) == self._parameters[name], f"{name} takes {self._parameters[name]} arguments"
        values = [_in_memory(each) for each in args]
        pointers = (ctypes.c_void_p * len(values))(*(each.ctypes.data for each in values))
        dimensions = [(ctypes.c_uint * 3)(*each, *(1,) * (3 - len(each))) for each in (grid, block)]
        function = getattr(self._library, f"launch_{name}")
        size = ctypes.c_size_t(shared_mem)
        fault = function(pointers, *dimensions, size, ORDERS[order], ctypes.c_uint(seed))
        if fault:
            raise KernelError(FAULTS[fault])


def _in_memory(value: Any) -> np.ndarray:
    """Return an array that holds the argument itself: the address of an array, or the value of a scalar."""
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous, "a kernel sees an address, so the array must be C-contiguous"
        return np.array(value.ctypes.data, dtype=np.uintp)
    assert isinstance(value, np.generic), f"a scalar needs an explicit width, got {type(value).__name__}"
    return np.array(value)


@cache
def compile_text(text: str, options: tuple[str, ...] = ()) -> Library:
    """Return the kernels of a CUDA text without includes, compiled with options such as -DREAL=double."""
    assert GXX is not None
    shared = _SHARED.search(text)
    kind, array = shared.groups() if shared else ("double", "no_shared_memory")
    kernels = _KERNEL.findall(text)
    launchers = "".join(_LAUNCHER.format(name=name, shared=array) for name, _ in kernels)
    header = Path(__file__).with_name("cuda_on_cpu.h")
    folder = Path(_folder().name)
    stem = f"text{len(list(folder.glob('*.cpp')))}"
    source, output = folder / f"{stem}.cpp", folder / f"{stem}.so"
    source.write_text(_UNIT.format(header=header, text=text, type=kind, shared=array, launchers=launchers))
    command = [GXX, "-std=c++17", "-O1", "-shared", "-fPIC", *options, "-o", str(output), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Library(output, {name: parameters.count(",") + 1 for name, parameters in kernels})


@cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="lina_cuda_on_cpu_")
