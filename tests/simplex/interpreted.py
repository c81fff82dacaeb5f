"""The kernels as the interpreter runs them: what the compiled ones are compared with."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

import lina._numba.jit
from lina._numba import entmax, project_simplex, project_simplex_backward, side_by_side, softmax


@contextmanager
def interpreted() -> Iterator[tuple[ModuleType, ...]]:
    """Give copies of project_simplex, softmax, entmax and project_simplex_backward in which nothing is compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lina._numba.jit, "njit", lambda function: function)
        copies = []
        for module in (side_by_side, project_simplex, softmax, entmax, project_simplex_backward):
            spec = importlib.util.spec_from_file_location(module.__name__, module.__file__)
            assert spec is not None
            assert spec.loader is not None
            copy = importlib.util.module_from_spec(spec)
            patch.setitem(sys.modules, module.__name__, copy)
            spec.loader.exec_module(copy)
            copies.append(copy)
        yield tuple(copies[1:])
