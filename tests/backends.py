"""The array libraries on which the generic tests run, each as a move there and a move back.

LINA_TEST_BACKENDS (comma-separated) limits them; an unknown name is an error, so that a typo never skips a test.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from lina._core.array import to_numpy


@dataclass(frozen=True)
class Backend:
    """``move`` takes a numpy array to the library, ``module`` is needed for it, ``active`` surrounds a test."""

    name: str
    module: str
    move: Callable[[np.ndarray], Any]
    active: Callable[..., Any] = nullcontext
    complex: bool = True

    def back(self, x: Any) -> np.ndarray:
        return to_numpy(x)


def _readonly(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def _strict(x: np.ndarray) -> Any:
    import array_api_strict

    return array_api_strict.asarray(x)


@contextmanager
def _strictest(extensions: tuple[str, ...]) -> Iterator[None]:
    import array_api_strict

    with array_api_strict.ArrayAPIStrictFlags(
        boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=extensions
    ):
        yield


def _torch(x: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(x.copy())


def _jax(x: np.ndarray) -> Any:
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray(x)


def _dask(x: np.ndarray) -> Any:
    import dask.array

    return dask.array.from_array(x, chunks=(-(-x.shape[0] // 2), *x.shape[1:]))


BACKENDS = {
    b.name: b
    for b in (
        Backend("numpy", "numpy", np.copy),
        Backend("numpy:readonly", "numpy", _readonly),
        Backend("strict", "array_api_strict", _strict),
        Backend("strictest", "array_api_strict", _strict, _strictest),
        Backend("torch", "torch", _torch),
        Backend("jax", "jax", _jax),
        Backend("dask", "dask.array", _dask, complex=False),  # its svd, in solve_left, declares singular values complex
    )
}


def selected() -> list[str]:
    """Return the names of the backends to test: those asked for, or those that are installed."""
    asked = os.environ.get("LINA_TEST_BACKENDS", "")
    if not asked:
        return [name for name, backend in BACKENDS.items() if find_spec(backend.module.partition(".")[0])]
    names = asked.split(",")
    unknown = set(names) - set(BACKENDS)
    if unknown:
        raise ValueError(f"LINA_TEST_BACKENDS must name some of {', '.join(BACKENDS)}, got {', '.join(unknown)}")
    return names
