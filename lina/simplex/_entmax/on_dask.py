"""Entmax of dask arrays, block by block: the steps of an iteration would make a task of every one of its operations."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from lina.simplex._entmax.public import entmax_rows


def entmax(x: Any, alpha: Any) -> Any:
    """Return the entmax of the rows of ``x`` (rows, n) with ``alpha`` (rows,), a row in one block."""
    x = x.rechunk({1: -1})
    options = alpha[:, None].rechunk((x.chunks[0], 1))
    return x.map_blocks(_of_block, options, dtype=x.dtype, chunks=x.chunks, meta=np.empty((0, 0), dtype=x.dtype))


def _of_block(x: Any, options: Any) -> Any:
    return entmax_rows(array_namespace(x), x, options[:, 0])
