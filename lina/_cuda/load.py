"""The one way in which lina loads a GPU kernel: the text beside this file, compiled for one real type."""

from functools import cache
from pathlib import Path
from typing import Any

REAL_NAMES = {"float32": "float", "float64": "double"}


@cache
def load(name: str, dtype: str) -> Any:
    """Return the kernel ``name`` of NAME.cu for a real dtype, to be compiled at its first launch."""
    import cupy

    text = Path(__file__).with_name(f"{name}.cu").read_text(encoding="utf-8")
    module = cupy.RawModule(code=text, options=(f"-DREAL={REAL_NAMES[dtype]}", "--std=c++17"))
    return module.get_function(name)
