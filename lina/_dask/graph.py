"""Tasks, trees that gather what was found in the blocks of rows, and the way of the results to the caller."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from lina._core.array import check_known_sizes
from lina._core.threads import one_thread

# Results that are gathered at once: small ones, so that a tree is shallow and no task waits for all blocks.
BRANCHES = 8


def as_task(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` for one of the many threads of a scheduler: it starts none of its own."""

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        with one_thread():
            return function(*args, **options)

    return run


def whole_rows(A: Any) -> tuple[Any, bool]:
    """Return ``A`` in blocks of whole rows, and whether it was transposed for that."""
    check_known_sizes(A, "A")
    if min(A.numblocks) > 1:
        hint = "try A.rechunk({1: -1}), or {0: -1} for one that is wide"
        raise ValueError(f"A must have blocks of whole rows or of whole columns, got chunks {A.chunks} ({hint})")
    turned = A.numblocks[1] > 1 or (A.numblocks[0] == 1 and A.shape[0] < A.shape[1])
    return (A.T if turned else A), turned


def parts(visited: Any, place: int) -> Any:
    """Return an array whose blocks are one of the things that a visit returned."""
    return da.blockwise(_take, "ij", visited, "ij", place, None, dtype=visited.dtype, meta=visited._meta)


def _take(found: Any, place: int) -> Any:
    return found[place]


def keys_of(visited: Any) -> list[Any]:
    """Return the keys of the blocks of rows."""
    return [(visited.name, i, 0) for i in range(visited.numblocks[0])]


def gathered(function: Callable[..., Any], visited: Any) -> Delayed:
    """Return what ``function(list)`` makes of the blocks, a few at a time; it must take its own results."""
    name = f"gathered-{visited.name}-{dask.base.tokenize(function)}"
    layer: dict[Any, Any] = {}
    level, keys = 0, keys_of(visited)
    while True:
        groups = [keys[i : i + BRANCHES] for i in range(0, len(keys), BRANCHES)]
        keys = [(name, level, i) for i in range(len(groups))]
        layer.update({key: (function, group) for key, group in zip(keys, groups, strict=True)})
        level += 1
        if len(keys) == 1:
            break
    layer[name] = keys[0]
    return Delayed(name, HighLevelGraph.from_collections(name, layer, dependencies=[visited]))


def array(value: Any, place: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an attribute of a lazy result as an array of one block."""
    return da.from_delayed(getattr(value, place), shape, dtype=dtype, meta=np.empty((0,) * len(shape), dtype=dtype))
