"""Compile a CUDA text for a real architecture without a device, by the wheel nvidia-cuda-nvrtc."""

import ctypes
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

NO_NVRTC = "NOT TESTED: the CUDA texts were not compiled for a device, because there is no nvidia-cuda-nvrtc"

_FIGURES = re.compile(
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads"
    r".*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


class Compiled(NamedTuple):
    """A cubin, the compiler's log without the figures of the assembler, and these, one row per kernel."""

    cubin: bytes
    log: str
    registers: list[int]
    spilled_bytes: list[int]


class CompileError(Exception):
    """The text does not compile; the message is the compiler's log."""


def find_library() -> Path | None:
    """Return the NVRTC of the wheel, or None."""
    spec = importlib.util.find_spec("nvidia")
    folders = (spec.submodule_search_locations or []) if spec else []
    found = [path for folder in folders for path in Path(folder).rglob("libnvrtc.so*")]
    return max(found, default=None)


def compile_for(text: str, architecture: str, options: tuple[str, ...] = ()) -> Compiled:
    """Compile ``text`` for an architecture such as sm_80."""
    nvrtc = _nvrtc()
    program = ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None))
    try:
        flags = [f"--gpu-architecture={architecture}", "--ptxas-options=-v", *options]
        array = (ctypes.c_char_p * len(flags))(*(flag.encode() for flag in flags))
        status = nvrtc.nvrtcCompileProgram(program, len(flags), array)
        log = _bytes(nvrtc, "ProgramLog", program).rstrip(b"\0").decode()
        if status:
            raise CompileError(log)
        cubin = _bytes(nvrtc, "CUBIN", program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    figures = [{key: int(value) for key, value in each.groupdict().items()} for each in _FIGURES.finditer(log)]
    rest = "\n".join(line for line in log.splitlines() if not _is_figure(line))
    spilled = [each["stack"] + each["stores"] + each["loads"] for each in figures]
    return Compiled(cubin, rest.strip(), [each["registers"] for each in figures], spilled)


def _is_figure(line: str) -> bool:
    return line.startswith("ptxas info") or "bytes stack frame" in line


@cache
def _nvrtc() -> ctypes.CDLL:
    path = find_library()
    assert path is not None
    return ctypes.CDLL(str(path))


def _bytes(nvrtc: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _check(getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(getattr(nvrtc, f"nvrtcGet{what}")(program, buffer))
    return buffer.raw


def _check(status: int) -> None:
    assert status == 0, f"NVRTC returned status {status}"
