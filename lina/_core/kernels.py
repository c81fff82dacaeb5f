"""The kernel table: (operation, library) -> "module:function", imported on first use.

This is the only file that knows which libraries have kernels. An operation without a row for a library runs
the array-API body in its public module. Adding a backend is adding rows here.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

TABLE: dict[tuple[str, str], str] = {
    ("cosine_transform", "numpy"): "lina.linalg._sketch:scipy_cosine_transform",
    ("frobenius", "numpy"): "numpy.linalg:norm",
    ("householder", "numpy"): "lina.linalg._householder:lapack_householder",
    ("inverse", "numpy"): "lina.linalg._lapack:inverse",
    ("lu_pivots", "numpy"): "lina.linalg._select_columns.lupp:lapack_lu_pivots",
    ("pinv", "torch"): "lina.torch.pinv:pinv_with_facts",
    ("pinv_small", "numpy"): "lina._numba.pinv_small:pinv_small",
    ("pinv_small", "cupy"): "lina._cuda.pinv_small:pinv_small",
    ("pinv_small_supports", "cupy"): "lina._cuda.pinv_small:supports",
    ("pivoted_qr", "numpy"): "lina.linalg._lapack:pivoted_qr",
    ("solve_left", "torch"): "lina.torch.least_squares:solve_with_facts",
    ("svd_least_squares", "numpy"): "numpy.linalg:lstsq",
    ("take_columns", "numpy"): "lina.linalg._lapack:take_columns",
    ("top_eigh", "numpy"): "lina.linalg._lapack:top_eigh",
    ("triangular_inverse", "numpy"): "lina.linalg._lapack:triangular_inverse",
}


def library(xp: Any) -> str:
    """Return the short name of an array namespace: numpy, cupy, torch, jax, dask or array_api_strict."""
    name: str = xp.__name__
    parts = name.removeprefix("array_api_compat.").split(".")
    return parts[0]


def kernel(operation: str, xp: Any) -> Callable[..., Any] | None:
    """Return the kernel of ``operation`` for the namespace ``xp``, or None where the generic body runs."""
    target = TABLE.get((operation, library(xp)))
    if target is None:
        return None
    _load(target)
    return _loaded[target]


_loaded: dict[str, Callable[..., Any]] = {}


def _load(target: str) -> None:
    if target not in _loaded:
        module, function = target.split(":")
        _loaded[target] = getattr(import_module(module), function)


# What torch's assume_constant_result sets: torch.compile runs the import while it traces, instead of tracing it.
_load._dynamo_marked_constant = True  # type: ignore[attr-defined]
