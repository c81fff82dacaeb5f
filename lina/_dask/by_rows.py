"""Mappings of rows on dask arrays, block by block: array code would make a task of every one of their operations."""

from collections.abc import Callable
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from array_api_compat import numpy as xp

from lina._dask.graph import as_task
from lina.simplex import _softmax as softmaxes
from lina.simplex._entmax.public import entmax_rows
from lina.simplex._project_capped_simplex import project_between as between
from lina.simplex._project_simplex import project_rows
from lina.simplex._soft_topk import entropic_weights


def _by_blocks(function: Callable[..., Any], x: Any, *options: Any, width: int | None = None) -> Any:
    """Return ``function(rows, *options)`` for ``x`` (rows, n), a row in one block, and options (rows or 1, any)."""
    x = x.rechunk({1: -1})
    args: list[Any] = [x, "ij"]
    for place, option in enumerate(options):
        option = da.asarray(option)
        option = option.rechunk({0: x.chunks[0] if option.shape[0] == x.shape[0] else -1, 1: -1})
        args += [option, ("i", f"j{place}")]
    chunks = {} if width is None else {"adjust_chunks": {"j": width}}
    return da.blockwise(
        function, "ij", *args, concatenate=True, dtype=x.dtype, meta=np.empty((0, 0), dtype=x.dtype), **chunks
    )


def project_simplex(x: Any, radius: Any) -> Any:
    """Return the projections of the rows onto the simplices of ``radius`` (rows,)."""
    return _by_blocks(_project, x, radius[:, None])


@as_task
def _project(x: Any, radius: Any) -> Any:
    return project_rows(xp, x, radius[:, 0])


def project_between(x: Any, low: Any, high: Any, sums: Any) -> Any:
    """Return the projections onto the capped simplices, the bounds (rows or 1, n or 1), the sums (rows, 1)."""
    return _by_blocks(_between, x, low, high, sums)


@as_task
def _between(x: Any, low: Any, high: Any, sums: Any) -> Any:
    return between(xp, x, low, high, sums)


def entmax(x: Any, alpha: Any) -> Any:
    """Return the entmax of the rows with ``alpha`` (rows,)."""
    return _by_blocks(_entmax, x, alpha[:, None])


@as_task
def _entmax(x: Any, alpha: Any) -> Any:
    return entmax_rows(xp, x, alpha[:, 0])


def softmax(x: Any) -> Any:
    """Return the softmax of the rows."""
    return _by_blocks(_softmax, x)


@as_task
def _softmax(x: Any) -> Any:
    return softmaxes.softmax_rows(xp, x)


def log_softmax(x: Any) -> Any:
    """Return the logarithm of the softmax of the rows."""
    return _by_blocks(_log_softmax, x)


@as_task
def _log_softmax(x: Any) -> Any:
    return softmaxes.log_softmax_rows(xp, x)


def log_normaliser(x: Any) -> tuple[Any, Any]:
    """Return the largest entry of each row and log sum exp(x - that), both (rows, 1)."""
    both = _by_blocks(_log_normaliser, x, width=2)
    return both[:, :1], both[:, 1:]


@as_task
def _log_normaliser(x: Any) -> Any:
    return np.concatenate(softmaxes.log_normaliser_rows(xp, x), axis=1)


def soft_topk(_: Any, z: Any, k: int) -> Any:
    """Return the entropic weights of the rows."""
    return _by_blocks(partial(_entropic, k=k), z)


@as_task
def _entropic(z: Any, k: int) -> Any:
    return entropic_weights(xp, z, k)
