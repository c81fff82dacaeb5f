"""Entmax of rows on the GPU: the launch of entmax.cu."""

from typing import Any

from lina._cuda.project_simplex import launch_rows


def entmax(x: Any, alpha: Any) -> Any:
    """Return the entmax of the rows of ``x`` (rows, n), n < 2**31, with ``alpha`` (rows,).

    ``x`` is a cupy array of float32 or float64. The result is that of ``lina._numba.entmax``, up to rounding. One block
    per row on the current stream; the bits do not depend on the scheduling.
    """
    return launch_rows("entmax", x, alpha)
