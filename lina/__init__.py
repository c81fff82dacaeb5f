"""Certified numerical linear algebra and optimisation for CPU and GPU arrays.

The rooms (``lina.linalg``, ``lina.torch``, ...) are imported on first use, so that ``import lina`` loads
neither numba nor torch nor cupy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lina import diffusion as diffusion
    from lina import hippo as hippo
    from lina import linalg as linalg
    from lina import rope as rope
    from lina import simplex as simplex
    from lina import ssm as ssm
    from lina._core.store import load as load
    from lina._core.store import save as save
    from lina._core.threads import get_threads as get_threads
    from lina._core.threads import set_threads as set_threads

__version__ = "0.1.0"

_ROOMS = ("diffusion", "hippo", "linalg", "rope", "simplex", "sklearn", "ssm", "torch")
_NAMES = {
    "get_threads": "lina._core.threads",
    "load": "lina._core.store",
    "save": "lina._core.store",
    "set_threads": "lina._core.threads",
}

__all__ = [
    "__version__",
    "diffusion",
    "get_threads",
    "hippo",
    "linalg",
    "load",
    "rope",
    "save",
    "set_threads",
    "simplex",
    "ssm",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"lina.{name}")
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'lina' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS, *_NAMES})
